//! One client at its worker: its session, its inbox, and which connection has them.

use std::num::{NonZeroU32, NonZeroU64};

use commitlog::Position;
use mqtt::server::Restart;

use super::deadlines::Bucket;
use super::identity::{Identity, SessionInfo};
use super::queue_ids::QueueIds;
use crate::client::ClientKey;
use crate::inbox::{Entry, EntryId, Gone, Inbox, InboxLimits};
use crate::message::Collapse;
use crate::over::Over;
use crate::store::{RecoveredClient, RecoveredEntry};
use crate::worker::action::Now;
use crate::worker::post::ConnectionKey;

/// A session that never ends (5.0 section 3.1.2.11.2).
pub(super) const NEVER_S: u32 = u32::MAX;

/// Small, since most clients are away: what only a connection needs stands in its [`Attachment`] and in the
/// [`Session`](mqtt::server::Session)'s own.
pub(super) struct ClientEntry {
    /// Without a session: a registered device that has not connected, or whose session ended.
    pub(super) identity: Identity,
    /// Names this entry among all that had its slot.
    pub(super) generation: u32,
    pub(super) inbox: Inbox,
    pub(super) attachment: Option<Box<Attachment>>,
    /// Set while disconnected and the session is to end.
    pub(super) ends_at_ms: Option<NonZeroU64>,
    /// The log has something of it.
    pub(super) is_logged: bool,
    /// So is its session: one that ends with its connection is not, unless it once was another.
    pub(super) is_session_logged: bool,
    /// A read of its next messages waits or is under way.
    pub(super) is_reading: bool,
    /// The session is as the log has it when that is durable up to here.
    pub(super) settled_at: Position,
    pub(super) queue_ids: QueueIds,
    /// Number of the oldest segment that the log needs for this client; `None`: it has nothing of it.
    pub(super) oldest_segment: Option<NonZeroU32>,
    /// Its place among the [`Deadlines`](super::deadlines::Deadlines).
    pub(super) due: Option<Bucket>,
}

/// The connection that has the session.
pub(super) struct Attachment {
    /// For what is said of the client while it is there.
    pub(super) key: ClientKey,
    pub(super) connection: ConnectionKey,
    /// Its CONNACK is written, so that a PUBLISH may follow.
    pub(super) is_open: bool,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<ClientEntry>() <= 160, "every client that is away costs this");

impl ClientEntry {
    pub(super) fn new(client_id: &str, limits: &InboxLimits) -> Self {
        Self {
            identity: Identity::new(client_id),
            generation: 0,
            inbox: Inbox::new(limits),
            attachment: None,
            ends_at_ms: None,
            is_logged: false,
            is_session_logged: false,
            is_reading: false,
            settled_at: Position::default(),
            queue_ids: QueueIds::default(),
            oldest_segment: None,
            due: None,
        }
    }

    /// Something of it is in this segment of the log. Segments of later calls are no older.
    pub(super) fn need_from(&mut self, segment: u64) {
        // A number that is too low costs a copy.
        let segment = u32::try_from(segment).unwrap_or(u32::MAX);
        self.oldest_segment.get_or_insert(NonZeroU32::new(segment).unwrap_or(NonZeroU32::MIN));
    }

    pub(super) fn client_id(&self) -> &str {
        self.identity.client_id()
    }

    pub(super) fn key(&self) -> ClientKey {
        self.attachment.as_ref().map_or_else(|| ClientKey::new(self.client_id()), |attachment| attachment.key.clone())
    }

