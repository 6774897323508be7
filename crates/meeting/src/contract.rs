//! The contract suite of [`Channels`], to be run on each RTC server behind it.
//!
//! ```text
//! for case in meeting::contract::cases::<MyRig>() {
//!     case.run(&rig).await;
//! }
//! ```
//!
//! A case panics where the contract is broken. All can run against one server: each makes its own channel.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

use crate::machine::Ticket;
use crate::rtc::channels::Channels;
use signalling::join::{Profile, Rights};
use signalling::{ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, LeftReason, Participant};
use signalling::{ChannelId, ClientId, MeetingId, ParticipationId, Source, UserName};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// The server under test, and a way to join it as a terminal does.
pub trait Rig: Sync {
    /// Keeps the media connection; dropping it without a word is a lost terminal.
    type Connection: Send;

    fn channels(&self) -> &dyn Channels;
    /// Sends a token made of this ticket to the join endpoint and connects: returns when ICE and DTLS are done, `None` when
    /// it is refused.
    fn join(&self, ticket: Ticket) -> impl Future<Output = Option<Self::Connection>> + Send;
    /// The terminal closes its connection.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send;
    /// Longer than anything but a lost connection takes.
    fn patience(&self) -> Duration;
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
    an_opened_channel_is_there_and_empty
    opening_and_closing_may_be_repeated
    calls_about_an_unknown_channel_say_so
    calls_about_somebody_who_has_not_joined_succeed
    a_join_is_reported_and_described
    an_admit_ends_the_waiting
    an_admit_before_the_join_holds
    a_close_by_the_terminal_is_reported
    whoever_is_removed_is_out_and_stays_out
    a_removal_before_the_join_holds
    a_closed_channel_ends_all_and_lets_nobody_in
    a_newer_participation_replaces_the_same_clients_older_one
    the_same_participation_may_join_again
    a_later_receiver_of_events_takes_over
}

struct Scene<'a, R> {
    rig: &'a R,
    channel: ChannelId,
    meeting: MeetingId,
    events: mpsc::Receiver<ChannelEvent>,
}

fn participation() -> ParticipationId {
    ParticipationId(Uuid::now_v7())
}

impl<'a, R: Rig> Scene<'a, R> {
    fn new(rig: &'a R) -> Self {
        let meeting = MeetingId(Uuid::now_v7());
        Self { rig, channel: meeting.into(), meeting, events: rig.channels().events() }
    }

    async fn opened(rig: Self) -> Self {
        rig.rig.channels().open(rig.channel.clone()).await.unwrap();
        rig
    }

