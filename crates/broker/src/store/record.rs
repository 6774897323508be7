//! The broker's records in the log.
//!
//! | kind | name | payload |
//! |---|---|---|
//! | 0x40 | message | arrived_ms u64, expires_at_ms u64, QoS u8, flags u8, topic, [collapse key, version u64], properties (u32 length), payload to the end |
//! | 0x41 | reference | client id, message position u64, packet id u16 (0: none), flags u8, size u32, expires_at_ms u64, [collapse key, version u64], subscription ids |
//! | 0x42 | removed | client id, then message positions u64 to the end |
//! | 0x43 | handed out | client id, then message position u64 + packet id u16 to the end |
//! | 0x44 | session | client id, account, expiry_s u32 |
//! | 0x45 | session gone | client id |
//! | 0x46 | subscribed | client id, filter, options u8, subscription id u32 (0: none) |
//! | 0x47 | unsubscribed | client id, filter |
//! | 0x48 | opened | client id, connection id, at_ms u64, address |
//! | 0x49 | closed | client id, connection id, at_ms u64 |
//! | 0x4a | event sent | connection id (its `tcpclean` is in the queue) |
//! | 0x4b | queue id seen | client id, until_ms u64, queue message id |
//! | 0x4c | stopped | at_ms u64: everything before it is complete, the last record of a clean stop |
//! | 0x4d | started | at_ms u64: all that was open before has ended; on the disk before anybody is served |
//! | 0x4e | collapsed | client id, entry u64 (the position of its message), version u64, until_ms u64, collapse key |
//! | 0x4f | in flight | client id, last packet id u16 (65535: none yet), then message position u64 + packet id u16 to the end |
//! | 0x50 | session state | client id, account, expiry_s u32, disconnected_ms u64 (0: it is connected, or never ends) |
//! | 0x51 | connection | client id, connection id, address, closed_ms u64 (0: it is open) |
//! | 0x52 | latest time | at_ms u64 |
//! | 0x53 | subscribed by a grant | as 0x46 |
//!
//! 0x4e to 0x52 say again what follows from older records, of which none is needed then. With 0x41, 0x46, 0x4b and 0x53 they are
//! the state of a client: any part of it over the records that it was made from changes nothing.
//!
//! Integers are little-endian; texts have a u16 length before them. A message is written once; the
//! inboxes refer to it by its position, which is also the name of the entry in each inbox.

use commitlog::Position;
use mqtt::codec::Properties;
use mqtt::{PacketId, QoS};

use super::bytes::{Reader, Unreadable, Writer};
use crate::message::{Collapse, Message};

/// Record kinds of the broker in the log.
pub const RECORD_KINDS: std::ops::RangeInclusive<u8> = 0x40..=0x7f;

pub(crate) mod kind {
    pub(crate) const MESSAGE: u8 = 0x40;
    pub(crate) const REFERENCE: u8 = 0x41;
    pub(crate) const REMOVED: u8 = 0x42;
    pub(crate) const HANDED_OUT: u8 = 0x43;
    pub(crate) const SESSION: u8 = 0x44;
    pub(crate) const SESSION_GONE: u8 = 0x45;
    pub(crate) const SUBSCRIBED: u8 = 0x46;
    pub(crate) const UNSUBSCRIBED: u8 = 0x47;
    pub(crate) const OPENED: u8 = 0x48;
    pub(crate) const CLOSED: u8 = 0x49;
    pub(crate) const EVENT_SENT: u8 = 0x4a;
    pub(crate) const QUEUE_ID_SEEN: u8 = 0x4b;
    pub(crate) const STOPPED: u8 = 0x4c;
    pub(crate) const STARTED: u8 = 0x4d;
    pub(crate) const COLLAPSED: u8 = 0x4e;
    pub(crate) const IN_FLIGHT: u8 = 0x4f;
    pub(crate) const SESSION_STATE: u8 = 0x50;
    pub(crate) const CONNECTION: u8 = 0x51;
    pub(crate) const LATEST_TIME: u8 = 0x52;
    pub(crate) const SUBSCRIBED_BY_GRANT: u8 = 0x53;
}

