//! All that a start needs of the core, for a snapshot of the log: in steps, between which the core changes. Pure.
//!
//! ```text
//! definitions ──► messages, topic by topic ──► ids, topic by topic ──► progress, group by group ──► done
//!                              a group subscribes meanwhile ──► given up
//! ```
//!
//! What has its name behind the snapshot's place is in the log behind it, and is left out. So is what happens between two
//! steps: the next start applies it again. It would apply the subscription of a new group before what the others consumed
//! after it, and would have to give the group what they had left then: a snapshot during which a group subscribes is none.
//!
//! A message that is held when its group's turn comes may have been acknowledged below the place: the group waits until that
//! is decided. One that is held after that is acknowledged behind the place, or not at all.

use std::collections::VecDeque;

use commitlog::Position;

use super::progress::Holding;
use super::{Core, Defined, Kept, Progress, Said, TopicPart};
use crate::ids::{SubscriptionId, TopicId};
use crate::records::{Place, encode_hand_outs, encode_id_seen, encode_indexed_message, kind};

/// Records of one step. Of a group's progress all is taken in one.
const RECORDS_PER_STEP: usize = 512;
/// Hand-outs in one record.
const HAND_OUTS_PER_RECORD: usize = 256;

/// How far a core is dumped. In each list the next one is the last.
#[derive(Debug)]
pub(crate) struct CoreDump {
    from: Position,
    definitions: Vec<(Position, Defined)>,
    topics: Vec<(TopicId, TopicPart)>,
    /// Where the next topic goes on.
    next_message: Position,
    /// Topics of which the recent ids are still to be dumped, and where the next one goes on.
    ids: Vec<TopicId>,
    next_id: u64,
    groups: VecDeque<Waiting>,
    /// Groups in a row that could not be taken.
    waited: usize,
}

/// A group that is still to be dumped, and what was held when its turn came.
#[derive(Debug)]
struct Waiting {
    subscription: SubscriptionId,
    held: Option<Vec<Holding>>,
}

/// What one step of a dump gives.
#[derive(Debug)]
pub(crate) enum CoreStep {
    Said(Vec<Said>),
    Progress(GroupProgress),
    /// All that is left waits for consumers.
    Wait,
    Done,
    /// The replay over this dump would be another one.
    GivenUp,
}

/// What a group has done with a topic, as of one moment.
#[derive(Debug)]
pub(crate) struct GroupProgress {
    subscription: SubscriptionId,
    /// Message and attempt of all that is handed out and not consumed as appended.
    hand_outs: Vec<(Position, u32)>,
    cursor: Position,
}

impl CoreDump {
    /// Begins a dump of topics and subscriptions for a snapshot that goes on at `from`; the core knows all that was appended
    /// below.
    pub(crate) fn of_topics(core: &Core, from: Position) -> Self {
        Self::with(core, from, core.topic_definitions())
    }

    /// The same with groups.
    #[cfg(test)]
    pub(crate) fn of_all(core: &Core, from: Position) -> Self {
        Self::with(core, from, core.definitions())
    }

    fn with(core: &Core, from: Position, mut definitions: Vec<(Position, Defined)>) -> Self {
        definitions.retain(|(name, _)| *name < from);
        // The next one last. Subscriptions come behind what they name.
        definitions.sort_unstable_by_key(|(name, _)| std::cmp::Reverse(*name));
        let subscriptions = core.subscription_by_id.keys();
        let groups = subscriptions.map(|id| Waiting { subscription: *id, held: None }).collect();
        let topics = core.topic_parts();
        let (next_message, ids) = (Position(0), core.topic_ids());
        Self { from, definitions, topics, next_message, ids, next_id: 0, groups, waited: 0 }
    }

