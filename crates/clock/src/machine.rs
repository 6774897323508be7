//! The clocks of the machine.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::following::Reading;

const NS_PER_S: u64 = 1_000_000_000;

/// Where readings come from; in tests a script.
pub trait Machine: Send + Sync {
    fn read(&self) -> Reading;

    /// Another one after each boot, without white space; `None`: not known, so that each start is as after a boot.
    fn boot_id(&self) -> Option<String>;
}

/// `CLOCK_BOOTTIME` and `CLOCK_REALTIME` of Linux.
#[derive(Clone, Copy, Debug)]
pub struct SystemClocks;

impl Machine for SystemClocks {
    fn read(&self) -> Reading {
        Reading { boot_ns: ns(clock_gettime(ClockId::Boottime)), wall_ns: ns(clock_gettime(ClockId::Realtime)) }
    }

    fn boot_id(&self) -> Option<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }
}

/// A time before 1970 counts as 1970.
fn ns(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(NS_PER_S).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
