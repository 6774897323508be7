//! Refused requests, counted for each key and minute. They are in no log: a flood of them writes to no disk.
//!
//! What is kept is bounded: an hour, and in each minute so many keys; the refusals of further ones are counted together. Who shows
//! no key that is known here counts as nobody, whatever name it gives.

use super::Now;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use catalog::Actor;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Minutes that are kept.
const MINUTES_MAX: usize = 60;
/// Keys that are told apart in one minute.
const KEYS_PER_MINUTE: usize = 256;
const MINUTE_MS: u64 = 60_000;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 401: no key or secret, or none that is valid.
    Unauthorized,
    /// 403: the key lacks the scope.
    Forbidden,
    /// 429.
    TooMany,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::Unauthorized, Self::Forbidden, Self::TooMany];

    const fn of(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::UNAUTHORIZED => Some(Self::Unauthorized),
            StatusCode::FORBIDDEN => Some(Self::Forbidden),
            StatusCode::TOO_MANY_REQUESTS => Some(Self::TooMany),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::TooMany => "too_many",
        }
    }
}

/// By [`Refusal`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts([u64; 3]);

impl Counts {
    pub(super) const fn of(self, refusal: Refusal) -> u64 {
        self.0[refusal as usize]
    }
}

/// Whose refusals are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refused {
    /// No key that is known.
    Nobody,
    /// As an [`Actor`] is written.
    Key(String),
    /// Of keys beyond [`KEYS_PER_MINUTE`].
    Others,
}

/// Cheap to clone; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct RefusalCounts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    totals: [AtomicU64; 3],
    /// The newest last; their times rise.
    minutes: Mutex<VecDeque<Minute>>,
}

#[derive(Debug, Default)]
struct Minute {
    from_ms: u64,
    counts: BTreeMap<Refused, Counts>,
}

/// Some refusals of one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) from_ms: u64,
    pub(super) who: Refused,
    pub(super) counts: Counts,
}

