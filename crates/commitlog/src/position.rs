//! Positions in the log, and the numbers of its starts.

use std::fmt;

/// A place in the log: segment number × segment size + offset within the segment.
///
/// As the name of a record it is where the record's first copy was written. It is known at append time, rises from
/// append to append, and has gaps, so that it counts nothing. As an end (`Appended::end`, `Log::durable`) it is
/// the first byte that does *not* belong to what it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Eight bytes, little-endian: how records refer to other records.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// The reverse of [`Position::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How many times the log has been started, this start included. Durable before `Log::open` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
