//! The memory that messages and buffers of all clients may take together.
//!
//! What it is: the sum of what is held: each message once, wherever it waits (inboxes in memory, mailboxes, look-ups, writes
//! that wait for a busy log, messages of the queue on their way); input that was not processed and output that was not read;
//! the places of messages in inboxes. Above the limit new work is refused first: PUBLISHes, logins, messages of the queue.
//! Deliveries and acknowledgements go on, and free memory. What it is not: a limit of the process. Connections, sessions and
//! subscriptions have limits of their own.
//!
//! A worker charges to a meter of its own, so that what one counts is in no cache line that the others write to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::stats::Counts;

/// What a message that waits in an inbox takes there, its content not included.
const PLACE_BYTES: u64 = 48;

/// The bytes that one thread has charged and that are still held.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Meter(AtomicUsize);

/// Bytes that are held; given back when it is dropped, on any thread.
#[derive(Debug)]
pub(crate) struct Charge {
    meter: Arc<Meter>,
    bytes: usize,
}

impl Charge {
    pub(crate) fn new(meter: &Arc<Meter>, bytes: usize) -> Self {
        let mut charge = Self { meter: meter.clone(), bytes: 0 };
        charge.set(bytes);
        charge
    }

    /// So many bytes are held now.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.meter.0.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else if bytes < self.bytes {
            self.meter.0.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// All meters, and whether more is held than may be.
#[derive(Debug)]
pub(crate) struct Memory {
    /// 0: there is no limit.
    bytes_max: u64,
    /// One for each worker, and one for all other threads.
    meters: Box<[Arc<Meter>]>,
    counts: Arc<Counts>,
    is_short: AtomicBool,
}

impl Memory {
    pub(crate) fn new(bytes_max: u64, workers: usize, counts: Arc<Counts>) -> Self {
        let meters = (0..=workers).map(|_| Arc::default()).collect();
        Self { bytes_max, meters, counts, is_short: AtomicBool::new(false) }
    }

    /// The meter of a worker; any other number is that of the threads that are no workers.
    pub(crate) fn meter(&self, worker: usize) -> &Arc<Meter> {
        &self.meters[worker.min(self.meters.len() - 1)]
    }

    pub(crate) fn meter_of_tasks(&self) -> &Arc<Meter> {
        self.meter(usize::MAX)
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        let charged: usize = self.meters.iter().map(|meter| meter.0.load(Ordering::Relaxed)).sum();
        charged as u64 + PLACE_BYTES * self.counts.inbox_messages.value()
    }

    /// Whether new work is to be refused: from when the limit is passed until an eighth of it is free again. A change is
    /// counted and logged once.
    pub(crate) fn is_short(&self) -> bool {
        let was_short = self.is_short.load(Ordering::Relaxed);
        let held = self.held_bytes();
        let limit = if was_short { self.bytes_max - self.bytes_max / 8 } else { self.bytes_max };
        let is_short = self.bytes_max > 0 && held > limit;
        if is_short != was_short && self.is_short.swap(is_short, Ordering::Relaxed) == was_short {
            self.tell(is_short, held);
        }
        is_short
    }

    fn tell(&self, is_short: bool, held: u64) {
        let max = self.bytes_max;
        if is_short {
            self.counts.short_of_memory.one();
            tracing::warn!(held, max, "messages and buffers take too much memory: publishes and logins are refused");
        } else {
            tracing::info!(held, max, "there is memory for messages again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes_max: u64) -> Memory {
        Memory::new(bytes_max, 2, Arc::default())
    }

    #[test]
    fn what_any_thread_charges_is_held_until_it_is_dropped_on_any_other() {
        let memory = memory(0);
        let (mut first, second) = (Charge::new(memory.meter(0), 10), Charge::new(memory.meter_of_tasks(), 5));
        assert_eq!(memory.held_bytes(), 15);
        first.set(7);
        assert_eq!(memory.held_bytes(), 12);
        std::thread::scope(|scope| _ = scope.spawn(move || drop(second)));
        assert_eq!(memory.held_bytes(), 7);
        memory.counts.inbox_messages.add(2);
        assert_eq!(memory.held_bytes(), 7 + 2 * PLACE_BYTES);
    }

    #[test]
    fn memory_is_short_from_its_limit_on_until_an_eighth_is_free_and_that_counts_once() {
        let memory = memory(800);
        let mut charge = Charge::new(memory.meter(1), 800);
        assert!(!memory.is_short());
        for (held, is_short) in [(801, true), (800, true), (701, true), (700, false), (800, false), (801, true)] {
            charge.set(held);
            assert_eq!((memory.is_short(), memory.is_short()), (is_short, is_short), "{held}");
        }
        assert_eq!(memory.counts.short_of_memory.value(), 2);
    }

    #[test]
    fn without_a_limit_memory_is_never_short() {
        let memory = memory(0);
        let _charge = Charge::new(memory.meter(0), usize::MAX >> 1);
        assert!(!memory.is_short());
    }
}
