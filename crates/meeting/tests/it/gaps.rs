//! Gaps of a call: the process ends in each of them, in each of three ways, and the outcome is the same each time.

use crate::world::{World, channel, until};
use catalog::Meetings;
use signalling::{DownBody, EndReason, InvitationId, MeetingId, Track, UpBody};
use std::sync::Arc;

/// How the process ends after a request was published.
#[derive(Clone, Copy, Debug)]
enum End {
    /// At once: the request may or may not be handled.
    AtOnce,
    /// After the commit, before anything was sent.
    BeforeSends,
    /// After everything was sent, before the request was acknowledged.
    BeforeAcks,
}

const STEPS: usize = 6;

struct Call {
    world: World,
    meeting: MeetingId,
    /// The step after whose request the process ends.
    gap: usize,
    end: End,
}

impl Call {
    /// Publishes the request of a step; ends and starts the process if this is the gap.
    async fn step(&mut self, step: usize, client: &str, body: UpBody) {
        let falls = step == self.gap;
        match self.end {
            End::BeforeSends if falls => self.world.let_sends_hang(),
            End::BeforeAcks if falls => self.world.let_acks_hang(),
            _ => {}
        }
        let request = self.world.ask(client, self.meeting, body).await;
        if falls {
            self.wait_for_the_moment(request).await;
            self.world.crash().await;
            self.world.start().await;
        }
    }

    async fn wait_for_the_moment(&self, request: signalling::SignalId) {
        let catalog = Arc::clone(&self.world.catalog);
        match self.end {
            End::AtOnce => {}
            End::BeforeSends => until("it is committed", async || catalog.handled(request.0).await.unwrap()).await,
            End::BeforeAcks => {
                until("it is committed", async || catalog.handled(request.0).await.unwrap()).await;
                until("all is sent", async || catalog.outbox_len().await.unwrap() == 0).await;
            }
        }
    }

    async fn rings(&mut self, client: &str) -> InvitationId {
        let DownBody::Invitation(ring) = self.world.find(client, "invitation").await.body else { panic!("no ring") };
        ring.invitation
    }

    async fn play(&mut self) {
        self.step(0, "alice.phone", crate::world::create(&["bob"])).await;
        let invitation = self.rings("bob.phone").await;
        assert_eq!(self.rings("bob.laptop").await, invitation);
        self.step(1, "bob.phone", UpBody::Ringing { invitation }).await;
        self.world.find("alice.phone", "ringing").await;
        self.step(2, "bob.phone", UpBody::Accept { invitation }).await;
        self.world.find("bob.phone", "admitted").await;
        self.world.find("alice.phone", "accepted").await;
        self.step(3, "alice.phone", UpBody::Block { user: "bob".into(), track: Track::Audio }).await;
        self.world.find("bob.phone", "blocked").await;
        self.step(4, "bob.phone", UpBody::Invite { callees: vec!["carol".into()] }).await;
        self.rings("carol.phone").await;
        self.step(5, "alice.phone", UpBody::Destroy {}).await;
        for client in ["alice.phone", "bob.phone", "carol.phone"] {
            let DownBody::Ended { reason, .. } = self.world.find(client, "ended").await.body else { panic!() };
            assert_eq!(reason, EndReason::Destroyed, "{client}");
        }
    }

    async fn check(&mut self) {
        let catalog = Arc::clone(&self.world.catalog);
        until("the meeting is put away", async || catalog.live_meetings().await.unwrap().is_empty()).await;
        assert!(!self.world.rtc.is_open(&channel(self.meeting)));
        assert_eq!(catalog.creates_since("alice", 0, crate::world::now_ms()).await.unwrap(), 1);
        for client in ["alice.phone", "bob.phone", "bob.laptop", "carol.phone"] {
            let rest = self.world.rest(client).await;
            assert!(!rest.contains(&"invitation") && !rest.contains(&"refused"), "{client} got {rest:?} too");
        }
        let missed: Vec<_> = [self.world.state("carol.phone").await, self.world.state("bob.phone").await]
            .map(|state| state.outcomes.len())
            .into();
        assert_eq!(missed, [1, 0]);
    }
}

async fn every_gap(end: End) {
    for gap in 0..STEPS {
        let mut call = Call { world: World::new().await, meeting: crate::world::new_meeting(), gap, end };
        call.play().await;
        call.check().await;
    }
}

#[tokio::test]
async fn a_call_survives_an_end_at_once_in_every_gap() {
    every_gap(End::AtOnce).await;
}

#[tokio::test]
async fn a_call_survives_an_end_between_commit_and_send_in_every_gap() {
    every_gap(End::BeforeSends).await;
}

#[tokio::test]
async fn a_call_survives_an_end_between_send_and_acknowledgement_in_every_gap() {
    every_gap(End::BeforeAcks).await;
}
