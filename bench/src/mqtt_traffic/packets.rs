//! Packets of MQTT 5.0 as the generator and the copying program see them: cut by their fixed header, hardly decoded.

use anyhow::{Result, bail};
use mqtt::codec::{Connect, Packet as Decoded, Properties, Publish, Subscribe, SubscribeFiltersBuf};
use mqtt::topic::TopicFilter;
use mqtt::{Delivery, PacketId, QoS, SubscriptionOptions, Version};

pub(super) const CONNECT: u8 = 1;
pub(super) const CONNACK: u8 = 2;
pub(super) const PUBLISH: u8 = 3;
pub(super) const PUBACK: u8 = 4;
pub(super) const SUBSCRIBE: u8 = 8;
pub(super) const SUBACK: u8 = 9;
pub(super) const PINGREQ: u8 = 12;
pub(super) const DISCONNECT: u8 = 14;

/// From here on a reason code is a refusal.
pub(super) const REFUSAL_MIN: u8 = 0x80;
/// Bytes of a length in the fixed header.
const LENGTH_BYTES_MAX: usize = 4;
/// Longer than any measurement, so that no ping counts.
const KEEP_ALIVE_S: u16 = 300;

/// One packet with its fixed header.
#[derive(Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) whole: &'a [u8],
    /// What follows the fixed header.
    pub(super) body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The packet at the start of `bytes`; `None` until it is complete.
    fn cut(bytes: &'a [u8]) -> Result<Option<Self>> {
        let mut length = 0;
        for n in 0..LENGTH_BYTES_MAX {
            let Some(byte) = bytes.get(1 + n) else { return Ok(None) };
            length |= usize::from(byte & 0x7f) << (7 * n);
            if byte & 0x80 == 0 {
                let header = 2 + n;
                let whole = bytes.get(..header + length);
                return Ok(whole.map(|whole| Self { whole, body: &whole[header..] }));
            }
        }
        bail!("a packet's length takes more than four bytes")
    }

    pub(super) fn kind(self) -> u8 {
        self.whole[0] >> 4
    }

    pub(super) fn body_at(self, index: usize) -> Option<u8> {
        self.body.get(index).copied()
    }

    /// The topic of a PUBLISH, without its length.
    pub(super) fn topic(self) -> &'a [u8] {
        let Some((length, rest)) = self.body.split_first_chunk() else { return &[] };
        rest.get(..usize::from(u16::from_be_bytes(*length))).unwrap_or_default()
    }

    /// The packet id of a PUBLISH; `None` at QoS 0.
    pub(super) fn publish_id(self) -> Option<[u8; 2]> {
        let has_id = self.whole[0] & 0b0110 != 0;
        let rest = self.body.get(2 + self.topic().len()..).filter(|_| has_id)?;
        rest.first_chunk().copied()
    }
}

/// The bytes of one connection, cut into packets.
#[derive(Default)]
pub(super) struct Input {
    /// The start of a packet that is not complete.
    held: Vec<u8>,
}

impl Input {
    /// Gives every packet that is complete with `bytes` to `each`.
    pub(super) fn take(&mut self, bytes: &[u8], mut each: impl FnMut(Packet<'_>) -> Result<()>) -> Result<()> {
        if self.held.is_empty() {
            let done = take_packets(bytes, &mut each)?;
            self.held.extend_from_slice(&bytes[done..]);
        } else {
            self.held.extend_from_slice(bytes);
            let done = take_packets(&self.held, &mut each)?;
            self.held.drain(..done);
        }
        Ok(())
    }
}

/// Returns how many bytes were complete packets.
fn take_packets(bytes: &[u8], each: &mut impl FnMut(Packet<'_>) -> Result<()>) -> Result<usize> {
    let mut done = 0;
    while let Some(packet) = Packet::cut(&bytes[done..])? {
        done += packet.whole.len();
        each(packet)?;
    }
    Ok(done)
}

/// User name and password of a CONNECT.
pub(super) type Login = (String, Vec<u8>);

pub(super) fn connect(client_id: &str, login: Option<&Login>) -> Result<Vec<u8>> {
    encode(Decoded::Connect(Connect {
        version: Version::V5,
        is_3_1: false,
        clean_start: true,
        keep_alive_s: KEEP_ALIVE_S,
        properties: Properties::EMPTY,
        client_id,
        will: None,
        username: login.map(|(name, _)| name.as_str()),
        password: login.map(|(_, password)| password.as_slice()),
    }))
}

pub(super) fn subscribe(filter: &str, qos: QoS) -> Result<Vec<u8>> {
    let mut filters = SubscribeFiltersBuf::default();
    filters.push(TopicFilter::parse(filter)?, SubscriptionOptions::at(qos));
    encode(Decoded::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        properties: Properties::EMPTY,
        filters: filters.view(),
    }))
}

