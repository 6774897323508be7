//! Clients and a small broker made of the two server halves, on virtual time.
//!
//! A scenario reads as a script: say what a side does, `drive` until nothing moves, look at what the other saw.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt::Version::{self, V5, V311};
use mqtt::client::{AckHandle, Client, Event, Message, Options, Publication, PublishError, PublishId};
use mqtt::codec::{ForwardedProperties, Properties, PropertiesBuf, Property, Publish};
use mqtt::server::{
    Accept, Close, Connection, ConnectionConfig, Priority, Request, Sent, Session, SessionLimits, check_subscribe,
};
use mqtt::topic::{Matches, Subscription, SubscriptionTree, TopicFilter, TopicName};
use mqtt::{AckToken, Delivery, PacketId, QoS, ReasonCode, SubscriptionOptions};

use crate::connection::epoch;

/// A broker for one client id: the last connection has the session.
struct Broker {
    config: Arc<ConnectionConfig>,
    connection: Option<Connection>,
    out: Vec<u8>,
    session: Option<Session<usize>>,
    tree: SubscriptionTree<()>,
    /// What entries stand for.
    messages: Vec<String>,
    /// Payload and DUP of what came in.
    received: Vec<(String, bool)>,
    /// The user properties of what came in.
    user_properties: Vec<(String, String)>,
    /// Answers that the disk has not allowed yet, if it is slow.
    unanswered: Option<Vec<AckToken>>,
    acked: Vec<u16>,
    refuse: Option<ReasonCode>,
    closed: Option<Close>,
    too_large: usize,
}

impl Broker {
    fn new() -> Self {
        Self {
            config: Arc::new(ConnectionConfig::default()),
            connection: None,
            out: Vec::new(),
            session: None,
            tree: SubscriptionTree::new(),
            messages: Vec::new(),
            received: Vec::new(),
            user_properties: Vec::new(),
            unanswered: None,
            acked: Vec::new(),
            refuse: None,
            closed: None,
            too_large: 0,
        }
    }

    fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        let Some(mut connection) = self.connection.take() else { return };
        let mut bytes = bytes;
        // A turn more for what was held back by an answer that this turn has given.
        while !bytes.is_empty() || connection.has_held_input() {
            let input = connection.begin(std::mem::take(&mut bytes));
            loop {
                match connection.next(&input, now, &mut self.out) {
                    Ok(Some(request)) => self.handle_request(request, &mut connection, now),
                    Ok(None) => break,
                    Err(close) => {
                        self.closed = Some(close);
                        break;
                    }
                }
            }
            connection.end(input);
        }
        self.connection = Some(connection);
        self.hand_out();
    }

    fn handle_request(&mut self, request: Request<'_>, connection: &mut Connection, now: Instant) {
        match request {
            Request::Connect(connect) => match self.refuse {
                Some(reason) => connection.refuse(reason, Some("no"), &mut self.out),
                None => self.accept(connect.clean_start, connection, now),
            },
            Request::Publish { message, token } => {
                let payload = String::from_utf8(message.payload.to_vec()).unwrap();
                self.received.push((payload.clone(), message.delivery.dup()));
                let pairs = message.properties.user_properties().map(|(k, v)| (k.to_owned(), v.to_owned()));
                self.user_properties.extend(pairs);
                self.route(message.topic, payload);
                match (token, &mut self.unanswered) {
                    (Some(token), Some(unanswered)) => unanswered.push(token),
                    (Some(token), None) => {
                        connection.puback(token, ReasonCode::SUCCESS, &mut self.out);
                    }
                    (None, _) => {}
                }
            }
            Request::Ack { packet_id, .. } => {
                self.acked.push(packet_id.get());
                self.session.as_mut().unwrap().ack(packet_id);
            }
            Request::Subscribe(subscribe) => {
                let codes: Vec<ReasonCode> = subscribe.filters.iter().map(|wish| self.subscribe(wish)).collect();
                let sent = connection.suback(subscribe.packet_id, &codes, None, &mut self.out);
                assert_eq!(sent, Sent::Written);
            }
            Request::Unsubscribe(unsubscribe) => {
                let codes: Vec<ReasonCode> = unsubscribe.filters.iter().map(|f| self.unsubscribe(f)).collect();
                let sent = connection.unsuback(unsubscribe.packet_id, &codes, None, &mut self.out);
                assert_eq!(sent, Sent::Written);
            }
            Request::Disconnect(_) => {}
        }
    }

    fn accept(&mut self, clean_start: bool, connection: &mut Connection, now: Instant) {
        if clean_start {
            self.session = None;
        }
        let session_present = self.session.is_some();
        let session = self.session.get_or_insert_with(|| Session::new(SessionLimits::default()));
        session.connected(connection.client_receive_maximum());
        let accept = Accept { session_present, ..Accept::default() };
        connection.accept(&accept, now, &mut self.out).unwrap();
    }

    fn subscribe(&mut self, wish: mqtt::codec::SubscribeFilter<'_>) -> ReasonCode {
        let (filter, options) = match check_subscribe(wish) {
            Ok(checked) => checked,
            Err(reason) => return reason,
        };
        self.tree.subscribe(filter, (), Subscription::at(options.qos));
        let subscribed = self.session.as_mut().unwrap().subscribe(filter, options, None);
        subscribed.map_or(ReasonCode::QUOTA_EXCEEDED, |_| ReasonCode::granted(options.qos))
    }

    fn unsubscribe(&mut self, filter: &str) -> ReasonCode {
        if !self.session.as_mut().unwrap().unsubscribe(filter) {
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        }
        self.tree.unsubscribe(TopicFilter::parse(filter).unwrap(), &());
        ReasonCode::SUCCESS
    }

    fn route(&mut self, topic: &str, payload: String) {
        let mut matches = Matches::new();
        self.tree.collect_matches(TopicName::parse(topic).unwrap(), &mut matches);
        if !matches.is_empty() {
            self.send(&payload, Priority::Normal);
        }
    }

    /// Puts a message into the client's inbox.
    fn send(&mut self, payload: &str, priority: Priority) {
        self.messages.push(payload.to_owned());
        let session = self.session.get_or_insert_with(|| Session::new(SessionLimits::default()));
        session.push(self.messages.len() - 1, priority).unwrap();
    }

    fn hand_out(&mut self) {
        let (Some(connection), Some(session)) = (&mut self.connection, &mut self.session) else { return };
        while connection.is_open() {
            let Some(next) = session.hand_out() else { return };
            let message = Publish {
                delivery: Delivery::AtLeastOnce { packet_id: next.packet_id, dup: next.dup },
                retain: false,
                topic: "down",
                properties: Properties::EMPTY,
                payload: self.messages[next.entry].as_bytes(),
            };
            if connection.publish(&message, &ForwardedProperties::default(), &mut self.out) == Sent::TooLarge {
                self.too_large += 1;
                session.ack(next.packet_id);
            }
        }
    }

    /// The disk is done with the n-th unanswered PUBLISH.
    fn answer(&mut self, n: usize) {
        let token = self.unanswered.as_mut().unwrap().remove(n);
        self.connection.as_mut().unwrap().puback(token, ReasonCode::SUCCESS, &mut self.out);
    }
}

struct Pair {
    client: Client,
    broker: Broker,
    now: Instant,
    events: Vec<Event>,
    /// How many bytes the network delivers at a time.
    chunk: usize,
    /// Nothing gets through, and nobody notices.
    black_hole: bool,
}

fn options(version: Version) -> Options {
    Options { keep_alive_s: 10, ..Options::new(version, "c") }
}

impl Pair {
    fn new(options: Options) -> Self {
        let now = epoch();
        let client = Client::new(options, now);
        Self { client, broker: Broker::new(), now, events: Vec::new(), chunk: usize::MAX, black_hole: false }
    }

    fn connected(version: Version) -> Self {
        let mut pair = Self::new(options(version));
        pair.connect();
        pair
    }

    /// A new transport, up to the answer. The session outlives the old connection.
    fn connect(&mut self) -> bool {
        self.cut();
        self.broker.connection = Some(Connection::new(Arc::clone(&self.broker.config), self.now));
        self.client.connect(self.now);
        self.drive();
        let present = self.events.iter().rev().find_map(|event| match event {
            Event::Connected { session_present, .. } => Some(*session_present),
            _ => None,
        });
        present.unwrap_or(false)
    }

