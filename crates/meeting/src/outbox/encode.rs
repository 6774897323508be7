//! The encodings of a signal on its way: [`Outgoing`] → row of the outbox → message of the queue.

use crate::machine::{Outgoing, ParentTopic};
use bytes::Bytes;
use catalog::NewOutboxRow;
use queue::{Message, TopicName};
use signalling::signal::VERSION;
use signalling::topics::{MEETING_DOWN, RING_DOWN, property};
use signalling::{Down, Envelope, MeetingId, SignalId};

/// Absolute expiry, milliseconds since 1970; only in the outbox. On the queue it is the rest, in seconds.
const EXPIRES_AT: &str = "expiresAtMs";
/// The receiver, by whom rows are kept in order; only in the outbox.
const RECEIVER: &str = "receiver";

/// The row of a signal. `id` is the signal's: it stays the same however often the row is sent.
pub(crate) fn row(send: Outgoing, meeting: Option<MeetingId>, id: SignalId, now_ms: u64) -> NewOutboxRow {
    let kind = send.body.kind();
    let mut properties = vec![
        (property::SECOND_TOPIC.to_owned(), format!("/p2p/{}/{kind}", send.to)),
        (property::QOS.to_owned(), "1".to_owned()),
        (property::CLEAN_SESSION.to_owned(), "false".to_owned()),
        (property::CONTENT_TYPE.to_owned(), "application/json".to_owned()),
        (EXPIRES_AT.to_owned(), send.expires_at_ms.to_string()),
        (RECEIVER.to_owned(), send.to.0),
    ];
    if let Some((invitation, rev)) = send.collapse {
        properties.push((property::COLLAPSE_KEY.to_owned(), invitation.to_string()));
        properties.push((property::COLLAPSE_VERSION.to_owned(), rev.to_string()));
    }
    let envelope = Envelope {
        v: VERSION,
        id,
        meeting,
        sent_at_ms: now_ms,
        expires_at_ms: send.expires_at_ms,
        in_reply_to: send.in_reply_to,
        rev: send.rev,
    };
    let body = serde_json::to_vec(&Down { envelope, body: send.body }).expect("a signal has string keys only");
    let topic = match send.parent {
        ParentTopic::Ring => RING_DOWN,
        ParentTopic::Meeting => MEETING_DOWN,
    };
    NewOutboxRow { topic: topic.to_owned(), properties, body }
}

/// Rows of one receiver are sent one after the other.
pub(crate) fn receiver(row: &NewOutboxRow) -> &str {
    row.properties.iter().find(|(name, _)| name == RECEIVER).map_or("", |(_, value)| value)
}

/// `None`: it has expired. The error: why it can never be a message.
pub(crate) fn message(row: &NewOutboxRow, now_ms: u64) -> Result<Option<(TopicName, Message)>, String> {
    let expires_at = row.properties.iter().find(|(name, _)| name == EXPIRES_AT);
    let expires_at_ms: Option<u64> = expires_at.and_then(|(_, value)| value.parse().ok());
    let expires_at_ms = expires_at_ms.ok_or_else(|| format!("it has no {EXPIRES_AT}"))?;
    let topic = TopicName::parse(&row.topic).map_err(|error| error.to_string())?;
    let left_ms = expires_at_ms.saturating_sub(now_ms);
    if left_ms == 0 {
        return Ok(None);
    }
    let own = |name: &str| name != EXPIRES_AT && name != RECEIVER;
    let mut properties: Vec<_> = row.properties.iter().filter(|(name, _)| own(name)).cloned().collect();
    properties.push((property::EXPIRY_S.to_owned(), left_ms.div_ceil(1_000).to_string()));
    let body = Bytes::copy_from_slice(&row.body);
    Ok(Some((topic, Message { keys: Vec::new(), tag: None, properties, body, born_ms: now_ms })))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use serde_json::{Value, json};
    use signalling::{ClientId, DownBody, InvitationId, UserName};
    use uuid::Uuid;

    const ID: Uuid = Uuid::from_u128(7);
    const PROPERTIES: &str = r#"[["mqttSecondTopic","/p2p/GID_dev@@@b/ringing"],["qoslevel","1"],["cleansessionflag","false"],["mqtt5ContentType","application/json"],["expiresAtMs","61000"],["receiver","GID_dev@@@b"],["collapseKey","00000000-0000-0000-0000-000000000007"],["collapseVersion","3"]]"#;

    /// As it is in somebody's catalog.
    fn stored() -> NewOutboxRow {
        let body = json!({
            "v": 1, "id": ID, "meeting": ID, "sent_at_ms": 1000, "expires_at_ms": 61_000, "in_reply_to": ID, "rev": 3,
            "type": "ringing", "user": "bob",
        });
        let properties = serde_json::from_str(PROPERTIES).unwrap();
        NewOutboxRow { topic: "meeting-down".to_owned(), properties, body: body.to_string().into_bytes() }
    }

    #[test]
    fn a_row_keeps_the_names_that_are_stored() {
        let send = Outgoing {
            to: ClientId::from("GID_dev@@@b"),
            parent: ParentTopic::Meeting,
            body: DownBody::Ringing { user: UserName::from("bob") },
            rev: Some(3),
            ticket: None,
            expires_at_ms: 61_000,
            in_reply_to: Some(SignalId(ID)),
            collapse: Some((InvitationId(ID), 3)),
        };
        let row = row(send, Some(MeetingId(ID)), SignalId(ID), 1000);
        assert_eq!((&row.topic, &row.properties), (&stored().topic, &stored().properties));
        let json = |row: &NewOutboxRow| serde_json::from_slice::<Value>(&row.body).unwrap();
        assert_eq!(json(&row), json(&stored()));
    }

    #[test]
    fn a_stored_row_becomes_the_message_that_it_was_made_for() {
        let row = stored();
        assert_eq!(receiver(&row), "GID_dev@@@b");
        let (topic, message) = message(&row, 1000).unwrap().unwrap();
        assert_eq!(topic.as_str(), "meeting-down");
        let names: Vec<_> = message.properties.iter().map(|(name, _)| name.as_str()).collect();
        let expected = ["mqttSecondTopic", "qoslevel", "cleansessionflag", "mqtt5ContentType", "collapseKey"];
        assert_eq!(names[..5], expected);
        assert_eq!(names[5..], ["collapseVersion", "mqtt5MsgExpireInterval"]);
        assert_eq!((message.property("mqtt5MsgExpireInterval"), &message.body[..]), (Some("60"), &row.body[..]));
        assert_eq!(super::message(&row, 61_000), Ok(None));
    }
}
