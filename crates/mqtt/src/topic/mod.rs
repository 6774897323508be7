//! Topic names, topic filters, matching, and the tree of subscriptions.
//!
//! Refused although the specification only allows to refuse: control characters and non-characters (no log
//! injection), and more than [`LEVELS_MAX`] levels (matching recurses by level).

mod filter;
mod name;
mod tree;

pub use filter::{TopicFilter, TopicFilterBuf};
pub use name::TopicName;
pub use tree::{Match, Matches, Subscription, SubscriptionTree};

use thiserror::Error;

use crate::ReasonCode;

/// More levels than this are refused, in names and in filters.
pub const LEVELS_MAX: usize = 128;

/// Why a topic name or a filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TopicError {
    #[error("empty")]
    Empty,
    #[error("longer than 65,535 bytes")]
    TooLong,
    #[error("more than {LEVELS_MAX} levels")]
    TooDeep,
    #[error("NUL, a control character or a non-character")]
    Character,
    #[error("a wildcard in a topic name")]
    Wildcard,
    #[error("a wildcard that does not fill its level, or # before the last level")]
    MisplacedWildcard,
    #[error("a shared subscription without a name or a filter")]
    Share,
}

impl TopicError {
    /// The 5.0 reason code when the topic of a PUBLISH is at fault.
    pub const fn name_reason(self) -> ReasonCode {
        match self {
            Self::Empty => ReasonCode::PROTOCOL_ERROR,
            Self::Character | Self::TooLong => ReasonCode::MALFORMED_PACKET,
            _ => ReasonCode::TOPIC_NAME_INVALID,
        }
    }
}

/// What both names and filters must keep [MQTT5-4.7.3-1] [MQTT5-4.7.3-2] [MQTT5-4.7.3-3]
/// [MQTT311-4.7.3-1] [MQTT311-4.7.3-2] [MQTT311-4.7.3-3].
fn check_common(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > usize::from(u16::MAX) {
        return Err(TopicError::TooLong);
    }
    if !is_printable(text) {
        return Err(TopicError::Character);
    }
    let separators = text.bytes().filter(|&b| b == b'/').count();
    if separators >= LEVELS_MAX { Err(TopicError::TooDeep) } else { Ok(()) }
}

/// No NUL, no control character, no Unicode non-character.
pub(crate) fn is_printable(text: &str) -> bool {
    // Nearly every topic and client id is ASCII: decide those without decoding.
    if text.is_ascii() {
        // Without an early end, so that many bytes are looked at at once.
        return !text.bytes().fold(false, |found, b| found | (b < 0x20) | (b == 0x7F));
    }
    text.chars().all(|c| !c.is_control() && !is_noncharacter(c))
}

fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}
