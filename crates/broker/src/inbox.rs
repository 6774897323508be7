//! What waits for one client: order, collapse, expiry and limits. Pure: no log, no socket, no clock.
//!
//! What it is: the entries of one client id around [`Session`], which orders them and knows what is in flight. An entry
//! refers to a message; the caller can turn it into one. What it is not: durable. The caller writes to the log what
//! [`Inbox::admit`] has allowed, and only then inserts it.
//!
//! Collapse: of the messages of one key only the highest version waits. Key and version are remembered until the
//! message's expiry, also when it has been delivered, so that a lower version that comes late is dropped. What is in
//! flight stays in flight [MQTT5-4.4.0-1].

mod collapse_keys;
mod correction;
mod entries;
#[cfg(test)]
pub(crate) mod memory;

use std::collections::HashSet;

use commitlog::Position;
use mqtt::PacketId;
use mqtt::server::{HandOut, Priority, Session, SessionLimits};

use crate::message::{Collapse, SharedMessage};
use crate::messages_by_id::MessageSize as _;
use crate::over::Over;
use collapse_keys::{CollapseKeys, Seen};
use entries::Entries;

#[cfg(test)]
pub(crate) use collapse_keys::KEYS_MAX;
pub(crate) use correction::Correction;

/// Names an entry within its inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(u64);

const VOLATILE: u64 = 1 << 63;

impl EntryId {
    /// An entry whose message is in the log.
    pub(crate) fn logged(position: Position) -> Self {
        Self(position.0)
    }

    /// An entry that lives in memory only; `number` is never used again.
    pub(crate) fn volatile(number: u64) -> Self {
        Self(number | VOLATILE)
    }

    /// Where its message is in the log.
    pub(crate) fn position(self) -> Option<Position> {
        (self.0 & VOLATILE == 0).then_some(Position(self.0))
    }
}

/// One message for this client.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Of an entry that lives in memory only; every other message is read from the log.
    pub(crate) message: Option<SharedMessage>,
    pub(crate) size: u32,
    /// The earlier of the message's own expiry and the end of the retention.
    pub(crate) expires_at_ms: u64,
    pub(crate) collapse: Option<Box<Collapse>>,
    pub(crate) subscription_ids: Box<[u32]>,
    pub(crate) urgent: bool,
}

impl Entry {
    fn priority(&self) -> Priority {
        if self.urgent { Priority::Urgent } else { Priority::Normal }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct InboxLimits {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: u64,
    pub(crate) session: SessionLimits,
}

/// Whether a message may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// `replaces` waits and goes when the new one comes.
    Accept {
        replaces: Option<EntryId>,
    },
    /// A version that is as high or higher was here: this one.
    Superseded {
        by: EntryId,
    },
    Full,
}

/// An entry that is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) id: EntryId,
    pub(crate) size: u32,
}

/// An entry that goes to the client now.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: EntryId,
    /// Of an entry that lives in memory only.
    pub(crate) message: Option<SharedMessage>,
    pub(crate) subscription_ids: Box<[u32]>,
    pub(crate) packet_id: PacketId,
    pub(crate) dup: bool,
    /// Its hand-out was not known before.
    pub(crate) is_first: bool,
}

/// What waits or is in flight, and whose message is in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoggedEntry<'a> {
    pub(crate) message: Position,
    pub(crate) size: u32,
    pub(crate) expires_at_ms: u64,
    pub(crate) urgent: bool,
    /// Its key and version, if it is the last one under that key.
    pub(crate) collapse: Option<(&'a str, u64)>,
    pub(crate) subscription_ids: &'a [u32],
}

/// What is remembered under a collapse key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenKey<'a> {
    pub(crate) key: &'a str,
    pub(crate) version: u64,
    /// Of this entry, whether or not it is done.
    pub(crate) entry: EntryId,
    pub(crate) until_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) session: Session<EntryId>,
    entries: Entries,
    collapse_keys: CollapseKeys,
}

