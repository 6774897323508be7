//! Members, the host's powers, and how meetings go on and end.

use super::world::World;
use meeting::machine::{Actor, Callee, Event, MediaChange, Request, Rules};
use signalling::{DownBody, MemberState, Muted, Track};
use std::collections::BTreeSet;

fn three() -> World {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.accept("carol.phone");
    world.forget();
    world
}

fn state_of(world: &World, user: &str) -> MemberState {
    world.document().roster().members.iter().find(|member| member.user == user.into()).unwrap().state
}

#[test]
fn a_guest_of_a_running_call_sees_who_is_in_it() {
    let mut world = World::in_call();
    let sends = world.invite("bob.phone", "carol");
    let ring =
        sends.iter().find_map(|send| if let DownBody::Invitation(ring) = &send.body { Some(ring) } else { None });
    let ring = ring.unwrap();
    assert_eq!((ring.members, ring.names.len()), (2, 2));
    assert_eq!(ring.from, "bob".into());
    assert_eq!(world.got("alice.phone"), [""; 0]);
    assert_eq!(world.got("bob.phone"), ["roster_changed"]);
    world.ringing("carol.phone");
    assert_eq!(world.got("bob.phone"), ["ringing(carol)"], "the inviter is told");
    world.accept("carol.phone");
    assert_eq!(world.got("carol.phone"), ["ring invitation", "ringing(carol)", "admitted"]);
    assert_eq!(world.got("bob.phone"), ["accepted(carol)"]);
    assert_eq!(world.inside(), ["alice.phone", "bob.phone", "carol.phone"]);
}

#[test]
fn a_guest_who_does_not_answer_ends_nothing_and_the_inviter_is_told() {
    let mut world = World::in_call();
    world.invite("bob.phone", "carol");
    world.forget();
    world.pass(45);
    assert_eq!(world.got("bob.phone"), ["ended(carol no_answer)"]);
    assert_eq!(world.got("alice.phone"), [""; 0]);
    assert_eq!(world.got("carol.phone"), ["ring ended(no_answer, missed)"]);
    assert!(!world.document().is_over());
}

#[test]
fn inviting_somebody_who_is_in_or_rung_rings_nobody() {
    let mut world = World::in_call();
    world.invite("alice.phone", "bob");
    assert_eq!(world.got("alice.phone"), ["roster_changed"]);
    assert_eq!(world.got("bob.laptop"), [""; 0]);
}

#[test]
fn whoever_was_cancelled_may_be_rung_again_by_a_new_invitation() {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    let first = world.invitation_of("carol.phone");
    world.request("alice.phone", Request::Cancel { callee: Some("carol".into()) });
    world.forget();
    world.invite("alice.phone", "carol");
    assert_ne!(world.invitation_of("carol.phone"), first);
    assert_eq!(world.got("carol.phone"), ["ring invitation"]);
}

#[test]
fn only_who_invited_or_the_host_may_call_an_invitation_off() {
    let mut world = three();
    world.devices.insert("dave".to_owned(), vec!["dave.phone"]);
    world.invite("bob.phone", "dave");
    world.request("carol.phone", Request::Cancel { callee: None });
    assert_eq!(world.got("dave.phone"), ["ring invitation"]);
    world.request("alice.phone", Request::Cancel { callee: None });
    assert_eq!(world.got("dave.phone"), ["ring ended(cancelled, missed)"]);
}

#[test]
fn a_late_leave_of_the_device_that_the_stay_has_left_ends_nothing() {
    let mut world = World::in_call();
    world.request("bob.laptop", Request::Join);
    world.forget();
    world.request("bob.phone", Request::Leave);
    assert_eq!(world.inside(), ["alice.phone", "bob.laptop"]);
    assert_eq!(world.got("bob.phone"), ["ended(left)"]);
    assert_eq!(world.got("bob.laptop"), [""; 0]);
}

#[test]
fn a_call_ends_for_the_other_when_one_of_two_leaves() {
    let mut world = World::in_call();
    world.request("bob.phone", Request::Leave);
    assert_eq!(world.got("bob.phone"), ["ended(left)"]);
    assert_eq!(world.got("alice.phone"), ["ended(left)"]);
    assert!(world.document().is_over() && !world.document().closed);
    world.event(Event::ChannelClosed);
    assert!(world.document().closed);
}

#[test]
fn a_meeting_of_three_goes_on_with_two() {
    let mut world = three();
    world.request("alice.phone", Request::Leave);
    assert_eq!(world.got("alice.phone"), ["ended(left)"]);
    assert_eq!(world.got("bob.phone"), [""; 0]);
    assert_eq!(world.inside(), ["bob.phone", "carol.phone"]);
}

