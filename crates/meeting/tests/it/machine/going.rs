//! Departures of members: what the others see of them, and when.

use super::world::World;
use meeting::machine::{MediaChange, Request};
use signalling::MemberState;

/// Alice, Bob and Carol are in, with media.
fn three() -> World {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.accept("carol.phone");
    for client in ["alice.phone", "bob.phone", "carol.phone"] {
        world.media(client, MediaChange::Joined);
    }
    world.forget();
    world
}

/// The states in which Alice has been shown Bob; the last one `None` if she saw him go.
fn seen_of_bob(world: &mut World) -> Vec<Option<MemberState>> {
    let bob = |roster: &signalling::Roster| roster.members.iter().find(|member| member.user == "bob".into()).cloned();
    std::mem::take(&mut world.rosters).iter().map(|roster| bob(roster).map(|member| member.state)).collect()
}

#[test]
fn a_clean_leave_is_one_change_for_the_others() {
    for media_first in [true, false] {
        let mut world = three();
        if media_first {
            world.media("bob.phone", MediaChange::Closed);
        }
        world.request("bob.phone", Request::Leave);
        assert_eq!(seen_of_bob(&mut world), [None], "he is gone, and was never shown as lost");
    }
}

#[test]
fn a_closed_page_counts_as_left_after_four_seconds() {
    let mut world = three();
    world.media("bob.phone", MediaChange::Closed);
    world.says_goodbye("bob.phone");
    world.pass(3);
    assert_eq!(seen_of_bob(&mut world), []);
    world.pass(1);
    assert_eq!(seen_of_bob(&mut world), [None]);
}

#[test]
fn a_reload_within_four_seconds_changes_nothing() {
    let mut world = three();
    let before = world.participation("bob.phone");
    world.media("bob.phone", MediaChange::Closed);
    world.says_goodbye("bob.phone");
    world.pass(3);
    world.comes("bob.phone");
    world.media("bob.phone", MediaChange::Joined);
    world.pass(60);
    assert_eq!(seen_of_bob(&mut world), []);
    assert_eq!(world.participation("bob.phone"), before);
}

#[test]
fn a_call_of_two_ends_for_the_peer_four_seconds_after_the_page_was_closed() {
    let mut world = World::in_call();
    world.media("bob.phone", MediaChange::Joined);
    world.media("bob.phone", MediaChange::Closed);
    world.says_goodbye("bob.phone");
    world.forget();
    world.pass(3);
    assert_eq!(world.got("alice.phone"), [""; 0]);
    world.pass(1);
    assert_eq!(world.got("alice.phone"), ["ended(left)"]);
}

#[test]
fn who_has_no_login_any_more_is_out_at_once_though_its_media_is_there() {
    let mut world = three();
    let before = world.participation("bob.phone");
    world.is_removed("bob.phone");
    assert_eq!(seen_of_bob(&mut world), [None]);
    assert_eq!(world.got("bob.phone"), [""; 0], "nobody reads it");
    assert!(world.document().removed.iter().any(|removed| removed.participation == before));
    world.request("bob.laptop", Request::Join);
    assert_eq!(world.inside(), ["alice.phone", "carol.phone", "bob.laptop"], "another login of his comes back");
    world.is_removed("bob.phone");
    assert_eq!(world.inside().len(), 3);
}

#[test]
fn a_call_of_two_ends_at_once_when_the_login_of_one_is_ended() {
    let mut world = World::in_call();
    world.media("bob.phone", MediaChange::Joined);
    world.forget();
    world.is_removed("bob.phone");
    assert_eq!(world.got("alice.phone"), ["ended(left)"]);
    let mut world = World::calling();
    world.media("alice.phone", MediaChange::Joined);
    world.forget();
    world.is_removed("alice.phone");
    assert_eq!(world.got("bob.phone"), ["ring ended(caller_gone, missed)"]);
    assert_eq!(world.got("alice.phone"), [""; 0]);
}

#[test]
fn a_caller_that_closes_its_page_rings_for_four_seconds_more() {
    for media in [None, Some(MediaChange::Joined)] {
        let mut world = World::calling();
        for change in media.into_iter().chain([MediaChange::Closed]) {
            world.media("alice.phone", change);
        }
        world.ringing("bob.phone");
        world.says_goodbye("alice.phone");
        world.forget();
        world.pass(3);
        assert_eq!(world.got("bob.phone"), [""; 0]);
        world.pass(1);
        assert_eq!(world.got("bob.phone"), ["ring ended(caller_gone, missed)"]);
        assert_eq!(world.got("alice.phone"), ["ended(caller_gone)"]);
    }
}

#[test]
fn who_said_goodbye_and_whose_media_is_lost_afterwards_is_gone_soon() {
    let mut world = three();
    world.says_goodbye("bob.phone");
    world.pass(60);
    assert_eq!(seen_of_bob(&mut world), [], "media stands");
    world.media("bob.phone", MediaChange::Lost);
    world.pass(4);
    assert_eq!(seen_of_bob(&mut world), [Some(MemberState::Lost), None]);
}

#[test]
fn media_that_was_closed_and_does_not_come_back_is_shown_as_joining() {
    let mut world = three();
    world.media("bob.phone", MediaChange::Closed);
    world.pass(4);
    assert_eq!(seen_of_bob(&mut world), [Some(MemberState::Joining)]);
    world.goes("bob.phone");
    world.pass(19);
    assert_eq!(world.inside().len(), 3, "without a goodbye there is the whole time to come back");
    world.pass(1);
    assert_eq!(world.inside().len(), 2);
}

#[test]
fn a_goodbye_is_over_with_the_next_connection() {
    let mut world = three();
    world.media("bob.phone", MediaChange::Closed);
    world.says_goodbye("bob.phone");
    world.pass(1);
    world.comes("bob.phone");
    world.goes("bob.phone");
    world.pass(10);
    assert_eq!(world.inside().len(), 3, "this connection was lost");
}

#[test]
fn who_hangs_up_while_it_rings_cancels_also_after_its_media_was_closed() {
    let mut world = World::calling();
    world.media("alice.phone", MediaChange::Joined);
    world.media("alice.phone", MediaChange::Closed);
    world.request("alice.phone", Request::Leave);
    assert_eq!(world.got("bob.phone"), ["ring ended(cancelled, missed)"]);
}
