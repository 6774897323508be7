//! Refusals: what is refused, with which code, and that nothing else happens.

use crate::world::{World, channel, create, new_meeting, now_ms, until};
use signalling::{Down, DownBody, MeetingId, RefusalCode, Track, UpBody};
use uuid::Uuid;

fn code(down: &Down) -> RefusalCode {
    let DownBody::Refused { code, words } = &down.body else { panic!("{down:?}") };
    assert!(words.len() > 10, "words that help: {words}");
    *code
}

#[tokio::test]
async fn an_unknown_user_and_an_unknown_meeting_are_the_same_to_whoever_asks() {
    let mut world = World::new().await;
    world.call("alice.phone", &["nobody"]).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::NotAllowed);
    world.ask("alice.phone", new_meeting(), UpBody::Join {}).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::NotAllowed);
    let meeting = world.in_call().await;
    world.ask("carol.phone", meeting, UpBody::Roster {}).await;
    assert_eq!(code(&world.next("carol.phone").await), RefusalCode::NotAllowed);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_as_invalid_and_answers_its_id_where_it_has_one() {
    let mut world = World::new().await;
    world.publish("alice.phone", b"not json".to_vec()).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::Invalid);
    let id = "0190a1b2-c3d4-7e5f-8a6b-9c7d8e9f0a1b";
    let odd = format!(r#"{{"v":1,"id":"{id}","type":"dance","sent_at_ms":1,"expires_at_ms":99999999999999}}"#);
    world.publish("alice.phone", odd.into_bytes()).await;
    let refused = world.next("alice.phone").await;
    assert_eq!(code(&refused), RefusalCode::Invalid);
    assert_eq!(refused.envelope.in_reply_to.unwrap().to_string(), id);
    let mut other_version = serde_json::to_value(World::up(None, UpBody::State {})).unwrap();
    other_version["v"] = 2.into();
    world.publish("alice.phone", other_version.to_string().into_bytes()).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::Invalid);
    world.ask("alice.phone", None, UpBody::Leave {}).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::Invalid);
    world.call("alice.phone", &["alice"]).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::Invalid);
}

#[tokio::test]
async fn a_meeting_whose_id_is_no_uuid_v7_is_not_made() {
    let mut world = World::new().await;
    let of_the_ncs = "0190a1b2-c3d4-7e5f-0a6b-9c7d8e9f0a1b".parse().unwrap();
    for id in [
        Uuid::nil(),
        Uuid::max(),
        Uuid::from_u128(7),
        "f47ac10b-58cc-4372-a567-0e02b2c3d479".parse().unwrap(),
        of_the_ncs,
    ] {
        for body in [create(&["bob"]), UpBody::Cancel { callee: None }] {
            world.ask("alice.phone", MeetingId(id), body).await;
            assert_eq!(code(&world.next("alice.phone").await), RefusalCode::Invalid, "{id}");
        }
    }
    assert_eq!(world.rest("bob.phone").await, [""; 0]);
}

#[tokio::test]
async fn too_large_a_request_is_refused() {
    let mut world = World::new().await;
    world.publish("alice.phone", vec![b' '; 64 * 1024 + 1]).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::Limit);
}

#[tokio::test]
async fn a_request_past_its_expiry_does_nothing() {
    let mut world = World::new().await;
    let mut up = World::up(Some(new_meeting()), create(&["bob"]));
    up.envelope.expires_at_ms = now_ms() - 1;
    world.send("alice.phone", &up).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::Expired);
    assert_eq!(world.rest("bob.phone").await, [""; 0]);
}

#[tokio::test]
async fn a_sender_is_who_the_broker_says_whatever_the_payload_says() {
    let mut world = World::new().await;
    let mut claimed = serde_json::to_value(World::up(Some(new_meeting()), create(&["bob"]))).unwrap();
    claimed["from"] = "carol".into();
    claimed["user"] = "carol".into();
    world.publish("alice.phone", claimed.to_string().into_bytes()).await;
    let DownBody::Invitation(ring) = world.expect("bob.phone", "invitation").await.body else { panic!("no ring") };
    assert_eq!(ring.from.as_str(), "alice");
}

#[tokio::test]
async fn a_user_has_one_live_call() {
    let mut world = World::new().await;
    world.ringing().await;
    let second = world.call("alice.phone", &["carol"]).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::AlreadyInCall);
    assert_eq!(world.rest("carol.phone").await, [""; 0]);
    assert!(!world.rtc.is_open(&second.into()));
}

#[tokio::test]
async fn who_is_in_a_call_is_told_so_whether_the_callee_is_busy_or_not() {
    let mut world = World::new().await;
    world.in_call().await;
    world.call("alice.phone", &["bob"]).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::AlreadyInCall);
    assert_eq!(world.state("bob.phone").await.outcomes, []);
}

