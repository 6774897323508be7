//! Power cuts under load, with a checker for what was acknowledged and lost, repeated, foreign, or out of order.

use std::time::Duration;

use commitlog::Fault;
use commitlog::testing::Random;
use mqtt::codec::PropertiesBuf;
use mqtt::{ReasonCode, Version};

use crate::terminal::{Profile, Said, Terminal, publish_bytes};
use crate::world::{BOB, CAROL, SERVICE, World};

/// What a publisher knows when its connection is gone.
#[derive(Default)]
struct Published {
    /// Numbers that got a PUBACK, rising.
    acknowledged: Vec<u32>,
    /// The first number that was never sent.
    next: u32,
}

/// Publishes rising numbers, followed by `padding`, many without an answer at a time, until the connection is gone.
fn publish_until_cut(mut terminal: Terminal, first: u32, padding: &str) -> Published {
    const WINDOW: u32 = 32;
    /// Three rounds fit into one inbox.
    const COUNT_MAX: u32 = 3000;
    let mut published = Published { acknowledged: Vec::new(), next: first };
    let mut answered = first;
    loop {
        while published.next < (answered + WINDOW).min(first + COUNT_MAX) {
            let id = u16::try_from(published.next % 60_000 + 1).unwrap();
            let payload = format!("{} {padding}", published.next);
            let bytes = publish_bytes(
                Version::V5,
                Some(id),
                &format!("chat/p2p/{BOB}"),
                payload.as_bytes(),
                &PropertiesBuf::new(),
            );
            if terminal.try_send(&bytes).is_err() {
                return published;
            }
            published.next += 1;
        }
        match terminal.next() {
            Said::Puback { reason: ReasonCode::SUCCESS, .. } => {
                published.acknowledged.push(answered);
                answered += 1;
            }
            Said::Puback { .. } => answered += 1,
            _ => return published,
        }
    }
}

/// Empty if all is well.
fn complaints(published: &Published, received: &[u32]) -> Vec<String> {
    let mut complaints = Vec::new();
    let lost = published.acknowledged.iter().filter(|number| !received.contains(number)).count();
    if lost > 0 {
        complaints.push(format!("{lost} acknowledged messages are lost"));
    }
    if received.iter().any(|number| *number >= published.next) {
        complaints.push("a message that was never sent".to_owned());
    }
    if !received.is_sorted_by(|a, b| a < b) {
        complaints.push("repeated or out of order".to_owned());
    }
    complaints
}

/// Cuts the power three times while a publisher is at full speed; then the receiver takes what there is.
fn cut_under_load(seed: u64, mut world: World, padding: &'static str) -> (Vec<String>, World) {
    let mut random = Random::new(seed);
    world.connect(Profile::of(BOB)).disconnect();
    let mut published = Published::default();
    for _ in 0..3 {
        let service = world.connect(Profile::passing(SERVICE));
        let first = published.next;
        let publisher = std::thread::spawn(move || publish_until_cut(service, first, padding));
        let target = 20 + random.below(400) as u64;
        world.until("enough is stored", |stats| stats.stored >= target);
        world.cut_power_with(&mut random);
        let more = publisher.join().unwrap();
        published.acknowledged.extend(more.acknowledged);
        published.next = more.next;
    }
    assert!(!published.acknowledged.is_empty(), "nothing was acknowledged, so nothing was tested");
    let mut bob = world.connect(Profile::of(BOB));
    let waiting = usize::try_from(world.stats().inbox_messages).unwrap();
    let number = |payload: &String| payload.split(' ').next().unwrap().parse().unwrap();
    let received: Vec<u32> = bob.receive_payloads(waiting).iter().map(number).collect();
    bob.expect_nothing();
    (complaints(&published, &received), world)
}

#[test]
fn power_cuts_under_load_lose_repeat_and_reorder_nothing() {
    for seed in [1, 2, 3] {
        let (complaints, _) = cut_under_load(seed, World::new(), "");
        assert_eq!(complaints, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn power_cuts_while_old_segments_are_given_back_lose_repeat_and_reorder_nothing() {
    let padding: &str = "x".repeat(2000).leak();
    for seed in [1, 2, 3] {
        let world = World::with_small_segments();
        let mut carol = world.connect(Profile::of(CAROL));
        let mut service = world.connect(Profile::passing(SERVICE));
        // From here on the log has old segments of which little is needed.
        while *world.segments().start() == 1 {
            service.publish(&format!("chat/p2p/{CAROL}"), padding);
            carol.receive();
        }
        let begun = *world.segments().start();
        drop((carol, service));
        let (complaints, world) = cut_under_load(seed, world, padding);
        assert_eq!(complaints, Vec::<String>::new(), "seed {seed}");
        assert!(*world.segments().start() > begun, "nothing was given back, so nothing was tested");
    }
}

#[test]
fn the_checker_finds_a_log_that_acknowledges_before_it_writes() {
    let world = World::with_fault(Fault::AckBeforeWrite { delay: Duration::from_millis(50) });
    let (complaints, _) = cut_under_load(1, world, "");
    assert!(complaints.iter().any(|complaint| complaint.contains("lost")), "{complaints:?}");
}

/// Reference and acknowledgement are one unit: however often the power goes, each message of the queue is in the inbox
/// once.
#[test]
fn power_cuts_between_queue_and_inbox_lose_and_repeat_nothing() {
    const COUNT: u32 = 300;
    for seed in [1, 2] {
        let mut random = Random::new(seed);
        let mut world = World::new();
        world.connect(Profile::of(BOB)).disconnect();
        for number in 0..COUNT {
            let to_bob = format!("/p2p/{BOB}");
            world.send("ring-down", &[("mqttSecondTopic", &to_bob)], &number.to_string());
            if random.below(100) < 2 {
                world.cut_power_with(&mut random);
            }
        }
        world.until_consumed("ring-down");
        let mut bob = world.connect(Profile::of(BOB));
        let mut received: Vec<u32> =
            bob.receive_payloads(COUNT as usize).iter().map(|payload| payload.parse().unwrap()).collect();
        bob.expect_nothing();
        // What was handed out and not acknowledged when the power went comes behind what followed it.
        received.sort_unstable();
        assert_eq!(received, (0..COUNT).collect::<Vec<_>>(), "seed {seed}");
    }
}
