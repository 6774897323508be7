//! The contract suite of [`Channels`], to be run on each RTC server behind it.
//!
//! ```text
//! for case in meeting::contract::cases::<MyRig>() {
//!     case.run(&rig).await;
//! }
//! ```
//!
//! A case panics where the contract is broken. All can run against one server, one after the other: some restart it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

use crate::machine::Ticket;
use crate::rtc::channels::Channels;
use crate::token::alias;
use signalling::channel::ChannelFuture;
use signalling::join::{Profile, Rights};
use signalling::{Admission, ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, DesiredChannel};
use signalling::{ChannelId, ClientId, MeetingId, ParticipationId, Sources, UserName};
use signalling::{DesiredParticipation, EventCursor, LeftReason, Participant, Placement};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use uuid::Uuid;

/// The server under test, and a way to join it as a terminal does.
pub trait Rig: Sync {
    /// Keeps the media connection; dropping it without a word is a lost terminal.
    type Connection: Send;

    fn channels(&self) -> &dyn Channels;
    /// Sends a token made of this ticket to the join endpoint and connects: returns when ICE and DTLS are done.
    fn join(&self, ticket: Ticket) -> impl Future<Output = Result<Self::Connection, Refused>> + Send;
    /// The terminal closes its connection.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send;
    /// The server starts again: it has no channel and no connection any more.
    fn restart(&self) -> impl Future<Output = ()> + Send;
    /// Nobody asks for events for as long as it takes to count as gone.
    fn outlive_lease(&self) -> impl Future<Output = ()> + Send;
    /// Longer than anything but a lost connection takes.
    fn patience(&self) -> Duration;
}

/// The answer of the join endpoint to a good token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// 410: this token joins nothing any more.
    Gone,
    /// 503: the channel is not there yet, or not as new as the token.
    Retry,
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

pub struct Case<R> {
    pub name: &'static str,
    run: for<'a> fn(&'a R) -> Running<'a>,
}

impl<R> Case<R> {
    /// Panics where the server breaks the contract.
    pub async fn run(&self, rig: &R) {
        (self.run)(rig).await;
    }
}

macro_rules! cases {
    ($($name:ident)*) => {
        /// One case for each sentence of the contract.
        pub fn cases<R: Rig + 'static>() -> Vec<Case<R>> {
            vec![$(Case { name: stringify!($name), run: |rig| Box::pin($name(Scene::new(rig))) }),*]
        }
    };
}

cases! {
    an_unknown_channel_is_described_as_none
    a_put_opens_the_channel_and_is_answered_by_its_place
    a_put_whose_answer_was_lost_is_answered_again
    what_is_older_or_different_is_refused_with_the_present_revision
    the_late_end_of_a_losing_instance_leaves_the_winners_channel_alone
    an_ended_channel_ends_all_and_lets_nobody_in
    an_end_is_remembered_against_late_puts
    who_is_not_in_the_wish_is_refused
    a_join_is_reported_and_described
    a_token_minted_before_its_put_waits_for_it
    a_token_that_no_put_follows_is_to_come_again
    who_is_admitted_while_joining_does_not_wait
    who_is_kicked_while_joining_is_out
    who_is_removed_is_out_and_stays_out_until_wished_again
    a_close_by_the_terminal_is_reported
    a_newer_participation_replaces_the_same_clients_older_one
    the_same_participation_joins_again_with_a_higher_number_and_what_is_wished_of_it
    events_are_told_again_to_who_has_not_read_them
    an_unknown_cursor_is_answered_by_all_channels
    after_a_restart_between_any_two_puts_the_newest_put_makes_the_channel_what_it_is
    a_restart_is_told_by_a_snapshot_in_which_everybody_is_missing
    what_nobody_is_in_closes_when_its_owner_has_died
}

struct Scene<'a, R> {
    rig: &'a R,
    channel: ChannelId,
    meeting: MeetingId,
    cursor: Option<EventCursor>,
    events: VecDeque<ChannelEvent>,
}

impl<'a, R: Rig> Scene<'a, R> {
    fn new(rig: &'a R) -> Self {
        let meeting = MeetingId(Uuid::now_v7());
        Self { rig, channel: meeting.into(), meeting, cursor: None, events: VecDeque::new() }
    }

    /// From now on it reads the events.
    async fn listen(&mut self) {
        self.cursor = Some(self.rig.channels().events(None).await.unwrap().cursor);
    }

