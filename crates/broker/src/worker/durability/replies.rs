//! One reply for a message that went to several places.

use std::collections::HashMap;

use mqtt::ReasonCode;

use crate::worker::post::{Outcome, ReplyTarget};

#[derive(Default)]
pub(super) struct PendingReplies {
    by_number: HashMap<u64, Pending>,
    next_number: u64,
}

struct Pending {
    target: ReplyTarget,
    remaining: usize,
    outcome: Outcome,
}

impl PendingReplies {
    pub(super) fn open(&mut self, target: ReplyTarget, parts: usize) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let outcome = match &target {
            ReplyTarget::Queue(job) => job.taken.outcome(),
            _ => Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS),
        };
        self.by_number.insert(number, Pending { target, remaining: parts, outcome });
        number
    }

    pub(super) fn add_part(&mut self, number: u64, worker: usize, outcome: Outcome) -> Option<(ReplyTarget, Outcome)> {
        if let Some(Pending { target: ReplyTarget::Queue(job), .. }) = self.by_number.get_mut(&number) {
            job.taken.add(worker, outcome);
        }
        self.add_outcome(number, outcome)
    }

    pub(super) fn add_outcome(&mut self, number: u64, outcome: Outcome) -> Option<(ReplyTarget, Outcome)> {
        let pending = self.by_number.get_mut(&number)?;
        pending.outcome = pending.outcome.merge(outcome);
        pending.remaining -= 1;
        if pending.remaining > 0 {
            return None;
        }
        let Pending { target, outcome, .. } = self.by_number.remove(&number)?;
        Some((target, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::action::ClientRef;
    use commitlog::Position;

    #[test]
    fn one_reply_speaks_for_all_places() {
        let durable = |at| Outcome::Durable(Position(at));
        let (success, nobody) = (ReasonCode::SUCCESS, ReasonCode::NO_MATCHING_SUBSCRIBERS);
        let partial = Outcome::Partial { stored: Position(3), next: ClientRef::FIRST };
        let table = [
            (durable(3), durable(9), durable(9)),
            (durable(3), Outcome::Done(success), durable(3)),
            (Outcome::Dropped(nobody), Outcome::Done(success), Outcome::Done(success)),
            (Outcome::Done(nobody), Outcome::Done(success), Outcome::Done(success)),
            (Outcome::Unavailable, durable(3), Outcome::Unavailable),
            (Outcome::NoRoom, Outcome::Unavailable, Outcome::NoRoom),
            (partial, durable(9), partial),
            (partial, Outcome::Unavailable, partial),
            (Outcome::Dropped(nobody), Outcome::Dropped(nobody), Outcome::Dropped(nobody)),
        ];
        for (a, b, expected) in table {
            assert_eq!(a.merge(b), expected);
            assert_eq!(b.merge(a), expected);
        }
    }

    #[test]
    fn the_last_place_brings_the_reply_and_a_later_one_nothing() {
        let mut replies = PendingReplies::default();
        let (first, second) = (replies.open(ReplyTarget::Nobody, 2), replies.open(ReplyTarget::Nobody, 1));
        assert!(replies.add_outcome(first, Outcome::Durable(Position(7))).is_none());
        let outcome = |reply: Option<(ReplyTarget, Outcome)>| reply.map(|(_, outcome)| outcome);
        assert_eq!(outcome(replies.add_outcome(second, Outcome::Unavailable)), Some(Outcome::Unavailable));
        assert_eq!(
            outcome(replies.add_outcome(first, Outcome::Done(ReasonCode::SUCCESS))),
            Some(Outcome::Durable(Position(7)))
        );
        assert!(replies.add_outcome(first, Outcome::Unavailable).is_none());
    }
}
