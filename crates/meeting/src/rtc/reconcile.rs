//! The reconciler: the table of channels, each as its newest document wants it, and whether the RTC server has it so.
//! `apply` makes the calls.
//!
//! ```text
//!             newer document                 put succeeded, nothing newer
//!   applied ────────────────> dirty ──────────────────────────────────────> applied
//!                               │  ▲ failed: again, ever later
//!                  Stale        ▼  │ newer document
//!   (another service knows more: the catalog is read, which brings the newer document, or none)
//! ```
//!
//! A put carries all that the document wants, so the newest one is enough, whatever became of those before it.

use crate::machine::Meeting;
use crate::rtc::channels::Channels;
use crate::token::alias;
use signalling::{ChannelDescription, ChannelError, ChannelId, DesiredChannel, MeetingId, Placement};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// One entry per living meeting, so its size is bounded by theirs.
#[derive(Default)]
struct ChannelTable {
    entries: HashMap<Uuid, Entry>,
    dirty: HashSet<Uuid>,
}

struct Entry {
    rev: u64,
    /// `None`: the channel has ended.
    desired: Option<DesiredChannel>,
    /// The revision that the RTC server has, as far as is known.
    applied: Option<u64>,
    running: bool,
    failures: u32,
}

pub(crate) struct Reconciler {
    channels: Arc<dyn Channels>,
    table: Mutex<ChannelTable>,
    /// The newest answer: where terminals join.
    placement: Mutex<Option<Placement>>,
    /// There may be work.
    pub(crate) changed: Notify,
}

/// A put to make.
pub(crate) struct Work {
    pub id: Uuid,
    pub rev: u64,
    pub desired: Option<DesiredChannel>,
    /// Wait this long first.
    pub pause: Duration,
}

/// The result of a put.
pub(crate) struct Done {
    pub id: Uuid,
    pub rev: u64,
    pub result: Result<Placement, ChannelError>,
}

/// What is to be done about a result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    /// The channel has ended, and is removed from the table.
    Ended,
    /// The RTC server has a newer wish: the catalog is to be read.
    Read,
}

impl Reconciler {
    pub(crate) fn new(channels: Arc<dyn Channels>) -> Self {
        Self { channels, table: Mutex::default(), placement: Mutex::default(), changed: Notify::new() }
    }

    pub(crate) fn channels(&self) -> &Arc<dyn Channels> {
        &self.channels
    }

    /// Base addresses of join endpoints, once the RTC server has told them.
    pub(crate) fn endpoints(&self) -> Option<Vec<String>> {
        let placement = self.placement.lock().unwrap_or_else(PoisonError::into_inner);
        placement.as_ref().map(|placement| placement.endpoints.clone()).filter(|endpoints| !endpoints.is_empty())
    }

    /// Sets what the document wants; an older document that comes later is ignored.
    pub(crate) fn handle_meeting(&self, meeting: &Meeting) {
        if meeting.closed {
            return;
        }
        let desired = meeting.desired_channel(alias);
        self.with(|table| {
            let entry = table.entries.entry(meeting.id.0).or_insert_with(|| Entry::new(meeting.rev, None));
            if entry.rev <= meeting.rev {
                (entry.rev, entry.desired) = (meeting.rev, desired);
                table.dirty.insert(meeting.id.0);
            }
        });
        self.changed.notify_one();
    }