impl Inbox {
    pub(crate) fn new(limits: &InboxLimits) -> Self {
        let session = Session::new(limits.session);
        Self { session, entries: Entries::default(), collapse_keys: CollapseKeys::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries.bytes()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Positions and sizes of the messages that wait in the log, rising.
    pub(crate) fn logged(&self) -> impl Iterator<Item = (Position, u32)> {
        self.logged_after(None)
    }

    /// The same of those behind this one.
    pub(crate) fn logged_after(&self, after: Option<Position>) -> impl Iterator<Item = (Position, u32)> {
        let behind = self.entries.iter_after(after.map(EntryId::logged));
        behind.map_while(|(id, entry)| Some((id.position()?, entry.size())))
    }

    /// So many of them with all that the log has to say of each. Looks at each collapse key once.
    pub(crate) fn logged_entries(&self, after: Option<Position>, count: usize) -> Vec<LoggedEntry<'_>> {
        let behind = self.entries.iter_after(after.map(EntryId::logged)).take(count);
        let logged = behind.map_while(|(id, entry)| {
            Some(LoggedEntry {
                message: id.position()?,
                size: entry.size(),
                expires_at_ms: entry.expires_at_ms,
                urgent: entry.is_urgent(),
                collapse: None,
                subscription_ids: entry.subscription_ids(),
            })
        });
        let mut logged: Vec<_> = logged.collect();
        let (first, last) = (logged.first().map(|entry| entry.message), logged.last().map(|entry| entry.message));
        for SeenKey { key, version, entry, .. } in self.collapse_keys_after(None) {
            let message = entry.position().filter(|message| first <= Some(*message) && Some(*message) <= last);
            if let Some(message) = message
                && let Ok(at) = logged.binary_search_by_key(&message, |entry| entry.message)
            {
                logged[at].collapse = Some((key, version));
            }
        }
        logged
    }

    pub(crate) fn admit(&self, size: u32, collapse: Option<&Collapse>, limits: &InboxLimits, over: Over) -> Admission {
        let replaces = match collapse.and_then(|wish| Some((wish, self.collapse_keys.find(&wish.key, over)?))) {
            Some((wish, seen)) if wish.version <= seen.version => return Admission::Superseded { by: seen.entry },
            Some((_, seen)) => Some(seen.entry).filter(|id| self.is_waiting(*id)),
            None => None,
        };
        let freed = replaces.and_then(|id| self.entries.get(id)).map(|entry| entry.size());
        let messages = self.entries.len() - usize::from(freed.is_some());
        let bytes = self.bytes() - u64::from(freed.unwrap_or(0)) + u64::from(size);
        if messages >= limits.messages_max || bytes > limits.bytes_max {
            return Admission::Full;
        }
        Admission::Accept { replaces }
    }

    pub(crate) fn is_waiting(&self, id: EntryId) -> bool {
        self.entries.contains(id) && !self.session.in_flight().any(|(entry, _)| entry == id)
    }

    /// Puts in what was admitted, and takes out what it replaces.
    pub(crate) fn insert(&mut self, id: EntryId, entry: Entry, replaces: Option<EntryId>) -> Option<Gone> {
        let gone = replaces.and_then(|old| self.drop_waiting(old));
        if self.session.push(id, entry.priority()).is_ok() {
            self.keep(id, entry);
        }
        gone
    }

    /// Puts back what the log holds; see [`Session::restore`] for the order of the calls.
    pub(crate) fn restore(&mut self, id: EntryId, entry: Entry, packet_id: Option<PacketId>) {
        self.session.restore(id, packet_id, entry.priority());
        self.keep(id, entry);
    }

    /// Puts back a collapse key whose message has gone.
    pub(crate) fn restore_seen(&mut self, id: EntryId, collapse: &Collapse, until_ms: u64) {
        self.collapse_keys.remember(id, collapse, until_ms);
    }

    fn keep(&mut self, id: EntryId, mut entry: Entry) {
        if id.position().is_some() {
            entry.message = None;
        }
        if let Some(collapse) = entry.collapse.as_deref() {
            self.collapse_keys.remember(id, collapse, entry.expires_at_ms);
        }
        self.entries.insert(id, entry.into());
    }

    fn drop_waiting(&mut self, id: EntryId) -> Option<Gone> {
        self.session.retain_waiting(|waiting| *waiting != id);
        self.take(id).map(|size| Gone { id, size })
    }

    /// Takes an entry out; returns its size.
    fn take(&mut self, id: EntryId) -> Option<u32> {
        Some(self.entries.remove(id)?.size())
    }

    /// The next entry for the client while its window is open. Entries that have expired before their first hand-out
    /// go to `expired` instead; what was in flight is sent again whatever its age [MQTT5-4.4.0-1].
    pub(crate) fn hand_out(&mut self, over: Over, expired: &mut Vec<Gone>) -> Option<Outgoing> {
        loop {
            let out = self.session.hand_out()?;
            let is_first = out.is_first;
            let entry = self.entries.get(out.entry);
            match entry {
                Some(entry) if !is_first || !over.is_over(entry.expires_at_ms) => {
                    let (id, packet_id, dup) = (out.entry, out.packet_id, out.dup);
                    let (message, subscription_ids) = (entry.message().cloned(), entry.subscription_ids().into());
                    return Some(Outgoing { id, message, subscription_ids, packet_id, dup, is_first });
                }
                _ => {
                    expired.extend(self.ack(out.packet_id));
                }
            }
        }
    }

    /// Undoes the last hand-out, whose message is not there to be sent.
    pub(crate) fn take_back(&mut self, last: &Outgoing) {
        let &Outgoing { id: entry, packet_id, dup, is_first, .. } = last;
        self.session.take_back(HandOut { entry, packet_id, dup, is_first });
    }

    /// What is handed out next, where its messages are in the log: as much as the window takes and `bytes_max`, or one.
    /// Positions rise.
    pub(crate) fn next_in_log(&self, bytes_max: u64) -> Vec<Position> {
        let upcoming = self.session.upcoming().filter_map(|id| Some((id.position()?, self.entries.get(id)?.size())));
        let mut bytes = 0;
        let fits = upcoming.take_while(|(_, size)| {
            let is_first = bytes == 0;
            bytes += u64::from(*size);
            is_first || bytes <= bytes_max
        });
        let mut positions: Vec<Position> = fits.map(|(position, _)| position).collect();
        positions.sort_unstable();
        positions
    }

    /// The client has it, or it need not be sent: the entry is done. Returns its size too.
    pub(crate) fn ack(&mut self, packet_id: PacketId) -> Option<Gone> {
        let id = self.session.ack(packet_id)?;
        let size = self.take(id).unwrap_or(0);
        Some(Gone { id, size })
    }

    /// Forgets what has expired while it waited. Returns the entries that went.
    pub(crate) fn sweep(&mut self, over: Over) -> Vec<Gone> {
        self.collapse_keys.sweep(over);
        let (session, entries) = (&mut self.session, &self.entries);
        let mut expired = Vec::new();
        session.retain_waiting(|id| {
            let is_over = entries.get(*id).is_none_or(|entry| over.is_over(entry.expires_at_ms));
            if is_over {
                expired.push(*id);
            }
            !is_over
        });
        expired.sort_unstable();
        let gone: Vec<Gone> =
            self.entries.remove_all(&expired).into_iter().map(|(id, size)| Gone { id, size }).collect();
        if !gone.is_empty() {
            self.shrink();
        }
        gone
    }

    /// Takes out all but what was sent on this connection, whose acknowledgement may be on the way. Collapse keys stay: what
    /// is older than what went does not come in either.
    pub(crate) fn purge(&mut self) -> Vec<Gone> {
        self.session.discard();
        let sent: HashSet<EntryId> = self.session.in_flight().map(|(id, _)| id).collect();
        let ids: Vec<EntryId> = self.entries.iter().map(|(id, _)| id).filter(|id| !sent.contains(id)).collect();
        let gone = self.entries.remove_all(&ids).into_iter().map(|(id, size)| Gone { id, size }).collect();
        self.shrink();
        gone
    }

    /// When the first of what waits expires, or of the collapse keys. What is in flight does not.
    pub(crate) fn earliest_deadline_ms(&self) -> Option<u64> {
        let waiting = self.session.waiting().filter_map(|id| Some(self.entries.get(id)?.expires_at_ms));
        waiting.chain(self.collapse_keys.earliest_deadline_ms()).min()
    }

    pub(crate) fn correct_deadlines(&mut self, correction: Correction) {
        self.entries.iter_mut().for_each(|(_, entry)| correction.apply(&mut entry.expires_at_ms));
        self.collapse_keys.correct_deadlines(correction);
    }

    /// Gives memory of past traffic back.
    pub(crate) fn shrink(&mut self) {
        self.session.shrink();
        self.entries.shrink();
    }

    pub(crate) fn contains(&self, id: EntryId) -> bool {
        self.entries.contains(id)
    }

    /// What [`Self::restore_seen`] takes, also of the entries that are there: the keys behind this one, in their order.
    pub(crate) fn collapse_keys_after(&self, after: Option<&str>) -> impl Iterator<Item = SeenKey<'_>> {
        let behind = self.collapse_keys.iter_after(after);
        behind.map(|(key, Seen { version, entry, until_ms })| SeenKey { key, version, entry, until_ms })
    }