    fn ticket(&self, user: &str, waiting: bool) -> Ticket {
        Ticket {
            meeting: self.meeting,
            user: UserName::from(user),
            client: ClientId(format!("GID_contract@@@{user}")),
            participation: participation(),
            waiting,
            rights: Rights::ALL,
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
    async fn expect(&mut self, who: ParticipationId, right: impl Fn(&ChannelEventKind) -> bool) {
        let patience = self.rig.patience();
        let next = tokio::time::timeout(patience, self.next(who)).await;
        let kind = next.unwrap_or_else(|_| panic!("nothing was reported of {who} within {patience:?}"));
        assert!(right(&kind), "another event was expected than {kind:?}");
    }

    async fn next(&mut self, who: ParticipationId) -> ChannelEventKind {
        loop {
            let event = self.events.recv().await.unwrap();
            let minor = matches!(event.kind, ChannelEventKind::Quality { .. } | ChannelEventKind::Speaker { .. });
            if event.channel == self.channel && event.participation == who && !minor {
                return event.kind;
            }
        }
    }

    async fn expect_left(&mut self, who: ParticipationId, reason: LeftReason) {
        self.expect(who, |kind| *kind == ChannelEventKind::Left(reason)).await;
    }
}

async fn an_unknown_channel_is_described_as_none<R: Rig>(scene: Scene<'_, R>) {
    assert_eq!(scene.describe().await, None);
}

async fn an_opened_channel_is_there_and_empty<R: Rig>(scene: Scene<'_, R>) {
    let scene = Scene::opened(scene).await;
    assert_eq!(scene.describe().await, Some(ChannelDescription { participants: Vec::new() }));
}

async fn opening_and_closing_may_be_repeated<R: Rig>(scene: Scene<'_, R>) {
    let channels = scene.rig.channels();
    for _ in 0..2 {
        channels.open(scene.channel.clone()).await.unwrap();
    }
    for _ in 0..2 {
        channels.close(scene.channel.clone()).await.unwrap();
    }
    assert_eq!(scene.describe().await, None);
}

async fn calls_about_an_unknown_channel_say_so<R: Rig>(scene: Scene<'_, R>) {
    let (channels, channel, who) = (scene.rig.channels(), || scene.channel.clone(), participation());
    let unknown = Err(ChannelError::UnknownChannel);
    assert_eq!(channels.admit(channel(), who).await, unknown);
    assert_eq!(channels.update_rights(channel(), who, Rights::ALL).await, unknown);
    assert_eq!(channels.mute(channel(), who, Source::Camera, true).await, unknown);
}

async fn calls_about_somebody_who_has_not_joined_succeed<R: Rig>(scene: Scene<'_, R>) {
    let scene = Scene::opened(scene).await;
    let (channels, channel, who) = (scene.rig.channels(), || scene.channel.clone(), participation());
    for _ in 0..2 {
        channels.admit(channel(), who).await.unwrap();
        channels.update_rights(channel(), who, Rights::ALL).await.unwrap();
        channels.mute(channel(), who, Source::Microphone, true).await.unwrap();
        channels.remove(channel(), who).await.unwrap();
    }
    assert_eq!(scene.describe().await.unwrap().participants, []);
}

async fn a_join_is_reported_and_described<R: Rig>(scene: Scene<'_, R>) {
    let mut scene = Scene::opened(scene).await;
    let ticket = scene.ticket("alice", true);
    let _connection = scene.join(&ticket).await;
    let found = scene.participant(ticket.participation).await.unwrap();
    assert!(found.connected && found.waiting);
    assert_eq!(found.user, ticket.user);
}

async fn an_admit_ends_the_waiting<R: Rig>(scene: Scene<'_, R>) {
    let mut scene = Scene::opened(scene).await;
    let ticket = scene.ticket("alice", true);
    let _connection = scene.join(&ticket).await;
    for _ in 0..2 {
        scene.rig.channels().admit(scene.channel.clone(), ticket.participation).await.unwrap();
    }
    assert!(!scene.participant(ticket.participation).await.unwrap().waiting);
}

async fn an_admit_before_the_join_holds<R: Rig>(scene: Scene<'_, R>) {
    let mut scene = Scene::opened(scene).await;
    let ticket = scene.ticket("alice", true);
    scene.rig.channels().admit(scene.channel.clone(), ticket.participation).await.unwrap();
    let _connection = scene.join(&ticket).await;
    assert!(!scene.participant(ticket.participation).await.unwrap().waiting);
}

async fn a_close_by_the_terminal_is_reported<R: Rig>(scene: Scene<'_, R>) {
    let mut scene = Scene::opened(scene).await;
    let ticket = scene.ticket("alice", false);
    let connection = scene.join(&ticket).await;
    scene.rig.close(connection).await;
    scene.expect_left(ticket.participation, LeftReason::Gone).await;
    assert_eq!(scene.participant(ticket.participation).await, None);
}

async fn whoever_is_removed_is_out_and_stays_out<R: Rig>(scene: Scene<'_, R>) {
    let mut scene = Scene::opened(scene).await;
    let ticket = scene.ticket("alice", false);
    let _connection = scene.join(&ticket).await;
    scene.rig.channels().remove(scene.channel.clone(), ticket.participation).await.unwrap();
    scene.expect_left(ticket.participation, LeftReason::Removed).await;
    assert!(scene.rig.join(ticket).await.is_none());
}

async fn a_removal_before_the_join_holds<R: Rig>(scene: Scene<'_, R>) {
    let scene = Scene::opened(scene).await;
    let ticket = scene.ticket("alice", false);
    scene.rig.channels().remove(scene.channel.clone(), ticket.participation).await.unwrap();
    assert!(scene.rig.join(ticket).await.is_none());
}

async fn a_closed_channel_ends_all_and_lets_nobody_in<R: Rig>(scene: Scene<'_, R>) {
    let mut scene = Scene::opened(scene).await;
    let (alice, bob) = (scene.ticket("alice", false), scene.ticket("bob", false));
    let _connection = scene.join(&alice).await;
    scene.rig.channels().close(scene.channel.clone()).await.unwrap();
    scene.expect_left(alice.participation, LeftReason::Closed).await;
    assert!(scene.rig.join(bob).await.is_none());
}

async fn a_newer_participation_replaces_the_same_clients_older_one<R: Rig>(scene: Scene<'_, R>) {
    let mut scene = Scene::opened(scene).await;
    let (older, newer) = (scene.ticket("alice", false), scene.ticket("alice", false));
    let _older = scene.join(&older).await;
    let _newer = scene.rig.join(newer.clone()).await.unwrap();
    scene.expect_left(older.participation, LeftReason::Replaced).await;
    assert_eq!(scene.participant(older.participation).await, None);
    assert!(scene.participant(newer.participation).await.unwrap().connected);
}

/// A reload of a page, or a restart of a terminal: it has the same participation.
async fn the_same_participation_may_join_again<R: Rig>(scene: Scene<'_, R>) {
    let mut scene = Scene::opened(scene).await;
    let ticket = scene.ticket("alice", false);
    let _older = scene.join(&ticket).await;
    let _newer = scene.rig.join(ticket.clone()).await.unwrap();
    let participants = scene.describe().await.unwrap().participants;
    assert_eq!(participants.len(), 1);
    assert!(participants[0].connected);
}

async fn a_later_receiver_of_events_takes_over<R: Rig>(scene: Scene<'_, R>) {
    let mut scene = Scene::opened(scene).await;
    scene.events = scene.rig.channels().events();
    let ticket = scene.ticket("alice", false);
    let _connection = scene.join(&ticket).await;
}
