//! An MQTT message as a queue message and back. Pure.
//!
//! Level 1 of the topic is the queue topic, the rest are properties, the payload passes untouched. From the queue, QoS 1
//! and *kept while the receiver is off* are the defaults.

use std::sync::Arc;

use accounts::access::P2pTopic;
use bytes::Bytes;
use mqtt::QoS;
use mqtt::codec::{Properties, PropertiesBuf, Property, USER_PROPERTIES_MAX};
use queue::TopicName;
use serde::{Deserialize, Serialize};

use crate::client::ClientKey;
use crate::message::{Collapse, Message, expiry_at, kept, waits};
use crate::stamps::{Stamps, is_stamp};

/// Names of message properties.
pub(crate) mod name {
    /// Levels after the parent topic, with the leading `/`.
    pub(crate) const SECOND_TOPIC: &str = "mqttSecondTopic";
    /// What the receiver is shown instead: a whole topic, or with a leading `/` what follows the parent.
    pub(crate) const REAL_TOPIC: &str = "mqttRealTopic";
    pub(crate) const QOS: &str = "qoslevel";
    /// `false`: kept while the receiver is off.
    pub(crate) const CLEAN_SESSION: &str = "cleansessionflag";
    pub(crate) use crate::stamps::{ARRIVED_MS, CLIENT_ID, USER};
    /// MQTT 5 user properties as a JSON list of `{"key","value"}`.
    pub(crate) const USER_PROPERTIES: &str = "mqtt5UserProperty";
    /// Seconds.
    pub(crate) const EXPIRY_S: &str = "mqtt5MsgExpireInterval";
    pub(crate) const CONTENT_TYPE: &str = "mqtt5ContentType";
    /// One waiting message per key and inbox.
    pub(crate) const COLLAPSE_KEY: &str = "collapseKey";
    /// The highest version wins.
    pub(crate) const COLLAPSE_VERSION: &str = "collapseVersion";
    pub(crate) use accounts::messages::{DEAD_REASON, DEAD_TOPIC};
}

/// Who published; known by login, not by what the message says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) user: Option<&'a str>,
}

#[derive(Debug, Serialize, Deserialize)]
struct UserProperty {
    key: String,
    value: String,
}

/// `None`: the parent topic is no name of the queue.
pub(crate) fn to_queue(message: &Message, sender: &Sender<'_>) -> Option<(TopicName, queue::Message)> {
    let (parent, second) = match message.topic.split_once('/') {
        Some((parent, rest)) => (parent, Some(format!("/{rest}"))),
        None => (&*message.topic, None),
    };
    let topic = TopicName::parse(parent).ok()?;
    let mut properties = Vec::new();
    let mut put = |name: &str, value: Option<String>| {
        properties.extend(value.map(|value| (name.to_owned(), value)));
    };
    let mqtt = message.properties();
    put(name::SECOND_TOPIC, second);
    put(name::QOS, Some((message.qos as u8).to_string()));
    put(name::CLIENT_ID, Some(sender.client_id.to_owned()));
    put(name::USER, sender.user.map(str::to_owned));
    put(name::ARRIVED_MS, Some(message.arrived_ms.to_string()));
    put(name::USER_PROPERTIES, user_properties_json(mqtt));
    put(name::EXPIRY_S, mqtt.message_expiry_interval().map(|seconds| seconds.to_string()));
    put(name::CONTENT_TYPE, mqtt.content_type().map(str::to_owned));
    put(name::COLLAPSE_KEY, message.collapse.as_ref().map(|collapse| collapse.key.to_string()));
    put(name::COLLAPSE_VERSION, message.collapse.as_ref().map(|collapse| collapse.version.to_string()));
    let body = Bytes::copy_from_slice(&message.payload);
    Some((topic, queue::Message { properties, body, born_ms: message.arrived_ms, ..queue::Message::default() }))
}

fn user_properties_json(properties: Properties<'_>) -> Option<String> {
    let list: Vec<UserProperty> = properties
        .user_properties()
        .filter(|(key, _)| !is_stamp(key))
        .map(|(key, value)| UserProperty { key: key.to_owned(), value: value.to_owned() })
        .collect();
    if list.is_empty() { None } else { serde_json::to_string(&list).ok() }
}

