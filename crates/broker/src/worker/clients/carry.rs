//! What the log needs of the clients of one worker is written again, so that its oldest segment can go.
//!
//! What it is: one [`Pass`] over all clients for each segment that is wanted back. Each client knows the oldest segment
//! that the log needs for it. Where that is the wanted one, the messages in it that still wait are copied, and then the whole
//! state of the client is said again ([`Clients::add_state`]): from there on the log needs nothing older of this client
//! but messages in younger segments. What it is not: complete in one turn, or one unit of the log. Whatever part of a
//! pass a crash leaves is true, and the wanted segment is still there.
//!
//! A copy never follows the end of what it copies: what is said is what the inbox has at that moment, so what has ended is
//! not said any more, also if its end is still to be logged (a full log may refuse that and take copies). The ends of
//! sessions that a full log refused are logged first of all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;

use commitlog::{AppendError, Need, Position, ReadError, Record, WantedSegment};

use super::Clients;
use super::entry::ClientEntry;
use super::state::add_connection;
use crate::store::journal::{Batch, Journal};
use crate::worker::action::ClientRef;
use crate::worker::post::ConnectionKey;
use crate::worker::reader::ReadRecord;

/// What one turn appends, and what is read at a time, but for the last message or the state of the last client.
const BYTES_PER_TURN: usize = 256 << 10;
/// Clients that one turn looks at.
const CLIENTS_PER_TURN: usize = 4096;

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
    batch: Batch,
    copied: HashSet<Position>,
    said: Vec<ClientRef>,
    /// The slots before it are done.
    next_slot: usize,
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
        }
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

    /// Messages of a client that are to be copied, with their sizes.
    fn to_copy<'a>(&'a self, entry: &'a ClientEntry) -> impl Iterator<Item = (Position, u32)> + 'a {
        let old = entry.inbox.logged().take_while(|(name, _)| *name < self.segment.positions.end);
        old.filter(|(name, _)| self.holds(*name) && !self.copied.contains(name))
    }

    /// The oldest segment that is needed for the messages of a client once the pass is over.
    fn oldest_of(&self, entry: &ClientEntry, journal: &Journal) -> u64 {
        let mut oldest = u64::MAX;
        for (name, _) in entry.inbox.logged() {
            let segment = if self.holds(name) { Some(self.begun_in) } else { journal.segment_of(name) };
            oldest = oldest.min(segment.unwrap_or(u64::MAX));
            // Those that follow are where they were first written, which is no older.
            if name >= self.segment.positions.end {
                break;
            }
        }
        oldest
    }

    fn needs(&self, entry: &ClientEntry) -> bool {
        entry.oldest_segment.is_some_and(|oldest| u64::from(oldest.get()) <= self.segment.number)
    }
}

impl Load {
    fn is_full(&self) -> bool {
        self.batch.bytes() >= BYTES_PER_TURN
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
        let newest = self.context.journal.newest_segment();
        let (mut load, loaded) = self.load_some(pass, connection);
        if !load.batch.is_empty() {
            load.batch.latest_time(now_ms);
            self.context.journal.append_independent(&load.batch, Need::Carry)?;
        }
        pass.next_slot = load.next_slot;
        pass.read.retain(|name, _| !load.copied.contains(name));
        pass.copied.extend(load.copied);
        load.said.into_iter().for_each(|client| self.note_said(client, newest, pass));
        Ok(match loaded {
            Loaded::All if pass.next_slot >= self.entries.capacity() => Progress::Done,
            Loaded::All | Loaded::Enough => Progress::More,
            Loaded::Missing if pass.is_reading => Progress::Waits,
            Loaded::Missing => self.ask_ahead(pass),
        })
    }

    fn load_some(&self, pass: &Pass, connection: impl Fn(ConnectionKey) -> Option<OpenConnection>) -> (Load, Loaded) {
        let (batch, copied, said) = (Batch::default(), HashSet::new(), Vec::new());
        let mut load = Load { batch, copied, said, next_slot: pass.next_slot };
        let end = self.entries.capacity().min(pass.next_slot + CLIENTS_PER_TURN);
        while load.next_slot < end {
            let loaded = self.load_slot(pass, &mut load, &connection);
            if !matches!(loaded, Loaded::All) {
                return (load, loaded);
            }
            load.next_slot += 1;
        }
        (load, Loaded::All)
    }

    /// Adds what is needed of the client in the next slot.
    fn load_slot(
        &self,
        pass: &Pass,
        load: &mut Load,
        connection: impl Fn(ConnectionKey) -> Option<OpenConnection>,
    ) -> Loaded {
        let Some(entry) = self.entries.get(load.next_slot).filter(|entry| pass.needs(entry)) else {
            return Loaded::All;
        };
        for (name, _) in pass.to_copy(entry) {
            if load.copied.contains(&name) {
                continue;
            }
            let Some(record) = pass.read.get(&name) else { return Loaded::Missing };
            if load.is_full() {
                return Loaded::Enough;
            }
            load.batch.carried(record.clone());
            load.copied.insert(name);
        }
        if load.is_full() {
            return Loaded::Enough;
        }
        let client = self.ref_at(load.next_slot, entry);
        self.add_state(client, &mut load.batch);
        if let Some(open) = entry.attachment.as_ref().and_then(|open| connection(open.connection)) {
            add_connection(&mut load.batch, entry.client_id(), &open);
        }
        load.said.push(client);
        Loaded::All
    }

    /// What the next clients need to be read.
    fn ask_ahead(&self, pass: &mut Pass) -> Progress {
        let (mut names, mut bytes) = (BTreeSet::new(), 0);
        let ahead = (pass.next_slot..self.entries.capacity()).take(CLIENTS_PER_TURN);
        let needing = ahead.filter_map(|slot| self.entries.get(slot)).filter(|entry| pass.needs(entry));
        for (name, size) in needing.flat_map(|entry| pass.to_copy(entry)) {
            if bytes >= BYTES_PER_TURN {
                break;
            }
            if names.insert(name) {
                bytes += size as usize;
            }
        }
        // What was read before is for nobody any more.
        pass.read.clear();
        pass.is_reading = true;
        Progress::Read(names.into_iter().collect())
    }

    /// The state of this client is in the log again, in segment `newest` or a later one.
    fn note_said(&mut self, client: ClientRef, newest: u64, pass: &Pass) {
        let Some(entry) = self.entry(client) else { return };
        let oldest = pass.oldest_of(entry, &self.context.journal).min(newest);
        if let Some(entry) = self.entry_mut(client) {
            entry.oldest_segment = None;
            entry.need_from(oldest);
        }
    }
}
