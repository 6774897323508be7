//! History entries: what a call leaves for its users, for each way in which it ends.

use super::world::World;
use meeting::machine::{Event, Request};
use signalling::{CallResult, Direction, RejectReason};
use std::collections::BTreeSet;

/// `user: direction result [duration in s] with, with`, in the order of the users.
fn entries(world: &World) -> Vec<String> {
    let words = world.past.iter().map(|past| {
        let call = &past.call;
        let with: Vec<&str> = call.with.iter().map(|person| person.user.as_str()).collect();
        let took = call.duration_ms.map(|ms| format!(" {}", ms / 1_000)).unwrap_or_default();
        let way = if call.direction == Direction::Made { "made" } else { "received" };
        assert_eq!(call.duration_ms.is_some(), call.result == CallResult::Answered);
        let result = serde_json::to_value(call.result).unwrap();
        format!("{}: {way} {}{took} {}", past.user, result.as_str().unwrap(), with.join(","))
    });
    let mut words: Vec<String> = words.collect();
    words.sort();
    words
}

fn reject(world: &mut World, client: &str, reason: RejectReason) {
    let invitation = world.invitation_of(client);
    world.request(client, Request::Reject { invitation, reason });
}

/// A way to end a call, and what then is in the histories.
type Way = (&'static str, fn(&mut World), [&'static str; 2]);
type AnsweredWay = (&'static str, fn(&mut World));

#[test]
fn a_call_that_nobody_answers_leaves_one_entry_for_each_that_says_how_it_ended() {
    let ways: [Way; 9] = [
        (
            "cancel",
            |world| drop(world.request("alice.phone", Request::Cancel { callee: None })),
            ["alice: made cancelled bob", "bob: received missed alice"],
        ),
        (
            "leave",
            |world| drop(world.request("alice.phone", Request::Leave)),
            ["alice: made cancelled bob", "bob: received missed alice"],
        ),
        (
            "destroy",
            |world| drop(world.request("alice.phone", Request::Destroy)),
            ["alice: made cancelled bob", "bob: received missed alice"],
        ),
        (
            "kick",
            |world| drop(world.request("alice.phone", Request::Kick { user: "bob".into(), ban_s: 0 })),
            ["alice: made cancelled bob", "bob: received missed alice"],
        ),
        ("nobody within reach", |world| world.pass(45), ["alice: made no_answer bob", "bob: received missed alice"]),
        (
            "it rang in vain",
            |world| {
                world.ringing("bob.phone");
                world.pass(45);
            },
            ["alice: made no_answer bob", "bob: received missed alice"],
        ),
        (
            "declined",
            |world| reject(world, "bob.phone", RejectReason::Declined),
            ["alice: made declined bob", "bob: received declined alice"],
        ),
        (
            "busy, says the device",
            |world| reject(world, "bob.phone", RejectReason::Busy),
            ["alice: made busy bob", "bob: received declined alice"],
        ),
        (
            "caller gone",
            |world| {
                world.ringing("bob.phone");
                world.goes("alice.phone");
                world.pass(20);
            },
            ["alice: made failed bob", "bob: received missed alice"],
        ),
    ];
    for (way, ends, expected) in ways {
        let mut world = World::calling();
        ends(&mut world);
        assert!(world.document().is_over(), "{way}");
        assert_eq!(entries(&world), expected, "{way}");
        assert!(world.past.iter().all(|past| past.call.started_at_ms == 1_000_000), "{way}");
    }
}

#[test]
fn who_is_in_another_call_has_missed_this_one_and_the_caller_finds_the_callee_busy() {
    let mut world = World::new();
    world.busy.insert("bob".to_owned());
    world.create("alice.phone", &["bob"]);
    assert_eq!(entries(&world), ["alice: made busy bob", "bob: received missed alice"]);
}

#[test]
fn a_call_that_was_answered_lasts_from_the_answer_for_both() {
    let ways: [AnsweredWay; 4] = [
        ("leave", |world| drop(world.request("bob.laptop", Request::Leave))),
        ("destroy", |world| drop(world.request("alice.phone", Request::Destroy))),
        ("kick", |world| drop(world.request("alice.phone", Request::Kick { user: "bob".into(), ban_s: 60 }))),
        ("gone", |world| {
            let online: BTreeSet<_> = ["alice.phone".into()].into();
            world.offline.insert("bob.laptop".into());
            world.event(Event::Restarted { connected: BTreeSet::new(), online: online.clone() });
            world.now_ms += 20_000;
            world.event(Event::Due { online });
        }),
    ];
    for (way, ends) in ways {
        let mut world = World::calling();
        world.pass(10);
        world.accept("bob.laptop");
        assert_eq!(entries(&world), [""; 0], "a call that goes on is not in it");
        world.now_ms += if way == "gone" { 40_000 } else { 60_000 };
        ends(&mut world);
        assert_eq!(entries(&world), ["alice: made answered 60 bob", "bob: received answered 60 alice"], "{way}");
        assert!(world.past.iter().all(|past| past.call.started_at_ms == 1_000_000), "{way}: when it was called");
    }
}

#[test]
fn whoever_is_called_into_a_call_has_an_entry_of_its_own() {
    let mut world = World::in_call();
    world.now_ms += 30_000;
    world.invite("bob.phone", "carol");
    world.now_ms += 5_000;
    world.accept("carol.phone");
    world.now_ms += 25_000;
    world.request("carol.phone", Request::Leave);
    assert_eq!(entries(&world), ["carol: received answered 25 bob,alice"]);
    assert_eq!(world.past[0].call.started_at_ms, 1_030_000);
    world.request("alice.phone", Request::Leave);
    assert_eq!(entries(&world)[0], "alice: made answered 60 bob,carol", "who made it made it, whoever else called");
    assert_eq!(entries(&world).len(), 2, "it goes on for bob");
    world.request("bob.phone", Request::Leave);
    assert_eq!(entries(&world)[1], "bob: received answered 60 alice,carol");
}

#[test]
fn a_callee_who_never_answers_is_with_the_caller_alone_of_all() {
    let mut world = World::in_call();
    world.invite("bob.phone", "carol");
    reject(&mut world, "carol.phone", RejectReason::Declined);
    assert_eq!(entries(&world), ["carol: received declined bob,alice"]);
    world.request("bob.phone", Request::Leave);
    assert_eq!(entries(&world)[0], "alice: made answered 0 bob");
}

#[test]
fn who_comes_back_has_a_second_entry_of_the_same_meeting_for_the_second_stay() {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.accept("carol.phone");
    world.now_ms += 10_000;
    world.request("alice.phone", Request::Leave);
    world.now_ms += 10_000;
    world.request("alice.phone", Request::Join);
    world.now_ms += 5_000;
    world.request("alice.phone", Request::Leave);
    let mine = ["alice: made answered 10 bob,carol", "alice: made answered 5 bob,carol"];
    assert_eq!(entries(&world), mine, "the catalog adds them up");
}

#[test]
fn who_was_alone_in_a_meeting_and_called_nobody_has_made_no_call() {
    let mut world = World::new();
    world.create("alice.phone", &[]);
    world.request("alice.phone", Request::Leave);
    assert!(world.document().is_over());
    assert_eq!(entries(&world), [""; 0]);
    let mut world = World::new();
    world.cancel_early("alice.phone");
    assert_eq!(entries(&world), [""; 0]);
}

#[test]
fn of_many_people_ten_are_named_and_those_who_answered_come_first() {
    let mut world = World::new();
    let users = ["u01", "u02", "u03", "u04", "u05", "u06", "u07", "u08", "u09", "u10", "u11", "bob"];
    for user in users {
        world.devices.entry(user.to_owned()).or_insert_with(|| vec!["bob.phone"]);
    }
    world.create("alice.phone", &users);
    world.accept("bob.phone");
    world.request("alice.phone", Request::Destroy);
    let alice = world.past.iter().find(|past| past.user == "alice".into()).unwrap();
    assert_eq!((alice.call.with.len(), alice.call.others), (10, 2));
    assert_eq!((alice.call.with[0].user.as_str(), alice.call.with[0].name.as_str()), ("bob", "BOB"));
}
