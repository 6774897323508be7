//! The feeds of events, one per owner: what shards report, until the owner has read it; and when each was heard of last.
//!
//! A feed is bounded. Where it has forgotten what an owner has not read yet, the owner gets a snapshot of its channels
//! instead, as after a restart: nothing is lost by that but the order in which it happened.

mod kept;

use crate::metrics::{DropReason, Metrics};
use crate::owner::Owner;
use kept::{Found, Kept};
use signalling::{ChannelDescription, ChannelError, ChannelEvent, ChannelEvents, ChannelFuture, EventCursor};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Where there is nothing but reports of quality and speakers, so many are collected into one answer.
const MINOR_PAUSE: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug)]
pub(crate) struct FeedConfig {
    /// The run of the server.
    pub(crate) epoch: u64,
    /// An owner that was not heard of for so long counts as gone.
    pub(crate) lease: Duration,
    pub(crate) owners_max: usize,
    /// Events that are kept for one owner.
    pub(crate) events_max: usize,
}

pub(crate) struct Feeds {
    config: FeedConfig,
    table: Mutex<Table>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Table {
    by_owner: HashMap<Owner, Feed>,
    /// Of all owners together, so that a feed that begins anew goes on above the old one.
    sequence: u64,
    stopped: bool,
}

struct Feed {
    kept: Kept,
    heard_at: Instant,
    /// The sequence number of the newest event.
    newest: watch::Sender<u64>,
    /// The same of those that are not minor.
    newest_major: watch::Sender<u64>,
}

/// What there is to answer now.
enum Look {
    /// A snapshot, and where it goes on.
    Gap(EventCursor),
    Events(Vec<ChannelEvent>),
    None,
}

impl Feeds {
    pub(crate) fn new(config: FeedConfig, metrics: Arc<Metrics>) -> Self {
        Self { config, table: Mutex::default(), metrics }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.config.epoch
    }

    /// The owner was heard of: its channels stay open for one more lease.
    ///
    /// # Errors
    /// There are too many owners, or the server has stopped.
    pub(crate) fn renew(&self, owner: &Owner) -> Result<(), ChannelError> {
        self.with(|table| table.feed(owner, &self.config).map(|feed| feed.heard_at = Instant::now()))
    }

    /// Nobody has renewed the owner's channels for longer than a lease.
    pub(crate) fn is_lapsed(&self, owner: &Owner, now: Instant) -> bool {
        self.with(|table| table.by_owner.get(owner).is_none_or(|feed| feed.is_lapsed(now, self.config.lease)))
    }

    pub(crate) fn send(&self, owner: &Owner, event: ChannelEvent) {
        self.with(|table| {
            table.sequence += 1;
            let sequence = table.sequence;
            let Some(feed) = table.by_owner.get_mut(owner) else { return self.metrics.discard(DropReason::Event) };
            let is_minor = event.kind.is_minor();
            feed.kept.push(ChannelEvent { sequence, ..event });
            feed.newest.send_replace(sequence);
            if !is_minor {
                feed.newest_major.send_replace(sequence);
            }
        });
    }

    /// The events after `after`; waits until there are any, but not for longer than `wait`. `list` tells all channels of
    /// the owner.
    pub(crate) async fn read(
        &self,
        owner: &Owner,
        after: Option<EventCursor>,
        wait: Duration,
        list: impl Fn() -> ChannelFuture<Vec<ChannelDescription>>,
    ) -> Result<ChannelEvents, ChannelError> {
        let until = tokio::time::Instant::now() + wait;
        let (mut newest, mut newest_major) = self.watch(owner)?;
        let mut paused = false;
        loop {
            newest.borrow_and_update();
            newest_major.borrow_and_update();
            match self.look(owner, after)? {
                Look::Gap(cursor) => {
                    let snapshot = Some(list().await?);
                    return Ok(ChannelEvents { cursor, snapshot, events: Vec::new() });
                }
                Look::Events(events) if paused || events.iter().any(|event| !event.kind.is_minor()) => {
                    return Ok(self.answer(after, events));
                }
                Look::Events(_) => {
                    paused = true;
                    drop(tokio::time::timeout(MINOR_PAUSE, newest_major.changed()).await);
                }
                Look::None => match tokio::time::timeout_at(until, newest.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return Ok(self.answer(after, Vec::new())),
                },
            }
        }
    }