#[test]
fn a_room_that_rang_nobody_stands_while_one_is_in_it() {
    let mut world = World::new();
    world.create("alice.phone", &[]);
    assert_eq!(world.got("alice.phone"), ["admitted"]);
    world.invite("alice.phone", "bob");
    world.pass(45);
    assert!(!world.document().is_over());
    world.request("alice.phone", Request::Leave);
    assert!(world.document().is_over());
}

#[test]
fn the_host_destroys_and_everybody_is_told() {
    let mut world = three();
    world.devices.insert("dave".to_owned(), vec!["dave.phone"]);
    world.invite("alice.phone", "dave");
    world.forget();
    world.request("alice.phone", Request::Destroy);
    for client in ["alice.phone", "bob.phone", "carol.phone"] {
        assert_eq!(world.got(client), ["ended(destroyed)"]);
    }
    assert_eq!(world.got("dave.phone"), ["ring ended(destroyed, missed)"]);
}

#[test]
fn only_the_host_mutes_others_blocks_kicks_and_destroys() {
    let mut world = three();
    let (user, track) = (signalling::UserName::from("carol"), Track::Audio);
    let requests = [
        Request::Mute { user: Some(user.clone()), track },
        Request::Block { user: user.clone(), track, blocked: true },
        Request::Kick { user, ban_s: 0 },
        Request::Destroy,
    ];
    for request in requests {
        world.request("bob.phone", request);
        assert_eq!(world.got("bob.phone"), ["refused(not_host)"]);
    }
    assert_eq!(world.got("carol.phone"), [""; 0]);
}

#[test]
fn a_stranger_learns_nothing_and_a_former_member_is_told_so() {
    let mut world = three();
    world.request("mallory.phone", Request::Roster);
    assert_eq!(world.got("mallory.phone"), ["refused(not_allowed)"]);
    world.request("carol.phone", Request::Leave);
    world.forget();
    world.request("carol.phone", Request::Roster);
    assert_eq!(world.got("carol.phone"), ["refused(not_member)"]);
}

#[test]
fn a_mute_is_lifted_by_the_person_and_a_block_by_the_host_only() {
    let mut world = World::in_call();
    let bob = signalling::UserName::from("bob");
    world.request("alice.phone", Request::Mute { user: Some(bob.clone()), track: Track::Audio });
    assert_eq!(world.got("bob.phone"), ["muted"]);
    assert_eq!(world.got("alice.phone"), ["roster_changed"]);
    world.request("bob.phone", Request::Unmute { track: Track::Audio });
    assert!(!world.document().member(&bob).unwrap().muted.audio);
    world.forget();
    world.request("alice.phone", Request::Block { user: bob.clone(), track: Track::Audio, blocked: true });
    assert_eq!(world.got("bob.phone"), ["blocked"]);
    world.request("bob.phone", Request::Unmute { track: Track::Audio });
    assert_eq!(world.document().blocked(&bob), Muted { audio: true, video: false });
    assert_eq!(world.document().rights_of(&bob).send, signalling::Sources::VIDEO);
    world.request("alice.phone", Request::Block { user: bob.clone(), track: Track::Audio, blocked: false });
    assert_eq!(world.document().blocked(&bob), Muted::default());
}

#[test]
fn a_block_outlives_the_stay() {
    let mut world = three();
    world.request("alice.phone", Request::Block { user: "carol".into(), track: Track::Audio, blocked: true });
    world.request("carol.phone", Request::Leave);
    world.invite("bob.phone", "carol");
    world.accept("carol.phone");
    assert!(world.document().blocked(&"carol".into()).audio);
}

#[test]
fn a_block_of_somebody_who_is_away_can_be_lifted_and_none_can_be_set() {
    let mut world = three();
    let block = |blocked| Request::Block { user: "carol".into(), track: Track::Audio, blocked };
    world.request("alice.phone", block(true));
    world.request("carol.phone", Request::Leave);
    world.forget();
    world.request("alice.phone", block(false));
    assert!(world.document().blocked.is_empty());
    assert_eq!(world.got("alice.phone"), ["roster_changed"]);
    for blocked in [true, false] {
        world.request("alice.phone", block(blocked));
        assert_eq!(world.got("alice.phone"), ["refused(not_allowed)"]);
    }
    world.invite("bob.phone", "carol");
    world.accept("carol.phone");
    assert!(!world.document().blocked(&"carol".into()).audio);
}

