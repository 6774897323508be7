//! Validation of a message against the limits. Pure.

use crate::error::InvalidMessage;
use crate::limits::{
    BODY_BYTES_MAX, CLIENT_MESSAGE_ID_BYTES_MAX, KEYS_MAX, MESSAGE_GROUP_BYTES_MAX, PROPERTIES_MAX, PROPERTY_BYTES_MAX,
    SENDER_BYTES_MAX,
};
use crate::message::Message;

pub(crate) fn validate(message: &Message) -> Result<(), InvalidMessage> {
    validate_body(message)?;
    validate_tag_and_keys(message)?;
    validate_names(message)?;
    validate_properties(message)
}

fn validate_body(message: &Message) -> Result<(), InvalidMessage> {
    let bytes = message.body.len();
    if bytes > BODY_BYTES_MAX { Err(InvalidMessage::BodyTooLarge { bytes, max: BODY_BYTES_MAX }) } else { Ok(()) }
}

fn validate_tag_and_keys(message: &Message) -> Result<(), InvalidMessage> {
    let count = message.keys.len();
    if count > KEYS_MAX {
        return Err(InvalidMessage::TooManyKeys { count, max: KEYS_MAX });
    }
    let tag = message.tag.as_deref();
    let bytes = tag.map_or(0, str::len) + message.keys.iter().map(String::len).sum::<usize>();
    if bytes > PROPERTY_BYTES_MAX {
        return Err(InvalidMessage::KeysTooLarge { bytes, max: PROPERTY_BYTES_MAX });
    }
    let spelt = |tag: &str| !tag.trim().is_empty() && !tag.contains(|c: char| c == '|' || c.is_control());
    if tag.is_none_or(spelt) { Ok(()) } else { Err(InvalidMessage::Tag) }
}

fn validate_names(message: &Message) -> Result<(), InvalidMessage> {
    let fits = |text: &Option<String>, max| {
        text.as_ref().is_none_or(|text| (1..=max).contains(&text.len()) && !text.contains(char::is_control))
    };
    if !fits(&message.message_group, MESSAGE_GROUP_BYTES_MAX) {
        return Err(InvalidMessage::MessageGroup { max: MESSAGE_GROUP_BYTES_MAX });
    }
    if !fits(&message.client_message_id, CLIENT_MESSAGE_ID_BYTES_MAX) {
        return Err(InvalidMessage::ClientMessageId { max: CLIENT_MESSAGE_ID_BYTES_MAX });
    }
    if !fits(&message.sender, SENDER_BYTES_MAX) {
        return Err(InvalidMessage::Sender { max: SENDER_BYTES_MAX });
    }
    let is_of_two_types = message.message_group.is_some() && message.deliver_at_ms.is_some();
    if is_of_two_types { Err(InvalidMessage::TwoTypes) } else { Ok(()) }
}

fn validate_properties(message: &Message) -> Result<(), InvalidMessage> {
    let count = message.properties.len();
    if count > PROPERTIES_MAX {
        return Err(InvalidMessage::TooManyProperties { count, max: PROPERTIES_MAX });
    }
    let bytes = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > PROPERTY_BYTES_MAX {
        return Err(InvalidMessage::PropertiesTooLarge { bytes, max: PROPERTY_BYTES_MAX });
    }
    let controls = |text: &str| text.contains(char::is_control);
    match message.properties.iter().find(|(name, value)| controls(name) || controls(value)) {
        Some((name, _)) => Err(InvalidMessage::PropertyCharacter(name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_own_refusal() {
        let property = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let empty = Message::default();
        let large = "x".repeat(PROPERTY_BYTES_MAX + 1);
        let cases = [
            (Message { body: vec![0; BODY_BYTES_MAX + 1].into(), ..empty.clone() }, "body"),
            (Message { properties: vec![Default::default(); 129], ..empty.clone() }, "129 properties"),
            (Message { properties: property("name", &large), ..empty.clone() }, "properties have 16389 bytes"),
            (Message { properties: property("a\nb", "v"), ..empty.clone() }, "control character"),
            (Message { properties: property("n", "\u{7f}"), ..empty.clone() }, "control character"),
            (Message { keys: vec![String::new(); 65], ..empty.clone() }, "65 keys"),
            (Message { tag: Some(large.clone()), ..empty.clone() }, "tag and keys"),
            (Message { tag: Some("a|b".to_owned()), ..empty.clone() }, "tag"),
            (Message { tag: Some("  ".to_owned()), ..empty.clone() }, "tag"),
            (Message { message_group: Some("x".repeat(65)), ..empty.clone() }, "message group must have 1 to 64"),
            (Message { message_group: Some(String::new()), ..empty.clone() }, "message group"),
            (Message { client_message_id: Some("a\nb".to_owned()), ..empty.clone() }, "client message id"),
            (Message { message_group: Some("g".to_owned()), deliver_at_ms: Some(1), ..empty.clone() }, "only one"),
        ];
        for (message, words) in cases {
            let refusal = validate(&message).map_err(|error| error.to_string());
            assert!(refusal.as_ref().is_err_and(|text| text.contains(words)), "{words}: {refusal:?}");
        }
    }

    #[test]
    fn what_the_limits_allow_passes() {
        let message = Message {
            keys: vec!["a key".to_owned()],
            tag: Some("two words".to_owned()),
            properties: vec![("json".to_owned(), " {\"😀\": \"\"} ".to_owned()); 128],
            body: vec![0; BODY_BYTES_MAX].into(),
            message_group: Some("g".repeat(64)),
            client_message_id: Some("i".repeat(128)),
            ..Message::default()
        };
        assert_eq!(validate(&message), Ok(()));
        assert_eq!(validate(&Message::default()), Ok(()));
    }
}