/// A record of the broker, decoded. Borrows the bytes of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// Its content is read when it is needed; only the time matters to recovery.
    Message {
        arrived_ms: u64,
    },
    Reference(Reference<'a>),
    Removed {
        client_id: &'a str,
        messages: Vec<Position>,
    },
    HandedOut {
        client_id: &'a str,
        packets: Vec<(Position, PacketId)>,
    },
    Session(SessionRecord<'a>),
    SessionGone {
        client_id: &'a str,
    },
    Subscribed {
        client_id: &'a str,
        filter: &'a str,
        options: SubscribedOptions,
    },
    Unsubscribed {
        client_id: &'a str,
        filter: &'a str,
    },
    Opened {
        client_id: &'a str,
        connection_id: &'a str,
        at_ms: u64,
        address: &'a str,
    },
    Closed {
        client_id: &'a str,
        connection_id: &'a str,
        at_ms: u64,
    },
    EventSent {
        connection_id: &'a str,
    },
    QueueIdSeen {
        client_id: &'a str,
        until_ms: u64,
        id: &'a str,
    },
    Stopped {
        at_ms: u64,
    },
    Started {
        at_ms: u64,
    },
    Collapsed(CollapsedRecord<'a>),
    /// In place of all hand-outs of the client before it.
    InFlight {
        client_id: &'a str,
        /// 65535, the one before the first, if there was none.
        last: PacketId,
        /// In the order of their hand-outs.
        packets: Vec<(Position, PacketId)>,
    },
    SessionState {
        session: SessionRecord<'a>,
        /// `None`: it is connected, or never ends.
        disconnected_ms: Option<u64>,
    },
    Connection(ConnectionRecord<'a>),
    LatestTime {
        at_ms: u64,
    },
}

/// What an inbox knows of a message without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) client_id: &'a str,
    /// Left out by [`Reference::encode`]: within an append the log knows it first.
    pub(crate) message: Position,
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) urgent: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) size: u32,
    pub(crate) expires_at_ms: u64,
    pub(crate) collapse: Option<(&'a str, u64)>,
    pub(crate) subscription_ids: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionRecord<'a> {
    pub(crate) client_id: &'a str,
    /// Whose client id it is.
    pub(crate) account: &'a str,
    pub(crate) expiry_s: u32,
}

/// What an inbox remembers of a collapse key whose entry is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CollapsedRecord<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) entry: Position,
    pub(crate) version: u64,
    pub(crate) until_ms: u64,
    pub(crate) key: &'a str,
}

/// A connection whose `tcpclean` is not in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionRecord<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) connection_id: &'a str,
    pub(crate) address: &'a str,
    /// `None`: it is open.
    pub(crate) closed_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscribedOptions {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// A grant let a device make it: without one it ends. Told by the kind of the record.
    pub(crate) by_grant: bool,
    pub(crate) subscription_id: Option<u32>,
}

impl SubscribedOptions {
    pub(crate) const fn kind(self) -> u8 {
        if self.by_grant { kind::SUBSCRIBED_BY_GRANT } else { kind::SUBSCRIBED }
    }
}

const URGENT: u8 = 1;
const RETAIN_AS_PUBLISHED: u8 = 1 << 1;
const COLLAPSES: u8 = 1 << 2;
const NO_LOCAL: u8 = 1 << 2;

/// All of a message but its payload, which follows.
pub(crate) fn encode_message_head(message: &Message) -> Vec<u8> {
    let flags = flag(message.collapse.is_some(), COLLAPSES);
    let mut head = Writer::default()
        .u64(message.arrived_ms)
        .u64(message.expires_at_ms)
        .u8(message.qos as u8)
        .u8(flags)
        .short(message.topic.as_bytes());
    if let Some(collapse) = &message.collapse {
        head = head.short(collapse.key.as_bytes()).u64(collapse.version);
    }
    head.long(&message.properties).0
}

pub(super) fn decode_message(payload: &[u8]) -> Result<Message, Unreadable> {
    let mut reader = Reader(payload);
    let r = &mut reader;
    let (arrived_ms, expires_at_ms) = (r.u64()?, r.u64()?);
    let qos = QoS::from_bits(r.u8()?).ok_or(Unreadable("QoS 3"))?;
    let flags = r.u8()?;
    let topic = r.text()?.into();
    let collapse = match flags & COLLAPSES {
        0 => None,
        _ => Some(Collapse { key: r.text()?.into(), version: r.u64()? }),
    };
    // What cannot be read is not forwarded.
    let properties = Properties::parse_publish(r.long()?).unwrap_or_default().as_bytes().into();
    Ok(Message { topic, properties, payload: r.rest().into(), qos, arrived_ms, expires_at_ms, collapse })
}

