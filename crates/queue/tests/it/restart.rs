//! Stops, kills and power cuts.

use std::time::Duration;

use commitlog::{Log, ReplayedRecord};
use queue::{AckError, Engine, GroupOptions, Message, Queue, ReceiveRequest, TagFilter};

use crate::world::{BEGIN_MS, LONG, World, bodies, clock_at, engine_options, group, log_options, request, text, topic};

#[tokio::test]
async fn nothing_that_was_sent_is_lost_by_a_power_cut() {
    let mut world = World::new().await;
    for n in 0..100 {
        world.send(&n.to_string()).await;
    }
    world.cut_power();
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let deliveries = world.receive_due().await;
        assert!(!deliveries.is_empty());
        seen.extend(bodies(&deliveries));
    }
    assert_eq!(seen, (0..100).map(|n| (n.to_string(), 1)).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_acknowledged_never_comes_back_after_a_power_cut() {
    let mut world = World::new().await;
    for n in 0..10 {
        world.send(&n.to_string()).await;
    }
    for delivery in world.receive_due().await.into_iter().take(5) {
        world.engine.ack(delivery.receipt).await.unwrap();
    }
    world.cut_power();
    let due = world.receive_due().await;
    assert_eq!(bodies(&due).iter().map(|(body, _)| body.as_str()).collect::<Vec<_>>(), ["5", "6", "7", "8", "9"]);
    assert_eq!(world.engine.describe(topic()).await.unwrap().messages, 5);
}

#[tokio::test]
async fn a_hand_out_is_counted_over_every_kind_of_stop() {
    let mut world = World::new().await;
    world.send("killer").await;
    let stops: [fn(&mut World); 3] = [
        |world| world.cut_power(),
        |world| {
            world.storage.kill_process();
            world.restart();
        },
        |world| {
            world.log.close().unwrap();
            world.restart();
        },
    ];
    for (attempt, stop) in (1..).zip(stops) {
        assert_eq!(bodies(&world.receive_due().await), [("killer".to_owned(), attempt)]);
        world.settle().await;
        // A hand-out is written before it leaves, not synced: something durable behind it makes it so, too.
        world.send("behind").await;
        let due = world.receive_due().await;
        world.engine.ack(due[0].receipt.clone()).await.unwrap();
        stop(&mut world);
    }
    assert_eq!(bodies(&world.receive_due().await), [("killer".to_owned(), 4)]);
}

#[tokio::test]
async fn a_message_that_always_kills_its_consumer_ends_among_the_dead_letters() {
    let mut world = World::new().await;
    world.engine.create_group(group(), GroupOptions { attempts_max: 3, ..GroupOptions::default() }).await.unwrap();
    world.send("killer").await;
    for attempt in 1..=3 {
        assert_eq!(bodies(&world.receive_due().await), [("killer".to_owned(), attempt)]);
        world.log.close().unwrap();
        world.restart();
    }
    assert_eq!(world.receive_due().await, []);
    world.settle().await;
    world.cut_power();
    assert_eq!(world.receive_due().await, [], "it was moved for good");
    let letters = queue::ReceiveRequest {
        topic: queue::TopicName::dead_letters_of(&group()).unwrap(),
        filter: TagFilter::All,
        ..request(LONG, LONG)
    };
    assert_eq!(bodies(&world.engine.receive(letters).await.unwrap()), [("killer".to_owned(), 1)]);
}

#[tokio::test]
async fn what_a_filter_left_out_does_not_come_back_after_a_restart() {
    let tagged = |tag: &str| Message { tag: Some(tag.to_owned()), ..text(tag) };
    for tags in [["rare", "common"], ["common", "rare"], ["common", "common"]] {
        let mut world = World::new().await;
        for tag in tags {
            world.engine.send_wait(&topic(), tagged(tag)).await.unwrap();
        }
        let filter = TagFilter::Tags(std::collections::BTreeSet::from(["rare".to_owned()]));
        let rare = world.engine.receive(ReceiveRequest { filter, ..request(Duration::ZERO, LONG) }).await.unwrap();
        for delivery in rare {
            world.engine.ack(delivery.receipt).await.unwrap();
        }
        world.settle().await;
        world.cut_power();
        assert_eq!(bodies(&world.receive_due().await), [], "{tags:?}");
        assert_eq!(world.engine.describe(topic()).await.unwrap().messages, 0, "{tags:?}");
    }
}

#[tokio::test]
async fn what_a_filter_left_out_does_not_come_back_to_a_group_that_subscribed_later() {
    let mut world = World::new().await;
    let late = queue::GroupName::parse("late").unwrap();
    world.engine.create_group(late.clone(), GroupOptions::default()).await.unwrap();
    for n in 0..3 {
        world
            .engine
            .send_wait(&topic(), Message { tag: Some("common".to_owned()), ..text(&n.to_string()) })
            .await
            .unwrap();
    }
    let filter = TagFilter::Tags(std::collections::BTreeSet::from(["rare".to_owned()]));
    assert_eq!(
        world.engine.receive(ReceiveRequest { filter, ..request(Duration::ZERO, LONG) }).await.unwrap().len(),
        0
    );
    let later = || ReceiveRequest { group: late.clone(), ..request(Duration::ZERO, LONG) };
    assert_eq!(bodies(&world.engine.receive(later()).await.unwrap()), []);
    assert_eq!(world.engine.describe(topic()).await.unwrap().messages, 0);
    world.settle().await;
    world.cut_power();
    assert_eq!(bodies(&world.engine.receive(later()).await.unwrap()), []);
}

const DAY_S: i64 = 24 * 3600;

/// An engine with a topic, on a log of its own.
async fn engine_by(clock: &clock::Clock) -> Engine {
    let storage = commitlog::testing::ForgettingStorage::new();
    let (log, replay) = Log::open(storage.handle(), log_options()).unwrap();
    let mut recovery = Engine::recover(queue::EngineOptions { clock: clock.clone(), ..engine_options() });
    replay.run(|record| recovery.apply(record)).unwrap();
    let engine = recovery.start(log);
    engine.create_topic(topic()).await.unwrap();
    engine
}

/// The clock is asked for as long as it takes to believe any step.
fn follow(machine: &clock::testing::TestMachine, clock: &clock::Clock) {
    for _ in 0..1300 {
        machine.pass(500);
        let _ = clock.now_ms();
    }
}

/// Each for eleven minutes, and then right again.
#[tokio::test]
async fn a_step_removes_what_is_too_old_by_it_when_it_is_believed_and_nothing_when_it_is_taken_back() {
    const STEPS_S: [i64; 10] = [-30, 30, -120, 120, -3600, 3600, -5 * 3600, 5 * 3600, -40 * DAY_S, 40 * DAY_S];
    for step in STEPS_S {
        for (believed, minutes) in [(false, 0), (false, 5), (true, 11)] {
            let machine = clock::testing::TestMachine::at(BEGIN_MS);
            let clock = machine.clock(None);
            let engine = engine_by(&clock).await;
            engine.send_wait(&topic(), text("before")).await.unwrap();
            machine.set_wrong_by(step);
            for _ in 0..minutes * 60 {
                machine.pass(1_000);
                let _ = clock.now_ms();
            }
            engine.send_wait(&topic(), text("behind it")).await.unwrap();
            let is_over = believed && step > 3 * DAY_S;
            let kept = engine.describe(topic()).await.unwrap().messages;
            assert_eq!(kept, 2 - u64::from(is_over), "{step} s for {minutes} minutes");
            machine.set_wrong_by(0);
            follow(&machine, &clock);
            engine.send_wait(&topic(), text("after")).await.unwrap();
            let kept = engine.describe(topic()).await.unwrap().messages;
            assert_eq!(kept, 3 - u64::from(is_over), "{step} s for {minutes} minutes, and back");
        }
    }
}

#[tokio::test]
async fn retention_goes_on_after_a_clock_that_was_ahead() {
    const DAY: u64 = 24 * 3600 * 1000;
    let machine = clock::testing::TestMachine::at(BEGIN_MS);
    let clock = machine.clock(None);
    let engine = engine_by(&clock).await;
    machine.set_wrong_by(40 * DAY_S);
    follow(&machine, &clock);
    engine.send_wait(&topic(), text("while the clock was ahead")).await.unwrap();
    machine.set_wrong_by(0);
    follow(&machine, &clock);
    for n in 0..20 {
        engine.send_wait(&topic(), text(&n.to_string())).await.unwrap();
        machine.pass(DAY);
        let _ = clock.now_ms();
    }
    let kept = engine.describe(topic()).await.unwrap().messages;
    assert!(kept <= 5, "{kept} messages, of 20 days, with a retention of 3 days");
}

#[tokio::test]
async fn by_a_clock_that_is_days_ahead_after_a_boot_nothing_is_too_old_for_ten_minutes() {
    let machine = clock::testing::TestMachine::at(BEGIN_MS);
    let kept = machine.clock(None).keep();
    let world = World::new().await;
    world.send("old").await;
    world.log.close().unwrap();
    machine.reboot();
    machine.set_wrong_by(40 * 24 * 3600);
    let clock = machine.clock(Some(&kept));
    let (log, replay) = Log::open(world.storage.handle(), log_options()).unwrap();
    let mut recovery = Engine::recover(queue::EngineOptions { clock: clock.clone(), ..engine_options() });
    replay.run(|record| recovery.apply(record)).unwrap();
    let engine = recovery.start(log);
    engine.send_wait(&topic(), text("new")).await.unwrap();
    assert_eq!(engine.describe(topic()).await.unwrap().messages, 2);
    machine.pass(601_000);
    engine.send_wait(&topic(), text("newer")).await.unwrap();
    assert_eq!(engine.describe(topic()).await.unwrap().messages, 2, "the clock is right, then the old one is old");
}

#[tokio::test]
async fn a_receipt_of_an_earlier_start_is_refused_by_name() {
    let mut world = World::new().await;
    world.send("one").await;
    let old = world.receive_due().await.remove(0).receipt;
    let epoch = world.log.epoch().0;
    world.log.close().unwrap();
    world.restart();
    let stale = AckError::StaleEpoch { receipt: epoch, current: epoch + 1 };
    assert_eq!(world.engine.ack(old.clone()).await, Err(stale.clone()));
    assert_eq!(world.engine.change_invisible(old.clone(), LONG).await, Err(stale.clone()));
    assert_eq!(world.engine.atomic_ack(world.log.id()).unwrap().prepare(&old), Err(stale));
    assert_eq!(bodies(&world.receive_due().await), [("one".to_owned(), 2)]);
}

#[tokio::test]
async fn what_nobody_was_told_of_may_be_there_or_not_but_whole() {
    for unsynced_is_kept in [false, true] {
        let mut world = World::new().await;
        world.send("told").await;
        world.storage.hold_syncs();
        world.engine.send(&topic(), text("untold"), Box::new(|_| {}));
        if unsynced_is_kept {
            while !is_written(&world, b"untold") {
                std::thread::yield_now();
            }
            world.storage.cut_power_with(&mut commitlog::testing::Everything);
            world.restart();
        } else {
            world.cut_power();
        }
        let due = bodies(&world.receive_due().await);
        let expected: &[&str] = if unsynced_is_kept { &["told", "untold"] } else { &["told"] };
        assert_eq!(due.iter().map(|(body, _)| body.as_str()).collect::<Vec<_>>(), expected);
    }
}

fn is_written(world: &World, text: &[u8]) -> bool {
    let content = world.storage.content("00000000000000000001.segment").unwrap();
    content.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn groups_their_options_and_their_places_survive() {
    let mut world = World::new().await;
    world.engine.create_group(group(), GroupOptions { attempts_max: 1, ..GroupOptions::default() }).await.unwrap();
    world.send("one").await;
    world.receive_due().await;
    world.send("two").await;
    world.log.close().unwrap();
    world.restart();
    let due = world.receive_due().await;
    assert_eq!(bodies(&due), [("two".to_owned(), 1)], "one had its only attempt");
}

#[tokio::test]
async fn what_is_too_old_is_not_found_at_the_start() {
    let world = World::new().await;
    world.send("old").await;
    world.log.close().unwrap();
    let later = clock_at(BEGIN_MS + 4 * 24 * 3600 * 1000);
    let (log, replay) = Log::open(world.storage.handle(), log_options()).unwrap();
    let mut recovery = Engine::recover(queue::EngineOptions { clock: later, ..engine_options() });
    replay.run(|record| recovery.apply(record)).unwrap();
    let engine = recovery.start(log);
    assert_eq!(engine.describe(topic()).await.unwrap().messages, 0);
}

#[test]
fn a_record_that_cannot_be_read_stops_the_start_and_foreign_kinds_are_ignored() {
    let mut recovery = Engine::recover(engine_options());
    let record = |kind, payload| ReplayedRecord {
        kind,
        owner: 1,
        position: commitlog::Position(99),
        is_carried: false,
        payload,
    };
    assert_eq!(recovery.apply(record(0x40, b"broker")), Ok(()));
    let error = recovery.apply(record(0x23, b"\x09")).unwrap_err().to_string();
    assert!(error.contains("0x23") && error.contains("position 99"), "{error}");
    assert!(recovery.apply(record(0x3f, b"")).is_err());
}
