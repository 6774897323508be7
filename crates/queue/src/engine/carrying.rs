//! Carrying what the queue needs of one segment of the log, in steps.
//!
//! ```text
//! messages, topic by topic ──► those that were held ──► ids, topic by topic ──► definitions ──► done
//! ```
//!
//! Each step chooses under the lock of a topic, reads without it, and appends under it what is still needed then. A held
//! message keeps the segment until its consumer has decided. A definition is written from what the core knows, and not read.
//!
//! A message that the disk has damaged keeps no segment: nobody can read it, and the others would have no space. It is given
//! up, and said to be lost. One that cannot be read for another reason is tried again.

use std::sync::Arc;

use commitlog::{LogOwner, Need, NewRecord, Part, Position, ReadError, Record, WantedSegment};
use tokio::time::Instant;

use super::Inner;
use super::durable::unavailable;
use super::topic::Topic;
use crate::core::{Defined, Fate, Kept, Restated, Said, TopicPart};
use crate::error::Unavailable;
use crate::limits::PROPERTY_BYTES_MAX;
use crate::records::{encode_hand_outs, encode_id_seen, kind};

/// Most that one step appends, if not a single message is larger. What is said of a message that is as large as can
/// be, to as many groups as there can be, fits into an append with it.
const STEP_BYTES_MAX: usize = 256 << 10;
/// Messages that one step examines.
const EXAMINED_MAX: usize = 1000;
/// The longest that one step chooses, and so keeps the lock.
const STEP_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(1);
/// What a message costs besides its payload: header, padding.
const RECORD_COST: usize = 48;
/// Ids that one step examines, and may append.
const IDS_MAX: usize = 256;
/// The most that one of them costs.
const ID_COST_MAX: usize = 512;
/// What the entry of one that had to wait costs, besides its tag, which is in the message too.
const ENTRY_COST: usize = 72;
/// What each group costs: its hand-out of the message.
const GROUP_COST: usize = 12;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    /// The log is busy, full or closed, or a message is held: the same again later.
    Wait,
    Done,
}

/// A record by its name, what it defines, and the topic to which it belongs, if not to all.
type Definition = (Position, Defined, Option<Arc<Topic>>);

pub(super) struct Carrying {
    wanted: WantedSegment,
    /// Names of which the segment has a copy, rising.
    copies: Vec<Position>,
    /// Still to be walked, the last one next.
    topics: Vec<(Arc<Topic>, TopicPart)>,
    /// Where the walk goes on in the last part.
    from: Position,
    held: Vec<(Arc<Topic>, Position)>,
    /// Topics of which the recent ids are still to be said again, and where the last one goes on.
    ids: Vec<Arc<Topic>>,
    next_id: u64,
    definitions: Vec<Definition>,
    /// How many messages could not be read, and never will be.
    lost: u64,
}

/// Messages of the last topic that one step carries.
struct Chosen {
    messages: Vec<Position>,
    held: Vec<Position>,
    /// Where the next step goes on; `None`: in the next topic.
    next: Option<Position>,
}

impl Carrying {
    /// `None`: something in the segment is not durable yet, and so not known to the core.
    pub(super) fn begin(engine: &Inner, owner: &LogOwner, wanted: WantedSegment) -> Option<Self> {
        let copies = owner.copies_in(wanted.number);
        if !engine.is_settled_before(wanted.positions.end) {
            return None;
        }
        let ids = engine.topics();
        let topics = ids.iter().flat_map(|topic| TopicPart::ALL.map(|part| (Arc::clone(topic), part))).collect();
        let (from, held, next_id, definitions, lost) = (Position(0), vec![], 0, vec![], 0);
        let mut carrying = Self { wanted, copies, topics, from, held, ids, next_id, definitions, lost };
        carrying.definitions = engine.definitions(|name| carrying.is_here(name));
        Some(carrying)
    }

    pub(super) fn segment(&self) -> u64 {
        self.wanted.number
    }

