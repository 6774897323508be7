//! Figures of one workload, server by server and round by round, beside the bar.

use super::Workload;
use super::servers::Kind;
use super::workloads::{Figure, Standing};
use crate::figures::median;
use std::fmt::{self, Display, Formatter};

/// What our broker may need.
#[derive(Clone, Copy)]
enum Bar {
    /// CPU, as a multiple of the program that only copies.
    Ratio(f64),
    /// CPU for one.
    MicrosecondsEach(f64),
}

const RESIDENT_BYTES_MAX: f64 = 1_024.0;

pub(super) struct Table {
    pub(super) workload: Workload,
    columns: Vec<Column>,
}

/// One server.
struct Column {
    kind: Kind,
    rounds: Vec<Figure>,
}

impl Workload {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::P2pPipelined => "P2P QoS 1, 50 pairs, 16 in flight each",
            Self::P2pSingle => "P2P QoS 1, 200 pairs, 1 in flight each",
            Self::FanOutPipelined => "fan-out 1 → 200, 32 messages in flight",
            Self::FanOutSingle => "fan-out 1 → 200, one message at a time",
            Self::Connect => "connects with clean start",
        }
    }

    /// What is counted.
    const fn unit(self) -> &'static str {
        match self {
            Self::P2pPipelined | Self::P2pSingle => "message",
            Self::FanOutPipelined | Self::FanOutSingle => "delivery",
            Self::Connect => "connection",
        }
    }

    const fn bar(self) -> Bar {
        match self {
            Self::P2pPipelined => Bar::Ratio(2.3),
            Self::P2pSingle => Bar::Ratio(1.2),
            Self::FanOutPipelined => Bar::MicrosecondsEach(0.5),
            Self::FanOutSingle => Bar::MicrosecondsEach(2.1),
            Self::Connect => Bar::MicrosecondsEach(50.0),
        }
    }
}

impl Table {
    pub(super) fn new(workload: Workload, kinds: &[Kind]) -> Self {
        let column = |kind: &Kind| Column { kind: kind.clone(), rounds: Vec::new() };
        Self { workload, columns: kinds.iter().map(column).collect() }
    }

    pub(super) fn add(&mut self, column: usize, figure: Figure) {
        if let Some(column) = self.columns.get_mut(column) {
            column.rounds.push(figure);
        }
    }

    fn column(&self, is_wanted: impl Fn(&Kind) -> bool) -> Option<&Column> {
        self.columns.iter().find(|column| is_wanted(&column.kind))
    }

    /// Against the copying program, round by round.
    fn ratio(&self, column: &Column) -> f64 {
        let Some(copying) = self.column(|kind| *kind == Kind::Copying) else { return f64::NAN };
        let rounds = column.rounds.iter().zip(&copying.rounds);
        median(rounds.map(|(figure, copying)| figure.cpu_us / copying.cpu_us))
    }
}

impl Column {
    fn median(&self, figure: impl Fn(&Figure) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }

    fn median_standing(&self, figure: impl Fn(&Standing) -> f64) -> f64 {
        median(self.rounds.iter().filter_map(|round| round.standing.as_ref()).map(figure))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let unit = self.workload.unit();
        writeln!(f, "{}: µs of CPU a {unit} by rounds, their median", self.workload.title())?;
        for column in &self.columns {
            write!(f, "  {:<12}", column.kind.name())?;
            column.rounds.iter().try_for_each(|round| write!(f, " {:>7.2}", round.cpu_us))?;
            let (median, rate) = (column.median(|round| round.cpu_us), column.median(|round| round.per_second));
            write!(f, "   {median:>7.2}, {rate:.0}/s, {:.2} × the copying program", self.ratio(column))?;
            let refused: u64 = column.rounds.iter().map(|round| round.refused).sum();
            if refused > 0 {
                write!(f, ", {refused} refused")?;
            }
            writeln!(f)?;
        }
        let Some(ours) = self.column(|kind| *kind == Kind::Convoke) else { return Ok(()) };
        match self.workload.bar() {
            Bar::Ratio(bar) => write!(f, "  bar: at most {bar} × the copying program; here {:.2} ×", self.ratio(ours))?,
            Bar::MicrosecondsEach(bar) => {
                let here = ours.median(|round| round.cpu_us);
                write!(f, "  bar: at most {bar} µs a {unit}; here {here:.2} µs")?;
            }
        }
        if self.workload == Workload::Connect {
            self.write_standing(f, ours)?;
        }
        Ok(())
    }
}

impl Table {
    fn write_standing(&self, f: &mut Formatter<'_>, ours: &Column) -> fmt::Result {
        for column in &self.columns {
            let resident = column.median_standing(|standing| standing.resident_bytes);
            let settled = column.median_standing(|standing| standing.settled_cpu_us);
            write!(f, "\n  {:<12} {resident:>6.0} bytes an idle connection", column.kind.name())?;
            write!(f, "; {settled:.1} µs of CPU with what came after the CONNACK")?;
        }
        let here = ours.median_standing(|standing| standing.resident_bytes);
        write!(f, "\n  bar: at most {RESIDENT_BYTES_MAX} bytes an idle connection; here {here:.0}")
    }
}

impl Display for Figure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} µs, {:.0}/s (generator {:.2} µs)", self.cpu_us, self.per_second, self.own_cpu_us)?;
        if self.refused > 0 {
            write!(f, ", {} refused", self.refused)?;
        }
        match &self.standing {
            Some(standing) => write!(f, ", {:.0} bytes idle", standing.resident_bytes),
            None => Ok(()),
        }
    }
}
