//! Permits to negotiate an offer: a few at a time, in the order of arrival, and one for each participation.
//!
//! Contract: a [`NegotiationPermit`] is held by the negotiation itself and not by the request that waits for it, so
//! that a client that hangs up early makes no room for the next.

use signalling::ParticipationId;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Offers that are negotiated at a time; each takes a thread for milliseconds, the others wait in their order.
const AT_ONCE: usize = 8;
/// How long an offer waits for a permit; after that its terminal is asked to try again.
const WITHIN: Duration = Duration::from_secs(5);

pub(crate) struct NegotiationPermits {
    free: Arc<Semaphore>,
    /// Participations that wait or negotiate; no more than there are open requests.
    negotiating: Mutex<HashSet<ParticipationId>>,
}

/// Returned when it is dropped.
pub(crate) struct NegotiationPermit {
    _participation: ParticipationLock,
    _worker: OwnedSemaphorePermit,
}

/// Refuses further offers of its participation until it is dropped.
struct ParticipationLock {
    permits: Arc<NegotiationPermits>,
    who: ParticipationId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NegotiationRefused {
    #[error("too many join at once")]
    TimedOut,
    #[error("this participation is joining already")]
    AlreadyNegotiating,
}

impl NegotiationPermits {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(AT_ONCE)), negotiating: Mutex::default() })
    }

    pub(crate) async fn acquire(
        self: &Arc<Self>,
        who: ParticipationId,
    ) -> Result<NegotiationPermit, NegotiationRefused> {
        if !self.negotiating().insert(who) {
            return Err(NegotiationRefused::AlreadyNegotiating);
        }
        let participation = ParticipationLock { permits: self.clone(), who };
        match timeout(WITHIN, self.free.clone().acquire_owned()).await {
            Ok(Ok(worker)) => Ok(NegotiationPermit { _participation: participation, _worker: worker }),
            _ => Err(NegotiationRefused::TimedOut),
        }
    }

    fn negotiating(&self) -> MutexGuard<'_, HashSet<ParticipationId>> {
        self.negotiating.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ParticipationLock {
    fn drop(&mut self) {
        self.permits.negotiating().remove(&self.who);
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
    async fn one_participation_takes_one_permit_and_leaves_the_others_to_the_rest() {
        let permits = NegotiationPermits::new();
        let first = permits.acquire(id(0)).await.unwrap();
        for _ in 0..2 * AT_ONCE {
            assert_eq!(permits.acquire(id(0)).await.err(), Some(NegotiationRefused::AlreadyNegotiating));
        }
        let mut held = Vec::new();
        for number in 1..AT_ONCE {
            held.push(permits.acquire(id(number)).await.unwrap());
        }
        drop(first);
        assert!(permits.acquire(id(0)).await.is_ok());
    }
}
