//! The service's time: one clock for everything that expires, of all parts of one process.
//!
//! What it is: wall time at the start, carried on by the machine's time since boot (which a suspend does not stop), and
//! brought back to the system's clock with care, so that a clock that was set wrongly for a while ends nothing.
//!
//! | the system's clock | the service's time |
//! |---|---|
//! | differs by up to 2 s | comes nearer by at most 5 % of the time that passes |
//! | differs by more, for 60 s | is set to it |
//! | differs by more than a day, for 10 min | is set to it |
//! | … and comes back before | does not notice |
//! | shows a time before 2026 | goes on by the time since boot: the clock is not set |
//!
//! What it is not: a timer, and no clock for durations within one process: those take [`std::time::Instant`].
//!
//! A restart in the same boot goes on by what was [kept](Kept) of the last run. After a reboot the system's clock counts,
//! unless it is up to 10 min behind the latest time that is known: then that one does. If it is more than a day ahead of
//! that, it is in doubt until it has stood for 10 min: what ends for good goes by [`Times::over_ms`].
//!
//! A machine without a battery for its clock boots in 1970, and is set by the network a little later. Until then the time goes
//! on from the latest that is known, at least from 2026. What the clock is set to counts then as at a boot, and at once. What was
//! dated meanwhile was dated too early: it ends by how long it has lasted, not by the new time ([`Times::is_over`]).

mod following;
mod kept;
mod machine;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use following::{Change, Following, Served};

pub use following::Reading;
pub use kept::{Kept, KeptEarly, NotKept};
pub use machine::{Machine, SystemClocks};

const NS_PER_MS: u64 = 1_000_000;
const SETTLES_AFTER: Duration = Duration::from_hours(24);

/// The service's time at one moment, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub now_ms: u64,
    /// What was to end by then has ended, for certain: `now_ms`, or less while that is in doubt. Whatever is lost when it
    /// ends goes by this one.
    pub over_ms: u64,
    /// As `over_ms`, or less: by then has ended also what was dated before the system's clock was set.
    pub held_from_ms: u64,
    /// What was to end after `held_from_ms` and by then is from before the start, or from before the system's clock was set:
    /// whether it is over is in doubt. What was to end later was set by this run, by the time of now.
    pub held_until_ms: u64,
    /// How long this run has gone by this time: since its start, or since the system's clock was last followed. Zero while
    /// that is not set.
    pub stood: Duration,
}

impl Times {
    /// At a time at which nothing is in doubt.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn certain(now_ms: u64) -> Self {
        Self { now_ms, over_ms: now_ms, held_from_ms: now_ms, held_until_ms: now_ms, stood: Duration::ZERO }
    }

    /// A clock that was set may be set again, to what is right. Once it has stood for a day it is right: then what lies
    /// further ahead than it can was written by a clock that was ahead.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.stood >= SETTLES_AFTER && self.held_ms().is_empty()
    }

    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.over_ms < self.now_ms
    }

    /// What was to end then has ended.
    #[must_use]
    pub fn is_over(&self, at_ms: u64) -> bool {
        at_ms <= self.now_ms && !self.held_ms().contains(&at_ms)
    }

    /// How long it takes until what was to end then has ended.
    #[must_use]
    pub fn left_ms(&self, at_ms: u64) -> u64 {
        let from_ms = if self.held_ms().contains(&at_ms) { self.held_from_ms } else { self.now_ms };
        at_ms.saturating_sub(from_ms)
    }

    /// The moments of which it is in doubt whether they are over.
    #[must_use]
    pub fn held_ms(&self) -> Range<u64> {
        self.held_from_ms.saturating_add(1)..self.held_until_ms.saturating_add(1)
    }
}

/// A handle to the service's time; all copies show the same.
#[derive(Clone)]
pub struct Clock {
    inner: Arc<Inner>,
}

struct Inner {
    machine: Box<dyn Machine>,
    boot_id: Option<String>,
    /// It goes on from an earlier run in the same boot.
    continues: bool,
    /// Something was kept of an earlier run.
    knows_earlier: bool,
    /// How often the system's clock was followed.
    followed: AtomicU64,
    following: Mutex<Following>,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Clock").field("boot_id", &self.inner.boot_id).finish_non_exhaustive()
    }
}

impl Clock {
    /// A clock on the clocks of this machine, with nothing kept of an earlier run.
    #[must_use]
    pub fn system() -> Self {
        Self::start(Box::new(SystemClocks), None)
    }

