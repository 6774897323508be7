//! Random histories of the log, as workers write them.

use commitlog::{Position, ReplayedRecord};
use mqtt::{PacketId, QoS};
use proptest::prelude::*;

use super::record::{self, CollapsedRecord, ConnectionRecord, Reference, SessionRecord, SubscribedOptions, kind};
use super::{RecoveredClient, RecoveredEntry, RecoveredSeen, RecoveredSession, Recovery};

const CLIENTS: [&str; 3] = ["a", "b", "c"];

/// Records that are in the log together or not at all.
pub(super) type Unit = Vec<(u8, Vec<u8>)>;

/// What a random choice is made of: what happens, to which client, and two numbers for what is left open.
type Choice = (u8, usize, u8, u8);

pub(super) fn histories(units_max: usize) -> impl Strategy<Value = Vec<Unit>> {
    prop::collection::vec((0u8..15, 0..CLIENTS.len(), any::<u8>(), any::<u8>()), 0..units_max).prop_map(|choices| {
        let (mut writer, mut units) = (Writer { now_ms: 1000, ..Writer::default() }, Vec::new());
        for choice in choices {
            let (what, client, ..) = choice;
            let carried = (what >= 13).then(|| state_of(&recover(&units), Some(CLIENTS[client])));
            let unit = carried.unwrap_or_else(|| writer.unit(choice));
            units.extend(Some(unit).filter(|unit| !unit.is_empty()));
        }
        units
    })
}

/// What a worker would carry: the state of one client, or of all.
pub(super) fn state_of(recovery: &Recovery, only: Option<&str>) -> Unit {
    let is_asked = |client_id: &str| only.is_none_or(|only| only == client_id);
    let clients = recovery.clients.iter().filter(|(client_id, _)| is_asked(client_id));
    let mut unit: Unit = clients.flat_map(|(client_id, client)| state_of_client(client_id, client)).collect();
    let connections = recovery.connections.iter().filter(|(_, connection)| is_asked(&connection.client_id));
    unit.extend(connections.map(|(connection_id, connection)| {
        let (client_id, address) = (&*connection.client_id, &*connection.address);
        let record = ConnectionRecord { client_id, connection_id, address, closed_ms: connection.closed_ms };
        (kind::CONNECTION, record::encode_connection(record))
    }));
    unit.push((kind::LATEST_TIME, record::encode_latest_time(recovery.last_ms)));
    unit
}

fn state_of_client(client_id: &str, client: &RecoveredClient) -> Unit {
    let RecoveredClient { session, subscriptions, entries, handed_out, last_handed_out, seen, queue_ids, .. } = client;
    let mut unit: Unit = session.iter().map(|session| encode_session(client_id, session)).collect();
    unit.extend(
        subscriptions
            .iter()
            .map(|(filter, options)| (options.kind(), record::encode_subscribed(client_id, filter, *options))),
    );
    unit.extend(
        queue_ids
            .iter()
            .map(|(id, until_ms)| (kind::QUEUE_ID_SEEN, record::encode_queue_id_seen(client_id, *until_ms, id))),
    );
    unit.extend(entries.iter().map(|(message, entry)| encode_reference(client_id, message, entry)));
    unit.extend(seen.iter().map(|(key, RecoveredSeen { entry, version, until_ms })| {
        let collapsed = CollapsedRecord { client_id, entry: *entry, version: *version, until_ms: *until_ms, key };
        (kind::COLLAPSED, record::encode_collapsed(collapsed))
    }));
    let last = last_handed_out.unwrap_or(PacketId::MAX);
    unit.push((kind::IN_FLIGHT, record::encode_in_flight(client_id, last, handed_out)));
    unit
}

fn encode_session(client_id: &str, session: &RecoveredSession) -> (u8, Vec<u8>) {
    let record = SessionRecord { client_id, account: &session.account, expiry_s: session.expiry_s };
    (kind::SESSION_STATE, record::encode_session_state(record, session.disconnected_ms))
}

fn encode_reference(client_id: &str, message: Position, entry: &RecoveredEntry) -> (u8, Vec<u8>) {
    let reference = Reference {
        client_id,
        message,
        packet_id: None,
        urgent: entry.urgent,
        retain_as_published: false,
        size: entry.size,
        expires_at_ms: entry.expires_at_ms,
        collapse: entry.collapse.as_ref().map(|collapse| (&*collapse.key, collapse.version)),
        subscription_ids: entry.subscription_ids.to_vec(),
    };
    (kind::REFERENCE, reference.encode_whole())
}

pub(super) fn recover<'a>(units: impl IntoIterator<Item = &'a Unit>) -> Recovery {
    let mut recovery = Recovery::new();
    for (kind, payload) in units.into_iter().flatten() {
        let replayed = ReplayedRecord { kind: *kind, owner: 0, position: Position(1), is_carried: false, payload };
        recovery.apply(replayed).expect("it was written by this version");
    }
    recovery
}

