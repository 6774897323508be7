//! The grammar of names: Group IDs, client ids, parent topics.

use std::ops::RangeInclusive;

/// `<GroupID>@@@<DeviceID>` as a whole.
pub const CLIENT_ID_CHARS_MAX: usize = 64;
pub const GROUP_ID_CHARS: RangeInclusive<usize> = 7..=64;
pub const PARENT_CHARS: RangeInclusive<usize> = 3..=64;

const SEPARATOR: &str = "@@@";
/// Of the queue topics to which the broker tells who of a group comes and goes: `<GroupID>_MQTT`.
const ONLINE_EVENTS: &str = "_MQTT";

/// Why a name is none; its words are thing, cause and remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the group ID must begin with GID_ or GID- and have 7 to 64 letters, digits, - or _")]
    Group,
    #[error("the device name must have 1 or more letters, digits, - or _; leave out everything else")]
    Device,
    #[error("the client id must read <GroupID>@@@<DeviceID>")]
    NoSeparator,
    #[error("the client id <GroupID>@@@<DeviceID> has more than 64 characters; choose a shorter device name")]
    TooLong,
    #[error("the parent topic must have 3 to 64 letters, digits, - or _")]
    Parent,
}

/// A client id in its two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId<'a> {
    whole: &'a str,
    group_len: usize,
}

impl<'a> ClientId<'a> {
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(text: &'a str) -> Result<Self, NameError> {
        let (group, device) = text.split_once(SEPARATOR).ok_or(NameError::NoSeparator)?;
        check_group_id(group)?;
        check_device_id(device)?;
        if text.len() > CLIENT_ID_CHARS_MAX {
            return Err(NameError::TooLong);
        }
        Ok(Self { whole: text, group_len: group.len() })
    }

    pub fn as_str(self) -> &'a str {
        self.whole
    }

    pub fn group(self) -> &'a str {
        &self.whole[..self.group_len]
    }

    /// The part behind `@@@`.
    pub fn device(self) -> &'a str {
        &self.whole[self.group_len + SEPARATOR.len()..]
    }
}

/// # Errors
/// [`NameError::Group`].
pub fn check_group_id(text: &str) -> Result<(), NameError> {
    let begins = text.starts_with("GID_") || text.starts_with("GID-");
    if begins && is_word(text) && GROUP_ID_CHARS.contains(&text.len()) { Ok(()) } else { Err(NameError::Group) }
}

/// # Errors
/// [`NameError::Device`]; how long it may be depends on its group.
pub fn check_device_id(text: &str) -> Result<(), NameError> {
    if is_word(text) { Ok(()) } else { Err(NameError::Device) }
}

/// A topic of online events may be longer than others, since the name of its group may.
///
/// # Errors
/// [`NameError::Parent`].
pub fn check_parent(text: &str) -> Result<(), NameError> {
    let has_length = PARENT_CHARS.contains(&text.len()) || is_of_online_events(text);
    if is_word(text) && has_length { Ok(()) } else { Err(NameError::Parent) }
}

/// Whether a parent topic has the name of a queue topic of online events, whose group may not exist yet.
pub fn is_of_online_events(parent: &str) -> bool {
    parent.strip_suffix(ONLINE_EVENTS).is_some_and(|group| check_group_id(group).is_ok())
}

/// One or more of the characters that all names are made of; they are ASCII, so bytes are characters.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
