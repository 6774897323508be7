//! The table of rosters: which member was sent which revision of the roster. `send` sends what is missing.
//!
//! Each member is sent the changes since the revision that it was sent last, at once if that is long enough ago, else
//! when [`EVERY`] is over, all changes together. Nothing of this is stored. After a start, and where another service
//! has admitted a member, it is not known what was sent: such a member gets the whole roster once. What another service
//! sends besides does no harm: a terminal ignores what it knows.

pub(crate) mod send;

use crate::machine::{Meeting, OutgoingSignal, RosterHistory};
use signalling::{ClientId, DownBody, MeetingId};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// A member is sent changes at most once in this time.
pub(crate) const EVERY: Duration = Duration::from_millis(200);

/// Ended meetings that are remembered: a revision from before the end may come here after it.
const ENDED_MAX: usize = 1_024;

/// One entry per living meeting, so its size is bounded by theirs.
#[derive(Default)]
pub(crate) struct Rosters {
    table: Mutex<RosterTable>,
    /// There may be something to send.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct RosterTable {
    entries: HashMap<Uuid, Entry>,
    /// Meetings in which something may have to be sent.
    unsent: BTreeSet<Uuid>,
    /// At most [`ENDED_MAX`], the newest last.
    ended: VecDeque<Uuid>,
}

struct Entry {
    history: RosterHistory,
    members: HashMap<ClientId, LastSent>,
}

/// What a member was sent last.
struct LastSent {
    /// The revision of the roster. `None`: not known.
    rev: Option<u64>,
    /// Nothing more is sent before this time.
    next_at: Instant,
    /// An update is being sent to the queue.
    sending: bool,
}

/// A roster, or a change of it, for one member.
#[derive(Clone, Debug)]
pub(crate) struct RosterUpdate {
    pub meeting: MeetingId,
    pub to: ClientId,
    pub rev: u64,
    pub body: DownBody,
}

impl Rosters {
    /// The meeting is this now. `sent_to`: clients that the same decision sends a roster of this revision.
    pub(crate) fn handle_meeting(&self, meeting: &Meeting, sent_to: &[ClientId]) {
        let now = Instant::now();
        self.with(|table| table.handle_meeting(meeting, sent_to, now));
        self.changed.notify_one();
    }

    /// Makes the answer of a decision a change of the roster that its receiver has, or a whole roster where that is not
    /// known.
    pub(crate) fn fit(&self, after: &Meeting, send: &mut OutgoingSignal) {
        if let DownBody::RosterChanged(_) = send.body {
            let change = self.with(|table| table.change_for(after, &send.to));
            send.body = change.unwrap_or_else(|| DownBody::Roster(after.roster()));
        }
    }

    /// All updates that are to be sent now, and when to look again.
    pub(crate) fn poll_updates(&self, now: Instant) -> (Vec<RosterUpdate>, Option<Instant>) {
        self.with(|table| table.poll_updates(now))
    }

    /// The queue has accepted the update, or it has expired.
    pub(crate) fn handle_sent(&self, update: &RosterUpdate, sent: bool) {
        let now = Instant::now();
        self.with(|table| table.handle_sent(update, sent, now));
        self.changed.notify_one();
    }

