//! A member that gets no media, or does not get it back: what the others see of it, and when.

use super::world::World;
use meeting::machine::{Event, MediaChange, Request, TimerKind};
use signalling::MemberState::{self, In, Joining, Lost, NoMedia};
use std::collections::BTreeSet;

fn in_call() -> World {
    let mut world = World::in_call();
    world.media("alice.phone", MediaChange::Joined);
    world.forget();
    world
}

fn state_of(world: &World, user: &str) -> MemberState {
    world.document().roster().members.iter().find(|member| member.user == user.into()).unwrap().state
}

#[test]
fn media_that_does_not_come_about_is_told_after_eight_seconds_and_ends_nothing() {
    let mut world = in_call();
    world.pass(7);
    assert_eq!(state_of(&world, "bob"), Joining);
    world.pass(1);
    assert_eq!(state_of(&world, "bob"), NoMedia);
    assert_eq!(world.rosters.len(), 1, "it is a change of the roster like any other");
    world.pass(3_600);
    assert_eq!((world.inside().len(), state_of(&world, "bob")), (2, NoMedia), "the person may stay");
    assert_eq!(world.timer_kinds(), []);
}

#[test]
fn media_that_is_lost_while_signalling_stands_is_told_after_eight_seconds() {
    let mut world = in_call();
    world.media("bob.phone", MediaChange::Joined);
    world.pass(60);
    world.media("bob.phone", MediaChange::Lost);
    world.pass(7);
    assert_eq!(state_of(&world, "bob"), Lost);
    world.pass(1);
    assert_eq!(state_of(&world, "bob"), NoMedia);
}

#[test]
fn the_first_media_ends_it_at_once() {
    for change in [MediaChange::Joined, MediaChange::Back] {
        let mut world = in_call();
        world.pass(8);
        world.media("bob.phone", change);
        assert_eq!(state_of(&world, "bob"), In);
        world.media("bob.phone", MediaChange::Lost);
        assert_eq!(state_of(&world, "bob"), Lost, "the time begins anew");
        world.pass(8);
        assert_eq!(state_of(&world, "bob"), NoMedia);
    }
}

#[test]
fn a_device_that_is_away_altogether_is_not_said_to_have_no_media() {
    let mut world = in_call();
    world.goes("bob.phone");
    world.pass(19);
    assert_eq!(state_of(&world, "bob"), Joining);
    world.comes("bob.phone");
    world.pass(7);
    assert_eq!(state_of(&world, "bob"), Joining, "it has been back for less than eight seconds");
    world.pass(1);
    assert_eq!(state_of(&world, "bob"), NoMedia);
    world.goes("bob.phone");
    assert_eq!(state_of(&world, "bob"), Joining);
    world.pass(20);
    assert!(world.document().is_over(), "it is gone like any other");
}

#[test]
fn a_client_that_went_without_a_word_is_found_away_when_the_time_is_over() {
    let mut world = in_call();
    world.pass(1);
    world.offline.insert("bob.phone".into());
    world.pass(7);
    assert_eq!(state_of(&world, "bob"), Joining, "nobody has told of it, but the catalog knows");
}

#[test]
fn media_that_a_reload_closes_is_not_said_to_be_missing() {
    let mut world = in_call();
    world.media("bob.phone", MediaChange::Joined);
    world.forget();
    world.media("bob.phone", MediaChange::Closed);
    world.pass(3);
    world.media("bob.phone", MediaChange::Joined);
    world.pass(60);
    assert_eq!(world.rosters, []);
    world.media("bob.phone", MediaChange::Closed);
    world.pass(4);
    assert_eq!(state_of(&world, "bob"), Joining, "it does not come back");
    world.pass(4);
    assert_eq!(state_of(&world, "bob"), NoMedia, "eight seconds after it was closed");
}

#[test]
fn a_member_that_moves_to_another_device_begins_its_time_anew() {
    let mut world = in_call();
    world.pass(8);
    world.request("bob.laptop", Request::Join);
    assert_eq!(state_of(&world, "bob"), Joining);
    world.pass(8);
    assert_eq!(state_of(&world, "bob"), NoMedia);
}

#[test]
fn a_restart_of_the_service_begins_the_time_anew_for_who_was_not_said_to_have_none() {
    for said in [false, true] {
        let mut world = in_call();
        world.pass(if said { 8 } else { 7 });
        let (connected, online) = ([world.participation("alice.phone")].into(), world.online());
        world.event(Event::Restarted { connected, online });
        assert_eq!(state_of(&world, "bob"), if said { NoMedia } else { Joining }, "what is so stays shown");
        world.pass(7);
        assert_eq!(state_of(&world, "bob"), if said { NoMedia } else { Joining });
        world.pass(1);
        assert_eq!(state_of(&world, "bob"), NoMedia);
        world.event(Event::Restarted { connected: BTreeSet::new(), online: BTreeSet::new() });
        assert_eq!(state_of(&world, "bob"), Joining, "it is away");
    }
}

#[test]
fn each_member_without_media_has_one_timer_of_its_own() {
    let world = in_call();
    let bob = world.participation("bob.phone");
    assert_eq!(world.timer_kinds(), [TimerKind::NoMedia(bob)]);
}
