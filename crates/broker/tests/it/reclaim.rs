//! A log that gives its old segments back: what is still needed of them survives, and the space of all else comes back.

use mqtt::ReasonCode;

use crate::terminal::{Profile, Said, Terminal};
use crate::world::{ALICE, BOB, CAROL, SERVICE, SMALL_SEGMENT, World};

/// A log that is larger than it needs to be has no more segments than this.
const SEGMENTS_MAX: u64 = 6;

/// More than a full log takes the beginnings of, unless their space comes back meanwhile.
const RECONNECTS_MAX: usize = 10_000;

/// Messages that pass before a test gives up.
const PASSES_MAX: usize = 20_000;

fn to(client_id: &str) -> String {
    format!("chat/p2p/{client_id}/note")
}

fn kilobytes(count: usize, mark: &str) -> String {
    format!("{mark}:{}", "x".repeat(count << 10))
}

/// A service.
fn subscriber(number: usize) -> String {
    format!("GID_dev@@@svc-{number}")
}

fn subscribe_and_leave(world: &World, client_id: &str) {
    let mut terminal = world.connect(Profile::of(client_id));
    assert_eq!(terminal.subscribe(&["chat/all"]), [ReasonCode::GRANTED_QOS_1]);
    terminal.disconnect();
}

/// The log is no larger, or gives back what is too much although nothing more comes.
fn until_at_most(world: &World, segments_max: u64) {
    world.until("so many segments", |_| world.segments().count() as u64 <= segments_max);
}

/// Bob takes all that it gets.
struct Traffic {
    service: Terminal,
    bob: Terminal,
}

impl Traffic {
    fn begin(world: &World) -> Self {
        Self { service: world.connect(Profile::passing(SERVICE)), bob: world.connect(Profile::of(BOB)) }
    }

    fn pass(&mut self) {
        assert_eq!(self.service.publish(&to(BOB), &kilobytes(16, "traffic")), ReasonCode::SUCCESS);
        self.bob.receive();
    }

    /// Until the log begins behind what it holds now.
    fn pass_until_all_is_old(&mut self, world: &World) {
        let newest = *world.segments().end();
        for _ in 0..PASSES_MAX {
            if *world.segments().start() > newest {
                return;
            }
            self.pass();
        }
        panic!("no space comes back: {:?}", world.segments());
    }
}

#[test]
fn what_waits_for_one_client_does_not_keep_the_space_of_what_passed_to_others() {
    let mut world = World::with_small_segments();
    world.connect(Profile::of(CAROL)).disconnect();
    let mut traffic = Traffic::begin(&world);
    let waiting: Vec<String> = (0..5).map(|number| kilobytes(1, &number.to_string())).collect();
    for payload in &waiting {
        assert_eq!(traffic.service.publish(&to(CAROL), payload), ReasonCode::SUCCESS);
    }
    for _ in 0..3 {
        traffic.pass_until_all_is_old(&world);
    }
    while world.segments().count() as u64 > SEGMENTS_MAX {
        traffic.pass();
    }
    world.cut_power();
    assert_eq!(world.connect(Profile::of(CAROL)).receive_payloads(waiting.len()), waiting);
}

#[test]
fn the_log_takes_four_times_what_waits_at_most_while_some_are_away_and_all_others_busy() {
    let mut world = World::with_small_segments();
    let away: Vec<String> = (0..8).map(subscriber).collect();
    away.iter().for_each(|client_id| subscribe_and_leave(&world, client_id));
    let mut traffic = Traffic::begin(&world);
    let waiting: Vec<String> = (0..40).map(|number| kilobytes(40, &number.to_string())).collect();
    for payload in &waiting {
        assert_eq!(traffic.service.publish("chat/all", payload), ReasonCode::SUCCESS);
    }
    // Each of the two workers has it for its own.
    let waits: u64 = 2 * waiting.iter().map(|payload| payload.len() as u64).sum::<u64>();
    let segments_max = 4 * waits / SMALL_SEGMENT;
    for _ in 0..3 * segments_max * SMALL_SEGMENT / (16 << 10) {
        traffic.pass();
        until_at_most(&world, segments_max);
    }
    assert!(*world.segments().start() > segments_max, "all is carried: {:?}", world.segments());
    world.cut_power();
    for client_id in &away[1..] {
        assert_eq!(world.connect(Profile::of(client_id)).receive_payloads(waiting.len()), waiting);
    }
    let mut traffic = Traffic::begin(&world);
    for _ in 0..3 {
        traffic.pass_until_all_is_old(&world);
        until_at_most(&world, segments_max);
    }
    world.cut_power();
    assert_eq!(world.connect(Profile::of(&away[0])).receive_payloads(waiting.len()), waiting);
}

#[test]
fn a_session_and_its_subscriptions_outlive_the_segments_that_they_were_made_in() {
    let mut world = World::with_small_segments();
    subscribe_and_leave(&world, &subscriber(0));
    let mut traffic = Traffic::begin(&world);
    traffic.pass_until_all_is_old(&world);
    world.cut_power();
    let mut service = world.connect(Profile::passing(SERVICE));
    assert_eq!(service.publish("chat/all", "to whom it may concern"), ReasonCode::SUCCESS);
    assert_eq!(world.connect(Profile::of(&subscriber(0))).receive().payload, "to whom it may concern");
}

