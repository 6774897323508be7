//! The types of tokens: for subscribing, for publishing, for both.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TokenType {
    /// To subscribe.
    #[serde(rename = "R")]
    Read,
    /// To publish.
    #[serde(rename = "W")]
    Write,
    #[serde(rename = "RW")]
    ReadWrite,
}

impl TokenType {
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::ReadWrite];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "R",
            Self::Write => "W",
            Self::ReadWrite => "RW",
        }
    }

    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|token_type| token_type.name() == name)
    }

    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
