//! A worker as an owner of the log: when the log wants its oldest segment back, what this worker needs of it is written
//! again, a little in each turn, and then the segment is vacated.
//!
//! A reference to a message is written in the unit of the message, so that both are in one segment; only here an older
//! message is referred to again, by the worker that has it in an inbox. So what is on its way between workers, or waits
//! for the log, needs no old segment.

use commitlog::{AppendError, LogOwner, Need, SnapshotSection};

use super::Worker;
use super::clients::{CARRY_STEP, OpenConnection, Pass, Progress, Step};
use super::connections::Connections;
use super::post::ConnectionKey;
use super::reader::{ReadRecord, ReadRequest, ToRead};
use crate::store::journal::{Batch, Journal};

/// What a worker has said to the log about its segments, and how far the one that is wanted is carried.
pub(super) struct Carrying {
    owner: LogOwner,
    pass: Option<Pass>,
    /// Ended connections up to this one are carried in the pass.
    ended_to: Option<Box<str>>,
    /// There is more to do at once.
    has_more: bool,
    /// A read has failed: it is tried again with the next tick.
    is_stalled: bool,
    /// The last read has failed.
    is_unreadable: bool,
    /// Number of a segment that has a record which says the time, or of an older one.
    time_said_in: u64,
    live_bytes: u64,
}

impl Carrying {
    pub(super) fn new(owner: LogOwner, live_bytes: u64) -> Self {
        owner.set_live_bytes(live_bytes);
        Self {
            owner,
            pass: None,
            ended_to: None,
            has_more: false,
            is_stalled: false,
            is_unreadable: false,
            time_said_in: 0,
            live_bytes,
        }
    }

    /// Tells the log how much of it is needed, and lets a read that failed be tried again.
    pub(super) fn tick(&mut self, live_bytes: u64, journal: &Journal, now_ms: u64) {
        self.is_stalled = false;
        // Once in each segment, so that an older one can go without.
        if self.time_said_in < journal.newest_segment() {
            let _ = self.say_time(journal, now_ms, Need::Essential);
        }
        if self.live_bytes != live_bytes {
            self.live_bytes = live_bytes;
            self.owner.set_live_bytes(live_bytes);
        }
    }

    fn say_time(&mut self, journal: &Journal, now_ms: u64, need: Need) -> Result<(), AppendError> {
        let newest = journal.newest_segment();
        let mut batch = Batch::default();
        batch.latest_time(now_ms);
        journal.append(&batch, need)?;
        self.time_said_in = newest;
        Ok(())
    }

    /// The snapshot that this worker has still to take part in.
    pub(super) fn snapshot_wanted(&mut self) -> Option<SnapshotSection> {
        self.owner.snapshot_wanted()
    }

    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    pub(super) fn records_read(&mut self, records: Vec<ReadRecord>) {
        let Some(read) = self.pass.as_mut().map(|pass| pass.take_read(records)) else { return };
        self.is_stalled = read.is_err();
        // It is tried again with each tick, and said once.
        let was_unreadable = std::mem::replace(&mut self.is_unreadable, read.is_err());
        match read {
            Err(error) if !was_unreadable => {
                tracing::error!(%error, "an old segment of the log is kept, because it cannot be read: check the disk");
            }
            Ok(()) if was_unreadable => tracing::info!("the old segment of the log can be read again"),
            _ => {}
        }
    }

    /// The pass that goes on, or begins because a segment is wanted.
    fn take_pass(&mut self, journal: &Journal) -> Option<Pass> {
        let wanted = self.owner.wanted().filter(|_| !self.is_stalled)?;
        let begun = self.pass.take().filter(|pass| pass.segment() == wanted.number);
        Some(begun.unwrap_or_else(|| {
            self.ended_to = None;
            let copies = self.owner.copies_in(wanted.number);
            Pass::new(wanted, copies, journal)
        }))
    }
}

impl Worker {
    /// Carries a little of the segment that the log wants back.
    pub(super) fn carry(&mut self) {
        self.carrying.has_more = false;
        let Some(mut pass) = self.carrying.take_pass(&self.shared.journal) else { return };
        let mut progress = self.carry_some(&mut pass);
        // A message that was acknowledged is not carried. Were its segment gone before the acknowledgement is in the log, a
        // start would find that it waits, and could not read it. A full log takes acknowledgements only once this one is gone.
        if matches!(progress, Ok(Progress::Done)) && self.durability.has_delayed_acks() {
            progress = Ok(Progress::More);
        }
        self.carrying.has_more = matches!(progress, Ok(Progress::More) | Err(AppendError::Busy));
        match progress {
            Ok(Progress::Done) => return self.carrying.owner.vacate(pass.segment()),
            Ok(Progress::Read(names)) => {
                self.reader.ask(ReadRequest { worker: self.me, what: ToRead::Records(names) });
            }
            // It goes on in the next turn; where the log is full, not because of this one.
            Ok(Progress::More | Progress::Waits) | Err(_) => {}
        }
        self.carrying.pass = Some(pass);
    }

    fn carry_some(&mut self, pass: &mut Pass) -> Result<Progress, AppendError> {
        let connections = &self.connections;
        let open = |key| open_connection(connections, key);
        match self.clients.carry_some(pass, self.now.certain_ms(), open)? {
            Progress::Done => self.carry_ended(pass),
            progress => Ok(progress),
        }
    }

    /// Ended connections, and the time, unless a younger segment has it: a start goes by the last one in the log. A connection
    /// that ends meanwhile needs no segment so old, since its client was carried.
    fn carry_ended(&mut self, pass: &Pass) -> Result<Progress, AppendError> {
        let (journal, segment) = (&self.shared.journal, pass.segment());
        let newest = journal.newest_segment();
        let mut step = Step::new(CARRY_STEP);
        let (said, last) = self.ended.carry_some(self.carrying.ended_to.as_deref(), segment, &mut step);
        if !step.batch.is_empty() {
            journal.append_independent(&step.batch, Need::Carry)?;
        }
        self.ended.note_said(&said, newest);
        if last.is_some() {
            self.carrying.ended_to = last;
            return Ok(Progress::More);
        }
        if self.carrying.time_said_in <= segment {
            self.carrying.say_time(journal, self.now.certain_ms(), Need::Carry)?;
        }
        Ok(Progress::Done)
    }
}

/// What the log has to know of it.
pub(super) fn open_connection(connections: &Connections, key: ConnectionKey) -> Option<OpenConnection> {
    let (id, address) = connections.opened(key)?;
    Some(OpenConnection { id: id.into(), address: address.to_string().into() })
}
