//! The clients of one worker: sessions, inboxes, subscriptions, and receivers that are being looked up.
//!
//! What it is: everything of a client that outlives its connection, and the one place that writes an inbox to the log.
//! What it is not: it writes to no socket and asks nobody; what follows from a change it appends to the
//! [`Actions`](super::action::Actions).

mod carry;
mod deadlines;
mod delivery;
mod dump;
mod endings;
mod entry;
mod fan_out;
mod identity;
mod live;
mod lookups;
mod owed;
mod p2p;
mod packed_set;
mod permitted;
mod purge;
mod queue_ids;
mod reads;
mod recent;
mod session;
mod set_back;
mod shared_messages;
mod slots;
mod slots_by_id;
mod state;
mod step;
mod storing;
mod subscriptions;
mod sweep;
mod unsent;
mod view;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commitlog::Position;
use mqtt::server::Restart;
use mqtt::topic::{Matches, SubscriptionTree};

use super::action::{Action, Actions, ClientRef, Deferred, Now};
use super::post::ConnectionKey;
use super::queue_jobs::QueueAcks;
use crate::client::ClientKey;
use crate::config::Limits;
use crate::inbox::{Gone, Inbox, InboxLimits};
use crate::stats::Counts;
use crate::store::RecoveredClient;
use crate::store::journal::Journal;
use crate::workers_by_filter::WorkersByFilter;
use deadlines::Deadlines;
use endings::Endings;
#[cfg(test)]
use entry::Attachment;
use entry::ClientEntry;
use live::Live;
use lookups::Lookups;
use owed::OwedRecords;
use reads::Reads;
use recent::RecentReceivers;
use set_back::SetBack;
use slots::Slots;
use slots_by_id::SlotsById;
#[cfg(test)]
use step::StepLimits;
use sweep::SweptForRoom;
use unsent::Unsent;

pub(super) use carry::{CARRY_STEP, OpenConnection, Pass, Progress};
pub(super) use dump::{ClientsDump, DUMP_STEP};
pub(super) use session::Ended;
pub(super) use step::Step;
pub(super) use subscriptions::Answer;
pub(super) use view::ClientView;

#[cfg(test)]
pub(super) const ENTRY_BYTES: usize = size_of::<ClientEntry>() + size_of::<Attachment>() + size_of::<u32>();

/// What the clients of a worker use of the rest of the broker.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) worker: usize,
    pub(super) journal: Journal,
    pub(super) counts: Arc<Counts>,
    pub(super) limits: Arc<Limits>,
    pub(super) inbox_limits: InboxLimits,
    /// Messages to these go before all others.
    pub(super) urgent_parents: Arc<[String]>,
    pub(super) workers_by_filter: Arc<WorkersByFilter>,
    pub(super) queue_acks: QueueAcks,
}

pub(super) struct Clients {
    context: Context,
    entries: Slots<ClientEntry>,
    slots_by_id: SlotsById,
    generations: u32,
    subscriptions: SubscriptionTree<ClientRef>,
    /// Subscribers of each filter here, for what all workers share of it.
    subscribers_by_filter: HashMap<Box<str>, usize>,
    /// Of devices: filters to which a grant let them subscribe, and without one they are not subscribed any more.
    granted: HashMap<ClientRef, BTreeSet<Box<str>>>,
    /// Used again for each message.
    matches: Matches<ClientRef>,
    lookups: Lookups,
    recent: RecentReceivers,
    reads: Reads,
    unsent: Unsent,
    /// Sessions without a connection, by the time they end.
    endings: Endings,
    /// The earliest first.
    endings_ahead: BinaryHeap<Reverse<EndingAhead>>,
    deadlines: Deadlines,
    /// Clients are due, or to be visited because of the clock.
    is_sweeping: bool,
    swept_for_room: SweptForRoom,
    set_back: SetBack,
    /// Of entries that are not in the log.
    volatile_entries: u64,
    live: Live,
    owed: OwedRecords,
}

