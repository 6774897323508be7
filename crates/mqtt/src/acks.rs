//! The answers that one side owes for received PUBLISHes.
//!
//! They are completed in any order and leave in the order of the PUBLISHes [MQTT5-4.6.0-2] [MQTT311-4.6.0-2]:
//!
//! ```text
//!   open(7)  open(8)  open(9)        complete(8) → nothing leaves
//!   [7 ...]  [8 ...]  [9 ...]        complete(7) → 7 and 8 leave
//! ```

use std::collections::VecDeque;

use crate::{PacketId, ReasonCode};

/// Names one owed answer of one connection. Tokens of different server connections may be equal: keep them with
/// their connection, and drop them with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckToken(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Awaited,
    Send(ReasonCode),
    /// The place is given up without a word.
    Withhold,
}

#[derive(Debug)]
struct Owed {
    packet_id: PacketId,
    answer: Answer,
}

/// Bounded by whoever opens: both sides check [`Self::len`] against their Receive Maximum.
#[derive(Debug, Default)]
pub(crate) struct AckQueue {
    owed: VecDeque<Owed>,
    /// The token of the front.
    first: u32,
}

/// A queue that grew past this gives its memory back when it is empty.
const KEPT_CAPACITY: usize = 16;

impl AckQueue {
    pub(crate) fn len(&self) -> usize {
        self.owed.len()
    }

    pub(crate) fn owes(&self, packet_id: PacketId) -> bool {
        self.owed.iter().any(|owed| owed.packet_id == packet_id)
    }

    pub(crate) fn open(&mut self, packet_id: PacketId) -> AckToken {
        let token = self.first.wrapping_add(self.owed.len() as u32);
        self.owed.push_back(Owed { packet_id, answer: Answer::Awaited });
        AckToken(token)
    }

    /// False if nothing is owed under this token (any more).
    pub(crate) fn complete(&mut self, token: AckToken, reason: ReasonCode) -> bool {
        self.decide(token, Answer::Send(reason))
    }

    pub(crate) fn withhold(&mut self, token: AckToken) -> bool {
        self.decide(token, Answer::Withhold)
    }

    /// Gives up this place and all behind it, also those whose answer only waited for it.
    pub(crate) fn withhold_from(&mut self, token: AckToken) {
        let index = token.0.wrapping_sub(self.first) as usize;
        self.owed.iter_mut().skip(index).for_each(|owed| owed.answer = Answer::Withhold);
    }

    fn decide(&mut self, token: AckToken, answer: Answer) -> bool {
        let index = token.0.wrapping_sub(self.first) as usize;
        match self.owed.get_mut(index) {
            Some(owed) if owed.answer == Answer::Awaited => {
                owed.answer = answer;
                true
            }
            _ => false,
        }
    }

    /// The next answer that may leave.
    pub(crate) fn pop_ready(&mut self) -> Option<(PacketId, ReasonCode)> {
        loop {
            let answer = self.owed.front()?.answer;
            if answer == Answer::Awaited {
                return None;
            }
            let owed = self.owed.pop_front()?;
            self.first = self.first.wrapping_add(1);
            if self.owed.is_empty() && self.owed.capacity() > KEPT_CAPACITY {
                self.owed = VecDeque::new();
            }
            if let Answer::Send(reason) = answer {
                return Some((owed.packet_id, reason));
            }
        }
    }

    /// Forgets everything; tokens handed out so far mean nothing any more.
    pub(crate) fn clear(&mut self) {
        self.first = self.first.wrapping_add(self.owed.len() as u32);
        self.owed = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    fn id(id: u16) -> PacketId {
        PacketId::new(id).unwrap()
    }

    /// [MQTT5-4.6.0-2] [MQTT311-4.6.0-2]
    #[test]
    fn answers_leave_in_the_order_of_the_publishes() {
        let mut acks = AckQueue::default();
        let (a, b, c) = (acks.open(id(7)), acks.open(id(8)), acks.open(id(9)));
        assert!(acks.complete(b, ReasonCode::SUCCESS));
        assert_eq!(acks.pop_ready(), None);
        assert!(acks.complete(a, ReasonCode::NOT_AUTHORIZED));
        assert_eq!(acks.pop_ready(), Some((id(7), ReasonCode::NOT_AUTHORIZED)));
        assert_eq!(acks.pop_ready(), Some((id(8), ReasonCode::SUCCESS)));
        assert_eq!(acks.pop_ready(), None);
        assert!(acks.withhold(c));
        assert_eq!(acks.pop_ready(), None);
        assert_eq!(acks.len(), 0);
    }

    #[test]
    fn what_is_withheld_from_one_on_is_never_answered_and_what_is_before_it_is() {
        let mut acks = AckQueue::default();
        let (a, b, c) = (acks.open(id(7)), acks.open(id(8)), acks.open(id(9)));
        assert!(acks.complete(c, ReasonCode::SUCCESS));
        acks.withhold_from(b);
        assert!(!acks.complete(b, ReasonCode::SUCCESS));
        assert_eq!(acks.pop_ready(), None);
        assert!(acks.complete(a, ReasonCode::SUCCESS));
        assert_eq!(acks.pop_ready(), Some((id(7), ReasonCode::SUCCESS)));
        assert_eq!(acks.pop_ready(), None);
        assert_eq!(acks.len(), 0);
    }

    #[test]
    fn a_token_answers_once_and_means_nothing_after_a_clear() {
        let mut acks = AckQueue { first: u32::MAX, ..AckQueue::default() };
        let (a, b) = (acks.open(id(1)), acks.open(id(2)));
        assert!(acks.complete(a, ReasonCode::SUCCESS));
        assert!(!acks.complete(a, ReasonCode::SUCCESS));
        assert!(acks.pop_ready().is_some());
        assert!(!acks.complete(a, ReasonCode::SUCCESS));
        acks.clear();
        acks.open(id(3));
        assert!(!acks.complete(b, ReasonCode::SUCCESS));
        assert_eq!(acks.len(), 1);
    }
}