    /// The transport breaks; what was on its way is lost.
    fn cut(&mut self) {
        self.client.connection_lost();
        self.broker.connection = None;
        self.broker.out.clear();
        if let Some(unanswered) = &mut self.broker.unanswered {
            unanswered.clear();
        }
        if let Some(session) = &mut self.broker.session {
            session.disconnected();
        }
    }

    /// Carries bytes until nothing moves.
    fn drive(&mut self) {
        loop {
            let up = self.client.take_output();
            if !self.black_hole {
                up.chunks(self.chunk).for_each(|chunk| self.broker.handle_input(chunk, self.now));
                self.broker.handle_input(&[], self.now);
            }
            let down = std::mem::take(&mut self.broker.out);
            if !self.black_hole {
                down.chunks(self.chunk).for_each(|chunk| self.client.handle_input(chunk, self.now));
            }
            self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    /// Lets time pass, from deadline to deadline.
    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let server = self.broker.connection.as_ref().and_then(Connection::poll_timeout);
            let next = self.client.poll_timeout().into_iter().chain(server).min();
            let Some(next) = next.filter(|&next| next <= end) else { break };
            self.now = self.now.max(next);
            self.client.handle_timeout(self.now);
            if let Some(connection) = &mut self.broker.connection
                && let Err(close) = connection.handle_timeout(self.now, &mut self.broker.out)
            {
                self.broker.closed = Some(close);
            }
            self.drive();
        }
        self.now = end;
    }

    fn publish(&mut self, payload: &str) -> PublishId {
        let message = Publication::new("up", QoS::AtLeastOnce, payload.as_bytes());
        self.client.publish(message, self.now).unwrap()
    }

    fn send(&mut self, payload: &str) {
        self.broker.send(payload, Priority::Normal);
        self.drive();
    }

