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
}

impl<'b> Input<'b> {
    pub(super) fn new(mut held: Vec<u8>, bytes: &'b [u8]) -> Self {
        let bytes = if held.is_empty() {
            Cow::Borrowed(bytes)
        } else {
            held.extend_from_slice(bytes);
            Cow::Owned(held)
        };
        Self { bytes, read: Cell::new(0) }
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.read.get()..]
    }

    pub(super) fn advance(&self, len: usize) {
        self.read.set(self.read.get() + len);
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