    /// One more collapse key takes the place of another one.
    pub(crate) fn is_full_of_collapse_keys(&self) -> bool {
        self.collapse_keys.is_full()
    }

    pub(crate) fn has_collapse_keys(&self) -> bool {
        !self.collapse_keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use crate::message::Message;
    use proptest::prelude::*;

    const LIMITS: InboxLimits = InboxLimits {
        messages_max: 4,
        bytes_max: 100,
        session: SessionLimits { send_window: 2, kept_for_normal: 0, waiting_max: u32::MAX, subscriptions_max: 1 },
    };

    fn entry(size: u32, expires_at_ms: u64, collapse: Option<(&str, u64)>) -> Entry {
        Entry {
            message: None,
            size,
            expires_at_ms,
            collapse: collapse.map(|(key, version)| Box::new(Collapse { key: key.into(), version })),
            subscription_ids: Box::default(),
            urgent: false,
        }
    }

    fn id(position: u64) -> EntryId {
        EntryId::logged(Position(position))
    }

    fn put(inbox: &mut Inbox, at: u64, entry: Entry, now_ms: u64) -> Admission {
        let admission = inbox.admit(entry.size, entry.collapse.as_deref(), &LIMITS, Over::by(now_ms));
        if let Admission::Accept { replaces } = admission {
            inbox.insert(id(at), entry, replaces);
        }
        admission
    }

    fn drain(inbox: &mut Inbox, now_ms: u64) -> Vec<u64> {
        let mut expired = Vec::new();
        let mut order = Vec::new();
        while let Some(out) = inbox.hand_out(Over::by(now_ms), &mut expired) {
            order.push(out.id.0);
            inbox.ack(out.packet_id);
        }
        order
    }

    #[test]
    fn what_is_held_is_handed_out_and_what_has_expired_behind_it_is_not() {
        let mut inbox = Inbox::new(&LIMITS);
        put(&mut inbox, 1, entry(1, 30, Some(("held", 7))), 0);
        put(&mut inbox, 2, entry(1, 70, Some(("over", 7))), 0);
        let over = Over::new(100, crate::over::Held { from_ms: 20, until_ms: 60 });
        assert_eq!(inbox.sweep(over), [Gone { id: id(2), size: 1 }]);
        let wish = |key: &str| Collapse { key: key.into(), version: 6 };
        assert_eq!(inbox.admit(1, Some(&wish("held")), &LIMITS, over), Admission::Superseded { by: id(1) });
        assert_eq!(inbox.admit(1, Some(&wish("over")), &LIMITS, over), Admission::Accept { replaces: None });
        inbox.session.connected(10);
        assert_eq!(inbox.hand_out(over, &mut Vec::new()).map(|out| out.id), Some(id(1)));
    }

    #[test]
    fn of_one_key_only_the_highest_version_waits_whatever_order_they_come_in() {
        for (versions, expected) in [([1, 2, 3], vec![3]), ([3, 1, 2], vec![1]), ([2, 3, 1], vec![2])] {
            let mut inbox = Inbox::new(&LIMITS);
            for (at, version) in (1..).zip(versions) {
                put(&mut inbox, at, entry(1, 1000, Some(("k", version))), 0);
            }
            inbox.session.connected(10);
            assert_eq!(drain(&mut inbox, 0), expected, "{versions:?}");
            assert_eq!((inbox.len(), inbox.bytes()), (0, 0));
        }
    }

    #[test]
    fn a_delivered_key_is_remembered_until_its_expiry() {
        let mut inbox = Inbox::new(&LIMITS);
        put(&mut inbox, 1, entry(1, 1000, Some(("k", 7))), 0);
        inbox.session.connected(10);
        assert_eq!(drain(&mut inbox, 0), [1]);
        assert_eq!(put(&mut inbox, 2, entry(1, 1000, Some(("k", 7))), 999), Admission::Superseded { by: id(1) });
        assert_eq!(put(&mut inbox, 3, entry(1, 2000, Some(("k", 6))), 1000), Admission::Accept { replaces: None });
        assert_eq!(put(&mut inbox, 4, entry(1, 2000, Some(("k", 6))), 1001), Admission::Superseded { by: id(3) });
    }

    #[test]
    fn what_was_admitted_last_is_remembered_whatever_order_it_is_restored_in() {
        let mut inbox = Inbox::new(&LIMITS);
        inbox.restore(id(2), entry(1, 1000, Some(("k", 8))), None);
        inbox.restore_seen(id(1), &Collapse { key: "k".into(), version: 7 }, 1000);
        inbox.restore_seen(id(4), &Collapse { key: "l".into(), version: 2 }, 1000);
        inbox.restore(id(3), entry(1, 1000, Some(("l", 1))), None);
        assert_eq!(put(&mut inbox, 5, entry(1, 1000, Some(("k", 8))), 0), Admission::Superseded { by: id(2) });
        assert_eq!(put(&mut inbox, 6, entry(1, 1000, Some(("l", 2))), 0), Admission::Superseded { by: id(4) });
    }

    #[test]
    fn what_is_in_flight_stays_in_flight_and_the_newer_version_follows() {
        let mut inbox = Inbox::new(&LIMITS);
        put(&mut inbox, 1, entry(1, 1000, Some(("k", 1))), 0);
        inbox.session.connected(10);
        let first = inbox.hand_out(Over::by(0), &mut Vec::new()).unwrap();
        assert_eq!(put(&mut inbox, 2, entry(1, 1000, Some(("k", 2))), 0), Admission::Accept { replaces: None });
        inbox.session.disconnected();
        inbox.session.connected(10);
        let again = inbox.hand_out(Over::by(0), &mut Vec::new()).unwrap();
        assert_eq!((again.id, again.packet_id, again.dup), (first.id, first.packet_id, true));
        assert_eq!(inbox.hand_out(Over::by(0), &mut Vec::new()).unwrap().id, id(2));
    }

    #[test]
    fn limits_refuse_by_count_and_by_bytes_but_a_replacement_takes_the_old_place() {
        let mut inbox = Inbox::new(&LIMITS);
        assert_eq!(put(&mut inbox, 1, entry(60, 1000, Some(("k", 1))), 0), Admission::Accept { replaces: None });
        assert_eq!(put(&mut inbox, 2, entry(41, 1000, None), 0), Admission::Full);
        let replaces = Some(id(1));
        assert_eq!(put(&mut inbox, 3, entry(100, 1000, Some(("k", 2))), 0), Admission::Accept { replaces });
        assert_eq!((inbox.len(), inbox.bytes()), (1, 100));
        for at in 4..7 {
            assert_eq!(put(&mut inbox, at, entry(0, 1000, None), 0), Admission::Accept { replaces: None });
        }
        assert_eq!(put(&mut inbox, 7, entry(0, 1000, None), 0), Admission::Full);
    }

    #[test]
    fn expired_entries_are_skipped_and_swept_but_not_while_in_flight() {
        let mut inbox = Inbox::new(&LIMITS);
        put(&mut inbox, 1, entry(1, 10, None), 0);
        put(&mut inbox, 2, entry(1, 10, None), 0);
        put(&mut inbox, 3, entry(1, 50, None), 0);
        inbox.session.connected(1);
        let mut expired = Vec::new();
        assert_eq!(inbox.hand_out(Over::by(5), &mut expired).unwrap().id, id(1));
        assert_eq!(inbox.sweep(Over::by(20)), [Gone { id: id(2), size: 1 }]);
        inbox.session.disconnected();
        inbox.session.connected(2);
        assert_eq!(inbox.hand_out(Over::by(20), &mut expired).unwrap().id, id(1));
        assert_eq!(inbox.hand_out(Over::by(60), &mut expired).map(|out| out.id), None);
        assert_eq!(expired, [Gone { id: id(3), size: 1 }]);
        assert_eq!(inbox.len(), 1);
    }

    #[test]
    fn urgent_entries_go_before_all_others() {
        let mut inbox = Inbox::new(&LIMITS);
        put(&mut inbox, 1, entry(1, 10, None), 0);
        put(&mut inbox, 2, Entry { urgent: true, ..entry(1, 10, None) }, 0);
        inbox.session.connected(10);
        assert_eq!(drain(&mut inbox, 0), [2, 1]);
    }

    #[test]
    fn what_the_log_holds_is_not_held_in_memory_while_it_waits_or_is_in_flight() {
        let mut inbox = Inbox::new(&LIMITS);
        inbox.session.connected(1);
        let message = SharedMessage::from(Message {
            topic: "a".into(),
            properties: Box::default(),
            payload: Box::default(),
            qos: mqtt::QoS::AtLeastOnce,
            arrived_ms: 0,
            expires_at_ms: 1000,
            collapse: None,
        });
        let entry = || Entry { message: Some(message.clone()), ..entry(1, 1000, None) };
        put(&mut inbox, 1, entry(), 0);
        put(&mut inbox, 2, entry(), 0);
        assert!(inbox.hand_out(Over::by(0), &mut Vec::new()).is_some());
        assert_eq!(message.holders(), 1);
        inbox.insert(EntryId::volatile(3), entry(), None);
        assert_eq!(message.holders(), 2, "nothing else has it");
    }

    #[derive(Clone, Debug)]
    enum Act {
        Put(u8, u64),
        HandOut,
        AckOldest,
        Reconnect,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0u8..3, 0u64..6).prop_map(|(key, version)| Act::Put(key, version)),
            Just(Act::HandOut),
            Just(Act::AckOldest),
            Just(Act::Reconnect),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
        /// No waiting entry is older than another of its key, bytes add up, and versions that are handed out first
        /// rise for each key.
        #[test]
        fn versions_of_a_key_rise_on_their_way_to_the_client(acts in prop::collection::vec(act(), 1..60)) {
            let mut inbox = Inbox::new(&LIMITS);
            let mut newest = [None::<u64>; 3];
            let mut put_at = std::collections::BTreeMap::new();
            inbox.session.connected(2);
            for (at, act) in (1u64..).zip(acts) {
                match act {
                    Act::Put(key, version) => {
                        put_at.insert(id(at), (usize::from(key), version));
                        let name = key.to_string();
                        put(&mut inbox, at, entry(3, 1000, Some((name.as_str(), version))), 0);
                    }
                    Act::HandOut => {
                        if let Some(out) = inbox.hand_out(Over::by(0), &mut Vec::new()).filter(|out| out.is_first) {
                            let (key, version) = put_at[&out.id];
                            prop_assert!(newest[key] < Some(version));
                            newest[key] = Some(version);
                        }
                    }
                    Act::AckOldest => {
                        let oldest = inbox.session.in_flight().next();
                        if let Some((_, packet_id)) = oldest {
                            inbox.ack(packet_id);
                        }
                    }
                    Act::Reconnect => {
                        inbox.session.disconnected();
                        inbox.session.connected(2);
                    }
                }
                prop_assert_eq!(inbox.bytes(), 3 * inbox.len() as u64);
                prop_assert_eq!(inbox.len(), inbox.session.waiting_len() + inbox.session.in_flight_len());
            }
        }
    }
}
