//! How often one key may ask for what costs: tokens, the ends of tokens, acts in meetings.
//!
//! The map is bounded: the key that was quiet longest is forgotten first.

use crate::recent::Recent;
use limiter::{Rate, TokenBucket};
use problem::{Code, Problem};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Keys that are remembered.
const SOURCES_MAX: usize = 4_096;

/// What is held to a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asking {
    ApplyForToken,
    /// Each is a change of the rules, which all parts read anew.
    RevokeToken,
    /// Each is a transaction with a row of the log, and is told to people.
    ActInMeeting,
}

impl Asking {
    const fn rate(self) -> Rate {
        match self {
            Self::ApplyForToken => Rate { burst: 100, per_second: 100 },
            Self::RevokeToken => Rate { burst: 5, per_second: 5 },
            Self::ActInMeeting => Rate { burst: 50, per_second: 10 },
        }
    }
}

pub(super) struct Rates(Mutex<Recent<(Asking, String), TokenBucket>>);

impl Default for Rates {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(SOURCES_MAX)))
    }
}

impl Rates {
    /// `now`: since a moment that stays the same.
    ///
    /// # Errors
    /// It asks too often.
    pub(super) fn take(&self, asking: Asking, key: String, now: Duration) -> Result<(), Problem> {
        // A thread that panicked with the lock held left it whole: each change is one call.
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let source = (asking, key);
        let mut bucket = buckets.get_mut(&source).copied().unwrap_or_default();
        let Rate { per_second, .. } = asking.rate();
        bucket.try_take(asking.rate(), now).map_err(|_| {
            let words = format!("one key may ask for this {per_second} times a second; ask again in a moment");
            Problem::new(Code::TooManyRequests, words).retry_after(1)
        })?;
        buckets.insert(source, bucket);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_rate_for_each_thing() {
        let rates = Rates::default();
        let take = |key: &str, at_ms| rates.take(Asking::RevokeToken, key.to_owned(), Duration::from_millis(at_ms));
        for _ in 0..5 {
            assert!(take("a", 0).is_ok());
        }
        assert!(take("a", 0).is_err() && take("a", 199).is_err() && take("b", 0).is_ok());
        assert!(rates.take(Asking::ApplyForToken, "a".to_owned(), Duration::ZERO).is_ok());
        assert!(take("a", 200).is_ok() && take("a", 200).is_err());
    }
}
