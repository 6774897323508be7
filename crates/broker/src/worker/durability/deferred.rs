//! Records that are logged at the end of a turn, because losing them costs a repetition and never a message.

use std::collections::BTreeMap;

use commitlog::{AppendError, Need, Position};
use mqtt::PacketId;

use crate::client::ClientKey;
use crate::store::journal::{Batch, Journal};
use crate::worker::action::Deferred;

/// Acknowledgements and hand-outs of one append: few enough for a unit of any log, and a full one refuses little in vain.
const CHANGES_PER_APPEND: usize = 4096;

/// Acknowledgements and hand-outs of clients, ends of connections.
#[derive(Default)]
pub(super) struct DeferredRecords {
    clients: BTreeMap<ClientKey, Changes>,
    closed: Vec<(ClientKey, Box<str>, u64)>,
    events_sent: Vec<Box<str>>,
    /// Of clients: the log was busy.
    is_delayed: bool,
    /// Of clients: the end of the last ones that were logged.
    end: Position,
    has_failed: bool,
}

/// Whether the log has the acknowledgements and hand-outs that were deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logged {
    /// They are durable with this position.
    UpTo(Position),
    NotYet,
    /// The log has failed.
    Never,
}

/// Records are no more to be logged: they are, or the log has failed.
fn is_settled<T>(appended: Result<T, AppendError>) -> bool {
    match appended {
        Ok(_) => true,
        Err(AppendError::Busy | AppendError::Full) => false,
        Err(error) => {
            tracing::debug!(%error, "acknowledgements of clients were not logged; they will be repeated");
            true
        }
    }
}

#[derive(Default)]
struct Changes {
    handed_out: Vec<(Position, PacketId)>,
    removed: Vec<Position>,
}

/// The first of what is deferred of clients.
#[derive(Default)]
struct FirstPart {
    batch: Batch,
    /// Clients of whom it has all.
    clients: usize,
    /// Of the client behind them, so many.
    handed_out: usize,
    removed: usize,
}

fn first_of<T>(all: &[T], count: usize) -> &[T] {
    all.split_at_checked(count).map_or(all, |(first, _)| first)
}

