//! What the broker counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that many threads add to and few read.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn less(&self, fewer: u64) {
        self.0.fetch_sub(fewer, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counts {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// The live numbers.
        #[derive(Debug, Default)]
        pub(crate) struct Counts { $(pub(crate) $name: Count,)* }

        /// The numbers of one moment. Those that say how much there *is* fall again; all others only rise.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats { $($(#[doc = $doc])* pub $name: u64,)* }

        impl Counts {
            pub(crate) fn stats(&self) -> Stats {
                Stats { $($name: self.$name.value(),)* }
            }
        }
    };
}

counts! {
    /// There are: connections, those before their CONNECT included.
    connections,
    /// There are: sessions, connected or not.
    sessions,
    /// There are: messages in all inboxes.
    inbox_messages,
    /// There are: bytes in all inboxes.
    inbox_bytes,
    /// PUBLISHes that came from clients.
    received,
    /// PUBLISHes that went to clients.
    sent,
    /// Messages that were written to the log for an inbox.
    stored,
    /// Messages that came from the queue.
    from_queue,
    /// Messages that went to the queue.
    to_queue,
    /// Messages of the queue that no inbox may have; they are in the dead letters.
    dead_letters,
    /// Connections that were refused for the limits of connections.
    refused_connections,
    /// CONNECTs that were refused.
    refused_connects,
    /// PUBLISHes without permission, too large, or to a topic that is none.
    refused_publishes,
    /// Subscriptions that were refused.
    refused_subscriptions,
    /// Sessions that another connection of the same client took over.
    taken_over,
    /// Messages that were dropped because a version as high or higher was there.
    superseded,
    /// Messages that expired before their first hand-out.
    expired,
    /// Messages that a full inbox refused.
    inbox_full,
    /// QoS 0 messages that a slow reader missed.
    dropped_slow,
    /// Messages that are larger than their receiver takes.
    dropped_too_large,
    /// Messages to somebody who is not there and has nothing that waits.
    dropped_absent,
    /// What the log would not take, because the disk is full or the log has failed.
    refused_by_log,
    /// Messages that waited because the log was busy.
    waited_for_log,
    /// Messages that could not be read back from the log.
    unreadable,
    /// Connections that were closed for breaking a rule of the protocol.
    protocol_errors,
    /// Online events that found no room; they are sent at the next start.
    events_dropped,
}