impl Reference<'_> {
    /// The whole record.
    pub(crate) fn encode_whole(&self) -> Vec<u8> {
        let (before, after) = self.encode();
        [&before[..], &self.message.to_bytes(), &after].concat()
    }

    /// What stands before and after the position, so that the log can put it in between.
    pub(crate) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let flags = flag(self.urgent, URGENT)
            | flag(self.retain_as_published, RETAIN_AS_PUBLISHED)
            | flag(self.collapse.is_some(), COLLAPSES);
        let mut after = Writer::default()
            .u16(self.packet_id.map_or(0, PacketId::get))
            .u8(flags)
            .u32(self.size)
            .u64(self.expires_at_ms);
        if let Some((key, version)) = self.collapse {
            after = after.short(key.as_bytes()).u64(version);
        }
        let after = self.subscription_ids.iter().fold(after, |writer, id| writer.u32(*id));
        (Writer::default().short(self.client_id.as_bytes()).0, after.0)
    }
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

pub(crate) fn encode_removed(client_id: &str, messages: &[Position]) -> Vec<u8> {
    let start = Writer::default().short(client_id.as_bytes());
    messages.iter().fold(start, |writer, position| writer.u64(position.0)).0
}

pub(crate) fn encode_handed_out(client_id: &str, packets: &[(Position, PacketId)]) -> Vec<u8> {
    write_packets(Writer::default().short(client_id.as_bytes()), packets)
}

fn write_packets(start: Writer, packets: &[(Position, PacketId)]) -> Vec<u8> {
    packets.iter().fold(start, |writer, (position, id)| writer.u64(position.0).u16(id.get())).0
}

pub(crate) fn encode_session(session: SessionRecord<'_>) -> Vec<u8> {
    Writer::default().short(session.client_id.as_bytes()).short(session.account.as_bytes()).u32(session.expiry_s).0
}

pub(crate) fn encode_session_gone(client_id: &str) -> Vec<u8> {
    Writer::default().short(client_id.as_bytes()).0
}

pub(crate) fn encode_subscribed(client_id: &str, filter: &str, options: SubscribedOptions) -> Vec<u8> {
    let bits = options.qos as u8
        | flag(options.no_local, NO_LOCAL)
        | flag(options.retain_as_published, RETAIN_AS_PUBLISHED << 2);
    Writer::default()
        .short(client_id.as_bytes())
        .short(filter.as_bytes())
        .u8(bits)
        .u32(options.subscription_id.unwrap_or(0))
        .0
}

pub(crate) fn encode_unsubscribed(client_id: &str, filter: &str) -> Vec<u8> {
    Writer::default().short(client_id.as_bytes()).short(filter.as_bytes()).0
}

pub(crate) fn encode_opened(client_id: &str, connection_id: &str, at_ms: u64, address: &str) -> Vec<u8> {
    let start = Writer::default().short(client_id.as_bytes()).short(connection_id.as_bytes());
    start.u64(at_ms).short(address.as_bytes()).0
}

pub(crate) fn encode_closed(client_id: &str, connection_id: &str, at_ms: u64) -> Vec<u8> {
    Writer::default().short(client_id.as_bytes()).short(connection_id.as_bytes()).u64(at_ms).0
}

pub(crate) fn encode_event_sent(connection_id: &str) -> Vec<u8> {
    Writer::default().short(connection_id.as_bytes()).0
}

pub(crate) fn encode_queue_id_seen(client_id: &str, until_ms: u64, id: &str) -> Vec<u8> {
    Writer::default().short(client_id.as_bytes()).u64(until_ms).short(id.as_bytes()).0
}

pub(crate) fn encode_stopped(at_ms: u64) -> Vec<u8> {
    Writer::default().u64(at_ms).0
}

pub(crate) fn encode_started(at_ms: u64) -> Vec<u8> {
    Writer::default().u64(at_ms).0
}

