//! Who negotiates when: a few offers at a time, in the order of their coming, and of each participation one.
//!
//! Contract: a [`Turn`] is held by the work itself, not by who waits for it, so that whoever hangs up early has not
//! made room for the next.

use signalling::ParticipationId;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Offers that are negotiated at a time; each takes a thread for milliseconds, the others wait in their order.
const AT_ONCE: usize = 8;
/// How long an offer waits for its turn; then its terminal is told to try again.
const WITHIN: Duration = Duration::from_secs(5);

pub(crate) struct Turns {
    free: Arc<Semaphore>,
    /// As many as there are requests.
    taken_by: Mutex<HashSet<ParticipationId>>,
}

/// Given back when it is dropped.
pub(crate) struct Turn {
    _waits: Alone,
    _works: OwnedSemaphorePermit,
}

struct Alone {
    turns: Arc<Turns>,
    who: ParticipationId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTurn {
    #[error("too many join at once")]
    Late,
    #[error("this participation is joining already")]
    Twice,
}

impl Turns {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(AT_ONCE)), taken_by: Mutex::default() })
    }

    pub(crate) async fn take(self: &Arc<Self>, who: ParticipationId) -> Result<Turn, NoTurn> {
        if !self.taken_by().insert(who) {
            return Err(NoTurn::Twice);
        }
        let waits = Alone { turns: self.clone(), who };
        match timeout(WITHIN, self.free.clone().acquire_owned()).await {
            Ok(Ok(works)) => Ok(Turn { _waits: waits, _works: works }),
            _ => Err(NoTurn::Late),
        }
    }

    fn taken_by(&self) -> MutexGuard<'_, HashSet<ParticipationId>> {
        self.taken_by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.turns.taken_by().remove(&self.who);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    fn id(number: usize) -> ParticipationId {
        ParticipationId(uuid::Uuid::from_u128(number as u128))
    }

    #[tokio::test]
    async fn one_participation_takes_one_turn_and_leaves_the_others_to_the_rest() {
        let turns = Turns::new();
        let first = turns.take(id(0)).await.unwrap();
        for _ in 0..2 * AT_ONCE {
            assert_eq!(turns.take(id(0)).await.err(), Some(NoTurn::Twice));
        }
        let mut held = Vec::new();
        for number in 1..AT_ONCE {
            held.push(turns.take(id(number)).await.unwrap());
        }
        drop(first);
        assert!(turns.take(id(0)).await.is_ok());
    }
}
