//! Whether a server that has run for long will run for longer: nothing that it takes grows without end. Pure.
//!
//! *Flat*: the maximum of the last third is at most 1.2 times that of the second third; the first one fills what is empty.
//! Times of starts are compared by their medians, and may differ by a tenth of a second. *Bounded*: the log takes at most
//! four times what waits in it, or what it may always take, whichever is more; the catalog's write-ahead log takes what its
//! writer lets it grow to.

use super::sample::Sample;
use std::fmt;

const FLAT: f64 = 1.2;
const START_NOISE_S: f64 = 0.1;
const LOG_PER_LIVE: u64 = 4;
/// 8,000 pages, and what comes before a commit notices.
const CATALOG_LOG_MIB: f64 = 40.0;

/// One rule and how it turned out.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) holds: bool,
    /// It depends on what else the machine does.
    pub(crate) is_timed: bool,
    figures: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, holds, figures, .. } = self;
        write!(f, "{} {what}: {figures}", if *holds { "holds " } else { "BROKEN" })
    }
}

/// `log_floor_bytes`: what the log may always take.
pub(crate) fn judge(samples: &[Sample], log_floor_bytes: u64) -> Vec<Finding> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    vec![
        bounded(samples, log_floor_bytes),
        flat("log is flat", "MiB", samples.iter().map(|sample| mib(sample.log_bytes))),
        catalog_log(samples),
        flat("catalog is flat", "MiB", samples.iter().map(|sample| mib(sample.catalog_bytes))),
        flat("memory is flat", "MiB", samples.iter().map(|sample| mib(sample.memory_bytes))),
        flat("descriptors are flat", "", samples.iter().map(|sample| sample.descriptors as f64)),
        starts(samples),
    ]
}

/// The log's size in terms of what it may be.
pub(crate) fn share_of_bound(sample: &Sample, floor: u64) -> f64 {
    sample.log_bytes as f64 / floor.max(LOG_PER_LIVE * sample.live_bytes) as f64
}

fn bounded(samples: &[Sample], floor: u64) -> Finding {
    let worst = samples.iter().map(|sample| share_of_bound(sample, floor)).fold(0.0, f64::max);
    let figures = format!("at most {:.0} % of max({} MiB, 4 × live)", worst * 100.0, floor >> 20);
    Finding { what: "log is bounded", holds: worst <= 1.0, is_timed: false, figures }
}

fn catalog_log(samples: &[Sample]) -> Finding {
    let most = samples.iter().map(|sample| sample.catalog_log_bytes).max().unwrap_or(0) as f64 / f64::from(1 << 20);
    let figures = format!("at most {most:.1} of {CATALOG_LOG_MIB} MiB");
    Finding { what: "catalog's log is bounded", holds: most <= CATALOG_LOG_MIB, is_timed: false, figures }
}

fn flat(what: &'static str, unit: &str, values: impl Iterator<Item = f64>) -> Finding {
    let values: Vec<f64> = values.collect();
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let (second, last) = last_thirds(&values);
    let (second, last) = (most(second), most(last));
    let figures = format!("{second:.1} {unit}, then {last:.1} {unit}");
    Finding { what, holds: last <= second * FLAT, is_timed: false, figures }
}

fn starts(samples: &[Sample]) -> Finding {
    let values: Vec<f64> = samples.iter().map(|sample| sample.start.as_secs_f64()).collect();
    let (second, last) = last_thirds(&values);
    let (second, last) = (median(second), median(last));
    let figures = format!("{:.0} ms, then {:.0} ms", second * 1000.0, last * 1000.0);
    let holds = last <= second * FLAT + START_NOISE_S;
    Finding { what: "starts are flat", holds, is_timed: true, figures }
}

fn last_thirds(values: &[f64]) -> (&[f64], &[f64]) {
    let third = values.len() / 3;
    (&values[third..2 * third], &values[2 * third..])
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MIB: u64 = 1 << 20;

    fn month(at: impl Fn(u64) -> Sample) -> Vec<Finding> {
        judge(&(0..90).map(at).collect::<Vec<_>>(), 10 * MIB)
    }

    fn broken(findings: &[Finding]) -> Vec<&str> {
        findings.iter().filter(|finding| !finding.holds).map(|finding| finding.what).collect()
    }

    /// Fills up in the first third, then stays.
    fn steady(n: u64) -> Sample {
        let filled = n.min(30);
        Sample {
            log_bytes: filled * MIB / 4,
            live_bytes: MIB,
            catalog_bytes: MIB,
            memory_bytes: (50 + filled) * MIB,
            descriptors: 40,
            start: Duration::from_millis(100),
            ..Sample::default()
        }
    }

    #[test]
    fn what_fills_up_and_stays_is_flat() {
        assert_eq!(broken(&month(steady)), [""; 0]);
    }

    #[test]
    fn whatever_grows_is_named() {
        let growing = |n: u64| Sample { log_bytes: n * MIB, catalog_log_bytes: n * MIB, ..steady(n) };
        assert_eq!(broken(&month(growing)), ["log is bounded", "log is flat", "catalog's log is bounded"]);
        let leaking = |n: u64| Sample { memory_bytes: n * MIB, descriptors: n as usize, ..steady(n) };
        assert_eq!(broken(&month(leaking)), ["memory is flat", "descriptors are flat"]);
        let slower = |n: u64| Sample { start: Duration::from_millis(20 * n), ..steady(n) };
        assert_eq!(broken(&month(slower)), ["starts are flat"]);
    }

    #[test]
    fn a_log_may_take_four_times_what_waits() {
        let full = |n: u64| Sample { log_bytes: 39 * MIB, live_bytes: 10 * MIB, ..steady(n) };
        assert_eq!(broken(&month(full)), [""; 0]);
    }
}
