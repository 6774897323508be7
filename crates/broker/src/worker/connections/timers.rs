//! Deadlines of connections: CONNECT, keep alive, the end of slowing, the last words of a closing one.

use std::time::{Duration, Instant};

use super::Connections;
use super::connection::Stage;
use crate::worker::TICK;
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
    pub(super) fn arm_at(&mut self, key: ConnectionKey, now: Instant) {
        self.arm(key, now);
        if let Some(wait) = self.slowed_for(key, now) {
            self.timers.arm(key, now + wait);
        }
    }

    /// How long a connection that has published too fast is not read.
    fn slowed_for(&self, key: ConnectionKey, now: Instant) -> Option<Duration> {
        let (rate, passed) = (self.context.limits.user_publishes, now.saturating_duration_since(self.start));
        let connection = self.get(key).filter(|connection| connection.is_slowed)?;
        connection.connected()?.publishes.debt(rate, passed)
    }

    /// The next deadline that has passed; `None`: there is none.
    pub(in crate::worker) fn next_timeout(&mut self, now: Instant) -> Option<TimedOut> {
        let key = self.timers.fire(now)?;
        self.end_slowing(key, now);
        let Some(connection) = self.get_mut(key) else { return Some(TimedOut::Nothing) };
        let is_unread = connection.is_unread();
        let was_unread = std::mem::replace(&mut connection.was_unread, is_unread);
        if let Stage::Closing(closing) = &connection.stage {
            if closing.give_up <= now {
                self.remove(key);
                return Some(TimedOut::Nothing);
            }
        } else if !was_unread && let Err(close) = connection.mqtt.handle_timeout(now, &mut connection.out) {
            tracing::debug!(reason = %close.reason, detail = close.detail, "a connection's time is up");
            return Some(TimedOut::Close(key));
        }
        self.arm_at(key, now);
        Some(TimedOut::Nothing)
    }

    /// A slowed connection whose time is over is read again.
    fn end_slowing(&mut self, key: ConnectionKey, now: Instant) {
        if self.slowed_for(key, now).is_some() {
            return;
        }
        if let Some(connection) = self.get_mut(key).filter(|connection| connection.is_slowed) {
            connection.is_slowed = false;
            self.read_later(key);
        }
    }
}
