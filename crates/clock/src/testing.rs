//! A machine whose clock can be set, and which can be suspended and booted anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Clock, Kept, Machine, Reading};

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// All copies are the same machine.
#[derive(Clone, Debug)]
pub struct TestMachine(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    boot: u32,
    boot_ns: u64,
    true_ns: u64,
    wrong_by_s: i64,
}

impl Machine for TestMachine {
    fn read(&self) -> Reading {
        let state = self.state();
        let wrong_by_ns = state.wrong_by_s.saturating_mul(NS_PER_S.cast_signed());
        Reading { boot_ns: state.boot_ns, wall_ns: state.true_ns.saturating_add_signed(wrong_by_ns) }
    }

    fn boot_id(&self) -> Option<String> {
        Some(format!("boot-{}", self.state().boot))
    }
}

impl TestMachine {
    /// A machine that has just been started, at this time.
    #[must_use]
    pub fn at(true_ms: u64) -> Self {
        Self(Arc::new(Mutex::new(State { boot: 1, boot_ns: 0, true_ns: true_ms * NS_PER_MS, wrong_by_s: 0 })))
    }

    /// The service's time on it.
    #[must_use]
    pub fn clock(&self, kept: Option<&Kept>) -> Clock {
        Clock::start(Box::new(self.clone()), kept)
    }

    #[must_use]
    pub fn true_ms(&self) -> u64 {
        self.state().true_ns / NS_PER_MS
    }

    pub fn pass(&self, ms: u64) {
        let mut state = self.state();
        state.boot_ns += ms * NS_PER_MS;
        state.true_ns += ms * NS_PER_MS;
    }

    /// Sets the system's clock to be ahead of the true time by so much.
    pub fn set_wrong_by(&self, seconds: i64) {
        self.state().wrong_by_s = seconds;
    }

    /// The system's clock runs from 1970 on, as on a machine without a battery for it.
    pub fn unset(&self) {
        let mut state = self.state();
        state.wrong_by_s = -(state.true_ns / NS_PER_S).cast_signed();
    }

    pub fn reboot(&self) {
        let mut state = self.state();
        state.boot += 1;
        state.boot_ns = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
