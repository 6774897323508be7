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
//!
//! What it is not: a timer, and no clock for durations within one process: those take [`std::time::Instant`].
//!
//! A restart in the same boot goes on by what was [kept](Kept) of the last run. After a reboot the system's clock counts,
//! unless it is up to 10 min behind the latest time that is known: then that one does.

mod following;
mod kept;
mod machine;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use following::{Change, Following};

pub use following::Reading;
pub use kept::{Kept, NotKept};
pub use machine::{Machine, SystemClocks};

const NS_PER_MS: u64 = 1_000_000;

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
            Some(kept) => Following::since(kept.boot_ns, kept.service_ns),
            None => Following::since(reading.boot_ns, reading.wall_ns),
        };
        let clock = Self {
            inner: Arc::new(Inner {
                machine,
                boot_id,
                continues: same_boot.is_some(),
                followed: AtomicU64::new(0),
                following: Mutex::new(following),
            }),
        };
        if let Some(kept) = kept {
            clock.not_before(kept.service_ns / NS_PER_MS);
        }
        clock
    }

    /// Milliseconds since 1970. Never less than before, except where a system clock that was set back is followed.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ns(self.inner.machine.read()) / NS_PER_MS
    }

    /// A time that was stored earlier and cannot lie ahead: the clock goes on from there, if it is up to 10 min behind.
    /// If it is further behind, the stored time was wrong, or is that of another machine. A clock that goes on in the same
    /// boot knows better, and is not moved.
    pub fn not_before(&self, stored_ms: u64) {
        if self.inner.continues {
            return;
        }
        let reading = self.inner.machine.read();
        self.now_ns(reading);
        self.lock().not_before(reading, stored_ms.saturating_mul(NS_PER_MS));
    }

    /// What the next run needs, to go on in the same boot; `None`: the machine does not say which boot this is.
    #[must_use]
    pub fn keep(&self) -> Option<Kept> {
        let reading = self.inner.machine.read();
        let service_ns = self.now_ns(reading);
        Some(Kept { boot_id: self.inner.boot_id.clone()?, boot_ns: reading.boot_ns, service_ns })
    }

    /// How often the system's clock was followed by this run. After each time, what the next run needs is another.
    #[must_use]
    pub fn followed(&self) -> u64 {
        self.inner.followed.load(Ordering::Relaxed)
    }

    fn now_ns(&self, reading: Reading) -> u64 {
        let (now_ns, change) = self.lock().at(reading);
        if let Some(change) = change {
            if matches!(change, Change::Followed { .. }) {
                self.inner.followed.fetch_add(1, Ordering::Relaxed);
            }
            tell(change);
        }
        now_ns
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Following> {
        // Nothing in it can panic.
        self.inner.following.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(change: Change) {
    match change {
        Change::Differs { by_s, followed_after_s } => tracing::warn!(
            by_s,
            "the system's clock was set; if that lasts {followed_after_s} s, everything that expires goes by it"
        ),
        Change::Back => tracing::info!("the system's clock was set back to the time that is served by"),
        Change::Followed { by_s } => tracing::warn!(by_s, "the system's clock is followed"),
    }
}

#[cfg(test)]
mod tests;