/// With so many filters of one character, over and over the same.
pub(super) fn subscribe_many(count: usize) -> Result<Vec<u8>> {
    let (mut filters, options) = (SubscribeFiltersBuf::default(), SubscriptionOptions::at(QoS::AtMostOnce));
    for filter in ('a'..='z').map(String::from).cycle().take(count) {
        filters.push(TopicFilter::parse(&filter)?, options);
    }
    encode(Decoded::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        properties: Properties::EMPTY,
        filters: filters.view(),
    }))
}

pub(super) const fn ping() -> [u8; 2] {
    [PINGREQ << 4, 0]
}

/// A PUBLISH that is sent again and again, under another packet id each time.
pub(super) struct Template {
    packet: Vec<u8>,
    id_at: usize,
    has_id: bool,
}

impl Template {
    pub(super) fn new(topic: &str, qos: QoS, payload: &[u8]) -> Result<Self> {
        let has_id = qos != QoS::AtMostOnce;
        let delivery =
            if has_id { Delivery::AtLeastOnce { packet_id: PacketId::MIN, dup: false } } else { Delivery::AtMostOnce };
        let publish = Publish { delivery, retain: false, topic, properties: Properties::EMPTY, payload };
        let packet = encode(Decoded::Publish(publish))?;
        let Some(Packet { whole, body }) = Packet::cut(&packet)? else { bail!("a packet was not written whole") };
        let id_at = whole.len() - body.len() + 2 + topic.len();
        Ok(Self { packet, id_at, has_id })
    }

    pub(super) fn write(&self, id: [u8; 2], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.packet);
        if self.has_id {
            out[start + self.id_at..][..2].copy_from_slice(&id);
        }
    }
}

/// Without a reason code: success.
pub(super) fn puback(id: [u8; 2]) -> [u8; 4] {
    [PUBACK << 4, 2, id[0], id[1]]
}

fn encode(packet: Decoded<'_>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    mqtt::codec::encode(&packet, Version::V5, &mut out)?;
    Ok(out)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;

    fn publish(id: [u8; 2]) -> Vec<u8> {
        let template = Template::new("meeting-down/bench", QoS::AtLeastOnce, &[7; 200]).unwrap();
        let mut out = Vec::new();
        template.write(id, &mut out);
        out
    }

    #[test]
    fn packets_are_cut_wherever_the_bytes_were_split() {
        let bytes = [publish([0, 1]), connect("GID_dev@@@a", None).unwrap(), publish([2, 3])].concat();
        for at in 0..bytes.len() {
            let (mut input, mut kinds, mut ids) = (Input::default(), Vec::new(), Vec::new());
            for part in [&bytes[..at], &bytes[at..]] {
                let each = |packet: Packet<'_>| {
                    kinds.push(packet.kind());
                    ids.extend(packet.publish_id().filter(|_| packet.kind() == PUBLISH));
                    Ok(())
                };
                input.take(part, each).unwrap();
            }
            assert_eq!((kinds, ids), (vec![PUBLISH, CONNECT, PUBLISH], vec![[0, 1], [2, 3]]), "split at {at}");
        }
    }

    #[test]
    fn a_template_is_a_packet_with_its_topic_and_its_id() {
        let bytes = publish([0x12, 0x34]);
        let (packet, length) = mqtt::codec::decode(&bytes, Version::V5, 1 << 20).unwrap().unwrap();
        let Decoded::Publish(publish) = packet else { unreachable!("it is a PUBLISH") };
        assert_eq!((publish.topic, publish.payload.len(), length), ("meeting-down/bench", 200, bytes.len()));
        assert_eq!(publish.delivery.packet_id().map(PacketId::get), Some(0x1234));
        let packet = Packet::cut(&bytes).unwrap().unwrap();
        assert_eq!((packet.topic(), packet.publish_id()), (&b"meeting-down/bench"[..], Some([0x12, 0x34])));
    }
}
