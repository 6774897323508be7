//! How far a message of the queue has come among its subscribers while some of them had no room for it: it goes on to those
//! alone, and nobody gets it twice.
//!
//! Clients never change their worker, so a worker that took the message is done with it. One that stopped within its
//! subscribers, because they were more than one unit of the log, goes on behind those that have it.

use mqtt::ReasonCode;

use super::action::ClientRef;
use super::post::Outcome;
use crate::workers_by_filter::Workers;

/// Of one message. At most one word for each worker.
#[derive(Debug)]
pub(crate) struct Taken {
    /// All of their subscribers have it.
    workers: Workers,
    /// Of a worker those before this one have it.
    begun: Vec<(usize, ClientRef)>,
    /// Of all that have it: what its acknowledgement waits for.
    outcome: Outcome,
}

impl Default for Taken {
    fn default() -> Self {
        let nobody = Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS);
        Self { workers: Workers::default(), begun: Vec::new(), outcome: nobody }
    }
}

impl Taken {
    /// What one worker said.
    pub(super) fn add(&mut self, worker: usize, outcome: Outcome) {
        match outcome {
            Outcome::Done(_) | Outcome::Durable(_) | Outcome::Dropped(_) => {
                self.workers = self.workers.with(worker);
                self.outcome = self.outcome.merge(outcome);
            }
            Outcome::Partial { stored, next } => {
                self.begun.retain(|(begun, _)| *begun != worker);
                self.begun.push((worker, next));
                self.outcome = self.outcome.merge(Outcome::Durable(stored));
            }
            Outcome::Unavailable | Outcome::NoRoom | Outcome::Forbidden(_) => {}
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Those of `workers` that it still goes to, each with the first of its clients that may lack it.
    pub(super) fn left_of(&self, workers: Workers) -> Vec<(usize, ClientRef)> {
        let begun = |worker| self.begun.iter().find(|(begun, _)| *begun == worker).map(|(_, next)| *next);
        let left = workers.iter().filter(|worker| !self.workers.contains(*worker));
        left.map(|worker| (worker, begun(worker).unwrap_or(ClientRef::FIRST))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commitlog::Position;

    fn workers(all: &[usize]) -> Workers {
        all.iter().fold(Workers::default(), |workers, worker| workers.with(*worker))
    }

    #[test]
    fn a_message_goes_on_to_those_that_lack_it_and_waits_for_the_disk_of_all() {
        let mut taken = Taken::default();
        let next = |slot| ClientRef { slot, generation: 0 };
        let partial = |stored, slot| Outcome::Partial { stored: Position(stored), next: next(slot) };
        taken.add(0, Outcome::Durable(Position(9)));
        taken.add(1, partial(12, 4));
        taken.add(2, Outcome::NoRoom);
        taken.add(3, Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS));
        assert_eq!(taken.left_of(workers(&[0, 1, 2, 3])), [(1, next(4)), (2, ClientRef::FIRST)]);
        taken.add(1, partial(13, 8));
        taken.add(2, Outcome::Durable(Position(14)));
        assert_eq!(taken.left_of(workers(&[0, 1, 2, 5])), [(1, next(8)), (5, ClientRef::FIRST)]);
        taken.add(1, Outcome::Done(ReasonCode::SUCCESS));
        assert!(taken.left_of(workers(&[0, 1, 2])).is_empty());
        assert_eq!(taken.outcome(), Outcome::Durable(Position(14)));
    }
}