#[test]
fn a_request_that_changes_nothing_is_answered_by_the_roster() {
    let mut world = World::in_call();
    let rev = world.document().rev;
    let sends = world.request("bob.phone", Request::Unmute { track: Track::Video });
    assert!(sends[0].in_reply_to.is_some());
    assert_eq!(world.got("bob.phone"), ["roster_changed"]);
    assert_eq!(world.got("alice.phone"), [""; 0]);
    assert_eq!(world.document().rev, rev);
}

#[test]
fn asking_to_unmute_opens_nothing() {
    let mut world = World::in_call();
    world.request("bob.phone", Request::Mute { user: None, track: Track::Audio });
    world.forget();
    world.request("alice.phone", Request::AskUnmute { user: "bob".into(), track: Track::Audio });
    assert_eq!(world.got("bob.phone"), ["unmute_asked"]);
    assert_eq!(world.got("alice.phone"), ["roster_changed"]);
    assert!(world.document().member(&"bob".into()).unwrap().muted.audio);
    world.request("alice.phone", Request::AskUnmute { user: "carol".into(), track: Track::Audio });
    assert_eq!(world.got("alice.phone"), ["refused(not_allowed)"]);
}

#[test]
fn a_banned_user_is_not_invited_again_before_the_ban_is_over() {
    let mut world = three();
    world.request("alice.phone", Request::Kick { user: "carol".into(), ban_s: 60 });
    assert_eq!(world.got("carol.phone"), ["ended(kicked)"]);
    assert_eq!(world.got("bob.phone"), [""; 0]);
    world.forget();
    world.invite("bob.phone", "carol");
    assert_eq!(world.got("bob.phone"), ["refused(not_allowed)"]);
    world.request("carol.phone", Request::Join);
    assert_eq!(world.got("carol.phone"), ["refused(not_member)"]);
    expect_end_of_ban_in(60, world);
}

/// Until which carol cannot be invited.
fn expect_end_of_ban_in(seconds: u64, mut world: World) {
    world.pass(seconds - 1);
    world.forget();
    world.invite("bob.phone", "carol");
    assert_eq!(world.got("bob.phone"), ["refused(not_allowed)"]);
    world.pass(1);
    world.forget();
    world.invite("bob.phone", "carol");
    assert_eq!(world.got("carol.phone"), ["ring invitation"]);
}

#[test]
fn a_ban_of_a_clock_that_was_ahead_lasts_from_when_a_clock_that_was_put_right_has_settled() {
    let mut world = three();
    world.request("alice.phone", Request::Kick { user: "carol".into(), ban_s: 60 });
    world.now_ms -= 600_000;
    world.pass(61);
    world.invite("bob.phone", "carol");
    world.is_settled = true;
    world.invite("bob.phone", "carol");
    assert_eq!(world.got("bob.phone"), ["refused(not_allowed)"; 2]);
    expect_end_of_ban_in(60, world);
}

#[test]
fn a_ban_has_its_time_though_the_clock_is_behind_for_a_while() {
    let mut world = three();
    world.request("alice.phone", Request::Kick { user: "carol".into(), ban_s: 3_600 });
    world.now_ms -= 600_000;
    world.invite("bob.phone", "carol");
    world.now_ms += 600_000;
    assert_eq!(world.got("bob.phone"), ["refused(not_allowed)"]);
    expect_end_of_ban_in(3_600, world);
}

#[test]
fn a_ban_that_cannot_be_kept_is_refused_and_nobody_is_kicked() {
    let mut world = three();
    for number in 0..Rules::BANS_MAX {
        let guest = format!("guest{number}");
        world.invite("alice.phone", &guest);
        world.request("alice.phone", Request::Kick { user: guest.as_str().into(), ban_s: 60 });
    }
    world.forget();
    world.request("alice.phone", Request::Kick { user: "carol".into(), ban_s: 60 });
    assert_eq!(world.got("alice.phone"), ["refused(limit)"]);
    assert_eq!(world.inside(), ["alice.phone", "bob.phone", "carol.phone"]);
    world.request("alice.phone", Request::Kick { user: "carol".into(), ban_s: 0 });
    assert_eq!(world.got("carol.phone"), ["ended(kicked)"]);
    world.pass(60);
    world.request("alice.phone", Request::Kick { user: "bob".into(), ban_s: 60 });
    assert_eq!(world.got("bob.phone").last().unwrap(), "ended(kicked)", "bans that are over make room");
}

