//! A message of the wire as a message of the queue and back. Pure.
//!
//! What the queue has no field for becomes a property, under a name that senders cannot set: `convokeBodyEncoding` is `gzip` where
//! the body is compressed.

use aws_lc_rs::digest;
use queue::{Delivery, Message, TopicType};
use rocketmq_proto as wire;
use rocketmq_proto::{Code, Digest, DigestType, Encoding, MessageType, Resource, SystemProperties, Timestamp};

use crate::answer::Refusal;
use crate::limits::MESSAGE_ID_CHARS_MAX;

/// The rest of the MQTT topic that a message goes to.
pub(crate) const SECOND_TOPIC: &str = "mqttSecondTopic";
/// The topic that its receivers are shown: a whole one, or with a leading `/` the rest of one.
pub(crate) const SHOWN_TOPIC: &str = "mqttRealTopic";
const BODY_ENCODING: &str = "convokeBodyEncoding";
const GZIP: &str = "gzip";

/// Stamped by the broker: the client id of a sender, and what begins with [`STAMP_PREFIX`].
const STAMP_CLIENT_ID: &str = "clientId";
const STAMP_PREFIX: &str = "convoke";

/// What the broker says of a message that reaches nobody: a sender that says it steers where an owner sends it again.
const OF_DEAD_LETTERS: [&str; 2] = ["deadLetterReason", "deadLetterTopic"];

/// Names of properties that RocketMQ keeps for itself: refused here too, so that what is sent here can be sent there.
const RESERVED: [&str; 49] = [
    "1ST_POP_TIME",
    "ARRIVE_TIME",
    "BORN_TIMESTAMP",
    "BUYER_ID",
    "CLUSTER",
    "CONSUME_START_TIME",
    "CORRECTION_FLAG",
    "CORRELATION_ID",
    "DELAY",
    "DUP_INFO",
    "EXTEND_UNIQ_INFO",
    "INNER_MULTI_QUEUE_OFFSET",
    "INSTANCE_ID",
    "KEYS",
    "MAX_OFFSET",
    "MAX_RECONSUME_TIMES",
    "MIN_OFFSET",
    "MQ2_FLAG",
    "MSG_REGION",
    "MSG_TYPE",
    "ORIGIN_MESSAGE_ID",
    "PGROUP",
    "POP_CK",
    "POP_CK_OFFSET",
    "PUSH_REPLY_TIME",
    "REAL_QID",
    "REAL_TOPIC",
    "RECONSUME_TIME",
    "REPLY_TO_CLIENT",
    "RETRY_TOPIC",
    "TAGS",
    "TIMER_DELAY_LEVEL",
    "TIMER_DELAY_SEC",
    "TIMER_DELIVER_MS",
    "TIMER_DEL_UNIQKEY",
    "TIMER_DEQUEUE_MS",
    "TIMER_ENQUEUE_MS",
    "TIMER_OUT_MS",
    "TIMER_ROLL_TIMES",
    "TRACE_ON",
    "TRANSFER_FLAG",
    "TRAN_MSG",
    "TRAN_PREPARED_QUEUE_OFFSET",
    "TTL",
    "UNIQ_KEY",
    "WAIT",
    "__BORNHOST",
    "__LITE_TOPIC",
    "__SHARDINGKEY",
];

