//! Keeps being told of the presence of the people whom this user may call.

use super::turn::Turn;
use signalling::{SignalId, UpBody};

/// For how long one request lets the service tell changes, and when it is renewed.
const WATCH_S: u32 = 120;
const RENEW_MS: u64 = 60_000;

#[derive(Default)]
pub(crate) struct Watch {
    /// While it watches.
    renews_at_ms: Option<u64>,
}

impl Watch {
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.renews_at_ms
    }

    pub(crate) fn set(&mut self, turn: &mut Turn<'_, '_>, watches: bool) {
        self.renews_at_ms = watches.then(|| turn.now_ms());
        match watches {
            true => drop(self.renew(turn)),
            false => drop(turn.publish(None, UpBody::Contacts { watch_s: Some(0) })),
        }
    }

    /// The service keeps the watch in memory: each connection renews it.
    pub(crate) fn handle_connected(&mut self, turn: &mut Turn<'_, '_>) {
        if self.renews_at_ms.is_some() {
            self.renew(turn);
        }
    }

    pub(crate) fn handle_tick(&mut self, turn: &mut Turn<'_, '_>) {
        if self.renews_at_ms.is_some_and(|at_ms| at_ms <= turn.now_ms()) {
            self.renew(turn);
        }
    }

    fn renew(&mut self, turn: &mut Turn<'_, '_>) -> SignalId {
        self.renews_at_ms = Some(turn.now_ms() + RENEW_MS);
        turn.publish(None, UpBody::Contacts { watch_s: Some(WATCH_S) })
    }
}