#[test]
fn more_users_than_the_limit_are_not_blocked_and_blocks_can_be_lifted() {
    let mut world = three();
    let block = |user: &str, blocked| Request::Block { user: user.into(), track: Track::Audio, blocked };
    for number in 0..Rules::BLOCKED_MAX {
        let guest = format!("guest{number}.phone");
        let user = format!("guest{number}");
        world.invite("alice.phone", &user);
        world.accept(&guest);
        world.request("alice.phone", block(&user, true));
        world.request(&guest, Request::Leave);
    }
    world.request("alice.phone", block("bob", true));
    assert_eq!(world.got("alice.phone").last().unwrap(), "refused(limit)");
    assert!(!world.document().blocked(&"bob".into()).audio);
    world.request("alice.phone", block("bob", false));
    assert_eq!(world.got("alice.phone"), ["roster_changed"]);
}

#[test]
fn a_kick_ends_the_ring_of_a_callee() {
    let mut world = World::in_call();
    world.invite("bob.phone", "carol");
    world.forget();
    world.request("alice.phone", Request::Kick { user: "carol".into(), ban_s: 0 });
    assert_eq!(world.got("carol.phone"), ["ring ended(kicked, missed)"]);
    assert!(!world.document().is_over());
}

#[test]
fn a_lost_connection_is_shown_and_may_come_back() {
    let mut world = World::in_call();
    world.media("bob.phone", MediaChange::Joined);
    assert_eq!(state_of(&world, "bob"), MemberState::In);
    world.forget();
    world.media("bob.phone", MediaChange::Lost);
    assert_eq!(world.got("alice.phone"), [""; 0]);
    assert_eq!(state_of(&world, "bob"), MemberState::Lost);
    world.media("bob.phone", MediaChange::Back);
    assert_eq!(state_of(&world, "bob"), MemberState::In);
}

#[test]
fn a_member_is_gone_only_without_media_and_without_signalling() {
    let mut world = World::in_call();
    world.media("bob.phone", MediaChange::Joined);
    world.goes("bob.phone");
    world.pass(60);
    assert!(!world.document().is_over(), "media stands");
    world.comes("bob.phone");
    world.media("bob.phone", MediaChange::Lost);
    world.pass(60);
    assert!(!world.document().is_over(), "signalling stands");
    world.goes("bob.phone");
    world.pass(19);
    world.forget();
    world.pass(1);
    assert_eq!(world.got("alice.phone"), ["ended(left)"]);
}

#[test]
fn a_timer_that_fires_although_the_client_is_back_lets_it_stay() {
    let mut world = World::in_call();
    world.goes("bob.phone");
    world.pass(10);
    world.offline.clear();
    world.pass(60);
    assert_eq!(world.inside().len(), 2);
}

#[test]
fn a_restart_of_the_service_begins_gone_times_anew_and_keeps_ring_deadlines() {
    let mut world = World::in_call();
    world.invite("alice.phone", "carol");
    world.media("bob.phone", MediaChange::Joined);
    world.pass(40);
    world.forget();
    let (connected, online) = (BTreeSet::new(), BTreeSet::new());
    world.offline = ["alice.phone".into(), "bob.phone".into()].into();
    world.event(Event::Restarted { connected, online });
    assert_eq!(state_of(&world, "bob"), MemberState::Lost);
    world.pass(5);
    assert_eq!(world.got("carol.phone"), ["ring ended(no_answer, missed)"]);
    world.pass(14);
    assert!(!world.document().is_over());
    world.pass(1);
    assert!(world.document().is_over());
}

#[test]
fn asking_who_is_connected_begins_no_time_anew_for_who_is_known_to_be_away() {
    let mut world = World::in_call();
    world.media("bob.phone", MediaChange::Joined);
    world.media("bob.phone", MediaChange::Lost);
    world.goes("bob.phone");
    world.pass(15);
    world.event(Event::Connected { connected: BTreeSet::new() });
    world.forget();
    world.pass(5);
    assert_eq!(world.got("alice.phone"), ["ended(left)"]);
}

#[test]
fn who_is_found_connected_is_in_and_who_is_not_is_lost() {
    let mut world = World::in_call();
    let bob = world.participation("bob.phone");
    world.event(Event::Connected { connected: [bob].into() });
    assert_eq!((state_of(&world, "alice"), state_of(&world, "bob")), (MemberState::Joining, MemberState::In));
    world.event(Event::Connected { connected: BTreeSet::new() });
    assert_eq!((state_of(&world, "alice"), state_of(&world, "bob")), (MemberState::Joining, MemberState::Lost));
}

