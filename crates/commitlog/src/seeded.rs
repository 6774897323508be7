//! The seams of carrying, reclaim and snapshots where a seeded bug is done ([`Fault`](crate::Fault)). In a build without
//! the feature `faults` they do nothing.

#[cfg(not(feature = "faults"))]
pub(crate) use none::*;
#[cfg(feature = "faults")]
pub(crate) use some::*;

#[cfg(not(feature = "faults"))]
mod none {
    use std::borrow::Cow;

    use crate::options::Options;
    use crate::record::NewRecord;
    use crate::{AppendError, Appended, Log, Need, Position};

    pub(crate) fn append(_: &Log, _: Need, _: &[NewRecord<'_>]) -> Option<Result<Appended, AppendError>> {
        None
    }

    pub(crate) fn pushed<'a>(_: &Options, records: &'a [NewRecord<'a>]) -> Cow<'a, [NewRecord<'a>]> {
        Cow::Borrowed(records)
    }

    pub(crate) fn is_ahead_of_the_log(_: &Options) -> bool {
        false
    }

    pub(crate) fn begins_early(_: &Options) -> bool {
        false
    }

    pub(crate) fn vacated_unasked(_: &Options, _: impl FnOnce() -> Position) -> Option<Position> {
        None
    }
}

#[cfg(feature = "faults")]
mod some {
    use std::borrow::Cow;
    use std::sync::{Mutex, PoisonError};

    use crate::options::{Fault, Options};
    use crate::record::{NewRecord, Part};
    use crate::{AppendError, Appended, Log, Need, Position};

    /// Units of copies that are appended behind what comes next.
    #[derive(Default)]
    pub(crate) struct Withheld(Mutex<Vec<Vec<Owned>>>);

    struct Owned {
        kind: u8,
        owner: u64,
        name: Option<Position>,
        payload: Vec<u8>,
    }

    /// `None`: nothing is seeded here.
    pub(crate) fn append(log: &Log, need: Need, records: &[NewRecord<'_>]) -> Option<Result<Appended, AppendError>> {
        let has_copies = records.iter().any(|record| record.name.is_some());
        match log.shared().options.fault {
            Fault::ForgetsCopies if has_copies => {
                let stays = |record: &&NewRecord<'_>| record.name.is_none_or(|name| !(name.0 / 8).is_multiple_of(5));
                let kept: Vec<_> = records.iter().filter(stays).copied().collect();
                Some(if kept.is_empty() { Ok(nothing(log)) } else { log.append_unit(need, &kept) })
            }
            Fault::CopiesLate if has_copies => {
                withheld(log).push(records.iter().map(Owned::of).collect());
                Some(Ok(nothing(log)))
            }
            Fault::CopiesLate => {
                let appended = log.append_unit(need, records);
                let units = std::mem::take(&mut *withheld(log));
                units.iter().for_each(|unit| append_late(log, unit));
                Some(appended)
            }
            _ => None,
        }
    }

    fn withheld(log: &Log) -> std::sync::MutexGuard<'_, Vec<Vec<Owned>>> {
        log.shared().withheld.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nothing(log: &Log) -> Appended {
        Appended { positions: Vec::new(), end: log.shared().tail().end() }
    }

    fn append_late(log: &Log, unit: &[Owned]) {
        let payloads: Vec<_> = unit.iter().map(|record| [Part::Bytes(&record.payload)]).collect();
        let records = unit.iter().zip(&payloads).map(|(record, payload)| NewRecord {
            name: record.name,
            ..NewRecord::new(record.kind, record.owner, payload)
        });
        let _ = log.append_unit(Need::Carry, &records.collect::<Vec<_>>());
    }

    impl Owned {
        fn of(record: &NewRecord<'_>) -> Self {
            let bytes = record.payload.iter().map(|part| match part {
                Part::Bytes(bytes) => *bytes,
                Part::PositionOf(_) => &[],
            });
            let payload = bytes.collect::<Vec<_>>().concat();
            Self { kind: record.kind, owner: record.owner, name: record.name, payload }
        }
    }

    pub(crate) fn pushed<'a>(options: &Options, records: &'a [NewRecord<'a>]) -> Cow<'a, [NewRecord<'a>]> {
        let is_forgotten = |record: &NewRecord<'_>| match options.fault {
            Fault::SnapshotLeavesOut { every } => record.owner != 0 && record.owner.is_multiple_of(every),
            Fault::SnapshotForgets { kind } => record.kind == kind,
            _ => false,
        };
        if !records.iter().any(is_forgotten) {
            return Cow::Borrowed(records);
        }
        records.iter().filter(|record| !is_forgotten(record)).copied().collect()
    }

    pub(crate) fn is_ahead_of_the_log(options: &Options) -> bool {
        options.fault == Fault::SnapshotAhead
    }

    pub(crate) fn begins_early(options: &Options) -> bool {
        options.fault == Fault::BeginsEarly
    }

    pub(crate) fn vacated_unasked(options: &Options, end: impl FnOnce() -> Position) -> Option<Position> {
        (options.fault == Fault::VacatesUnasked).then(end)
    }
}
