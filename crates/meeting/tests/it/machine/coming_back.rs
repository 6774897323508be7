//! Former members that come back to a meeting that goes on; and who is host then.

use super::world::World;
use meeting::machine::{EngagementKind, Request};
use signalling::{DownBody, Track, UserName};

const JOIN: Request = Request::Join;
const LEAVE: Request = Request::Leave;

/// Alice, Bob and Carol are in; everything up to then is taken.
fn three() -> World {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.accept("carol.phone");
    world.forget();
    world
}

fn kick(user: &str) -> Request {
    Request::Kick { user: user.into(), ban_s: 0 }
}

fn engagement(world: &World, user: &str) -> Option<EngagementKind> {
    let user = UserName::from(user);
    world
        .document()
        .engagements()
        .into_iter()
        .find(|engagement| engagement.user == user)
        .map(|engagement| engagement.kind)
}

#[test]
fn who_has_left_may_come_back_with_another_participation() {
    let mut world = three();
    let before = world.participation("carol.phone");
    world.request("carol.phone", LEAVE);
    assert_eq!(engagement(&world, "carol"), Some(EngagementKind::Left));
    let joinable = world.document().joinable(&"carol".into()).unwrap();
    assert_eq!((joinable.members, joinable.names), (2, vec!["ALICE".to_owned(), "BOB".to_owned()]));
    world.forget();
    world.request("carol.phone", JOIN);
    assert_eq!(world.got("carol.phone"), ["admitted"]);
    assert_eq!(world.inside(), ["alice.phone", "bob.phone", "carol.phone"]);
    assert_ne!(world.participation("carol.phone"), before);
    assert_eq!(
        engagement(&world, "carol"),
        Some(EngagementKind::In),
        "its engagement is checked like that of whoever is admitted"
    );
    assert_eq!(world.document().joinable(&"carol".into()), None);
}

#[test]
fn who_was_gone_for_too_long_may_come_back() {
    let mut world = three();
    world.goes("carol.phone");
    world.pass(20);
    assert_eq!(world.inside(), ["alice.phone", "bob.phone"]);
    world.comes("carol.phone");
    world.forget();
    world.request("carol.phone", JOIN);
    assert_eq!(world.got("carol.phone"), ["admitted"]);
}

#[test]
fn who_was_taken_out_does_not_come_back_whichever_came_first() {
    let mut world = three();
    world.request("alice.phone", kick("carol"));
    world.forget();
    world.request("carol.phone", JOIN);
    assert_eq!(world.got("carol.phone"), ["refused(not_member)"]);

    let mut world = three();
    world.request("carol.phone", LEAVE);
    world.request("alice.phone", kick("carol"));
    assert_eq!(world.got("alice.phone").last().unwrap(), "roster_changed", "the host may take out who has just left");
    world.forget();
    world.request("carol.phone", JOIN);
    assert_eq!(world.got("carol.phone"), ["refused(not_member)"]);

    let mut world = three();
    world.request("carol.phone", LEAVE);
    world.request("carol.phone", JOIN);
    world.request("alice.phone", kick("carol"));
    assert_eq!(world.got("carol.phone").last().unwrap(), "ended(kicked)");
    assert_eq!(engagement(&world, "carol"), None);
}

#[test]
fn two_devices_that_come_back_at_once_are_one_stay() {
    let mut world = three();
    world.request("bob.phone", LEAVE);
    world.forget();
    world.request("bob.phone", JOIN);
    world.request("bob.laptop", JOIN);
    assert_eq!(world.got("bob.phone"), ["admitted", "ended(answered_elsewhere)"]);
    assert_eq!(world.got("bob.laptop"), ["admitted"]);
    assert_eq!(world.inside(), ["alice.phone", "carol.phone", "bob.laptop"]);
}

#[test]
fn a_host_hands_over_to_who_has_been_in_longest_and_does_not_get_it_back() {
    let mut world = three();
    world.request("alice.phone", LEAVE);
    assert_eq!(world.document().host, "bob".into());
    world.request("alice.phone", JOIN);
    world.forget();
    world.request("alice.phone", Request::Destroy);
    assert_eq!(world.got("alice.phone"), ["refused(not_host)"]);
    world.request("bob.phone", LEAVE);
    assert_eq!(world.document().host, "carol".into(), "by the present membership, not by the first");
    let roster = world.document().roster();
    assert_eq!(roster.host, Some("carol".into()));
}

#[test]
fn a_host_that_is_gone_for_too_long_hands_over_too() {
    let mut world = three();
    world.goes("alice.phone");
    world.pass(20);
    assert_eq!(world.document().host, "bob".into());
    world.request("bob.phone", kick("carol"));
    assert_eq!(world.got("carol.phone").last().unwrap(), "ended(kicked)", "somebody can moderate");
}

#[test]
fn a_block_is_kept_over_a_leave_and_a_return() {
    let mut world = three();
    world.request("alice.phone", Request::Block { user: "carol".into(), track: Track::Audio, blocked: true });
    world.request("carol.phone", LEAVE);
    world.request("carol.phone", JOIN);
    assert_eq!(world.document().rights_of(&"carol".into()).send, signalling::Sources::VIDEO);
}

#[test]
fn who_is_rung_again_meanwhile_answers_that_ring_by_coming_back() {
    let mut world = three();
    world.request("bob.phone", LEAVE);
    world.invite("alice.phone", "bob");
    world.forget();
    world.request("bob.phone", JOIN);
    assert_eq!(world.got("bob.phone"), ["admitted"]);
    assert_eq!(world.got("bob.laptop"), ["ring ended(answered_elsewhere)"]);
    assert_eq!(world.got("alice.phone"), ["accepted(bob)"]);
}

#[test]
fn a_larger_meeting_ends_when_nobody_is_in_and_a_call_of_two_with_one() {
    let mut world = three();
    world.request("alice.phone", LEAVE);
    world.request("bob.phone", LEAVE);
    assert_eq!(world.inside(), ["carol.phone"]);
    world.request("bob.phone", JOIN);
    assert_eq!(world.inside(), ["carol.phone", "bob.phone"]);
    world.request("bob.phone", LEAVE);
    world.request("carol.phone", LEAVE);
    assert!(world.document().is_over());
    world.forget();
    world.request("bob.phone", JOIN);
    assert_eq!(world.got("bob.phone"), ["ended(left)"], "back into a meeting that has just ended");

    let mut world = World::in_call();
    world.request("bob.phone", LEAVE);
    assert!(world.document().is_over());
}

#[test]
fn a_leave_that_comes_again_is_answered_as_the_first() {
    let mut world = three();
    for _ in 0..2 {
        world.request("carol.phone", LEAVE);
        assert_eq!(world.got("carol.phone").last().unwrap(), "ended(left)");
    }
}

#[test]
fn who_comes_back_needs_room() {
    let mut world = three();
    world.rules.members_max = 3;
    world.request("carol.phone", LEAVE);
    world.invite("alice.phone", "dave");
    world.forget();
    world.request("carol.phone", JOIN);
    assert_eq!(world.got("carol.phone"), ["refused(limit)"]);
}

#[test]
fn a_stay_that_moved_to_another_device_has_not_left() {
    let mut world = three();
    world.request("bob.laptop", JOIN);
    world.forget();
    let sends = world.request("bob.phone", JOIN);
    assert!(sends.iter().any(|send| matches!(send.body, DownBody::Admitted { .. })));
    assert_eq!(world.inside(), ["alice.phone", "bob.phone", "carol.phone"]);
}