/// A message of the queue, ready for its receivers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FromQueue {
    /// `None`: the subscribers.
    pub(crate) to: Option<ClientKey>,
    pub(crate) message: Message,
    pub(crate) keep: bool,
}

/// In the broker's own time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) now_ms: u64,
    /// When the message was made.
    pub(crate) born_ms: u64,
    /// How long messages of its parent topic wait for who is off, at most.
    pub(crate) kept_s: Option<u32>,
}

/// # Errors
/// Why it can reach nobody, in words for the dead letters.
pub(crate) fn from_queue(
    topic: &TopicName,
    message: &queue::Message,
    times: Times,
    payload_bytes_max: usize,
) -> Result<FromQueue, &'static str> {
    if message.body.len() > payload_bytes_max {
        return Err("the payload is larger than the broker takes");
    }
    let whole = whole_topic(topic, message.property(name::SECOND_TOPIC))?;
    let to = receiver(&whole)?;
    let qos = qos(message.property(name::QOS))?;
    let expiry_s = number::<u32>(message.property(name::EXPIRY_S), "mqtt5MsgExpireInterval is no number of seconds")?;
    let keep = keep(message.property(name::CLEAN_SESSION))? && waits(kept(expiry_s, times.kept_s));
    let message = Message {
        topic: shown_topic(topic, message.property(name::REAL_TOPIC), whole)?,
        properties: mqtt_properties(message, to.is_none())?,
        payload: message.body.as_ref().into(),
        qos,
        arrived_ms: times.now_ms,
        // What it has waited in the queue is no time that it waited for its receiver.
        expires_at_ms: expires_at(times, expiry_s).min(expiry_at(times.now_ms, times.kept_s)),
        collapse: collapse(message)?,
    };
    Ok(FromQueue { to, message, keep })
}

/// Counted from when the message was made, but never from the future.
fn expires_at(Times { now_ms, born_ms, .. }: Times, expiry_s: Option<u32>) -> u64 {
    let from_ms = if waits(expiry_s) { born_ms.min(now_ms) } else { now_ms };
    expiry_at(from_ms, expiry_s)
}

fn whole_topic(parent: &TopicName, second: Option<&str>) -> Result<String, &'static str> {
    match second.unwrap_or_default() {
        "" => Ok(parent.to_string()),
        second if second.starts_with('/') => checked_topic(format!("{parent}{second}")),
        _ => Err("mqttSecondTopic does not begin with /"),
    }
}

fn shown_topic(parent: &TopicName, real: Option<&str>, whole: String) -> Result<Arc<str>, &'static str> {
    let shown = match real {
        None | Some("") => whole,
        Some(real) if real.starts_with('/') => checked_topic(format!("{parent}{real}"))?,
        Some(real) => checked_topic(real.to_owned())?,
    };
    Ok(shown.into())
}

fn checked_topic(topic: String) -> Result<String, &'static str> {
    match mqtt::topic::TopicName::parse(&topic) {
        Ok(_) => Ok(topic),
        Err(_) => Err("the topic is no MQTT topic name"),
    }
}

fn receiver(whole: &str) -> Result<Option<ClientKey>, &'static str> {
    match P2pTopic::parse(whole) {
        Some(p2p) => Ok(Some(ClientKey::new(p2p.receiver.as_str()))),
        None if P2pTopic::is_p2p(whole) => Err("the P2P topic names no client id"),
        None => Ok(None),
    }
}

/// QoS 2 is delivered as 1, the highest there is.
fn qos(value: Option<&str>) -> Result<QoS, &'static str> {
    match value {
        Some("0") => Ok(QoS::AtMostOnce),
        None | Some("1" | "2") => Ok(QoS::AtLeastOnce),
        Some(_) => Err("qoslevel is not 0, 1 or 2"),
    }
}

fn keep(clean_session: Option<&str>) -> Result<bool, &'static str> {
    match clean_session {
        None | Some("false") => Ok(true),
        Some("true") => Ok(false),
        Some(_) => Err("cleansessionflag is not true or false"),
    }
}