/// The end of a session whose connection ended at a time that lies ahead. Either the clock was wrong then, and it ends
/// when this process has run for as long as the session lasts; or it is now, and will be followed.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct EndingAhead {
    not_after: Instant,
    ends_at_ms: NonZeroU64,
    client: ClientRef,
}

impl Clients {
    pub(super) fn new(context: Context, now: Instant) -> Self {
        Self {
            context,
            entries: Slots::default(),
            slots_by_id: SlotsById::default(),
            generations: 0,
            subscriptions: SubscriptionTree::new(),
            subscribers_by_filter: HashMap::new(),
            granted: HashMap::new(),
            matches: Matches::new(),
            lookups: Lookups::default(),
            recent: RecentReceivers::default(),
            reads: Reads::new(now),
            unsent: Unsent::default(),
            endings: Endings::default(),
            endings_ahead: BinaryHeap::new(),
            deadlines: Deadlines::default(),
            is_sweeping: false,
            swept_for_room: SweptForRoom::new(now),
            set_back: SetBack::new(now),
            volatile_entries: 0,
            live: Live::default(),
            owed: OwedRecords::default(),
        }
    }

    /// Puts back what the log has of a client.
    pub(super) fn recover(&mut self, client_id: &str, recovered: RecoveredClient, restart: Restart, now: Now) {
        let session = recovered.session.as_ref();
        let ahead_s = session.filter(|session| session.disconnected_ms.is_some_and(|at_ms| at_ms > now.ms));
        let ahead_s = ahead_s.map(|session| session.expiry_s);
        let (logged, oldest) = (recovered.subscriptions.clone(), recovered.oldest);
        self.note_deadlines_ahead(&recovered, now);
        let mut entry = ClientEntry::recover(client_id, &self.context.inbox_limits, recovered, restart, now);
        if entry.is_empty() {
            return;
        }
        entry.need_from(self.segment_needed(oldest, &entry.inbox));
        self.count_in(entry.inbox.len() as u64, entry.inbox.bytes());
        entry.inbox.logged().for_each(|(_, size)| self.live.add(size));
        self.context.counts.sessions.add(u64::from(entry.session().is_some()));
        let ends_at_ms = entry.ends_at_ms;
        let client = self.insert(entry);
        self.put_in_order(client.slot);
        logged.iter().for_each(|(filter, options)| self.recover_subscription(client, filter, *options));
        if let Some(ends_at_ms) = ends_at_ms {
            self.endings.insert(ends_at_ms, client.slot);
            if let Some(expiry_s) = ahead_s {
                let not_after = now.instant + Duration::from_secs(u64::from(expiry_s));
                self.endings_ahead.push(Reverse(EndingAhead { not_after, ends_at_ms, client }));
            }
        }
    }

    /// After the last of [`Self::recover`]: what several inboxes have is one message of the log.
    pub(super) fn recovered(&mut self) {
        let mut messages = Vec::with_capacity(self.entries.iter().map(|(_, entry)| entry.inbox.len()).sum());
        messages.extend(self.entries.iter().flat_map(|(_, entry)| entry.inbox.logged()));
        messages.sort_unstable();
        for same in messages.chunk_by(|one, other| one.0 == other.0) {
            let inboxes = u32::try_from(same.len()).expect("fewer clients than fit into memory");
            self.live.share(same[0].0, same[0].1, inboxes);
        }
    }

    /// The oldest segment that the log needs for a client whose records begin at `oldest`. What was carried of its messages
    /// may be older.
    fn segment_needed(&self, oldest: Position, inbox: &Inbox) -> u64 {
        let (journal, begin) = (&self.context.journal, self.context.journal.oldest_segment());
        let mut needed = journal.segment_at(oldest);
        for (name, _) in inbox.logged() {
            needed = needed.min(journal.segment_of(name).unwrap_or(needed));
            // Those that follow are where they were first written, which is no older.
            if journal.segment_at(name) >= begin {
                break;
            }
        }
        needed
    }

    pub(super) fn find(&self, client_id: &ClientKey) -> Option<ClientRef> {
        self.name_of(self.slots_by_id.find(client_id.as_str(), &self.entries)?)
    }