#[tokio::test]
async fn twenty_creates_a_minute_are_the_limit() {
    let mut world = World::new().await;
    for _ in 0..20 {
        let meeting = world.call("alice.phone", &[]).await;
        world.expect("alice.phone", "admitted").await;
        world.ask("alice.phone", meeting, UpBody::Leave {}).await;
        world.expect("alice.phone", "ended").await;
    }
    world.call("alice.phone", &[]).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::Limit);
}

#[tokio::test]
async fn cancels_that_are_remembered_count_as_creates() {
    let mut world = World::with(|config| config.creates_per_minute_max = 2).await;
    for _ in 0..2 {
        world.ask("alice.phone", new_meeting(), UpBody::Cancel { callee: None }).await;
        world.expect("alice.phone", "ended").await;
    }
    world.ask("alice.phone", new_meeting(), UpBody::Cancel { callee: None }).await;
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::Limit);
}

#[tokio::test]
async fn a_meeting_id_is_used_once() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.ask("carol.phone", meeting, create(&["alice"])).await;
    assert_eq!(code(&world.next("carol.phone").await), RefusalCode::Taken);
}

#[tokio::test]
async fn only_the_host_rules_and_a_kicked_one_stays_out_during_the_ban() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.ask("bob.phone", meeting, UpBody::Block { user: "alice".into(), track: Track::Audio }).await;
    assert_eq!(code(&world.next("bob.phone").await), RefusalCode::NotHost);
    world.ask("alice.phone", meeting, UpBody::Invite { callees: vec!["carol".into()] }).await;
    let DownBody::Invitation(ring) = world.expect("carol.phone", "invitation").await.body else { panic!("no ring") };
    world.ask("carol.phone", meeting, UpBody::Accept { invitation: ring.invitation }).await;
    world.expect("carol.phone", "admitted").await;
    world.ask("alice.phone", meeting, UpBody::Kick { user: "carol".into(), ban_s: 600 }).await;
    world.find("carol.phone", "ended").await;
    world.ask("carol.phone", meeting, UpBody::Join {}).await;
    assert_eq!(code(&world.next("carol.phone").await), RefusalCode::NotMember);
    world.rest("bob.phone").await;
    world.ask("bob.phone", meeting, UpBody::Invite { callees: vec!["carol".into()] }).await;
    assert_eq!(code(&world.next("bob.phone").await), RefusalCode::NotAllowed);
}

#[tokio::test]
async fn a_terminal_whose_clock_is_behind_still_learns_the_time_and_who_is_there() {
    let mut world = World::new().await;
    for question in [UpBody::State {}, UpBody::Contacts { watch_s: None }] {
        let kind = question.kind();
        let mut up = World::up(None, question);
        up.envelope.expires_at_ms = now_ms() - 3_600_000;
        world.send("alice.phone", &up).await;
        assert_eq!(world.next("alice.phone").await.body.kind(), kind);
    }
}

#[tokio::test]
async fn a_flood_of_one_user_is_refused_once_and_delays_nobody() {
    let mut world = World::with(|config| (config.requests_burst_max, config.requests_per_second_max) = (3, 1)).await;
    for _ in 0..200 {
        world.ask("alice.phone", None, UpBody::Contacts { watch_s: None }).await;
    }
    world.state("bob.phone").await;
    let answers = world.rest("alice.phone").await;
    let refused = answers.iter().filter(|kind| **kind == "refused").count();
    assert!((1..5).contains(&refused) && answers.len() < 12, "{answers:?}");
}

#[tokio::test]
async fn the_channel_of_a_meeting_whose_id_was_taken_meanwhile_is_left_to_who_has_taken_it() {
    let mut world = World::new().await;
    let open = world.rtc.hold_opens();
    let meeting = world.call("alice.phone", &["bob"]).await;
    until("the channel is open", async || world.rtc.is_open(&channel(meeting))).await;
    world.ask("carol.phone", meeting, UpBody::Cancel { callee: None }).await;
    world.expect("carol.phone", "ended").await;
    open.send(true).unwrap();
    assert_eq!(code(&world.next("alice.phone").await), RefusalCode::Taken);
    let open_early = (0, Some(signalling::DesiredChannel::default()));
    assert_eq!(world.rtc.puts(&channel(meeting)), [open_early]);
    assert_eq!(world.rest("bob.phone").await, [""; 0]);
}

#[tokio::test]
async fn a_title_that_leaves_its_line_or_cannot_be_seen_is_refused_with_words_that_help() {
    let mut world = World::new().await;
    for title in ["\u{1b}[2J", "a\nb", "\u{202e}abc", " ", ""] {
        let body = UpBody::Create { callees: vec![], media: signalling::Media::Audio, title: Some(title.to_owned()) };
        world.ask("alice.phone", new_meeting(), body).await;
        let DownBody::Refused { code, words } = world.expect("alice.phone", "refused").await.body else { panic!() };
        assert_eq!(code, RefusalCode::Invalid, "{words}");
        assert!(words.starts_with("the title has ") && !words.contains(char::is_control), "{words}");
    }
}
