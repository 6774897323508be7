//! Every packet type in every state of the server's connection, in both versions.

use mqtt::Version::{self, V5, V311};
use mqtt::server::ConnectionConfig;

use crate::bytes::packet;
use crate::connection::{CONNECT_3, CONNECT_5, Peer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// A request for the caller.
    Request,
    /// Taken and answered, or ignored, without the caller.
    Handled,
    /// Held or dropped unread.
    Unread,
    Close(u8),
}
use Outcome::{Close, Handled, Request, Unread};

/// First byte, body in 3.1.1, body in 5.0, outcome while open.
const PACKETS: [(u8, &str, &str, Outcome); 15] = [
    (0x10, CONNECT_3, CONNECT_5, Close(0x82)),
    (0x20, "00 00", "00 00 00", Close(0x82)),
    (0x32, "0001 't' 0001", "0001 't' 0001 00", Request),
    (0x40, "0001", "0001", Request),
    (0x50, "0001", "0001", Handled),
    (0x62, "0001", "0001", Handled),
    (0x70, "0001", "0001", Handled),
    (0x82, "0001 0001 'a' 00", "0001 00 0001 'a' 00", Request),
    (0x90, "0001 00", "0001 00 00", Close(0x82)),
    (0xA2, "0001 0001 'a'", "0001 00 0001 'a'", Request),
    (0xB0, "0001", "0001 00 00", Close(0x82)),
    (0xC0, "", "", Handled),
    (0xD0, "", "", Close(0x82)),
    (0xE0, "", "", Request),
    (0xF0, "", "18 04 150001 'm'", Close(0x82)),
];

fn outcome(peer: &mut Peer, raw: &[u8]) -> Outcome {
    let unread = !peer.connection.wants_input();
    match peer.feed(raw) {
        Err(close) => Close(close.reason.get()),
        Ok(seen) if !seen.is_empty() => Request,
        Ok(_) if unread => Unread,
        Ok(_) => Handled,
    }
}

fn expected(state: &str, version: Version, first_byte: u8, open: Outcome) -> Outcome {
    match state {
        "await connect" if first_byte == 0x10 => Request,
        "await connect" => Close(0x82),
        "connecting" | "closed" => Unread,
        _ if first_byte == 0xF0 && version == V311 => Close(0x81),
        _ => open,
    }
}

fn in_state(state: &str, version: Version) -> Peer {
    let connect = if version == V5 { CONNECT_5 } else { CONNECT_3 };
    let mut peer = Peer::new(ConnectionConfig::default());
    if state == "await connect" {
        return peer;
    }
    peer.feed(&packet(0x10, connect)).unwrap();
    if state == "connecting" {
        return peer;
    }
    peer.accept();
    if state == "closed" {
        peer.feed(&packet(0xE0, "")).unwrap();
    }
    peer
}

#[test]
fn every_packet_in_every_state_is_served_held_or_ends_the_connection() {
    for state in ["await connect", "connecting", "open", "closed"] {
        for version in [V311, V5] {
            for (first_byte, body_3, body_5, open) in PACKETS {
                let mut peer = in_state(state, version);
                let body = if version == V5 { body_5 } else { body_3 };
                let seen = outcome(&mut peer, &packet(first_byte, body));
                let wanted = expected(state, version, first_byte, open);
                assert_eq!(seen, wanted, "{first_byte:#04x} while {state}, {version:?}");
                let over = matches!(wanted, Close(_)) || state == "closed" || (state == "open" && first_byte == 0xE0);
                assert_eq!(peer.connection.is_closed(), over, "{first_byte:#04x} while {state}, {version:?}");
            }
        }
    }
}
