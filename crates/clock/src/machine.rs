//! The clocks of the machine.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

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
        let boot = clock_gettime(ClockId::Boottime);
        let boot_ns = u64::try_from(boot.tv_sec).unwrap_or(0).saturating_mul(NS_PER_S);
        // A time before 1970 counts as 1970.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Reading {
            boot_ns: boot_ns.saturating_add(u64::try_from(boot.tv_nsec).unwrap_or(0)),
            wall_ns: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    fn boot_id(&self) -> Option<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }
}
