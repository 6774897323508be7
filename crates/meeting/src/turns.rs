//! Whose request is handled next. Pure.
//!
//! Each sender's requests keep their order and are handled one at a time; senders take turns, so that whoever asks once
//! waits for at most one request of each other. When too many wait, a sender with more than its share loses its newest;
//! if nobody has more, there is no room until one is handled.

use std::collections::{HashMap, VecDeque};

/// Requests of all senders that wait.
const WAITING_MAX: usize = 1_024;
/// What a sender may keep waiting when there is no room.
const SHARE: usize = 8;

pub(crate) struct Turns<T> {
    by_sender: HashMap<String, VecDeque<T>>,
    /// Senders with something that waits and nothing that is handled.
    ready: VecDeque<String>,
    waiting: usize,
    max: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self::holding(WAITING_MAX)
    }
}

impl<T> Turns<T> {
    fn holding(max: usize) -> Self {
        Self { by_sender: HashMap::new(), ready: VecDeque::new(), waiting: 0, max }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.waiting < self.max || self.by_sender.values().any(|queue| queue.len() > SHARE)
    }

    /// Takes it in; hands back what is given up for it.
    pub(crate) fn push(&mut self, sender: &str, request: T) -> Option<T> {
        if let Some(queue) = self.by_sender.get_mut(sender) {
            queue.push_back(request);
        } else {
            self.by_sender.insert(sender.to_owned(), VecDeque::from([request]));
            self.ready.push_back(sender.to_owned());
        }
        self.waiting += 1;
        if self.waiting > self.max { self.give_up() } else { None }
    }

    /// Until `done` says so, its sender has no other turn.
    pub(crate) fn next(&mut self) -> Option<(String, T)> {
        let sender = self.ready.pop_front()?;
        let request = self.by_sender.get_mut(&sender)?.pop_front()?;
        self.waiting -= 1;
        Some((sender, request))
    }

    pub(crate) fn done(&mut self, sender: String) {
        if self.by_sender.get(&sender).is_some_and(VecDeque::is_empty) {
            self.by_sender.remove(&sender);
        } else {
            self.ready.push_back(sender);
        }
    }

    /// All that waits, of each sender in its order.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let mut all: Vec<T> =
            self.ready.drain(..).filter_map(|sender| self.by_sender.remove(&sender)).flatten().collect();
        all.extend(self.by_sender.values_mut().flat_map(|queue| queue.drain(..)));
        self.waiting = 0;
        all
    }

    fn give_up(&mut self) -> Option<T> {
        let longest =
            self.by_sender.values_mut().max_by_key(|queue| queue.len()).filter(|queue| queue.len() > SHARE)?;
        self.waiting -= 1;
        longest.pop_back()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    fn taken(turns: &mut Turns<u32>) -> Vec<(String, u32)> {
        std::iter::from_fn(|| {
            let (sender, request) = turns.next()?;
            turns.done(sender.clone());
            Some((sender, request))
        })
        .collect()
    }

    fn said(list: &[(&str, u32)]) -> Vec<(String, u32)> {
        list.iter().map(|(sender, request)| ((*sender).to_owned(), *request)).collect()
    }

    #[test]
    fn senders_take_turns_and_each_keeps_its_order() {
        let mut turns = Turns::default();
        for request in 1..=3 {
            assert_eq!(turns.push("flood", request), None);
        }
        assert_eq!(turns.push("alice", 10), None);
        assert_eq!(taken(&mut turns), said(&[("flood", 1), ("alice", 10), ("flood", 2), ("flood", 3)]));
        assert!(turns.by_sender.is_empty() && turns.ready.is_empty());
    }

    #[test]
    fn a_sender_has_one_request_handled_at_a_time() {
        let mut turns = Turns::default();
        turns.push("alice", 1);
        turns.push("alice", 2);
        let (alice, first) = turns.next().unwrap();
        assert_eq!((first, turns.next()), (1, None));
        turns.push("alice", 3);
        assert_eq!(turns.next(), None);
        turns.done(alice);
        assert_eq!(taken(&mut turns), said(&[("alice", 2), ("alice", 3)]));
    }

    #[test]
    fn what_waits_can_be_taken_out_while_something_is_handled() {
        let mut turns = Turns::default();
        for (sender, request) in [("alice", 1), ("alice", 2), ("alice", 3), ("bob", 10)] {
            turns.push(sender, request);
        }
        let (alice, _) = turns.next().unwrap();
        let mut drained = turns.drain();
        drained.sort_unstable();
        assert_eq!(drained, [2, 3, 10]);
        turns.push("alice", 4);
        assert_eq!(turns.next(), None, "she has her turn still");
        turns.done(alice);
        assert_eq!(taken(&mut turns), said(&[("alice", 4)]));
        assert!(turns.by_sender.is_empty() && turns.waiting == 0);
    }

    #[test]
    fn when_too_many_wait_whoever_has_more_than_its_share_loses_its_newest() {
        let mut turns = Turns::holding(10);
        for request in 1..=10 {
            assert!(turns.has_room());
            assert_eq!(turns.push("flood", request), None);
        }
        assert_eq!(turns.push("alice", 100), Some(10));
        assert_eq!(turns.push("flood", 11), Some(11));
        assert_eq!(turns.push("bob", 200), Some(9));
        assert!(!turns.has_room(), "nobody has more than the share");
        assert_eq!(taken(&mut turns)[..3], said(&[("flood", 1), ("alice", 100), ("bob", 200)]));
        assert!(turns.has_room() && turns.by_sender.is_empty() && turns.waiting == 0);
    }
}
