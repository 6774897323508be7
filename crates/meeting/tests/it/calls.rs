//! Calls from beginning to end.

use crate::world::{World, channel, create, new_meeting, now_ms, until};
use meeting::contract::Rig as _;
use meeting::machine::Ticket;
use meeting::{ChannelEventKind, LeftReason};
use signalling::topics::property;
use signalling::{
    Admission, DesiredChannel, DownBody, EndReason, JoinParameters, Profile, Rights, Sources, Track, UpBody,
};

fn joining(down: signalling::Down) -> JoinParameters {
    match down.body {
        DownBody::Admitted { join, .. } => join,
        DownBody::Invitation(ring) => ring.join,
        other => panic!("no join parameters in {other:?}"),
    }
}

fn ended(down: &signalling::Down) -> EndReason {
    let DownBody::Ended { reason, .. } = &down.body else { panic!("{down:?}") };
    *reason
}

#[tokio::test]
async fn a_call_rings_is_answered_and_ends() {
    let mut world = World::new().await;
    let meeting = world.call("alice.phone", &["bob"]).await;
    let admitted = world.expect("alice.phone", "admitted").await;
    assert_eq!(
        world.rtc.puts(&channel(meeting)).first(),
        Some(&(0, Some(DesiredChannel::default()))),
        "the channel is there before the answer"
    );
    let DownBody::Invitation(ring) = world.expect("bob.phone", "invitation").await.body else { panic!("no ring") };
    assert_eq!((ring.from.as_str(), ring.from_name.as_str()), ("alice", "ALICE"));
    let invitation = ring.invitation;
    world.ask("bob.phone", meeting, UpBody::Ringing { invitation }).await;
    world.expect("alice.phone", "ringing").await;
    world.expect("bob.phone", "ringing").await;
    world.ask("bob.phone", meeting, UpBody::Accept { invitation }).await;
    let bob = world.expect("bob.phone", "admitted").await;
    world.find("alice.phone", "accepted").await;
    world.expect("bob.laptop", "invitation").await;
    assert_eq!(ended(&world.expect("bob.laptop", "ended").await), EndReason::AnsweredElsewhere);
    let bob = joining(bob).participation;
    until("bob is admitted to the channel", async || {
        world.rtc.wish(&channel(meeting), bob).is_some_and(|wish| wish.admission == Admission::Admitted)
    })
    .await;
    world.ask("alice.phone", meeting, UpBody::Leave {}).await;
    assert_eq!(ended(&world.find("bob.phone", "ended").await), EndReason::Left);
    world.until_closed(meeting).await;
    assert!(admitted.envelope.in_reply_to.is_some());
}

#[tokio::test]
async fn join_parameters_carry_a_signed_token_for_one_participation() {
    let mut world = World::new().await;
    let meeting = world.call("alice.phone", &["bob"]).await;
    let alice = joining(world.expect("alice.phone", "admitted").await);
    let (phone, laptop) =
        (world.expect("bob.phone", "invitation").await, world.expect("bob.laptop", "invitation").await);
    let (phone, laptop) = (joining(phone), joining(laptop));
    let (of_alice, of_phone, of_laptop) = (world.claims(&alice), world.claims(&phone), world.claims(&laptop));
    assert_eq!((of_alice.rev, of_phone.rev, of_laptop.rev), (1, 1, 1));
    assert_eq!(of_phone.participation, phone.participation);
    assert_ne!(of_phone.participation, of_laptop.participation);
    assert_ne!(of_phone.client, of_laptop.client);
    assert_eq!(of_phone.exp - of_phone.iat, 600);
    assert_eq!((alice.channel, alice.endpoints), (channel(meeting), vec!["https://rtc.test".to_owned()]));
}

#[tokio::test]
async fn messages_carry_what_the_broker_needs() {
    let mut world = World::new().await;
    world.ringing().await;
    world.settle().await;
    let of = |kind: &str| {
        let ends = |message: &&queue::Message| message.property(property::SECOND_TOPIC).unwrap().ends_with(kind);
        world.delivered.iter().find(ends).unwrap().clone()
    };
    let (invitation, admitted) = (of("bob-phone/invitation"), of("/admitted"));
    assert_eq!(invitation.property(property::SECOND_TOPIC).unwrap(), "/p2p/GID_test@@@bob-phone/invitation");
    assert_eq!(invitation.property(property::QOS), Some("1"));
    assert_eq!(invitation.property(property::CLEAN_SESSION), Some("false"));
    assert_eq!(invitation.property(property::EXPIRY_S), Some("45"));
    assert_eq!(invitation.property(property::COLLAPSE_VERSION), Some("1"));
    assert!(invitation.property(property::COLLAPSE_KEY).is_some());
    assert_eq!(admitted.property(property::EXPIRY_S), Some("20"));
    assert_eq!(admitted.property(property::COLLAPSE_KEY), None);
}