    pub(crate) fn step(&mut self, core: &Core) -> CoreStep {
        if core.subscription_by_id.keys().any(|id| Position(id.0) >= self.from) {
            return CoreStep::GivenUp;
        }
        if !self.definitions.is_empty() {
            let rest = self.definitions.len().saturating_sub(RECORDS_PER_STEP);
            let next = self.definitions.split_off(rest).into_iter().rev();
            return CoreStep::Said(next.filter_map(|(name, defined)| core.define(name, defined)).collect());
        }
        if let Some(part) = self.topics.last().copied() {
            return CoreStep::Said(self.messages(core, part));
        }
        if let Some(topic) = self.ids.last().copied() {
            return CoreStep::Said(self.recent_ids(core, topic));
        }
        self.progress(core)
    }

    /// Those of messages behind the place are in the log behind it.
    fn recent_ids(&mut self, core: &Core, topic: TopicId) -> Vec<Said> {
        let mut said = Vec::new();
        for (number, recent) in core.recent_ids(topic).into_iter().flat_map(|ids| ids.from(self.next_id)) {
            if said.len() >= RECORDS_PER_STEP {
                self.next_id = number;
                return said;
            }
            if recent.message >= self.from {
                continue;
            }
            let (kind, payload) = encode_id_seen(recent.message, recent.stored, &recent.id);
            said.push(Said { kind, owner: topic.0, name: None, payload });
        }
        self.ids.pop();
        self.next_id = 0;
        said
    }

    fn messages(&mut self, core: &Core, part: (TopicId, TopicPart)) -> Vec<Said> {
        let mut said = Vec::new();
        for kept in core.kept_in(part, self.next_message..self.from) {
            if said.len() >= RECORDS_PER_STEP {
                self.next_message = kept.message;
                return said;
            }
            // An entry behind the place is in the log behind it.
            said.extend(core.index(part, kept).filter(|said| said.name.is_some_and(|name| name < self.from)));
        }
        self.topics.pop();
        self.next_message = Position(0);
        said
    }

    fn progress(&mut self, core: &Core) -> CoreStep {
        let Some(mut group) = self.groups.pop_front() else { return CoreStep::Done };
        let id = group.subscription;
        let Some(found) = core.subscription_by_id.get(&id) else { return CoreStep::Said(Vec::new()) };
        let progress = &found.progress;
        let held = group.held.get_or_insert_with(|| progress.holdings());
        held.retain(|holding| progress.is_held(*holding));
        if held.is_empty() {
            self.waited = 0;
            return CoreStep::Progress(GroupProgress::of(id, progress));
        }
        self.groups.push_back(group);
        self.waited += 1;
        if self.waited < self.groups.len() {
            return CoreStep::Said(Vec::new());
        }
        self.waited = 0;
        CoreStep::Wait
    }
}

impl Core {
    /// What a start needs of the message.
    fn index(&self, (topic, part): (TopicId, TopicPart), kept: Kept) -> Option<Said> {
        let found = self.topic_by_id.get(&topic)?;
        let name = Some(kept.message);
        let (kind, payload) = match part {
            TopicPart::Entered => return self.entry(topic, kept.message),
            TopicPart::Line => encode_indexed_message(found.messages.get(kept.message)?, Place::Own),
            TopicPart::Waiting => {
                let entry = found.waiting.get(kept.message)?;
                encode_indexed_message(entry, Place::Due(entry.stored))
            }
        };
        Some(Said { kind, owner: topic.0, name, payload })
    }
}

impl GroupProgress {
    fn of(subscription: SubscriptionId, progress: &Progress) -> Self {
        Self { subscription, hand_outs: progress.open_hand_outs(), cursor: progress.cursor() }
    }

    /// Hand-outs come first: a cursor alone says that all below it is consumed.
    pub(crate) fn into_records(self) -> Vec<Said> {
        let said = |kind, payload| Said { kind, owner: self.subscription.0, name: None, payload };
        let pieces = self.hand_outs.chunks(HAND_OUTS_PER_RECORD).map(|piece| encode_hand_outs(piece.iter().copied()));
        let mut records: Vec<Said> = pieces.map(|payload| said(kind::HAND_OUT, payload)).collect();
        records.push(said(kind::CURSOR, self.cursor.to_bytes().to_vec()));
        records
    }
}
