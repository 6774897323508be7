//! Bytes that are no MQTT, no WebSocket, no TLS and no HTTP.

use super::packets::{Connect, V5, V311, packet, publish, words};
use super::{Addresses, Scene};
use anyhow::{Context, Result};
use scenarios::wire;
use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

#[test]
fn a_first_packet_that_is_no_connect_closes_its_connection() {
    const STRANGE: &[(&str, &[u8])] = &[
        ("PUBLISH first", &[0x30, 0x04, 0, 1, b'a', b'x']),
        ("PINGREQ first", &[0xC0, 0x00]),
        ("a reserved type", &[0x00, 0x00]),
        ("all ones", &[0xFF; 64]),
        ("flags of CONNECT", &[0x11, 0x00]),
        ("a length of five bytes", &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        ("a CONNECT of 256 MiB", &[0x10, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("an empty CONNECT", &[0x10, 0x00]),
        ("another protocol", &[0x10, 0x0C, 0, 4, b'A', b'M', b'Q', b'P', 4, 2, 0, 0, 0, 0]),
        ("a reserved flag", &[0x10, 0x0C, 0, 4, b'M', b'Q', b'T', b'T', 4, 3, 0, 0, 0, 0]),
        ("a will QoS of 3", &[0x10, 0x0C, 0, 4, b'M', b'Q', b'T', b'T', 4, 0x1E, 0, 0, 0, 0]),
        ("a field past the end", &[0x10, 0x0C, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 9]),
        ("HTTP", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("a TLS hello", &[0x16, 0x03, 0x01, 0x00, 0xFF, 0x01]),
    ];
    let mut scene = Scene::start().expect("the server starts");
    let server = scene.addresses().expect("addresses").mqtt;
    let strange = || {
        for (name, bytes) in STRANGE {
            let said = words(&wire::exchange(server, bytes).with_context(|| (*name).to_owned())?);
            // 3.1.1 has no code for it, and no version is agreed before CONNECT.
            assert!(said == "closed" || said.starts_with("connack 8"), "{name}: {said}");
        }
        Ok(())
    };
    scene.costs_nothing(15, strange).expect("nobody is harmed");
}

/// 3.1.1 has no properties: there these bytes are payload, of a PUBLISH that is refused for its topic.
const ONLY_IN_V5: &[&str] = &["an unknown property", "an alias", "a subscription id from a client"];

#[test]
fn a_malformed_packet_closes_its_own_connection_and_says_why_in_5_0() {
    let mut scene = Scene::start().expect("the server starts");
    let alice = scene.device("alice").expect("alice");
    let server = scene.addresses().expect("addresses").mqtt;
    let table: &[(&str, Vec<u8>, &str)] = &[
        ("a second CONNECT", Connect::of(&alice, V5).expect("a login").bytes(), "82"),
        ("a reserved type", vec![0x00, 0x00], "81"),
        ("QoS 3", vec![0x36, 0x06, 0, 1, b'a', 0, 1, 0], "81"),
        ("DUP at QoS 0", vec![0x38, 0x04, 0, 1, b'a', 0], "81"),
        ("a packet id of 0", vec![0x32, 0x06, 0, 1, b'a', 0, 0, 0], "81"),
        ("a wildcard in a topic", publish(V5, 0, "meeting-up/#", b"x"), "90"),
        ("a topic that is no UTF-8", vec![0x30, 0x05, 0, 2, 0xC3, 0x28, 0], "81"),
        ("a zero in a topic", publish(V5, 0, "a\0b", b"x"), "81"),
        ("a topic past the end", vec![0x30, 0x03, 0, 9, b'a'], "81"),
        ("a length of five bytes", vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], "81"),
        ("a PUBLISH of 256 MiB", vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F], "95"),
        ("flags of SUBSCRIBE", vec![0x80, 0x07, 0, 1, 0, 0, 1, b'a', 0], "81"),
        ("a SUBSCRIBE of nothing", packet(0x82, &[0, 1, 0]), "82"),
        ("a server's packet", vec![0x20, 0x03, 0, 0, 0], "82"),
        ("an unknown property", vec![0x30, 0x06, 0, 1, b'a', 2, 0x7F, 0], "81"),
        ("an alias", vec![0x30, 0x07, 0, 1, b'a', 3, 0x23, 0, 1], "94"),
        ("a subscription id from a client", vec![0x30, 0x06, 0, 1, b'a', 2, 0x0B, 1], "82"),
    ];
    let malformed = || {
        for (name, bytes, reason) in table {
            let mut stream = Connect::of(&alice, V5)?.open(server)?;
            let said = words(&wire::finish(&mut stream, bytes).with_context(|| (*name).to_owned())?);
            assert_eq!(said, format!("disconnect {reason}, closed"), "{name}");
        }
        for (name, bytes, _) in table.iter().filter(|(name, ..)| !ONLY_IN_V5.contains(name)) {
            let mut stream = Connect::of(&alice, V311)?.open(server)?;
            let said = words(&wire::finish(&mut stream, bytes).with_context(|| (*name).to_owned())?);
            assert_eq!(said, "closed", "{name} in 3.1.1");
        }
        Ok(())
    };
    scene.costs_nothing(8, malformed).expect("nobody is harmed");
}

const UPGRADE: &str = "GET /mqtt HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const PROTOCOL: &str = "sec-websocket-protocol: mqtt\r\n";

#[test]
fn a_websocket_that_breaks_the_rules_is_closed_with_the_code_for_it() {
    const WRONG: &[(&str, &[u8], u16)] = &[
        ("a text frame", &[0x81, 0x82, 1, 2, 3, 4, 0x11, 0x02], 1003),
        ("an unmasked frame", &[0x82, 0x02, 0xC0, 0x00], 1002),
        ("reserved bits", &[0xF2, 0x82, 1, 2, 3, 4, 0xC1, 0x02], 1002),
        ("an unknown opcode", &[0x83, 0x82, 1, 2, 3, 4, 0xC1, 0x02], 1002),
        ("a continuation of nothing", &[0x80, 0x82, 1, 2, 3, 4, 0xC1, 0x02], 1002),
        ("a ping of 126 bytes", &[0x89, 0xFE, 0, 126, 1, 2, 3, 4], 1002),
    ];
    let mut scene = Scene::start().expect("the server starts");
    let server = scene.addresses().expect("addresses").http;
    let wrong = || {
        for (name, frame, code) in WRONG {
            let bytes = [UPGRADE.as_bytes(), PROTOCOL.as_bytes(), b"\r\n", frame].concat();
            let answer = wire::exchange(server, &bytes).with_context(|| (*name).to_owned())?;
            let [high, low] = code.to_be_bytes();
            assert!(answer.starts_with(b"HTTP/1.1 101 "), "{name}");
            assert!(answer.ends_with(&[0x88, 0x02, high, low]), "{name}: {answer:02x?}");
        }
        let plain = wire::http(server, "GET /mqtt", &[], b"")?;
        assert_eq!((plain.status, plain.body.contains("websocket")), (426, true), "{plain:?}");
        let head: Vec<&str> = UPGRADE.lines().skip(2).collect();
        let without = wire::http(server, "GET /mqtt", &head, b"")?;
        assert_eq!((without.status, without.body.contains("Sec-WebSocket-Protocol mqtt")), (426, true), "{without:?}");
        Ok(())
    };
    scene.costs_nothing(25, wrong).expect("nobody is harmed");
}

#[test]
fn garbage_on_the_tls_and_http_ports_ends_with_an_alert_or_a_400() {
    let mut scene = Scene::start().expect("the server starts");
    let Addresses { mqtts, http, .. } = scene.addresses().expect("addresses");
    let no_tls: &[&[u8]] = &[b"GET / HTTP/1.1\r\n\r\n", &[0xFF; 300], &[0x10, 0x00], &[0x16, 3, 1, 0xFF, 0xFF, 1, 2]];
    let no_http: &[&[u8]] =
        &[b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[0xFF; 300], b"GET /\0 HTTP/1.1\r\n\r\n"];
    let garbage = || {
        for bytes in no_tls {
            let answer = wire::exchange(mqtts, bytes)?;
            assert!(answer.is_empty() || answer.starts_with(&[0x15, 3]), "{bytes:02x?}: {answer:02x?}");
        }
        for bytes in no_http {
            let answer = wire::exchange(http, bytes)?;
            assert!(answer.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&answer));
        }
        let long = wire::exchange(http, &[b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 1_000_000]].concat())?;
        assert!(long.is_empty() || long.starts_with(b"HTTP/1.1 431 "), "{:?}", String::from_utf8_lossy(&long));
        Ok(())
    };
    scene.costs_nothing(25, garbage).expect("nobody is harmed");
}

