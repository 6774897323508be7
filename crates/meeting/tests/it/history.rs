//! History: calls that are over, as their users ask for them.

use crate::world::{World, create, new_meeting};
use signalling::{CallResult, Direction, DownBody, PastCall, UpBody};

pub(crate) async fn page(
    world: &mut World,
    client: &str,
    before: Option<String>,
    limit: u32,
) -> (Vec<PastCall>, Option<String>) {
    let asked = world.ask(client, None, UpBody::History { before, limit: Some(limit) }).await;
    let answer = world.find(client, "history").await;
    assert_eq!(answer.envelope.in_reply_to, Some(asked));
    let DownBody::History { calls, next } = answer.body else { panic!("{answer:?}") };
    (calls, next)
}

/// Alice calls Bob and gives up.
pub(crate) async fn in_vain(world: &mut World) {
    let meeting = world.call("alice.phone", &["bob"]).await;
    world.find("alice.phone", "admitted").await;
    world.ask("alice.phone", meeting, UpBody::Cancel { callee: None }).await;
    world.find("alice.phone", "ended").await;
}

#[tokio::test]
async fn a_call_is_in_the_history_of_both_once_it_is_over_also_after_a_crash() {
    let mut world = World::new().await;
    let meeting = world.in_call().await;
    assert_eq!(page(&mut world, "alice.phone", None, 20).await, (Vec::new(), None), "it goes on");
    world.ask("bob.phone", meeting, UpBody::Leave {}).await;
    world.find("bob.phone", "ended").await;
    world.crash().await;
    world.start().await;
    for (client, direction, with) in
        [("alice.phone", Direction::Made, "bob"), ("bob.phone", Direction::Received, "alice")]
    {
        let (calls, next) = page(&mut world, client, None, 20).await;
        let [call] = calls.as_slice() else { panic!("{calls:?}") };
        assert_eq!((call.meeting, call.direction, call.result), (meeting, direction, CallResult::Answered));
        assert_eq!((call.with.len(), call.with[0].user.as_str(), call.others), (1, with, 0));
        assert!(call.duration_ms.is_some() && next.is_none());
    }
    assert_eq!(page(&mut world, "carol.phone", None, 20).await, (Vec::new(), None));
}

#[tokio::test]
async fn pages_follow_each_other_while_new_calls_come() {
    let mut world = World::new().await;
    for _ in 0..5 {
        in_vain(&mut world).await;
    }
    let (first, next) = page(&mut world, "bob.laptop", None, 2).await;
    in_vain(&mut world).await;
    let (second, next) = page(&mut world, "bob.laptop", next, 2).await;
    let (third, end) = page(&mut world, "bob.laptop", next, 2).await;
    assert_eq!((first.len(), second.len(), third.len(), end), (2, 2, 1, None));
    let all: Vec<PastCall> = [first, second, third].concat();
    assert!(all.is_sorted_by(|newer, older| newer.started_at_ms >= older.started_at_ms));
    let (newest, _) = page(&mut world, "bob.laptop", None, 20).await;
    assert_eq!(newest[1..], all);
    assert!(newest.iter().all(|call| call.result == CallResult::Missed && call.duration_ms.is_none()));
}

#[tokio::test]
async fn a_page_that_nobody_was_told_of_is_refused_and_so_is_one_of_no_or_too_many_calls() {
    let mut world = World::new().await;
    let huge = format!("{}.{}", u64::MAX, uuid::Uuid::nil());
    let befores = ["", "1", "1.x", "x.y", huge.as_str()].map(|before| (Some(before.to_owned()), None));
    for (before, limit) in befores.into_iter().chain([(None, Some(0)), (None, Some(51))]) {
        world.ask("bob.phone", None, UpBody::History { before, limit }).await;
        let DownBody::Refused { code, .. } = world.expect("bob.phone", "refused").await.body else { panic!() };
        assert_eq!(code, signalling::RefusalCode::Invalid);
    }
}

#[tokio::test]
async fn a_page_is_never_longer_than_a_terminal_may_get() {
    let mut world = World::with(|config| {
        config.creates_per_minute_max = 100;
        config.requests_burst_max = 1_000;
    })
    .await;
    let title = Some("\u{1F3B5}".repeat(200));
    for _ in 0..60 {
        let UpBody::Create { callees, media, .. } = create(&["bob"]) else { panic!() };
        let body = UpBody::Create { callees, media, title: title.clone() };
        let meeting = new_meeting();
        world.ask("alice.phone", meeting, body).await;
        world.find("alice.phone", "admitted").await;
        world.ask("alice.phone", meeting, UpBody::Cancel { callee: None }).await;
        world.find("alice.phone", "ended").await;
    }
    let (mut before, mut seen) = (None, 0);
    loop {
        let (calls, next) = page(&mut world, "bob.phone", before, 50).await;
        assert!(serde_json::to_vec(&calls).unwrap().len() <= 60 * 1024);
        seen += calls.len();
        before = next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, 60);
}
