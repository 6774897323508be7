//! The recovery of the engine: the log is replayed into it, then it starts.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, OnceLock, RwLock, mpsc};

use commitlog::{Log, Position, ReplayedRecord};
use thiserror::Error;
use tokio::time::Instant;

use super::durable::{Definitions, Listed};
use super::keeper::Keeper;
use super::names::Names;
use super::{Engine, EngineOptions, Inner, retention};
use crate::core::{Core, LateTopics, Recent, RecentIds, Undefined};
use crate::ids::{GroupId, SubscriptionId, TopicId, WallMs};
use crate::message::TopicType;
use crate::names::{GroupName, TopicName};
use crate::records::{
    IndexEntry, Place, Unreadable, decode_acks, decode_cursor, decode_entry, decode_group, decode_hand_outs,
    decode_id_seen, decode_index_entry, decode_indexed_message, decode_known_id, decode_name, decode_topic_id,
    decode_typed_group, decode_typed_topic, kind, owns,
};

/// An engine that takes the log's records and does not serve yet. Each record says what is, not what changes: a stretch
/// that is applied again, in its order, changes nothing if its groups subscribed before anything was consumed. A topic
/// whose definition is a copy, or comes after a record that names it, is a late one to the end.
pub struct Recovery {
    core: Core,
    late: LateTopics,
    /// Messages of which an entry was shown: a copy that comes later does not wait again, although what groups have done may
    /// have taken it out of the line by then.
    entered: HashSet<Position>,
    /// Of ids that are known still.
    recent_ids: HashMap<TopicId, RecentIds>,
    now: WallMs,
    options: EngineOptions,
}

/// The place of what a snapshot says without a name.
const IN_A_SNAPSHOT: Position = Position(0);
/// When it was said is not known: nothing had gone by then that a group which came later could miss.
const LATEST: Position = Position(u64::MAX);

/// A record of the queue that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("queue record of kind {kind:#04x} at log position {position}: {what}: was it written by a newer version?")]
pub struct RecoverError {
    pub kind: u8,
    pub position: u64,
    pub what: &'static str,
}

impl Recovery {
    pub(super) fn new(options: EngineOptions) -> Self {
        let now = WallMs(options.clock.now_ms());
        let (core, late, entered, recent_ids) = Default::default();
        Self { core, late, entered, recent_ids, now, options }
    }

    /// Applies a record of a kind that the queue [`owns`]; ignores all others.
    ///
    /// # Errors
    /// A record of the queue that this version cannot read.
    pub fn apply(&mut self, record: ReplayedRecord<'_>) -> Result<(), RecoverError> {
        let (kind, position) = (record.kind, record.position.0);
        self.try_apply(record).map_err(|what| RecoverError { kind, position, what })
    }

    fn try_apply(&mut self, record: ReplayedRecord<'_>) -> Result<(), Unreadable> {
        let ReplayedRecord { kind, owner, position, is_carried, payload } = record;
        let said_at = if position == IN_A_SNAPSHOT { LATEST } else { position };
        match kind {
            kind::TOPIC => {
                let name = TopicName::parse(decode_name(payload)?).map_err(|_| NO_NAME)?;
                self.apply_topic(position.into(), name, TopicType::Normal, is_carried);
            }
            kind::TYPED_TOPIC => {
                let (topic_type, name) = decode_typed_topic(payload)?;
                let name = TopicName::parse(name).map_err(|_| NO_NAME)?;
                self.apply_topic(position.into(), name, topic_type, is_carried);
            }
            kind::GROUP | kind::TYPED_GROUP => {
                let is_typed = kind == kind::TYPED_GROUP;
                let (options, name) = if is_typed { decode_typed_group(payload)? } else { decode_group(payload)? };
                self.core.set_group(position.into(), GroupName::parse(name).map_err(|_| NO_NAME)?, options);
            }
            kind::SUBSCRIPTION => self.apply_subscription(position.into(), GroupId(owner), decode_topic_id(payload)?),
            kind::MESSAGE | kind::MESSAGE_WITH_MORE | kind::MESSAGE_OF_SENDER => {
                self.apply_message(TopicId(owner), position, decode_index_entry(kind, payload)?);
                if let Some((stored, id)) = decode_known_id(kind, payload)? {
                    self.apply_id(TopicId(owner), position, stored, &id, position);
                }
            }
            kind::HAND_OUT => {
                for (message, attempt) in decode_hand_outs(payload)? {
                    self.apply_hand_out(SubscriptionId(owner), message, attempt, said_at);
                }
            }
            kind::ACK => {
                for message in decode_acks(payload)? {
                    self.apply_ack(SubscriptionId(owner), message, said_at);
                }
            }
            kind::INDEXED_MESSAGE | kind::INDEXED_WITH_MORE => {
                self.apply_message(TopicId(owner), position, decode_indexed_message(kind, payload)?);
            }
            kind::ID_SEEN | kind::ID_SEEN_OF_SENDER => {
                let (message, stored, id) = decode_id_seen(kind, payload)?;
                self.apply_id(TopicId(owner), message, stored, &id, position);
            }
            kind::ENTRY => self.apply_entry(TopicId(owner), position, decode_entry(payload)?),
            kind::REMOVED => {
                for message in decode_acks(payload)? {
                    self.apply_removal(TopicId(owner), message);
                }
            }
            kind::CURSOR => self.apply_cursor(SubscriptionId(owner), decode_cursor(payload)?, said_at),
            kind if owns(kind) => return Err("a kind that this program does not know"),
            _ => {}
        }
        Ok(())
    }