    /// Those who wait are answered, and nobody is from now on.
    pub(crate) fn stop(&self) {
        self.with(|table| {
            table.stopped = true;
            table.by_owner.clear();
        });
    }

    fn answer(&self, after: Option<EventCursor>, events: Vec<ChannelEvent>) -> ChannelEvents {
        let read = after.map_or(0, |after| after.sequence);
        let sequence = events.last().map_or(read, |event| event.sequence);
        ChannelEvents { cursor: EventCursor { epoch: self.config.epoch, sequence }, snapshot: None, events }
    }

    fn watch(&self, owner: &Owner) -> Result<(watch::Receiver<u64>, watch::Receiver<u64>), ChannelError> {
        self.with(|table| {
            let feed = table.feed(owner, &self.config)?;
            Ok((feed.newest.subscribe(), feed.newest_major.subscribe()))
        })
    }

    fn look(&self, owner: &Owner, after: Option<EventCursor>) -> Result<Look, ChannelError> {
        self.with(|table| {
            let (epoch, sequence) = (self.config.epoch, table.sequence);
            let feed = table.feed(owner, &self.config)?;
            feed.heard_at = Instant::now();
            let gap = Look::Gap(EventCursor { epoch, sequence });
            let Some(after) = after.filter(|after| after.epoch == epoch && after.sequence <= sequence) else {
                return Ok(gap);
            };
            Ok(match feed.kept.after(after.sequence) {
                Found::Gap => gap,
                Found::Events(events) if events.is_empty() => Look::None,
                Found::Events(events) => Look::Events(events),
            })
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        act(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Table {
    /// The owner's feed; begins one for an owner that was not heard of.
    fn feed(&mut self, owner: &Owner, config: &FeedConfig) -> Result<&mut Feed, ChannelError> {
        if self.stopped {
            return Err(ChannelError::Unavailable("it has stopped".to_owned()));
        }
        if !self.by_owner.contains_key(owner) {
            self.make_room(config)?;
        }
        let (sequence, events_max) = (self.sequence, config.events_max);
        Ok(self.by_owner.entry(owner.clone()).or_insert_with(|| Feed::new(sequence, events_max)))
    }

    /// An owner that is gone makes room for a new one.
    fn make_room(&mut self, config: &FeedConfig) -> Result<(), ChannelError> {
        if self.by_owner.len() < config.owners_max {
            return Ok(());
        }
        let now = Instant::now();
        let lapsed = self.by_owner.iter().filter(|(_, feed)| feed.is_lapsed(now, config.lease));
        let oldest = lapsed.min_by_key(|(_, feed)| feed.heard_at).map(|(owner, _)| owner.clone());
        let oldest = oldest.ok_or_else(|| ChannelError::Limit(format!("{} owners of channels", config.owners_max)))?;
        self.by_owner.remove(&oldest);
        Ok(())
    }
}

impl Feed {
    fn new(sequence: u64, events_max: usize) -> Self {
        let (newest, newest_major) = (watch::Sender::new(sequence), watch::Sender::new(sequence));
        Self { kept: Kept::new(sequence, events_max), heard_at: Instant::now(), newest, newest_major }
    }

    fn is_lapsed(&self, now: Instant, lease: Duration) -> bool {
        now.saturating_duration_since(self.heard_at) >= lease
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use signalling::{ChannelEventKind, ChannelId, ParticipationId};

    const EPOCH: u64 = 7;
    const WAIT: Duration = Duration::from_secs(20);

    fn feeds() -> Feeds {
        let config = FeedConfig { epoch: EPOCH, lease: Duration::from_secs(120), owners_max: 2, events_max: 4 };
        Feeds::new(config, Arc::default())
    }

    fn owner() -> Owner {
        Owner::from("app")
    }

    fn event(kind: ChannelEventKind) -> ChannelEvent {
        let participation = ParticipationId(uuid::Uuid::nil());
        ChannelEvent { sequence: 0, channel: ChannelId::from("c"), rev: 1, participation, connection: 1, kind }
    }

    /// What there is now.
    async fn read(feeds: &Feeds, after: Option<EventCursor>) -> ChannelEvents {
        read_within(feeds, after, Duration::ZERO).await
    }

    async fn read_within(feeds: &Feeds, after: Option<EventCursor>, wait: Duration) -> ChannelEvents {
        let described = ChannelDescription { channel: ChannelId::from("c"), rev: 1, participants: Vec::new() };
        let list = || -> ChannelFuture<_> { Box::pin(std::future::ready(Ok(vec![described.clone()]))) };
        feeds.read(&owner(), after, wait, list).await.unwrap()
    }

    #[tokio::test]
    async fn the_first_question_is_answered_by_a_snapshot_and_the_next_waits_for_what_happens() {
        let feeds = feeds();
        let first = read(&feeds, None).await;
        assert_eq!((first.snapshot.unwrap().len(), first.cursor.epoch), (1, EPOCH));
        let idle = read(&feeds, Some(first.cursor)).await;
        assert_eq!((idle.snapshot, idle.events, idle.cursor), (None, Vec::new(), first.cursor));
        let ((), next) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                feeds.send(&owner(), event(ChannelEventKind::Lost));
            },
            read_within(&feeds, Some(idle.cursor), WAIT)
        );
        assert_eq!(next.events.iter().map(|event| &event.kind).collect::<Vec<_>>(), [&ChannelEventKind::Lost]);
        let again = read(&feeds, Some(idle.cursor)).await;
        assert_eq!(again, next, "at least once: a lost answer is given again");
        assert_eq!(read(&feeds, Some(next.cursor)).await.events, []);
    }

    #[tokio::test]
    async fn a_gap_another_run_and_a_cursor_from_ahead_are_answered_by_a_snapshot() {
        let feeds = feeds();
        let start = read(&feeds, None).await.cursor;
        for _ in 0..5 {
            feeds.send(&owner(), event(ChannelEventKind::Lost));
        }
        assert!(read(&feeds, Some(start)).await.snapshot.is_some());
        let kept = EventCursor { sequence: start.sequence + 1, ..start };
        assert_eq!(read(&feeds, Some(kept)).await.events.len(), 4);
        let other_run = EventCursor { epoch: EPOCH - 1, sequence: start.sequence };
        assert!(read(&feeds, Some(other_run)).await.snapshot.is_some());
        let ahead = EventCursor { sequence: start.sequence + 1_000, ..start };
        assert!(read(&feeds, Some(ahead)).await.snapshot.is_some());
    }

    #[tokio::test]
    async fn an_owner_sees_nothing_of_another_and_a_gone_one_makes_room() {
        let feeds = feeds();
        let start = read(&feeds, None).await.cursor;
        feeds.renew(&Owner::from("other")).unwrap();
        feeds.send(&Owner::from("other"), event(ChannelEventKind::Lost));
        assert_eq!(read(&feeds, Some(start)).await.events, []);
        assert!(matches!(feeds.renew(&Owner::from("third")), Err(ChannelError::Limit(_))));
        feeds.with(|table| {
            let other = table.by_owner.get_mut(&Owner::from("other")).unwrap();
            other.heard_at = other.heard_at.checked_sub(Duration::from_secs(121)).unwrap();
        });
        assert!(feeds.is_lapsed(&Owner::from("other"), Instant::now()));
        feeds.renew(&Owner::from("third")).unwrap();
    }

    #[tokio::test]
    async fn who_waits_when_the_server_stops_is_answered() {
        let feeds = feeds();
        let start = read(&feeds, None).await.cursor;
        let ((), waiting) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                feeds.stop();
            },
            read_within(&feeds, Some(start), WAIT)
        );
        assert_eq!(waiting.events, []);
        assert!(matches!(feeds.renew(&owner()), Err(ChannelError::Unavailable(_))));
    }
}