/// What the log holds, as far as it decides what can be written next.
#[derive(Default)]
struct Writer {
    now_ms: u64,
    written: u64,
    /// Client and message.
    references: Vec<(&'static str, Position)>,
    open: Vec<(&'static str, String)>,
    closed: Vec<String>,
}

impl Writer {
    fn unit(&mut self, (what, client, one, two): Choice) -> Unit {
        let client = CLIENTS[client];
        self.written += 1;
        // The clock may be set back.
        self.now_ms = if one == 0 { 500 } else { self.now_ms + u64::from(two) };
        match what {
            0..=2 => self.refer(client, one, two),
            3 | 4 => self.hand_out(one, two),
            5 => self.remove(one),
            6 | 7 => self.connect(client, one, two),
            8 => self.close(one),
            9 => self.send_event(one),
            10 => vec![subscription(client, one, two)],
            11 if one < 60 => vec![(kind::SESSION_GONE, record::encode_session_gone(client))],
            11 => vec![(
                kind::QUEUE_ID_SEEN,
                record::encode_queue_id_seen(client, u64::from(two), &(one % 4).to_string()),
            )],
            _ if one < 60 => self.start(),
            _ => vec![(kind::STOPPED, record::encode_stopped(self.now_ms))],
        }
    }

    fn refer(&mut self, client_id: &'static str, one: u8, two: u8) -> Unit {
        let message = Position(self.written * 64);
        self.references.push((client_id, message));
        let reference = Reference {
            client_id,
            message,
            packet_id: PacketId::new(u16::from(two % 4)),
            urgent: one.is_multiple_of(3),
            retain_as_published: false,
            size: u32::from(two),
            expires_at_ms: self.now_ms + 10_000,
            collapse: ["k", "l"].get(usize::from(one % 4)).map(|key| (*key, u64::from(two))),
            subscription_ids: (0..u32::from(one % 3)).collect(),
        };
        vec![
            (kind::MESSAGE, [&self.now_ms.to_le_bytes()[..], b"..."].concat()),
            (kind::REFERENCE, reference.encode_whole()),
        ]
    }

    fn hand_out(&self, one: u8, two: u8) -> Unit {
        let Some((client_id, message)) = choose(&self.references, one) else { return vec![] };
        let id = PacketId::new(u16::from(two) + 1).expect("it is not 0");
        vec![(kind::HANDED_OUT, record::encode_handed_out(client_id, &[(*message, id)]))]
    }

    fn remove(&self, one: u8) -> Unit {
        let Some((client_id, message)) = choose(&self.references, one) else { return vec![] };
        vec![(kind::REMOVED, record::encode_removed(client_id, &[*message]))]
    }

    fn connect(&mut self, client_id: &'static str, one: u8, two: u8) -> Unit {
        let connection_id = format!("{client_id}{}", self.written);
        let mut unit = Unit::new();
        if one.is_multiple_of(5) {
            unit.push((kind::SESSION_GONE, record::encode_session_gone(client_id)));
        }
        if !two.is_multiple_of(4) {
            let session = SessionRecord { client_id, account: "user:u", expiry_s: u32::from(two) };
            unit.push((kind::SESSION, record::encode_session(session)));
        }
        unit.push((kind::OPENED, record::encode_opened(client_id, &connection_id, self.now_ms, "address")));
        self.open.push((client_id, connection_id));
        unit
    }

    /// Of the connections of one client the oldest closes first: it is ended before the next one has the session.
    fn close(&mut self, one: u8) -> Unit {
        let Some(&(client_id, _)) = choose(&self.open, one) else { return vec![] };
        let oldest = self.open.iter().position(|(client, _)| *client == client_id).expect("it has one");
        let (_, connection_id) = self.open.remove(oldest);
        let unit = vec![(kind::CLOSED, record::encode_closed(client_id, &connection_id, self.now_ms))];
        self.closed.push(connection_id);
        unit
    }

    fn send_event(&mut self, one: u8) -> Unit {
        if self.closed.is_empty() {
            return vec![];
        }
        let connection_id = self.closed.remove(usize::from(one) % self.closed.len());
        vec![(kind::EVENT_SENT, record::encode_event_sent(&connection_id))]
    }

    fn start(&mut self) -> Unit {
        self.closed.extend(self.open.drain(..).map(|(_, connection_id)| connection_id));
        vec![(kind::STARTED, record::encode_started(self.now_ms))]
    }
}

fn choose<T>(of: &[T], number: u8) -> Option<&T> {
    of.get(usize::from(number) % of.len().max(1))
}

fn subscription(client_id: &str, one: u8, two: u8) -> (u8, Vec<u8>) {
    let filter = ["a/#", "b", "+/c"][usize::from(one % 3)];
    if two.is_multiple_of(3) {
        return (kind::UNSUBSCRIBED, record::encode_unsubscribed(client_id, filter));
    }
    let options = SubscribedOptions {
        qos: QoS::AtLeastOnce,
        no_local: two.is_multiple_of(2),
        retain_as_published: two.is_multiple_of(5),
        by_grant: two.is_multiple_of(7),
        subscription_id: Some(u32::from(two)),
    };
    (options.kind(), record::encode_subscribed(client_id, filter, options))
}