    fn put(&self, rev: u64, desired: Option<DesiredChannel>) -> ChannelFuture<Placement> {
        self.rig.channels().put(self.channel.clone(), rev, desired)
    }

    /// `rev`: of the token.
    fn ticket(&self, user: &str, rev: u64) -> Ticket {
        Ticket {
            meeting: self.meeting,
            user: UserName::from(user),
            client: ClientId(format!("GID_contract@@@{user}")),
            participation: ParticipationId(Uuid::now_v7()),
            rev,
            profile: Profile::Meeting,
        }
    }

    async fn describe(&self) -> Option<ChannelDescription> {
        self.rig.channels().describe(self.channel.clone()).await.unwrap()
    }

    async fn participant(&self, who: ParticipationId) -> Option<Participant> {
        let description = self.describe().await?;
        description.participants.into_iter().find(|participant| participant.participation == who)
    }

    /// Joins, and waits for the report.
    async fn join(&mut self, ticket: &Ticket) -> R::Connection {
        let connection = self.rig.join(ticket.clone()).await.unwrap();
        self.expect(ticket.participation, |kind| matches!(kind, ChannelEventKind::Joined { .. })).await;
        connection
    }

    /// The next event about this participation that is not about quality or speech.
    async fn expect(&mut self, who: ParticipationId, right: impl Fn(&ChannelEventKind) -> bool) -> ChannelEvent {
        let patience = self.rig.patience();
        let next = tokio::time::timeout(patience, self.next(who)).await;
        let event = next.unwrap_or_else(|_| panic!("nothing was reported of {who} within {patience:?}"));
        assert!(right(&event.kind), "another event was expected than {event:?}");
        event
    }

    async fn next(&mut self, who: ParticipationId) -> ChannelEvent {
        loop {
            while let Some(event) = self.events.pop_front() {
                let counts = !event.kind.is_minor() && !matches!(event.kind, ChannelEventKind::FirstPacket { .. });
                if event.channel == self.channel && event.participation == who && counts {
                    return event;
                }
            }
            let read = self.rig.channels().events(self.cursor).await.unwrap();
            assert_eq!(read.snapshot, None, "nothing is missing");
            self.cursor = Some(read.cursor);
            self.events.extend(read.events);
        }
    }

    async fn expect_left(&mut self, who: ParticipationId, reason: LeftReason) {
        self.expect(who, |kind| *kind == ChannelEventKind::Left { reason }).await;
    }