#[test]
fn what_goes_to_subscribers_of_several_workers_waits_for_each_of_them() {
    let mut world = World::with_small_segments();
    // Enough for both workers.
    let subscribers: Vec<String> = (0..6).map(subscriber).collect();
    subscribers.iter().for_each(|client_id| subscribe_and_leave(&world, client_id));
    let mut traffic = Traffic::begin(&world);
    let mut said = Vec::new();
    for round in 0..3 {
        traffic.pass_until_all_is_old(&world);
        said.push(kilobytes(1, &round.to_string()));
        assert_eq!(traffic.service.publish("chat/all", &said[round]), ReasonCode::SUCCESS);
    }
    traffic.pass_until_all_is_old(&world);
    world.cut_power();
    for client_id in subscribers {
        assert_eq!(world.connect(Profile::of(&client_id)).receive_payloads(3), said, "{client_id}");
    }
}

#[test]
fn what_was_acknowledged_does_not_come_back_from_an_old_segment() {
    let mut world = World::with_small_segments();
    let mut carol = world.connect(Profile::of(CAROL));
    let mut traffic = Traffic::begin(&world);
    for payload in ["one", "two", "three"] {
        assert_eq!(traffic.service.publish(&to(CAROL), payload), ReasonCode::SUCCESS);
    }
    let (one, two, three) = (carol.take(), carol.take(), carol.take());
    carol.ack(&two);
    traffic.pass_until_all_is_old(&world);
    world.cut_power();
    let mut carol = world.connect(Profile::of(CAROL));
    assert_eq!(carol.receive_payloads(2), [one.payload, three.payload]);
    carol.expect_nothing();
}

#[test]
fn a_full_log_takes_messages_again_once_those_that_waited_are_acknowledged() {
    let world = World::with_small_segments();
    world.connect(Profile::of(CAROL)).disconnect();
    let mut traffic = Traffic::begin(&world);
    traffic.pass_until_all_is_old(&world);
    world.storage.set_full(true);
    let mut waiting = 0;
    while traffic.service.publish(&to(CAROL), &kilobytes(16, "waits")) == ReasonCode::SUCCESS {
        waiting += 1;
    }
    assert!(waiting > 0 && world.stats().refused_by_log > 0);
    world.connect(Profile::of(CAROL)).receive_payloads(waiting);
    while traffic.service.publish(&to(BOB), &kilobytes(16, "room")) != ReasonCode::SUCCESS {
        std::thread::yield_now();
    }
    traffic.bob.receive();
}

/// One of them is refused, unless the space of those that have ended comes back as fast as others take it.
#[test]
fn reconnects_on_a_full_disk_take_nothing_from_what_is_there() {
    let mut world = World::with_small_segments();
    let mut carol = world.connect(Profile::of(CAROL));
    let mut traffic = Traffic::begin(&world);
    traffic.pass_until_all_is_old(&world);
    world.storage.set_full(true);
    let mut waiting = 0;
    while traffic.service.publish(&to(CAROL), &kilobytes(16, "waits")) == ReasonCode::SUCCESS {
        waiting += 1;
    }
    let connect = |client_id| Terminal::connect(world.address(), Profile::of(client_id));
    let begin = *world.segments().start();
    let refused = (0..RECONNECTS_MAX).find_map(|_| connect(ALICE).err());
    match refused {
        Some(refused) => {
            assert!(matches!(&refused, Said::Connack { reason: ReasonCode::QUOTA_EXCEEDED, .. }), "{refused:?}");
        }
        None => assert!(*world.segments().start() > begin, "they took more than there was"),
    }
    traffic.bob.ping();
    assert_eq!(carol.receive_payloads(waiting).len(), waiting);
    // What was acknowledged gives its space back, on a disk that stays full.
    while traffic.service.publish(&to(BOB), &kilobytes(16, "room")) != ReasonCode::SUCCESS {
        std::thread::yield_now();
    }
    traffic.bob.receive();
    let alice = std::iter::repeat_with(|| connect(ALICE)).find_map(Result::ok);
    alice.unwrap().disconnect();
    drop(carol);
    world.cut_power();
    world.connect(Profile::of(CAROL)).expect_nothing();
}

#[test]
fn the_end_of_a_connection_that_was_not_told_is_told_by_the_next_start_however_old_it_is() {
    let mut world = World::with_small_segments();
    let carol = world.connect(Profile::of(CAROL));
    let came = world.receive("GID_dev_MQTT");
    // The queue takes nothing more.
    world.queue_storage.cut_power();
    carol.disconnect();
    let mut traffic = Traffic::begin(&world);
    traffic.pass_until_all_is_old(&world);
    traffic.pass_until_all_is_old(&world);
    world.restart();
    let channel_of = |body: &[u8]| -> serde_json::Value {
        serde_json::from_slice::<serde_json::Value>(body).unwrap()["channelId"].clone()
    };
    let carols = channel_of(&came.message.body);
    let told = std::iter::repeat_with(|| world.receive("GID_dev_MQTT").message);
    let mut of_carol = told.filter(|message| channel_of(&message.body) == carols);
    assert_eq!(of_carol.next().unwrap().tag.as_deref(), Some("tcpclean"));
}
