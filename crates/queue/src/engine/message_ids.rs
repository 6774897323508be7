//! The id of a message is its position, in hexadecimal.

use commitlog::Position;

use crate::message::MessageId;

pub(super) fn message_id(position: Position) -> MessageId {
    MessageId::new(format!("{:016X}", position.0))
}

pub(super) fn parse_message_id(id: &MessageId) -> Option<Position> {
    let text = id.as_str();
    let is_one = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_one { u64::from_str_radix(text, 16).ok().map(Position) } else { None }
}
