//! The place of one client at its worker: its session, what waits for it, and its connection.

use std::collections::BTreeMap;

use commitlog::Position;
use mqtt::server::Restart;

use super::post::LinkKey;
use crate::inbox::{Entry, EntryId, Gone, Inbox, InboxLimits};
use crate::message::Collapse;
use crate::store::{RecoveredClient, RecoveredEntry};

/// Message ids of the queue that one client's inbox remembers.
const QUEUE_IDS_MAX: usize = 10_000;
/// A session that never ends (5.0 section 3.1.2.11.2).
pub(crate) const NEVER_S: u32 = u32::MAX;

pub(crate) struct Seat {
    pub(crate) inbox: Inbox,
    /// `None`: a registered device that has not connected, or whose session ended.
    pub(crate) session: Option<SessionInfo>,
    pub(crate) link: Option<LinkKey>,
    /// Set while disconnected and the session is to end.
    pub(crate) ends_at_ms: Option<u64>,
    /// The log has something of it.
    pub(crate) is_logged: bool,
    /// The session is as the log has it when that is durable up to here.
    pub(crate) settled_at: Position,
    queue_ids: BTreeMap<Box<str>, KnownId>,
}

/// A message of a queue elsewhere that the inbox has had.
#[derive(Clone, Copy, Debug)]
struct KnownId {
    until_ms: u64,
    /// It is so when the log is durable up to here.
    end: Position,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionInfo {
    /// Whose client id it is.
    pub(crate) account: Box<str>,
    /// 0: ends with its connection.
    pub(crate) expiry_s: u32,
}

impl Seat {
    pub(crate) fn new(limits: &InboxLimits) -> Self {
        Self {
            inbox: Inbox::new(limits),
            session: None,
            link: None,
            ends_at_ms: None,
            is_logged: false,
            settled_at: Position::default(),
            queue_ids: BTreeMap::new(),
        }
    }

    /// Whether messages wait for it in the log.
    pub(crate) fn is_persistent(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.expiry_s > 0)
    }

    /// Nothing would be lost with it.
    pub(crate) fn is_empty(&self) -> bool {
        self.session.is_none()
            && self.link.is_none()
            && self.inbox.is_empty()
            && !self.inbox.has_collapse_keys()
            && self.queue_ids.is_empty()
    }

    /// Where it became durable that the inbox has had this message.
    pub(crate) fn knows_queue_id(&self, id: &str) -> Option<Position> {
        self.queue_ids.get(id).map(|known| known.end)
    }

    pub(crate) fn remember_queue_id(&mut self, id: &str, until_ms: u64, end: Position, now_ms: u64) {
        if self.queue_ids.len() >= QUEUE_IDS_MAX {
            self.queue_ids.retain(|_, known| known.until_ms > now_ms);
        }
        if self.queue_ids.len() < QUEUE_IDS_MAX {
            self.queue_ids.insert(id.into(), KnownId { until_ms, end });
        }
    }

    /// Forgets what has had its time. Returns the entries that went.
    pub(crate) fn sweep(&mut self, now_ms: u64) -> Vec<Gone> {
        self.queue_ids.retain(|_, known| known.until_ms > now_ms);
        self.inbox.sweep(now_ms)
    }

    /// From the log; subscriptions are the caller's.
    pub(crate) fn recover(limits: &InboxLimits, recovered: RecoveredClient, restart: Restart, now_ms: u64) -> Self {
        let mut seat = Self { is_logged: true, ..Self::new(limits) };
        let RecoveredClient { session, mut entries, handed_out, last_handed_out, seen, queue_ids, .. } = recovered;
        for (position, packet_id) in handed_out {
            if let Some(entry) = entries.remove(&position) {
                seat.inbox.restore(EntryId::logged(position), revive(entry), Some(packet_id));
            }
        }
        for (position, entry) in entries {
            seat.inbox.restore(EntryId::logged(position), revive(entry), None);
        }
        seat.inbox.session.restored(last_handed_out, restart);
        for (key, seen) in seen.into_iter().filter(|(_, seen)| seen.until_ms > now_ms) {
            let collapse = Collapse { key, version: seen.version };
            seat.inbox.restore_seen(EntryId::logged(seen.entry), &collapse, seen.until_ms);
        }
        for (id, until_ms) in queue_ids.iter().filter(|(_, until_ms)| **until_ms > now_ms) {
            seat.remember_queue_id(id, *until_ms, Position::default(), now_ms);
        }
        if let Some(session) = session {
            seat.ends_at_ms = ends_at(session.expiry_s, session.disconnected_ms.unwrap_or(now_ms));
            seat.session = Some(SessionInfo { account: session.account, expiry_s: session.expiry_s });
        }
        seat
    }
}

