//! The budget of requests of each sender, so that a flood of one does not keep the others waiting. Pure: time is given.
//!
//! A [`TokenBucket`] per sender. A sender that has used it up is refused, at most once a second, and otherwise ignored
//! until its bucket has a token again; so a flood costs one acknowledgement a request, and neither a transaction nor an
//! answer.

use limiter::{Rate, TokenBucket};
use std::collections::HashMap;
use std::time::Duration;

/// Senders with a bucket; past it those whose bucket is full again are removed.
const SENDERS_MAX: usize = 10_000;
const REFUSE_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Handle,
    /// One too many, and the sender has not been told lately.
    Refuse,
    Drop,
}

pub(crate) struct Budgets {
    rate: Rate,
    by_sender: HashMap<String, Budget>,
}

#[derive(Default)]
struct Budget {
    bucket: TokenBucket,
    refused_at: Option<Duration>,
}

impl Budgets {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, by_sender: HashMap::new() }
    }

    pub(crate) fn take(&mut self, sender: &str, now: Duration) -> Verdict {
        if !self.by_sender.contains_key(sender) {
            self.make_room(now);
            self.by_sender.insert(sender.to_owned(), Budget::default());
        }
        let rate = self.rate;
        self.by_sender.get_mut(sender).map_or(Verdict::Drop, |budget| match budget.bucket.try_take(rate, now) {
            Ok(()) => Verdict::Handle,
            Err(_) => budget.refuse(now),
        })
    }

    /// There is no room for what was permitted: empties the sender's bucket.
    pub(crate) fn exceed(&mut self, sender: &str, now: Duration) -> Verdict {
        let rate = self.rate;
        self.by_sender.get_mut(sender).map_or(Verdict::Drop, |budget| {
            budget.bucket.drain(rate, now);
            budget.refuse(now)
        })
    }

    fn make_room(&mut self, now: Duration) {
        if self.by_sender.len() >= SENDERS_MAX {
            self.by_sender.retain(|_, budget| !budget.bucket.is_full(now));
        }
    }
}

impl Budget {
    fn refuse(&mut self, now: Duration) -> Verdict {
        if self.refused_at.is_some_and(|at| now.saturating_sub(at) < REFUSE_EVERY) {
            return Verdict::Drop;
        }
        self.refused_at = Some(now);
        Verdict::Refuse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn budgets(burst: u32, per_second: u32) -> Budgets {
        Budgets::new(Rate { burst, per_second })
    }

    fn verdicts(budgets: &mut Budgets, sender: &str, count: usize, now: Duration) -> Vec<Verdict> {
        (0..count).map(|_| budgets.take(sender, now)).collect()
    }

    #[test]
    fn a_flood_is_refused_once_a_second_and_otherwise_dropped_until_a_request_is_due_again() {
        use Verdict::{Drop, Handle, Refuse};
        let (mut budgets, start) = (budgets(3, 2), START);
        assert_eq!(verdicts(&mut budgets, "mallory", 6, start), [Handle, Handle, Handle, Refuse, Drop, Drop]);
        assert_eq!(verdicts(&mut budgets, "alice", 3, start), [Handle, Handle, Handle]);
        let later = start + Duration::from_millis(500);
        assert_eq!(verdicts(&mut budgets, "mallory", 3, later), [Handle, Drop, Drop]);
        let rested = start + Duration::from_secs(60);
        assert_eq!(verdicts(&mut budgets, "mallory", 4, rested), [Handle, Handle, Handle, Refuse]);
    }

    #[test]
    fn whoever_has_filled_the_room_is_not_heard_for_a_while() {
        use Verdict::{Drop, Handle, Refuse};
        let (mut budgets, start) = (budgets(200, 2), START);
        assert_eq!(verdicts(&mut budgets, "mallory", 2, start), [Handle, Handle]);
        assert_eq!(budgets.exceed("mallory", start), Refuse);
        assert_eq!(verdicts(&mut budgets, "mallory", 2, start), [Drop, Drop]);
        let later = start + Duration::from_millis(500);
        assert_eq!(verdicts(&mut budgets, "mallory", 2, later), [Handle, Drop]);
        assert_eq!(budgets.exceed("mallory", later), Drop);
    }

    #[test]
    fn senders_who_rest_are_forgotten_when_there_are_too_many() {
        let (mut budgets, start) = (budgets(1, 1), START);
        for sender in 0..SENDERS_MAX {
            budgets.take(&sender.to_string(), start);
        }
        budgets.take("one more", start + Duration::from_secs(5));
        assert_eq!(budgets.by_sender.len(), 1);
    }
}
