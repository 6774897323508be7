//! The bytes of one turn.

use std::borrow::Cow;
use std::cell::Cell;

/// Bytes that a connection keeps for its next turn. What was read of them stays in front until it is the larger part, so that
/// a turn copies nothing of a buffer that takes many turns, and the buffer is at most twice as large as what is left of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    read: usize,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.read
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a connection has to read: the bytes that it held back, then those that just came. Requests borrow from
/// it, so that they do not borrow the connection.
///
/// Made by [`super::Connection::begin`], given back to [`super::Connection::end`], which keeps the rest.
#[derive(Debug)]
#[must_use = "give it back to the connection, which keeps what was not read"]
pub struct Input<'b> {
    bytes: Cow<'b, [u8]>,
    read: Cell<usize>,
    packets_max: usize,
    packets_spent: Cell<usize>,
}

impl<'b> Input<'b> {
    pub(super) fn new(held: Held, bytes: &'b [u8]) -> Self {
        let Held { bytes: mut kept, read } = held;
        let bytes = if kept.is_empty() {
            Cow::Borrowed(bytes)
        } else {
            kept.extend_from_slice(bytes);
            Cow::Owned(kept)
        };
        Self { bytes, read: Cell::new(read), packets_max: usize::MAX, packets_spent: Cell::new(0) }
    }

    /// So many packets are read in this turn; without it all that are there.
    pub fn limited_to(self, packets: usize) -> Self {
        Self { packets_max: packets, ..self }
    }

    /// Whether as many packets were read as may be in this turn.
    pub fn is_spent(&self) -> bool {
        self.packets_spent() >= self.packets_max
    }

    /// How many packets were read, with what was charged. The last one may have been more work than was left.
    pub fn packets_spent(&self) -> usize {
        self.packets_spent.get()
    }

    /// The last packet was as much work as so many more.
    pub fn charge(&self, packets: usize) {
        self.packets_spent.set(self.packets_spent() + packets);
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
    pub(super) fn into_rest(self) -> Held {
        let read = self.read.get();
        let unread = self.bytes.len() - read;
        match self.bytes {
            _ if unread == 0 => Held::default(),
            Cow::Owned(bytes) if read <= unread => Held { bytes, read },
            bytes => Held { bytes: bytes[read..].to_vec(), read: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_takes_many_turns_stays_in_place_and_is_never_twice_what_is_left() {
        let mut held = Input::new(Held::default(), &[7; 10_000]).into_rest();
        let mut copies = 0;
        while !held.is_empty() {
            let before = (held.len(), held.bytes.as_ptr());
            let input = Input::new(held, &[]);
            input.advance(10);
            held = input.into_rest();
            assert_eq!(held.len(), before.0 - 10);
            assert!(held.bytes.len() <= 2 * held.len());
            copies += usize::from(held.bytes.as_ptr() != before.1);
        }
        assert!(copies <= 10, "{copies} copies in 1,000 turns");
        assert_eq!(held.bytes.capacity(), 0);
    }

    #[test]
    fn new_bytes_come_behind_those_that_were_held() {
        let input = Input::new(Held::default(), b"abcd");
        input.advance(1);
        let input = Input::new(input.into_rest(), &[]);
        input.advance(1);
        assert_eq!(Input::new(input.into_rest(), b"ef").unread(), b"cdef");
    }
}
