//! The bytes of one turn.

use std::borrow::Cow;
use std::cell::Cell;

/// What a connection has to read: the bytes that it held back, then those that just came. Requests borrow from
/// it, so that they do not borrow the connection.
///
/// Made by [`super::Connection::begin`], given back to [`super::Connection::end`], which keeps the rest.
#[derive(Debug)]
#[must_use = "give it back to the connection, which keeps what was not read"]
pub struct Input<'b> {
    bytes: Cow<'b, [u8]>,
    read: Cell<usize>,
    packets_left: Cell<usize>,
}

impl<'b> Input<'b> {
    pub(super) fn new(mut held: Vec<u8>, bytes: &'b [u8]) -> Self {
        let bytes = if held.is_empty() {
            Cow::Borrowed(bytes)
        } else {
            held.extend_from_slice(bytes);
            Cow::Owned(held)
        };
        Self { bytes, read: Cell::new(0), packets_left: Cell::new(usize::MAX) }
    }

    /// So many packets are read in this turn; without it all that are there.
    pub fn limited_to(self, packets: usize) -> Self {
        self.packets_left.set(packets);
        self
    }

    /// How many packets may still be read in this turn.
    pub fn packets_left(&self) -> usize {
        self.packets_left.get()
    }

    /// The last packet was as much work as so many more.
    pub fn charge(&self, packets: usize) {
        self.packets_left.set(self.packets_left.get().saturating_sub(packets));
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.read.get()..]
    }

    /// A packet of this length was read.
    pub(super) fn advance(&self, len: usize) {
        self.read.set(self.read.get() + len);
        self.charge(1);
    }

    /// The unread rest; without an allocation if there is none.
    pub(super) fn into_rest(self) -> Vec<u8> {
        let read = self.read.get();
        if read == self.bytes.len() {
            return Vec::new();
        }
        match self.bytes {
            Cow::Owned(bytes) if read == 0 => bytes,
            bytes => bytes[read..].to_vec(),
        }
    }
}
