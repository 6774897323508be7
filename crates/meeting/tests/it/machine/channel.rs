//! The commands to the RTC server, derived from the document.

use super::world::World;
use meeting::machine::Request;
use meeting::machine::desired::{Channel, ChannelCommand};
use signalling::{ParticipationId, Rights, Source, Track};

const NO_AUDIO: Rights = Rights { publish_audio: false, publish_video: true, subscribe: true };

/// The commands that an act leads to.
fn commands(world: &mut World, act: impl FnOnce(&mut World)) -> Vec<ChannelCommand> {
    let before = world.meeting.as_ref().map(Channel::of).unwrap_or_default();
    act(world);
    Channel::of(world.document()).commands_from(Some(&before))
}

/// What is said of somebody of whom nothing is known, and who may do everything.
fn admitted(who: ParticipationId) -> [ChannelCommand; 4] {
    [
        ChannelCommand::UpdateRights(who, Rights::ALL),
        ChannelCommand::Mute(who, Source::Microphone, false),
        ChannelCommand::Mute(who, Source::Camera, false),
        ChannelCommand::Admit(who),
    ]
}

#[test]
fn a_create_opens_the_channel_and_admits_the_caller() {
    let mut world = World::new();
    let made = commands(&mut world, |world| drop(world.create("alice.phone", &["bob"])));
    assert_eq!(made[..1], [ChannelCommand::Open]);
    assert_eq!(made[1..], admitted(world.participation("alice.phone")));
}

#[test]
fn an_accept_admits_one_device_and_removes_the_others() {
    let mut world = World::calling();
    let (phone, laptop) = (world.participation("bob.phone"), world.participation("bob.laptop"));
    let made = commands(&mut world, |world| drop(world.accept("bob.phone")));
    assert_eq!(made[..1], [ChannelCommand::Remove(laptop)]);
    assert_eq!(made[1..], admitted(phone));
}

#[test]
fn who_joins_again_is_told_also_that_a_mute_or_a_block_is_over() {
    let mut world = World::in_call();
    let bob = world.participation("bob.phone");
    let mute = Request::Mute { user: None, track: Track::Audio };
    world.request("bob.phone", mute);
    let mut before = Channel::of(world.document());
    before.admitted.remove(&bob);
    world.request("bob.phone", Request::Unmute { track: Track::Audio });
    assert_eq!(Channel::of(world.document()).commands_from(Some(&before)), admitted(bob));
}

#[test]
fn mute_block_and_leave_are_enforced() {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.accept("carol.phone");
    let bob = world.participation("bob.phone");
    let mute = Request::Mute { user: None, track: Track::Video };
    assert_eq!(
        commands(&mut world, |world| drop(world.request("bob.phone", mute))),
        [ChannelCommand::Mute(bob, Source::Camera, true)]
    );
    let block = Request::Block { user: "bob".into(), track: Track::Audio, blocked: true };
    let made = commands(&mut world, |world| drop(world.request("alice.phone", block)));
    assert_eq!(made, [ChannelCommand::UpdateRights(bob, NO_AUDIO)]);
    let made = commands(&mut world, |world| drop(world.request("bob.phone", Request::Leave)));
    assert_eq!(made, [ChannelCommand::Remove(bob)]);
    let made = commands(&mut world, |world| drop(world.request("alice.phone", Request::Destroy)));
    assert_eq!(made, [ChannelCommand::Close]);
}

#[test]
fn after_a_crash_everything_is_said_again() {
    let mut world = World::in_call();
    world.request("alice.phone", Request::Block { user: "bob".into(), track: Track::Audio, blocked: true });
    let (bob, laptop) = (world.participation("bob.phone"), world.participation("bob.laptop"));
    let made = Channel::of(world.document()).commands_from(None);
    assert_eq!(made.first(), Some(&ChannelCommand::Open));
    for call in [
        ChannelCommand::Remove(laptop),
        ChannelCommand::Admit(bob),
        ChannelCommand::UpdateRights(bob, NO_AUDIO),
        ChannelCommand::Mute(bob, Source::Microphone, false),
    ] {
        assert!(made.contains(&call), "{call:?}");
    }
    world.request("alice.phone", Request::Destroy);
    assert_eq!(Channel::of(world.document()).commands_from(None), [ChannelCommand::Close]);
}

#[test]
fn removed_participations_are_remembered_as_long_as_their_tokens_live() {
    let mut world = World::in_call();
    assert_eq!(Channel::of(world.document()).removed.len(), 1);
    world.pass(601);
    world.request("alice.phone", Request::Mute { user: None, track: Track::Audio });
    assert!(Channel::of(world.document()).removed.is_empty());
}
