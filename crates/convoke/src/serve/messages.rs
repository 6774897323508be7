//! Broker and queue, as the API asks them for messages.

use accounts::access::P2pTopic;
use accounts::clients::{Answer, Turn};
use accounts::messages::{
    Look, Looked, Messages, NoMessages, NotPublished, Publication, Published, SHOWN_BYTES_MAX, StoredMessage,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker::Broker;
use queue::{AdminError, Engine, GroupName, MessageId, Seen, TopicName};
use signalling::topics::property;
use std::sync::Arc;

/// Bytes of messages that one look reads, if it is more than one.
const LOOK_BYTES_MAX: usize = 4 << 20;

pub(super) struct OwnersMessages {
    pub(super) broker: Arc<Broker>,
    pub(super) queue: Engine,
}

impl Messages for OwnersMessages {
    fn publish(&self, publication: Publication, turn: Turn) -> Answer<Result<Published, NotPublished>> {
        self.broker.publish(publication, turn)
    }

    fn holds(&self, topic: &str, message_id: &str) -> bool {
        TopicName::parse(topic).is_ok_and(|topic| self.queue.holds(&topic, &MessageId::new(message_id)))
    }

    fn look(&self, look: Look, turn: Turn) -> Answer<Result<Looked, NoMessages>> {
        let queue = self.queue.clone();
        Box::pin(async move {
            // It reads the disk.
            let looked = tokio::task::spawn_blocking(move || {
                let looked = look_at(&queue, look);
                drop(turn);
                looked
            });
            looked.await.ok()
        })
    }

    fn remove(&self, topic: String, message_id: String, turn: Turn) -> Answer<Result<bool, NoMessages>> {
        let queue = self.queue.clone();
        Box::pin(async move {
            let Ok(name) = TopicName::parse(&topic) else { return Some(Err(NoMessages::Topic(topic))) };
            let removal = tokio::spawn(async move {
                let removed = queue.remove(&name, &MessageId::new(message_id)).await;
                drop(turn);
                removed
            });
            Some(removal.await.ok()?.map_err(none))
        })
    }

    fn dead_letters_of(&self, group: &str) -> Option<String> {
        let group = GroupName::parse(group).ok()?;
        TopicName::dead_letters_of(&group).ok().map(|topic| topic.to_string())
    }
}

fn look_at(queue: &Engine, look: Look) -> Result<Looked, NoMessages> {
    let Look { topic, newest_first, after, limit, with_p2p } = look;
    let Ok(topic) = TopicName::parse(&topic) else { return Err(NoMessages::Topic(topic)) };
    let (after, max) = (after.map(MessageId::new), usize::try_from(limit).unwrap_or(usize::MAX));
    let look = queue::Look { topic, newest_first, after, max, bytes_max: LOOK_BYTES_MAX };
    let (seen, has_more) = queue.look(&look).map_err(none)?;
    Ok(Looked { messages: seen.into_iter().map(|seen| shown(seen, with_p2p)).collect(), has_more })
}

fn none(error: AdminError) -> NoMessages {
    match error {
        AdminError::UnknownTopic(topic) => NoMessages::Topic(topic.to_string()),
        AdminError::MessageId(id) => NoMessages::Id(id.to_string()),
        other => NoMessages::Unavailable(other.to_string()),
    }
}

fn shown(seen: Seen, with_p2p: bool) -> StoredMessage {
    let Seen { message_id, stored_ms, message } = seen;
    let (message_id, stored_at_ms) = (message_id.to_string(), stored_ms);
    let Some(message) = message else {
        return StoredMessage { message_id, stored_at_ms, ..StoredMessage::default() };
    };
    let withheld = !with_p2p && is_p2p(&message);
    let (payload, payload_base64) = if withheld { (None, None) } else { beginning(&message.body) };
    let is_shown = |(name, _): &(String, String)| !withheld || name != property::USER_PROPERTIES;
    let properties = message.properties.into_iter().filter(is_shown);
    StoredMessage {
        message_id,
        stored_at_ms,
        tag: message.tag,
        keys: message.keys,
        properties: properties.collect(),
        payload,
        payload_base64,
        payload_bytes: Some(message.body.len() as u64),
        withheld,
    }
}

/// By the word that makes a topic one of P2P, also where what follows names no client: it may be a slip of the sender.
fn is_p2p(message: &queue::Message) -> bool {
    let levels = message.property(property::SECOND_TOPIC).unwrap_or_default();
    P2pTopic::is_p2p(&format!("/{}", levels.trim_start_matches('/')))
}

/// As text where the whole of it is text, else in base64.
fn beginning(body: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(body) {
        Ok(text) => (Some(text[..text.floor_char_boundary(SHOWN_BYTES_MAX)].to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(&body[..body.len().min(SHOWN_BYTES_MAX)]))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn of_a_long_payload_the_beginning_is_shown_and_no_half_of_a_character() {
        assert_eq!(beginning(b"hello"), (Some("hello".to_owned()), None));
        let long = format!("{}ö", "x".repeat(SHOWN_BYTES_MAX - 1));
        assert_eq!(beginning(long.as_bytes()), (Some("x".repeat(SHOWN_BYTES_MAX - 1)), None));
        let (text, base64) = beginning(&[0xff; 2000]);
        assert_eq!((text, base64.map(|base64| base64.len())), (None, Some(1368)));
    }

    fn seen(second_topic: Option<&str>) -> Seen {
        let own = (property::USER_PROPERTIES.to_owned(), r#"[{"key":"k","value":"token"}]"#.to_owned());
        let sender = (property::CLIENT_ID.to_owned(), "GID_a@@@1".to_owned());
        let second = second_topic.map(|levels| (property::SECOND_TOPIC.to_owned(), levels.to_owned()));
        let properties = second.into_iter().chain([own, sender]).collect();
        let body = br#"{"token":"of a join"}"#.as_slice().into();
        let message = queue::Message { properties, body, ..queue::Message::default() };
        Seen { message_id: MessageId::new("1"), stored_ms: 1, message: Some(message) }
    }

    #[test]
    fn of_what_is_for_one_client_nothing_is_shown_that_its_sender_wrote() {
        for second_topic in ["/p2p/GID_a@@@1/admitted", "/p2p/nobody", "p2p/GID_a@@@1", "/p2p"] {
            let message = shown(seen(Some(second_topic)), false);
            let told = serde_json::to_string(&message).unwrap();
            assert!(!told.contains("token") && message.withheld, "{told}");
            assert_eq!((message.payload_bytes, message.properties.len()), (Some(21), 2), "{told}");
            let message = shown(seen(Some(second_topic)), true);
            assert!(message.payload.is_some() && !message.withheld, "{second_topic}");
        }
        for second_topic in [None, Some("/call/p2p"), Some("/p2px")] {
            let message = shown(seen(second_topic), false);
            assert!(
                message.payload.is_some() && !message.withheld && message.properties.len() >= 2,
                "{second_topic:?}"
            );
        }
    }
}
