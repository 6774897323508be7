//! The encodings of a signal on its way: [`OutgoingSignal`] → row of the outbox → message of the queue.

use crate::machine::{OutgoingSignal, ParentTopic};
use bytes::Bytes;
use catalog::NewOutboxRow;
use clock::Times;
use queue::{Message, TopicName};
use signalling::signal::VERSION;
use signalling::topics::{MEETING_DOWN, RING_DOWN, property};
use signalling::{Down, Envelope, MeetingId, SignalId};

/// In rows of the outbox that were written before they had a lane.
const OLDER_RECEIVER: &str = "receiver";
/// Absolute expiry, milliseconds since 1970; only in the outbox. On the queue it is the rest, in seconds.
const EXPIRES_AT: &str = "expiresAtMs";

/// The row of a signal. `id` is the signal's: it stays the same however often the row is sent.
pub(crate) fn row(send: OutgoingSignal, meeting: Option<MeetingId>, id: SignalId, now_ms: u64) -> NewOutboxRow {
    let kind = send.body.kind();
    let mut properties = vec![
        (property::SECOND_TOPIC.to_owned(), format!("/p2p/{}/{kind}", send.to)),
        (property::QOS.to_owned(), "1".to_owned()),
        (property::CLEAN_SESSION.to_owned(), "false".to_owned()),
        (property::CONTENT_TYPE.to_owned(), "application/json".to_owned()),
        (EXPIRES_AT.to_owned(), send.expires_at_ms.to_string()),
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
    NewOutboxRow { lane: format!("{topic} {}", send.to), topic: topic.to_owned(), properties, body }
}

/// `None`: it has expired. The error: why it can never be a message.
pub(crate) fn message(row: &NewOutboxRow, times: Times) -> Result<Option<(TopicName, Message)>, String> {
    let expires_at = row.properties.iter().find(|(name, _)| name == EXPIRES_AT);
    let expires_at_ms: Option<u64> = expires_at.and_then(|(_, value)| value.parse().ok());
    let expires_at_ms = expires_at_ms.ok_or_else(|| format!("it has no {EXPIRES_AT}"))?;
    let topic = TopicName::parse(&row.topic).map_err(|error| error.to_string())?;
    let left_ms = times.left_ms(expires_at_ms);
    if left_ms == 0 {
        return Ok(None);
    }
    let own = |name: &str| name != EXPIRES_AT && name != OLDER_RECEIVER;
    let mut properties: Vec<_> = row.properties.iter().filter(|(name, _)| own(name)).cloned().collect();
    properties.push((property::EXPIRY_S.to_owned(), left_ms.div_ceil(1_000).to_string()));
    let body = Bytes::copy_from_slice(&row.body);
    Ok(Some((topic, Message { properties, body, born_ms: times.now_ms, ..Message::default() })))
}