    async fn until_out(&self, who: ParticipationId) {
        let out = async {
            while self.participant(who).await.is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(self.rig.patience(), out).await.expect("it is still in");
    }
}

fn wish_of(ticket: &Ticket, admission: Admission) -> (ParticipationId, DesiredParticipation) {
    let desired = DesiredParticipation {
        user: ticket.user.clone(),
        client: alias(&ticket.client),
        admission,
        rights: Rights::ALL,
        muted: Sources::NONE,
    };
    (ticket.participation, desired)
}

/// All of them are admitted.
fn admitting(tickets: &[&Ticket]) -> Option<DesiredChannel> {
    let participations = tickets.iter().map(|ticket| wish_of(ticket, Admission::Admitted)).collect();
    Some(DesiredChannel { participations })
}

fn holding(ticket: &Ticket) -> Option<DesiredChannel> {
    Some(DesiredChannel { participations: [wish_of(ticket, Admission::Waiting)].into() })
}

fn nobody() -> Option<DesiredChannel> {
    Some(DesiredChannel::default())
}

fn stale<T>(present: u64) -> Result<T, ChannelError> {
    Err(ChannelError::Stale { present })
}

// Wishes.

async fn an_unknown_channel_is_described_as_none<R: Rig>(scene: Scene<'_, R>) {
    assert_eq!(scene.describe().await, None);
}

async fn a_put_opens_the_channel_and_is_answered_by_its_place<R: Rig>(scene: Scene<'_, R>) {
    let placement = scene.put(0, nobody()).await.unwrap();
    assert!(!placement.node.is_empty());
    let described = scene.describe().await.unwrap();
    assert_eq!((described.rev, described.participants.len()), (0, 0));
    assert!(scene.rig.channels().list().await.unwrap().contains(&described));
    assert_eq!(scene.put(7, nobody()).await.unwrap(), placement);
    assert_eq!(scene.describe().await.unwrap().rev, 7);
}

async fn a_put_whose_answer_was_lost_is_answered_again<R: Rig>(scene: Scene<'_, R>) {
    let alice = scene.ticket("alice", 1);
    drop(scene.put(1, admitting(&[&alice])));
    for _ in 0..2 {
        scene.put(1, admitting(&[&alice])).await.unwrap();
    }
    drop(scene.put(2, None));
    for _ in 0..2 {
        scene.put(2, None).await.unwrap();
    }
    assert_eq!(scene.describe().await, None);
}

async fn what_is_older_or_different_is_refused_with_the_present_revision<R: Rig>(scene: Scene<'_, R>) {
    let alice = scene.ticket("alice", 1);
    scene.put(5, admitting(&[&alice])).await.unwrap();
    for (rev, desired) in
        [(5, nobody()), (5, None), (5, holding(&alice)), (4, admitting(&[&alice])), (0, nobody()), (4, None)]
    {
        assert_eq!(scene.put(rev, desired).await, stale(5), "{rev}");
    }
    assert_eq!(scene.describe().await.unwrap().rev, 5);
    assert!(scene.rig.join(alice).await.is_ok());
}

/// Two instances have opened it early; one has committed.
async fn the_late_end_of_a_losing_instance_leaves_the_winners_channel_alone<R: Rig>(scene: Scene<'_, R>) {
    let alice = scene.ticket("alice", 1);
    for _ in 0..2 {
        scene.put(0, nobody()).await.unwrap();
    }
    assert_eq!(scene.put(0, None).await, stale(0), "the winner may be about to put");
    scene.put(1, admitting(&[&alice])).await.unwrap();
    let _connection = scene.rig.join(alice.clone()).await.unwrap();
    for rev in [0, 1] {
        assert_eq!(scene.put(rev, None).await, stale(1));
    }
    assert!(scene.participant(alice.participation).await.unwrap().connected);
}

async fn an_ended_channel_ends_all_and_lets_nobody_in<R: Rig>(mut scene: Scene<'_, R>) {
    scene.listen().await;
    let (alice, bob) = (scene.ticket("alice", 1), scene.ticket("bob", 1));
    scene.put(1, admitting(&[&alice, &bob])).await.unwrap();
    let _connection = scene.join(&alice).await;
    scene.put(2, None).await.unwrap();
    scene.expect_left(alice.participation, LeftReason::Closed).await;
    for ticket in [alice, bob] {
        assert_eq!(scene.rig.join(ticket).await.err(), Some(Refused::Gone));
    }
}

async fn an_end_is_remembered_against_late_puts<R: Rig>(scene: Scene<'_, R>) {
    let alice = scene.ticket("alice", 1);
    scene.put(3, None).await.unwrap();
    assert_eq!(scene.put(2, admitting(&[&alice])).await, stale(3));
    assert_eq!(scene.put(3, admitting(&[&alice])).await, stale(3));
    assert_eq!(scene.describe().await, None);
    scene.put(4, admitting(&[&alice])).await.unwrap();
    assert!(scene.rig.join(alice).await.is_ok());
}

// The join door.

async fn who_is_not_in_the_wish_is_refused<R: Rig>(scene: Scene<'_, R>) {
    let (alice, bob) = (scene.ticket("alice", 1), scene.ticket("bob", 4));
    scene.put(4, admitting(&[&alice])).await.unwrap();
    assert_eq!(scene.rig.join(bob).await.err(), Some(Refused::Gone));
    let mallory = Ticket { user: UserName::from("mallory"), ..alice.clone() };
    assert_eq!(scene.rig.join(mallory).await.err(), Some(Refused::Gone), "the token is another's");
}

async fn a_join_is_reported_and_described<R: Rig>(mut scene: Scene<'_, R>) {
    scene.listen().await;
    let ticket = scene.ticket("alice", 3);
    scene.put(3, holding(&ticket)).await.unwrap();
    let connection = scene.rig.join(ticket.clone()).await.unwrap();
    let joined = scene.expect(ticket.participation, |kind| matches!(kind, ChannelEventKind::Joined { .. })).await;
    let found = scene.participant(ticket.participation).await.unwrap();
    assert!(found.connected && found.waiting);
    assert_eq!((found.user, found.connection, joined.rev), (ticket.user, joined.connection, 3));
    drop(connection);
}

async fn a_token_minted_before_its_put_waits_for_it<R: Rig>(scene: Scene<'_, R>) {
    let (alice, bob) = (scene.ticket("alice", 1), scene.ticket("bob", 2));
    let put = async |rev, desired| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        scene.put(rev, desired).await.unwrap();
    };
    let (joined, ()) = tokio::join!(scene.rig.join(alice.clone()), put(1, admitting(&[&alice])));
    assert!(joined.is_ok());
    let (joined, ()) = tokio::join!(scene.rig.join(bob.clone()), put(2, admitting(&[&alice, &bob])));
    assert!(joined.is_ok());
}