    fn ack(&mut self, handle: AckHandle) -> bool {
        let released = self.client.ack(handle, self.now);
        self.drive();
        released
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The messages among the events since the last look.
    fn take_messages(&mut self) -> Vec<Message> {
        let messages = self.take_events().into_iter();
        messages.filter_map(|event| if let Event::Message(message) = event { Some(message) } else { None }).collect()
    }
}

/// (payload, DUP) of each.
fn said(messages: &[Message]) -> Vec<(&str, bool)> {
    messages.iter().map(|message| (std::str::from_utf8(&message.payload).unwrap(), message.dup)).collect()
}

fn handle(message: &Message) -> AckHandle {
    message.ack.expect("a QoS 1 message has its handle")
}

#[test]
fn a_publish_is_acknowledged_in_both_versions() {
    for version in [V311, V5] {
        let mut pair = Pair::connected(version);
        pair.take_events();
        let id = pair.publish("hello");
        assert_eq!(pair.client.unacknowledged(), 1);
        pair.drive();
        assert_eq!(pair.broker.received, [("hello".to_owned(), false)]);
        assert_eq!(pair.take_events(), [Event::Published { id, reason: ReasonCode::SUCCESS }]);
        assert_eq!(pair.client.unacknowledged(), 0);
    }
}

#[test]
fn user_properties_travel_in_5_0_and_stay_at_home_in_3_1_1() {
    for (version, expected) in [(V5, 1), (V311, 0)] {
        let mut pair = Pair::connected(version);
        let properties = PropertiesBuf::new().with(Property::UserProperty("k", "v")).unwrap();
        let message = Publication { properties: properties.view(), ..Publication::new("up", QoS::AtMostOnce, b"x") };
        pair.client.publish(message, pair.now).unwrap();
        pair.drive();
        assert_eq!(pair.broker.user_properties.len(), expected);
    }
}

#[test]
fn pings_keep_a_quiet_connection_alive_for_a_day() {
    for version in [V311, V5] {
        let mut pair = Pair::connected(version);
        pair.advance(Duration::from_secs(24 * 60 * 60));
        assert!(pair.client.is_connected() && pair.broker.closed.is_none());
    }
}

/// [MQTT5-3.1.2-22] [MQTT311-3.1.2-24]
#[test]
fn both_sides_notice_a_network_that_swallows_everything() {
    let mut pair = Pair::connected(V5);
    pair.take_events();
    pair.black_hole = true;
    pair.advance(Duration::from_secs(19));
    assert_eq!(pair.broker.closed.take().map(|close| close.reason), Some(ReasonCode::KEEP_ALIVE_TIMEOUT));
    assert!(pair.client.is_connected());
    pair.advance(Duration::from_secs(1));
    let closed = Event::Closed { reason: ReasonCode::KEEP_ALIVE_TIMEOUT, detail: "the server does not answer" };
    assert_eq!(pair.take_events(), [closed]);
    assert_eq!(pair.client.poll_timeout(), None);
}

#[test]
fn a_client_that_only_talks_still_notices_that_nobody_answers() {
    let mut pair = Pair::connected(V5);
    pair.black_hole = true;
    for _ in 0..25 {
        let _ = pair.client.publish(Publication::new("up", QoS::AtMostOnce, b"x"), pair.now);
        pair.advance(Duration::from_secs(1));
    }
    assert!(!pair.client.is_connected());
}

#[test]
fn a_server_that_never_answers_the_connect_is_given_up() {
    let mut pair = Pair::new(options(V5));
    pair.black_hole = true;
    pair.connect();
    pair.advance(Duration::from_secs(10));
    assert!(matches!(pair.events[..], [Event::Closed { reason: ReasonCode::SERVER_UNAVAILABLE, .. }]));
}

/// [MQTT5-4.4.0-1] [MQTT5-4.6.0-1] [MQTT5-3.3.1-1]
#[test]
fn an_unacknowledged_publish_goes_out_again_with_dup_when_the_session_resumes() {
    for version in [V311, V5] {
        let mut pair = Pair::connected(version);
        pair.broker.unanswered = Some(Vec::new());
        let first = pair.publish("one");
        let second = pair.publish("two");
        pair.drive();
        assert!(pair.connect(), "the session is still there");
        pair.broker.answer(0);
        pair.broker.answer(0);
        pair.take_events();
        pair.drive();
        let expected = [("one", false), ("two", false), ("one", true), ("two", true)];
        assert_eq!(pair.broker.received, expected.map(|(payload, dup)| (payload.to_owned(), dup)));
        let done = [first, second].map(|id| Event::Published { id, reason: ReasonCode::SUCCESS });
        assert_eq!(pair.take_events(), done, "each is acknowledged once");
    }
}

#[test]
fn an_unacknowledged_publish_is_a_new_message_to_a_server_that_lost_the_session() {
    let mut pair = Pair::connected(V5);
    pair.broker.unanswered = Some(Vec::new());
    pair.publish("one");
    pair.drive();
    pair.broker.session = None;
    assert!(!pair.connect());
    assert_eq!(pair.broker.received, [("one".to_owned(), false), ("one".to_owned(), false)]);
}

#[test]
fn messages_published_offline_wait_in_their_order() {
    let mut pair = Pair::new(Options { waiting_max: 2, ..options(V5) });
    pair.publish("one");
    pair.publish("two");
    let third = Publication::new("up", QoS::AtLeastOnce, b"three");
    assert_eq!(pair.client.publish(third, pair.now), Err(PublishError::Full));
    let fleeting = Publication::new("up", QoS::AtMostOnce, b"x");
    assert_eq!(pair.client.publish(fleeting, pair.now), Err(PublishError::NotConnected));
    pair.connect();
    assert_eq!(pair.broker.received, [("one".to_owned(), false), ("two".to_owned(), false)]);
}

#[test]
fn a_message_comes_again_with_dup_until_its_puback_is_released() {
    for version in [V311, V5] {
        let mut pair = Pair::connected(version);
        pair.send("ring");
        let first = pair.take_messages();
        assert_eq!(said(&first), [("ring", false)]);
        assert!(pair.connect());
        let second = pair.take_messages();
        assert_eq!(said(&second), [("ring", true)]);
        assert_eq!(first[0].packet_id, second[0].packet_id);
        assert!(pair.ack(handle(&second[0])));
        assert!(pair.connect());
        assert_eq!(pair.take_messages(), []);
        let session = pair.broker.session.as_ref().unwrap();
        assert_eq!((session.waiting_len(), session.in_flight_len()), (0, 0));
    }
}

#[test]
fn a_puback_of_an_earlier_connection_is_dropped() {
    let mut pair = Pair::connected(V5);
    pair.send("ring");
    let stale = pair.take_messages();
    pair.cut();
    assert!(!pair.client.ack(handle(&stale[0]), pair.now), "while disconnected");
    pair.connect();
    let fresh = pair.take_messages();
    assert!(!pair.ack(handle(&stale[0])), "on the next connection");
    assert!(pair.broker.acked.is_empty());
    assert!(pair.ack(handle(&fresh[0])));
    assert!(!pair.ack(handle(&fresh[0])), "twice");
}

/// [MQTT5-4.6.0-2] [MQTT311-4.6.0-2]
#[test]
fn pubacks_leave_in_the_order_of_the_messages_whatever_the_app_releases_first() {
    let mut pair = Pair::connected(V5);
    (0..3).for_each(|n| pair.send(&n.to_string()));
    let messages = pair.take_messages();
    pair.ack(handle(&messages[2]));
    pair.ack(handle(&messages[1]));
    assert!(pair.broker.acked.is_empty());
    pair.ack(handle(&messages[0]));
    assert_eq!(pair.broker.acked, [1, 2, 3]);
}

/// [MQTT5-3.3.4-9]
#[test]
fn a_server_sends_no_more_than_the_clients_receive_maximum() {
    let mut pair = Pair::new(Options { receive_maximum: 2, ..options(V5) });
    pair.connect();
    (0..5).for_each(|n| pair.send(&n.to_string()));
    let mut seen = Vec::new();
    while let Some(message) = pair.take_messages().into_iter().reduce(|_, last| last) {
        seen.push(String::from_utf8(message.payload.clone()).unwrap());
        let outstanding = pair.broker.session.as_ref().unwrap().in_flight_len();
        assert!(outstanding <= 2);
        pair.ack(handle(&message));
        if seen.len() > 10 {
            break;
        }
    }
    assert_eq!(seen.first().map(String::as_str), Some("1"), "two came at once");
    assert!(pair.client.is_connected());
}

/// [MQTT5-3.3.4-7]
#[test]
fn a_client_sends_no_more_than_the_servers_receive_maximum() {
    let mut pair = Pair::new(Options { send_window: 100, ..options(V5) });
    pair.broker.config = Arc::new(ConnectionConfig { receive_maximum: 3, ..ConnectionConfig::default() });
    pair.broker.unanswered = Some(Vec::new());
    pair.connect();
    (0..10).for_each(|n| {
        pair.publish(&n.to_string());
    });
    pair.drive();
    assert_eq!(pair.broker.received.len(), 3);
    pair.broker.answer(1);
    pair.drive();
    assert_eq!(pair.broker.received.len(), 3, "the first one still waits for the disk");
    pair.broker.answer(0);
    pair.drive();
    assert_eq!(pair.broker.received.len(), 5);
    assert_eq!(pair.broker.closed, None);
}

#[test]
fn what_is_urgent_arrives_before_what_was_waiting() {
    let mut pair = Pair::connected(V5);
    pair.cut();
    pair.broker.send("chat 1", Priority::Normal);
    pair.broker.send("chat 2", Priority::Normal);
    pair.broker.send("ring", Priority::Urgent);
    pair.connect();
    assert_eq!(said(&pair.take_messages()), [("ring", false), ("chat 1", false), ("chat 2", false)]);
}

#[test]
fn a_message_that_the_client_cannot_take_does_not_block_the_next_one() {
    let mut pair = Pair::new(Options { packet_size_max: 64, ..options(V5) });
    pair.connect();
    pair.send(&"x".repeat(100));
    pair.send("small");
    assert_eq!(said(&pair.take_messages()), [("small", false)]);
    assert_eq!(pair.broker.too_large, 1);
}

#[test]
fn a_message_that_the_server_cannot_take_is_done_with_its_reason() {
    let mut pair = Pair::new(options(V5));
    pair.broker.config = Arc::new(ConnectionConfig { packet_size_max: 64, ..ConnectionConfig::default() });
    let id = pair.publish(&"x".repeat(100));
    pair.publish("small");
    pair.connect();
    assert!(pair.events.contains(&Event::Published { id, reason: ReasonCode::PACKET_TOO_LARGE }));
    assert_eq!(pair.broker.received, [("small".to_owned(), false)]);
}

#[test]
fn a_taken_over_client_is_told_in_5_0() {
    let mut pair = Pair::connected(V5);
    pair.take_events();
    let connection = pair.broker.connection.as_mut().unwrap();
    connection.disconnect(ReasonCode::SESSION_TAKEN_OVER, Some("elsewhere"), &mut pair.broker.out);
    pair.drive();
    let events = pair.take_events();
    let [Event::Disconnected { reason, properties }] = &events[..] else { unreachable!("{events:?}") };
    assert_eq!((*reason, properties.view().reason_string()), (ReasonCode::SESSION_TAKEN_OVER, Some("elsewhere")));
    assert!(!pair.client.is_connected());
}

#[test]
fn a_refused_client_is_told_why() {
    for version in [V311, V5] {
        let mut pair = Pair::new(options(version));
        pair.broker.refuse = Some(ReasonCode::NOT_AUTHORIZED);
        pair.connect();
        let events = pair.take_events();
        assert!(matches!(events[..], [Event::Refused { reason: ReasonCode::NOT_AUTHORIZED, .. }]), "{events:?}");
        assert_eq!(pair.client.poll_timeout(), None);
    }
}

#[test]
fn a_subscriber_gets_what_it_subscribed_to_until_it_unsubscribes() {
    for version in [V311, V5] {
        let mut pair = Pair::connected(version);
        pair.take_events();
        let filter = TopicFilter::parse("up/#").unwrap();
        let wanted = SubscriptionOptions::at(QoS::ExactlyOnce);
        let packet_id = pair.client.subscribe(&[(filter, wanted)], pair.now).unwrap();
        pair.drive();
        let codes = vec![ReasonCode::GRANTED_QOS_1];
        assert_eq!(pair.take_events(), [Event::Subscribed { packet_id, codes }]);
        pair.publish("echo");
        pair.drive();
        let messages = pair.take_messages();
        assert_eq!(said(&messages), [("echo", false)]);
        pair.ack(handle(&messages[0]));
        let packet_id = pair.client.unsubscribe(&[filter, filter], pair.now).unwrap();
        pair.drive();
        let codes = match version {
            V311 => vec![],
            V5 => vec![ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED],
        };
        assert!(pair.take_events().contains(&Event::Unsubscribed { packet_id, codes }));
        pair.publish("silence");
        pair.drive();
        assert_eq!(pair.take_messages(), []);
    }
}

#[test]
fn a_shared_subscription_is_refused_by_itself() {
    for (version, refused) in
        [(V311, ReasonCode::UNSPECIFIED_ERROR), (V5, ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED)]
    {
        let mut pair = Pair::connected(version);
        pair.take_events();
        let filters =
            ["$share/g/a", "a"].map(|text| (TopicFilter::parse(text).unwrap(), SubscriptionOptions::default()));
        let packet_id = pair.client.subscribe(&filters, pair.now).unwrap();
        pair.drive();
        let codes = vec![refused, ReasonCode::SUCCESS];
        assert_eq!(pair.take_events(), [Event::Subscribed { packet_id, codes }]);
    }
}

/// [MQTT5-3.1.2-4] [MQTT5-3.2.2-2] [MQTT311-3.1.2-6] [MQTT311-3.2.2-1]
#[test]
fn a_clean_start_forgets_the_session() {
    let mut pair = Pair::connected(V5);
    pair.send("old");
    pair.client = Client::new(Options { clean_start: true, ..options(V5) }, pair.now);
    assert!(!pair.connect());
    pair.take_events();
    pair.drive();
    assert_eq!(pair.take_messages(), []);
}

#[test]
fn after_a_disconnect_in_order_nothing_is_due() {
    let mut pair = Pair::connected(V5);
    pair.client.disconnect(Some(0));
    pair.drive();
    assert!(pair.broker.connection.as_ref().unwrap().is_closed() && pair.broker.closed.is_none());
    assert_eq!(pair.client.poll_timeout(), None);
    assert!(pair.client.subscribe(&[], pair.now).is_err());
}

/// The same scenario, with the network delivering whole writes and single bytes.
#[test]
fn a_network_that_splits_at_every_byte_changes_nothing() {
    let run = |version, chunk| {
        let mut pair = Pair::new(options(version));
        pair.chunk = chunk;
        pair.connect();
        let filter = (TopicFilter::parse("up").unwrap(), SubscriptionOptions::at(QoS::AtLeastOnce));
        pair.client.subscribe(&[filter], pair.now).unwrap();
        pair.drive();
        for payload in ["one", "two", &"long ".repeat(100)] {
            pair.publish(payload);
        }
        pair.drive();
        pair.connect();
        for message in pair.events.clone() {
            if let Event::Message(message) = message {
                pair.ack(handle(&message));
            }
        }
        pair.advance(Duration::from_secs(60));
        // Several small answers reach the client in another grouping, but in their order.
        let of = |wanted: fn(&Event) -> bool| pair.events.iter().filter(|e| wanted(e)).cloned().collect::<Vec<_>>();
        let messages = of(|event| matches!(event, Event::Message(_)));
        let rest = of(|event| !matches!(event, Event::Message(_)));
        (messages, rest, pair.broker.received, pair.broker.acked)
    };
    for version in [V311, V5] {
        let whole = run(version, usize::MAX);
        assert!(!whole.0.is_empty() && whole.3.len() == 3);
        for chunk in [1, 2, 3, 7] {
            assert_eq!(run(version, chunk), whole, "{chunk} bytes at a time");
        }
    }
}

#[test]
fn a_client_closes_on_what_a_server_must_not_send() {
    use crate::bytes::packet;
    let table = [
        (packet(0xC0, ""), 0x82, "PINGREQ"),
        (packet(0x34, "0001 't' 0001 00"), 0x82, "a PUBLISH of QoS 2"),
        (packet(0x30, "0000 03 230001"), 0x94, "a topic alias"),
        (packet(0x30, "0001 '#' 00"), 0x90, "a wildcard"),
        (packet(0x20, "00 00 00"), 0x82, "a second CONNACK"),
    ];
    for (raw, reason, name) in table {
        let mut pair = Pair::connected(V5);
        pair.take_events();
        pair.client.handle_input(&raw, pair.now);
        let last = pair.client.take_output();
        assert_eq!(last, [0xE0, 1, reason], "{name}");
        assert!(matches!(pair.client.poll_event(), Some(Event::Closed { reason: r, .. }) if r.get() == reason));
    }
    // Before the CONNACK nothing else may come, and nothing can be said.
    let mut pair = Pair::new(options(V5));
    pair.client.connect(pair.now);
    pair.client.take_output();
    pair.client.handle_input(&packet(0xD0, ""), pair.now);
    assert!(matches!(pair.client.poll_event(), Some(Event::Closed { reason: ReasonCode::PROTOCOL_ERROR, .. })));
    assert!(pair.client.take_output().is_empty());
}

/// [MQTT5-2.2.1-3] [MQTT311-2.3.1-2]
#[test]
fn packet_ids_of_subscribes_and_messages_never_meet() {
    use crate::bytes::packet;
    let now = epoch();
    let mut client = Client::new(options(V311), now);
    client.connect(now);
    client.handle_input(&packet(0x20, "00 00"), now);
    let filter = (TopicFilter::parse("x").unwrap(), SubscriptionOptions::default());
    let unanswered = client.subscribe(&[filter], now).unwrap();
    client.take_output();
    // Once around the ring of ids.
    for _ in 0..u16::MAX {
        client.publish(Publication::new("t", QoS::AtLeastOnce, b""), now).unwrap();
        let publish = client.take_output();
        let packet_id = u16::from_be_bytes([publish[5], publish[6]]);
        assert_ne!(PacketId::new(packet_id), Some(unanswered));
        client.handle_input(&packet(0x40, &format!("{packet_id:04x}")), now);
        assert!(matches!(client.poll_event(), Some(Event::Published { .. } | Event::Connected { .. })));
    }
    assert_eq!(client.unacknowledged(), 0);
}