    fn with<T>(&self, act: impl FnOnce(&mut RosterTable) -> T) -> T {
        act(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RosterTable {
    fn handle_meeting(&mut self, meeting: &Meeting, sent_to: &[ClientId], now: Instant) {
        let id = meeting.id.0;
        if meeting.is_over() {
            return self.end(id);
        }
        if self.ended.contains(&id) {
            return;
        }
        let fresh = || Entry { history: RosterHistory::new(meeting), members: HashMap::new() };
        let entry = self.entries.entry(id).or_insert_with(fresh);
        if meeting.rev >= entry.history.roster().rev {
            entry.history.update(meeting);
            entry.update_members(meeting, now);
        }
        for client in sent_to {
            entry.note_sent(client, meeting.rev, now);
        }
        self.unsent.insert(id);
    }

    fn end(&mut self, id: Uuid) {
        self.entries.remove(&id);
        self.unsent.remove(&id);
        if !self.ended.contains(&id) {
            self.ended.push_back(id);
        }
        let excess = self.ended.len().saturating_sub(ENDED_MAX);
        self.ended.drain(..excess);
    }

    fn change_for(&self, after: &Meeting, client: &ClientId) -> Option<DownBody> {
        let entry = self.entries.get(&after.id.0)?;
        let base = entry.members.get(client)?.rev?;
        let mut history = entry.history.clone();
        history.update(after);
        history.since(base).map(DownBody::RosterChanged)
    }

    fn poll_updates(&mut self, now: Instant) -> (Vec<RosterUpdate>, Option<Instant>) {
        let (mut updates, mut next) = (Vec::new(), None::<Instant>);
        let entries = &mut self.entries;
        self.unsent.retain(|id| {
            let Some(entry) = entries.get_mut(id) else { return false };
            updates.extend(entry.due(MeetingId(*id), now));
            let at = entry.next_at();
            next = next.into_iter().chain(at).min();
            at.is_some()
        });
        (updates, next)
    }

    fn handle_sent(&mut self, update: &RosterUpdate, sent: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(&update.meeting.0) else { return };
        let Some(last) = entry.members.get_mut(&update.to) else { return };
        last.sending = false;
        last.next_at = now + EVERY;
        if sent {
            last.rev = last.rev.max(Some(update.rev));
        }
        self.unsent.insert(update.meeting.0);
    }
}

impl Entry {
    /// Removes the clients that are no members any more, and adds new ones, of which it is not known what they were
    /// sent.
    fn update_members(&mut self, meeting: &Meeting, now: Instant) {
        let clients: BTreeSet<&ClientId> = meeting.members.iter().map(|member| &member.client).collect();
        self.members.retain(|client, _| clients.contains(client));
        for client in clients {
            let unknown = || LastSent { rev: None, next_at: now, sending: false };
            self.members.entry(client.clone()).or_insert_with(unknown);
        }
    }

    fn note_sent(&mut self, client: &ClientId, rev: u64, now: Instant) {
        if let Some(last) = self.members.get_mut(client) {
            last.rev = last.rev.max(Some(rev));
            last.next_at = now + EVERY;
        }
    }

    fn due(&mut self, meeting: MeetingId, now: Instant) -> Vec<RosterUpdate> {
        let (history, rev) = (&self.history, self.history.roster().rev);
        // Most members have the same revision, so each update is made once.
        let mut made: HashMap<Option<u64>, DownBody> = HashMap::new();
        let waiting = self.members.iter_mut().filter(|(_, last)| last.waits(history) && last.next_at <= now);
        let updates = waiting.map(|(client, last)| {
            last.sending = true;
            let body = made.entry(last.rev).or_insert_with(|| missing(history, last.rev)).clone();
            RosterUpdate { meeting, to: client.clone(), rev, body }
        });
        updates.collect()
    }

    /// When the next member that lacks something may be sent it.
    fn next_at(&self) -> Option<Instant> {
        let waiting = self.members.values().filter(|last| last.waits(&self.history));
        waiting.map(|last| last.next_at).min()
    }
}

impl LastSent {
    fn waits(&self, history: &RosterHistory) -> bool {
        !self.sending && self.rev.is_none_or(|rev| rev < history.changed_at_rev())
    }
}

/// What a member that was sent the roster of `base` lacks.
fn missing(history: &RosterHistory, base: Option<u64>) -> DownBody {
    let change = base.and_then(|base| history.since(base));
    change.map_or_else(|| DownBody::Roster(history.roster().clone()), DownBody::RosterChanged)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    fn meeting(rev: u64, end: &str) -> Meeting {
        let id = Uuid::from_u128(1);
        let head = format!(r#"{{"v":2,"id":"{id}","rev":{rev},"host":"u","media":"audio","ends_below":1{end}}}"#);
        Meeting::from_rows(&head, []).unwrap().0
    }

    #[test]
    fn what_was_stored_before_the_end_and_comes_after_it_makes_no_entry() {
        let rosters = Rosters::default();
        rosters.handle_meeting(&meeting(1, ""), &[]);
        rosters.handle_meeting(&meeting(3, r#","end":{"reason":"left","at_ms":1}"#), &[]);
        rosters.handle_meeting(&meeting(2, ""), &[]);
        assert!(rosters.with(|table| table.entries.is_empty() && table.unsent.is_empty()));
    }
}