/// So long after its own deadline a server does not mean to end a connection, however busy it is.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn who_never_finishes_a_first_packet_is_put_out() {
    let mut scene = Scene::start().expect("the server starts");
    let bob = scene.device("bob").expect("bob");
    let Addresses { mqtt, mqtts, http, .. } = scene.addresses().expect("addresses");
    let half_connect = Connect::of(&bob, V5).expect("a login").bytes()[..20].to_vec();
    let half_upgraded = [UPGRADE.as_bytes(), PROTOCOL.as_bytes(), b"\r\n"].concat();
    let before = scene.base_line().expect("the server lives");
    let slow: Vec<_> = [
        ("silence", mqtt, Vec::new()),
        ("half a CONNECT", mqtt, half_connect),
        ("silence before TLS", mqtts, Vec::new()),
        ("half a TLS hello", mqtts, vec![0x16, 3, 1, 0, 200, 1, 0]),
        ("a WebSocket that says nothing", http, half_upgraded),
        ("half a header", http, b"GET / HTTP/1.1\r\nhost".to_vec()),
    ]
    .into_iter()
    .map(|(name, server, bytes)| (name, thread::spawn(move || is_put_out(server, &bytes))))
    .collect();
    for (name, waiting) in slow {
        waiting.join().expect("it does not panic").unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
    scene.witness_is_unharmed().expect("nobody is harmed");
    scene.returns_to(before).expect("all is as it was");
}

fn is_put_out(server: SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut stream = wire::dial(server)?;
    stream.write_all(bytes)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    wire::finish(&mut stream, b"").map(drop)
}
