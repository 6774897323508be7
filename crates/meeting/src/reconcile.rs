//! Makes the RTC server do what the documents say.
//!
//! For each channel it knows what is wanted and, as far as it can, what is; it makes the calls that lead from one to the
//! other, in order per channel, channels side by side. After a failed call nothing is known and everything is said
//! again, which the seam allows because its calls are idempotent.

use crate::channels::Channels;
use crate::deciding::{Shared, wanted};
use signalling::ChannelError;
use signalling::meeting::desired::{Call, Channel};
use signalling::meeting::{Event, Meeting};
use signalling::{ChannelId, MeetingId, ParticipationId};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use uuid::Uuid;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// One entry per living meeting, so its size is bounded by theirs.
#[derive(Default)]
struct Book {
    entries: HashMap<Uuid, Entry>,
    dirty: HashSet<Uuid>,
}

struct Entry {
    rev: u64,
    wanted: Channel,
    /// `None`: not known.
    applied: Option<Channel>,
    running: bool,
    /// Joined while it ran.
    joined: Vec<ParticipationId>,
    failures: u32,
}

pub(crate) struct Reconciler {
    channels: Arc<dyn Channels>,
    book: Mutex<Book>,
    changed: Notify,
}

/// One run for one channel.
struct Run {
    id: Uuid,
    wanted: Channel,
    result: Result<(), ChannelError>,
}

impl Reconciler {
    pub(crate) fn new(channels: Arc<dyn Channels>) -> Self {
        Self { channels, book: Mutex::default(), changed: Notify::new() }
    }

    pub(crate) fn channels(&self) -> &dyn Channels {
        &*self.channels
    }

    /// The document says so now; an older one that comes later is ignored.
    pub(crate) fn wants(&self, meeting: &Meeting) {
        let Some(channel) = wanted(meeting) else { return };
        self.with(|book| {
            let entry = book.entries.entry(meeting.id.0).or_insert_with(Entry::unknown);
            if entry.rev <= meeting.rev {
                entry.rev = meeting.rev;
                entry.wanted = channel;
                book.dirty.insert(meeting.id.0);
            }
        });
        self.changed.notify_one();
    }

    /// Opens the channel of a meeting that is not stored yet.
    pub(crate) async fn open_early(&self, meeting: MeetingId) -> Result<(), ChannelError> {
        self.channels.open(meeting.into()).await?;
        let opened = Channel { open: true, ..Channel::default() };
        self.with(|book| {
            let fresh = Entry { wanted: opened.clone(), applied: Some(opened), ..Entry::unknown() };
            book.entries.entry(meeting.0).or_insert(fresh);
        });
        Ok(())
    }

    /// The meeting came to nothing.
    pub(crate) async fn close_early(&self, meeting: MeetingId) {
        self.with(|book| book.entries.remove(&meeting.0));
        if let Err(error) = self.channels.close(meeting.into()).await {
            tracing::warn!(%meeting, %error, "a channel that nobody needs stays open");
        }
    }

    /// The participation has a new connection: what was said of the old one must be said again.
    pub(crate) fn joined(&self, meeting: Uuid, participation: ParticipationId) {
        self.with(|book| {
            let Some(entry) = book.entries.get_mut(&meeting) else { return };
            entry.forget(participation);
            book.dirty.insert(meeting);
        });
        self.changed.notify_one();
    }

    fn with<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        act(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Channels on which there is something to do and nobody does it.
    fn take_work(&self) -> Vec<(Uuid, Channel, Option<Channel>, Duration)> {
        self.with(|book| {
            let entries = &book.entries;
            let free = |id: &&Uuid| entries.get(*id).is_none_or(|entry| !entry.running);
            let ids: Vec<Uuid> = book.dirty.iter().filter(free).copied().collect();
            ids.into_iter().filter_map(|id| book.start(id)).collect()
        })
    }

    /// `true`: the channel is closed and forgotten.
    fn finish(&self, run: &Run) -> bool {
        self.with(|book| {
            let Some(entry) = book.entries.get_mut(&run.id) else { return false };
            entry.running = false;
            entry.take_result(run);
            let (settled, open) = (entry.applied.as_ref() == Some(&entry.wanted), entry.wanted.open);
            if !settled {
                book.dirty.insert(run.id);
            } else if !open {
                book.entries.remove(&run.id);
            }
            settled && !open
        })
    }
}

impl Book {
    fn start(&mut self, id: Uuid) -> Option<(Uuid, Channel, Option<Channel>, Duration)> {
        self.dirty.remove(&id);
        let entry = self.entries.get_mut(&id)?;
        entry.running = true;
        let applied = entry.applied.clone();
        let pause = RETRY_FIRST * 2_u32.saturating_pow(entry.failures.saturating_sub(1)).min(64);
        let pause = if entry.failures == 0 { Duration::ZERO } else { pause.min(RETRY_MAX) };
        Some((id, entry.wanted.clone(), applied, pause))
    }
}

impl Entry {
    fn unknown() -> Self {
        Self { rev: 0, wanted: Channel::default(), applied: None, running: false, joined: Vec::new(), failures: 0 }
    }

    fn forget(&mut self, participation: ParticipationId) {
        if let Some(applied) = &mut self.applied {
            applied.admitted.remove(&participation);
        }
        if self.running {
            self.joined.push(participation);
        }
    }

    fn take_result(&mut self, run: &Run) {
        match &run.result {
            Ok(()) => {
                self.failures = 0;
                self.applied = Some(run.wanted.clone());
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

/// Works until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut runs = JoinSet::new();
    loop {
        for (id, wanted, applied, pause) in shared.reconciler.take_work() {
            let channels = Arc::clone(&shared.reconciler.channels);
            runs.spawn(async move {
                tokio::time::sleep(pause).await;
                let result = lead(&*channels, id, &wanted, applied.as_ref()).await;
                Run { id, wanted, result }
            });
        }
        tokio::select! {
            () = shared.reconciler.changed.notified() => {}
            Some(Ok(run)) = runs.join_next() => {
                if shared.reconciler.finish(&run) {
                    closed(&shared, run.id).await;
                }
            }
        }
    }
}

async fn closed(shared: &Shared, id: Uuid) {
    if let Err(error) = shared.happen(id, Event::ChannelClosed).await {
        tracing::warn!(meeting = %id, %error, "an ended meeting could not be put away; the next start does it");
    }
}

async fn lead(
    channels: &dyn Channels,
    id: Uuid,
    wanted: &Channel,
    applied: Option<&Channel>,
) -> Result<(), ChannelError> {
    for call in wanted.calls_from(applied) {
        perform(channels, MeetingId(id).into(), call).await?;
    }
    Ok(())
}

async fn perform(channels: &dyn Channels, channel: ChannelId, call: Call) -> Result<(), ChannelError> {
    match call {
        Call::Open => channels.open(channel).await,
        Call::Close => channels.close(channel).await,
        Call::Admit(who) => channels.admit(channel, who).await,
        Call::Remove(who) => channels.remove(channel, who).await,
        Call::UpdateRights(who, rights) => channels.update_rights(channel, who, rights).await,
        Call::Mute(who, source, muted) => channels.mute(channel, who, source, muted).await,
    }
}