pub(crate) fn encode_collapsed(collapsed: CollapsedRecord<'_>) -> Vec<u8> {
    let CollapsedRecord { client_id, entry, version, until_ms, key } = collapsed;
    let start = Writer::default().short(client_id.as_bytes());
    start.u64(entry.0).u64(version).u64(until_ms).short(key.as_bytes()).0
}

pub(crate) fn encode_in_flight(client_id: &str, last: PacketId, packets: &[(Position, PacketId)]) -> Vec<u8> {
    write_packets(Writer::default().short(client_id.as_bytes()).u16(last.get()), packets)
}

pub(crate) fn encode_session_state(session: SessionRecord<'_>, disconnected_ms: Option<u64>) -> Vec<u8> {
    let SessionRecord { client_id, account, expiry_s } = session;
    let start = Writer::default().short(client_id.as_bytes()).short(account.as_bytes());
    start.u32(expiry_s).u64(disconnected_ms.unwrap_or(0)).0
}

pub(crate) fn encode_connection(connection: ConnectionRecord<'_>) -> Vec<u8> {
    let ConnectionRecord { client_id, connection_id, address, closed_ms } = connection;
    let start = Writer::default().short(client_id.as_bytes()).short(connection_id.as_bytes());
    start.short(address.as_bytes()).u64(closed_ms.unwrap_or(0)).0
}

pub(crate) fn encode_latest_time(at_ms: u64) -> Vec<u8> {
    Writer::default().u64(at_ms).0
}

/// Reads a record of the broker.
pub(super) fn decode(kind: u8, payload: &[u8]) -> Result<Record<'_>, Unreadable> {
    let mut reader = Reader(payload);
    let r = &mut reader;
    let record = match kind {
        kind::MESSAGE => {
            let arrived_ms = r.u64()?;
            r.rest();
            Record::Message { arrived_ms }
        }
        kind::REFERENCE => Record::Reference(read_reference(r)?),
        kind::REMOVED => Record::Removed { client_id: r.text()?, messages: read_positions(r)? },
        kind::HANDED_OUT => Record::HandedOut { client_id: r.text()?, packets: read_packets(r)? },
        kind::SESSION => Record::Session(read_session(r)?),
        kind::SESSION_GONE => Record::SessionGone { client_id: r.text()? },
        kind::SUBSCRIBED | kind::SUBSCRIBED_BY_GRANT => Record::Subscribed {
            client_id: r.text()?,
            filter: r.text()?,
            options: read_subscribed_options(r, kind == kind::SUBSCRIBED_BY_GRANT)?,
        },
        kind::UNSUBSCRIBED => Record::Unsubscribed { client_id: r.text()?, filter: r.text()? },
        kind::OPENED => {
            Record::Opened { client_id: r.text()?, connection_id: r.text()?, at_ms: r.u64()?, address: r.text()? }
        }
        kind::CLOSED => Record::Closed { client_id: r.text()?, connection_id: r.text()?, at_ms: r.u64()? },
        kind::EVENT_SENT => Record::EventSent { connection_id: r.text()? },
        kind::QUEUE_ID_SEEN => Record::QueueIdSeen { client_id: r.text()?, until_ms: r.u64()?, id: r.text()? },
        kind::STOPPED => Record::Stopped { at_ms: r.u64()? },
        kind::STARTED => Record::Started { at_ms: r.u64()? },
        kind::COLLAPSED => Record::Collapsed(read_collapsed(r)?),
        kind::IN_FLIGHT => {
            Record::InFlight { client_id: r.text()?, last: read_packet_id(r)?, packets: read_packets(r)? }
        }
        kind::SESSION_STATE => {
            Record::SessionState { session: read_session(r)?, disconnected_ms: read_optional_time(r)? }
        }
        kind::CONNECTION => Record::Connection(ConnectionRecord {
            client_id: r.text()?,
            connection_id: r.text()?,
            address: r.text()?,
            closed_ms: read_optional_time(r)?,
        }),
        kind::LATEST_TIME => Record::LatestTime { at_ms: r.u64()? },
        _ => return Err(Unreadable("an unknown kind")),
    };
    reader.end()?;
    Ok(record)
}

