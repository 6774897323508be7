//! The ring: who is told what, race by race.

use super::world::World;
use meeting::machine::ring_table::{CALLEE, RingState};
use meeting::machine::{Event, InvitationState, MediaChange, Request, TimerKind};
use signalling::{DownBody, EndReason, MemberState, OutcomeKind, RejectReason};

const DECLINED: RejectReason = RejectReason::Declined;

fn reject(world: &mut World, client: &str, reason: RejectReason) {
    let invitation = world.invitation_of(client);
    world.request(client, Request::Reject { invitation, reason });
}

#[test]
fn a_create_admits_its_caller_and_rings_each_device_of_the_callee_once() {
    let mut world = World::new();
    world.create("alice.phone", &["bob"]);
    assert_eq!(world.got("alice.phone"), ["admitted"]);
    assert_eq!(world.got("bob.phone"), ["ring invitation"]);
    assert_eq!(world.got("bob.laptop"), ["ring invitation"]);
    assert!(world.missed.is_empty());
}

#[test]
fn each_device_has_a_participation_of_its_own_and_a_waiting_token() {
    let mut world = World::new();
    let sends = world.create("alice.phone", &["bob"]);
    let tickets: Vec<_> = sends.iter().filter_map(|send| send.ticket.clone()).collect();
    assert_eq!(tickets.iter().map(|ticket| ticket.rev).collect::<Vec<_>>(), [1, 1, 1]);
    let mut participations: Vec<_> = tickets.iter().map(|ticket| ticket.participation).collect();
    participations.dedup();
    assert_eq!(participations.len(), 3);
}

/// The service's clock was ahead when they were set, and has been put right since.
#[test]
fn no_deadline_lies_further_off_than_its_kind_lasts() {
    const HOUR_MS: u64 = 3_600_000;
    for rings in [false, true] {
        let mut world = World::calling();
        if rings {
            world.ringing("bob.laptop");
        }
        world.now_ms -= HOUR_MS / 4;
        let online = world.online();
        world.event(Event::Due { online });
        let furthest_ms = world.document().timers(&world.rules).iter().map(|timer| timer.due_ms).max().unwrap();
        assert_eq!(furthest_ms, world.now_ms + 45_000, "ringing: {rings}");
        world.pass(46);
        assert!(world.document().is_over(), "ringing: {rings}");
    }
}

/// A boot with a clock that may be ahead.
#[test]
fn no_deadline_of_which_it_is_in_doubt_whether_it_has_passed_ends_anything() {
    const DAYS_40_MS: u64 = 40 * 86_400_000;
    let mut world = World::new();
    world.create("alice.phone", &["bob", "carol"]);
    world.accept("carol.phone");
    world.request("alice.phone", Request::Kick { user: "carol".into(), ban_s: 60 });
    world.forget();
    let known_ms = world.now_ms;
    world.now_ms += DAYS_40_MS;
    world.held_ms = known_ms..world.now_ms;
    let online = world.online();
    world.event(Event::Due { online });
    world.invite("alice.phone", "carol");
    assert_eq!(world.got("alice.phone"), ["refused(not_allowed)"], "the ban");
    assert!(world.missed.is_empty());
    world.ringing("bob.phone");
    assert_eq!(world.got("alice.phone"), ["ringing(bob)"], "the ring stands");
    world.pass(44);
    assert!(!world.document().is_over());
    world.pass(1);
    assert!(world.document().is_over(), "what is set meanwhile is over in its time");
}

#[test]
fn what_was_held_is_over_once_the_time_is_certain() {
    let mut world = World::calling();
    world.held_ms = world.now_ms..world.now_ms + 86_400_000;
    world.now_ms += 86_400_000;
    let online = world.online();
    world.event(Event::Due { online: online.clone() });
    assert!(!world.document().is_over());
    world.held_ms = 0..0;
    world.event(Event::Due { online });
    assert!(world.document().is_over());
}

#[test]
fn a_callee_without_an_online_device_is_waited_for() {
    let mut world = World::new();
    world.offline = ["bob.phone".into(), "bob.laptop".into()].into();
    let sends = world.create("alice.phone", &["bob"]);
    assert_eq!(world.got("alice.phone"), ["admitted", "waiting(bob)"]);
    let until = |body: &DownBody| if let DownBody::Waiting { until_ms, .. } = body { Some(*until_ms) } else { None };
    assert_eq!(sends.iter().find_map(|send| until(&send.body)), Some(world.now_ms + 45_000));
}