    fn apply_topic(&mut self, id: TopicId, name: TopicName, topic_type: TopicType, is_carried: bool) {
        let is_known = self.core.has_topic(id);
        if !is_known && (is_carried || self.late.has_topic(id)) {
            self.late.define_topic(id, name, topic_type);
        } else {
            self.core.add_topic(id, name, topic_type);
        }
    }

    fn apply_subscription(&mut self, id: SubscriptionId, group: GroupId, topic: TopicId) {
        if self.core.has_topic(topic) {
            // A group that comes later finds what the others had left when it came.
            self.core.remove_consumed(topic);
            self.core.subscribe(id, group, topic);
        } else {
            self.late.define_subscription(id, group, topic);
        }
    }

    fn apply_message(&mut self, topic: TopicId, message: Position, entry: (IndexEntry, Place)) {
        if entry.1 != Place::Own && self.entered.contains(&message) {
            return;
        }
        if self.core.has_topic(topic) {
            self.core.add_message(topic, message, entry);
        } else {
            self.late.add_message(topic, message, entry);
        }
    }

    fn apply_id(&mut self, topic: TopicId, message: Position, stored: WallMs, id: &str, said_at: Position) {
        let ids = self.recent_ids.entry(topic).or_default();
        ids.note(Recent { id: id.into(), stored, message, said_at });
        ids.remove_old(self.now);
    }

    fn apply_entry(&mut self, topic: TopicId, position: Position, (message, entry): (Position, IndexEntry)) {
        self.entered.insert(message);
        if self.core.has_topic(topic) {
            self.core.enter(topic, position, message, entry);
        } else {
            self.late.enter(topic, position, message, entry);
        }
    }

    /// No copy of the message follows.
    fn apply_removal(&mut self, topic: TopicId, message: Position) {
        self.recent_ids.entry(topic).or_default().forget(message);
        if self.core.has_topic(topic) {
            self.core.remove_message(topic, message);
        } else {
            self.late.remove_message(topic, message);
        }
    }

    fn apply_hand_out(&mut self, id: SubscriptionId, message: Position, attempt: u32, at: Position) {
        if self.core.has_subscription(id) {
            self.core.replay_hand_out(id, message, attempt);
        } else {
            self.late.hand_out(id, message, attempt, at);
        }
    }

    fn apply_ack(&mut self, id: SubscriptionId, message: Position, at: Position) {
        if self.core.has_subscription(id) {
            self.core.consume(id, message);
        } else {
            self.late.consume(id, message, at);
        }
    }

    fn apply_cursor(&mut self, id: SubscriptionId, cursor: Position, at: Position) {
        if self.core.has_subscription(id) {
            self.core.replay_cursor(id, cursor);
        } else {
            self.late.set_cursor(id, cursor, at);
        }
    }

    /// Returns what was found, at the end of the replay.
    pub(super) fn into_core(self) -> Core {
        let Self { mut core, late, recent_ids, .. } = self;
        let undefined = core.add_late(late);
        for (topic, ids) in recent_ids {
            if let Some(known) = core.recent_ids_mut(topic) {
                *known = ids;
            }
        }
        core.order_groups();
        if undefined != Undefined::default() {
            let Undefined { topics, messages, subscriptions } = undefined;
            tracing::warn!(topics, messages, subscriptions, "the log names what it does not define: left out");
        }
        core
    }

