//! The reconciler: the table of channels, each as its document wants it and as the RTC server has it. `apply` makes the
//! calls.
//!
//! The calls that lead from one state to the other are made in order per channel, channels concurrently. After a failed
//! call the state of the channel is not known and all calls are repeated, which the seam permits because they are
//! idempotent.

use crate::machine::Meeting;
use crate::machine::desired::Channel;
use crate::rtc::channels::Channels;
use signalling::{ChannelError, MeetingId, ParticipationId};
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
    wanted: Channel,
    /// `None`: not known.
    applied: Option<Channel>,
    running: bool,
    /// Participations that joined while it ran.
    joined: Vec<ParticipationId>,
    /// While it ran, something showed that all calls must be repeated.
    stale: bool,
    failures: u32,
}

pub(crate) struct Reconciler {
    channels: Arc<dyn Channels>,
    table: Mutex<ChannelTable>,
    /// There may be work.
    pub(crate) changed: Notify,
}

/// Calls to make on one channel: those that lead from `applied` to `wanted`.
pub(crate) struct Work {
    pub id: Uuid,
    pub wanted: Channel,
    /// `None`: not known.
    pub applied: Option<Channel>,
    /// Wait this long first.
    pub pause: Duration,
}

/// The result of calls on one channel.
pub(crate) struct Done {
    pub id: Uuid,
    pub wanted: Channel,
    pub result: Result<(), ChannelError>,
}

impl Reconciler {
    pub(crate) fn new(channels: Arc<dyn Channels>) -> Self {
        Self { channels, table: Mutex::default(), changed: Notify::new() }
    }

    pub(crate) fn channels(&self) -> &Arc<dyn Channels> {
        &self.channels
    }

    /// Sets what the document wants; an older document that comes later is ignored.
    pub(crate) fn handle_meeting(&self, meeting: &Meeting) {
        if meeting.closed {
            return;
        }
        let channel = Channel::of(meeting);
        self.with(|table| {
            let entry = table.entries.entry(meeting.id.0).or_insert_with(Entry::unknown);
            if entry.rev <= meeting.rev {
                entry.rev = meeting.rev;
                entry.wanted = channel;
                table.dirty.insert(meeting.id.0);
            }
        });
        self.changed.notify_one();
    }

    /// Opens the channel of a meeting that is not stored yet.
    pub(crate) async fn open_early(&self, meeting: MeetingId) -> Result<(), ChannelError> {
        self.channels.open(meeting.into()).await?;
        let opened = Channel { open: true, ..Channel::default() };
        self.with(|table| {
            let fresh = Entry { wanted: opened.clone(), applied: Some(opened), ..Entry::unknown() };
            table.entries.entry(meeting.0).or_insert(fresh);
        });
        Ok(())
    }

    /// Closes the channel of a meeting that was not stored.
    pub(crate) async fn close_early(&self, meeting: MeetingId) {
        self.with(|table| table.entries.remove(&meeting.0));
        if let Err(error) = self.channels.close(meeting.into()).await {
            tracing::warn!(%meeting, %error, "a channel that nobody needs stays open");
        }
    }

    /// The participation has a new connection: the calls about the old one must be repeated.
    pub(crate) fn handle_joined(&self, meeting: Uuid, participation: ParticipationId) {
        self.with(|table| {
            let Some(entry) = table.entries.get_mut(&meeting) else { return };
            entry.forget(participation);
            table.dirty.insert(meeting);
        });
        self.changed.notify_one();
    }

    /// The state of the channel is not known: all calls are repeated.
    pub(crate) fn repeat_all(&self, meeting: Uuid) {
        self.with(|table| {
            let Some(entry) = table.entries.get_mut(&meeting) else { return };
            entry.forget_all();
            table.dirty.insert(meeting);
        });
        self.changed.notify_one();
    }

    fn with<T>(&self, act: impl FnOnce(&mut ChannelTable) -> T) -> T {
        act(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The channels on which there are calls to make and none are being made.
    pub(crate) fn poll_work(&self) -> Vec<Work> {
        self.with(|table| {
            let entries = &table.entries;
            let free = |id: &&Uuid| entries.get(*id).is_none_or(|entry| !entry.running);
            let ids: Vec<Uuid> = table.dirty.iter().filter(free).copied().collect();
            ids.into_iter().filter_map(|id| table.start(id)).collect()
        })
    }

    /// Returns whether the channel is closed and removed from the table.
    pub(crate) fn handle_result(&self, run: &Done) -> bool {
        self.with(|table| {
            let Some(entry) = table.entries.get_mut(&run.id) else { return false };
            entry.running = false;
            entry.take_result(run);
            let (is_applied, open) = (entry.applied.as_ref() == Some(&entry.wanted), entry.wanted.open);
            if !is_applied {
                table.dirty.insert(run.id);
            } else if !open {
                table.entries.remove(&run.id);
            }
            is_applied && !open
        })
    }
}

impl ChannelTable {
    fn start(&mut self, id: Uuid) -> Option<Work> {
        self.dirty.remove(&id);
        let entry = self.entries.get_mut(&id)?;
        entry.running = true;
        let pause = RETRY_FIRST * 2_u32.saturating_pow(entry.failures.saturating_sub(1)).min(64);
        let pause = if entry.failures == 0 { Duration::ZERO } else { pause.min(RETRY_MAX) };
        Some(Work { id, wanted: entry.wanted.clone(), applied: entry.applied.clone(), pause })
    }
}

impl Entry {
    fn unknown() -> Self {
        Self {
            rev: 0,
            wanted: Channel::default(),
            applied: None,
            running: false,
            joined: Vec::new(),
            stale: false,
            failures: 0,
        }
    }

    fn forget_all(&mut self) {
        self.applied = None;
        self.stale = self.running;
    }

    fn forget(&mut self, participation: ParticipationId) {
        if let Some(applied) = &mut self.applied {
            applied.admitted.remove(&participation);
        }
        if self.running {
            self.joined.push(participation);
        }
    }

    fn take_result(&mut self, run: &Done) {
        let stale = std::mem::take(&mut self.stale);
        match &run.result {
            Ok(()) => {
                self.failures = 0;
                self.applied = Some(run.wanted.clone()).filter(|_| !stale);
                for participation in std::mem::take(&mut self.joined) {
                    self.forget(participation);
                }
            }
            Err(error) => {
                self.failures += 1;
                self.joined.clear();
                self.applied = None;
                tracing::warn!(channel = %run.id, %error, "the RTC server does not do what the meeting needs; again");
            }
        }
    }
}