fn read_reference<'a>(r: &mut Reader<'a>) -> Result<Reference<'a>, Unreadable> {
    let client_id = r.text()?;
    let message = Position(r.u64()?);
    let packet_id = PacketId::new(r.u16()?);
    let flags = r.u8()?;
    let size = r.u32()?;
    let expires_at_ms = r.u64()?;
    let collapse = if flags & COLLAPSES != 0 { Some((r.text()?, r.u64()?)) } else { None };
    let mut subscription_ids = Vec::new();
    while !r.0.is_empty() {
        subscription_ids.push(r.u32()?);
    }
    Ok(Reference {
        client_id,
        message,
        packet_id,
        urgent: flags & URGENT != 0,
        retain_as_published: flags & RETAIN_AS_PUBLISHED != 0,
        size,
        expires_at_ms,
        collapse,
        subscription_ids,
    })
}

fn read_positions(r: &mut Reader<'_>) -> Result<Vec<Position>, Unreadable> {
    let mut positions = Vec::new();
    while !r.0.is_empty() {
        positions.push(Position(r.u64()?));
    }
    Ok(positions)
}

fn read_packets(r: &mut Reader<'_>) -> Result<Vec<(Position, PacketId)>, Unreadable> {
    let mut packets = Vec::new();
    while !r.0.is_empty() {
        packets.push((Position(r.u64()?), read_packet_id(r)?));
    }
    Ok(packets)
}

fn read_packet_id(r: &mut Reader<'_>) -> Result<PacketId, Unreadable> {
    PacketId::new(r.u16()?).ok_or(Unreadable("packet id 0"))
}

fn read_optional_time(r: &mut Reader<'_>) -> Result<Option<u64>, Unreadable> {
    Ok(Some(r.u64()?).filter(|ms| *ms != 0))
}

fn read_session<'a>(r: &mut Reader<'a>) -> Result<SessionRecord<'a>, Unreadable> {
    Ok(SessionRecord { client_id: r.text()?, account: r.text()?, expiry_s: r.u32()? })
}

fn read_collapsed<'a>(r: &mut Reader<'a>) -> Result<CollapsedRecord<'a>, Unreadable> {
    let (client_id, entry) = (r.text()?, Position(r.u64()?));
    Ok(CollapsedRecord { client_id, entry, version: r.u64()?, until_ms: r.u64()?, key: r.text()? })
}