#[test]
fn the_caller_is_admitted_first_and_sees_who_is_being_rung() {
    let mut world = World::new();
    world.offline = ["carol.phone".into()].into();
    world.busy = ["dave".to_owned()].into();
    let sends = world.create("alice.phone", &["bob", "carol", "dave"]);
    assert_eq!(world.got("alice.phone"), ["admitted", "waiting(carol)", "busy(dave)"]);
    let roster = sends
        .iter()
        .find_map(|send| if let DownBody::Admitted { roster, .. } = &send.body { Some(roster) } else { None });
    let shown: Vec<_> = roster.unwrap().members.iter().map(|member| (member.user.as_str(), member.state)).collect();
    let (joining, invited) = (MemberState::Joining, MemberState::Invited);
    assert_eq!(shown, [("alice", joining), ("bob", invited), ("carol", invited)]);
}

#[test]
fn a_callee_whose_last_device_goes_before_it_has_rung_is_waited_for_too() {
    let mut world = World::calling();
    world.goes("bob.phone");
    world.goes("bob.laptop");
    world.event(Event::Unreachable { user: "bob".into() });
    assert_eq!(world.got("alice.phone"), ["waiting(bob)"]);
    world.event(Event::Unreachable { user: "bob".into() });
    assert_eq!(world.got("alice.phone"), [""; 0]);
    world.ringing("bob.phone");
    world.event(Event::Unreachable { user: "bob".into() });
    assert_eq!(world.got("alice.phone"), ["ringing(bob)"]);
}

#[test]
fn the_invitation_expires_at_its_reach_deadline_and_collapses_by_invitation_and_rev() {
    let mut world = World::new();
    let sends = world.create("alice.phone", &["bob"]);
    let invitation = sends.iter().find(|send| matches!(send.body, DownBody::Invitation(_))).unwrap();
    assert_eq!(invitation.expires_at_ms, world.now_ms + 45_000);
    assert_eq!(invitation.collapse, Some((world.invitation_of("bob.phone"), 1)));
    let sends = world.request("alice.phone", Request::Cancel { callee: None });
    let ended = sends.iter().find(|send| send.collapse.is_some()).unwrap();
    assert_eq!(ended.collapse, Some((world.invitation_of("bob.phone"), 2)));
    assert_eq!(ended.expires_at_ms, world.now_ms + 3 * 24 * 3_600_000);
}

#[test]
fn the_first_ringing_is_told_to_the_caller_and_later_ones_are_not() {
    let mut world = World::calling();
    world.ringing("bob.phone");
    assert_eq!(world.got("alice.phone"), ["ringing(bob)"]);
    world.ringing("bob.laptop");
    assert_eq!(world.got("alice.phone"), [""; 0]);
    assert_eq!(world.got("bob.phone"), ["ringing(bob)"]);
    assert_eq!(world.got("bob.laptop"), ["ringing(bob)"], "each device has its answer");
}

#[test]
fn the_accept_that_wins_is_admitted_and_the_other_devices_are_told() {
    let mut world = World::calling();
    world.ringing("bob.phone");
    world.forget();
    world.accept("bob.laptop");
    assert_eq!(world.got("alice.phone"), ["accepted(bob)"]);
    assert_eq!(world.got("bob.laptop"), ["admitted"]);
    assert_eq!(world.got("bob.phone"), ["ring ended(answered_elsewhere)"]);
    assert!(world.missed.is_empty());
}

#[test]
fn the_accept_that_loses_is_told_why() {
    let mut world = World::in_call();
    world.accept("bob.laptop");
    assert_eq!(world.got("bob.laptop"), ["ended(answered_elsewhere)"], "its inbox has the end of the ring");
    assert_eq!(world.got("alice.phone"), [""; 0]);
    assert_eq!(world.inside(), ["alice.phone", "bob.phone"]);
}

#[test]
fn an_accept_that_comes_again_from_the_same_device_is_admitted_again() {
    let mut world = World::in_call();
    world.accept("bob.phone");
    assert_eq!(world.got("bob.phone"), ["admitted"]);
    assert_eq!(world.got("alice.phone"), [""; 0]);
}

#[test]
fn a_reject_ends_the_call_for_everybody() {
    let mut world = World::calling();
    reject(&mut world, "bob.phone", DECLINED);
    assert_eq!(world.got("alice.phone"), ["rejected(bob Declined)", "ended(declined)"]);
    assert_eq!(world.got("bob.phone"), ["ring ended(declined)"]);
    assert_eq!(world.got("bob.laptop"), ["ring ended(declined_elsewhere)"]);
    assert!(world.missed.is_empty());
}