#[test]
fn a_join_gives_fresh_parameters_for_the_same_stay() {
    let mut world = World::in_call();
    let before = world.participation("bob.phone");
    let sends = world.request("bob.phone", Request::Join);
    assert_eq!(sends[0].ticket.as_ref().unwrap().participation, before);
    assert_eq!(world.got("bob.phone"), ["admitted"]);
    assert_eq!(world.got("alice.phone"), [""; 0]);
}

#[test]
fn a_join_from_another_device_moves_the_stay() {
    let mut world = World::in_call();
    let before = world.participation("bob.phone");
    world.request("bob.laptop", Request::Join);
    assert_eq!(world.got("bob.phone"), ["ended(answered_elsewhere)"]);
    assert_eq!(world.got("bob.laptop"), ["admitted"]);
    assert_eq!(world.got("alice.phone"), [""; 0]);
    assert_eq!(world.inside(), ["alice.phone", "bob.laptop"]);
    assert_ne!(world.participation("bob.laptop"), before);
}

#[test]
fn a_meeting_has_room_for_as_many_as_the_rules_say() {
    let mut world = World::new();
    world.rules.members_max = 2;
    world.create("alice.phone", &["bob", "carol"]);
    assert_eq!(world.got("alice.phone"), ["refused(limit)"]);
    assert!(world.meeting.is_none());
    world.create("alice.phone", &["bob"]);
    world.forget();
    world.invite("alice.phone", "carol");
    assert_eq!(world.got("alice.phone"), ["refused(limit)"]);
}

#[test]
fn nobody_is_rung_without_end() {
    let mut world = World::in_call();
    for _ in 0..Rules::RINGS_PER_USER_MAX {
        world.invite("alice.phone", "carol");
        world.request("alice.phone", Request::Cancel { callee: None });
    }
    world.forget();
    world.invite("alice.phone", "carol");
    assert_eq!(world.got("alice.phone"), ["refused(limit)"]);
    assert_eq!(world.got("carol.phone"), [""; 0]);
}

#[test]
fn a_request_that_ends_the_meeting_is_answered_on_the_other_device_that_sent_it() {
    let kick = Request::Kick { user: "bob".into(), ban_s: 0 };
    for (request, phone, laptop) in
        [(Request::Destroy, "ended(destroyed)", "ended(destroyed)"), (kick, "ended(left)", "ended(left)")]
    {
        let mut world = World::in_call();
        world.request("alice.laptop", request);
        assert_eq!((world.got("alice.phone"), world.got("alice.laptop")), (vec![phone.into()], vec![laptop.into()]));
        assert!(world.document().is_over());
    }
    let mut world = World::calling();
    world.request("alice.laptop", Request::Cancel { callee: None });
    assert_eq!(world.got("alice.laptop"), ["ended(cancelled)"]);
    assert_eq!(world.got("alice.phone"), ["ended(cancelled)"]);
}

#[test]
fn a_meeting_holds_two_hundred_if_it_may_and_its_roster_fits_into_one_message() {
    let mut world = World::new();
    world.rules.members_max = Rules::MEMBERS_MAX;
    world.create("alice.phone", &[]);
    let guest = |n: usize| Callee {
        user: format!("{n:064}").as_str().into(),
        name: "💬".repeat(64),
        devices: vec![format!("{n}.phone").as_str().into()],
        online: true,
        busy: false,
    };
    for first in (0..199).step_by(50) {
        let callees = (first..(first + 50).min(199)).map(guest).collect();
        world.request("alice.phone", Request::Invite { callees });
    }
    for n in 0..199 {
        let ring = world.document().invitations.iter().find(|ring| ring.user == guest(n).user).unwrap();
        let (user, name, client) = (ring.user.clone(), ring.name.clone(), ring.devices[0].client.clone());
        let (invitation, request) = (ring.id, signalling::SignalId(world.id()));
        let actor = Actor { user, name, client, online: true, request };
        world.event(Event::Request { actor, request: Request::Accept { invitation } });
    }
    let everything = Muted { audio: true, video: true };
    let mut meeting = world.document().clone();
    assert_eq!(meeting.members.len(), 200);
    meeting.members.iter_mut().for_each(|member| member.muted = everything);
    meeting.blocked = meeting.members.iter().map(|member| (member.user.clone(), everything)).collect();
    let roster = meeting.roster();
    assert!(roster.members[1..].iter().all(|member| member.name.starts_with('💬')));
    let bytes = serde_json::to_vec(&roster).unwrap().len();
    assert!(bytes < 63 * 1024, "{bytes}");
    world.invite("alice.phone", "bob");
    assert_eq!(world.got("alice.phone").last().unwrap(), "refused(limit)");
}
