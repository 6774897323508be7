//! Two decisions on one meeting side by side, in an order that is forced.

use crate::world::World;
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