fn number<T: std::str::FromStr>(value: Option<&str>, otherwise: &'static str) -> Result<Option<T>, &'static str> {
    value.map(str::parse).transpose().map_err(|_| otherwise)
}

fn collapse(message: &queue::Message) -> Result<Option<Collapse>, &'static str> {
    let version = number(message.property(name::COLLAPSE_VERSION), "collapseVersion is no number")?;
    match (message.property(name::COLLAPSE_KEY), version) {
        (Some(key), Some(version)) => Ok(Some(Collapse { key: key.into(), version })),
        (None, None) => Ok(None),
        _ => Err("collapseKey and collapseVersion belong together"),
    }
}

fn mqtt_properties(message: &queue::Message, is_stamped: bool) -> Result<Box<[u8]>, &'static str> {
    let mut properties = PropertiesBuf::new();
    if is_stamped {
        let [client_id, user, arrived_ms] =
            [name::CLIENT_ID, name::USER, name::ARRIVED_MS].map(|name| message.property(name));
        Stamps { client_id, user, arrived_ms }.push(&mut properties);
    }
    let bad = "a property does not fit into an MQTT packet";
    if let Some(content_type) = message.property(name::CONTENT_TYPE) {
        properties.push(Property::ContentType(content_type)).map_err(|_| bad)?;
    }
    if let Some(json) = message.property(name::USER_PROPERTIES) {
        let list: Vec<UserProperty> =
            serde_json::from_str(json).map_err(|_| "mqtt5UserProperty is no JSON list of keys and values")?;
        if list.len() > USER_PROPERTIES_MAX {
            return Err(bad);
        }
        for UserProperty { key, value } in list.iter().filter(|property| !is_stamp(&property.key)) {
            properties.push(Property::UserProperty(key, value)).map_err(|_| bad)?;
        }
    }
    let bytes = properties.into_bytes();
    // As of a PUBLISH that comes from a client: whoever gets it checks the same.
    Properties::parse_publish(&bytes).map_err(|_| bad)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use crate::message::NEVER_MS;

    const BOB: &str = "GID_dev@@@bob";

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    fn queued(properties: &[(&str, &str)]) -> queue::Message {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        queue::Message { properties, body: Bytes::from_static(b"{}"), born_ms: 1000, ..queue::Message::default() }
    }

    const TIMES: Times = Times { now_ms: 1500, born_ms: 1000, kept_s: None };

    fn map(properties: &[(&str, &str)]) -> Result<FromQueue, &'static str> {
        from_queue(&topic("ring-down"), &queued(properties), TIMES, 100)
    }

    #[test]
    fn a_published_message_carries_its_sender_and_its_arrival_whatever_it_says_itself() {
        let mqtt = PropertiesBuf::new()
            .with(Property::UserProperty("clientId", "somebody else"))
            .unwrap()
            .with(Property::MessageExpiryInterval(30))
            .unwrap();
        let message = Message {
            topic: "meeting-up/create".into(),
            properties: mqtt.into_bytes().into(),
            payload: b"{}".as_slice().into(),
            qos: QoS::AtLeastOnce,
            arrived_ms: 77,
            expires_at_ms: 30_077,
            collapse: None,
        };
        let (topic, queued) = to_queue(&message, &Sender { client_id: BOB, user: Some("bob") }).unwrap();
        assert_eq!(topic.as_str(), "meeting-up");
        let expected = [
            ("mqttSecondTopic", "/create"),
            ("qoslevel", "1"),
            ("clientId", BOB),
            ("convokeUser", "bob"),
            ("convokeArrivedMs", "77"),
            ("mqtt5MsgExpireInterval", "30"),
        ];
        let properties: Vec<(&str, &str)> = queued.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(properties, expected);
        assert_eq!((queued.body.as_ref(), queued.born_ms), (b"{}".as_slice(), 77));
    }

    #[test]
    fn by_default_a_message_of_the_queue_is_qos_1_and_kept() {
        let mapped = map(&[("mqttSecondTopic", "/p2p/GID_dev@@@bob/invitation")]).unwrap();
        assert_eq!(mapped.to, Some(ClientKey::new(BOB)));
        assert!(mapped.keep);
        assert_eq!(&*mapped.message.topic, "ring-down/p2p/GID_dev@@@bob/invitation");
        assert_eq!((mapped.message.qos, mapped.message.expires_at_ms), (QoS::AtLeastOnce, NEVER_MS));
    }

    #[test]
    fn properties_of_the_queue_become_those_of_mqtt() {
        let mapped = map(&[
            ("mqttSecondTopic", "/p2p/GID_dev@@@bob"),
            ("mqttRealTopic", "/shown"),
            ("qoslevel", "0"),
            ("cleansessionflag", "true"),
            ("mqtt5MsgExpireInterval", "259200"),
            ("mqtt5ContentType", "application/json"),
            ("mqtt5UserProperty", r#"[{"key":"a","value":"1"},{"key":"a","value":"2"}]"#),
            ("collapseKey", "ring"),
            ("collapseVersion", "18446744073709551615"),
        ])
        .unwrap();
        assert!(!mapped.keep);
        let message = mapped.message;
        assert_eq!((&*message.topic, message.qos), ("ring-down/shown", QoS::AtMostOnce));
        assert_eq!(message.expires_at_ms, 1000 + 259_200_000);
        assert_eq!(message.collapse, Some(Collapse { key: "ring".into(), version: u64::MAX }));
        let properties = Properties::parse_publish(&message.properties).unwrap();
        assert_eq!(properties.content_type(), Some("application/json"));
        assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("a", "1"), ("a", "2")]);
    }

    #[test]
    fn an_expiry_of_zero_is_for_those_on_the_line_and_a_birth_in_the_future_counts_from_now() {
        let mapped = map(&[("mqtt5MsgExpireInterval", "0")]).unwrap();
        assert_eq!((mapped.keep, mapped.message.expires_at_ms), (false, 2500));
        assert_eq!(expires_at(Times { born_ms: 9000, ..TIMES }, Some(1)), 2500);
        for (kept_s, expiry, expected) in [
            // A topic's time counts from now, the message's own from its birth.
            (60, None, (true, 61_500)),
            (60, Some("30"), (true, 31_000)),
            (60, Some("90"), (true, 61_500)),
            (0, None, (false, 2500)),
        ] {
            let properties: Vec<_> = expiry.map(|seconds| ("mqtt5MsgExpireInterval", seconds)).into_iter().collect();
            let times = Times { kept_s: Some(kept_s), ..TIMES };
            let mapped = from_queue(&topic("ring-down"), &queued(&properties), times, 100).unwrap();
            assert_eq!((mapped.keep, mapped.message.expires_at_ms), expected, "{kept_s} {expiry:?}");
        }
    }

    #[test]
    fn what_can_reach_nobody_says_why() {
        let table: [(&[(&str, &str)], &str); 9] = [
            (&[("mqttSecondTopic", "p2p/x")], "mqttSecondTopic"),
            (&[("mqttSecondTopic", "/p2p/nobody")], "client id"),
            (&[("mqttSecondTopic", "/a/+")], "topic name"),
            (&[("qoslevel", "3")], "qoslevel"),
            (&[("cleansessionflag", "no")], "cleansessionflag"),
            (&[("mqtt5MsgExpireInterval", "-1")], "mqtt5MsgExpireInterval"),
            (&[("collapseKey", "k")], "belong together"),
            (&[("collapseKey", "k"), ("collapseVersion", "x")], "collapseVersion"),
            (&[("mqtt5UserProperty", "{}")], "mqtt5UserProperty"),
        ];
        for (properties, words) in table {
            let reason = map(properties).unwrap_err();
            assert!(reason.contains(words), "{properties:?}: {reason}");
        }
        // A client refuses a packet with more.
        let many: Vec<String> = (0..257).map(|n| format!(r#"{{"key":"k","value":"{n}"}}"#)).collect();
        let reason = map(&[("mqtt5UserProperty", &format!("[{}]", many.join(",")))]).unwrap_err();
        assert!(reason.contains("does not fit"), "{reason}");
        let large = queue::Message { body: Bytes::from_static(&[0; 101]), ..queued(&[]) };
        assert!(from_queue(&topic("a-b"), &large, TIMES, 100).unwrap_err().contains("larger"));
    }
}