async fn a_token_that_no_put_follows_is_to_come_again<R: Rig>(scene: Scene<'_, R>) {
    let (alice, bob) = (scene.ticket("alice", 1), scene.ticket("bob", 2));
    assert_eq!(scene.rig.join(alice.clone()).await.err(), Some(Refused::Retry));
    scene.put(1, admitting(&[&alice])).await.unwrap();
    assert_eq!(scene.rig.join(bob).await.err(), Some(Refused::Retry));
}

async fn who_is_admitted_while_joining_does_not_wait<R: Rig>(scene: Scene<'_, R>) {
    let ticket = scene.ticket("alice", 1);
    scene.put(1, holding(&ticket)).await.unwrap();
    let (joined, put) = tokio::join!(scene.rig.join(ticket.clone()), scene.put(2, admitting(&[&ticket])));
    put.unwrap();
    let _connection = joined.unwrap();
    assert!(!scene.participant(ticket.participation).await.unwrap().waiting);
}

async fn who_is_kicked_while_joining_is_out<R: Rig>(scene: Scene<'_, R>) {
    let ticket = scene.ticket("alice", 1);
    scene.put(1, admitting(&[&ticket])).await.unwrap();
    let (joined, put) = tokio::join!(scene.rig.join(ticket.clone()), scene.put(2, nobody()));
    put.unwrap();
    scene.until_out(ticket.participation).await;
    drop(joined);
    assert_eq!(scene.rig.join(ticket).await.err(), Some(Refused::Gone));
}

async fn who_is_removed_is_out_and_stays_out_until_wished_again<R: Rig>(mut scene: Scene<'_, R>) {
    scene.listen().await;
    let ticket = scene.ticket("alice", 1);
    scene.put(1, admitting(&[&ticket])).await.unwrap();
    let _connection = scene.join(&ticket).await;
    scene.put(2, nobody()).await.unwrap();
    scene.expect_left(ticket.participation, LeftReason::Removed).await;
    assert_eq!(scene.rig.join(ticket.clone()).await.err(), Some(Refused::Gone));
    scene.put(3, admitting(&[&ticket])).await.unwrap();
    assert!(scene.rig.join(ticket).await.is_ok());
}

// Events.

async fn a_close_by_the_terminal_is_reported<R: Rig>(mut scene: Scene<'_, R>) {
    scene.listen().await;
    let ticket = scene.ticket("alice", 1);
    scene.put(1, admitting(&[&ticket])).await.unwrap();
    let connection = scene.join(&ticket).await;
    scene.rig.close(connection).await;
    scene.expect_left(ticket.participation, LeftReason::Gone).await;
    assert_eq!(scene.participant(ticket.participation).await, None);
}

async fn a_newer_participation_replaces_the_same_clients_older_one<R: Rig>(mut scene: Scene<'_, R>) {
    scene.listen().await;
    let (older, newer) = (scene.ticket("alice", 1), scene.ticket("alice", 1));
    scene.put(1, admitting(&[&older, &newer])).await.unwrap();
    let _older = scene.join(&older).await;
    let _newer = scene.rig.join(newer.clone()).await.unwrap();
    scene.expect_left(older.participation, LeftReason::Replaced).await;
    assert_eq!(scene.participant(older.participation).await, None);
    assert!(scene.participant(newer.participation).await.unwrap().connected);
}

/// A reload of a page, or a restart of a terminal.
async fn the_same_participation_joins_again_with_a_higher_number_and_what_is_wished_of_it<R: Rig>(
    mut scene: Scene<'_, R>,
) {
    scene.listen().await;
    let ticket = scene.ticket("alice", 1);
    scene.put(1, admitting(&[&ticket])).await.unwrap();
    let _older = scene.join(&ticket).await;
    let before = scene.participant(ticket.participation).await.unwrap().connection;
    scene.put(2, holding(&ticket)).await.unwrap();
    let _newer = scene.rig.join(ticket.clone()).await.unwrap();
    let participants = scene.describe().await.unwrap().participants;
    assert_eq!(participants.len(), 1);
    assert!(participants[0].connected && participants[0].waiting && participants[0].connection > before);
}