fn revive(entry: RecoveredEntry) -> Entry {
    Entry {
        message: None,
        size: entry.size,
        expires_at_ms: entry.expires_at_ms,
        collapse: entry.collapse.map(|Collapse { key, version }| Box::new(Collapse { key, version })),
        subscription_ids: entry.subscription_ids.into(),
        urgent: entry.urgent,
    }
}

/// When a session without a connection ends; `None`: never.
pub(crate) fn ends_at(expiry_s: u32, disconnected_ms: u64) -> Option<u64> {
    (expiry_s != NEVER_S).then(|| disconnected_ms.saturating_add(u64::from(expiry_s) * 1000))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use crate::store::RecoveredSession;
    use mqtt::PacketId;
    use mqtt::server::SessionLimits;

    const LIMITS: InboxLimits = InboxLimits {
        messages_max: 10,
        bytes_max: 1000,
        session: SessionLimits { send_window: 4, kept_for_normal: 0, waiting_max: usize::MAX, subscriptions_max: 1 },
    };

    fn entry() -> RecoveredEntry {
        RecoveredEntry { size: 1, expires_at_ms: 100, urgent: false, collapse: None, subscription_ids: vec![] }
    }

    fn recovered() -> RecoveredClient {
        RecoveredClient {
            session: Some(RecoveredSession { account: "user:a".into(), expiry_s: 60, disconnected_ms: Some(5) }),
            entries: [10, 20, 30].map(|at| (Position(at), entry())).into(),
            handed_out: vec![(Position(20), PacketId::new(7).unwrap())],
            last_handed_out: PacketId::new(9),
            ..RecoveredClient::default()
        }
    }

    fn hand_outs(seat: &mut Seat) -> Vec<(u64, u16, bool)> {
        seat.inbox.session.connected(100);
        let mut expired = Vec::new();
        std::iter::from_fn(|| seat.inbox.hand_out(0, &mut expired))
            .map(|out| (out.id.position().unwrap().0, out.packet_id.get(), out.dup))
            .collect()
    }

    #[test]
    fn after_a_clean_stop_only_what_was_in_flight_carries_dup() {
        let mut seat = Seat::recover(&LIMITS, recovered(), Restart::Clean, 6);
        assert_eq!(hand_outs(&mut seat), [(20, 7, true), (10, 10, false), (30, 11, false)]);
        assert_eq!(seat.ends_at_ms, Some(60_005));
    }

    #[test]
    fn after_a_crash_everything_carries_dup_and_new_ids_meet_no_old_one() {
        let mut seat = Seat::recover(&LIMITS, recovered(), Restart::Unclean, 6);
        let window = mqtt::server::SEND_WINDOW_MAX;
        assert_eq!(hand_outs(&mut seat), [(20, 7, true), (10, 10 + window, true), (30, 11 + window, true)]);
    }

    #[test]
    fn a_session_that_was_connected_to_the_end_counts_from_the_start() {
        let mut client = recovered();
        client.session.as_mut().unwrap().disconnected_ms = None;
        assert_eq!(Seat::recover(&LIMITS, client, Restart::Unclean, 1000).ends_at_ms, Some(61_000));
        assert_eq!(ends_at(NEVER_S, 5), None);
    }
}