#[tokio::test]
async fn a_callee_who_is_off_is_waited_for() {
    let mut world = World::new().await;
    world.goes("carol.phone").await;
    world.call("alice.phone", &["carol"]).await;
    world.expect("alice.phone", "admitted").await;
    let DownBody::Waiting { user, until_ms } = world.expect("alice.phone", "waiting").await.body else { panic!() };
    assert_eq!(user.as_str(), "carol");
    assert!(until_ms > now_ms() + 40_000);
    world.expect("carol.phone", "invitation").await;
}

#[tokio::test]
async fn a_callee_who_goes_before_it_has_rung_is_waited_for() {
    let mut world = World::new().await;
    world.call("alice.phone", &["carol"]).await;
    world.expect("alice.phone", "admitted").await;
    world.expect("carol.phone", "invitation").await;
    world.goes("carol.phone").await;
    let DownBody::Waiting { user, .. } = world.expect("alice.phone", "waiting").await.body else { panic!() };
    assert_eq!(user.as_str(), "carol");
}

#[tokio::test]
async fn nobody_answers_and_both_learn_of_it_once() {
    let mut world = World::with(|config| config.rules.reach_ms = 150).await;
    let (meeting, invitation) = world.ringing().await;
    let told = world.expect("bob.phone", "ended").await;
    assert_eq!(ended(&told), EndReason::NoAnswer);
    assert_eq!(ended(&world.expect("alice.phone", "ended").await), EndReason::NoAnswer);
    let state = world.state("bob.phone").await;
    assert_eq!(state.outcomes.len(), 1);
    assert_eq!((state.outcomes[0].invitation, state.rings.len()), (invitation, 0));
    world.until_closed(meeting).await;
}

#[tokio::test]
async fn a_ring_has_its_own_time() {
    let mut world = World::with(|config| config.rules.ring_ms = 150).await;
    let (meeting, invitation) = world.ringing().await;
    world.ask("bob.phone", meeting, UpBody::Ringing { invitation }).await;
    world.expect("alice.phone", "ringing").await;
    assert_eq!(ended(&world.find("alice.phone", "ended").await), EndReason::NoAnswer);
}

#[tokio::test]
async fn two_who_call_each_other_meet() {
    let mut world = World::new().await;
    let (meeting, _) = world.ringing().await;
    let own = new_meeting();
    let request = world.ask("bob.laptop", own, create(&["alice"])).await;
    let admitted = world.expect("bob.laptop", "admitted").await;
    assert_eq!(admitted.envelope.in_reply_to, Some(request));
    assert_eq!(admitted.envelope.meeting, Some(meeting));
    world.find("alice.phone", "accepted").await;
    world.expect("bob.phone", "ended").await;
    // A cancel of the create that met the ring is meant for the call that came of it.
    world.ask("bob.laptop", own, UpBody::Cancel { callee: None }).await;
    assert_eq!(ended(&world.find("alice.phone", "ended").await), EndReason::Left);
}

#[tokio::test]
async fn two_who_call_each_other_at_the_same_moment_meet() {
    let mut world = World::new().await;
    let (first, second) = (new_meeting(), new_meeting());
    tokio::join!(world.ask("alice.phone", first, create(&["bob"])), world.ask("bob.phone", second, create(&["alice"])),);
    let (alice, bob) = (world.find("alice.phone", "admitted").await, world.find("bob.phone", "admitted").await);
    assert_eq!(alice.envelope.meeting, bob.envelope.meeting);
}

#[tokio::test]
async fn a_callee_in_another_call_is_busy_and_sees_it_later_on_all_devices() {
    let mut world = World::new().await;
    world.in_call().await;
    let other = world.call("carol.phone", &["bob"]).await;
    world.expect("carol.phone", "busy").await;
    world.expect("carol.phone", "ended").await;
    assert!(!world.rtc.is_open(&channel(other)));
    let missed = world.state("bob.laptop").await.outcomes;
    assert_eq!(missed.len(), 1);
    world.ask("bob.laptop", None, UpBody::Seen { invitation: missed[0].invitation }).await;
    world.find("bob.phone", "seen").await;
    world.find("bob.laptop", "seen").await;
    assert_eq!(world.state("bob.phone").await.outcomes, []);
}

#[tokio::test]
async fn a_cancel_that_overtakes_its_create_rings_nobody() {
    let mut world = World::new().await;
    let meeting = new_meeting();
    world.ask("alice.phone", meeting, UpBody::Cancel { callee: None }).await;
    world.expect("alice.phone", "ended").await;
    world.ask("alice.phone", meeting, create(&["bob"])).await;
    world.expect("alice.phone", "ended").await;
    assert_eq!(world.rest("bob.phone").await, [""; 0]);
}

#[tokio::test]
async fn a_block_is_enforced_and_lifted() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    let (user, track) = ("bob".into(), Track::Audio);
    world.ask("alice.phone", meeting, UpBody::Block { user, track }).await;
    let DownBody::RosterChanged(change) = world.find("alice.phone", "roster_changed").await.body else { panic!() };
    let bob = change.members.iter().find(|member| member.user == "bob".into()).unwrap();
    assert!(bob.blocked.audio);
    let silent = Rights { send: Sources::VIDEO, receive: true };
    let who = bob.participation.unwrap();
    let rights = |world: &World| world.rtc.wish(&channel(meeting), who).map(|wish| wish.rights);
    until("the block is enforced", async || rights(&world) == Some(silent)).await;
    world.ask("alice.phone", meeting, UpBody::Unblock { user: "bob".into(), track }).await;
    until("the block is lifted", async || rights(&world) == Some(Rights::ALL)).await;
}

