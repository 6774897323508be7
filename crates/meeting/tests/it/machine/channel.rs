//! The wish for the channel, derived from the document.

use super::world::World;
use meeting::machine::Request;
use signalling::{Admission, ClientId, DesiredChannel, DesiredParticipation, ParticipationId, Rights, Sources, Track};

fn desired(world: &World) -> Option<DesiredChannel> {
    world.document().desired_channel(|client: &ClientId| format!("alias of {client}"))
}

fn wish(world: &World, who: ParticipationId) -> DesiredParticipation {
    desired(world).unwrap().participations[&who].clone()
}

#[test]
fn a_caller_is_admitted_and_each_device_that_rings_waits() {
    let mut world = World::new();
    world.create("alice.phone", &["bob"]);
    let alice = wish(&world, world.participation("alice.phone"));
    assert_eq!((alice.user.as_str(), alice.admission), ("alice", Admission::Admitted));
    assert_eq!((alice.rights, alice.muted), (Rights::ALL, Sources::NONE));
    assert!(alice.client.starts_with("alias of "));
    for device in ["bob.phone", "bob.laptop"] {
        assert_eq!(wish(&world, world.participation(device)).admission, Admission::Waiting);
    }
    assert_eq!(desired(&world).unwrap().participations.len(), 3);
}

#[test]
fn an_accept_admits_one_device_and_the_others_are_out() {
    let mut world = World::calling();
    let (phone, laptop) = (world.participation("bob.phone"), world.participation("bob.laptop"));
    world.accept("bob.phone");
    assert_eq!(wish(&world, phone).admission, Admission::Admitted);
    assert!(!desired(&world).unwrap().participations.contains_key(&laptop));
}

#[test]
fn mute_block_and_leave_are_enforced_and_a_mute_is_one_of_all_pictures() {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.accept("carol.phone");
    let bob = world.participation("bob.phone");
    world.request("bob.phone", Request::Mute { user: None, track: Track::Video });
    assert_eq!(wish(&world, bob).muted, Sources::VIDEO);
    world.request("bob.phone", Request::Unmute { track: Track::Video });
    assert_eq!(wish(&world, bob).muted, Sources::NONE);
    world.request("alice.phone", Request::Block { user: "bob".into(), track: Track::Audio, blocked: true });
    assert_eq!(wish(&world, bob).rights, Rights { send: Sources::VIDEO, receive: true });
    world.request("bob.phone", Request::Leave);
    assert!(!desired(&world).unwrap().participations.contains_key(&bob));
    world.request("alice.phone", Request::Destroy);
    assert_eq!(desired(&world), None);
}
