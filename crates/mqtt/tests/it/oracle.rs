//! A second opinion: what our codec takes, the `mqtt-proto` crate takes too, and what we write it reads.
//!
//! It is less strict than ours, so only this direction holds. Where it is wrong it is left out, with the reason.

use mqtt::Version::{self, V5, V311};
use mqtt::codec::{PACKET_SIZE_MAX, Packet, decode};
use mqtt::topic::TopicFilter;
use mqtt_proto::{v3, v5};
use proptest::prelude::*;

use crate::bytes::frame;

/// Strings that are no filters fail its whole packet; ours refuses each by itself.
fn has_invalid_filter(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Subscribe(subscribe) => subscribe.filters.iter().any(|wish| TopicFilter::parse(wish.filter).is_err()),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.iter().any(|f| TopicFilter::parse(f).is_err()),
        _ => false,
    }
}

/// It takes one Subscription Identifier in a PUBLISH; the specification allows several (section 3.3.2.3.8).
fn has_many_identifiers(packet: &Packet<'_>) -> bool {
    matches!(packet, Packet::Publish(message) if message.properties.subscription_identifiers().count() > 1)
}

/// `None`: we differ on purpose.
fn other_accepts(packet: &Packet<'_>, raw: &[u8], version: Version) -> Option<bool> {
    if has_invalid_filter(packet) || has_many_identifiers(packet) {
        return None;
    }
    Some(match version {
        V311 => matches!(v3::Packet::decode(raw), Ok(Some(_))),
        V5 => matches!(v5::Packet::decode(raw), Ok(Some(_))),
    })
}

/// The other codec reads what ours has written.
pub(crate) fn assert_readable(packet: &Packet<'_>, raw: &[u8], version: Version) {
    assert_ne!(other_accepts(packet, raw, version), Some(false), "{packet:?}");
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 2000, ..crate::seeded() })]

    #[test]
    fn what_we_accept_the_other_codec_accepts(
        first_byte in prop::sample::select(vec![
            0x20u8, 0x30, 0x32, 0x3A, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xA2, 0xB0, 0xE0, 0xF0,
        ]),
        body in prop::collection::vec(prop_oneof![6 => 0u8..3, 1 => any::<u8>(), 1 => Just(b'a')], 0..16),
    ) {
        let raw = frame(first_byte, &body);
        for version in [V311, V5] {
            if let Ok(Some((packet, _))) = decode(&raw, version, PACKET_SIZE_MAX) {
                let opinion = other_accepts(&packet, &raw, version);
                prop_assert_ne!(opinion, Some(false), "{:?} {:02x?}", packet, raw);
            }
        }
    }
}