    /// How many messages of the segment are lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn is_here(&self, name: Position) -> bool {
        self.wanted.positions.contains(&name) || self.copies.binary_search(&name).is_ok()
    }

    /// # Errors
    /// The log cannot be read or written: somebody must see to it.
    pub(super) fn step(&mut self, engine: &Inner) -> Result<Step, Unavailable> {
        let stepped = if let Some(part) = self.topics.last().cloned() {
            self.walk(engine, &part)
        } else if !self.held.is_empty() {
            self.carry_held(engine)
        } else if let Some(topic) = self.ids.last().cloned() {
            self.say_ids_again(engine, &topic)
        } else {
            self.carry_definitions(engine)
        };
        match stepped {
            Err(Unavailable::Busy | Unavailable::Full | Unavailable::Closed) => Ok(Step::Wait),
            stepped => stepped,
        }
    }

    fn walk(&mut self, engine: &Inner, part: &(Arc<Topic>, TopicPart)) -> Result<Step, Unavailable> {
        let topic = &part.0;
        let chosen = self.choose(engine, part);
        let held = engine.carry_messages(topic, &chosen.messages, &mut self.lost)?;
        self.held.extend(chosen.held.into_iter().chain(held).map(|message| (Arc::clone(topic), message)));
        self.from = chosen.next.unwrap_or_else(|| {
            self.topics.pop();
            Position(0)
        });
        Ok(Step::More)
    }

    fn choose(&self, engine: &Inner, (topic, part): &(Arc<Topic>, TopicPart)) -> Chosen {
        let retention = engine.retention();
        let mut locked = engine.lock(topic);
        locked.core.remove_old(topic.id, retention);
        let (begun, bytes_max) = (Instant::now(), STEP_BYTES_MAX.min(engine.log.append_bytes_max() / 2));
        let overhead = RECORD_COST + GROUP_COST * locked.core.subscription_count(topic.id);
        let mut chosen = Chosen { messages: vec![], held: vec![], next: None };
        let mut bytes = 0;
        let names = self.from..self.wanted.positions.end;
        for (examined, kept) in locked.core.kept_in((topic.id, *part), names).enumerate() {
            let Kept { message: name, entry, bytes: len } = kept;
            let is_here = self.is_here(name) || entry.is_some_and(|entry| self.is_here(entry));
            let cost = overhead + if entry.is_some() { len + len.min(PROPERTY_BYTES_MAX) + ENTRY_COST } else { len };
            let is_enough = bytes + cost > bytes_max && !chosen.messages.is_empty();
            if is_enough || examined >= EXAMINED_MAX || (examined > 0 && begun.elapsed() > STEP_TIME_MAX) {
                chosen.next = Some(name);
                break;
            }
            match is_here.then(|| locked.core.fate(topic.id, name)) {
                Some(Fate::Carried) => {
                    bytes += cost;
                    chosen.messages.push(name);
                }
                Some(Fate::Held) => chosen.held.push(name),
                Some(Fate::Gone) | None => {}
            }
        }
        chosen
    }

    /// Those that are still held stay for the next step.
    fn carry_held(&mut self, engine: &Inner) -> Result<Step, Unavailable> {
        let before = self.held.len();
        let mut still_held = Vec::new();
        while let Some((topic, message)) = self.held.pop() {
            match engine.carry_messages(&topic, &[message], &mut self.lost) {
                Ok(held) => still_held.extend(held.into_iter().map(|message| (Arc::clone(&topic), message))),
                Err(error) => {
                    self.held.push((topic, message));
                    self.held.append(&mut still_held);
                    return Err(error);
                }
            }
        }
        self.held = still_held;
        Ok(if self.held.len() < before { Step::More } else { Step::Wait })
    }

    /// Those that were said before the end of the segment: what is older is given back with it.
    fn say_ids_again(&mut self, engine: &Inner, topic: &Arc<Topic>) -> Result<Step, Unavailable> {
        let mut locked = engine.lock(topic);
        engine.check_available()?;
        let Some(ids) = locked.core.recent_ids_mut(topic.id) else {
            self.ids.pop();
            return Ok(Step::More);
        };
        ids.remove_old(engine.wall());
        let max = (engine.log.append_bytes_max() / 2 / ID_COST_MAX).clamp(1, IDS_MAX);
        let examined: Vec<_> = ids.from(self.next_id).take(max).collect();
        let next = examined.last().map(|(number, _)| number + 1);
        let old = examined.iter().filter(|(_, recent)| recent.said_at < self.wanted.positions.end);
        let (numbers, said): (Vec<_>, Vec<_>) =
            old.map(|(number, recent)| (*number, encode_id_seen(recent.message, recent.stored, &recent.id))).unzip();
        let said: Vec<_> = said.iter().map(|(kind, payload)| (*kind, [Part::Bytes(payload)])).collect();
        let records: Vec<_> = said.iter().map(|(kind, payload)| NewRecord::new(*kind, topic.id.0, payload)).collect();
        if !records.is_empty() {
            let appended = engine.log.append(Need::Carry, &records).map_err(unavailable)?;
            for (number, position) in numbers.into_iter().zip(appended.positions) {
                ids.set_said_at(number, position);
            }
        }
        self.next_id = next.unwrap_or(0);
        if next.is_none() {
            self.ids.pop();
        }
        Ok(Step::More)
    }

    fn carry_definitions(&mut self, engine: &Inner) -> Result<Step, Unavailable> {
        for _ in 0..EXAMINED_MAX {
            let Some(definition) = self.definitions.last() else { return Ok(Step::Done) };
            engine.carry_definition(definition)?;
            self.definitions.pop();
        }
        Ok(Step::More)
    }
}