    /// Goes on from what an earlier run kept, if that was in the same boot.
    #[must_use]
    pub fn start(machine: Box<dyn Machine>, kept: Option<&Kept>) -> Self {
        let (reading, boot_id) = (machine.read(), machine.boot_id());
        let same_boot = kept.filter(|kept| boot_id.as_ref() == Some(&kept.boot_id) && kept.boot_ns <= reading.boot_ns);
        let following = match same_boot {
            Some(kept) => Following::go_on(kept, reading.boot_ns),
            None => Following::begin(reading),
        };
        let clock = Self {
            inner: Arc::new(Inner {
                machine,
                boot_id,
                continues: same_boot.is_some(),
                knows_earlier: kept.is_some(),
                followed: AtomicU64::new(0),
                following: Mutex::new(following),
            }),
        };
        if let Some(kept) = kept.filter(|_| same_boot.is_none()) {
            clock.served(reading);
            clock.lock().not_before(kept.service_ns, true);
            clock.doubt(kept.service_ns);
        }
        clock
    }

    /// Milliseconds since 1970. Never less than before, except where a system clock that was set back is followed.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.times().now_ms
    }

    /// The time, and what is over for certain.
    #[must_use]
    pub fn times(&self) -> Times {
        let Served { now_ns, over_ns, held_from_ns, held_until_ns, stood_ns } = self.served(self.inner.machine.read());
        let ms = [now_ns, over_ns, held_from_ns, held_until_ns].map(|ns| ns / NS_PER_MS);
        let [now_ms, over_ms, held_from_ms, held_until_ms] = ms;
        Times { now_ms, over_ms, held_from_ms, held_until_ms, stood: Duration::from_nanos(stood_ns) }
    }

    /// A time that was stored earlier and cannot lie ahead: the clock goes on from there, if it is up to 10 min behind.
    /// If it is further behind, the stored time was wrong, or is that of another machine; but while the system's clock is not
    /// set, and nothing else is known, there is nothing better. A clock that goes on in the same boot knows better, and is not
    /// moved.
    pub fn not_before(&self, stored_ms: u64) {
        if self.inner.continues {
            return;
        }
        self.served(self.inner.machine.read());
        let stored_ns = stored_ms.saturating_mul(NS_PER_MS);
        self.lock().not_before(stored_ns, !self.inner.knows_earlier);
        // What a start in doubt has stored makes nothing certain: what was kept does, because that is kept without doubt.
        if stored_ns > 0 && !self.inner.knows_earlier {
            self.doubt(stored_ns);
        }
    }

    fn doubt(&self, known_ns: u64) {
        let ahead_s = self.lock().doubt(known_ns);
        if let Some(ahead_s) = ahead_s {
            tracing::warn!(ahead_s, "the system's clock is far ahead of the last run; for 10 min nothing ends by it");
        }
    }

    /// What the next run needs. While the time of a boot is in doubt, or if the machine does not say which boot this is, it is
    /// of no boot: the next run starts as after a boot, and doubts a time in doubt as well.
    #[must_use]
    pub fn keep(&self) -> Kept {
        let reading = self.inner.machine.read();
        // Both of one moment: others read the clock meanwhile, and its time goes on.
        let (now_ns, (service_ns, early)) = self.with(reading, |served, following| (served.now_ns, following.keep()));
        let boot_id = self.inner.boot_id.clone().filter(|_| service_ns == now_ns || early.is_some());
        let boot_id = boot_id.unwrap_or_else(|| kept::NO_BOOT.to_owned());
        Kept { boot_id, boot_ns: reading.boot_ns, service_ns, early }
    }

    /// How often the system's clock was followed by this run. After each time, what the next run needs is another.
    #[must_use]
    pub fn followed(&self) -> u64 {
        self.inner.followed.load(Ordering::Relaxed)
    }

    fn served(&self, reading: Reading) -> Served {
        self.with(reading, |served, _| served)
    }

    fn with<T>(&self, reading: Reading, ask: impl FnOnce(Served, &Following) -> T) -> T {
        let mut following = self.lock();
        let (served, change) = following.at(reading);
        let answer = ask(served, &following);
        drop(following);
        if let Some(change) = change {
            if matches!(change, Change::Followed { .. } | Change::FirstSet { .. }) {
                self.inner.followed.fetch_add(1, Ordering::Relaxed);
            }
            tell(change);
        }
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Following> {
        // Nothing in it can panic.
        self.inner.following.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(change: Change) {
    match change {
        Change::NotSet => tracing::warn!(
            "the system's clock is not set, it shows a time before 2026; until it is, the time goes on from the latest that is \
             known. Remedy: a battery for the clock, or time from the network (NTP) before this server is started"
        ),
        Change::FirstSet { by_s } => tracing::warn!(by_s, "the system's clock has been set, and is followed"),
        Change::Differs { by_s, followed_after_s } => tracing::warn!(
            by_s,
            "the system's clock was set; if that lasts {followed_after_s} s, everything that expires goes by it"
        ),
        Change::Back => tracing::info!("the system's clock was set back to the time that is served by"),
        Change::Followed { by_s } => tracing::warn!(by_s, "the system's clock is followed"),
        Change::Certain => tracing::info!("the time is in doubt no longer"),
    }
}

#[cfg(test)]
mod tests;
