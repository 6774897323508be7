//! From the records of the log back to sessions, inboxes and the connections that the last run left open.
//!
//! Pure. Feed every record in the order of the log; what comes out is split by client. A record says what is, never by
//! how much something changed: a stretch of the log that is read over a state which contains it changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use accounts::access::is_account_of_user;
use commitlog::{Position, ReplayedRecord};
use mqtt::PacketId;
use mqtt::server::Restart;

use super::owns;
use super::record::{
    self, CollapsedRecord, ConnectionRecord, Record, Reference, SessionRecord, SubscribedOptions, kind,
};
use super::recovered_entries::{RecoveredEntries, RecoveredEntry};
use crate::message::Collapse;

/// A record of the broker that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broker record of kind {kind:#04x} at log position {position}: {what}: was it written by a newer version?")]
pub struct RecoverError {
    pub kind: u8,
    pub position: Position,
    pub what: &'static str,
}

/// The broker while the log is replayed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Boxed, since half of a map may be empty places.
    pub(crate) clients: HashMap<Box<str>, Box<RecoveredClient>>,
    /// By connection id; their `tcpclean` is not in the queue yet.
    pub(crate) connections: BTreeMap<Box<str>, RecoveredConnection>,
    /// Ids of the connections of each client that have not closed.
    open: HashMap<Box<str>, BTreeSet<Box<str>>>,
    /// The latest time in the log.
    pub(crate) last_ms: u64,
    /// The last record is not the one of a clean stop.
    is_cut_off: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecoveredConnection {
    pub(crate) client_id: Box<str>,
    pub(crate) address: Box<str>,
    /// When it ended, if that is known.
    pub(crate) closed_ms: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecoveredClient {
    /// Place of the oldest record that says something of it; 0: a snapshot does, in place of any.
    pub(crate) oldest: Position,
    pub(crate) session: Option<RecoveredSession>,
    pub(crate) subscriptions: BTreeMap<Box<str>, SubscribedOptions>,
    /// In the order of their arrival.
    pub(crate) entries: RecoveredEntries,
    /// Hand-outs of entries that are not done, oldest first.
    pub(crate) handed_out: Vec<(Position, PacketId)>,
    pub(crate) last_handed_out: Option<PacketId>,
    /// Of the entries that are done, what was admitted last under each collapse key.
    pub(crate) seen: BTreeMap<Box<str>, RecoveredSeen>,
    pub(crate) queue_ids: BTreeMap<Box<str>, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecoveredSession {
    pub(crate) account: Box<str>,
    pub(crate) expiry_s: u32,
    /// `None`: it was connected to the end.
    pub(crate) disconnected_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecoveredSeen {
    pub(crate) entry: Position,
    pub(crate) version: u64,
    pub(crate) until_ms: u64,
}

/// Collapse keys of one client that are held before those that are past their time are dropped.
const SEEN_MAX: usize = 1024;

impl Recovery {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes records of kinds for which [`owns`] is true, and ignores all others.
    ///
    /// # Errors
    /// A record of the broker that this version cannot read.
    pub fn apply(&mut self, replayed: ReplayedRecord<'_>) -> Result<(), RecoverError> {
        if !owns(replayed.kind) {
            return Ok(());
        }
        let (kind, position) = (replayed.kind, replayed.position);
        let record =
            record::decode(kind, replayed.payload).map_err(|error| RecoverError { kind, position, what: error.0 })?;
        self.is_cut_off = kind != kind::STOPPED;
        match record {
            // When a copy arrived is long ago.
            Record::Message { .. } if replayed.is_carried => {}
            record => self.apply_record(record, if replayed.is_carried { Position::default() } else { position }),
        }
        Ok(())
    }

    /// How the last run ended. An empty log counts as a clean stop.
    /// The latest time that the log knows; 0: none.
    #[must_use]
    pub fn latest_ms(&self) -> u64 {
        self.last_ms
    }

    pub(crate) fn restart(&self) -> Restart {
        if self.is_cut_off { Restart::Unclean } else { Restart::Clean }
    }

    /// Forgets what a user has under this client id; `false`: nothing, or the session is of a service or of tokens that are
    /// no user's.
    pub(crate) fn end_user(&mut self, client_id: &str) -> bool {
        let session = self.clients.get(client_id).and_then(|client| client.session.as_ref());
        let is_anothers = session.is_some_and(|session| !is_account_of_user(&session.account));
        !is_anothers && self.clients.remove(client_id).is_some()
    }

    /// The client that a record at this place says something of.
    fn client(&mut self, client_id: &str, at: Position) -> &mut RecoveredClient {
        if !self.clients.contains_key(client_id) {
            let client = RecoveredClient { oldest: at, ..RecoveredClient::default() };
            self.clients.insert(client_id.into(), Box::new(client));
        }
        self.clients.get_mut(client_id).expect("it was inserted above")
    }

    fn see_time(&mut self, at_ms: u64) {
        self.last_ms = at_ms;
    }

    fn apply_record(&mut self, record: Record<'_>, at: Position) {
        match record {
            Record::Message { arrived_ms } => self.see_time(arrived_ms),
            Record::Reference(reference) => self.client(reference.client_id, at).refer(&reference),
            Record::Removed { client_id, messages } => self.remove(client_id, messages, at),
            Record::HandedOut { client_id, packets } => {
                let client = self.client(client_id, at);
                packets.into_iter().for_each(|(message, id)| client.hand_out(message, id));
            }
            Record::Session(session) => self.client(session.client_id, at).set_session(session),
            Record::SessionGone { client_id } => drop(self.clients.remove(client_id)),
            Record::Subscribed { client_id, filter, options } => {
                self.client(client_id, at).subscriptions.insert(filter.into(), options);
            }
            Record::Unsubscribed { client_id, filter } => {
                self.client(client_id, at).subscriptions.remove(filter);
            }
            Record::Opened { client_id, connection_id, at_ms, address } => {
                self.open(client_id, connection_id, at_ms, address);
            }
            Record::Closed { client_id, connection_id, at_ms } => self.close(client_id, connection_id, at_ms),
            Record::EventSent { connection_id } => drop(self.connections.remove(connection_id)),
            Record::QueueIdSeen { client_id, until_ms, id } => {
                self.client(client_id, at).queue_ids.insert(id.into(), until_ms);
            }
            Record::Stopped { at_ms } => self.see_time(at_ms),
            Record::Started { at_ms } => self.start(at_ms),
            Record::Collapsed(collapsed) => {
                let CollapsedRecord { client_id, entry, version, until_ms, key } = collapsed;
                let (seen, now_ms) = (RecoveredSeen { entry, version, until_ms }, self.last_ms);
                self.client(client_id, at).see(key.into(), seen, now_ms);
            }
            Record::InFlight { client_id, last, packets } => self.client(client_id, at).set_in_flight(last, packets),
            Record::SessionState { session, disconnected_ms } => {
                let (account, expiry_s) = (session.account.into(), session.expiry_s);
                self.client(session.client_id, at).session =
                    Some(RecoveredSession { account, expiry_s, disconnected_ms });
            }
            Record::Connection(connection) => self.set_connection(connection),
            Record::LatestTime { at_ms } => self.see_time(at_ms),
        }
    }

    fn remove(&mut self, client_id: &str, messages: Vec<Position>, at: Position) {
        let now_ms = self.last_ms;
        let client = self.client(client_id, at);
        messages.into_iter().for_each(|message| client.remove(message, now_ms));
    }

    /// What the run before left open ended at the latest now.
    fn start(&mut self, at_ms: u64) {
        self.see_time(at_ms);
        self.open.clear();
        for connection in self.connections.values_mut() {
            connection.closed_ms.get_or_insert(at_ms);
        }
        for session in self.clients.values_mut().filter_map(|client| client.session.as_mut()) {
            session.disconnected_ms.get_or_insert(at_ms);
        }
    }

    fn open(&mut self, client_id: &str, connection_id: &str, at_ms: u64, address: &str) {
        self.see_time(at_ms);
        self.set_connection(ConnectionRecord { client_id, connection_id, address, closed_ms: None });
        if let Some(session) = self.clients.get_mut(client_id).and_then(|client| client.session.as_mut()) {
            session.disconnected_ms = None;
        }
    }

    /// A session is disconnected when the last of its connections has closed: a take-over closes the old one late.
    fn close(&mut self, client_id: &str, connection_id: &str, at_ms: u64) {
        self.see_time(at_ms);
        if let Some(connection) = self.connections.get_mut(connection_id) {
            connection.closed_ms = Some(at_ms);
        }
        self.forget_open(client_id, connection_id, at_ms);
    }

    /// When its client was disconnected is the session's to say, unless it was known as open: one that ends while a snapshot is
    /// written is in it twice.
    fn set_connection(&mut self, connection: ConnectionRecord<'_>) {
        let ConnectionRecord { client_id, connection_id, address, closed_ms } = connection;
        let connection = RecoveredConnection { client_id: client_id.into(), address: address.into(), closed_ms };
        self.connections.insert(connection_id.into(), connection);
        match closed_ms {
            None => _ = self.open.entry(client_id.into()).or_default().insert(connection_id.into()),
            Some(closed_ms) => self.forget_open(client_id, connection_id, closed_ms),
        }
    }

    /// With the last one its client is disconnected.
    fn forget_open(&mut self, client_id: &str, connection_id: &str, closed_ms: u64) {
        let Some(open) = self.open.get_mut(client_id) else { return };
        if !(open.remove(connection_id) && open.is_empty()) {
            return;
        }
        self.open.remove(client_id);
        if let Some(session) = self.clients.get_mut(client_id).and_then(|client| client.session.as_mut()) {
            session.disconnected_ms = Some(closed_ms);
        }
    }
}

impl RecoveredClient {
    fn disconnected_ms(&self) -> Option<u64> {
        self.session.as_ref().and_then(|session| session.disconnected_ms)
    }

    fn set_session(&mut self, session: SessionRecord<'_>) {
        let (account, disconnected_ms) = (session.account.into(), self.disconnected_ms());
        self.session = Some(RecoveredSession { account, expiry_s: session.expiry_s, disconnected_ms });
    }

    fn refer(&mut self, reference: &Reference<'_>) {
        let collapse = reference.collapse.map(|(key, version)| Box::new(Collapse { key: key.into(), version }));
        let entry = RecoveredEntry {
            size: reference.size,
            expires_at_ms: reference.expires_at_ms,
            urgent: reference.urgent,
            collapse,
            subscription_ids: reference.subscription_ids.as_slice().into(),
        };
        self.entries.insert(reference.message, entry);
        if let Some(packet_id) = reference.packet_id {
            self.hand_out(reference.message, packet_id);
        }
    }

    fn hand_out(&mut self, message: Position, packet_id: PacketId) {
        self.last_handed_out = Some(packet_id);
        if self.entries.contains(message) {
            self.handed_out.retain(|(known, _)| *known != message);
            self.handed_out.push((message, packet_id));
        }
    }

    /// In place of what is known of hand-outs.
    fn set_in_flight(&mut self, last: PacketId, packets: Vec<(Position, PacketId)>) {
        self.handed_out.clear();
        packets.into_iter().for_each(|(message, id)| self.hand_out(message, id));
        self.last_handed_out = Some(last);
    }

    fn remove(&mut self, message: Position, now_ms: u64) {
        self.handed_out.retain(|(known, _)| *known != message);
        let Some(entry) = self.entries.remove(message) else { return };
        let Some(collapse) = entry.collapse else { return };
        let Collapse { key, version } = *collapse;
        self.see(key, RecoveredSeen { entry: message, version, until_ms: entry.expires_at_ms }, now_ms);
    }

    /// Of a key the entry that came last is remembered, whatever order they are done in.
    fn see(&mut self, key: Box<str>, new: RecoveredSeen, now_ms: u64) {
        if self.seen.len() >= SEEN_MAX {
            self.seen.retain(|_, seen| seen.until_ms > now_ms);
        }
        if self.seen.get(&key).is_none_or(|seen| seen.entry < new.entry) {
            self.seen.insert(key, new);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use crate::store::histories::{histories, recover, state_of};
    use proptest::prelude::*;

    fn id(id: u16) -> PacketId {
        PacketId::new(id).unwrap()
    }

    fn feed(recovery: &mut Recovery, kind: u8, payload: &[u8]) {
        recovery.apply(ReplayedRecord { kind, owner: 0, position: Position(1), is_carried: false, payload }).unwrap();
    }

    fn reference(at: u64, packet_id: Option<PacketId>, collapse: Option<(&'static str, u64)>) -> Vec<u8> {
        let reference = Reference {
            client_id: "c",
            message: Position(at),
            packet_id,
            urgent: false,
            retain_as_published: false,
            size: 1,
            expires_at_ms: 1000,
            collapse,
            subscription_ids: vec![],
        };
        reference.encode_whole()
    }

    fn session(expiry_s: u32) -> Vec<u8> {
        record::encode_session(SessionRecord { client_id: "c", account: "user:c", expiry_s })
    }

    #[test]
    fn what_was_removed_is_gone_but_its_collapse_key_is_remembered() {
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::REFERENCE, &reference(10, None, Some(("k", 3))));
        feed(&mut recovery, kind::REFERENCE, &reference(20, None, None));
        feed(&mut recovery, kind::REMOVED, &record::encode_removed("c", &[Position(10)]));
        let client = &recovery.clients["c"];
        assert_eq!(client.entries.iter().map(|(message, _)| message).collect::<Vec<_>>(), [Position(20)]);
        let seen = RecoveredSeen { entry: Position(10), version: 3, until_ms: 1000 };
        assert_eq!(client.seen, BTreeMap::from([("k".into(), seen)]));
    }

    #[test]
    fn of_a_collapse_key_the_entry_that_came_last_is_remembered_whatever_order_they_are_done_in() {
        let collapsed = |entry| {
            let entry = Position(entry);
            record::encode_collapsed(CollapsedRecord { client_id: "c", entry, version: 1, until_ms: 1000, key: "k" })
        };
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::REFERENCE, &reference(10, None, Some(("k", 1))));
        feed(&mut recovery, kind::REFERENCE, &reference(20, None, Some(("k", 2))));
        feed(&mut recovery, kind::REMOVED, &record::encode_removed("c", &[Position(20), Position(10)]));
        feed(&mut recovery, kind::COLLAPSED, &collapsed(15));
        assert_eq!(recovery.clients["c"].seen["k"].entry, Position(20));
        feed(&mut recovery, kind::COLLAPSED, &collapsed(30));
        assert_eq!(recovery.clients["c"].seen["k"].entry, Position(30));
    }

    #[test]
    fn collapse_keys_that_are_past_their_time_take_no_memory_while_the_log_is_read() {
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::STARTED, &record::encode_started(2000));
        for at in 1..10_000 {
            let key: &'static str = format!("k{at}").leak();
            feed(&mut recovery, kind::REFERENCE, &reference(at, None, Some((key, 1))));
            feed(&mut recovery, kind::REMOVED, &record::encode_removed("c", &[Position(at)]));
        }
        assert!(recovery.clients["c"].seen.len() <= SEEN_MAX);
    }

    #[test]
    fn collapse_keys_that_live_are_kept_although_the_clock_was_once_ahead() {
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::STARTED, &record::encode_started(1_000_000));
        feed(&mut recovery, kind::STARTED, &record::encode_started(500));
        for at in 1..1026 {
            let key: &'static str = format!("k{at}").leak();
            feed(&mut recovery, kind::REFERENCE, &reference(at, None, Some((key, 1))));
            feed(&mut recovery, kind::REMOVED, &record::encode_removed("c", &[Position(at)]));
        }
        assert_eq!(recovery.clients["c"].seen.len(), 1025, "all live until 1000, it is 500");
    }

    #[test]
    fn a_start_ends_what_the_run_before_left_open() {
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::SESSION, &session(60));
        feed(&mut recovery, kind::OPENED, &record::encode_opened("c", "lost", 1, "a"));
        feed(&mut recovery, kind::STARTED, &record::encode_started(50));
        assert_eq!(recovery.clients["c"].disconnected_ms(), Some(50));
        assert_eq!(recovery.connections["lost"].closed_ms, Some(50));
        feed(&mut recovery, kind::EVENT_SENT, &record::encode_event_sent("lost"));
        feed(&mut recovery, kind::OPENED, &record::encode_opened("c", "new", 60, "a"));
        assert_eq!(recovery.clients["c"].disconnected_ms(), None);
        feed(&mut recovery, kind::CLOSED, &record::encode_closed("c", "new", 70));
        assert_eq!(recovery.clients["c"].disconnected_ms(), Some(70));
    }

    #[test]
    fn hand_outs_keep_their_ids_and_their_order() {
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::REFERENCE, &reference(10, None, None));
        feed(&mut recovery, kind::REFERENCE, &reference(20, Some(id(5)), None));
        feed(&mut recovery, kind::HANDED_OUT, &record::encode_handed_out("c", &[(Position(10), id(6))]));
        feed(&mut recovery, kind::REFERENCE, &reference(30, Some(id(7)), None));
        feed(&mut recovery, kind::REMOVED, &record::encode_removed("c", &[Position(30)]));
        let client = &recovery.clients["c"];
        assert_eq!(client.handed_out, [(Position(20), id(5)), (Position(10), id(6))]);
        assert_eq!(client.last_handed_out, Some(id(7)));
    }

    #[test]
    fn a_session_is_disconnected_when_its_last_connection_closed() {
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::SESSION, &session(60));
        feed(&mut recovery, kind::OPENED, &record::encode_opened("c", "old", 1, "a"));
        feed(&mut recovery, kind::OPENED, &record::encode_opened("c", "new", 2, "b"));
        feed(&mut recovery, kind::CLOSED, &record::encode_closed("c", "old", 3));
        assert_eq!(recovery.clients["c"].disconnected_ms(), None);
        feed(&mut recovery, kind::CLOSED, &record::encode_closed("c", "new", 4));
        assert_eq!(recovery.clients["c"].disconnected_ms(), Some(4));
        feed(&mut recovery, kind::EVENT_SENT, &record::encode_event_sent("old"));
        assert_eq!(recovery.connections.keys().map(|key| &**key).collect::<Vec<_>>(), ["new"]);
        assert_eq!(recovery.last_ms, 4);
    }

    #[test]
    fn a_connection_that_is_read_twice_is_one() {
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::SESSION, &session(60));
        for _ in 0..2 {
            feed(&mut recovery, kind::OPENED, &record::encode_opened("c", "one", 1, "a"));
        }
        feed(&mut recovery, kind::CLOSED, &record::encode_closed("c", "one", 2));
        assert_eq!(recovery.clients["c"].disconnected_ms(), Some(2));
    }

    #[test]
    fn the_end_of_a_connection_that_is_read_again_does_not_change_when_its_client_went() {
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::SESSION, &session(60));
        feed(&mut recovery, kind::OPENED, &record::encode_opened("c", "old", 1, "a"));
        for _ in 0..2 {
            feed(&mut recovery, kind::OPENED, &record::encode_opened("c", "new", 2, "a"));
            feed(&mut recovery, kind::CLOSED, &record::encode_closed("c", "old", 3));
            feed(&mut recovery, kind::STARTED, &record::encode_started(4));
            feed(&mut recovery, kind::CLOSED, &record::encode_closed("c", "old", 3));
            assert_eq!(recovery.clients["c"].disconnected_ms(), Some(4));
        }
    }

    #[test]
    fn a_client_went_when_its_connection_ended_also_if_that_was_while_a_snapshot_was_written() {
        let session = SessionRecord { client_id: "c", account: "user:c", expiry_s: 60 };
        let connection = |closed_ms| {
            let (client_id, connection_id, address) = ("c", "one", "a");
            record::encode_connection(ConnectionRecord { client_id, connection_id, address, closed_ms })
        };
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::CONNECTION, &connection(None));
        feed(&mut recovery, kind::SESSION_STATE, &record::encode_session_state(session, None));
        feed(&mut recovery, kind::CONNECTION, &connection(Some(5)));
        // The log behind the snapshot's place.
        feed(&mut recovery, kind::CLOSED, &record::encode_closed("c", "one", 5));
        assert_eq!(recovery.clients["c"].disconnected_ms(), Some(5));
    }

    #[test]
    fn a_session_that_is_gone_takes_its_inbox_with_it() {
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::SESSION, &session(60));
        feed(&mut recovery, kind::REFERENCE, &reference(10, None, Some(("k", 1))));
        feed(&mut recovery, kind::SESSION_GONE, &record::encode_session_gone("c"));
        assert!(recovery.clients.is_empty());
    }

    #[test]
    fn only_a_stop_that_nothing_follows_is_clean() {
        let mut recovery = Recovery::new();
        assert_eq!(recovery.restart(), Restart::Clean);
        feed(&mut recovery, kind::STOPPED, &record::encode_stopped(1));
        assert_eq!(recovery.restart(), Restart::Clean);
        feed(&mut recovery, kind::STARTED, &record::encode_started(2));
        assert_eq!(recovery.restart(), Restart::Unclean);
    }

    #[test]
    fn the_copy_of_an_old_message_does_not_set_the_time_back() {
        let mut recovery = Recovery::new();
        feed(&mut recovery, kind::STARTED, &record::encode_started(2000));
        let payload = &1000u64.to_le_bytes();
        let message =
            |is_carried| ReplayedRecord { kind: kind::MESSAGE, owner: 0, position: Position(1), is_carried, payload };
        recovery.apply(message(true)).unwrap();
        assert_eq!(recovery.last_ms, 2000);
        recovery.apply(message(false)).unwrap();
        assert_eq!(recovery.last_ms, 1000, "the clock was set back");
    }

    #[test]
    fn a_client_begins_with_its_oldest_record_and_again_behind_the_end_of_its_session() {
        let mut recovery = Recovery::new();
        let mut feed = |at, kind, is_carried, payload: &[u8]| {
            recovery.apply(ReplayedRecord { kind, owner: 0, position: Position(at), is_carried, payload }).unwrap();
            recovery.clients.get("c").map(|client| client.oldest)
        };
        assert_eq!(feed(5, kind::SESSION, false, &session(60)), Some(Position(5)));
        assert_eq!(feed(7, kind::SESSION, false, &session(90)), Some(Position(5)));
        assert_eq!(feed(8, kind::SESSION_GONE, false, &record::encode_session_gone("c")), None);
        assert_eq!(feed(9, kind::SESSION, false, &session(60)), Some(Position(9)));
        feed(10, kind::SESSION_GONE, false, &record::encode_session_gone("c"));
        assert_eq!(feed(3, kind::SESSION, true, &session(60)), Some(Position(0)), "of a snapshot");
    }

    #[test]
    fn a_record_that_cannot_be_read_stops_the_start() {
        let replayed =
            ReplayedRecord { kind: kind::SESSION, owner: 0, position: Position(9), is_carried: false, payload: &[1] };
        let error = Recovery::new().apply(replayed).unwrap_err();
        assert_eq!((error.kind, error.position), (kind::SESSION, Position(9)));
    }

    /// What a start makes of it, but how the last run ended, which no state says.
    fn known(mut recovery: Recovery) -> Recovery {
        for client in recovery.clients.values_mut() {
            client.last_handed_out.get_or_insert(PacketId::MAX);
        }
        Recovery { is_cut_off: true, ..recovery }
    }

    proptest! {
        #[test]
        fn a_state_takes_the_place_of_all_that_was_before(
            history in histories(60),
            at in any::<prop::sample::Index>(),
        ) {
            let (past, ahead) = history.split_at(at.index(history.len() + 1));
            let state = state_of(&recover(past), None);
            let from_the_state = recover(std::iter::once(&state).chain(ahead));
            prop_assert_eq!(known(from_the_state), known(recover(&history)));
        }

        #[test]
        fn any_part_of_a_state_over_what_it_was_made_from_changes_nothing(
            history in histories(60),
            at in any::<prop::sample::Index>(),
            kept in prop::collection::vec(any::<bool>(), 100),
        ) {
            let (past, ahead) = history.split_at(at.index(history.len() + 1));
            let whole = state_of(&recover(past), None);
            let part = whole.into_iter().zip(kept.into_iter().cycle()).filter(|(_, kept)| *kept);
            let part = part.map(|(record, _)| record).collect();
            let both = recover(past.iter().chain(std::iter::once(&part)).chain(ahead));
            prop_assert_eq!(known(both), known(recover(&history)));
        }

        #[test]
        fn a_stretch_that_is_read_over_a_state_which_contains_it_changes_nothing(
            history in histories(60),
            from in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
        ) {
            let to = to.index(history.len() + 1);
            let from = from.index(to + 1);
            let (read, ahead) = history.split_at(to);
            let again = recover(read.iter().chain(&history[from..to]).chain(ahead));
            prop_assert_eq!(again, recover(&history));
        }
    }
}
