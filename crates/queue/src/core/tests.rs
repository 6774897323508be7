#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::limits::{IN_FLIGHT_MAX, RECEIVE_BYTES_MAX};
use crate::message::TagFilter;

const TOPIC: TopicId = TopicId(1);
const GROUP: GroupId = GroupId(2);
const SUBSCRIPTION: SubscriptionId = SubscriptionId(3);
const OTHER_GROUP: GroupId = GroupId(4);
const OTHER_SUBSCRIPTION: SubscriptionId = SubscriptionId(5);
const INVISIBLE: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Now {
    Now(Duration::from_secs(seconds))
}

fn core() -> Core {
    let mut core = Core::default();
    core.add_topic(TOPIC, TopicName::parse("topic").unwrap(), TopicType::Normal);
    core.set_group(
        GROUP,
        GroupName::parse("group").unwrap(),
        GroupOptions { attempts_max: 3, ..GroupOptions::default() },
    );
    core.subscribe(SUBSCRIPTION, GROUP, TOPIC);
    core
}

fn send(core: &mut Core, position: u64, tag: Option<&str>) {
    let entry = IndexEntry::new(tag.map(Into::into), 100, WallMs(position), None);
    core.add_message(TOPIC, Position(position), (entry, Place::Own));
}

fn pick_from(core: &mut Core, id: SubscriptionId, filter: &TagFilter, max: usize, now: Now) -> Picked {
    let is_fifo = core.subscription_info(id).is_some_and(|info| info.is_fifo);
    let request =
        PickRequest { filter, max, bytes_max: RECEIVE_BYTES_MAX, invisible: INVISIBLE, attempts_max: 3, is_fifo, now };
    core.pick(id, &request)
}

fn pick(core: &mut Core, max: usize, now: Now) -> Vec<(u64, u32, u64)> {
    let picked = pick_from(core, SUBSCRIPTION, &TagFilter::All, max, now);
    picked.hand_outs.iter().map(|out| (out.position.0, out.attempt, out.serial)).collect()
}

#[test]
fn messages_are_handed_out_in_order_and_hidden() {
    let mut core = core();
    for position in [10, 20, 30] {
        send(&mut core, position, None);
    }
    assert_eq!(pick(&mut core, 2, at(0)), [(10, 1, 1), (20, 1, 2)]);
    assert_eq!(pick(&mut core, 9, at(1)), [(30, 1, 3)]);
    assert_eq!(pick(&mut core, 9, at(9)), []);
}

#[test]
fn what_is_not_acknowledged_comes_back_in_order_of_position_before_anything_new() {
    let mut core = core();
    send(&mut core, 10, None);
    send(&mut core, 20, None);
    pick(&mut core, 9, at(0));
    send(&mut core, 30, None);
    assert_eq!(pick(&mut core, 9, at(10)), [(10, 2, 3), (20, 2, 4), (30, 1, 5)]);
}

#[test]
fn a_group_at_its_limit_of_hand_outs_is_told_once_and_again_when_it_has_left_it() {
    let mut core = core();
    let all = IN_FLIGHT_MAX as u64 + 20_000;
    (1..=all).for_each(|position| send(&mut core, position, None));
    let pick = |core: &mut Core| pick_from(core, SUBSCRIPTION, &TagFilter::All, IN_FLIGHT_MAX, at(0));
    let mut news = Vec::new();
    while news.is_empty() {
        news.extend(pick(&mut core).limit);
    }
    assert_eq!(news, [LimitNews::Reached]);
    assert_eq!(pick(&mut core), Picked::default(), "it was told");
    let acknowledge = |core: &mut Core, count: u64| {
        for position in 1..=count {
            core.consume(SUBSCRIPTION, Position(position));
        }
        pick(core)
    };
    let some = acknowledge(&mut core, 1000);
    assert_eq!((some.hand_outs.len(), some.limit), (1000, None), "it is at the limit again at once");
    let many = acknowledge(&mut core, 11_000);
    assert_eq!((many.hand_outs.len(), many.limit), (10_000, Some(LimitNews::Left { picks: 3 })));
}

#[test]
fn an_acknowledged_message_never_comes_back_and_is_forgotten() {
    let mut core = core();
    send(&mut core, 10, None);
    pick(&mut core, 1, at(0));
    core.hold(SUBSCRIPTION, Position(10), 1, at(1)).unwrap();
    core.consume(SUBSCRIPTION, Position(10));
    assert_eq!(core.message_count(TOPIC), 0);
    assert_eq!(pick(&mut core, 1, at(100)), []);
}

