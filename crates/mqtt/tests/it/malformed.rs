//! Bytes that are no packet, class by class, with the reason code that 5.0 has for each.

use mqtt::Version::{self, V5, V311};
use mqtt::codec::{PACKET_SIZE_MAX, decode};

use crate::bytes::{bytes, frame, packet};

struct Malformed {
    name: &'static str,
    version: Version,
    first_byte: u8,
    body: &'static str,
    reason: u8,
}

const fn bad(version: Version, first_byte: u8, body: &'static str, reason: u8, name: &'static str) -> Malformed {
    Malformed { name, version, first_byte, body, reason }
}

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH_0: u8 = 0x30;
const PUBLISH_1: u8 = 0x32;
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const UNSUBSCRIBE: u8 = 0xA2;
const UNSUBACK: u8 = 0xB0;
const DISCONNECT: u8 = 0xE0;
const AUTH: u8 = 0xF0;

/// Each row: version, first byte, body, reason, class.
const TABLE: &[Malformed] = &[
    // Fixed header [MQTT5-2.1.3-1] [MQTT311-2.2.2-1] [MQTT311-2.2.2-2]
    bad(V5, 0x00, "", 0x81, "packet type 0"),
    bad(V311, 0xF0, "", 0x81, "AUTH in 3.1.1"),
    bad(V5, 0x11, "0004 'MQTT' 05 02 003c 00 0001 'a'", 0x81, "CONNECT with a flag"),
    bad(V5, 0x21, "00 00 00", 0x81, "CONNACK with a flag"),
    bad(V5, 0x41, "0001", 0x81, "PUBACK with a flag"),
    bad(V311, 0x41, "0001", 0x81, "PUBACK with a flag, 3.1.1"),
    bad(V5, 0x52, "0001", 0x81, "PUBREC with a flag"),
    bad(V5, 0x60, "0001", 0x81, "PUBREL without its flag"),
    bad(V311, 0x60, "0001", 0x81, "PUBREL without its flag, 3.1.1"),
    bad(V5, 0x63, "0001", 0x81, "PUBREL with another flag"),
    bad(V5, 0x71, "0001", 0x81, "PUBCOMP with a flag"),
    bad(V5, 0x80, "0001 00 0001 'a' 00", 0x81, "SUBSCRIBE without its flag"),
    bad(V311, 0x80, "0001 0001 'a' 00", 0x81, "SUBSCRIBE without its flag, 3.1.1"),
    bad(V5, 0x91, "0001 00 00", 0x81, "SUBACK with a flag"),
    bad(V5, 0xA0, "0001 00 0001 'a'", 0x81, "UNSUBSCRIBE without its flag"),
    bad(V5, 0xB1, "0001 00 00", 0x81, "UNSUBACK with a flag"),
    bad(V5, 0xC1, "", 0x81, "PINGREQ with a flag"),
    bad(V5, 0xD1, "", 0x81, "PINGRESP with a flag"),
    bad(V5, 0xE1, "", 0x81, "DISCONNECT with a flag"),
    bad(V5, 0xF1, "", 0x81, "AUTH with a flag"),
    bad(V5, 0xC0, "00", 0x81, "PINGREQ with a body"),
    bad(V5, 0xD0, "00", 0x81, "PINGRESP with a body"),
    // CONNECT
    bad(V5, CONNECT, "", 0x81, "CONNECT without a body"),
    bad(V5, CONNECT, "0004 'MQTX' 05 02 003c 00 0001 'a'", 0x81, "wrong protocol name"),
    bad(V5, CONNECT, "0006 'MQTT' 05 02 003c 00 0001 'a'", 0x81, "protocol name with the wrong length"),
    bad(V5, CONNECT, "0004 'MQTT' 06 02 003c 00 0001 'a'", 0x84, "protocol level 6"),
    bad(V5, CONNECT, "0004 'MQTT' 03 02 003c 0001 'a'", 0x84, "protocol level 3 under the new name"),
    bad(V5, CONNECT, "0006 'MQIsdp' 04 02 003c 0001 'a'", 0x84, "protocol level 4 under the old name"),
    bad(V5, CONNECT, "0004 'MQTT' 05 03 003c 00 0001 'a'", 0x81, "reserved connect flag"),
    bad(V5, CONNECT, "0004 'MQTT' 04 03 003c 0001 'a'", 0x81, "reserved connect flag, 3.1.1"),
    bad(V5, CONNECT, "0004 'MQTT' 05 0a 003c 00 0001 'a'", 0x81, "Will QoS without a will"),
    bad(V5, CONNECT, "0004 'MQTT' 04 22 003c 0001 'a'", 0x81, "Will Retain without a will, 3.1.1"),
    bad(V5, CONNECT, "0004 'MQTT' 05 1e 003c 00 0001 'a' 00 0001 't' 0000", 0x81, "Will QoS 3"),
    bad(V5, CONNECT, "0004 'MQTT' 04 42 003c 0001 'a' 0001 'p'", 0x81, "password without user name, 3.1.1"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 00", 0x81, "no client id"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 00 0002 'a'", 0x81, "client id cut short"),
    bad(V5, CONNECT, "0004 'MQTT' 05 82 003c 00 0001 'a'", 0x81, "user name missing"),
    bad(V5, CONNECT, "0004 'MQTT' 05 c2 003c 00 0001 'a' 0001 'u'", 0x81, "password missing"),
    bad(V5, CONNECT, "0004 'MQTT' 05 06 003c 00 0001 'a'", 0x81, "will missing"),
    bad(V5, CONNECT, "0004 'MQTT' 05 06 003c 00 0001 'a' 00 0001 '#' 0000", 0x90, "Will Topic with a wildcard"),
    bad(V5, CONNECT, "0004 'MQTT' 05 06 003c 00 0001 'a' 00 0000 0000", 0x82, "empty Will Topic"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 00 0001 'a' 00", 0x81, "bytes after CONNECT"),
    bad(V5, CONNECT, "0004 'MQTT' 04 02 003c 0001 'a' 00", 0x81, "bytes after CONNECT, 3.1.1"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 00 0002 'a' 00", 0x81, "NUL in the client id"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 00 0002 'a' 1b", 0x81, "control character in the client id"),
    bad(V5, CONNECT, "0004 'MQTT' 04 82 003c 0001 'a' 0003 efbfbf", 0x81, "non-character in the user name"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 00 0001 ff", 0x81, "ill-formed UTF-8"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 00 0003 eda080", 0x81, "a surrogate"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 00 0002 c080", 0x81, "an over-long NUL"),
    // Properties of CONNECT
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 03 21000a 21000b 0001 'a'", 0x81, "properties cut by their length"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 06 21000a 21000b 0001 'a'", 0x82, "a property twice"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 03 210000 0001 'a'", 0x82, "Receive Maximum 0"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 05 2700000000 0001 'a'", 0x82, "Maximum Packet Size 0"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 02 1702 0001 'a'", 0x82, "Request Problem Information 2"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 02 1902 0001 'a'", 0x82, "Request Response Information 2"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 04 160001 'x' 0001 'a'", 0x82, "authentication data without a method"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 02 7f00 0001 'a'", 0x81, "an unknown property"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 02 0000 0001 'a'", 0x81, "property 0"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 02 2401 0001 'a'", 0x81, "Maximum QoS in a CONNECT"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 05 0200000001 0001 'a'", 0x81, "Message Expiry in a CONNECT"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 05 1800000001 0001 'a'", 0x81, "Will Delay outside of the will"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 05 2600 02 'ab' 0001 'a'", 0x81, "half a user property"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 02 a101 0001 'a'", 0x81, "an unknown property of two bytes"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 7f 0001 'a'", 0x81, "property length past the packet"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c 8000 0001 'a'", 0x81, "over-long property length"),
    bad(V5, CONNECT, "0004 'MQTT' 05 02 003c ffffffff 01 0001 'a'", 0x81, "property length of five bytes"),
    bad(V5, CONNECT, "0004 'MQTT' 05 06 003c 00 0001 'a' 03 210001 0001 't' 0000", 0x81, "Receive Maximum in a will"),
    bad(V5, CONNECT, "0004 'MQTT' 05 06 003c 00 0001 'a' 02 0102 0001 't' 0000", 0x82, "Payload Format Indicator 2"),
    // CONNACK
    bad(V5, CONNACK, "02 00 00", 0x81, "reserved acknowledge flag"),
    bad(V5, CONNACK, "01 87 00", 0x82, "session present in a refusal"),
    bad(V311, CONNACK, "01 05", 0x82, "session present in a refusal, 3.1.1"),
    bad(V311, CONNACK, "00 06", 0x81, "reserved return code, 3.1.1"),
    bad(V5, CONNACK, "00 01 00", 0x81, "a reason that is none of CONNACK"),
    bad(V5, CONNACK, "00 00", 0x81, "CONNACK without properties"),
    bad(V311, CONNACK, "00 00 00", 0x81, "CONNACK with properties, 3.1.1"),
    bad(V5, CONNACK, "00 00 02 2402", 0x82, "Maximum QoS 2"),
    bad(V5, CONNACK, "00 00 03 210000", 0x82, "Receive Maximum 0 in CONNACK"),
    bad(V5, CONNACK, "00 00 02 2502", 0x82, "Retain Available 2"),
    // PUBLISH
    bad(V5, 0x36, "0001 't' 0001 00", 0x81, "QoS 3"),
    bad(V311, 0x36, "0001 't' 0001", 0x81, "QoS 3, 3.1.1"),
    bad(V5, 0x38, "0001 't' 00", 0x81, "DUP on QoS 0"),
    bad(V311, 0x38, "0001 't'", 0x81, "DUP on QoS 0, 3.1.1"),
    bad(V5, PUBLISH_1, "0001 't' 0000 00", 0x81, "packet id 0"),
    bad(V311, PUBLISH_1, "0001 't' 0000", 0x81, "packet id 0, 3.1.1"),
    bad(V311, PUBLISH_1, "0001 't'", 0x81, "no packet id"),
    bad(V311, PUBLISH_0, "", 0x81, "no topic"),
    bad(V311, PUBLISH_0, "0005 't'", 0x81, "topic cut short"),
    bad(V311, PUBLISH_0, "0000", 0x82, "empty topic, 3.1.1"),
    bad(V5, PUBLISH_0, "0000 00", 0x82, "empty topic without an alias"),
    bad(V5, PUBLISH_0, "0001 '+' 00", 0x90, "wildcard in a topic"),
    bad(V311, PUBLISH_0, "0003 'a/#'", 0x90, "wildcard in a topic, 3.1.1"),
    bad(V5, PUBLISH_0, "0002 'a' 00 00", 0x81, "NUL in a topic"),
    bad(V311, PUBLISH_0, "0002 'a' 0a", 0x81, "control character in a topic"),
    bad(V311, PUBLISH_0, "0003 efb790", 0x81, "non-character in a topic"),
    bad(V5, PUBLISH_0, "0001 't'", 0x81, "PUBLISH without properties"),
    bad(V5, PUBLISH_0, "0001 't' 03 230000", 0x94, "Topic Alias 0"),
    bad(V5, PUBLISH_0, "0001 't' 02 0b00", 0x82, "Subscription Identifier 0"),
    bad(V5, PUBLISH_0, "0001 't' 03 0b8000", 0x81, "over-long Subscription Identifier"),
    bad(V5, PUBLISH_0, "0001 't' 02 0102", 0x82, "Payload Format Indicator 2"),
    bad(V5, PUBLISH_0, "0001 't' 06 0800 03 'a/+'", 0x82, "wildcard in a Response Topic"),
    bad(V5, PUBLISH_0, "0001 't' 03 080000", 0x82, "empty Response Topic"),
    bad(V5, PUBLISH_0, "0001 't' 0a 0200000001 0200000002", 0x82, "Message Expiry twice"),
    bad(V5, PUBLISH_0, "0001 't' 05 1100000001", 0x81, "Session Expiry in a PUBLISH"),
    bad(V5, PUBLISH_0, "0001 't' 06 260001 00 0000", 0x81, "NUL in a user property"),
    bad(V5, PUBLISH_0, "0001 't' 04 2600 01 'a'", 0x81, "a user property without a value"),
    bad(V5, PUBLISH_0, "0001 't' 03 0200 00", 0x81, "Message Expiry cut short"),
    // Acknowledgements
    bad(V5, PUBACK, "00", 0x81, "PUBACK of one byte"),
    bad(V311, PUBACK, "0000", 0x81, "PUBACK for packet id 0"),
    bad(V311, PUBACK, "0001 00", 0x81, "PUBACK with a reason, 3.1.1"),
    bad(V5, PUBACK, "0001 01", 0x81, "unknown reason in PUBACK"),
    bad(V5, PUBACK, "0001 92", 0x81, "a reason of PUBREL in PUBACK"),
    bad(V5, PUBACK, "0001 00 00 00", 0x81, "bytes after PUBACK"),
    bad(V5, PUBACK, "0001 00 05 0200000001", 0x81, "Message Expiry in a PUBACK"),
    bad(V5, PUBACK, "0001 00 08 1f0001 'a' 1f0001 'b'", 0x82, "Reason String twice"),
    bad(V5, PUBREC, "0000", 0x81, "PUBREC for packet id 0"),
    bad(V5, PUBREL, "0001 80", 0x81, "unknown reason in PUBREL"),
    bad(V5, PUBREL, "0000", 0x81, "PUBREL for packet id 0"),
    bad(V5, PUBCOMP, "0001 10", 0x81, "unknown reason in PUBCOMP"),
    bad(V311, PUBCOMP, "0001 00", 0x81, "PUBCOMP with a reason, 3.1.1"),
    // SUBSCRIBE, SUBACK
    bad(V5, SUBSCRIBE, "0000 00 0001 'a' 00", 0x81, "SUBSCRIBE with packet id 0"),
    bad(V5, SUBSCRIBE, "0001 00", 0x82, "SUBSCRIBE without a filter"),
    bad(V311, SUBSCRIBE, "0001", 0x82, "SUBSCRIBE without a filter, 3.1.1"),
    bad(V5, SUBSCRIBE, "0001 00 0001 'a'", 0x81, "SUBSCRIBE without options"),
    bad(V311, SUBSCRIBE, "0001 0001 'a'", 0x81, "SUBSCRIBE without options, 3.1.1"),
    bad(V5, SUBSCRIBE, "0001 00 0001 'a' 03", 0x81, "subscription QoS 3"),
    bad(V311, SUBSCRIBE, "0001 0001 'a' 03", 0x81, "subscription QoS 3, 3.1.1"),
    bad(V5, SUBSCRIBE, "0001 00 0001 'a' 40", 0x81, "reserved option bit 6"),
    bad(V5, SUBSCRIBE, "0001 00 0001 'a' 80", 0x81, "reserved option bit 7"),
    bad(V311, SUBSCRIBE, "0001 0001 'a' 04", 0x81, "an option of 5.0, 3.1.1"),
    bad(V5, SUBSCRIBE, "0001 00 0001 'a' 30", 0x82, "Retain Handling 3"),
    bad(V5, SUBSCRIBE, "0001 00 000a '$share/g/a' 04", 0x82, "no-local on a shared subscription"),
    bad(V5, SUBSCRIBE, "0001 02 0b00 0001 'a' 00", 0x82, "Subscription Identifier 0 in SUBSCRIBE"),
    bad(V5, SUBSCRIBE, "0001 04 0b01 0b02 0001 'a' 00", 0x82, "two Subscription Identifiers in SUBSCRIBE"),
    bad(V5, SUBSCRIBE, "0001 00 0002 'a' 00 00", 0x81, "NUL in a filter"),
    bad(V5, SUBSCRIBE, "0001 00 0002 'a' 07 00", 0x81, "control character in a filter"),
    bad(V5, SUBACK, "0001 00", 0x82, "SUBACK without a code"),
    bad(V5, SUBACK, "0001 00 03", 0x81, "unknown code in SUBACK"),
    bad(V311, SUBACK, "0001 8f", 0x81, "a code of 5.0 in SUBACK, 3.1.1"),
    bad(V5, SUBACK, "0000 00 00", 0x81, "SUBACK with packet id 0"),
    // UNSUBSCRIBE, UNSUBACK
    bad(V5, UNSUBSCRIBE, "0001 00", 0x82, "UNSUBSCRIBE without a filter"),
    bad(V311, UNSUBSCRIBE, "0001", 0x82, "UNSUBSCRIBE without a filter, 3.1.1"),
    bad(V5, UNSUBSCRIBE, "0000 00 0001 'a'", 0x81, "UNSUBSCRIBE with packet id 0"),
    bad(V5, UNSUBSCRIBE, "0001 00 0001 'a' 00", 0x81, "UNSUBSCRIBE with a cut filter"),
    bad(V5, UNSUBSCRIBE, "0001 02 0b01 0001 'a'", 0x81, "Subscription Identifier in UNSUBSCRIBE"),
    bad(V5, UNSUBACK, "0001 00 01", 0x81, "unknown code in UNSUBACK"),
    bad(V311, UNSUBACK, "0001 00", 0x81, "UNSUBACK with a code, 3.1.1"),
    // DISCONNECT, AUTH
    bad(V311, DISCONNECT, "00", 0x81, "DISCONNECT with a body, 3.1.1"),
    bad(V5, DISCONNECT, "01", 0x81, "unknown reason in DISCONNECT"),
    bad(V5, DISCONNECT, "00 00 00", 0x81, "bytes after DISCONNECT"),
    bad(V5, DISCONNECT, "00 05 0200000001", 0x81, "Message Expiry in a DISCONNECT"),
    bad(V5, AUTH, "01", 0x81, "unknown reason in AUTH"),
    bad(V5, AUTH, "18", 0x81, "AUTH without a property length"),
    bad(V5, AUTH, "18 04 160001 'x'", 0x82, "authentication data without a method in AUTH"),
];

#[test]
fn every_malformed_packet_is_refused_with_its_reason() {
    for Malformed { name, version, first_byte, body, reason } in TABLE {
        let error = decode(&packet(*first_byte, body), *version, PACKET_SIZE_MAX).expect_err(name);
        assert_eq!(error.reason.get(), *reason, "{name}: {error}");
    }
}

/// A packet that is wrong in whole never passes for a right one in part.
#[test]
fn a_malformed_packet_is_incomplete_or_refused_at_every_split() {
    for Malformed { name, version, first_byte, body, .. } in TABLE {
        let whole = packet(*first_byte, body);
        for cut in 0..whole.len() {
            assert!(!matches!(decode(&whole[..cut], *version, PACKET_SIZE_MAX), Ok(Some(_))), "{name} cut at {cut}");
        }
    }
}

/// [MQTT5-1.5.5-1]
#[test]
fn a_remaining_length_has_the_shortest_form_and_at_most_four_bytes() {
    for raw in ["c0 8000", "c0 808000", "30 ffffffff", "30 80808080", "c0 80808080 01"] {
        for version in [V5, V311] {
            let error = decode(&bytes(raw), version, PACKET_SIZE_MAX).expect_err(raw);
            assert_eq!(error.reason.get(), 0x81, "{raw}");
        }
    }
    assert_eq!(decode(&bytes("30 ffffff"), V5, PACKET_SIZE_MAX), Ok(None));
}

#[test]
fn a_packet_that_is_too_large_is_refused_before_it_has_come() {
    let error = decode(&bytes("30 ffffff7f"), V5, 1024).expect_err("announces 256 MiB");
    assert_eq!(error.reason.get(), 0x95);
    let error = decode(&bytes("30 09"), V5, 10).expect_err("eleven bytes");
    assert_eq!(error.reason.get(), 0x95);
    assert_eq!(decode(&bytes("30 08"), V5, 10), Ok(None));
}

#[test]
fn more_user_properties_than_the_limit_are_refused() {
    let properties = bytes("26 0000 0000").repeat(mqtt::codec::USER_PROPERTIES_MAX + 1);
    let mut body = bytes("0001 't'");
    body.extend([(properties.len() & 0x7F) as u8 | 0x80, (properties.len() >> 7) as u8]);
    body.extend(&properties);
    let error = decode(&frame(0x30, &body), V5, PACKET_SIZE_MAX).expect_err("one too many");
    assert_eq!(error.reason.get(), 0x97);
}

#[test]
fn a_topic_of_thirty_thousand_levels_is_refused() {
    let mut body = bytes("7530");
    body.extend(vec![b'/'; 30_000]);
    let error = decode(&frame(0x30, &body), V311, PACKET_SIZE_MAX).expect_err("too deep");
    assert_eq!(error.reason.get(), 0x90);
}