#[test]
fn a_callee_in_another_call_is_busy_at_once_and_has_a_missed_entry() {
    let mut world = World::new();
    world.busy.insert("bob".to_owned());
    world.create("alice.phone", &["bob"]);
    assert_eq!(world.got("alice.phone"), ["busy(bob)", "ended(declined)"]);
    let told = world.inboxes[&"bob.phone".into()].clone();
    for device in ["bob.phone", "bob.laptop"] {
        assert_eq!(world.got(device), ["ring ended(no_answer, missed)"], "at once, on each device");
    }
    assert_eq!(world.missed.len(), 1);
    let missed = &world.missed[0].1;
    assert_eq!(missed.kind, OutcomeKind::MissedBusy);
    assert_eq!(told[0].collapse, Some((missed.invitation, world.document().rev)));
    let DownBody::Ended { outcome, .. } = &told[0].body else { unreachable!("it is the end of a ring") };
    assert_eq!(outcome.as_ref(), Some(missed), "the same as the state will list");
    assert!(world.document().closed, "a channel was never opened");
}

#[test]
fn a_cancel_is_told_to_all_and_leaves_one_missed_call() {
    let mut world = World::calling();
    world.ringing("bob.phone");
    world.forget();
    world.request("alice.phone", Request::Cancel { callee: None });
    assert_eq!(world.got("alice.phone"), ["ended(cancelled)"]);
    assert_eq!(world.got("bob.phone"), ["ring ended(cancelled, missed)"]);
    assert_eq!(world.got("bob.laptop"), ["ring ended(cancelled, missed)"]);
    assert_eq!(world.missed.len(), 1);
}

#[test]
fn a_cancel_that_overtakes_its_create_is_remembered() {
    let mut world = World::new();
    world.cancel_early("alice.phone");
    assert_eq!(world.got("alice.phone"), ["ended(cancelled)"]);
    world.create("alice.phone", &["bob"]);
    assert_eq!(world.got("alice.phone"), ["ended(cancelled)"]);
    assert_eq!(world.got("bob.phone"), [""; 0]);
}

#[test]
fn a_meeting_id_is_used_once() {
    let mut world = World::in_call();
    world.create("carol.phone", &["bob"]);
    assert_eq!(world.got("carol.phone"), ["refused(taken)"]);
    world.request("alice.phone", Request::Destroy);
    world.forget();
    world.create("alice.phone", &["bob"]);
    assert_eq!(world.got("alice.phone"), ["refused(taken)"]);
}

#[test]
fn nobody_within_reach_is_no_answer_after_the_reach_time() {
    let mut world = World::calling();
    world.media("alice.phone", MediaChange::Joined);
    assert_eq!(world.timer_kinds(), [TimerKind::Reach(world.invitation_of("bob.phone"))]);
    world.pass(44);
    assert_eq!(world.got("alice.phone"), [""; 0]);
    world.pass(1);
    assert_eq!(world.got("alice.phone"), ["ended(no_answer)"]);
    assert_eq!(world.got("bob.phone"), ["ring ended(no_answer, missed)"]);
}

#[test]
fn a_ring_has_its_own_time_from_the_first_ringing_on() {
    let mut world = World::calling();
    world.pass(40);
    world.ringing("bob.phone");
    world.forget();
    assert_eq!(world.timer_kinds(), [TimerKind::Ring(world.invitation_of("bob.phone"))]);
    world.pass(44);
    world.ringing("bob.laptop");
    assert_eq!(world.got("alice.phone"), [""; 0], "a second device does not begin the time anew");
    world.pass(1);
    assert_eq!(world.got("alice.phone"), ["ended(no_answer)"]);
    assert_eq!(world.missed.len(), 1);
}

#[test]
fn a_device_that_rings_too_late_is_told_the_end_and_the_missed_call() {
    let mut world = World::calling();
    world.pass(60);
    world.forget();
    world.ringing("bob.phone");
    assert_eq!(world.got("bob.phone"), ["ended(no_answer, missed)"]);
    assert_eq!(world.missed.len(), 1);
    assert_eq!(world.got("alice.phone"), [""; 0]);
}

#[test]
fn an_accept_after_a_cancel_loses() {
    let mut world = World::calling();
    world.request("alice.phone", Request::Cancel { callee: None });
    world.forget();
    world.accept("bob.phone");
    assert_eq!(world.got("bob.phone"), ["ended(cancelled, missed)"]);
    assert!(world.document().is_over());
}

