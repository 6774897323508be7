//! What a worker asks of the log: `append`, and what is durable. Nothing here waits for the disk.

use std::sync::Arc;

use commitlog::{
    AppendError, Appended, Log, LogEvent, LogOwner, Need, NewRecord, Part, Position, Record, SnapshotError,
    SnapshotSection, WaitError, record_bytes,
};
use mqtt::PacketId;

use super::record::{self, CollapsedRecord, ConnectionRecord, Reference, SessionRecord, SubscribedOptions, kind};
use super::start_record::StartRecord;
use crate::client::ClientKey;
use crate::message::SharedMessage;

/// The largest PUBLISH with its references, and more than a login takes.
const ROOM_OF_A_CLIENT: usize = 128 << 10;

/// The log, as the workers see it.
#[derive(Clone)]
pub(crate) struct Journal {
    log: Log,
    unit_bytes_max: usize,
    start: Arc<StartRecord>,
}

impl Journal {
    pub(crate) fn new(log: Log) -> Self {
        Self { unit_bytes_max: log.append_bytes_max(), log, start: Arc::default() }
    }

    pub(super) fn start(&self) -> &StartRecord {
        &self.start
    }

    /// What one [`Self::append`] takes.
    pub(crate) fn unit_bytes_max(&self) -> usize {
        self.unit_bytes_max
    }

    /// Appends the batch as one unit. It is durable when [`Self::durable`] has reached the end that is returned.
    pub(crate) fn append(&self, batch: &Batch, need: Need) -> Result<Appended, AppendError> {
        self.append_records(&batch.records, need)
    }

    /// Appends records that do not refer to each other, as many at a time as fit into one unit. After an error a part
    /// of them may be in the log. All are durable with the position that is returned.
    pub(crate) fn append_independent(&self, batch: &Batch, need: Need) -> Result<Position, AppendError> {
        let mut units = units(&batch.records, self.unit_bytes_max);
        units.try_fold(Position::default(), |_, unit| Ok(self.append_records(unit, need)?.end))
    }

    /// The same into a snapshot. After an error a part of them may be in it.
    pub(crate) fn push_independent(&self, batch: &Batch, section: &mut SnapshotSection) -> Result<(), SnapshotError> {
        units(&batch.records, self.unit_bytes_max)
            .try_for_each(|unit| with_new_records(unit, |records| section.push(records)))
    }

    fn append_records(&self, records: &[Prepared], need: Need) -> Result<Appended, AppendError> {
        with_new_records(records, |records| self.log.append(need, records))
    }

    /// Appends what a client waits for and what takes little room: a busy log takes it, a full one does not.
    pub(crate) fn append_small(&self, batch: &Batch) -> Result<Appended, AppendError> {
        match self.append(batch, Need::Normal) {
            Err(AppendError::Busy) => self.append(batch, Need::Essential),
            result => result,
        }
    }

    /// Number of the segment that the record of this name is read from; `None`: it is not in the log.
    pub(crate) fn segment_of(&self, name: Position) -> Option<u64> {
        self.log.place_of(name).map(|place| self.log.segment_of(place))
    }

    /// Number of the segment that holds what was appended there.
    pub(crate) fn segment_at(&self, place: Position) -> u64 {
        self.log.segment_of(place)
    }

    pub(crate) fn oldest_segment(&self) -> u64 {
        *self.log.segments().start()
    }

    /// The one that is appended to.
    pub(crate) fn newest_segment(&self) -> u64 {
        *self.log.segments().end()
    }

    /// Registers a worker as one that may need old segments of the log.
    pub(crate) fn register_owner(&self) -> LogOwner {
        self.log.register_owner("broker worker")
    }

    /// Begins a snapshot, if there can be one.
    pub(crate) fn request_snapshot(&self) {
        if !self.log.request_snapshot() {
            tracing::debug!("no snapshot of the log can be written: the next start reads more of it");
        }
    }

    /// Whether there may be an append that the log has no room for.
    pub(crate) fn is_full_for_some(&self) -> bool {
        self.log.is_full_for(Need::Normal, self.unit_bytes_max)
    }

    /// Whether the log has no room for what a client may send with this need.
    pub(crate) fn is_full_for(&self, need: Need) -> bool {
        self.log.is_full_for(need, ROOM_OF_A_CLIENT)
    }

    pub(crate) fn durable(&self) -> Position {
        self.log.durable()
    }

    /// Blocks, so never on a worker.
    pub(crate) fn wait_durable(&self, end: Position) -> Result<(), WaitError> {
        self.log.wait_durable(end)
    }

    pub(crate) fn watch(&self, watcher: impl Fn(LogEvent) + Send + Sync + 'static) {
        self.log.watch(Box::new(watcher));
    }
}

/// Parts of which each fits into a unit; a record that is too large by itself is the log's to refuse.
fn units(records: &[Prepared], bytes_max: usize) -> impl Iterator<Item = &[Prepared]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |record: &Prepared| {
            bytes += record.bytes();
            bytes <= bytes_max
        };
        let count = rest.iter().map(fits).take_while(|fits| *fits).count().max(1);
        let (unit, after) = rest.split_at_checked(count)?;
        rest = after;
        Some(unit)
    })
}