    /// The same for the receiver of a message, which is remembered for the next one.
    fn find_receiver(&mut self, client_id: &ClientKey) -> Option<ClientRef> {
        let known = self.recent.find(client_id).filter(|client| self.entry(*client).is_some());
        if known.is_some() {
            return known;
        }
        let client = self.find(client_id)?;
        self.recent.remember(client_id, client);
        Some(client)
    }

    pub(super) fn key_of(&self, client: ClientRef) -> Option<ClientKey> {
        Some(self.entry(client)?.key())
    }

    /// Whether this client has this key.
    fn is_client(&self, client: ClientRef, key: &ClientKey) -> bool {
        self.entry(client).is_some_and(|entry| entry.client_id() == key.as_str())
    }

    /// The connection that has the session of this client id.
    pub(super) fn connection_of(&self, client_id: &ClientKey) -> Option<ConnectionKey> {
        Some(self.entry(self.find(client_id)?)?.attachment.as_ref()?.connection)
    }

    /// The same, once a PUBLISH may go to it.
    pub(super) fn open_connection_of(&self, client_id: &ClientKey) -> Option<ConnectionKey> {
        self.open_connection(self.find(client_id)?)
    }

    /// The connection of this client that a PUBLISH may go to.
    pub(super) fn open_connection(&self, client: ClientRef) -> Option<ConnectionKey> {
        self.entry(client)?.open_connection()
    }

    fn name_of(&self, slot: u32) -> Option<ClientRef> {
        let generation = self.entries.get(slot as usize)?.generation;
        Some(ClientRef { slot, generation })
    }

    fn entry(&self, client: ClientRef) -> Option<&ClientEntry> {
        self.entries.get(client.slot as usize).filter(|entry| entry.generation == client.generation)
    }

    fn entry_mut(&mut self, client: ClientRef) -> Option<&mut ClientEntry> {
        self.entries.get_mut(client.slot as usize).filter(|entry| entry.generation == client.generation)
    }

    fn ref_at(&self, slot: usize, entry: &ClientEntry) -> ClientRef {
        let slot = u32::try_from(slot).expect("fewer clients than fit into memory");
        ClientRef { slot, generation: entry.generation }
    }

    fn insert(&mut self, mut entry: ClientEntry) -> ClientRef {
        self.generations = self.generations.wrapping_add(1);
        entry.generation = self.generations;
        let generation = entry.generation;
        let slot = self.entries.insert(entry);
        if let Some(entry) = self.entries.get(slot as usize) {
            self.slots_by_id.insert(entry.client_id(), slot, &self.entries);
        }
        ClientRef { slot, generation }
    }

    fn remove(&mut self, client: ClientRef) -> Option<ClientEntry> {
        self.entry(client)?;
        let mut entry = self.entries.remove(client.slot)?;
        self.deadlines.remove(client.slot, &mut entry.due);
        self.slots_by_id.remove(entry.client_id(), client.slot);
        Some(entry)
    }

    /// An entry of an inbox is done: it is counted out, and the log will hear of it.
    fn forget(&mut self, client: ClientRef, gone: Gone, actions: &mut Actions) {
        self.count_out_one(gone);
        if let Some(message) = gone.id.position()
            && let Some(key) = self.key_of(client)
        {
            actions.push_back(Action::Defer(Deferred::Removed { client: key, message }));
        }
    }

    fn count_in(&self, messages: u64, bytes: u64) {
        self.context.counts.inbox_messages.add(messages);
        self.context.counts.inbox_bytes.add(bytes);
    }

    fn count_out(&self, messages: u64, bytes: u64) {
        self.context.counts.inbox_messages.less(messages);
        self.context.counts.inbox_bytes.less(bytes);
    }

    fn count_out_one(&mut self, gone: Gone) {
        self.count_out(1, gone.size.into());
        if let Some(message) = gone.id.position() {
            self.live.remove(message, gone.size);
        }
    }
}

#[cfg(test)]
mod carry_tests;
#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod owed_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod sweep_tests;
#[cfg(test)]
mod tests;