#[test]
fn a_held_message_does_not_come_back_until_it_is_released() {
    let mut core = core();
    send(&mut core, 10, None);
    pick(&mut core, 1, at(0));
    core.hold(SUBSCRIPTION, Position(10), 1, at(1)).unwrap();
    assert_eq!(core.hold(SUBSCRIPTION, Position(10), 1, at(1)), Err(Expired));
    assert_eq!(pick(&mut core, 1, at(50)), []);
    core.release(SUBSCRIPTION, Position(10), 1);
    assert_eq!(pick(&mut core, 1, at(50)), [(10, 2, 2)]);
}

#[test]
fn a_receipt_ends_with_its_time_its_change_and_its_acknowledgement() {
    let mut core = core();
    send(&mut core, 10, None);
    pick(&mut core, 1, at(0));
    assert_eq!(core.hold(SUBSCRIPTION, Position(10), 1, at(10)), Err(Expired), "its time is over");
    pick(&mut core, 1, at(10));
    assert_eq!(core.hold(SUBSCRIPTION, Position(10), 1, at(11)), Err(Expired), "handed out again");
    let serial = core.change(SUBSCRIPTION, Position(10), 2, INVISIBLE, at(11)).unwrap();
    assert_eq!(core.hold(SUBSCRIPTION, Position(10), 2, at(12)), Err(Expired), "changed");
    core.hold(SUBSCRIPTION, Position(10), serial, at(12)).unwrap();
    core.consume(SUBSCRIPTION, Position(10));
    assert_eq!(core.hold(SUBSCRIPTION, Position(10), serial, at(13)), Err(Expired), "acknowledged");
    let changed = core.change(SUBSCRIPTION, Position(10), serial, INVISIBLE, at(13));
    assert_eq!(changed, Err(Expired), "a change brings nothing back");
}

#[test]
fn a_changed_time_counts_from_the_change_and_not_as_an_attempt() {
    let mut core = core();
    send(&mut core, 10, None);
    pick(&mut core, 1, at(0));
    core.change(SUBSCRIPTION, Position(10), 1, Duration::from_secs(30), at(5)).unwrap();
    assert_eq!(pick(&mut core, 1, at(34)), []);
    assert_eq!(pick(&mut core, 1, at(35)), [(10, 2, 3)]);
    core.change(SUBSCRIPTION, Position(10), 3, Duration::ZERO, at(36)).unwrap();
    assert_eq!(pick(&mut core, 1, at(36)), [(10, 3, 5)], "zero gives it back at once");
}

#[test]
fn past_the_last_attempt_a_message_is_set_aside_for_the_dead_letters() {
    let mut core = core();
    send(&mut core, 10, None);
    for attempt in 0..3 {
        assert_eq!(pick(&mut core, 1, at(attempt * 10)).len(), 1);
    }
    let picked = pick_from(&mut core, SUBSCRIPTION, &TagFilter::All, 1, at(30));
    assert!(picked.hand_outs.is_empty());
    assert_eq!(picked.dead.iter().map(|dead| (dead.position.0, dead.attempt)).collect::<Vec<_>>(), [(10, 3)]);
    let again = pick_from(&mut core, SUBSCRIPTION, &TagFilter::All, 1, at(99));
    assert_eq!(again, Picked::default(), "set aside once");
    core.release(SUBSCRIPTION, Position(10), picked.dead[0].serial);
    assert_eq!(pick_from(&mut core, SUBSCRIPTION, &TagFilter::All, 1, at(99)).dead.len(), 1, "tried again");
}

#[test]
fn a_filter_leaves_out_and_what_it_leaves_out_is_consumed() {
    let mut core = core();
    send(&mut core, 10, Some("a"));
    send(&mut core, 20, Some("b"));
    send(&mut core, 30, None);
    let filter = TagFilter::Tags(BTreeSet::from(["b".to_owned()]));
    let picked = pick_from(&mut core, SUBSCRIPTION, &filter, 9, at(0));
    assert_eq!(picked.hand_outs.iter().map(|out| out.position.0).collect::<Vec<_>>(), [20]);
    assert_eq!(core.message_count(TOPIC), 3, "until the pick is logged");
    core.remove_skipped(SUBSCRIPTION, &picked);
    assert_eq!(core.message_count(TOPIC), 1);
}

