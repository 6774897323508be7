//! Rosters: which member is sent which change, and how often.

use crate::world::World;
use signalling::{DownBody, MeetingId, Track, UpBody};

/// Carol is in the call of Alice and Bob.
async fn three() -> (World, MeetingId) {
    three_of(World::new().await).await
}

async fn three_of(mut world: World) -> (World, MeetingId) {
    let meeting = world.in_call().await;
    enter(&mut world, meeting).await;
    for client in ["alice.phone", "bob.phone", "carol.phone"] {
        world.until_roster(client, "alice~ bob~ carol~").await;
        world.rest(client).await;
    }
    (world, meeting)
}

/// Carol is invited and answers.
async fn enter(world: &mut World, meeting: MeetingId) {
    world.ask("alice.phone", meeting, UpBody::Invite { callees: vec!["carol".into()] }).await;
    let DownBody::Invitation(ring) = world.find("carol.phone", "invitation").await.body else { panic!("no ring") };
    world.ask("carol.phone", meeting, UpBody::Accept { invitation: ring.invitation }).await;
    world.find("carol.phone", "admitted").await;
}

async fn mute(world: &World, client: &str, meeting: MeetingId, muted: bool) {
    let track = Track::Audio;
    let body = if muted { UpBody::Mute { user: None, track } } else { UpBody::Unmute { track } };
    world.ask(client, meeting, body).await;
}

#[tokio::test]
async fn members_are_told_what_changed_and_not_the_whole() {
    let (mut world, meeting) = three().await;
    world.rosters.values_mut().for_each(|followed| followed.news.clear());
    mute(&world, "bob.phone", meeting, true).await;
    let answer = world.find("bob.phone", "roster_changed").await;
    assert!(answer.envelope.in_reply_to.is_some());
    for client in ["alice.phone", "bob.phone", "carol.phone"] {
        world.until_roster(client, "alice~ bob~! carol~").await;
        assert_eq!(world.rosters[client].gaps, 0);
    }
    assert_eq!(world.rosters["alice.phone"].news, [("roster_changed", 1)]);
    assert_eq!(world.rosters["carol.phone"].news, [("roster_changed", 1)]);
    assert_eq!(world.rosters["bob.phone"].news, [], "the answer told it");
}

#[tokio::test]
async fn many_changes_at_once_come_together() {
    let (mut world, meeting) = three().await;
    world.rosters.values_mut().for_each(|followed| followed.news.clear());
    let began = std::time::Instant::now();
    for round in 0..20 {
        mute(&world, "bob.phone", meeting, round % 2 == 0).await;
    }
    mute(&world, "bob.phone", meeting, true).await;
    mute(&world, "carol.phone", meeting, true).await;
    world.until_roster("alice.phone", "alice~ bob~! carol~!").await;
    let waits = began.elapsed().as_millis() / 200;
    let news = &world.rosters["alice.phone"].news;
    assert!(news.len() as u128 <= waits + 2, "{news:?} in {waits} times 200 ms");
    assert!(news.iter().all(|(kind, entries)| *kind == "roster_changed" && *entries <= 2), "{news:?}");
}

#[tokio::test]
async fn a_question_is_answered_with_the_whole_roster() {
    let (mut world, meeting) = three().await;
    world.ask("bob.phone", meeting, UpBody::Roster {}).await;
    let DownBody::Roster(roster) = world.find("bob.phone", "roster").await.body else { panic!("no roster") };
    assert_eq!(roster.members.len(), 3);
}

#[tokio::test]
async fn after_a_start_everybody_is_told_the_whole_roster_once() {
    let (mut world, meeting) = three().await;
    world.rosters.values_mut().for_each(|followed| followed.news.clear());
    world.crash().await;
    world.start().await;
    world.ask("alice.phone", meeting, UpBody::Block { user: "bob".into(), track: Track::Audio }).await;
    for client in ["alice.phone", "bob.phone", "carol.phone"] {
        world.until_roster(client, "alice~ bob~! carol~").await;
        let wholes = world.rosters[client].news.iter().filter(|(kind, _)| *kind == "roster").count();
        assert!(wholes <= 1, "{client}: {:?}", world.rosters[client].news);
    }
    assert_eq!(world.rosters["carol.phone"].news.first(), Some(&("roster", 3)));
}

#[tokio::test]
async fn what_was_committed_and_not_told_before_the_process_ended_is_told_by_the_next() {
    let (mut world, meeting) = three().await;
    world.let_sends_hang();
    mute(&world, "bob.phone", meeting, true).await;
    world.ask("alice.phone", meeting, UpBody::Invite { callees: vec!["carol".into()] }).await;
    world.until_handled().await;
    world.crash().await;
    world.start().await;
    for client in ["alice.phone", "bob.phone", "carol.phone"] {
        world.until_roster(client, "alice~ bob~! carol~").await;
    }
}

#[tokio::test]
async fn who_has_left_is_told_nothing_more_and_who_comes_again_knows_all() {
    let (mut world, meeting) = three().await;
    world.rosters.values_mut().for_each(|followed| followed.news.clear());
    mute(&world, "bob.phone", meeting, true).await;
    mute(&world, "alice.phone", meeting, true).await;
    world.ask("carol.phone", meeting, UpBody::Leave {}).await;
    let end = world.find("carol.phone", "ended").await.envelope.rev.unwrap();
    mute(&world, "bob.phone", meeting, false).await;
    world.until_roster("alice.phone", "alice~! bob~").await;
    assert!(world.rosters["carol.phone"].rev < end, "{} told after the end at {end}", world.rosters["carol.phone"].rev);
    enter(&mut world, meeting).await;
    mute(&world, "alice.phone", meeting, false).await;
    for client in ["alice.phone", "bob.phone", "carol.phone"] {
        world.until_roster(client, "alice~ bob~ carol~").await;
        assert_eq!(world.rosters[client].gaps, 0, "{client}");
    }
}