    /// Opens the channel of a meeting that is not stored yet. If it never is, the RTC server closes it after a while; other
    /// services may be storing a meeting of this id.
    pub(crate) async fn open_early(&self, meeting: MeetingId) -> Result<(), ChannelError> {
        match self.channels.put(meeting.into(), 0, Some(DesiredChannel::default())).await {
            Ok(placement) => self.remember(placement),
            // Another service has stored it: the commit shows whose it is.
            Err(ChannelError::Stale { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Ends the channel of a meeting that cannot be read any more. What it had at the RTC server is as old as `rev` at most.
    pub(crate) fn end(&self, meeting: Uuid, rev: u64) {
        self.with(|table| {
            let entry = table.entries.entry(meeting).or_insert_with(|| Entry::new(rev, None));
            (entry.rev, entry.desired, entry.applied) = (rev.max(entry.rev), None, None);
            table.dirty.insert(meeting);
        });
        self.changed.notify_one();
    }

    /// The RTC server has forgotten events, or has started again: whatever it lacks of what it has had is put again.
    pub(crate) fn handle_snapshot(&self, snapshot: &[ChannelDescription]) {
        let present: HashMap<&ChannelId, u64> =
            snapshot.iter().map(|described| (&described.channel, described.rev)).collect();
        self.with(|table| {
            for (id, entry) in &mut table.entries {
                let rev = present.get(&ChannelId::from(MeetingId(*id)));
                if entry.applied.is_some_and(|applied| rev.is_none_or(|rev| *rev < applied)) {
                    entry.applied = None;
                    table.dirty.insert(*id);
                }
            }
        });
        self.changed.notify_one();
    }

    fn remember(&self, placement: Placement) {
        *self.placement.lock().unwrap_or_else(PoisonError::into_inner) = Some(placement);
    }

    fn with<T>(&self, act: impl FnOnce(&mut ChannelTable) -> T) -> T {
        act(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The channels that are to be put and are not being put.
    pub(crate) fn poll_work(&self) -> Vec<Work> {
        self.with(|table| {
            let entries = &table.entries;
            let free = |id: &&Uuid| entries.get(*id).is_none_or(|entry| !entry.running);
            let ids: Vec<Uuid> = table.dirty.iter().filter(free).copied().collect();
            ids.into_iter().filter_map(|id| table.start(id)).collect()
        })
    }

    pub(crate) fn handle_result(&self, done: Done) -> Next {
        let Done { id, rev, result } = done;
        let next = self.with(|table| {
            let Some(entry) = table.entries.get_mut(&id) else { return Next::Nothing };
            entry.running = false;
            let next = entry.take_result(id, rev, result.as_ref().err());
            match next {
                Next::Ended => drop(table.entries.remove(&id)),
                _ if entry.is_due() => drop(table.dirty.insert(id)),
                _ => {}
            }
            next
        });
        if let Ok(placement) = result {
            self.remember(placement);
        }
        next
    }
}

impl ChannelTable {
    fn start(&mut self, id: Uuid) -> Option<Work> {
        self.dirty.remove(&id);
        let entry = self.entries.get_mut(&id)?;
        entry.running = true;
        let pause = RETRY_FIRST * 2_u32.saturating_pow(entry.failures.saturating_sub(1)).min(64);
        let pause = if entry.failures == 0 { Duration::ZERO } else { pause.min(RETRY_MAX) };
        Some(Work { id, rev: entry.rev, desired: entry.desired.clone(), pause })
    }
}

impl Entry {
    fn new(rev: u64, desired: Option<DesiredChannel>) -> Self {
        Self { rev, desired, applied: None, running: false, failures: 0 }
    }

    /// Whether there is something to put.
    fn is_due(&self) -> bool {
        self.applied != Some(self.rev)
    }

    fn take_result(&mut self, id: Uuid, rev: u64, error: Option<&ChannelError>) -> Next {
        match error {
            None => {
                (self.failures, self.applied) = (0, Some(rev));
                if self.desired.is_none() && rev == self.rev { Next::Ended } else { Next::Nothing }
            }
            Some(ChannelError::Stale { present }) => self.take_newer(id, *present),
            Some(error) => {
                self.failures += 1;
                self.applied = None;
                tracing::warn!(channel = %id, %error, "the RTC server does not do what the meeting needs; again");
                Next::Nothing
            }
        }
    }

    /// The RTC server has what another service has put. Where that is no newer than this, nothing is put until the meeting
    /// changes: never is a revision made up.
    fn take_newer(&mut self, id: Uuid, present: u64) -> Next {
        self.failures = 0;
        self.applied = Some(self.rev.min(present));
        if present > self.rev {
            self.applied = Some(self.rev);
            return Next::Read;
        }
        if present == self.rev {
            tracing::error!(channel = %id, rev = present, "the RTC server has another wish of the same revision");
        }
        Next::Nothing
    }
}