#[test]
fn a_message_stays_until_every_group_has_consumed_it() {
    let mut core = core();
    core.set_group(OTHER_GROUP, GroupName::parse("other").unwrap(), GroupOptions::default());
    core.subscribe(OTHER_SUBSCRIPTION, OTHER_GROUP, TOPIC);
    send(&mut core, 10, None);
    pick(&mut core, 1, at(0));
    core.consume(SUBSCRIPTION, Position(10));
    assert_eq!(core.message_count(TOPIC), 1);
    let picked = pick_from(&mut core, OTHER_SUBSCRIPTION, &TagFilter::All, 1, at(0));
    assert_eq!(picked.hand_outs.len(), 1);
    core.consume(OTHER_SUBSCRIPTION, Position(10));
    assert_eq!(core.message_count(TOPIC), 0);
}

#[test]
fn a_new_group_starts_at_the_oldest_message() {
    let mut core = core();
    send(&mut core, 10, None);
    core.subscribe(OTHER_SUBSCRIPTION, OTHER_GROUP, TOPIC);
    let picked = pick_from(&mut core, OTHER_SUBSCRIPTION, &TagFilter::All, 1, at(0));
    assert_eq!(picked.hand_outs[0].position, Position(10));
}

/// At a time at which nothing is in doubt.
fn kept_since(oldest: u64) -> Retention {
    let oldest = WallMs(oldest);
    Retention { now: WallMs(100), oldest, held_from: oldest, held_until: oldest, is_settled: false }
}

#[test]
fn what_is_too_old_is_forgotten_also_when_it_was_handed_out() {
    let mut core = core();
    send(&mut core, 10, None);
    send(&mut core, 20, None);
    pick(&mut core, 1, at(0));
    core.remove_old(TOPIC, kept_since(15));
    assert_eq!(pick(&mut core, 9, at(60)), [(20, 1, 2)]);
    assert_eq!(core.describe(TOPIC, at(60)).unwrap().groups[0].due_again, 0);
}

#[test]
fn what_was_stored_at_a_time_that_is_in_doubt_is_kept_and_what_is_behind_it_waits() {
    let mut core = core();
    for position in [10, 20, 30] {
        send(&mut core, position, None);
    }
    let held = |from, until| Retention { held_from: WallMs(from), held_until: WallMs(until), ..kept_since(50) };
    core.remove_old(TOPIC, held(15, 25));
    assert_eq!(core.message_count(TOPIC), 2);
    core.remove_old(TOPIC, kept_since(50));
    assert_eq!(core.message_count(TOPIC), 0);
}

#[test]
fn hand_outs_that_could_not_be_logged_are_taken_back() {
    let mut core = core();
    send(&mut core, 10, None);
    let picked = pick_from(&mut core, SUBSCRIPTION, &TagFilter::All, 1, at(0));
    core.undo_pick(SUBSCRIPTION, &picked);
    assert_eq!(pick(&mut core, 1, at(0)), [(10, 1, 2)]);
}

#[test]
fn a_pick_that_was_taken_back_is_picked_again_whole() {
    let mut core = core();
    for position in [10, 20, 30, 40] {
        send(&mut core, position, Some(if position == 30 { "other" } else { "tag" }));
    }
    core.replay_hand_out(SUBSCRIPTION, Position(10), 3);
    core.replay_hand_out(SUBSCRIPTION, Position(20), 1);
    let filter = TagFilter::Tags(BTreeSet::from(["tag".to_owned()]));
    let attempts =
        |picked: &Picked| picked.hand_outs.iter().map(|out| (out.position.0, out.attempt)).collect::<Vec<_>>();
    let first = pick_from(&mut core, SUBSCRIPTION, &filter, 9, at(0));
    assert_eq!((attempts(&first), first.dead[0].position.0), (vec![(20, 2), (40, 1)], 10));
    core.undo_pick(SUBSCRIPTION, &first);
    let again = pick_from(&mut core, SUBSCRIPTION, &filter, 9, at(0));
    assert_eq!((attempts(&again), again.dead[0].position.0), (vec![(20, 2), (40, 1)], 10));
}

#[test]
fn what_was_taken_back_is_not_lost_when_only_what_follows_it_was_logged() {
    let mut core = core();
    let large = IndexEntry::new(None, RECEIVE_BYTES_MAX, WallMs(0), None);
    core.replay_hand_out(SUBSCRIPTION, Position(10), 1);
    send(&mut core, 10, None);
    core.add_message(TOPIC, Position(20), (large.clone(), Place::Own));
    send(&mut core, 30, None);
    let first = pick_from(&mut core, SUBSCRIPTION, &TagFilter::All, 1, at(0));
    assert_eq!(pick(&mut core, 1, at(0)), [(20, 1, 2)]);
    let lost = Picked {
        hand_outs: vec![HandOut { position: Position(20), message: Position(20), attempt: 1, serial: 2, is_new: true }],
        ..Picked::default()
    };
    core.undo_pick(SUBSCRIPTION, &lost);
    core.undo_pick(SUBSCRIPTION, &first);
    // The first is small, the second has no room behind it, and the third must not overtake it.
    let logged = pick(&mut core, 9, at(0));
    assert_eq!(logged, [(10, 2, 3)]);
}