impl RefusalCounts {
    /// How many there were since the start, by the names of their reasons.
    #[must_use]
    pub fn totals(&self) -> [(&'static str, u64); 3] {
        Refusal::ALL.map(|refusal| (refusal.name(), self.0.totals[refusal as usize].load(Ordering::Relaxed)))
    }

    pub(super) fn note(&self, who: Option<String>, refusal: Refusal, now_ms: u64) {
        self.0.totals[refusal as usize].fetch_add(1, Ordering::Relaxed);
        let mut minutes = self.minutes();
        let from_ms = now_ms / MINUTE_MS * MINUTE_MS;
        // A clock that was set back: these have not come yet.
        while minutes.pop_back_if(|minute| minute.from_ms > from_ms).is_some() {}
        if minutes.back().is_none_or(|minute| minute.from_ms < from_ms) {
            if minutes.len() == MINUTES_MAX {
                minutes.pop_front();
            }
            minutes.push_back(Minute { from_ms, counts: BTreeMap::new() });
        }
        let Some(minute) = minutes.back_mut() else { return };
        let who = who.map_or(Refused::Nobody, Refused::Key);
        let has_place = minute.counts.contains_key(&who) || minute.counts.len() < KEYS_PER_MINUTE;
        let counts = minute.counts.entry(if has_place { who } else { Refused::Others }).or_default();
        counts.0[refusal as usize] += 1;
    }

    /// The newest minutes first, those behind this place; those of the last hour alone.
    pub(super) fn list(&self, after: Option<&(u64, Refused)>, limit: usize, now_ms: u64) -> Vec<Counted> {
        let oldest_ms = now_ms.saturating_sub(MINUTES_MAX as u64 * MINUTE_MS);
        let minutes = self.minutes();
        let kept = minutes.iter().rev().take_while(|minute| minute.from_ms >= oldest_ms);
        let all = kept.flat_map(|minute| {
            minute.counts.iter().map(|(who, counts)| Counted {
                from_ms: minute.from_ms,
                who: who.clone(),
                counts: *counts,
            })
        });
        let is_behind = |counted: &Counted| {
            after.is_none_or(|(from_ms, who)| {
                counted.from_ms < *from_ms || (counted.from_ms == *from_ms && counted.who > *who)
            })
        };
        all.filter(is_behind).take(limit).collect()
    }

    fn minutes(&self) -> MutexGuard<'_, VecDeque<Minute>> {
        // A thread that panicked with the lock held left it whole: at worst a count is missing.
        self.0.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who asks, as far as it is known: an extension of each request, filled by those who find out.
#[derive(Clone, Debug, Default)]
pub(super) struct WhoAsks(Arc<OnceLock<String>>);

impl WhoAsks {
    pub(super) fn is(&self, actor: &Actor) {
        // One request has one key.
        let _ = self.0.set(actor.to_string());
    }
}

/// What the layer of [`counted`] works with.
#[derive(Clone)]
struct Counting {
    counts: RefusalCounts,
    now_ms: Now,
}

/// The routes of this router, with their refusals counted.
pub fn counted(router: Router, counts: RefusalCounts, now_ms: Now) -> Router {
    router.layer(from_fn_with_state(Counting { counts, now_ms }, count))
}

async fn count(State(Counting { counts, now_ms }): State<Counting>, mut request: Request, next: Next) -> Response {
    let who = WhoAsks::default();
    request.extensions_mut().insert(who.clone());
    let response = next.run(request).await;
    if let Some(refusal) = Refusal::of(response.status()) {
        counts.note(who.0.get().cloned(), refusal, now_ms());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(key: &str) -> Option<String> {
        Some(key.to_owned())
    }

    fn seen(counts: &RefusalCounts, now_ms: u64) -> Vec<(u64, Refused, [u64; 3])> {
        let list = counts.list(None, usize::MAX, now_ms);
        list.into_iter().map(|counted| (counted.from_ms, counted.who, counted.counts.0)).collect()
    }

    #[test]
    fn refusals_are_counted_for_each_key_and_minute() {
        let counts = RefusalCounts::default();
        for (who, refusal, at_ms) in [
            (None, Refusal::Unauthorized, 0),
            (some("key:a"), Refusal::Forbidden, 59_999),
            (some("key:a"), Refusal::Forbidden, 59_999),
            (some("key:a"), Refusal::Unauthorized, 60_000),
            (None, Refusal::TooMany, 61_000),
        ] {
            counts.note(who, refusal, at_ms);
        }
        let key = Refused::Key("key:a".to_owned());
        let expected = [
            (60_000, Refused::Nobody, [0, 0, 1]),
            (60_000, key.clone(), [1, 0, 0]),
            (0, Refused::Nobody, [1, 0, 0]),
            (0, key, [0, 2, 0]),
        ];
        assert_eq!(seen(&counts, 61_000), expected);
        let mut parts = Vec::new();
        let mut after = None;
        while let Some(counted) = counts.list(after.as_ref(), 1, 61_000).pop() {
            after = Some((counted.from_ms, counted.who.clone()));
            parts.push((counted.from_ms, counted.who, counted.counts.0));
        }
        assert_eq!(parts, expected);
        assert_eq!(counts.totals(), [("unauthorized", 2), ("forbidden", 2), ("too_many", 1)]);
    }

    #[test]
    fn what_a_flood_leaves_is_bounded() {
        let counts = RefusalCounts::default();
        for minute in 0..200_u64 {
            for key in 0..1_000 {
                counts.note(some(&format!("key:{key}")), Refusal::TooMany, minute * MINUTE_MS);
            }
        }
        let list = seen(&counts, 199 * MINUTE_MS);
        assert_eq!(list.len(), MINUTES_MAX * (KEYS_PER_MINUTE + 1));
        assert_eq!(list[KEYS_PER_MINUTE], (199 * MINUTE_MS, Refused::Others, [0, 0, 1_000 - KEYS_PER_MINUTE as u64]));
        assert_eq!(counts.totals()[2], ("too_many", 200_000));
    }

    #[test]
    fn minutes_are_forgotten_after_an_hour_and_when_the_clock_is_set_back() {
        let counts = RefusalCounts::default();
        counts.note(None, Refusal::Forbidden, 0);
        assert_eq!(seen(&counts, 60 * MINUTE_MS).len(), 1);
        assert!(seen(&counts, 61 * MINUTE_MS).is_empty(), "though nothing was refused since");
        counts.note(None, Refusal::Forbidden, 9 * MINUTE_MS);
        counts.note(None, Refusal::Forbidden, MINUTE_MS);
        let minutes: Vec<u64> = seen(&counts, MINUTE_MS).into_iter().map(|(from_ms, ..)| from_ms).collect();
        assert_eq!(minutes, [MINUTE_MS, 0]);
    }
}