impl Inner {
    /// Carries those of the messages that are still needed, with what their groups have done with them. Returns those
    /// of which that is not known. Gives up those that cannot be read, and counts them.
    fn carry_messages(
        &self,
        topic: &Arc<Topic>,
        messages: &[Position],
        lost: &mut u64,
    ) -> Result<Vec<Position>, Unavailable> {
        let read = messages.iter().map(|name| self.read_record(*name)).collect::<Result<Vec<_>, _>>()?;
        let mut locked = self.lock(topic);
        let fates: Vec<Fate> = messages.iter().map(|name| locked.core.fate(topic.id, *name)).collect();
        let mut records = Vec::new();
        for ((name, read), _) in messages.iter().zip(read).zip(&fates).filter(|(_, fate)| **fate == Fate::Carried) {
            match read {
                Ok(record) => records.push(record),
                Err(error) => {
                    // Once: a segment may be damaged from end to end.
                    if *lost == 0 {
                        tracing::error!(%name, %error, "a message of the queue cannot be read any more, and is lost");
                    }
                    *lost += 1;
                    locked.core.remove_message(topic.id, *name);
                }
            }
        }
        let names: Vec<Position> = records.iter().map(|record| record.position).collect();
        // A message and its entry stay together: a copy of the message alone would wait again, once the entry has gone.
        let entries = names.iter().filter_map(|name| locked.core.entry(topic.id, *name));
        records.extend(
            entries.filter_map(|Said { kind, owner, name, payload }| {
                Some(Record { kind, owner, position: name?, payload })
            }),
        );
        self.append_carried(&records, &locked.core.restate(topic.id, &names))?;
        let held = messages.iter().zip(fates).filter(|(_, fate)| *fate == Fate::Held);
        Ok(held.map(|(name, _)| *name).collect())
    }

    /// What defines topics, groups and subscriptions by a record of such a name.
    fn definitions(&self, is_wanted: impl Fn(Position) -> bool) -> Vec<Definition> {
        let (groups, topics) = {
            let names = self.names();
            (names.groups.definitions(), names.topics().cloned().collect::<Vec<_>>())
        };
        let mut definitions: Vec<Definition> =
            groups.into_iter().map(|(name, defined)| (name, defined, None)).collect();
        for topic in topics {
            let defined = self.lock(&topic).core.topic_definitions();
            definitions.extend(defined.into_iter().map(|(name, defined)| (name, defined, Some(Arc::clone(&topic)))));
        }
        definitions.retain(|(name, ..)| is_wanted(*name));
        definitions
    }

    /// Under the lock of what it belongs to.
    fn carry_definition(&self, (name, defined, topic): &Definition) -> Result<(), Unavailable> {
        let append = |said: Option<Said>| {
            let record = said.map(|Said { kind, owner, payload, .. }| Record { kind, owner, position: *name, payload });
            self.append_carried(record.as_slice(), &[])
        };
        match topic {
            Some(topic) => append(self.lock(topic).core.define(*name, *defined)),
            None => {
                let names = self.names();
                append(names.groups.define(*name, *defined))
            }
        }
    }

    /// Appends copies, and behind them what is said again, as one unit.
    fn append_carried(&self, records: &[Record], restated: &[Restated]) -> Result<(), Unavailable> {
        self.check_available()?;
        let payloads: Vec<_> = records.iter().map(|record| [Part::Bytes(&record.payload)]).collect();
        let copies = records.iter().zip(&payloads);
        let copies =
            copies.map(|(record, payload)| NewRecord::new(record.kind, record.owner, payload).carried(record.position));
        let said: Vec<_> = restated.iter().flat_map(encode).collect();
        let said: Vec<_> = said.iter().map(|(kind, owner, payload)| (*kind, *owner, [Part::Bytes(payload)])).collect();
        let said = said.iter().map(|(kind, owner, payload)| NewRecord::new(*kind, *owner, payload));
        let unit: Vec<_> = copies.chain(said).collect();
        if unit.is_empty() {
            return Ok(());
        }
        self.log.append(Need::Carry, &unit).map(drop).map_err(unavailable)
    }

    /// Within it, an error that lasts.
    ///
    /// # Errors
    /// The storage failed, and may not the next time.
    pub(super) fn read_record(&self, name: Position) -> Result<Result<Record, ReadError>, Unavailable> {
        match self.log.read(name) {
            Err(error @ ReadError::Storage { .. }) => Err(Unavailable::Failed(error.to_string())),
            read => Ok(read),
        }
    }
}

/// The records that say this again: kind, owner, payload. Hand-outs come first: a cursor alone says that all below it
/// is consumed.
fn encode(restated: &Restated) -> impl Iterator<Item = (u8, u64, Vec<u8>)> {
    let Restated { subscription, hand_outs, cursor } = restated;
    let record = |kind, payload| (kind, subscription.0, payload);
    let hand_outs =
        (!hand_outs.is_empty()).then(|| record(kind::HAND_OUT, encode_hand_outs(hand_outs.iter().copied())));
    let cursor = cursor.map(|cursor| record(kind::CURSOR, cursor.to_bytes().to_vec()));
    hand_outs.into_iter().chain(cursor)
}