    /// Starts the engine on `log`, the one whose records were applied.
    #[must_use]
    pub fn start(self, log: Log) -> Engine {
        let (engine, ended) = self.start_without_keeper(log);
        let inner = &engine.inner;
        let owner = inner.options.is_log_owner.then(|| inner.log.register_owner("queue"));
        Keeper::new(owner).spawn(inner, ended);
        engine
    }

    /// Returns the engine, and what its keeper ends by.
    pub(super) fn start_without_keeper(self, log: Log) -> (Engine, mpsc::Receiver<Infallible>) {
        let options = self.options.clone();
        let mut core = self.into_core();
        core.remove_all_old(retention(&options));
        core.remove_all_consumed();
        let (keeper, ended) = mpsc::channel();
        let inner = Inner {
            log,
            options,
            started: Instant::now(),
            names: RwLock::new(Names::of(core)),
            definitions: Definitions::default(),
            listed: Listed::default(),
            unavailable: OnceLock::new(),
            #[cfg(test)]
            polls: std::sync::atomic::AtomicU64::default(),
            _keeper: keeper,
        };
        let inner = Arc::new(inner);
        // Weak: the engine holds the log, so the log must not hold the engine.
        let watcher = Arc::downgrade(&inner);
        inner.log.watch(Box::new(move |event| {
            if let Some(inner) = watcher.upgrade() {
                inner.handle_log_event(event);
            }
        }));
        (Engine { inner }, ended)
    }
}

const NO_NAME: Unreadable = "it is not a name";

