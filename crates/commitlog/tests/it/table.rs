//! A part of a program that keeps a table in the log: values by key, set and removed by records that say all, carried when
//! a segment is wanted back, and written into snapshots a few keys at a time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use commitlog::testing::{ForgettingStorage, open_at_rest};
use commitlog::{
    AppendError, Log, LogOwner, Need, NewRecord, OpenError, Options, Part, Position, ReplayError, Replayed,
    ReplayedRecord, SnapshotError, SnapshotSection, WaitError,
};

use crate::harness::KIND;

/// Keys that one turn writes into a snapshot.
const STEP: usize = 3;
const REMOVED: u8 = 0;
/// A value whose record is longer than a sector.
pub(crate) const LONG: u8 = 0xff;

/// Values by owner and key.
pub(crate) type Values = BTreeMap<(u64, u8), u8>;

fn payload(key: u8, value: u8) -> Vec<u8> {
    let len = match value {
        REMOVED => 2,
        LONG => 700,
        _ => 300,
    };
    [key, value].repeat(len / 2)
}

/// One owner's table: the name of the record that set each key, and the value.
pub(crate) struct Table {
    pub(crate) owner: LogOwner,
    number: u64,
    rows: BTreeMap<u8, (Position, u8)>,
    dump: Option<Dump>,
}

struct Dump {
    section: SnapshotSection,
    next: u8,
}

/// What a start shows: all tables, by owner.
#[derive(Default)]
pub(crate) struct Recovered {
    rows: BTreeMap<u64, BTreeMap<u8, (Position, u8)>>,
    pub(crate) replayed: Replayed,
}

impl Recovered {
    fn apply(&mut self, record: ReplayedRecord<'_>) {
        let rows = self.rows.entry(record.owner).or_default();
        match *record.payload {
            [key, REMOVED, ..] => rows.remove(&key),
            [key, value, ..] => rows.insert(key, (record.position, value)),
            _ => panic!("a record that no table has"),
        };
    }

    pub(crate) fn values(&self) -> Values {
        let rows = self.rows.iter();
        rows.flat_map(|(owner, rows)| rows.iter().map(|(key, (_, value))| ((*owner, *key), *value))).collect()
    }

    pub(crate) fn is_read_from(&self, log: &Log) -> bool {
        self.records().all(|(name, payload)| log.read(name).is_ok_and(|record| record.payload == payload))
    }

    /// Name and payload of the record that set each key.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Position, Vec<u8>)> {
        self.rows.values().flatten().map(|(key, (name, value))| (*name, payload(*key, *value)))
    }

    pub(crate) fn is_any_carried(&self, log: &Log) -> bool {
        let mut rows = self.rows.values().flat_map(BTreeMap::values);
        rows.any(|(name, _)| log.place_of(*name) != Some(*name))
    }

    pub(crate) fn table(&mut self, log: &Log, number: u64) -> Table {
        let owner = log.register_owner("table");
        let rows = self.rows.remove(&number).unwrap_or_default();
        let table = Table { owner, number, rows, dump: None };
        table.say_live();
        table
    }
}

pub(crate) fn start(storage: &ForgettingStorage, options: &Options) -> (Log, Recovered) {
    let (log, replay) = Log::open(storage.handle(), options.clone()).unwrap();
    let mut recovered = Recovered::default();
    let replayed = replay.for_each(|record| recovered.apply(record)).unwrap();
    (log, Recovered { replayed, ..recovered })
}

/// A start has failed at one of its two steps.
pub(crate) enum StartError {
    Open(OpenError),
    Replay(ReplayError<Infallible>),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Replay(error) => error.fmt(f),
        }
    }
}

/// The same of a log that does nothing by itself: each start makes the same calls.
pub(crate) fn try_start_at_rest(
    storage: &ForgettingStorage,
    options: &Options,
) -> Result<(Log, Recovered), StartError> {
    let (log, replay) = open_at_rest(storage.handle(), options.clone()).map_err(StartError::Open)?;
    let mut recovered = Recovered::default();
    let replayed = replay.for_each(|record| recovered.apply(record)).map_err(StartError::Replay)?;
    Ok((log, Recovered { replayed, ..recovered }))
}

fn append(log: &Log, need: Need, record: NewRecord<'_>) -> Result<Position, AppendError> {
    loop {
        match log.append(need, std::slice::from_ref(&record)) {
            Err(AppendError::Busy) => std::thread::yield_now(),
            result => return result.map(|appended| appended.positions[0]),
        }
    }
}

impl Table {
    /// Sets the key, or removes it with the value 0. Durable only later.
    pub(crate) fn set(&mut self, log: &Log, key: u8, value: u8) {
        let payload = payload(key, value);
        let name = append(log, Need::Normal, NewRecord::new(KIND, self.number, &[Part::Bytes(&payload)])).unwrap();
        match value {
            REMOVED => self.rows.remove(&key),
            value => self.rows.insert(key, (name, value)),
        };
        self.say_live();
    }

    /// Of the record that set the key.
    pub(crate) fn name_of(&self, key: u8) -> Position {
        self.rows[&key].0
    }

    fn say_live(&self) {
        self.owner.set_live_bytes(self.rows.len() as u64 * 344);
    }

    /// Carries what is wanted, and writes a few keys into a snapshot, if there is one.
    pub(crate) fn turn(&mut self, log: &Log) {
        self.carry(log);
        if let Some(section) = self.owner.snapshot_wanted() {
            self.dump = Some(Dump { section, next: 0 });
        }
        self.dump_some();
    }

    fn carry(&mut self, log: &Log) {
        let Some(wanted) = self.owner.wanted() else { return };
        for (key, (name, value)) in &self.rows {
            let place = log.place_of(*name).unwrap();
            if log.segment_of(place) == wanted.number {
                let payload = payload(*key, *value);
                let parts = [Part::Bytes(&payload)];
                append(log, Need::Carry, NewRecord::new(KIND, self.number, &parts).carried(*name)).unwrap();
            }
        }
        self.owner.vacate(wanted.number);
    }

    fn dump_some(&mut self) {
        let Some(mut dump) = self.dump.take() else { return };
        let rows: Vec<_> = self.rows.range(dump.next..).take(STEP).map(|(key, row)| (*key, *row)).collect();
        for (key, (name, value)) in &rows {
            let payload = payload(*key, *value);
            let parts = [Part::Bytes(&payload)];
            match dump.section.push(&[NewRecord::new(KIND, self.number, &parts).carried(*name)]) {
                Ok(()) => dump.next = key + 1,
                Err(SnapshotError::Busy) => break,
                Err(SnapshotError::GivenUp) => return,
                Err(error) => panic!("{error}"),
            }
        }
        if rows.len() < STEP { dump.section.finish() } else { self.dump = Some(dump) }
    }

    pub(crate) fn is_dumping(&self) -> bool {
        self.dump.is_some()
    }
}

pub(crate) fn wait(log: &Log) -> Result<(), WaitError> {
    // Appends nothing: the end of the log is behind all that was appended.
    let end = log.append(Need::Essential, &[NewRecord::new(KIND, u64::MAX, &[Part::Bytes(&payload(0, REMOVED))])]);
    log.wait_durable(end.unwrap().end)
}