async fn events_are_told_again_to_who_has_not_read_them<R: Rig>(mut scene: Scene<'_, R>) {
    scene.listen().await;
    let before = scene.cursor;
    let ticket = scene.ticket("alice", 1);
    scene.put(1, admitting(&[&ticket])).await.unwrap();
    for _ in 0..2 {
        let connection = scene.join(&ticket).await;
        scene.rig.close(connection).await;
        scene.expect_left(ticket.participation, LeftReason::Gone).await;
    }
    (scene.cursor, scene.events) = (before, VecDeque::new());
    for _ in 0..2 {
        scene.expect(ticket.participation, |kind| matches!(kind, ChannelEventKind::Joined { .. })).await;
        scene.expect_left(ticket.participation, LeftReason::Gone).await;
    }
}

async fn an_unknown_cursor_is_answered_by_all_channels<R: Rig>(mut scene: Scene<'_, R>) {
    scene.listen().await;
    let ticket = scene.ticket("alice", 1);
    scene.put(1, admitting(&[&ticket])).await.unwrap();
    let _connection = scene.join(&ticket).await;
    let known = scene.cursor.unwrap();
    let other_run = EventCursor { epoch: known.epoch + 1, ..known };
    let ahead = EventCursor { sequence: known.sequence + 1_000_000, ..known };
    for cursor in [None, Some(other_run), Some(ahead)] {
        let snapshot = scene.rig.channels().events(cursor).await.unwrap().snapshot.unwrap();
        let described = snapshot.into_iter().find(|described| described.channel == scene.channel).unwrap();
        assert!(described.connected().contains(&ticket.participation));
    }
}

// Restarts, and owners that die.

async fn after_a_restart_between_any_two_puts_the_newest_put_makes_the_channel_what_it_is<R: Rig>(scene: Scene<'_, R>) {
    for lost_after in 0..4 {
        let scene = Scene::new(scene.rig);
        let alice = scene.ticket("alice", 1);
        let puts = [(0, nobody()), (1, holding(&alice)), (2, admitting(&[&alice])), (3, None)];
        for (rev, desired) in puts.clone().into_iter().take(lost_after + 1) {
            scene.put(rev, desired).await.unwrap();
        }
        scene.rig.restart().await;
        assert_eq!(scene.describe().await, None);
        let (rev, desired) = puts[lost_after].clone();
        scene.put(rev, desired.clone()).await.unwrap();
        assert_eq!(scene.describe().await.map(|described| described.rev), desired.map(|_| rev));
        for (rev, desired) in puts.into_iter().skip(lost_after + 1) {
            scene.put(rev, desired).await.unwrap();
        }
        assert_eq!(scene.describe().await, None);
    }
}

async fn a_restart_is_told_by_a_snapshot_in_which_everybody_is_missing<R: Rig>(mut scene: Scene<'_, R>) {
    scene.listen().await;
    let ticket = scene.ticket("alice", 1);
    let before = scene.put(1, admitting(&[&ticket])).await.unwrap();
    let _connection = scene.join(&ticket).await;
    scene.rig.restart().await;
    let read = scene.rig.channels().events(scene.cursor).await.unwrap();
    assert!(read.snapshot.unwrap().iter().all(|described| described.channel != scene.channel));
    let after = scene.put(1, admitting(&[&ticket])).await.unwrap();
    assert!(before.epoch != after.epoch && after.epoch == read.cursor.epoch);
    assert!(scene.rig.join(ticket).await.is_ok());
}

async fn what_nobody_is_in_closes_when_its_owner_has_died<R: Rig>(scene: Scene<'_, R>) {
    let ticket = scene.ticket("alice", 1);
    scene.put(1, admitting(&[&ticket])).await.unwrap();
    scene.rig.outlive_lease().await;
    assert_eq!(scene.describe().await, None);
    scene.put(1, admitting(&[&ticket])).await.unwrap();
    let _connection = scene.rig.join(ticket.clone()).await.unwrap();
    scene.rig.outlive_lease().await;
    assert!(scene.participant(ticket.participation).await.is_some(), "who is in stays");
}