fn read_subscribed_options(r: &mut Reader<'_>, by_grant: bool) -> Result<SubscribedOptions, Unreadable> {
    let bits = r.u8()?;
    Ok(SubscribedOptions {
        qos: QoS::from_bits(bits & 0b11).ok_or(Unreadable("QoS 3"))?,
        no_local: bits & NO_LOCAL != 0,
        retain_as_published: bits & RETAIN_AS_PUBLISHED << 2 != 0,
        by_grant,
        subscription_id: Some(r.u32()?).filter(|id| *id != 0),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use proptest::prelude::*;

    fn id(id: u16) -> PacketId {
        PacketId::new(id).unwrap()
    }

    fn reference() -> Reference<'static> {
        Reference {
            client_id: "GID_dev@@@a",
            message: Position(77),
            packet_id: Some(id(9)),
            urgent: true,
            retain_as_published: false,
            size: 12,
            expires_at_ms: 99,
            collapse: Some(("ring", 4)),
            subscription_ids: vec![1, 2],
        }
    }

    fn table() -> Vec<(u8, Vec<u8>, Record<'static>)> {
        let session = SessionRecord { client_id: "c", account: "user:a", expiry_s: u32::MAX };
        let options = SubscribedOptions {
            qos: QoS::AtLeastOnce,
            no_local: true,
            retain_as_published: true,
            by_grant: false,
            subscription_id: Some(268_435_455),
        };
        let plain =
            Reference { packet_id: None, urgent: false, collapse: None, subscription_ids: vec![], ..reference() };
        let collapsed = CollapsedRecord { client_id: "c", entry: Position(1), version: 2, until_ms: 3, key: "ring" };
        let connection =
            ConnectionRecord { client_id: "c", connection_id: "ab12", address: "127.0.0.1:1", closed_ms: Some(6) };
        vec![
            (kind::REFERENCE, reference().encode_whole(), Record::Reference(reference())),
            (kind::REFERENCE, plain.encode_whole(), Record::Reference(plain)),
            (
                kind::REMOVED,
                encode_removed("c", &[Position(1), Position(2)]),
                Record::Removed { client_id: "c", messages: vec![Position(1), Position(2)] },
            ),
            (
                kind::HANDED_OUT,
                encode_handed_out("c", &[(Position(1), id(65_535))]),
                Record::HandedOut { client_id: "c", packets: vec![(Position(1), id(65_535))] },
            ),
            (kind::SESSION, encode_session(session), Record::Session(session)),
            (kind::SESSION_GONE, encode_session_gone("c"), Record::SessionGone { client_id: "c" }),
            (
                kind::SUBSCRIBED,
                encode_subscribed("c", "a/#", options),
                Record::Subscribed { client_id: "c", filter: "a/#", options },
            ),
            (
                kind::SUBSCRIBED_BY_GRANT,
                encode_subscribed("c", "a/#", options),
                Record::Subscribed {
                    client_id: "c",
                    filter: "a/#",
                    options: SubscribedOptions { by_grant: true, ..options },
                },
            ),
            (
                kind::UNSUBSCRIBED,
                encode_unsubscribed("c", "a/#"),
                Record::Unsubscribed { client_id: "c", filter: "a/#" },
            ),
            (
                kind::OPENED,
                encode_opened("c", "ab12", 5, "127.0.0.1:1"),
                Record::Opened { client_id: "c", connection_id: "ab12", at_ms: 5, address: "127.0.0.1:1" },
            ),
            (
                kind::CLOSED,
                encode_closed("c", "ab12", 6),
                Record::Closed { client_id: "c", connection_id: "ab12", at_ms: 6 },
            ),
            (kind::STOPPED, encode_stopped(8), Record::Stopped { at_ms: 8 }),
            (kind::STARTED, encode_started(9), Record::Started { at_ms: 9 }),
            (kind::EVENT_SENT, encode_event_sent("ab12"), Record::EventSent { connection_id: "ab12" }),
            (
                kind::QUEUE_ID_SEEN,
                encode_queue_id_seen("c", 7, "id-1"),
                Record::QueueIdSeen { client_id: "c", until_ms: 7, id: "id-1" },
            ),
            (kind::COLLAPSED, encode_collapsed(collapsed), Record::Collapsed(collapsed)),
            (
                kind::IN_FLIGHT,
                encode_in_flight("c", id(8), &[(Position(1), id(7))]),
                Record::InFlight { client_id: "c", last: id(8), packets: vec![(Position(1), id(7))] },
            ),
            (
                kind::SESSION_STATE,
                encode_session_state(session, Some(9)),
                Record::SessionState { session, disconnected_ms: Some(9) },
            ),
            (
                kind::SESSION_STATE,
                encode_session_state(session, None),
                Record::SessionState { session, disconnected_ms: None },
            ),
            (kind::CONNECTION, encode_connection(connection), Record::Connection(connection)),
            (kind::LATEST_TIME, encode_latest_time(10), Record::LatestTime { at_ms: 10 }),
        ]
    }

    #[test]
    fn every_record_is_read_as_it_was_written() {
        for (kind, bytes, record) in table() {
            assert_eq!(decode(kind, &bytes), Ok(record), "{kind:#x}");
        }
    }

    #[test]
    fn no_record_is_read_when_its_end_is_missing() {
        for (kind, bytes, record) in table() {
            for end in 0..bytes.len() {
                assert_ne!(decode(kind, &bytes[..end]), Ok(record.clone()), "{kind:#x} cut at {end}");
            }
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let message = Message {
            topic: "ring-down/p2p/GID_dev@@@a/invitation".into(),
            properties: [0x26, 0, 1, b'k', 0, 1, b'v'].into(),
            payload: b"{}".as_slice().into(),
            qos: QoS::AtLeastOnce,
            arrived_ms: 3,
            expires_at_ms: u64::MAX,
            collapse: Some(Collapse { key: "i".into(), version: 2 }),
        };
        let bytes = [encode_message_head(&message), message.payload.to_vec()].concat();
        assert_eq!(decode_message(&bytes), Ok(message));
        assert_eq!(decode(kind::MESSAGE, &bytes), Ok(Record::Message { arrived_ms: 3 }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(kind in 0x40u8..0x54, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(kind, &bytes);
            let _ = decode_message(&bytes);
        }
    }
}
