//! The watch over the presence of those whom this user may call, renewed before the service forgets it.

use super::step::Step;
use signalling::{SignalId, UpBody};

/// How long the service reports changes after one request, and when that is renewed.
const WATCH_S: u32 = 120;
const RENEW_MS: u64 = 60_000;

#[derive(Default)]
pub(crate) struct ContactWatch {
    /// Set while it watches.
    renews_at_ms: Option<u64>,
}

impl ContactWatch {
    pub(crate) fn poll_timeout_ms(&self) -> Option<u64> {
        self.renews_at_ms
    }

    pub(crate) fn set(&mut self, step: &mut Step<'_, '_>, watches: bool) {
        self.renews_at_ms = watches.then(|| step.now_ms());
        match watches {
            true => drop(self.renew(step)),
            false => drop(step.publish(None, UpBody::Contacts { watch_s: Some(0) })),
        }
    }

    /// The service keeps the watch in memory: each connection renews it.
    pub(crate) fn handle_connected(&mut self, step: &mut Step<'_, '_>) {
        if self.renews_at_ms.is_some() {
            self.renew(step);
        }
    }

    pub(crate) fn handle_timeout(&mut self, step: &mut Step<'_, '_>) {
        if self.renews_at_ms.is_some_and(|at_ms| at_ms <= step.now_ms()) {
            self.renew(step);
        }
    }

    fn renew(&mut self, step: &mut Step<'_, '_>) -> SignalId {
        self.renews_at_ms = Some(step.now_ms() + RENEW_MS);
        step.publish(None, UpBody::Contacts { watch_s: Some(WATCH_S) })
    }
}
