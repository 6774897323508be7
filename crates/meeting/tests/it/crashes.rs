//! Crashes at the worst moments: the outcome is the same as without them.

use crate::world::{World, channel, create, new_meeting, until};
use catalog::{Catalog, MeetingChange, MeetingCommit, Meetings};
use serde_json::Value;
use signalling::{Admission, DownBody, EndReason, MeetingId, Rights, Sources, Track, UpBody};

#[tokio::test]
async fn a_panic_of_the_rtc_server_stops_the_service_and_is_named() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.rtc.break_down();
    world.ask("bob.phone", meeting, UpBody::Mute { user: None, track: Track::Audio }).await;
    assert!(world.failure().await.contains("task of the meeting service"));
}

#[tokio::test]
async fn a_panic_while_sending_stops_the_service_and_no_message_is_lost_by_it() {
    let mut world = World::new().await;
    world.let_sends_panic();
    world.call("alice.phone", &["bob"]).await;
    assert!(world.failure().await.contains("task of the meeting service"));
    world.crash().await;
    world.start().await;
    world.expect("alice.phone", "admitted").await;
    world.expect("bob.phone", "invitation").await;
}

#[tokio::test]
async fn a_request_that_was_committed_and_not_acknowledged_is_handled_once() {
    let mut world = World::new().await;
    world.let_acks_hang();
    let meeting = world.call("alice.phone", &["bob"]).await;
    world.expect("bob.phone", "invitation").await;
    world.crash().await;
    world.start().await;
    world.settle().await;
    assert_eq!(world.rest("bob.phone").await, [""; 0], "no second invitation");
    assert_eq!(world.rest("alice.phone").await, ["admitted"], "no second answer");
    let creates = world.catalog.creates_since("alice", 0, crate::world::now_ms()).await.unwrap();
    assert_eq!(creates, 1);
    assert!(world.rtc.is_open(&channel(meeting)), "the channel is opened again");
}

#[tokio::test]
async fn what_was_committed_and_not_sent_is_sent_by_the_next_start() {
    let mut world = World::new().await;
    world.let_sends_hang();
    let meeting = world.call("alice.phone", &["bob"]).await;
    let catalog = std::sync::Arc::clone(&world.catalog);
    until("it is committed", async || catalog.meeting(meeting.0).await.unwrap().is_some()).await;
    world.crash().await;
    world.start().await;
    world.expect("alice.phone", "admitted").await;
    world.expect("bob.phone", "invitation").await;
    world.expect("bob.laptop", "invitation").await;
    assert_eq!(world.rest("bob.phone").await, [""; 0]);
}

#[tokio::test]
async fn two_services_on_one_catalog_send_everything_once() {
    let mut world = World::new().await;
    world.is_joined().await;
    for _ in 0..8 {
        let meeting = world.in_call().await;
        world.ask("alice.phone", meeting, UpBody::Leave {}).await;
        world.ask("bob.phone", meeting, UpBody::Leave {}).await;
        world.settle().await;
        for client in ["alice.phone", "bob.phone", "bob.laptop"] {
            world.take_all(client);
        }
    }
    assert_eq!(world.repeats(), 0);
}

#[tokio::test]
async fn what_a_service_that_dies_had_to_send_is_sent_by_another_that_goes_on() {
    let mut world = World::new().await;
    world.let_sends_hang();
    let meeting = world.call("alice.phone", &["bob"]).await;
    let catalog = std::sync::Arc::clone(&world.catalog);
    until("it is committed", async || catalog.meeting(meeting.0).await.unwrap().is_some()).await;
    world.is_joined().await;
    world.loses_the_first();
    world.expect("alice.phone", "admitted").await;
    world.expect("bob.phone", "invitation").await;
    world.expect("bob.laptop", "invitation").await;
    assert_eq!(world.rest("bob.phone").await, [""; 0]);
}

#[tokio::test]
async fn a_request_that_came_while_the_service_was_down_is_handled_by_the_next_start() {
    let mut world = World::new().await;
    world.crash().await;
    let meeting = new_meeting();
    world.ask("alice.phone", meeting, create(&["bob"])).await;
    world.start().await;
    world.expect("bob.phone", "invitation").await;
}

#[tokio::test]
async fn while_the_catalog_takes_nothing_requests_stay_on_the_queue() {
    let mut world = World::new().await;
    world.catalog.close().await;
    world.ask("alice.phone", new_meeting(), create(&["bob"])).await;
    until("it was received", async || world.requests_in_flight().await == 1).await;
    world.until_the_gate_is_tried().await;
    let receives = world.receives();
    world.ask("carol.phone", None, UpBody::State {}).await;
    world.until_the_gate_is_tried().await;
    assert_eq!(world.receives(), receives, "nothing is received while the gate is closed");
    world.crash().await;
    world.start().await;
    world.expect("bob.phone", "invitation").await;
    world.expect("carol.phone", "state").await;
}

