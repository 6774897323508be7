//! Reads: they cost no write, and are answered again if they come again.

use crate::held::Write;
use crate::world::{World, new_meeting, until};
use catalog::{Accounts, Meetings, User};
use signalling::UpBody;

#[tokio::test]
async fn a_question_writes_nothing_to_the_catalog() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.hold.written();
    for (client, about, question, answer) in [
        ("alice.phone", None, UpBody::State {}, "state"),
        ("carol.phone", None, UpBody::State {}, "state"),
        ("alice.phone", None, UpBody::Contacts { watch_s: None }, "contacts"),
        ("alice.phone", None, UpBody::History { before: None, limit: None }, "history"),
        ("bob.phone", Some(meeting), UpBody::Roster {}, "roster"),
        ("carol.phone", Some(meeting), UpBody::Roster {}, "refused"),
        ("carol.phone", Some(new_meeting()), UpBody::Roster {}, "refused"),
        ("carol.phone", None, UpBody::Roster {}, "refused"),
    ] {
        let asked = world.ask(client, about, question).await;
        assert_eq!(world.expect(client, answer).await.envelope.in_reply_to, Some(asked));
    }
    assert_eq!(world.hold.written(), []);
}

#[tokio::test]
async fn a_device_that_its_ring_does_not_know_is_entered_by_its_question_once() {
    let mut world = World::new().await;
    world.ringing().await;
    world.add_device("bob", "tablet").await;
    world.settle().await;
    world.hold.written();
    for _ in 0..2 {
        assert_eq!(world.state("bob.tablet").await.rings.len(), 1);
    }
    assert_eq!(world.hold.written(), [Write::Commit]);
}

#[tokio::test]
async fn a_question_that_comes_twice_is_answered_twice() {
    let mut world = World::new().await;
    let question = World::up(None, UpBody::State {});
    for _ in 0..2 {
        world.send("alice.phone", &question).await;
        let answer = world.expect("alice.phone", "state").await;
        assert_eq!(answer.envelope.in_reply_to, Some(question.envelope.id));
    }
}

#[tokio::test]
async fn a_state_is_told_behind_what_was_decided_before_it() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    world.refuse_once("ended");
    let destroy = world.ask("alice.phone", meeting, UpBody::Destroy {}).await;
    let catalog = std::sync::Arc::clone(&world.catalog);
    until("it is committed", async || catalog.handled(destroy.0).await.unwrap()).await;
    world.ask("alice.phone", None, UpBody::State {}).await;
    assert_eq!(world.rest("alice.phone").await, ["ended", "state"]);
}

#[tokio::test]
async fn who_came_while_nobody_looked_is_entered_together() {
    let mut world = World::new().await;
    world.crash().await;
    for n in 0..100 {
        world.add_device("bob", &format!("device{n}")).await;
        world.connects(&format!("bob.device{n}")).await;
    }
    world.hold.written();
    world.start().await;
    world.until_online("bob.device99", true).await;
    let written = world.hold.written();
    let entered = |write: &Write| if let Write::OnlineEvents(events) = write { *events } else { 0 };
    // Some that the first run had not acknowledged may come again.
    assert!(written.iter().map(entered).sum::<usize>() >= 100, "{written:?}");
    assert!(written.len() <= 2, "{written:?}");
}

#[tokio::test]
async fn an_answer_without_room_for_all_that_rings_says_so() {
    let mut world = World::new().await;
    world.ringing().await;
    assert!(!world.state("bob.phone").await.rings_left_out);
    for n in 0..45 {
        let caller = format!("caller{n}");
        world.catalog.put_user(User { user: caller.clone(), name: caller.clone() }).await.unwrap();
        world.add_device(&caller, "phone").await;
        let client = format!("{caller}.phone");
        world.connects(&client).await;
        world.call(&client, &["bob"]).await;
        world.find(&client, "admitted").await;
    }
    world.settle().await;
    let state = world.state("bob.phone").await;
    assert!(state.rings_left_out && (20..=40).contains(&state.rings.len()), "{} rings", state.rings.len());
}
