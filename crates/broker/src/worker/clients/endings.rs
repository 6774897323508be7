//! The order in which sessions without a connection end, by whole seconds: each client knows the time itself.

use std::num::NonZeroU64;

use super::packed_set::PackedSet;

/// Seconds since the epoch, which suffice until the year 2106, and the slots of the clients.
#[derive(Default)]
pub(super) struct Endings(PackedSet<(u32, u32)>);

impl Endings {
    pub(super) fn insert(&mut self, ends_at_ms: NonZeroU64, slot: u32) {
        self.0.insert((second(ends_at_ms.get()), slot));
    }

    pub(super) fn remove(&mut self, ends_at_ms: NonZeroU64, slot: u32) {
        self.0.remove(&(second(ends_at_ms.get()), slot));
    }

    /// The slots of all clients whose session has ended by now, and of some whose session ends within a second.
    pub(super) fn due(&self, now_ms: u64) -> Vec<u32> {
        self.0.iter().take_while(|(ends_at, _)| *ends_at <= second(now_ms)).map(|(_, slot)| *slot).collect()
    }
}

fn second(at_ms: u64) -> u32 {
    u32::try_from(at_ms / 1000).unwrap_or(u32::MAX)
}
