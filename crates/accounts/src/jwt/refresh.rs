//! When the keys of an issuer are fetched anew because a login names one that is not known, and who waits for that.
//!
//! ```text
//!   Idle ──a login wants keys, and the last fetch is long enough ago──► Wanted ──the fetcher begins──► Fetching ──► Idle
//! ```
//!
//! Logins with made-up names of keys cause one fetch in [`FETCH_EVERY_MIN`] at most, however many they are; what has no place
//! among those that wait is answered by the keys of now.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// From the end of a fetch to the next one that a login may cause.
const FETCH_EVERY_MIN: Duration = Duration::from_secs(5);
/// Logins that wait for keys.
const WAITING_MAX: usize = 256;

/// Called once, from any thread; it must not wait.
pub(super) type Refreshed = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Refresh {
    state: Mutex<State>,
    wanted: Notify,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// When the last fetch ended.
    fetched: Option<Instant>,
    waiting: Vec<Refreshed>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Wanted,
    Fetching,
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").field("phase", &self.lock().phase).finish_non_exhaustive()
    }
}

impl Refresh {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `done` when keys were fetched, or at once if none will be for now.
    pub(super) fn want(&self, now: Instant, done: Refreshed) {
        let refused = {
            let mut state = self.lock();
            let is_due = state.fetched.is_none_or(|at| now.saturating_duration_since(at) >= FETCH_EVERY_MIN);
            if state.phase == Phase::Idle && is_due {
                state.phase = Phase::Wanted;
                self.wanted.notify_one();
            }
            if state.phase == Phase::Idle || state.waiting.len() == WAITING_MAX {
                Some(done)
            } else {
                state.waiting.push(done);
                None
            }
        };
        if let Some(done) = refused {
            done();
        }
    }

    /// Waits until a login wants keys.
    pub(super) async fn wanted(&self) {
        while self.lock().phase != Phase::Wanted {
            self.wanted.notified().await;
        }
    }

    /// Logins that come from now on wait for this fetch.
    pub(super) fn begin(&self) {
        self.lock().phase = Phase::Fetching;
    }

    /// It has ended, well or not.
    pub(super) fn end(&self, now: Instant) {
        let waiting = {
            let mut state = self.lock();
            state.phase = Phase::Idle;
            state.fetched = Some(now);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(|done| done());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Clone, Default)]
    struct Calls(Arc<AtomicUsize>);

    impl Calls {
        fn one(&self) -> Refreshed {
            let calls = Arc::clone(&self.0);
            Box::new(move || _ = calls.fetch_add(1, Ordering::SeqCst))
        }

        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn logins_wait_for_one_fetch_and_cause_none_soon_after_it() {
        let (refresh, calls, start) = (Refresh::default(), Calls::default(), Instant::now());
        (0..3).for_each(|_| refresh.want(start, calls.one()));
        assert_eq!((refresh.lock().phase, calls.count()), (Phase::Wanted, 0));
        refresh.begin();
        refresh.want(start, calls.one());
        refresh.end(start);
        assert_eq!((refresh.lock().phase, calls.count()), (Phase::Idle, 4));
        refresh.want(start + FETCH_EVERY_MIN / 2, calls.one());
        assert_eq!((refresh.lock().phase, calls.count()), (Phase::Idle, 5), "answered at once, and nothing is fetched");
        refresh.want(start + FETCH_EVERY_MIN, calls.one());
        assert_eq!((refresh.lock().phase, calls.count()), (Phase::Wanted, 5));
    }

    #[test]
    fn what_has_no_place_among_those_that_wait_is_answered_at_once() {
        let (refresh, calls, start) = (Refresh::default(), Calls::default(), Instant::now());
        (0..WAITING_MAX + 2).for_each(|_| refresh.want(start, calls.one()));
        assert_eq!((refresh.lock().waiting.len(), calls.count()), (WAITING_MAX, 2));
    }
}
