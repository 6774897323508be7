//! Deadlines of connections: CONNECT, keep alive, the end of slowing, the last words of a closing one.

use std::time::{Duration, Instant};

use super::Connections;
use super::connection::Stage;
use crate::worker::TICK;
use crate::worker::action::Now;
use crate::worker::post::ConnectionKey;

/// A deadline that has passed.
pub(in crate::worker) enum TimedOut {
    /// It was early, or is dealt with.
    Nothing,
    /// The time of this connection is up: it is to be closed.
    Close(ConnectionKey),
}

impl Connections {
    pub(in crate::worker) fn next_due(&mut self) -> Option<Instant> {
        self.timers.next_due()
    }

    pub(super) fn arm(&mut self, key: ConnectionKey, now: Instant) {
        let recheck = now + TICK * 4;
        let Some(connection) = self.get_mut(key) else { return };
        let due = match &connection.stage {
            Stage::Closing(closing) => closing.give_up,
            // In the past: it is not over, because its silence was ours.
            _ => connection.mqtt.poll_timeout().filter(|due| *due > now).unwrap_or(recheck),
        };
        self.timers.arm(key, due);
    }

    /// The same, not later than a slowed connection may be read again.
    pub(super) fn arm_at(&mut self, key: ConnectionKey, now: Now) {
        self.arm(key, now.instant);
        let rate = self.shared.limits.user_publishes;
        let Some(connection) = self.get_mut(key).filter(|connection| connection.is_slowed) else { return };
        if let Some(wait) =
            connection.connected().and_then(|connected| connected.publishes.debt(rate, Duration::from_millis(now.ms)))
        {
            self.timers.arm(key, now.instant + wait);
        }
    }

    /// The next deadline that has passed; `None`: there is none.
    pub(in crate::worker) fn next_timeout(&mut self, now: Now) -> Option<TimedOut> {
        let key = self.timers.fire(now.instant)?;
        self.end_slowing(key, now);
        let Some(connection) = self.get_mut(key) else { return Some(TimedOut::Nothing) };
        let is_unread = connection.is_unread();
        let was_unread = std::mem::replace(&mut connection.was_unread, is_unread);
        if let Stage::Closing(closing) = &connection.stage {
            if closing.give_up <= now.instant {
                self.remove(key);
                return Some(TimedOut::Nothing);
            }
        } else if !was_unread && let Err(close) = connection.mqtt.handle_timeout(now.instant, &mut connection.out) {
            tracing::debug!(reason = %close.reason, detail = close.detail, "a connection's time is up");
            return Some(TimedOut::Close(key));
        }
        self.arm_at(key, now);
        Some(TimedOut::Nothing)
    }

    /// A slowed connection whose time is over is read again.
    fn end_slowing(&mut self, key: ConnectionKey, now: Now) {
        let rate = self.shared.limits.user_publishes;
        let Some(connection) = self.get_mut(key).filter(|connection| connection.is_slowed) else { return };
        if connection
            .connected()
            .is_none_or(|connected| connected.publishes.debt(rate, Duration::from_millis(now.ms)).is_none())
        {
            connection.is_slowed = false;
            self.mark_ready(key);
        }
    }
}
