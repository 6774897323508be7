//! Two decisions on one meeting side by side, in an order that is forced.

use crate::world::World;
use catalog::{MeetingChange, MeetingCommit, Meetings};
use signalling::{DownBody, EndReason, UpBody};

#[tokio::test]
async fn an_answer_that_was_decided_before_the_end_is_decided_anew_after_it() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    let join = World::up(meeting.into(), UpBody::Join {});
    world.hold.request(join.envelope.id.0);
    world.send("bob.phone", &join).await;
    world.hold.until_it_waits().await;
    world.ask("alice.phone", meeting, UpBody::Leave {}).await;
    let end = world.find("bob.phone", "ended").await;
    world.hold.let_it_pass();
    let answer = world.next("bob.phone").await;
    assert_eq!(answer.envelope.in_reply_to, Some(join.envelope.id));
    assert!(answer.envelope.rev >= end.envelope.rev, "{answer:?} after {end:?}");
    assert!(matches!(answer.body, DownBody::Ended { reason: EndReason::Left, .. }), "{answer:?}");
}

#[tokio::test]
async fn what_another_service_has_decided_is_not_overlooked() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.state("bob.phone").await;
    let row = world.catalog.meeting(meeting.0).await.unwrap().unwrap();
    let mut parts = row.parts;
    parts.retain(|part| part.name.kind == "member" && part.document.contains("BOB"));
    parts[0].document = parts[0].document.replace("BOB", "Robert");
    let (id, expected, document) = (meeting.0, Some(row.revision), row.document);
    let change = MeetingChange { id, expected, document, parts, ..MeetingChange::default() };
    world.catalog.commit(MeetingCommit { meeting: Some(change), ..MeetingCommit::default() }).await.unwrap();
    let roster = world.state("alice.phone").await.call.unwrap().roster;
    let names: Vec<&str> = roster.members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["ALICE", "Robert"]);
    world.ask("bob.phone", meeting, UpBody::Leave {}).await;
    world.find("alice.phone", "ended").await;
}
