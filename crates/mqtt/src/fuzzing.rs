//! Bodies of the fuzz targets: each takes any bytes and asserts what must hold for them.
//!
//! Only with the feature `fuzzing`. `fuzz/` calls them; the tests below play its corpus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::{Client, Event, Options};
use crate::codec::{self, PACKET_SIZE_MAX, decode};
use crate::server::{Accept, Close, Connection, ConnectionConfig, Request, check_subscribe};
use crate::topic::{Matches, Subscription, SubscriptionTree, TopicFilter, TopicName};
use crate::{ReasonCode, Version};

/// Decoding: what decodes encodes to an equal packet, and no beginning of a packet is one.
pub fn decoder(bytes: &[u8]) {
    codec::fuzz(bytes);
    for version in [Version::V311, Version::V5] {
        let Ok(Some((_, len))) = decode(bytes, version, PACKET_SIZE_MAX) else { continue };
        for cut in 0..len.min(64) {
            assert_eq!(decode(&bytes[..cut], version, PACKET_SIZE_MAX), Ok(None), "cut at {cut}");
        }
        let short = u32::try_from(len - 1).unwrap_or(u32::MAX);
        assert!(decode(bytes, version, short).is_err(), "a limit on packets holds");
    }
}

/// The server's connection: the first byte says how the others are cut. However they are, the same requests are seen,
/// the same answers leave, and what is held stays within the limits. (But a CONNECT whose beginning shows that it must
/// be refused is answered only if its version has come too.)
pub fn server(bytes: &[u8]) {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let whole = Served::feed(stream, stream.len());
    let mut split = Served::feed(stream, usize::from(step));
    if whole.requests.is_empty() && split.out.is_empty() {
        split.out.clone_from(&whole.out);
    }
    assert_eq!(split, whole, "cut into pieces of {step}");
}

const CONNECT_BYTES_MAX: u32 = 256;
const PACKET_BYTES_MAX: u32 = 1024;

/// What a connection did with all bytes.
#[derive(Debug, Default, PartialEq)]
struct Served {
    requests: Vec<String>,
    out: Vec<u8>,
    close: Option<Close>,
}

impl Served {
    fn feed(stream: &[u8], step: usize) -> Self {
        let config = ConnectionConfig {
            connect_packet_size_max: CONNECT_BYTES_MAX,
            packet_size_max: PACKET_BYTES_MAX,
            accept_3_1: true,
            ..ConnectionConfig::default()
        };
        let mut connection = Connection::new(Arc::new(config), epoch());
        let mut served = Self::default();
        for piece in stream.chunks(step.max(1)) {
            if let Err(close) = served.turn(&mut connection, piece) {
                assert!(connection.is_closed(), "an error is the end");
                served.close = Some(close);
                break;
            }
        }
        served
    }

    fn turn(&mut self, connection: &mut Connection, piece: &[u8]) -> Result<(), Close> {
        let input = connection.begin(piece);
        let result = loop {
            match connection.next(&input, epoch(), &mut self.out) {
                Ok(Some(request)) => {
                    self.requests.push(format!("{request:?}"));
                    if let Err(close) = answer(connection, request, &mut self.out) {
                        break Err(close);
                    }
                }
                Ok(None) => break Ok(()),
                Err(close) => break Err(close),
            }
        };
        connection.end(input);
        let limit = if connection.is_open() { PACKET_BYTES_MAX } else { CONNECT_BYTES_MAX };
        assert!(connection.held_len() < limit as usize, "no more is held than of one packet");
        result
    }
}

/// Grants everything at once.
fn answer(connection: &mut Connection, request: Request<'_>, out: &mut Vec<u8>) -> Result<(), Close> {
    match request {
        Request::Connect(_) => connection.accept(&Accept::default(), epoch(), out)?,
        Request::Publish { message, token } => {
            assert!(!connection.is_open() || TopicName::parse(message.topic).is_ok(), "the topic was checked");
            let known = token.is_none_or(|token| connection.puback(token, ReasonCode::SUCCESS, out));
            assert!(known, "the answer that was asked for is owed");
        }
        Request::Subscribe(subscribe) => {
            let grant = |wish| check_subscribe(wish).map_or_else(|reason| reason, |_| ReasonCode::SUCCESS);
            let codes: Vec<ReasonCode> = subscribe.filters.iter().map(grant).collect();
            let _sent = connection.suback(subscribe.packet_id, &codes, None, out);
        }
        Request::Unsubscribe(unsubscribe) => {
            let codes = vec![ReasonCode::SUCCESS; unsubscribe.filters.count()];
            let _sent = connection.unsuback(unsubscribe.packet_id, &codes, None, out);
        }
        Request::Ack { .. } | Request::Disconnect(_) => {}
    }
    Ok(())
}