/// # Errors
/// The first rule that is broken. `may_stamp`: whether the sender may set what the broker stamps otherwise.
pub(crate) fn to_queue(message: wire::Message, may_stamp: bool) -> Result<Message, Refusal> {
    let system = message.system_properties.unwrap_or_default();
    check_type(&system)?;
    if message.body.is_empty() {
        return Err(Refusal::new(Code::MessageBodyEmpty, "the body is empty"));
    }
    let id = system.message_id;
    let is_id = !id.is_empty() && id.len() <= MESSAGE_ID_CHARS_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_id {
        let words = format!("the message id must be 1 to {MESSAGE_ID_CHARS_MAX} visible ASCII characters");
        return Err(Refusal::new(Code::IllegalMessageId, words));
    }
    let mut properties = Vec::with_capacity(message.user_properties.len() + 1);
    for (name, value) in message.user_properties {
        check_name(&name, may_stamp)?;
        properties.push((name, value));
    }
    match Encoding::try_from(system.body_encoding) {
        Ok(Encoding::Unspecified | Encoding::Identity) => {}
        Ok(Encoding::Gzip) => properties.push((BODY_ENCODING.to_owned(), GZIP.to_owned())),
        Err(_) => return Err(Refusal::new(Code::BadRequest, "the encoding of the body is not known")),
    }
    let born_ms = system.born_timestamp.map_or(0, |born| ms_of(&born));
    let tag = system.tag.filter(|tag| !tag.is_empty());
    Ok(Message {
        keys: system.keys,
        tag,
        properties,
        body: message.body,
        born_ms,
        message_group: system.message_group,
        deliver_at_ms: system.delivery_timestamp.as_ref().map(ms_of),
        client_message_id: Some(id),
        sender: None,
    })
}

/// The type is told by what the message carries, which the queue compares with its topic's; what it says itself must be the same.
fn check_type(system: &SystemProperties) -> Result<(), Refusal> {
    let carried = match (system.message_group.is_some(), system.delivery_timestamp.is_some()) {
        (true, _) => MessageType::Fifo,
        (false, true) => MessageType::Delay,
        (false, false) => MessageType::Normal,
    };
    let is_other = system.lite_topic.is_some() || system.priority.is_some();
    let said = system.message_type();
    if !is_other && (said == carried || said == MessageType::Unspecified) {
        return Ok(());
    }
    let words = "the message is of a type that is not served here, or carries what another type has";
    Err(Refusal::new(Code::MessagePropertyConflictWithType, words))
}

pub(crate) fn type_on_wire(topic_type: TopicType) -> MessageType {
    match topic_type {
        TopicType::Normal => MessageType::Normal,
        TopicType::Fifo => MessageType::Fifo,
        TopicType::Delay => MessageType::Delay,
        TopicType::Transaction => MessageType::Transaction,
    }
}

fn check_name(name: &str, may_stamp: bool) -> Result<(), Refusal> {
    let refuse = |words: String| Err(Refusal::new(Code::IllegalMessagePropertyKey, words));
    if RESERVED.contains(&name) || name == BODY_ENCODING || OF_DEAD_LETTERS.contains(&name) {
        return refuse(format!("the property {name} is reserved"));
    }
    let is_stamp = name == STAMP_CLIENT_ID || name.starts_with(STAMP_PREFIX);
    if is_stamp && !may_stamp {
        return refuse(format!("the property {name} says who has sent a message: your key lacks the scope stamps"));
    }
    Ok(())
}

/// `handle`: the sealed receipt.
pub(crate) fn to_wire(delivery: Delivery, handle: String) -> wire::Message {
    let Delivery { message_id, topic, message, attempt, receipt: _ } = delivery;
    let is_gzip = message.property(BODY_ENCODING) == Some(GZIP);
    let message_type = type_on_wire(message.topic_type());
    let message_id = message.client_message_id.unwrap_or_else(|| message_id.to_string());
    let system = SystemProperties {
        tag: message.tag,
        keys: message.keys,
        message_id,
        body_digest: Some(digest_of(&message.body)),
        body_encoding: if is_gzip { Encoding::Gzip } else { Encoding::Identity }.into(),
        message_type: message_type.into(),
        message_group: message.message_group,
        delivery_timestamp: message.deliver_at_ms.map(timestamp),
        born_timestamp: Some(timestamp(message.born_ms)),
        receipt_handle: Some(handle),
        delivery_attempt: Some(i32::try_from(attempt).unwrap_or(i32::MAX)),
        ..SystemProperties::default()
    };
    wire::Message {
        topic: Some(Resource { name: topic.to_string(), ..Resource::default() }),
        user_properties: message.properties.into_iter().filter(|(name, _)| name != BODY_ENCODING).collect(),
        system_properties: Some(system),
        body: message.body,
    }
}

