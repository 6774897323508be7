//! How much of the log the clients of one worker need, as far as that is cheap to know.
//!
//! A message is counted once, however many inboxes refer to it; each reference by itself. More than is needed makes the log
//! larger than it had to be; less than is needed only makes it slower in giving space back. So it is a little less.

use commitlog::Position;

use super::shared_messages::SharedMessages;

/// Session, packet ids, connection.
const CLIENT_BYTES: u64 = 160;
const SUBSCRIPTION_BYTES: u64 = 80;
/// Of a message, beside its topic, properties and payload: header, times.
const MESSAGE_BYTES: u64 = 56;
/// Of a reference to it from an inbox: header, client id, expiry.
const REFERENCE_BYTES: u64 = 96;

/// What waits in the inboxes of one worker and is in the log, and who subscribes there.
#[derive(Debug, Default)]
pub(super) struct Live {
    references: u64,
    messages: u64,
    /// Of messages.
    bytes: u64,
    shared: SharedMessages,
    subscriptions: u64,
}

impl Live {
    /// A message is in an inbox.
    pub(super) fn add(&mut self, size: u32) {
        self.references += 1;
        self.messages += 1;
        self.bytes += u64::from(size);
    }

    /// What was added so many times is one message.
    pub(super) fn share(&mut self, message: Position, size: u32, inboxes: u32) {
        let others = u64::from(inboxes.saturating_sub(1));
        if others > 0 {
            self.messages -= others;
            self.bytes -= others * u64::from(size);
            self.shared.insert(message, inboxes);
        }
    }

    /// A message is in one inbox less.
    pub(super) fn remove(&mut self, message: Position, size: u32) {
        self.references -= 1;
        if !self.shared.remove_one(message) {
            self.messages -= 1;
            self.bytes -= u64::from(size);
        }
    }

    pub(super) fn subscribed(&mut self) {
        self.subscriptions += 1;
    }

    pub(super) fn unsubscribed(&mut self) {
        self.subscriptions -= 1;
    }

    /// What it would take to write all of it again, for so many clients.
    pub(super) fn log_bytes(&self, clients: usize) -> u64 {
        self.bytes
            + self.messages * MESSAGE_BYTES
            + self.references * REFERENCE_BYTES
            + self.subscriptions * SUBSCRIPTION_BYTES
            + clients as u64 * CLIENT_BYTES
    }
}