#[test]
fn a_cancel_after_an_accept_changes_nothing_and_is_answered() {
    let mut world = World::in_call();
    world.request("alice.phone", Request::Cancel { callee: None });
    assert_eq!(world.got("alice.phone"), ["roster_changed"]);
    assert_eq!(world.inside().len(), 2);
}

#[test]
fn a_cancel_after_the_end_is_told_how_it_ended() {
    let mut world = World::calling();
    reject(&mut world, "bob.phone", DECLINED);
    world.forget();
    world.request("alice.phone", Request::Cancel { callee: None });
    assert_eq!(world.got("alice.phone"), ["ended(declined)"]);
}

#[test]
fn a_caller_who_is_gone_while_it_rings_ends_the_ring() {
    let mut world = World::calling();
    world.ringing("bob.phone");
    world.goes("alice.phone");
    world.pass(19);
    world.forget();
    world.pass(1);
    assert_eq!(world.got("bob.phone"), ["ring ended(caller_gone, missed)"]);
    assert_eq!(world.got("alice.phone"), ["ended(caller_gone)"]);
}

#[test]
fn a_caller_who_hangs_up_while_it_rings_ends_the_ring_as_cancelled() {
    let mut world = World::calling();
    world.request("alice.phone", Request::Leave);
    assert_eq!(world.got("alice.phone"), ["ended(left)"]);
    assert_eq!(world.got("bob.laptop"), ["ring ended(cancelled, missed)"]);
}

#[test]
fn a_caller_who_comes_back_in_time_goes_on_ringing() {
    let mut world = World::calling();
    world.goes("alice.phone");
    world.pass(19);
    world.comes("alice.phone");
    world.pass(20);
    world.accept("bob.phone");
    assert_eq!(world.got("alice.phone").first().unwrap(), "accepted(bob)");
}

#[test]
fn two_who_call_each_other_meet_in_the_first_meeting() {
    let mut world = World::calling();
    let (create, invitation) = (signalling::MeetingId(world.id()), world.invitation_of("bob.phone"));
    let sends = world.request("bob.phone", Request::GlareCreate { create, invitation });
    let admitted = sends.iter().find(|send| matches!(send.body, DownBody::Admitted { .. })).unwrap();
    assert!(admitted.in_reply_to.is_some(), "it is the answer to the create");
    assert_eq!(world.got("alice.phone"), ["accepted(bob)"]);
    assert_eq!(world.got("bob.laptop"), ["ring ended(answered_elsewhere)"]);
    assert!(world.document().took_over(create, &"bob".into()).is_some());
}

#[test]
fn a_device_that_was_registered_during_the_ring_is_served_by_state() {
    let mut world = World::calling();
    assert!(world.document().open_ring(&"bob".into(), &"bob.tablet".into()).is_none());
    assert_eq!(world.request("bob.tablet", Request::State), []);
    let (ring, ticket) = world.document().open_ring(&"bob".into(), &"bob.tablet".into()).unwrap();
    assert_eq!(ticket.rev, world.document().rev);
    assert_eq!(ring.invitation, world.invitation_of("bob.phone"));
    world.accept("bob.tablet");
    assert_eq!(world.got("bob.phone"), ["ring ended(answered_elsewhere)"]);
}

#[test]
fn a_path_that_was_warmed_while_it_rang_is_there_at_once() {
    let mut world = World::calling();
    world.media("bob.phone", meeting::machine::MediaChange::Joined);
    world.accept("bob.phone");
    let bob = world.document().roster().members.into_iter().find(|member| member.user == "bob".into()).unwrap();
    assert_eq!(bob.state, MemberState::In);
}

#[test]
fn an_invitation_of_somebody_else_is_unknown() {
    let mut world = World::calling();
    let invitation = world.invitation_of("bob.phone");
    world.request("carol.phone", Request::Accept { invitation });
    assert_eq!(world.got("carol.phone"), ["refused(not_allowed)"]);
}

#[test]
fn the_table_has_each_pair_once_and_its_final_states_are_never_left() {
    for (index, row) in CALLEE.iter().enumerate() {
        assert!(!CALLEE[..index].iter().any(|other| (other.from, other.event) == (row.from, row.event)), "{row:?}");
        let open = matches!(row.from, RingState::Invited | RingState::Ringing);
        assert!(open || row.from == row.to, "{row:?}");
        assert!(open || !row.missed, "{row:?}");
    }
}

#[test]
fn the_device_that_answered_has_no_end_of_its_ring() {
    assert_eq!(InvitationState::Answered { on: "x".into() }.end_for(&"x".into()), None);
    assert_eq!(InvitationState::Ended { reason: EndReason::Left }.end_for(&"x".into()), Some(EndReason::Left));
}
