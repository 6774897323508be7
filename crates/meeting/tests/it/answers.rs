//! Answers: one for each request; glare, members that come back, and pages that are closed.

use crate::world::{World, channel, client_id, create, new_meeting, now_ms};
use catalog::Accounts;
use meeting::ChannelEventKind;
use signalling::{DownBody, EndReason, InvitationId, MeetingId, RefusalCode, RejectReason, SignalId, Track, UpBody};
use uuid::Uuid;

fn reason(body: &DownBody) -> EndReason {
    let DownBody::Ended { reason, .. } = body else { panic!("{body:?}") };
    *reason
}

/// Asks, and takes all that answers it, after everything is settled.
async fn answers(world: &mut World, client: &str, meeting: Option<MeetingId>, body: UpBody) -> Vec<DownBody> {
    let asked: SignalId = world.ask(client, meeting, body).await;
    world.settle().await;
    let said: Vec<signalling::Down> = world.take_all(client);
    said.into_iter().filter(|down| down.envelope.in_reply_to == Some(asked)).map(|down| down.body).collect()
}

#[tokio::test]
async fn every_kind_of_request_is_answered_once_also_when_it_comes_again() {
    let mut world = World::new().await;
    let (meeting, invitation) = world.ringing().await;
    let (user, track) = (signalling::UserName::from("bob"), Track::Audio);
    let reject = UpBody::Reject { invitation, reason: RejectReason::Declined };
    let unknown = InvitationId(Uuid::now_v7());
    let requests = [
        ("bob.phone", UpBody::Ringing { invitation }, "ringing"),
        ("bob.laptop", UpBody::Ringing { invitation }, "ringing"),
        ("bob.phone", UpBody::Accept { invitation }, "admitted"),
        ("bob.phone", UpBody::Accept { invitation }, "admitted"),
        ("bob.laptop", UpBody::Accept { invitation }, "ended"),
        ("bob.laptop", reject, "ended"),
        ("bob.laptop", UpBody::Ringing { invitation }, "ended"),
        ("bob.laptop", UpBody::Ringing { invitation: unknown }, "refused"),
        ("alice.phone", UpBody::Invite { callees: vec!["bob".into()] }, "roster"),
        ("alice.phone", UpBody::Cancel { callee: None }, "roster"),
        ("bob.phone", UpBody::Join {}, "admitted"),
        ("bob.phone", UpBody::Mute { user: None, track }, "roster"),
        ("bob.laptop", UpBody::Unmute { track }, "roster"),
        ("alice.phone", UpBody::Block { user: user.clone(), track }, "roster"),
        ("alice.phone", UpBody::Unblock { user: user.clone(), track }, "roster"),
        ("alice.phone", UpBody::AskUnmute { user: user.clone(), track }, "roster"),
        ("alice.phone", UpBody::Roster {}, "roster"),
        ("carol.phone", UpBody::Roster {}, "refused"),
        ("bob.phone", UpBody::Kick { user, ban_s: 0 }, "refused"),
        ("bob.laptop", UpBody::Leave {}, "ended"),
        ("alice.phone", UpBody::Destroy {}, "ended"),
        ("alice.phone", UpBody::Destroy {}, "ended"),
        ("bob.phone", UpBody::Leave {}, "ended"),
        ("carol.phone", create(&["bob"]), "refused"),
    ];
    for (client, body, due) in requests {
        let words = format!("{} from {client}", body.kind());
        let said = answers(&mut world, client, Some(meeting), body).await;
        assert_eq!(said.len(), 1, "{words}: {said:?}");
        let is = said[0].kind();
        assert!(is == due || (due == "roster" && is == "roster_changed"), "{words}: {said:?}");
    }
    for (body, due) in [
        (UpBody::State {}, "state"),
        (UpBody::Contacts { watch_s: None }, "contacts"),
        (UpBody::History { before: None, limit: None }, "history"),
        (UpBody::Seen { invitation: unknown }, "seen"),
        (UpBody::Seen { invitation }, "seen"),
    ] {
        let said = answers(&mut world, "alice.phone", None, body).await;
        assert_eq!(said.iter().map(DownBody::kind).collect::<Vec<_>>(), [due]);
    }
}

#[tokio::test]
async fn an_outcome_that_is_seen_again_is_answered_again() {
    let mut world = World::new().await;
    let (meeting, invitation) = world.ringing().await;
    world.ask("alice.phone", meeting, UpBody::Cancel { callee: None }).await;
    world.find("bob.phone", "ended").await;
    for _ in 0..2 {
        let said = answers(&mut world, "bob.phone", None, UpBody::Seen { invitation }).await;
        assert_eq!(said.len(), 1, "{said:?}");
    }
}

