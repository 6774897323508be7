//! What all workers and tasks of one broker share.

use std::sync::Arc;

use accounts::access::AccessView;
use accounts::login::DeviceDirectory;
use clock::Clock;
use mqtt::server::{ConnectionConfig, SessionLimits};
use queue::{AtomicAck, Queue};

use crate::bridge::events::EventSender;
use crate::config::Limits;
use crate::connection_limiter::ConnectionLimiter;
use crate::fatal::Tasks;
use crate::inbox::InboxLimits;
use crate::memory::Memory;
use crate::stats::{Counts, Stats};
use crate::store::journal::Journal;
use crate::worker::post::WorkerAddress;
use crate::workers_by_filter::WorkersByFilter;

pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) inbox_limits: InboxLimits,
    pub(crate) urgent_parents: Arc<[String]>,
    pub(crate) connection_config: Arc<ConnectionConfig>,
    pub(crate) workers: Vec<WorkerAddress>,
    pub(crate) journal: Journal,
    pub(crate) clock: Clock,
    pub(crate) counts: Arc<Counts>,
    pub(crate) memory: Memory,
    pub(crate) workers_by_filter: Arc<WorkersByFilter>,
    pub(crate) access: AccessView,
    pub(crate) devices: DeviceDirectory,
    pub(crate) connection_limiter: Arc<ConnectionLimiter>,
    pub(crate) queue: Arc<dyn Queue>,
    /// If the queue is on the broker's own log. Else the inboxes keep the ids of what they have from the queue.
    pub(crate) atomic_ack: Option<Arc<dyn AtomicAck>>,
    pub(crate) tasks: Tasks,
    pub(crate) events: EventSender,
}

impl Shared {
    pub(crate) fn stats(&self) -> Stats {
        self.counts.stats(self.memory.held_bytes())
    }
}

/// Places of a receiver's window that urgent messages (rings) leave free. A terminal that acknowledges no invitation before
/// it has the answer to its `state` request gets that answer, however many invitations wait.
const KEPT_FOR_NORMAL: u16 = 8;

pub(crate) fn inbox_limits(limits: &Limits) -> InboxLimits {
    InboxLimits {
        messages_max: limits.inbox_messages_max,
        bytes_max: limits.inbox_bytes_max,
        session: SessionLimits {
            send_window: limits.send_window,
            kept_for_normal: KEPT_FOR_NORMAL,
            // The inbox has its own limits, which count what is in flight too.
            waiting_max: u32::MAX,
            subscriptions_max: u32::try_from(limits.subscriptions_max).unwrap_or(u32::MAX),
        },
    }
}

pub(crate) fn connection_config(limits: &Limits) -> ConnectionConfig {
    ConnectionConfig {
        connect_deadline: limits.connect_deadline,
        packet_size_max: limits.packet_bytes_max,
        receive_maximum: limits.receive_maximum,
        keep_alive_max_s: u16::try_from(limits.keep_alive_max.as_secs()).unwrap_or(u16::MAX),
        ..ConnectionConfig::default()
    }
}