#[cfg(test)]
mod histories;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use std::collections::HashMap;
    use std::time::Duration;

    use commitlog::Position;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::core::PickRequest;
    use crate::ids::{Now, WallMs};
    use crate::message::{GroupOptions, Message, TagFilter, TopicDescription};
    use crate::records::{encode_group, encode_hand_outs, encode_message};

    const TOPIC: u64 = 64;
    const GROUPS: [u64; 2] = [128, 192];
    const SUBSCRIPTIONS: [u64; 2] = [256, 320];

    /// A record of the log: kind, owner, position, payload.
    type Written = (u8, u64, u64, Vec<u8>);

    fn definitions() -> Vec<Written> {
        let group = |name| encode_group(GroupOptions { attempts_max: 1000, ..GroupOptions::default() }, name).1;
        let topic = TOPIC.to_le_bytes().to_vec();
        vec![
            (kind::TOPIC, 0, TOPIC, b"topic".to_vec()),
            (kind::GROUP, 0, GROUPS[0], group("one")),
            (kind::GROUP, 0, GROUPS[1], group("two")),
            (kind::SUBSCRIPTION, GROUPS[0], SUBSCRIPTIONS[0], topic.clone()),
            (kind::SUBSCRIPTION, GROUPS[1], SUBSCRIPTIONS[1], topic),
        ]
    }

    /// The definitions, and behind them for each step a message (0), a hand-out (1) or an acknowledgement (2). One of a
    /// message that was not handed out is that of a filter. A group gets nothing that it has consumed or passed by.
    fn history(steps: &[(u8, usize, usize)]) -> Vec<Written> {
        let mut records = definitions();
        let mut messages: Vec<u64> = Vec::new();
        let mut cursors = [0; 2];
        let mut attempts_by_hand_out: HashMap<(usize, u64), u32> = HashMap::new();
        for (what, group, nth) in steps {
            let position = (records.len() as u64 + 1) * 64;
            let message = messages.get(nth % messages.len().max(1)).copied();
            let message = message.filter(|message| {
                *message >= cursors[*group] || attempts_by_hand_out.contains_key(&(*group, *message))
            });
            let subscription = SUBSCRIPTIONS[*group];
            if let (1 | 2, Some(message)) = (what, message) {
                cursors[*group] = cursors[*group].max(message + 1);
                if *what == 1 {
                    let attempts = attempts_by_hand_out.entry((*group, message)).or_default();
                    *attempts += 1;
                    let payload = encode_hand_outs([(Position(message), *attempts)].into_iter());
                    records.push((kind::HAND_OUT, subscription, position, payload));
                } else {
                    attempts_by_hand_out.remove(&(*group, message));
                    records.push((kind::ACK, subscription, position, Position(message).to_bytes().to_vec()));
                }
            } else {
                messages.push(position);
                let payload = encode_message(&Message::default(), WallMs(1), Place::Own).head;
                records.push((kind::MESSAGE, TOPIC, position, payload));
            }
        }
        records
    }

    fn apply(recovery: &mut Recovery, records: &[Written]) {
        for (kind, owner, position, payload) in records {
            let record = ReplayedRecord {
                kind: *kind,
                owner: *owner,
                position: Position(*position),
                is_carried: false,
                payload,
            };
            recovery.apply(record).unwrap();
        }
    }

    /// What the engine would say of its topic after the start, and what it would hand out: position and attempt.
    fn found(recovery: Recovery) -> (TopicDescription, Vec<Vec<(u64, u32)>>) {
        let core = &mut recovery.into_core();
        core.remove_all_consumed();
        let description = core.describe(TopicId(TOPIC), Now::default()).unwrap();
        let filter = TagFilter::All;
        let invisible = Duration::from_secs(10);
        let request = PickRequest {
            filter: &filter,
            max: 1000,
            bytes_max: 1 << 20,
            invisible,
            attempts_max: 1000,
            is_fifo: false,
            now: Now::default(),
        };
        let deliveries = SUBSCRIPTIONS.map(|id| {
            let picked = core.pick(SubscriptionId(id), &request);
            picked.hand_outs.iter().map(|out| (out.position.0, out.attempt)).collect()
        });
        (description, deliveries.to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(6), ..ProptestConfig::default() })]

        #[test]
        fn a_stretch_of_the_log_that_is_applied_again_changes_nothing(
            steps in prop::collection::vec((0..3_u8, 0..2_usize, 0..50_usize), 0..60),
            from in 0..65_usize,
        ) {
            let records = history(&steps);
            let (mut once, mut twice) =
                (Recovery::new(EngineOptions::default()), Recovery::new(EngineOptions::default()));
            apply(&mut once, &records);
            apply(&mut twice, &records);
            apply(&mut twice, &records[from.min(records.len())..]);
            prop_assert_eq!(found(twice), found(once));
        }
    }

    #[test]
    fn a_topic_and_a_subscription_that_are_applied_again_keep_what_they_have() {
        let records = history(&[(0, 0, 0), (0, 0, 0), (1, 0, 0), (2, 0, 0), (1, 0, 1)]);
        let (mut once, mut twice) = (Recovery::new(EngineOptions::default()), Recovery::new(EngineOptions::default()));
        apply(&mut once, &records);
        apply(&mut twice, &records);
        apply(&mut twice, &definitions());
        let (description, deliveries) = found(twice);
        assert_eq!(deliveries, [vec![(448, 2)], vec![(384, 1), (448, 1)]]);
        assert_eq!(description, found(once).0);
    }

    #[test]
    fn what_a_snapshot_says_was_consumed_before_a_group_came_is_not_taken_from_it() {
        let mut records = history(&[(0, 0, 0), (2, 0, 0)]);
        let said = (kind::CURSOR, SUBSCRIPTIONS[0], 0, Position(385).to_bytes().to_vec());
        // In place of the acknowledgement, and before all that it names; the topic comes as a copy.
        records.truncate(6);
        let (_, _, position, payload) = records.remove(0);
        let mut recovery = Recovery::new(EngineOptions::default());
        apply(&mut recovery, &[said]);
        let topic = ReplayedRecord {
            kind: kind::TOPIC,
            owner: 0,
            position: Position(position),
            is_carried: true,
            payload: &payload,
        };
        recovery.apply(topic).unwrap();
        apply(&mut recovery, &records);
        let (_, deliveries) = found(recovery);
        assert_eq!(deliveries, [vec![], vec![(384, 1)]]);
    }

    #[test]
    fn a_group_has_its_first_id_and_its_last_options_whatever_is_applied_first() {
        let with = |attempts_max| encode_group(GroupOptions { attempts_max, ..GroupOptions::default() }, "one").1;
        let mut records =
            vec![(kind::GROUP, 0, GROUPS[0], with(1)), (kind::GROUP, 0, 512, with(2)), (kind::GROUP, 0, 576, with(3))];
        for _ in 0..records.len() {
            records.rotate_left(1);
            for order in [records.clone(), records.iter().rev().cloned().collect()] {
                let mut recovery = Recovery::new(EngineOptions::default());
                apply(&mut recovery, &order);
                let id = recovery.core.group_id(&GroupName::parse("one").unwrap());
                assert_eq!(id, Some(GroupId(GROUPS[0])));
                assert_eq!(
                    recovery.core.group_options(GroupId(GROUPS[0])),
                    Some(GroupOptions { attempts_max: 3, ..GroupOptions::default() })
                );
                assert_eq!(recovery.core.groups().len(), 1);
            }
        }
    }
}