#[tokio::test]
async fn a_start_opens_the_channels_of_living_meetings_with_all_that_was_decided() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.ask("alice.phone", meeting, UpBody::Block { user: "bob".into(), track: Track::Audio }).await;
    world.find("bob.phone", "blocked").await;
    world.crash().await;
    world.start().await;
    let join = world.state("bob.phone").await.call.unwrap().join.unwrap();
    let silent = Rights { send: Sources::VIDEO, receive: true };
    let who = join.participation;
    until("all is said again", async || {
        let wish = world.rtc.wish(&channel(meeting), who);
        wish.is_some_and(|wish| wish.admission == Admission::Admitted && wish.rights == silent)
    })
    .await;
    let rev = world.rtc.puts(&channel(meeting)).last().map(|(rev, _)| *rev);
    assert!(Some(world.claims(&join).rev) <= rev, "a token is no newer than the wish");
}

#[tokio::test]
async fn ring_deadlines_stay_over_a_restart() {
    let mut world = World::with(|config| config.rules.reach_ms = 400).await;
    let (_, invitation) = world.ringing().await;
    world.crash().await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.start().await;
    let DownBody::Ended { reason, outcome, .. } = world.expect("bob.phone", "ended").await.body else { panic!() };
    assert_eq!(reason, EndReason::NoAnswer);
    assert_eq!(outcome.unwrap().invitation, invitation);
    assert_eq!(world.state("bob.laptop").await.outcomes.len(), 1);
}

#[tokio::test]
async fn gone_times_begin_anew_at_a_start() {
    let mut world = World::with(|config| config.rules.gone_ms = 1_500).await;
    world.in_call().await;
    world.crash().await;
    world.start().await;
    world.goes("bob.phone").await;
    let before = std::time::Instant::now();
    world.find("alice.phone", "ended").await;
    assert!(before.elapsed() >= std::time::Duration::from_millis(1_000), "not before its time");
}

#[tokio::test]
async fn a_channel_that_could_not_be_closed_is_closed_by_the_next_start() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.rtc.fail(usize::MAX);
    world.ask("alice.phone", meeting, UpBody::Destroy {}).await;
    world.find("alice.phone", "ended").await;
    assert!(world.rtc.is_open(&channel(meeting)));
    world.crash().await;
    world.start().await;
    let end = async || world.rtc.puts(&channel(meeting)).last().is_some_and(|(_, desired)| desired.is_none());
    until("the end is said", end).await;
    let catalog = std::sync::Arc::clone(&world.catalog);
    until("the meeting is put away", async || catalog.live_meetings().await.unwrap().is_empty()).await;
}

#[tokio::test]
async fn an_rtc_server_that_does_not_answer_is_asked_again() {
    let mut world = World::new().await;
    world.rtc.fail(3);
    world.call("alice.phone", &["bob"]).await;
    world.expect("alice.phone", "admitted").await;
    world.expect("bob.phone", "invitation").await;
}

/// The meeting as programs before this one wrote it: one document with everything in it.
async fn make_old(world: &World, meeting: MeetingId) {
    let row = world.catalog.meeting(meeting.0).await.unwrap().unwrap();
    let mut document: Value = serde_json::from_str(&row.document).unwrap();
    document["v"] = 1.into();
    for (kind, list) in [("member", "members"), ("invitation", "invitations"), ("removed", "removed")] {
        let parts = row.parts.iter().filter(|part| part.name.kind == kind);
        document[list] = parts.map(|part| serde_json::from_str::<Value>(&part.document).unwrap()).collect();
    }
    let change = MeetingChange {
        id: meeting.0,
        expected: Some(row.revision),
        document: document.to_string(),
        parts_gone: row.parts.into_iter().map(|part| part.name).collect(),
        ..MeetingChange::default()
    };
    world.catalog.commit(MeetingCommit { meeting: Some(change), ..MeetingCommit::default() }).await.unwrap();
}

#[tokio::test]
async fn a_meeting_that_an_older_program_stored_goes_on() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.crash().await;
    make_old(&world, meeting).await;
    assert_eq!(world.catalog.meeting(meeting.0).await.unwrap().unwrap().parts.len(), 0);
    world.start().await;
    assert_eq!(world.state("bob.phone").await.call.unwrap().roster.members.len(), 2);
    world.ask("alice.phone", meeting, UpBody::Invite { callees: vec!["carol".into()] }).await;
    world.find("carol.phone", "invitation").await;
    let row = world.catalog.meeting(meeting.0).await.unwrap().unwrap();
    assert!(row.parts.len() >= 4 && !row.document.contains("members"), "{row:?}");
    world.ask("alice.phone", meeting, UpBody::Destroy {}).await;
    world.find("bob.phone", "ended").await;
    world.until_closed(meeting).await;
}
