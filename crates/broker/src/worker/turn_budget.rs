//! How much of a turn there is for connections, and how much of it one of them gets: deficit round robin.
//!
//! A turn serves the connections that are ready in the order in which they became so, each with an equal share of what one
//! turn takes, up to a bound, and ends when that is spent. Who has more goes behind the others. What a connection spent beyond its share it
//! owes, and its next shares pay that before it is served again. So a turn is short however many have much to say, and who
//! comes meanwhile waits for about one of them.

use crate::transport::READ_BYTES;

/// Packets of one turn: many connections with a few each are served, logged and answered together, which costs each less.
const PACKETS_PER_TURN: usize = 2_048;
/// Of one connection at least, so that many of them do not pay for a look at each with every packet.
const PACKETS_MIN: usize = 8;
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

    /// What the next connection may do; `None`: the others wait for the next turn.
    pub(super) fn next_share(&self) -> Option<Work> {
        (!self.left.is_spent()).then_some(self.share)
    }

    /// A connection was served, which is never less than a packet's work.
    pub(super) fn spend(&mut self, work: Work) {
        self.left = self.left.without(Work { packets: work.packets.max(1), ..work });
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
        let packets_served = [(1, 1, 128), (2, 2, 256), (11, 11, 1_408), (50, 50, 2_000), (10_000, 256, 2_048)];
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
