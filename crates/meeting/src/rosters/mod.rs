//! Who knows which roster: the book of it. `send` tells what is missing.
//!
//! Each member is told what changed since what it was told last, at once if that was not just now, else when
//! [`EVERY`] is over, and everything together. Nothing of this is stored. After a start, and where another service has
//! admitted a member, nothing is known of what was told: such a member gets the whole roster once. What another service
//! tells besides does no harm: a terminal ignores what it knows.

pub(crate) mod send;

use crate::machine::{Meeting, Outgoing, RosterHistory};
use signalling::{ClientId, DownBody, MeetingId};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// A member is told of changes at most once in this time.
pub(crate) const EVERY: Duration = Duration::from_millis(200);

/// Meetings that ended last: what was stored before the end may come here after it.
const OVER_MAX: usize = 1_024;

/// One entry per living meeting, so its size is bounded by theirs.
#[derive(Default)]
pub(crate) struct Rosters {
    table: Mutex<RosterTable>,
    /// There may be something to tell.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct RosterTable {
    entries: HashMap<Uuid, Entry>,
    /// Meetings in which somebody may have to be told something.
    unsent: BTreeSet<Uuid>,
    /// At most [`OVER_MAX`], the newest last.
    over: VecDeque<Uuid>,
}

struct Entry {
    history: RosterHistory,
    members: HashMap<ClientId, LastSent>,
}

/// What a member was told.
struct LastSent {
    /// The revision of its roster. `None`: not known.
    rev: Option<u64>,
    /// Not before then again.
    next_at: Instant,
    /// Something is on its way to the queue.
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
    /// The meeting is so now. `told`: clients that the same decision gives a roster of this revision.
    pub(crate) fn take(&self, meeting: &Meeting, told: &[ClientId]) {
        let now = Instant::now();
        self.with(|table| table.take(meeting, told, now));
        self.changed.notify_one();
    }

    /// Makes the answer of a decision a change of what its receiver knows, or a whole roster where that is not known.
    pub(crate) fn fit(&self, after: &Meeting, send: &mut Outgoing) {
        if let DownBody::RosterChanged(_) = send.body {
            let change = self.with(|table| table.change_for(after, &send.to));
            send.body = change.unwrap_or_else(|| DownBody::Roster(after.roster()));
        }
    }

    /// All that is to be told now, and when to look again.
    pub(crate) fn due(&self, now: Instant) -> (Vec<RosterUpdate>, Option<Instant>) {
        self.with(|table| table.due(now))
    }

    /// The queue has it, or does not take it.
    pub(crate) fn done(&self, news: &RosterUpdate, sent: bool) {
        let now = Instant::now();
        self.with(|table| table.done(news, sent, now));
        self.changed.notify_one();
    }

    fn with<T>(&self, act: impl FnOnce(&mut RosterTable) -> T) -> T {
        act(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RosterTable {
    fn take(&mut self, meeting: &Meeting, told: &[ClientId], now: Instant) {
        let id = meeting.id.0;
        if meeting.is_over() {
            return self.end(id);
        }
        if self.over.contains(&id) {
            return;
        }
        let fresh = || Entry { history: RosterHistory::new(meeting), members: HashMap::new() };
        let entry = self.entries.entry(id).or_insert_with(fresh);
        if meeting.rev >= entry.history.roster().rev {
            entry.history.update(meeting);
            entry.take_members(meeting, now);
        }
        for client in told {
            entry.tell(client, meeting.rev, now);
        }
        self.unsent.insert(id);
    }

    fn end(&mut self, id: Uuid) {
        self.entries.remove(&id);
        self.unsent.remove(&id);
        if !self.over.contains(&id) {
            self.over.push_back(id);
        }
        let excess = self.over.len().saturating_sub(OVER_MAX);
        self.over.drain(..excess);
    }

    fn change_for(&self, after: &Meeting, client: &ClientId) -> Option<DownBody> {
        let entry = self.entries.get(&after.id.0)?;
        let base = entry.members.get(client)?.rev?;
        let mut history = entry.history.clone();
        history.update(after);
        history.since(base).map(DownBody::RosterChanged)
    }

    fn due(&mut self, now: Instant) -> (Vec<RosterUpdate>, Option<Instant>) {
        let (mut news, mut next) = (Vec::new(), None::<Instant>);
        let entries = &mut self.entries;
        self.unsent.retain(|id| {
            let Some(entry) = entries.get_mut(id) else { return false };
            news.extend(entry.due(MeetingId(*id), now));
            let at = entry.next_at();
            next = next.into_iter().chain(at).min();
            at.is_some()
        });
        (news, next)
    }

    fn done(&mut self, news: &RosterUpdate, sent: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(&news.meeting.0) else { return };
        let Some(told) = entry.members.get_mut(&news.to) else { return };
        told.sending = false;
        told.next_at = now + EVERY;
        if sent {
            told.rev = told.rev.max(Some(news.rev));
        }
        self.unsent.insert(news.meeting.0);
    }
}

impl Entry {
    /// Whoever has left is told nothing more; of whoever is new it is not known what was told.
    fn take_members(&mut self, meeting: &Meeting, now: Instant) {
        let clients: BTreeSet<&ClientId> = meeting.members.iter().map(|member| &member.client).collect();
        self.members.retain(|client, _| clients.contains(client));
        for client in clients {
            let unknown = || LastSent { rev: None, next_at: now, sending: false };
            self.members.entry(client.clone()).or_insert_with(unknown);
        }
    }

    fn tell(&mut self, client: &ClientId, rev: u64, now: Instant) {
        if let Some(told) = self.members.get_mut(client) {
            told.rev = told.rev.max(Some(rev));
            told.next_at = now + EVERY;
        }
    }

    fn due(&mut self, meeting: MeetingId, now: Instant) -> Vec<RosterUpdate> {
        let (history, rev) = (&self.history, self.history.roster().rev);
        // Most know the same, so it is made once.
        let mut made: HashMap<Option<u64>, DownBody> = HashMap::new();
        let waiting = self.members.iter_mut().filter(|(_, told)| told.waits(history) && told.next_at <= now);
        let news = waiting.map(|(client, told)| {
            told.sending = true;
            let body = made.entry(told.rev).or_insert_with(|| missing(history, told.rev)).clone();
            RosterUpdate { meeting, to: client.clone(), rev, body }
        });
        news.collect()
    }

    /// When the next member that lacks something may be told.
    fn next_at(&self) -> Option<Instant> {
        let waiting = self.members.values().filter(|told| told.waits(&self.history));
        waiting.map(|told| told.next_at).min()
    }
}

impl LastSent {
    fn waits(&self, history: &RosterHistory) -> bool {
        !self.sending && self.rev.is_none_or(|rev| rev < history.changed_at_rev())
    }
}

/// What whoever was told the roster of `base` lacks.
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
        rosters.take(&meeting(1, ""), &[]);
        rosters.take(&meeting(3, r#","end":{"reason":"left","at_ms":1}"#), &[]);
        rosters.take(&meeting(2, ""), &[]);
        assert!(rosters.with(|table| table.entries.is_empty() && table.unsent.is_empty()));
    }
}
