//! What the log needs of the clients of one worker is written again, so that its oldest segment can go.
//!
//! What it is: one [`Pass`] over all clients for each segment that is wanted back. Each client knows the oldest segment
//! that the log needs for it. Where that is the wanted one, the messages in it that still wait are copied, and then the whole
//! state of the client is said again ([`StateWalk`]): from there on the log needs nothing older of this client
//! but messages in younger segments. What it is not: complete in one turn, not even for one client, or one unit of the log.
//! Whatever part of a pass a crash leaves is true, and the wanted segment is still there.
//!
//! A copy never follows the end of what it copies: what is said is what the inbox has at that moment, so what has ended is
//! not said any more, also if its end is still to be logged (a full log may refuse that and take copies). The ends of
//! sessions that a full log refused are logged first of all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;

use commitlog::{AppendError, Need, Position, ReadError, Record, WantedSegment};

use super::Clients;
use super::entry::ClientEntry;
use super::state::{Said, StateWalk};
use super::step::{Step, StepLimits};
use crate::store::journal::Journal;
use crate::worker::action::ClientRef;
use crate::worker::post::ConnectionKey;
use crate::worker::reader::ReadRecord;

/// What one turn appends, and what is read at a time.
pub(in crate::worker) const CARRY_STEP: StepLimits = StepLimits { bytes: 256 << 10, records: 1024, looked_at: 4096 };

/// The way of one segment over all clients.
pub(in crate::worker) struct Pass {
    segment: WantedSegment,
    /// Names of which the segment has a copy, rising.
    copies: Vec<Position>,
    /// Names that were copied in this pass, or that nobody can read.
    copied: HashSet<Position>,
    /// Records of the segment that were read and are not copied yet.
    read: HashMap<Position, Record>,
    is_reading: bool,
    /// Number of the segment that was appended to when it began.
    begun_in: u64,
    next_slot: usize,
    /// The client in that slot, of which a part is carried.
    begun: Option<BegunClient>,
    limits: StepLimits,
}

/// A client that is being carried.
#[derive(Clone)]
struct BegunClient {
    /// Messages up to this one are not needed of the segment any more.
    copied_to: Option<Position>,
    state: StateWalk,
    /// Number of the oldest segment that its messages and what is said of it are in.
    oldest: u64,
}

/// How a pass goes on.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::worker) enum Progress {
    /// All clients are carried.
    Done,
    /// There is more to carry at once.
    More,
    /// These are to be read first; they rise.
    Read(Vec<Position>),
    /// What was to be read has not come yet.
    Waits,
}

/// Id and address of a connection that is open.
pub(in crate::worker) struct OpenConnection {
    pub(in crate::worker) id: Box<str>,
    pub(in crate::worker) address: Box<str>,
}

/// What one turn appends.
struct Load {
    step: Step,
    copied: HashSet<Position>,
    /// Clients that are carried, each with the oldest segment that is needed for it now.
    said: Vec<(ClientRef, u64)>,
    /// The slots before it are done.
    next_slot: usize,
    begun: Option<BegunClient>,
}

enum Loaded {
    All,
    /// The turn has enough.
    Enough,
    /// A message has to be read first.
    Missing,
}

impl Pass {
    /// `copies`: names of which the segment has a copy, rising.
    pub(in crate::worker) fn new(segment: WantedSegment, copies: Vec<Position>, journal: &Journal) -> Self {
        Self {
            segment,
            copies,
            copied: HashSet::new(),
            read: HashMap::new(),
            is_reading: false,
            begun_in: journal.newest_segment(),
            next_slot: 0,
            begun: None,
            limits: CARRY_STEP,
        }
    }

    #[cfg(test)]
    pub(super) fn set_limits(&mut self, limits: StepLimits) {
        self.limits = limits;
    }

    /// Number of the segment that is to be vacated.
    pub(in crate::worker) fn segment(&self) -> u64 {
        self.segment.number
    }

