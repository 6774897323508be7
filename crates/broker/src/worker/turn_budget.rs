//! How much a turn does, and how much of it is for one connection: deficit round robin, in three lines.
//!
//! A turn takes so much work from each of its sources: what other workers post, notices, connections; and for logins it has
//! a time (`logins.rs`). What is left of them is for the next turn; so a turn is short, whatever comes all at once.
//!
//! Of the connections it serves those first that have just become ready, each with an equal share, up to a bound. Who has
//! more goes into a line behind all others, which gets what is left, and a quarter at least. What a connection spent
//! beyond its share it owes, and its next shares pay that before it is served again. Those that log in have a line of their
//! own.

use crate::transport::READ_BYTES;

/// Packets of one turn and source: enough that what a turn costs by itself is little to each of them.
const PACKETS_PER_TURN: usize = 256;
/// Of one connection at least: what many send at a time is not cut, so that it is read, logged and answered at once.
const PACKETS_MIN: usize = 16;
/// Of one connection at most: a buffer holds 32,000 of the smallest.
const PACKETS_MAX: usize = 128;
const BYTES_PER_TURN: usize = 16 * READ_BYTES;
const BYTES_MIN: usize = READ_BYTES / 4;
const BYTES_MAX: usize = 4 * READ_BYTES;

/// Packets, or what is as much work, and bytes that are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) packets: usize,
    pub(super) bytes: usize,
}

impl Work {
    /// Without what was done.
    pub(super) fn without(self, done: Self) -> Self {
        Self { packets: self.packets.saturating_sub(done.packets), bytes: self.bytes.saturating_sub(done.bytes) }
    }

    /// Nothing is left of one of them.
    pub(super) fn is_spent(self) -> bool {
        self.packets == 0 || self.bytes == 0
    }
}

/// Of a connection that is not through its login.
pub(super) const LOGIN_SHARE: Work = Work { packets: PACKETS_MIN, bytes: BYTES_MIN };

/// What is left of a turn.
pub(super) struct TurnBudget {
    left: Work,
    share: Work,
}

impl TurnBudget {
    /// For so many connections that are ready.
    pub(super) fn among(connections: usize) -> Self {
        let connections = connections.max(1);
        let share = Work {
            packets: (PACKETS_PER_TURN / connections).clamp(PACKETS_MIN, PACKETS_MAX),
            bytes: (BYTES_PER_TURN / connections).clamp(BYTES_MIN, BYTES_MAX),
        };
        Self { left: Work { packets: PACKETS_PER_TURN, bytes: BYTES_PER_TURN }, share }
    }

    /// For those that are served last a part is left, however much the others had.
    pub(super) fn leave_some(&mut self) {
        let some = Work { packets: PACKETS_PER_TURN / 4, bytes: BYTES_PER_TURN / 4 };
        self.left = Work { packets: self.left.packets.max(some.packets), bytes: self.left.bytes.max(some.bytes) };
    }

    /// What the next connection may do; `None`: the others wait for the next turn.
    pub(super) fn next_share(&self) -> Option<Work> {
        (!self.left.is_spent()).then_some(self.share)
    }

    /// A connection was served, which is never less than a packet's work.
    pub(super) fn spend(&mut self, work: Work) {
        self.left = self.left.without(Work { packets: work.packets.max(1), ..work });
    }
}

/// What one of the other sources has left of a turn, in packets.
pub(super) struct WorkLeft(usize);

impl Default for WorkLeft {
    fn default() -> Self {
        Self(PACKETS_PER_TURN)
    }
}

impl WorkLeft {
    pub(super) fn is_spent(&self) -> bool {
        self.0 == 0
    }

    pub(super) fn spend(&mut self, packets: usize) {
        self.0 = self.0.saturating_sub(packets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are served in one turn if each spends this, and what they spend together.
    fn turn(ready: usize, spends: impl Fn(Work) -> Work) -> (usize, Work) {
        let (mut budget, mut served, mut total) = (TurnBudget::among(ready), 0, Work::default());
        while let Some(share) = budget.next_share().filter(|_| served < ready) {
            let work = spends(share);
            budget.spend(work);
            served += 1;
            total = Work { packets: total.packets + work.packets, bytes: total.bytes + work.bytes };
        }
        (served, total)
    }

    #[test]
    fn few_connections_have_a_bounded_share_each_and_many_share_the_turn() {
        let packets_served = [(1, 1, 128), (2, 2, 256), (11, 11, 253), (50, 16, 256), (10_000, 16, 256)];
        for (ready, served, packets) in packets_served {
            let share = TurnBudget::among(ready).share;
            let all_packets = |_| Work { packets: share.packets, bytes: 0 };
            assert_eq!(turn(ready, all_packets), (served, Work { packets, bytes: 0 }), "{ready}");
        }
        let all_bytes = |share: Work| Work { packets: 1, bytes: share.bytes };
        assert_eq!(turn(1, all_bytes), (1, Work { packets: 1, bytes: BYTES_MAX }));
        assert_eq!(turn(100, all_bytes), (64, Work { packets: 64, bytes: BYTES_PER_TURN }));
    }

    #[test]
    fn looks_at_connections_that_have_nothing_end_a_turn_too() {
        assert_eq!(turn(10_000, |_| Work::default()).0, PACKETS_PER_TURN);
    }
}
