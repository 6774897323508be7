//! Deadlines of connections: CONNECT, keep alive, the end of slowing, the last words of a closing one.

use std::time::{Duration, Instant};

use super::Connections;
use super::connection::{ClientConnection, Stage, Validity};
use crate::worker::TICK;
use crate::worker::post::ConnectionKey;

/// A deadline that has passed.
pub(in crate::worker) enum TimedOut {
    /// It was early, or is dealt with.
    Nothing,
    /// The time of this connection is up: it is to be closed.
    Close(ConnectionKey),
    /// The validity of its credential is to be looked at, which gives it another time for that.
    Judge(ConnectionKey),
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
            _ => {
                let due = connection.mqtt.poll_timeout().filter(|due| *due > now).unwrap_or(recheck);
                connection.look_at().map_or(due, |look_at| look_at.min(due))
            }
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
        let is_to_be_judged = connection.look_at().is_some_and(|look_at| look_at <= now);
        if is_to_be_judged {
            // Who judges it sets the next one.
            connection.connected_mut().into_iter().for_each(|connected| connected.validity.look_at = None);
        }
        self.arm_at(key, now);
        Some(if is_to_be_judged { TimedOut::Judge(key) } else { TimedOut::Nothing })
    }

    /// Until when this connection may stand.
    pub(in crate::worker) fn set_validity(&mut self, key: ConnectionKey, validity: Validity, now: Instant) {
        let Some(let_in) = self.get_mut(key).and_then(ClientConnection::let_in_mut) else { return };
        let_in.validity = validity;
        self.arm(key, now);
    }

    /// After the clock was set: the times at which validities are to be looked at are wrong.
    pub(in crate::worker) fn look_at_all_validities(&mut self, now: Instant) {
        for key in self.keys() {
            let Some(connected) = self.connected_mut(key).filter(|connected| connected.validity.until_ms.is_some())
            else {
                continue;
            };
            connected.validity.look_at = Some(now);
            self.arm(key, now);
        }
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