    /// What was asked for has come.
    ///
    /// # Errors
    /// The storage failed; what is missing is asked for again. What the log does not have any more is not needed either.
    pub(in crate::worker) fn take_read(&mut self, records: Vec<ReadRecord>) -> Result<(), Box<ReadError>> {
        self.is_reading = false;
        let mut failed = None;
        for (name, record) in records {
            match record {
                Ok(record) => _ = self.read.insert(name, record),
                Err(error) if matches!(*error, ReadError::Storage { .. }) => failed = Some(error),
                Err(error) => {
                    tracing::error!(%error, "a waiting message is lost");
                    self.copied.insert(name);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether this message may be in the segment alone, but for what was copied in this pass.
    fn holds(&self, name: Position) -> bool {
        self.segment.positions.contains(&name) || self.copies.binary_search(&name).is_ok()
    }

    /// Messages of a client behind this one that may be in the segment, with their sizes.
    fn old_messages<'a>(
        &self,
        entry: &'a ClientEntry,
        after: Option<Position>,
    ) -> impl Iterator<Item = (Position, u32)> + use<'a> {
        let end = self.segment.positions.end;
        entry.inbox.logged_after(after).take_while(move |(name, _)| *name < end)
    }

    fn is_to_copy(&self, name: Position) -> bool {
        self.holds(name) && !self.copied.contains(&name)
    }

    /// Number of the segment that has this message once the pass is over.
    fn segment_of(&self, name: Position, journal: &Journal) -> Option<u64> {
        if self.holds(name) { Some(self.begun_in) } else { journal.segment_of(name) }
    }

    fn needs(&self, entry: &ClientEntry) -> bool {
        entry.oldest_segment.is_some_and(|oldest| u64::from(oldest.get()) <= self.segment.number)
    }
}

impl Clients {
    /// How much of the log all clients need.
    pub(in crate::worker) fn live_bytes(&self) -> u64 {
        self.live.log_bytes(self.entries.len())
    }

    /// The oldest segment that the log needs for this client, its connection included.
    pub(in crate::worker) fn oldest_segment_of(&self, client: ClientRef) -> Option<u32> {
        self.entry(client)?.oldest_segment.map(NonZeroU32::get)
    }

    /// Carries some clients.
    ///
    /// # Errors
    /// The pass is where it was. A part may have been appended; it will be once more.
    pub(in crate::worker) fn carry_some(
        &mut self,
        pass: &mut Pass,
        now_ms: u64,
        connection: impl Fn(ConnectionKey) -> Option<OpenConnection>,
    ) -> Result<Progress, AppendError> {
        if self.log_some_owed(Need::Carry)? {
            return Ok(Progress::More);
        }
        let (mut load, loaded) = self.load_some(pass, connection);
        if !load.step.batch.is_empty() {
            load.step.batch.latest_time(now_ms);
            self.context.journal.append_independent(&load.step.batch, Need::Carry)?;
        }
        (pass.next_slot, pass.begun) = (load.next_slot, load.begun);
        pass.read.retain(|name, _| !load.copied.contains(name));
        pass.copied.extend(load.copied);
        load.said.into_iter().for_each(|(client, oldest)| self.note_said(client, oldest));
        Ok(match loaded {
            Loaded::All if pass.next_slot >= self.entries.capacity() => Progress::Done,
            Loaded::All | Loaded::Enough => Progress::More,
            Loaded::Missing if pass.is_reading => Progress::Waits,
            Loaded::Missing => self.ask_ahead(pass),
        })
    }

    fn load_some(&self, pass: &Pass, connection: impl Fn(ConnectionKey) -> Option<OpenConnection>) -> (Load, Loaded) {
        let (step, copied, said) = (Step::new(pass.limits), HashSet::new(), Vec::new());
        let mut load = Load { step, copied, said, next_slot: pass.next_slot, begun: pass.begun.clone() };
        while load.next_slot < self.entries.capacity() {
            if load.step.is_over() {
                return (load, Loaded::Enough);
            }
            load.step.look();
            let loaded = self.load_slot(pass, &mut load, &connection);
            if !matches!(loaded, Loaded::All) {
                return (load, loaded);
            }
            load.next_slot += 1;
        }
        (load, Loaded::All)
    }

    /// Adds what is needed of the client in the next slot. One that came there meanwhile needs nothing so old.
    fn load_slot(
        &self,
        pass: &Pass,
        load: &mut Load,
        connection: impl Fn(ConnectionKey) -> Option<OpenConnection>,
    ) -> Loaded {
        let Some(mut begun) = load.begun.take().or_else(|| self.begin(pass, load.next_slot)) else {
            return Loaded::All;
        };
        let loaded = self.load_messages(pass, load, &mut begun);
        if !matches!(loaded, Loaded::All) {
            load.begun = Some(begun);
            return loaded;
        }
        match begun.state.say_some(self, &mut load.step, connection) {
            Said::All => load.said.push((begun.state.client, begun.oldest)),
            Said::Gone => {}
            Said::Some => {
                load.begun = Some(begun);
                return Loaded::Enough;
            }
        }
        Loaded::All
    }

    fn begin(&self, pass: &Pass, slot: usize) -> Option<BegunClient> {
        let entry = self.entries.get(slot).filter(|entry| pass.needs(entry))?;
        let journal = &self.context.journal;
        // What is said from now on is in this segment or a later one. The messages behind the old ones are where they were
        // first written, the first of them in the oldest segment.
        let behind = entry.inbox.logged_after(Some(Position(pass.segment.positions.end.0.saturating_sub(1)))).next();
        let of_behind = behind.and_then(|(name, _)| journal.segment_of(name)).unwrap_or(u64::MAX);
        let (state, oldest) = (StateWalk::new(self.ref_at(slot, entry)), of_behind.min(journal.newest_segment()));
        Some(BegunClient { copied_to: None, state, oldest })
    }

    /// Copies the messages that the segment has. No other so old comes to the inbox meanwhile.
    fn load_messages(&self, pass: &Pass, load: &mut Load, begun: &mut BegunClient) -> Loaded {
        let Some(entry) = self.entry(begun.state.client) else { return Loaded::All };
        for (name, _) in pass.old_messages(entry, begun.copied_to) {
            if load.step.is_over() {
                return Loaded::Enough;
            }
            load.step.look();
            if pass.is_to_copy(name) && !load.copied.contains(&name) {
                let Some(record) = pass.read.get(&name) else { return Loaded::Missing };
                load.step.batch.carried(record.clone());
                load.copied.insert(name);
            }
            begun.oldest = begun.oldest.min(pass.segment_of(name, &self.context.journal).unwrap_or(u64::MAX));
            begun.copied_to = Some(name);
        }
        Loaded::All
    }

    /// What the next clients need to be read, the one that is begun first.
    fn ask_ahead(&self, pass: &mut Pass) -> Progress {
        let (mut names, mut bytes) = (BTreeSet::new(), 0);
        let begun = pass.begun.as_ref();
        let begun_entry = begun.and_then(|begun| Some((self.entry(begun.state.client)?, begun.copied_to)));
        let behind = pass.next_slot + usize::from(begun.is_some());
        let ahead = (behind..self.entries.capacity()).take(pass.limits.looked_at);
        let ahead =
            ahead.filter_map(|slot| Some((self.entries.get(slot)?, None))).filter(|(entry, _)| pass.needs(entry));
        let old = begun_entry.into_iter().chain(ahead).flat_map(|(entry, after)| pass.old_messages(entry, after));
        for (name, size) in old.take(pass.limits.looked_at) {
            if bytes >= pass.limits.bytes || names.len() >= pass.limits.records {
                break;
            }
            if pass.is_to_copy(name) && names.insert(name) {
                bytes += size as usize;
            }
        }
        // What was read before is for nobody any more.
        pass.read.clear();
        pass.is_reading = true;
        Progress::Read(names.into_iter().collect())
    }

    /// The state of this client is in the log again.
    fn note_said(&mut self, client: ClientRef, oldest: u64) {
        if let Some(entry) = self.entry_mut(client) {
            entry.oldest_segment = None;
            entry.need_from(oldest);
        }
    }
}