/// The client: the first byte says how the others are cut and which version it speaks. However they are cut, the same
/// events are seen and the same bytes leave. (Acknowledged is at the end: when one leaves decides what is a repetition.)
pub fn client(bytes: &[u8]) {
    let Some((&how, stream)) = bytes.split_first() else { return };
    let version = if how & 0x80 == 0 { Version::V311 } else { Version::V5 };
    let whole = received(version, stream, stream.len());
    let split = received(version, stream, usize::from(how & 0x7F));
    assert_eq!(split, whole, "cut into pieces of {}", how & 0x7F);
}

fn received(version: Version, stream: &[u8], step: usize) -> (Vec<Event>, Vec<u8>) {
    let mut client = Client::new(Options::new(version, "a"), epoch());
    client.connect(epoch());
    let (mut events, mut out) = (Vec::new(), Vec::new());
    for piece in stream.chunks(step.max(1)) {
        client.handle_input(piece, epoch());
        events.extend(std::iter::from_fn(|| client.poll_event()));
        out.extend(client.take_output());
    }
    let handles = events.iter().filter_map(|event| match event {
        Event::Message(message) => message.ack,
        _ => None,
    });
    for handle in handles {
        assert_eq!(client.ack(handle, epoch()), client.is_connected(), "an answer is owed once, on its connection");
    }
    out.extend(client.take_output());
    (events, out)
}

/// The zero of virtual time.
#[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way; nothing here compares two")]
fn epoch() -> Instant {
    static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *ZERO.get_or_init(|| Instant::now() + Duration::from_secs(1))
}

/// Lines: a topic, then filters. The tree finds what a recursion over the levels finds, and emptied it is empty.
pub fn topics(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.lines();
    let Ok(topic) = TopicName::parse(lines.next().unwrap_or_default()) else { return };
    let filters: Vec<TopicFilter<'_>> = lines.take(50).filter_map(|line| TopicFilter::parse(line).ok()).collect();
    let mut tree = SubscriptionTree::new();
    for (key, filter) in filters.iter().enumerate() {
        assert_eq!(tree.subscribe(*filter, key, Subscription::default()), None);
    }
    let expected: Vec<usize> = (0..filters.len()).filter(|&key| naive(filters[key], topic)).collect();
    assert_eq!(found(&tree, topic), expected);
    for (key, filter) in filters.iter().enumerate() {
        assert_eq!(filter.matches(topic), expected.binary_search(&key).is_ok(), "{filter:?}");
        assert!(tree.unsubscribe(*filter, &key).is_some(), "what was put in comes out");
    }
    assert!(tree.is_empty() && found(&tree, topic).is_empty());
}

fn found(tree: &SubscriptionTree<usize>, topic: TopicName<'_>) -> Vec<usize> {
    let mut matches = Matches::new();
    tree.collect_matches(topic, &mut matches);
    matches.iter().map(|found| found.key).collect()
}

/// [MQTT5-4.7.1-2] [MQTT5-4.7.2-1] [MQTT311-4.7.2-1], word by word.
fn naive(filter: TopicFilter<'_>, topic: TopicName<'_>) -> bool {
    fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
            ([wanted, filter @ ..], [level, topic @ ..]) => wanted == level && levels_match(filter, topic),
            _ => false,
        }
    }
    let (filter, levels): (Vec<_>, Vec<_>) = (filter.levels().collect(), topic.levels().collect());
    let wild = matches!(filter[..], ["+" | "#", ..]);
    !(wild && topic.as_str().starts_with('$')) && levels_match(&filter, &levels)
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decoder_keeps_its_word_on_its_corpus() {
        replay::corpus("mqtt_decoder", 200, decoder);
    }

    #[test]
    fn the_server_side_keeps_its_word_on_its_corpus() {
        replay::corpus("mqtt_server", 200, server);
    }

    #[test]
    fn the_client_side_keeps_its_word_on_its_corpus() {
        replay::corpus("mqtt_client", 200, client);
    }

    #[test]
    fn the_topic_tree_keeps_its_word_on_its_corpus() {
        replay::corpus("mqtt_topics", 200, topics);
    }
}
