//! The body of the fuzz target: any slot maps and packets from an RTC server.

use super::frames::WholeFrame;
use super::receiver::{Packet, ReceivedFrame, Receiver};
use signalling::SlotMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The bytes are inputs: kind, a number, length (u8), content. Kind 0 is a slot map as JSON, 1 lets time pass, all others
/// are a packet: its bits say on which section, how far on it is, and whether it ends a frame. Every frame
/// that is returned is of a source that a map has named, the first picture of each is a key frame, and all are reported.
pub fn receiver(bytes: &[u8]) {
    let mut receiver = Receiver::new([("v".to_owned(), true), ("a".to_owned(), false)]);
    let (mut now, mut sequence, mut rest, mut given) = (epoch(), 0, bytes, 0);
    receiver.handle_admitted(now);
    while let [kind, number, len, after @ ..] = rest {
        let (content, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        match kind {
            0 => {
                if let Ok(map) = serde_json::from_slice::<SlotMap>(content) {
                    receiver.handle_slots(&map, now);
                }
            }
            1 => now += Duration::from_millis(u64::from(*number) * 8),
            _ => {
                sequence += u64::from(kind >> 4 & 3);
                let packet = Packet { payload: content.into(), rtp_time: u64::from(*number), marker: kind & 4 != 0 };
                receiver.handle_packet(if kind & 8 == 0 { "v" } else { "a" }, sequence, packet, now);
            }
        }
        given += drain(&mut receiver, now);
    }
    let reported: u64 = receiver.report(now).iter().map(|source| source.frames).sum();
    assert_eq!(reported, given, "every frame is counted once");
    assert!(receiver.poll_timeout(now).is_none_or(|at| at <= now + Duration::from_secs(60)), "nothing waits for ever");
}

fn drain(receiver: &mut Receiver, now: Instant) -> u64 {
    drop(receiver.poll_key_frame_requests(now));
    let mut given = 0;
    while let Some(ReceivedFrame { frame: WholeFrame { .. }, first, .. }) = receiver.poll_frame(now) {
        assert!(first.is_none_or(|first| first.after <= Duration::from_secs(3600)));
        given += 1;
    }
    given
}

/// The zero of virtual time.
fn epoch() -> Instant {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    *ZERO.get_or_init(Instant::now)
}
