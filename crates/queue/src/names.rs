//! Names of topics and consumer groups, validated when they are parsed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Longest name of a topic or a group, in bytes.
pub const NAME_BYTES_MAX: usize = 127;
/// Prefix of a dead-letter topic's name, before the name of its group.
pub const DEAD_LETTER_PREFIX: &str = "%DLQ%";

/// Not a valid name of a topic or a group.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name:?} is not a name: use 1 to {NAME_BYTES_MAX} of the characters A-Z a-z 0-9 _ - % |")]
pub struct NameError {
    pub name: String,
}

fn checked(name: &str) -> Result<Arc<str>, NameError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    let spelt = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'_' | b'-'));
    if fits && spelt { Ok(name.into()) } else { Err(NameError { name: name.chars().take(NAME_BYTES_MAX).collect() }) }
}

macro_rules! name {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// # Errors
            /// Empty, too long, or spelt with other characters.
            pub fn parse(name: &str) -> Result<Self, NameError> {
                checked(name).map(Self)
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::parse(name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(TopicName, "A queue topic.");
name!(GroupName, "A consumer group.");

impl TopicName {
    /// Returns the name of the topic to which messages of `group` move that were handed out too often.
    ///
    /// # Errors
    /// The group's name leaves no room for the prefix.
    pub fn dead_letters_of(group: &GroupName) -> Result<Self, NameError> {
        Self::parse(&format!("{DEAD_LETTER_PREFIX}{group}"))
    }
}
