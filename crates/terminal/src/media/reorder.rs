//! A reorder buffer for the packets of one stream; pure.
//!
//! A gap is waited for (a repeat may be on its way) until it is older than the timeout or too much has piled up
//! behind it; then what is missing is lost. What comes later than that is late and dropped.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Packets that wait behind a gap; one more gives the gap up.
const WAITING_MAX: usize = 512;

/// A packet in its order, or a gap.
#[derive(Debug, PartialEq, Eq)]
pub enum Ordered<T> {
    Packet(T),
    /// So many packets are missing here.
    Lost(u64),
}

pub struct Reorder<T> {
    gap_timeout: Duration,
    next: Option<u64>,
    waiting: BTreeMap<u64, (Instant, T)>,
    /// Dropped because they came after they had been given up, or twice.
    pub late: u64,
}

impl<T> Reorder<T> {
    pub fn new(gap_timeout: Duration) -> Self {
        Self { gap_timeout, next: None, waiting: BTreeMap::new(), late: 0 }
    }

    /// Takes a packet with its extended sequence number.
    pub fn handle_packet(&mut self, sequence: u64, packet: T, now: Instant) {
        let next = *self.next.get_or_insert(sequence);
        if sequence < next || self.waiting.contains_key(&sequence) {
            self.late += 1;
            return;
        }
        self.waiting.insert(sequence, (now, packet));
    }

    /// The next in order; call until `None`.
    pub fn poll_packet(&mut self, now: Instant) -> Option<Ordered<T>> {
        let next = self.next?;
        let (&first, (since, _)) = self.waiting.first_key_value()?;
        if first == next {
            let (_, (_, packet)) = self.waiting.pop_first()?;
            self.next = Some(next + 1);
            return Some(Ordered::Packet(packet));
        }
        let given_up = now.duration_since(*since) >= self.gap_timeout || self.waiting.len() > WAITING_MAX;
        given_up.then(|| {
            self.next = Some(first);
            Ordered::Lost(first - next)
        })
    }

    /// When a gap is given up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, (since, _))| *since + self.gap_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ordered::{Lost, Packet};

    const GAP_TIMEOUT: Duration = Duration::from_millis(100);

    struct Stream {
        reorder: Reorder<u64>,
        now: Instant,
    }

    impl Stream {
        fn new() -> Self {
            Self { reorder: Reorder::new(GAP_TIMEOUT), now: Instant::now() }
        }

        fn push(&mut self, sequences: &[u64]) -> Vec<Ordered<u64>> {
            for &sequence in sequences {
                self.reorder.handle_packet(sequence, sequence, self.now);
            }
            self.poll()
        }

        fn after(&mut self, wait: Duration) -> Vec<Ordered<u64>> {
            self.now += wait;
            self.poll()
        }

        fn poll(&mut self) -> Vec<Ordered<u64>> {
            std::iter::from_fn(|| self.reorder.poll_packet(self.now)).collect()
        }
    }

    #[test]
    fn what_is_in_order_passes_at_once() {
        assert_eq!(Stream::new().push(&[7, 8, 9]), [Packet(7), Packet(8), Packet(9)]);
    }

    #[test]
    fn a_gap_that_is_filled_in_time_is_no_loss() {
        let mut stream = Stream::new();
        assert_eq!(stream.push(&[1, 3, 4]), [Packet(1)]);
        assert_eq!(stream.push(&[2]), [Packet(2), Packet(3), Packet(4)]);
        assert_eq!(stream.reorder.late, 0);
    }

    #[test]
    fn a_gap_is_given_up_after_the_timeout_and_its_packets_are_late_then() {
        let mut stream = Stream::new();
        assert_eq!(stream.push(&[1, 4]), [Packet(1)]);
        assert_eq!(stream.reorder.poll_timeout(), Some(stream.now + GAP_TIMEOUT));
        assert_eq!(stream.after(GAP_TIMEOUT / 2), []);
        assert_eq!(stream.after(GAP_TIMEOUT / 2), [Lost(2), Packet(4)]);
        assert_eq!(stream.push(&[2, 4, 5]), [Packet(5)]);
        assert_eq!(stream.reorder.late, 2);
    }

    #[test]
    fn too_much_behind_a_gap_gives_it_up() {
        let mut stream = Stream::new();
        stream.push(&[0]);
        let all: Vec<u64> = (2..2 + WAITING_MAX as u64 + 1).collect();
        assert_eq!(stream.push(&all).first(), Some(&Lost(1)));
    }
}