impl DeferredRecords {
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.closed.is_empty() && self.events_sent.is_empty()
    }

    pub(super) fn add(&mut self, deferred: Deferred) {
        match deferred {
            Deferred::HandedOut { client, message, packet_id } => {
                self.clients.entry(client).or_default().handed_out.push((message, packet_id));
            }
            Deferred::Removed { client, message } => self.clients.entry(client).or_default().removed.push(message),
            Deferred::Closed { client, connection_id, at_ms } => self.closed.push((client, connection_id, at_ms)),
            Deferred::EventSent { connection_id } => self.events_sent.push(connection_id),
        }
    }

    /// Logs what it can. What a busy or full log does not take is tried again in the next turn: what was logged already
    /// means the same twice. What comes meanwhile is bounded: by what may be in flight, and by the connections that are
    /// there, as a log without room for their ends has none for others' beginnings.
    pub(super) fn flush(&mut self, journal: &Journal) {
        self.is_delayed = false;
        if !self.clients.is_empty() {
            let logged = self.log_progress(journal);
            self.is_delayed = logged == Err(AppendError::Busy);
            self.has_failed |= logged.is_err() && is_settled(logged);
            if self.has_failed {
                self.clients.clear();
            }
        }
        let has_connections = !self.closed.is_empty() || !self.events_sent.is_empty();
        if has_connections
            && !journal.is_full_for(Need::Housekeeping)
            && is_settled(journal.append_independent(&self.connections(), Need::Housekeeping))
        {
            self.closed = Vec::new();
            self.events_sent = Vec::new();
        }
    }

    /// After a flush.
    pub(super) fn logged_up_to(&self) -> Logged {
        match (self.has_failed, self.clients.is_empty()) {
            (true, _) => Logged::Never,
            (false, true) => Logged::UpTo(self.end),
            (false, false) => Logged::NotYet,
        }
    }

    /// Acknowledgements and hand-outs were not logged, and will be soon: the log is not full, but busy.
    pub(super) fn is_delayed(&self) -> bool {
        self.is_delayed
    }

    /// Part by part: what the log has taken is not encoded again when it refuses the next.
    fn log_progress(&mut self, journal: &Journal) -> Result<(), AppendError> {
        while !self.clients.is_empty() {
            let part = self.first_part();
            self.end = journal.append_independent(&part.batch, Need::Essential)?;
            self.take_off(&part);
        }
        Ok(())
    }

    fn first_part(&self) -> FirstPart {
        let (mut part, mut left) = (FirstPart::default(), CHANGES_PER_APPEND);
        for (client, changes) in &self.clients {
            let handed_out = first_of(&changes.handed_out, left);
            left -= handed_out.len();
            let removed = first_of(&changes.removed, left);
            left -= removed.len();
            part.batch.handed_out(client.as_str(), handed_out);
            part.batch.removed(client.as_str(), removed);
            if (handed_out.len(), removed.len()) != (changes.handed_out.len(), changes.removed.len()) {
                (part.handed_out, part.removed) = (handed_out.len(), removed.len());
                break;
            }
            part.clients += 1;
        }
        part
    }

    fn take_off(&mut self, part: &FirstPart) {
        (0..part.clients).for_each(|_| drop(self.clients.pop_first()));
        if let Some(mut next) = self.clients.first_entry() {
            next.get_mut().handed_out.drain(..part.handed_out);
            next.get_mut().removed.drain(..part.removed);
        }
    }

    fn connections(&self) -> Batch {
        let mut batch = Batch::default();
        for (client, connection_id, at_ms) in &self.closed {
            batch.closed(client.as_str(), connection_id, *at_ms);
        }
        self.events_sent.iter().for_each(|connection_id| batch.event_sent(connection_id));
        batch
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use commitlog::testing::ForgettingStorage;
    use commitlog::{Log, NewRecord, Options, USER_KIND_MIN};
    use std::time::Duration;

    const RESERVE: u64 = 64 << 10;

    /// A log whose disk is full, and which has only its reserve left.
    fn full_log() -> Log {
        let storage = ForgettingStorage::new();
        let options = Options {
            segment_size: 1 << 20,
            reserve_bytes: RESERVE,
            full_retry_every: Duration::from_millis(1),
            ..Options::default()
        };
        let (log, _) = Log::open(storage.handle(), options).unwrap();
        storage.set_full(true);
        let journal = Journal::new(log.clone());
        let mut filler = Batch::default();
        filler.closed("filler", "connection", 0);
        while journal.append(&filler, Need::Normal) != Err(AppendError::Full) {}
        log
    }

    #[test]
    fn a_hundred_thousand_reconnects_on_a_full_disk_leave_the_acknowledgements_their_room() {
        let log = full_log();
        let journal = Journal::new(log.clone());
        let mut deferred = DeferredRecords::default();
        let mut let_in = 0;
        for number in 0..100_000 {
            let connection_id = format!("{number:032x}");
            let mut batch = Batch::default();
            batch.opened("client", &connection_id, number, "192.0.2.1:50000");
            if journal.append(&batch, Need::Housekeeping).is_ok() {
                let_in += 1;
                deferred.add(Deferred::Closed {
                    client: ClientKey::new("client"),
                    connection_id: connection_id.into(),
                    at_ms: number,
                });
            }
            deferred.flush(&journal);
        }
        assert!((50..1000).contains(&let_in), "{let_in} were let in");
        let left = (RESERVE / 2) as usize - (4 << 10);
        assert!(!log.is_full_for(Need::Essential, left));
        deferred.add(Deferred::Removed { client: ClientKey::new("client"), message: Position(64) });
        deferred.flush(&journal);
        assert!(deferred.clients.is_empty(), "the acknowledgement is logged");
        assert!(!deferred.is_empty(), "the ends of connections wait for room");
    }

    fn removed(count: u64) -> DeferredRecords {
        let mut deferred = DeferredRecords::default();
        for at in 1..=count {
            deferred.add(Deferred::Removed { client: ClientKey::new("client"), message: Position(64 * at) });
        }
        deferred
    }

    #[test]
    fn what_takes_more_than_a_unit_is_logged_in_parts() {
        let options = Options { append_bytes_max: 64 << 10, ..Options::default() };
        let (log, replay) = Log::open(ForgettingStorage::new().handle(), options).unwrap();
        drop(replay);
        let mut deferred = removed(50_000);
        deferred.add(Deferred::Removed { client: ClientKey::new("next"), message: Position(64) });
        deferred.flush(&Journal::new(log));
        assert!(deferred.is_empty());
        assert!(matches!(deferred.logged_up_to(), Logged::UpTo(end) if end > Position::default()));
    }

    #[test]
    fn a_full_log_refuses_one_part_and_not_all_that_waits() {
        let log = full_log();
        while log.append(Need::Essential, &[NewRecord::new(USER_KIND_MIN, 0, &[])]) != Err(AppendError::Full) {}
        let mut deferred = removed(50_000);
        deferred.flush(&Journal::new(log));
        assert_eq!(deferred.logged_up_to(), Logged::NotYet);
        assert!(deferred.first_part().batch.bytes() < 64 << 10);
    }

    #[test]
    fn acknowledgements_are_delayed_by_a_busy_log_and_not_by_a_full_one() {
        let acknowledged = || {
            let mut deferred = DeferredRecords::default();
            deferred.add(Deferred::Removed { client: ClientKey::new("client"), message: Position(64) });
            deferred
        };
        let storage = ForgettingStorage::new();
        let options = Options { pending_bytes_max: 4 << 10, ..Options::default() };
        let log = Log::open(storage.handle(), options).unwrap().0;
        storage.hold_syncs();
        let fill = |log: &Log| loop {
            if let Err(error) = log.append(Need::Essential, &[NewRecord::new(USER_KIND_MIN, 0, &[])]) {
                return error;
            }
        };
        let (refused, mut deferred) = (fill(&log), acknowledged());
        deferred.flush(&Journal::new(log.clone()));
        storage.release_syncs();
        assert_eq!((refused, deferred.is_delayed()), (AppendError::Busy, true));
        while deferred.is_delayed() {
            deferred.flush(&Journal::new(log.clone()));
        }
        assert!(deferred.is_empty());

        let log = full_log();
        let (refused, mut deferred) = (fill(&log), acknowledged());
        deferred.flush(&Journal::new(log));
        assert_eq!((refused, deferred.is_delayed(), deferred.is_empty()), (AppendError::Full, false, false));
    }
}