#[tokio::test]
async fn media_events_show_in_the_roster_and_a_mute_is_wished() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    let bob = world.state("bob.phone").await.call.unwrap().join.unwrap();
    world.ask("bob.phone", meeting, UpBody::Mute { user: None, track: Track::Audio }).await;
    world.find("bob.phone", "roster_changed").await;
    let muted = async || world.rtc.wish(&channel(meeting), bob.participation).map(|wish| wish.muted);
    until("the mute is enforced", async || muted().await == Some(Sources::AUDIO)).await;
    let ticket = Ticket {
        meeting,
        user: "bob".into(),
        client: signalling::ClientId::default(),
        participation: bob.participation,
        rev: 0,
        profile: Profile::Meeting,
    };
    world.rtc.join(ticket).await.unwrap();
    for (kind, shown) in [
        (None, "alice~ bob+!"),
        (Some(ChannelEventKind::Lost), "alice~ bob~!"),
        (Some(ChannelEventKind::Back), "alice~ bob+!"),
        (Some(ChannelEventKind::Left { reason: LeftReason::TimedOut }), "alice~ bob~!"),
    ] {
        kind.into_iter().for_each(|kind| world.rtc.report(&channel(meeting), bob.participation, kind));
        world.until_roster("alice.phone", shown).await;
    }
}

#[tokio::test]
async fn whoever_is_gone_without_a_word_has_left() {
    let mut world = World::with(|config| config.rules.gone_ms = 100).await;
    let meeting = world.in_call().await;
    world.goes("bob.phone").await;
    assert_eq!(ended(&world.find("alice.phone", "ended").await), EndReason::Left);
    world.until_closed(meeting).await;
}

#[tokio::test]
async fn a_caller_who_is_gone_takes_the_ring_along() {
    let mut world = World::with(|config| config.rules.gone_ms = 100).await;
    world.ringing().await;
    world.goes("alice.phone").await;
    assert_eq!(ended(&world.expect("bob.phone", "ended").await), EndReason::CallerGone);
}

#[tokio::test]
async fn a_guest_joins_a_running_call_and_the_host_destroys_it() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.ask("alice.phone", meeting, UpBody::Invite { callees: vec!["carol".into()] }).await;
    let DownBody::Invitation(ring) = world.expect("carol.phone", "invitation").await.body else { panic!("no ring") };
    assert_eq!((ring.members, ring.names), (2, vec!["ALICE".to_owned(), "BOB".to_owned()]));
    world.ask("carol.phone", meeting, UpBody::Accept { invitation: ring.invitation }).await;
    world.expect("carol.phone", "admitted").await;
    world.ask("alice.phone", meeting, UpBody::Destroy {}).await;
    for client in ["alice.phone", "bob.phone", "carol.phone"] {
        assert_eq!(ended(&world.find(client, "ended").await), EndReason::Destroyed);
    }
    world.until_closed(meeting).await;
}

#[tokio::test]
async fn requests_of_one_user_are_handled_in_their_order() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    for _ in 0..10 {
        world.ask("bob.phone", meeting, UpBody::Mute { user: None, track: Track::Video }).await;
        world.ask("bob.phone", meeting, UpBody::Unmute { track: Track::Video }).await;
    }
    world.ask("bob.phone", meeting, UpBody::Mute { user: None, track: Track::Video }).await;
    world.settle().await;
    let call = world.state("bob.phone").await.call.unwrap();
    assert!(call.roster.members.iter().find(|member| member.user == "bob".into()).unwrap().muted.video);
}

#[tokio::test]
async fn seen_is_newer_than_all_that_was_told_of_the_ring() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.ask("alice.phone", meeting, UpBody::Invite { callees: vec!["carol".into()] }).await;
    let DownBody::Invitation(ring) = world.find("carol.phone", "invitation").await.body else { panic!("no ring") };
    world.ask("alice.phone", meeting, UpBody::Cancel { callee: None }).await;
    world.find("carol.phone", "ended").await;
    world.ask("alice.phone", meeting, UpBody::Mute { user: None, track: Track::Audio }).await;
    world.until_roster("bob.phone", "alice~! bob~").await;
    world.settle().await;
    world.ask("carol.phone", meeting, UpBody::Ringing { invitation: ring.invitation }).await;
    let DownBody::Ended { rev: late, .. } = world.find("carol.phone", "ended").await.body else { panic!("no end") };
    world.ask("carol.phone", None, UpBody::Seen { invitation: ring.invitation }).await;
    let DownBody::Seen { rev, .. } = world.find("carol.phone", "seen").await.body else { panic!("not seen") };
    assert!(rev > late, "{rev} after {late}");
}
