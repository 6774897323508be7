//! How much of the log the clients of one worker need, as far as that is cheap to know.
//!
//! A message of several inboxes is counted in each. More than is needed makes the log larger than it had to be; less than
//! is needed only makes it slower in giving space back.

/// Session, subscriptions, collapse keys, connection.
const CLIENT_BYTES: u64 = 512;
/// Of a message that waits, beside its topic, properties and payload: two headers, the times, the client id.
const ENTRY_BYTES: u64 = 192;

/// What waits in the inboxes of one worker.
#[derive(Debug, Default)]
pub(super) struct Live {
    messages: u64,
    bytes: u64,
}

impl Live {
    pub(super) fn add(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.bytes += bytes;
    }

    pub(super) fn less(&mut self, messages: u64, bytes: u64) {
        self.messages -= messages;
        self.bytes -= bytes;
    }

    /// What it would take to write all of it again, for so many clients.
    pub(super) fn log_bytes(&self, clients: usize) -> u64 {
        self.bytes + self.messages * ENTRY_BYTES + clients as u64 * CLIENT_BYTES
    }
}