#[tokio::test]
async fn who_accepts_the_ring_that_its_own_call_has_answered_stays_in_the_call() {
    let mut world = World::new().await;
    let (meeting, invitation) = world.ringing().await;
    let own = new_meeting();
    world.ask("bob.phone", own, create(&["alice"])).await;
    let said = answers(&mut world, "bob.phone", Some(meeting), UpBody::Accept { invitation }).await;
    assert_eq!(said.iter().map(DownBody::kind).collect::<Vec<_>>(), ["admitted"], "never ended");
    assert_eq!(reason(&world.find("bob.laptop", "ended").await.body), EndReason::AnsweredElsewhere);
    for body in [UpBody::Cancel { callee: None }, UpBody::Leave {}] {
        let said = answers(&mut world, "bob.phone", Some(own), body).await;
        assert_eq!(said.iter().map(reason).collect::<Vec<_>>(), [EndReason::Cancelled], "the create is over");
    }
    assert!(world.state("bob.phone").await.call.is_some_and(|call| call.here && call.meeting == meeting));
    let said = answers(&mut world, "bob.phone", Some(meeting), UpBody::Leave {}).await;
    assert_eq!(said.iter().map(reason).collect::<Vec<_>>(), [EndReason::Left]);
}

#[tokio::test]
async fn who_is_in_another_call_by_now_does_not_come_back() {
    let mut world = World::new().await;
    let meeting = three(&mut world).await;
    world.ask("carol.phone", meeting, UpBody::Leave {}).await;
    world.find("carol.phone", "ended").await;
    let joinable = world.state("carol.phone").await.joinable;
    assert_eq!(joinable.iter().map(|one| (one.meeting, one.members)).collect::<Vec<_>>(), [(meeting, 2)]);
    let other = world.call("carol.phone", &[]).await;
    world.find("carol.phone", "admitted").await;
    let said = answers(&mut world, "carol.phone", Some(meeting), UpBody::Join {}).await;
    assert!(matches!(said[..], [DownBody::Refused { code: RefusalCode::AlreadyInCall, .. }]), "{said:?}");
    world.ask("carol.phone", other, UpBody::Leave {}).await;
    let said = answers(&mut world, "carol.phone", Some(meeting), UpBody::Join {}).await;
    assert!(matches!(said[..], [DownBody::Admitted { .. }]), "{said:?}");
    assert_eq!(world.state("carol.phone").await.joinable, []);
}

/// Alice, Bob and Carol are in one meeting.
async fn three(world: &mut World) -> MeetingId {
    let meeting = world.in_call().await;
    world.ask("alice.phone", meeting, UpBody::Invite { callees: vec!["carol".into()] }).await;
    let DownBody::Invitation(ring) = world.expect("carol.phone", "invitation").await.body else { panic!("no ring") };
    world.ask("carol.phone", meeting, UpBody::Accept { invitation: ring.invitation }).await;
    world.find("carol.phone", "admitted").await;
    meeting
}

#[tokio::test]
async fn a_closed_page_is_gone_before_a_lost_connection_would_be() {
    let mut world = World::with(|config| (config.rules.gone_ms, config.rules.clean_gone_ms) = (600_000, 50)).await;
    world.in_call().await;
    world.says_goodbye("bob.phone").await;
    assert_eq!(reason(&world.find("alice.phone", "ended").await.body), EndReason::Left);
    world.call("alice.phone", &["bob"]).await;
    world.find("bob.laptop", "invitation").await;
    world.says_goodbye("alice.phone").await;
    assert_eq!(reason(&world.find("bob.laptop", "ended").await.body), EndReason::CallerGone);
}

/// A call between Alice and Bob in which her media is there.
async fn in_call_with_media(world: &mut World) -> MeetingId {
    world.comes("alice.phone").await;
    let meeting = world.in_call().await;
    world.ask("alice.phone", meeting, UpBody::Join {}).await;
    let DownBody::Admitted { join, .. } = world.find("alice.phone", "admitted").await.body else { panic!() };
    let joined = ChannelEventKind::Joined { cipher: String::new() };
    world.rtc.report(&channel(meeting), join.participation, joined);
    world.until_handled().await;
    meeting
}

/// A stolen device that is revoked hears nothing more, though its media needs no login.
#[tokio::test]
async fn who_is_revoked_is_removed_from_the_channel() {
    let mut world = World::new().await;
    let meeting = in_call_with_media(&mut world).await;
    world.is_revoked("alice.phone").await;
    assert_eq!(reason(&world.find("bob.phone", "ended").await.body), EndReason::Left);
    world.until_closed(meeting).await;
}

#[tokio::test]
async fn who_was_revoked_and_has_come_back_by_a_new_login_stays() {
    let mut world = World::new().await;
    let meeting = in_call_with_media(&mut world).await;
    world.connects_anew("alice.phone", 2).await;
    world.is_revoked("alice.phone").await;
    world.settle().await;
    assert!(world.rtc.is_open(&channel(meeting)));
    assert!(world.state("alice.phone").await.call.is_some());
}

/// Her login is ended while her media is there.
#[tokio::test]
async fn who_is_removed_from_the_server_is_removed_from_the_channel() {
    let mut world = World::new().await;
    let meeting = in_call_with_media(&mut world).await;
    let alice = client_id("alice.phone");
    assert!(world.catalog.remove_device(&alice, &format!("DC.{alice}"), now_ms()).await.unwrap());
    world.disconnects("alice.phone").await;
    let left = world.find("bob.phone", "ended").await;
    assert_eq!(reason(&left.body), EndReason::Left);
    world.until_closed(meeting).await;
    assert_eq!(world.rest("alice.phone").await, [""; 0]);
}
