//! Broker and queue, as the API asks them for messages.

use accounts::access::P2pTopic;
use accounts::clients::{Answer, Turn};
use accounts::messages::{
    DEAD_REASON, DEAD_TOPIC, Look, Looked, Messages, NoMessages, NotPublished, One, Publication, Published, Redrive,
    SHOWN_ALONE_BYTES_MAX, SHOWN_BYTES_MAX, StoredMessage,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker::Broker;
use queue::{AdminError, Engine, GroupName, MessageId, Seen, SendError, TopicName};
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

    fn show(&self, one: One, turn: Turn) -> Answer<Result<Option<StoredMessage>, NoMessages>> {
        let queue = self.queue.clone();
        Box::pin(async move {
            let seen = read(queue, one.topic, one.message_id, turn).await?;
            Some(seen.map(|seen| seen.map(|seen| shown(seen, one.with_p2p, SHOWN_ALONE_BYTES_MAX))))
        })
    }

    fn redrive(&self, redrive: Redrive, turn: Turn) -> Answer<Result<Option<String>, NoMessages>> {
        let redriven = tokio::spawn(tried_again(self.queue.clone(), redrive, turn));
        Box::pin(async move { redriven.await.ok()?.transpose() })
    }

    fn topics_of(&self, group: &str) -> Vec<String> {
        let Ok(group) = GroupName::parse(group) else { return Vec::new() };
        self.queue.topics_of(&group).iter().map(ToString::to_string).collect()
    }

    fn dead_letters_of(&self, group: &str) -> Option<String> {
        let group = GroupName::parse(group).ok()?;
        TopicName::dead_letters_of(&group).ok().map(|topic| topic.to_string())
    }
}

/// Reads the disk. `None`: the program ends.
async fn read(
    queue: Engine,
    topic: String,
    message_id: String,
    turn: Turn,
) -> Option<Result<Option<Seen>, NoMessages>> {
    let Ok(name) = TopicName::parse(&topic) else { return Some(Err(NoMessages::Topic(topic))) };
    let look = move || {
        let seen = queue.look_at(&name, &MessageId::new(message_id)).map_err(none);
        drop(turn);
        seen
    };
    tokio::task::spawn_blocking(look).await.ok()
}

/// Without what made it a dead letter.
async fn tried_again(queue: Engine, redrive: Redrive, turn: Turn) -> Result<Option<Option<String>>, NoMessages> {
    let Redrive { from, message_id, to } = redrive;
    let (Ok(source), Ok(target)) = (TopicName::parse(&from), TopicName::parse(&to)) else {
        return Err(NoMessages::Topic(to));
    };
    let Some(seen) = read(queue.clone(), from, message_id, turn).await.transpose()? else { return Ok(None) };
    let Some(Seen { message_id, message, .. }) = seen else { return Ok(Some(None)) };
    let mut message = message.ok_or(NoMessages::Damaged)?;
    message.properties.retain(|(name, _)| ![DEAD_REASON, DEAD_TOPIC].contains(&name.as_str()));
    let new = queue.redrive(&source, &message_id, &target, &message).await.map_err(|error| match error {
        SendError::UnknownTopic(topic) => NoMessages::Topic(topic.to_string()),
        SendError::WrongType { topic, topic_type, message_type } => NoMessages::OtherType {
            topic: topic.to_string(),
            topic_type: topic_type.to_string(),
            message_type: message_type.to_string(),
        },
        other => NoMessages::Unavailable(other.to_string()),
    })?;
    Ok(Some(new.map(|id| id.to_string())))
}

fn look_at(queue: &Engine, look: Look) -> Result<Looked, NoMessages> {
    let Look { topic, newest_first, after, limit, with_p2p } = look;
    let Ok(topic) = TopicName::parse(&topic) else { return Err(NoMessages::Topic(topic)) };
    let (after, max) = (after.map(MessageId::new), usize::try_from(limit).unwrap_or(usize::MAX));
    let look = queue::Look { topic, newest_first, after, max, bytes_max: LOOK_BYTES_MAX };
    let (seen, has_more) = queue.look(&look).map_err(none)?;
    let shown = |seen| shown(seen, with_p2p, SHOWN_BYTES_MAX);
    Ok(Looked { messages: seen.into_iter().map(shown).collect(), has_more })
}

fn none(error: AdminError) -> NoMessages {
    match error {
        AdminError::UnknownTopic(topic) => NoMessages::Topic(topic.to_string()),
        AdminError::MessageId(id) => NoMessages::Id(id.to_string()),
        other => NoMessages::Unavailable(other.to_string()),
    }
}

fn shown(seen: Seen, with_p2p: bool, bytes_max: usize) -> StoredMessage {
    let Seen { message_id, stored_ms, message } = seen;
    let (message_id, stored_at_ms) = (message_id.to_string(), stored_ms);
    let Some(message) = message else {
        return StoredMessage { message_id, stored_at_ms, ..StoredMessage::default() };
    };
    let withheld = !with_p2p && is_p2p(&message);
    let (payload, payload_base64) = if withheld { (None, None) } else { beginning(&message.body, bytes_max) };
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
fn beginning(body: &[u8], bytes_max: usize) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(body) {
        Ok(text) => (Some(text[..text.floor_char_boundary(bytes_max)].to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(&body[..body.len().min(bytes_max)]))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn of_a_long_payload_the_beginning_is_shown_and_no_half_of_a_character() {
        assert_eq!(beginning(b"hello", SHOWN_BYTES_MAX), (Some("hello".to_owned()), None));
        let long = format!("{}ö", "x".repeat(SHOWN_BYTES_MAX - 1));
        assert_eq!(beginning(long.as_bytes(), SHOWN_BYTES_MAX), (Some("x".repeat(SHOWN_BYTES_MAX - 1)), None));
        let (text, base64) = beginning(&[0xff; 2000], SHOWN_BYTES_MAX);
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
            let message = shown(seen(Some(second_topic)), false, SHOWN_BYTES_MAX);
            let told = serde_json::to_string(&message).unwrap();
            assert!(!told.contains("token") && message.withheld, "{told}");
            assert_eq!((message.payload_bytes, message.properties.len()), (Some(21), 2), "{told}");
            let message = shown(seen(Some(second_topic)), true, SHOWN_BYTES_MAX);
            assert!(message.payload.is_some() && !message.withheld, "{second_topic}");
        }
        for second_topic in [None, Some("/call/p2p"), Some("/p2px")] {
            let message = shown(seen(second_topic), false, SHOWN_BYTES_MAX);
            assert!(
                message.payload.is_some() && !message.withheld && message.properties.len() >= 2,
                "{second_topic:?}"
            );
        }
    }
}