#[test]
fn a_receive_ends_before_it_gets_too_large_but_takes_one_message_of_any_size() {
    let mut core = core();
    for position in [10, 20, 30] {
        let entry = IndexEntry::new(None, RECEIVE_BYTES_MAX - 1, WallMs(0), None);
        core.add_message(TOPIC, Position(position), (entry, Place::Own));
    }
    assert_eq!(pick(&mut core, 9, at(0)), [(10, 1, 1)]);
    assert_eq!(pick(&mut core, 9, at(0)), [(20, 1, 2)]);
}

#[test]
fn a_replayed_hand_out_is_due_again_with_its_attempt_counted() {
    let mut core = core();
    send(&mut core, 10, None);
    core.replay_hand_out(SUBSCRIPTION, Position(10), 2);
    assert_eq!(pick(&mut core, 1, at(0)), [(10, 3, 1)]);
}

#[test]
fn a_description_counts_what_waits_what_is_hidden_and_what_is_due() {
    let mut core = core();
    for position in [10, 20, 30] {
        send(&mut core, position, None);
    }
    pick(&mut core, 1, at(0));
    pick(&mut core, 1, at(5));
    let description = core.describe(TOPIC, at(11)).unwrap();
    let group = &description.groups[0];
    assert_eq!((description.messages, group.waiting, group.in_flight, group.due_again), (3, 1, 1, 1));
}

#[derive(Clone, Debug)]
enum Step {
    Send,
    Receive { max: usize },
    Ack { nth: usize },
    GiveBack { nth: usize },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Send),
        3 => (1..5_usize).prop_map(|max| Step::Receive { max }),
        3 => (0..8_usize).prop_map(|nth| Step::Ack { nth }),
        1 => (0..8_usize).prop_map(|nth| Step::GiveBack { nth }),
        2 => (0..15_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(4), ..ProptestConfig::default() })]

    /// Whatever members do: no message is handed out while it is invisible or after it was acknowledged, and in the end
    /// each was acknowledged or held for the dead letters.
    #[test]
    fn every_message_is_consumed_once_and_handed_out_to_one_member_at_a_time(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut core = core();
        let mut now = 0;
        let mut sent = 0;
        let mut done = BTreeSet::new();
        let mut hidden: Vec<(u64, u64, u64)> = Vec::new();
        for step in steps.into_iter().chain([Step::Wait { seconds: 10 }]) {
            hidden.retain(|(_, _, until)| *until > now);
            match step {
                Step::Send => {
                    sent += 1;
                    send(&mut core, sent * 10, None);
                }
                Step::Receive { max } => {
                    let picked = pick_from(&mut core, SUBSCRIPTION, &TagFilter::All, max, at(now));
                    done.extend(picked.dead.iter().map(|dead| dead.position.0));
                    for out in picked.hand_outs {
                        let position = out.position.0;
                        prop_assert!(!done.contains(&position), "{position} was done");
                        prop_assert!(hidden.iter().all(|(other, ..)| *other != position), "{position} is hidden");
                        hidden.push((position, out.serial, now + 10));
                    }
                }
                Step::Ack { nth } if nth < hidden.len() => {
                    let (position, serial, _) = hidden.remove(nth);
                    prop_assert_eq!(core.hold(SUBSCRIPTION, Position(position), serial, at(now)), Ok(()));
                    core.consume(SUBSCRIPTION, Position(position));
                    done.insert(position);
                }
                Step::GiveBack { nth } if nth < hidden.len() => {
                    let (position, serial, _) = hidden.remove(nth);
                    let changed = core.change(SUBSCRIPTION, Position(position), serial, Duration::ZERO, at(now));
                    prop_assert!(changed.is_ok());
                }
                Step::Ack { .. } | Step::GiveBack { .. } => {}
                Step::Wait { seconds } => now += seconds,
            }
        }
        for _ in 0..4 {
            let picked = pick_from(&mut core, SUBSCRIPTION, &TagFilter::All, 1000, at(now));
            done.extend(picked.hand_outs.iter().chain(&picked.dead).map(|out| out.position.0));
            now += 10;
        }
        prop_assert_eq!(done.len() as u64, sent);
    }
}
