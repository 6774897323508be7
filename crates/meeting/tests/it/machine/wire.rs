//! The signals of a call as text.

use super::world::World;
use meeting::machine::Request;
use signalling::{Down, DownBody, Envelope, SignalId};
use uuid::Uuid;

fn down(body: DownBody) -> Down {
    let envelope = Envelope {
        v: 1,
        id: SignalId(Uuid::from_u128(1)),
        meeting: Some(signalling::MeetingId(Uuid::from_u128(7))),
        sent_at_ms: 1,
        expires_at_ms: 2,
        in_reply_to: None,
        rev: None,
    };
    Down { envelope, body }
}

#[test]
fn every_message_of_a_call_is_read_as_it_was_written() {
    let mut world = World::new();
    let mut sends = world.create("alice.phone", &["bob"]);
    sends.extend(world.ringing("bob.phone"));
    sends.extend(world.accept("bob.phone"));
    sends.extend(world.request("alice.phone", Request::Destroy));
    assert!(sends.len() > 7);
    for send in sends {
        let mut signal = down(send.body);
        signal.envelope.rev = send.rev;
        let text = serde_json::to_string(&signal).unwrap();
        assert_eq!(serde_json::from_str::<Down>(&text).unwrap(), signal, "{text}");
    }
}

#[test]
fn an_invitation_names_its_meeting_once() {
    let mut world = World::new();
    let send = world.create("alice.phone", &["bob"]).remove(0);
    let text = serde_json::to_string(&down(send.body)).unwrap();
    assert_eq!(text.matches("\"meeting\":\"").count(), 1, "{text}");
}