/// In the form that all official clients read alike; of MD5 and SHA-1 the one that the crypto back end has.
fn digest_of(body: &[u8]) -> Digest {
    let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, body);
    let checksum = sum.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    Digest { r#type: DigestType::Sha1.into(), checksum }
}

pub(crate) fn timestamp(ms: u64) -> Timestamp {
    let seconds = i64::try_from(ms / 1_000).unwrap_or_default();
    Timestamp { seconds, nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or_default() }
}

fn ms_of(time: &Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    let millis = u64::try_from(time.nanos / 1_000_000).unwrap_or_default();
    seconds.saturating_mul(1_000).saturating_add(millis)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use queue::{MessageId, Receipt, TopicName};

    fn sent(change: impl FnOnce(&mut wire::Message, &mut SystemProperties)) -> wire::Message {
        let mut system = SystemProperties {
            message_id: "01AB".to_owned(),
            message_type: MessageType::Normal.into(),
            body_encoding: Encoding::Identity.into(),
            ..SystemProperties::default()
        };
        let mut message = wire::Message { body: b"hi".as_slice().into(), ..wire::Message::default() };
        change(&mut message, &mut system);
        wire::Message { system_properties: Some(system), ..message }
    }

    fn with_property(name: &str) -> wire::Message {
        sent(|message, _| {
            message.user_properties.insert(name.to_owned(), "x".to_owned());
        })
    }

    fn refusal(message: wire::Message) -> Code {
        to_queue(message, false).unwrap_err().code
    }

    #[test]
    fn a_message_comes_back_as_it_was_sent() {
        let message = sent(|message, system| {
            message.user_properties.insert("colour".to_owned(), " red ".to_owned());
            system.tag = Some("a".to_owned());
            system.keys = vec!["k1".to_owned(), "k2".to_owned()];
            system.born_timestamp = Some(Timestamp { seconds: 1_800_000_000, nanos: 5_000_000 });
            system.body_encoding = Encoding::Gzip.into();
        });
        let queued = to_queue(message.clone(), false).unwrap();
        assert_eq!((queued.client_message_id.as_deref(), queued.born_ms), (Some("01AB"), 1_800_000_000_005));
        let delivery = Delivery {
            message_id: MessageId::new("77"),
            topic: TopicName::parse("orders").unwrap(),
            message: queued,
            receipt: Receipt::new("1.2.3.4"),
            attempt: 2,
        };
        let mut back = to_wire(delivery, "handle".to_owned());
        let system = back.system_properties.as_mut().unwrap();
        let sha1_of_hi = "C22B5F9178342609428D6F51B2C5AF4C0BDE6A42";
        assert_eq!(system.body_digest.take().unwrap().checksum, sha1_of_hi);
        assert_eq!(
            (system.receipt_handle.take().as_deref(), system.delivery_attempt.take()),
            (Some("handle"), Some(2))
        );
        assert_eq!(back.topic.take().unwrap().name, "orders");
        assert_eq!(back, message);
    }

    #[test]
    fn a_message_that_no_client_has_sent_has_the_id_of_the_queue() {
        let delivery = Delivery {
            message_id: MessageId::new("77"),
            topic: TopicName::parse("orders").unwrap(),
            message: Message::default(),
            receipt: Receipt::new("1.2.3.4"),
            attempt: 1,
        };
        let system = to_wire(delivery, String::new()).system_properties.unwrap();
        assert_eq!((system.message_id.as_str(), system.body_encoding()), ("77", Encoding::Identity));
    }

    #[test]
    fn a_sender_without_the_scope_cannot_say_who_has_sent() {
        for name in ["clientId", "convokeUser", "convokeArrivedMs", "convokeWhatever"] {
            assert_eq!(refusal(with_property(name)), Code::IllegalMessagePropertyKey, "{name}");
            let stamped = to_queue(with_property(name), true).unwrap();
            assert_eq!(stamped.property(name), Some("x"));
        }
        for name in ["ClientId", "user", "mqttSecondTopic", "traceparent"] {
            assert!(to_queue(with_property(name), false).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_are_reserved_are_nobodys() {
        assert!(RESERVED.is_sorted());
        for name in RESERVED.into_iter().chain(OF_DEAD_LETTERS).chain([BODY_ENCODING]) {
            assert_eq!(
                to_queue(with_property(name), true).unwrap_err().code,
                Code::IllegalMessagePropertyKey,
                "{name}"
            );
        }
    }

    #[test]
    fn a_message_of_another_type_is_refused_by_what_it_carries() {
        type Change = fn(&mut SystemProperties);
        let changes: [Change; 7] = [
            |system| system.message_group = Some("g".to_owned()),
            |system| system.delivery_timestamp = Some(Timestamp::default()),
            |system| system.priority = Some(0),
            |system| system.lite_topic = Some(String::new()),
            |system| system.message_type = MessageType::Fifo.into(),
            |system| system.message_type = MessageType::Transaction.into(),
            |system| system.message_type = MessageType::Delay.into(),
        ];
        for change in changes {
            let message = sent(|_, system| change(system));
            assert_eq!(refusal(message.clone()), Code::MessagePropertyConflictWithType, "{message:?}");
        }
    }

    #[test]
    fn a_message_of_a_group_and_one_with_a_time_say_so_on_both_sides() {
        let of_group = to_queue(
            sent(|_, system| {
                system.message_group = Some("g".to_owned());
                system.message_type = MessageType::Fifo.into();
            }),
            false,
        );
        let at = Timestamp { seconds: 1_900_000_000, nanos: 0 };
        let with_time = to_queue(
            sent(|_, system| {
                system.delivery_timestamp = Some(at);
                system.message_type = MessageType::Unspecified.into();
            }),
            false,
        );
        let [of_group, with_time] = [of_group, with_time].map(|message| {
            let (message, attempt) = (message.unwrap(), 1);
            let (message_id, receipt) = (MessageId::new("77"), Receipt::new("1.2.3.4"));
            let delivery =
                Delivery { message_id, topic: TopicName::parse("orders").unwrap(), message, receipt, attempt };
            to_wire(delivery, String::new()).system_properties.unwrap()
        });
        assert_eq!((of_group.message_type(), of_group.message_group.as_deref()), (MessageType::Fifo, Some("g")));
        assert_eq!((with_time.message_type(), with_time.delivery_timestamp), (MessageType::Delay, Some(at)));
    }

    #[test]
    fn what_cannot_be_sent_has_the_code_of_rocketmq() {
        assert_eq!(refusal(sent(|message, _| message.body.clear())), Code::MessageBodyEmpty);
        for id in [String::new(), "a b".to_owned(), "é".to_owned(), "x".repeat(65)] {
            assert_eq!(refusal(sent(|_, system| system.message_id = id)), Code::IllegalMessageId);
        }
        assert_eq!(refusal(sent(|_, system| system.body_encoding = 9)), Code::BadRequest);
        assert_eq!(refusal(wire::Message::default()), Code::MessageBodyEmpty);
    }

    #[test]
    fn times_out_of_range_are_no_times() {
        assert_eq!(ms_of(&Timestamp { seconds: -1, nanos: -1 }), 0);
        assert_eq!(ms_of(&Timestamp { seconds: i64::MAX, nanos: i32::MAX }), u64::MAX);
        assert_eq!(timestamp(u64::MAX).nanos, 615_000_000);
    }
}