fn with_new_records<T>(records: &[Prepared], then: impl FnOnce(&[NewRecord<'_>]) -> T) -> T {
    let parts: Vec<Vec<Part<'_>>> = records.iter().map(|record| record.body.parts()).collect();
    let records: Vec<NewRecord<'_>> = records
        .iter()
        .zip(&parts)
        .map(|(record, parts)| {
            let new = NewRecord::new(record.kind, record.owner, parts);
            record.name.map_or(new, |name| new.carried(name))
        })
        .collect();
    then(&records)
}

/// Records that become durable together.
#[derive(Default)]
pub(crate) struct Batch {
    records: Vec<Prepared>,
    /// What they take of a unit.
    bytes: usize,
}

struct Prepared {
    kind: u8,
    owner: u64,
    body: Body,
    /// Of a copy: the name of its record.
    name: Option<Position>,
}

enum Body {
    Bytes(Vec<u8>),
    Message { head: Vec<u8>, message: SharedMessage },
    Reference { before: Vec<u8>, at: usize, after: Vec<u8> },
}

impl Prepared {
    /// What it takes of a unit.
    fn bytes(&self) -> usize {
        record_bytes(match &self.body {
            Body::Bytes(bytes) => bytes.len(),
            Body::Message { head, message } => head.len() + message.payload.len(),
            Body::Reference { before, after, .. } => before.len() + size_of::<Position>() + after.len(),
        })
    }
}

impl Body {
    fn parts(&self) -> Vec<Part<'_>> {
        match self {
            Self::Bytes(bytes) => vec![Part::Bytes(bytes)],
            Self::Message { head, message } => vec![Part::Bytes(head), Part::Bytes(&message.payload)],
            Self::Reference { before, at, after } => {
                vec![Part::Bytes(before), Part::PositionOf(*at), Part::Bytes(after)]
            }
        }
    }
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What it takes of a unit.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds records that refer to none of their own.
    pub(crate) fn extend(&mut self, other: Self) {
        self.records.extend(other.records);
        self.bytes += other.bytes;
    }

    fn push(&mut self, kind: u8, owner: u64, body: Body) -> usize {
        self.push_prepared(Prepared { kind, owner, body, name: None })
    }

    fn push_prepared(&mut self, record: Prepared) -> usize {
        self.bytes += record.bytes();
        self.records.push(record);
        self.records.len() - 1
    }

    fn push_bytes(&mut self, kind: u8, client_id: &str, bytes: Vec<u8>) {
        self.push(kind, ClientKey::hash_of(client_id), Body::Bytes(bytes));
    }

    /// Returns the index of the record.
    pub(crate) fn message(&mut self, message: &SharedMessage) -> usize {
        let head = record::encode_message_head(message);
        self.push(kind::MESSAGE, 0, Body::Message { head, message: message.clone() })
    }

    /// Refers to the message of this batch whose index is `message`.
    pub(crate) fn reference(&mut self, reference: &Reference<'_>, message: usize) {
        let (before, after) = reference.encode();
        let body = Body::Reference { before, at: message, after };
        self.push(kind::REFERENCE, ClientKey::hash_of(reference.client_id), body);
    }

    pub(crate) fn removed(&mut self, client_id: &str, messages: &[Position]) {
        if !messages.is_empty() {
            self.push_bytes(kind::REMOVED, client_id, record::encode_removed(client_id, messages));
        }
    }

    pub(crate) fn handed_out(&mut self, client_id: &str, packets: &[(Position, PacketId)]) {
        if !packets.is_empty() {
            self.push_bytes(kind::HANDED_OUT, client_id, record::encode_handed_out(client_id, packets));
        }
    }

    pub(crate) fn session(&mut self, session: SessionRecord<'_>) {
        self.push_bytes(kind::SESSION, session.client_id, record::encode_session(session));
    }

    pub(crate) fn session_gone(&mut self, client_id: &str) {
        self.push_bytes(kind::SESSION_GONE, client_id, record::encode_session_gone(client_id));
    }

    pub(crate) fn subscribed(&mut self, client_id: &str, filter: &str, options: SubscribedOptions) {
        self.push_bytes(options.kind(), client_id, record::encode_subscribed(client_id, filter, options));
    }

    pub(crate) fn unsubscribed(&mut self, client_id: &str, filter: &str) {
        self.push_bytes(kind::UNSUBSCRIBED, client_id, record::encode_unsubscribed(client_id, filter));
    }

    pub(crate) fn opened(&mut self, client_id: &str, connection_id: &str, at_ms: u64, address: &str) {
        self.push_bytes(kind::OPENED, client_id, record::encode_opened(client_id, connection_id, at_ms, address));
    }

    pub(crate) fn closed(&mut self, client_id: &str, connection_id: &str, at_ms: u64) {
        self.push_bytes(kind::CLOSED, client_id, record::encode_closed(client_id, connection_id, at_ms));
    }

    pub(crate) fn event_sent(&mut self, connection_id: &str) {
        self.push(kind::EVENT_SENT, 0, Body::Bytes(record::encode_event_sent(connection_id)));
    }

    pub(crate) fn stopped(&mut self, at_ms: u64) {
        self.push(kind::STOPPED, 0, Body::Bytes(record::encode_stopped(at_ms)));
    }

    pub(crate) fn started(&mut self, at_ms: u64) {
        self.push(kind::STARTED, 0, Body::Bytes(record::encode_started(at_ms)));
    }

    pub(crate) fn queue_id_seen(&mut self, client_id: &str, until_ms: u64, id: &str) {
        self.push_bytes(kind::QUEUE_ID_SEEN, client_id, record::encode_queue_id_seen(client_id, until_ms, id));
    }

    /// A session with the time when it was disconnected, in place of every older record of it.
    pub(crate) fn session_state(&mut self, session: SessionRecord<'_>, disconnected_ms: Option<u64>) {
        let payload = record::encode_session_state(session, disconnected_ms);
        self.push_bytes(kind::SESSION_STATE, session.client_id, payload);
    }

    /// Refers to a message that is in the log already.
    pub(crate) fn reference_again(&mut self, reference: &Reference<'_>) {
        self.push_bytes(kind::REFERENCE, reference.client_id, reference.encode_whole());
    }

    pub(crate) fn collapsed(&mut self, collapsed: CollapsedRecord<'_>) {
        self.push_bytes(kind::COLLAPSED, collapsed.client_id, record::encode_collapsed(collapsed));
    }

    /// All that is in flight, in place of every older hand-out to the client.
    pub(crate) fn in_flight(&mut self, client_id: &str, last: PacketId, packets: &[(Position, PacketId)]) {
        self.push_bytes(kind::IN_FLIGHT, client_id, record::encode_in_flight(client_id, last, packets));
    }

    /// A connection whose `tcpclean` is not in the queue, in place of every older record of it.
    pub(crate) fn connection(&mut self, connection: ConnectionRecord<'_>) {
        self.push_bytes(kind::CONNECTION, connection.client_id, record::encode_connection(connection));
    }

    /// The latest time in the log, in place of every older one.
    pub(crate) fn latest_time(&mut self, at_ms: u64) {
        self.push(kind::LATEST_TIME, 0, Body::Bytes(record::encode_latest_time(at_ms)));
    }

    /// One more copy of a record, which keeps its name.
    pub(crate) fn carried(&mut self, record: Record) {
        let Record { kind, owner, position, payload } = record;
        self.push_prepared(Prepared { kind, owner, body: Body::Bytes(payload), name: Some(position) });
    }

    /// A record of another part that becomes durable with the rest, unchanged.
    pub(crate) fn foreign(&mut self, kind: u8, owner: u64, payload: Vec<u8>) {
        self.push(kind, owner, Body::Bytes(payload));
    }

    /// What a replay makes of those that are whole, as if a snapshot had them.
    #[cfg(test)]
    pub(crate) fn apply_to(&self, recovery: &mut super::Recovery) {
        let position = Position::default();
        for Prepared { kind, owner, body, .. } in &self.records {
            if let Body::Bytes(payload) = body {
                let replayed =
                    commitlog::ReplayedRecord { kind: *kind, owner: *owner, position, is_carried: true, payload };
                recovery.apply(replayed).expect("it was written by this version");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use commitlog::Options;
    use commitlog::testing::ForgettingStorage;

    #[test]
    fn records_beyond_what_one_append_takes_are_appended_in_several() {
        let storage = ForgettingStorage::new();
        let options = Options { segment_size: 1 << 20, append_bytes_max: 16 << 10, ..Options::default() };
        let (log, _) = Log::open(storage.handle(), options.clone()).unwrap();
        let journal = Journal::new(log.clone());
        let mut batch = Batch::default();
        (0..1000).for_each(|number| batch.closed("c", &format!("channel {number}"), number));
        assert!(batch.bytes() > 3 * journal.unit_bytes_max());
        assert!(matches!(journal.append(&batch, Need::Essential), Err(AppendError::TooLarge { .. })));
        journal.append_independent(&batch, Need::Essential).unwrap();
        log.close().unwrap();
        drop((journal, log));

        let (_log, replay) = Log::open(storage.handle(), options).unwrap();
        let mut times = Vec::new();
        replay
            .for_each(|replayed| {
                if let Ok(record::Record::Closed { at_ms, .. }) = record::decode(replayed.kind, replayed.payload) {
                    times.push(at_ms);
                }
            })
            .unwrap();
        assert_eq!(times, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_knows_what_it_takes_of_a_unit() {
        let (log, _) = Log::open(ForgettingStorage::new().handle(), Options::default()).unwrap();
        let mut batch = Batch::default();
        batch.closed("client", "channel", 7);
        batch.removed("client", &[Position(1), Position(2)]);
        let begin = Journal::new(log.clone()).append(&batch, Need::Essential).unwrap();
        let taken = begin.end.0 - begin.positions[0].0;
        assert_eq!(batch.bytes() as u64, taken);
    }
}
