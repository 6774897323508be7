//! What the broker counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// One number that many threads add to and few read: each thread adds to a part in a cache line of its own.
#[derive(Debug, Default)]
pub(crate) struct Count([Part; PARTS]);

/// More threads than this share a part.
const PARTS: usize = 16;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Part(AtomicU64);

thread_local! {
    /// The part that this thread adds to.
    static PART: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % PARTS
    };
}

impl Count {
    fn part(&self) -> &AtomicU64 {
        &self.0[PART.with(|part| *part)].0
    }

    pub(crate) fn add(&self, more: u64) {
        self.part().fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn less(&self, fewer: u64) {
        self.part().fetch_sub(fewer, Ordering::Relaxed);
    }

    /// A part may have wrapped below zero, where another thread added what this one took away.
    pub(crate) fn value(&self) -> u64 {
        let sum = self.0.iter().map(|part| part.0.load(Ordering::Relaxed)).fold(0, u64::wrapping_add);
        // Parts are read one after the other: what was taken away may be seen without what was added before.
        if sum.cast_signed() < 0 { 0 } else { sum }
    }
}

/// One of the numbers, for those who watch the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    pub name: &'static str,
    pub help: &'static str,
    /// Only rises; else it says how much there is now.
    pub is_total: bool,
    pub value: u64,
}

macro_rules! counts {
    (
        now { $($(#[doc = $is_doc:literal])* $is:ident,)* }
        total { $($(#[doc = $was_doc:literal])* $was:ident,)* }
    ) => {
        /// The live numbers.
        #[derive(Debug, Default)]
        pub(crate) struct Counts { $(pub(crate) $is: Count,)* $(pub(crate) $was: Count,)* }

        /// The numbers of one moment: first those that say how much there is, then those that only rise.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[doc = $is_doc])* pub $is: u64,)*
            /// Bytes of memory that messages and buffers of clients take.
            pub held_bytes: u64,
            $($(#[doc = $was_doc])* pub $was: u64,)*
        }

        impl Counts {
            pub(crate) fn stats(&self, held_bytes: u64) -> Stats {
                Stats { $($is: self.$is.value(),)* held_bytes, $($was: self.$was.value(),)* }
            }
        }

        impl Stats {
            /// All of them.
            #[must_use]
            pub fn figures(&self) -> Vec<Figure> {
                let held = "Bytes of memory that messages and buffers of clients take.";
                vec![
                    $(figure(stringify!($is), concat!($($is_doc),*), false, self.$is),)*
                    figure("held_bytes", held, false, self.held_bytes),
                    $(figure(stringify!($was), concat!($($was_doc),*), true, self.$was),)*
                ]
            }
        }
    };
}

fn figure(name: &'static str, help: &'static str, is_total: bool, value: u64) -> Figure {
    Figure { name, help: help.trim_start(), is_total, value }
}

counts! {
    now {
        /// Connections, those before their CONNECT included.
        connections,
        /// Sessions, connected or not.
        sessions,
        /// Messages in all inboxes.
        inbox_messages,
        /// Bytes in all inboxes.
        inbox_bytes,
    }
    total {
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
        /// Messages that waited for a client whose session ended or was discarded.
        dropped_with_session,
        /// Messages that waited for a client and were dropped by an owner.
        purged,
        /// What the log would not take, because the disk is full or the log has failed.
        refused_by_log,
        /// PUBLISHes and logins that were refused because memory was short.
        refused_for_memory,
        /// Times that memory became short.
        short_of_memory,
        /// Messages that waited because the log was busy.
        waited_for_log,
        /// Messages that could not be read back from the log.
        unreadable,
        /// Connections that were closed for breaking a rule of the protocol.
        protocol_errors,
        /// Online events that found no room; they are sent at the next start.
        events_dropped,
        /// Ends of connections that the next start does not know, because the queue has not taken very many: it takes them in this
        /// run or never.
        ends_forgotten,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn what_one_thread_adds_another_may_take_away() {
        let count = Count::default();
        count.add(5);
        std::thread::scope(|scope| scope.spawn(|| count.less(3)).join().unwrap());
        assert_eq!(count.value(), 2);
        std::thread::scope(|scope| (0..2 * PARTS).for_each(|_| _ = scope.spawn(|| count.one())));
        assert_eq!(count.value(), 2 + 2 * PARTS as u64);
    }
}