    pub(super) fn session(&self) -> Option<SessionInfo<'_>> {
        self.identity.session()
    }

    /// Whether messages wait for it in the log.
    pub(super) fn is_persistent(&self) -> bool {
        self.session().is_none_or(|session| session.expiry_s > 0)
    }

    /// Nothing would be lost with it.
    pub(super) fn is_empty(&self) -> bool {
        self.session().is_none()
            && self.attachment.is_none()
            && self.inbox.is_empty()
            && !self.inbox.has_collapse_keys()
            && self.queue_ids.is_empty()
    }

    pub(super) fn is_attached_to(&self, connection: ConnectionKey) -> bool {
        self.attachment.as_ref().is_some_and(|attachment| attachment.connection == connection)
    }

    /// The connection that a PUBLISH may go to.
    pub(super) fn open_connection(&self) -> Option<ConnectionKey> {
        self.attachment.as_ref().filter(|attachment| attachment.is_open).map(|attachment| attachment.connection)
    }

    /// When the first of what it has is over by time alone, but for its session.
    pub(super) fn earliest_deadline_ms(&self) -> Option<u64> {
        self.queue_ids.earliest_deadline_ms().into_iter().chain(self.inbox.earliest_deadline_ms()).min()
    }

    /// Forgets what has had its time. Returns the entries that went.
    pub(super) fn sweep(&mut self, over: Over) -> Vec<Gone> {
        self.queue_ids.sweep(over);
        self.inbox.sweep(over)
    }

    /// From the log; subscriptions are the caller's.
    pub(super) fn recover(
        client_id: &str,
        limits: &InboxLimits,
        recovered: RecoveredClient,
        restart: Restart,
        now: Now,
    ) -> Self {
        let mut client = Self { is_logged: true, ..Self::new(client_id, limits) };
        let RecoveredClient { session, mut entries, handed_out, last_handed_out, seen, queue_ids, .. } = recovered;
        for (position, packet_id) in handed_out {
            if let Some(entry) = entries.remove(position) {
                client.inbox.restore(EntryId::logged(position), revive(entry), Some(packet_id));
            }
        }
        for (position, entry) in entries {
            client.inbox.restore(EntryId::logged(position), revive(entry), None);
        }
        client.inbox.session.restored(last_handed_out, restart);
        for (key, seen) in seen.into_iter().filter(|(_, seen)| !now.over().is_over(seen.until_ms)) {
            let collapse = Collapse { key, version: seen.version };
            client.inbox.restore_seen(EntryId::logged(seen.entry), &collapse, seen.until_ms);
        }
        for (id, until_ms) in queue_ids.iter().filter(|(_, until_ms)| !now.over().is_over(**until_ms)) {
            client.queue_ids.remember(id, *until_ms, Position::default(), now.over());
        }
        if let Some(session) = session {
            client.ends_at_ms = ends_at(session.expiry_s, session.disconnected_ms.unwrap_or(now.ms));
            client.identity.set_session(SessionInfo { account: &session.account, expiry_s: session.expiry_s });
            client.is_session_logged = true;
        }
        client
    }
}

fn revive(entry: RecoveredEntry) -> Entry {
    Entry {
        message: None,
        size: entry.size,
        expires_at_ms: entry.expires_at_ms,
        collapse: entry.collapse,
        subscription_ids: entry.subscription_ids,
        urgent: entry.urgent,
    }
}

/// When a session without a connection ends; `None`: never.
pub(super) fn ends_at(expiry_s: u32, disconnected_ms: u64) -> Option<NonZeroU64> {
    let ends_at_ms = disconnected_ms.saturating_add(u64::from(expiry_s) * 1000);
    (expiry_s != NEVER_S).then_some(NonZeroU64::new(ends_at_ms).unwrap_or(NonZeroU64::MIN))
}

/// When a session was disconnected that ends then.
pub(super) fn disconnected_at(expiry_s: u32, ends_at_ms: NonZeroU64) -> u64 {
    ends_at_ms.get().saturating_sub(u64::from(expiry_s) * 1000)
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
        session: SessionLimits { send_window: 4, kept_for_normal: 0, waiting_max: u32::MAX, subscriptions_max: 1 },
    };

    fn at(ms: u64) -> Now {
        Now::certain(std::time::Instant::now(), ms)
    }

    fn entry() -> RecoveredEntry {
        RecoveredEntry { size: 1, expires_at_ms: 100, urgent: false, collapse: None, subscription_ids: [].into() }
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

    fn hand_outs(client: &mut ClientEntry) -> Vec<(u64, u16, bool)> {
        client.inbox.session.connected(100);
        let mut expired = Vec::new();
        std::iter::from_fn(|| client.inbox.hand_out(Over::by(0), &mut expired))
            .map(|out| (out.id.position().unwrap().0, out.packet_id.get(), out.dup))
            .collect()
    }

    #[test]
    fn after_a_clean_stop_only_what_was_in_flight_carries_dup() {
        let mut client = ClientEntry::recover("GID_dev@@@bob", &LIMITS, recovered(), Restart::Clean, at(6));
        assert_eq!(hand_outs(&mut client), [(20, 7, true), (10, 10, false), (30, 11, false)]);
        assert_eq!(client.ends_at_ms, NonZeroU64::new(60_005));
    }

    #[test]
    fn after_a_crash_everything_carries_dup_and_new_ids_meet_no_old_one() {
        let mut client = ClientEntry::recover("GID_dev@@@bob", &LIMITS, recovered(), Restart::Unclean, at(6));
        let window = mqtt::server::SEND_WINDOW_MAX;
        assert_eq!(hand_outs(&mut client), [(20, 7, true), (10, 10 + window, true), (30, 11 + window, true)]);
    }

    #[test]
    fn a_session_that_was_connected_to_the_end_counts_from_the_start() {
        let mut client = recovered();
        client.session.as_mut().unwrap().disconnected_ms = None;
        assert_eq!(
            ClientEntry::recover("GID_dev@@@bob", &LIMITS, client, Restart::Unclean, at(1000)).ends_at_ms,
            NonZeroU64::new(61_000)
        );
        assert_eq!(ends_at(NEVER_S, 5), None);
    }
}
