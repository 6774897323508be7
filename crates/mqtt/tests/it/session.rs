//! The session half, alone.

use mqtt::server::{Full, HandOut, Priority, Restart, SEND_WINDOW_MAX, Session, SessionLimits, Subscribed};
use mqtt::topic::TopicFilter;
use mqtt::{PacketId, QoS, SubscriptionOptions};
use proptest::prelude::*;

fn limits(send_window: u16) -> SessionLimits {
    SessionLimits { send_window, kept_for_normal: 0, waiting_max: 100, subscriptions_max: 2 }
}

fn session(send_window: u16, entries: impl IntoIterator<Item = u32>) -> Session<u32> {
    let mut session = Session::new(limits(send_window));
    session.connected(u16::MAX);
    entries.into_iter().for_each(|entry| session.push(entry, Priority::Normal).unwrap());
    session
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

/// (entry, packet id, DUP) of all that may be sent now.
fn hand_outs(session: &mut Session<u32>) -> Vec<(u32, u16, bool)> {
    std::iter::from_fn(|| session.hand_out())
        .map(|HandOut { entry, packet_id, dup, .. }| (entry, packet_id.get(), dup))
        .collect()
}

/// [MQTT5-3.3.4-7] [MQTT5-3.3.4-9]
#[test]
fn the_window_is_the_smaller_of_the_clients_and_ours() {
    let mut session = session(3, 0..10);
    assert_eq!(hand_outs(&mut session).len(), 3);
    session.connected(2);
    assert_eq!(hand_outs(&mut session), [(0, 1, true), (1, 2, true)]);
    assert_eq!(session.ack(id(1)), Some(0));
    assert_eq!(hand_outs(&mut session), [(2, 3, true)], "what was in flight goes before anything new");
    assert_eq!(session.ack(id(3)), Some(2));
    assert_eq!(hand_outs(&mut session), [(3, 4, false)]);
}

#[test]
fn an_urgent_entry_goes_before_all_normal_ones_that_wait() {
    let mut session = session(1, [1, 2]);
    assert_eq!(hand_outs(&mut session), [(1, 1, false)]);
    session.push(9, Priority::Urgent).unwrap();
    session.push(10, Priority::Urgent).unwrap();
    assert_eq!(session.waiting().collect::<Vec<_>>(), [9, 10, 2]);
    session.ack(id(1));
    assert_eq!(hand_outs(&mut session), [(9, 2, false)]);
}

/// [MQTT5-4.4.0-1] [MQTT5-4.6.0-1] [MQTT5-3.3.1-1] [MQTT311-4.4.0-1] [MQTT311-4.6.0-1]
#[test]
fn what_is_in_flight_goes_out_again_in_order_with_the_same_ids_and_dup() {
    let mut session = session(4, 0..5);
    hand_outs(&mut session);
    session.ack(id(2));
    assert_eq!(hand_outs(&mut session), [(4, 5, false)]);
    session.disconnected();
    assert_eq!(session.hand_out(), None);
    session.push(5, Priority::Urgent).unwrap();
    session.connected(u16::MAX);
    assert_eq!(hand_outs(&mut session), [(0, 1, true), (2, 3, true), (3, 4, true), (4, 5, true)]);
    session.ack(id(3));
    assert_eq!(hand_outs(&mut session), [(5, 6, false)]);
}

#[test]
fn an_ack_counts_only_for_what_was_sent_on_this_connection() {
    let mut session = session(2, 0..2);
    hand_outs(&mut session);
    assert_eq!(session.ack(id(7)), None);
    session.connected(1);
    assert_eq!(session.ack(id(1)), None, "not sent again yet");
    hand_outs(&mut session);
    assert_eq!(session.ack(id(2)), None, "outside of the client's window");
    assert_eq!(session.ack(id(1)), Some(0));
    assert_eq!(session.ack(id(1)), None);
}

/// [MQTT5-2.2.1-3] [MQTT5-2.2.1-4] [MQTT311-2.3.1-2] [MQTT311-2.3.1-4]
#[test]
fn packet_ids_wrap_and_leave_out_those_in_flight() {
    let mut session = session(2, []);
    session.restored(PacketId::new(65_533), Restart::Clean);
    session.push(0, Priority::Normal).unwrap();
    session.push(1, Priority::Normal).unwrap();
    assert_eq!(hand_outs(&mut session), [(0, 65_534, false), (1, 65_535, false)]);
    session.ack(id(65_535));
    for round in 0..65_533u32 {
        session.push(round, Priority::Normal).unwrap();
        let packet_id = session.hand_out().unwrap().packet_id;
        assert_eq!(u32::from(packet_id.get()), round + 1);
        session.ack(packet_id);
    }
    session.push(7, Priority::Normal).unwrap();
    assert_eq!(session.hand_out().unwrap().packet_id, PacketId::MAX, "65,534 is still in flight");
}

#[test]
fn after_an_unclean_start_everything_carries_dup_and_new_ids_keep_their_distance() {
    let mut session = Session::new(limits(8));
    session.restore(1, PacketId::new(65_000), Priority::Normal);
    session.restore(2, PacketId::new(65_001), Priority::Normal);
    session.restore(3, None, Priority::Normal);
    session.restore(4, None, Priority::Urgent);
    session.restored(PacketId::new(65_004), Restart::Unclean);
    session.push(5, Priority::Normal).unwrap();
    session.connected(u16::MAX);
    let first_new = 65_005 + SEND_WINDOW_MAX as u32 - 65_535;
    let first_new = u16::try_from(first_new).unwrap();
    assert_eq!(
        hand_outs(&mut session),
        [
            (1, 65_000, true),
            (2, 65_001, true),
            (4, first_new, true),
            (3, first_new + 1, true),
            (5, first_new + 2, false)
        ]
    );
}

#[test]
fn after_a_clean_start_only_what_was_handed_out_carries_dup() {
    let mut session = Session::new(limits(8));
    session.restore(1, PacketId::new(5), Priority::Normal);
    session.restore(2, None, Priority::Normal);
    session.restored(None, Restart::Clean);
    session.connected(u16::MAX);
    assert_eq!(hand_outs(&mut session), [(1, 5, true), (2, 6, false)]);
}

#[test]
fn superseded_entries_leave_only_while_they_wait() {
    let mut session = session(1, [1, 2, 3]);
    hand_outs(&mut session);
    assert_eq!(session.retain_waiting(|entry| *entry == 3), 1);
    assert_eq!(session.in_flight().collect::<Vec<_>>(), [(1, id(1))]);
    assert_eq!(session.waiting().collect::<Vec<_>>(), [3]);
}

#[test]
fn a_full_session_takes_no_more_but_restores_everything() {
    let mut session = Session::new(SessionLimits { waiting_max: 1, ..limits(8) });
    assert_eq!(session.push(1, Priority::Normal), Ok(()));
    assert_eq!(session.push(2, Priority::Urgent), Err(Full));
    session.restore(3, None, Priority::Normal);
    assert_eq!(session.waiting_len(), 2);
}

#[test]
fn subscriptions_are_replaced_and_limited() {
    let mut session: Session<u32> = Session::new(limits(1));
    let filter = |text| TopicFilter::parse(text).unwrap();
    let (low, high) = (SubscriptionOptions::default(), SubscriptionOptions::at(QoS::AtLeastOnce));
    assert_eq!(session.subscribe(filter("a"), low, None), Ok(Subscribed::New));
    assert_eq!(session.subscribe(filter("a"), high, Some(3)), Ok(Subscribed::Replaced));
    assert_eq!(session.subscribe(filter("a"), high, Some(3)), Ok(Subscribed::Unchanged));
    assert_eq!(session.subscribe(filter("a/#"), low, None), Ok(Subscribed::New));
    assert_eq!(session.subscribe(filter("b"), low, None), Err(Full));
    assert_eq!(session.subscriptions()[0].options, high);
    assert!(session.unsubscribe("a/#") && !session.unsubscribe("a/#"));
    assert_eq!(session.subscriptions().len(), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Push(bool),
    HandOut,
    /// One that is not sent after all.
    TakeBack,
    /// Acks the n-th of what the client holds.
    Ack(usize),
    Reconnect(u16),
    /// The same, after it was without a connection for some time.
    Return(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(Step::Push),
        Just(Step::HandOut),
        Just(Step::TakeBack),
        (0usize..4).prop_map(Step::Ack),
        (1u16..6).prop_map(Step::Reconnect),
        (1u16..6).prop_map(Step::Return),
    ]
}

proptest! {
    #![proptest_config(crate::seeded())]

    /// Whatever happens, every entry reaches the client, no id names two entries at a time, the window is kept, and
    /// entries of one line arrive first in their order. What is upcoming is what is handed out next.
    #[test]
    fn nothing_is_lost_reordered_or_confused(steps in prop::collection::vec(step(), 1..80)) {
        let mut session = session(4, []);
        let (mut pushed, mut window) = (0u32, 4usize);
        let mut held: Vec<(PacketId, u32)> = Vec::new();
        let mut first_seen: Vec<u32> = Vec::new();
        let mut done: Vec<u32> = Vec::new();
        for step in steps.into_iter().chain([Step::Return(4)]).chain(std::iter::repeat_n(Step::HandOut, 4)) {
            match step {
                // The lowest bit is the line.
                Step::Push(urgent) => {
                    let entry = pushed << 1 | u32::from(urgent);
                    session.push(entry, if urgent { Priority::Urgent } else { Priority::Normal }).unwrap();
                    pushed += 1;
                }
                Step::TakeBack => if let Some(out) = session.hand_out() {
                    session.take_back(out);
                    prop_assert_eq!(session.upcoming().next(), Some(out.entry));
                    prop_assert_eq!(session.hand_out(), Some(out));
                    session.take_back(out);
                },
                Step::HandOut => if let Some(HandOut { entry, packet_id, dup, is_first }) = {
                    let upcoming: Vec<u32> = session.upcoming().collect();
                    prop_assert!(held.len() + upcoming.len() <= window);
                    let out = session.hand_out();
                    prop_assert_eq!(out.map(|out| out.entry), upcoming.first().copied());
                    prop_assert!(session.upcoming().eq(upcoming.into_iter().skip(1)));
                    out
                } {
                    prop_assert!(is_first || dup);
                    prop_assert!(held.iter().all(|&(id, _)| id != packet_id));
                    prop_assert_eq!(dup, first_seen.contains(&entry));
                    prop_assert!(!done.contains(&entry));
                    if !dup { first_seen.push(entry); }
                    held.push((packet_id, entry));
                    prop_assert!(held.len() <= window);
                },
                Step::Ack(n) => if n < held.len() {
                    let (packet_id, entry) = held.remove(n);
                    prop_assert_eq!(session.ack(packet_id), Some(entry));
                    done.push(entry);
                },
                Step::Reconnect(receive_maximum) | Step::Return(receive_maximum) => {
                    if matches!(step, Step::Return(_)) {
                        session.disconnected();
                        session.shrink();
                        prop_assert_eq!(session.hand_out(), None);
                    }
                    session.connected(receive_maximum);
                    window = usize::from(receive_maximum.min(4));
                    held.clear();
                }
            }
        }
        for line in [0, 1] {
            let order: Vec<u32> = first_seen.iter().copied().filter(|entry| entry & 1 == line).collect();
            prop_assert!(order.is_sorted());
        }
        prop_assert_eq!(done.len() + session.waiting_len() + session.in_flight_len(), pushed as usize);
    }
}

#[test]
fn urgent_entries_that_nobody_acknowledges_leave_room_for_normal_ones() {
    for (window, urgent, normal) in [(8, 5, 3), (4, 2, 2), (2, 1, 1), (1, 1, 0)] {
        let mut session = Session::new(SessionLimits { kept_for_normal: 3, ..limits(8) });
        session.connected(window);
        (0..20).for_each(|entry| session.push(entry, Priority::Urgent).unwrap());
        let mut handed_out = 0;
        while session.hand_out().is_some() {
            handed_out += 1;
        }
        assert_eq!(handed_out, urgent, "of a window of {window}");
        session.disconnected();
        session.connected(window);
        (100..120).for_each(|entry| session.push(entry, Priority::Normal).unwrap());
        let again: Vec<_> = std::iter::from_fn(|| session.hand_out()).map(|out| (out.entry, out.dup)).collect();
        let expected = (0..urgent).map(|entry| (entry, true)).chain((100..100 + normal).map(|entry| (entry, false)));
        assert_eq!(again, expected.collect::<Vec<_>>(), "of a window of {window}, connected again");
    }
}
