//! The create request: the accept of a call that rings already, or a new meeting with its channel.

use super::RequestHandler;
use crate::commit::stored::StoredMeeting;
use crate::commit::{CommitExtra, DecisionError, TRIES_MAX};
use crate::directory;
use crate::machine::{Actor, Callee, Create, Decided, Event, Meeting, Request};
use crate::requests::verify::refusal;
use catalog::{CommitError, Engagement, EngagementKind};
use signalling::ChannelError;
use signalling::{InvitationId, Media, RefusalCode, UserName};
use std::collections::BTreeSet;

const MINUTE_MS: u64 = 60_000;

impl RequestHandler<'_> {
    pub(super) async fn create(
        &self,
        actor: &Actor,
        callees: &[UserName],
        media: Media,
        title: Option<String>,
    ) -> Result<(), DecisionError> {
        let unique: BTreeSet<&UserName> = callees.iter().collect();
        let callees: Vec<UserName> = unique.into_iter().cloned().collect();
        let _one_at_a_time = self.service.creating.lock().await;
        for _ in 0..TRIES_MAX {
            match self.try_create(actor, &callees, media, title.clone()).await {
                Err(DecisionError::Commit(CommitError::Conflict)) => {}
                Err(DecisionError::Commit(CommitError::Engaged { .. })) => return self.refuse_engaged().await,
                Err(DecisionError::Channel(ChannelError::Limit(cause))) => return self.refuse_full(&cause).await,
                done => return done,
            }
        }
        Err(CommitError::Conflict.into())
    }

    /// A cancel that is remembered for its create counts as one.
    pub(super) async fn creates_too_much(&self, actor: &Actor) -> Result<bool, DecisionError> {
        let now_ms = self.service.now_ms();
        let since_ms = now_ms.saturating_sub(MINUTE_MS);
        let creates = self.service.catalog.creates_since(&actor.user.0, since_ms, now_ms).await?;
        Ok(creates >= self.service.config.creates_per_minute_max)
    }

    pub(super) async fn refuse_too_many(&self) -> Result<(), DecisionError> {
        let words = format!("{} creates a minute are the limit: wait", self.service.config.creates_per_minute_max);
        self.refuse(refusal(RefusalCode::Limit, words)).await
    }

    async fn try_create(
        &self,
        actor: &Actor,
        callees: &[UserName],
        media: Media,
        title: Option<String>,
    ) -> Result<(), DecisionError> {
        let id = self.meeting();
        let catalog = &*self.service.catalog;
        let engagements = async { Ok(catalog.engagements_of(std::slice::from_ref(&actor.user.0)).await?) };
        let known = async { Ok(directory::callees(catalog, callees, id).await?) };
        let (engagements, known, existing, creates_too_much) =
            tokio::try_join!(engagements, known, self.service.stored_meeting(id.0), self.creates_too_much(actor))?;
        if creates_too_much {
            return self.refuse_too_many().await;
        }
        if let Some((stored, invitation)) = self.glare(actor, callees, &engagements).await? {
            return self.accept_glare(actor, stored, invitation).await;
        }
        // Checked here, too: a meeting that ends as it begins engages nobody, so the commit would not refuse it.
        if engagements.iter().any(|engagement| engagement.kind == EngagementKind::In && engagement.meeting != id.0) {
            return self.refuse_engaged().await;
        }
        let Ok(callees) = known else { return self.refuse_unknown().await };
        let decided = self.decide(actor, callees, media, title, existing.as_ref());
        self.open_and_store(actor, decided, existing.as_ref()).await
    }

    fn decide(
        &self,
        actor: &Actor,
        callees: Vec<Callee>,
        media: Media,
        title: Option<String>,
        existing: Option<&StoredMeeting>,
    ) -> Decided {
        let create = Create { id: self.meeting(), callees, media, title };
        let existing = existing.map(|stored| &*stored.meeting);
        self.service.decide(|context| Meeting::handle_create(create, actor.clone(), existing, context))
    }

    /// Opens the channel before any client can learn of it. Where the meeting is not stored, the channel is left: another
    /// service may be storing a meeting of this id, and else the RTC server closes it.
    async fn open_and_store(
        &self,
        actor: &Actor,
        decided: Decided,
        existing: Option<&StoredMeeting>,
    ) -> Result<(), DecisionError> {
        if decided.changed && !decided.meeting.is_over() {
            self.service.reconciler.open_early(decided.meeting.id).await?;
        }
        let created_by = decided.changed.then(|| (actor.user.0.clone(), self.service.now_ms()));
        match self.service.store(existing, decided, CommitExtra { created_by, ..self.extra() }).await {
            Err(DecisionError::Commit(CommitError::Conflict)) if existing.is_none() && self.is_set_aside().await? => {
                self.refuse(refusal(RefusalCode::Taken, "this meeting id is in use: make a new one (UUIDv7)")).await
            }
            done => done.map(drop),
        }
    }

    /// The open ring by which the only callee calls the sender.
    async fn glare(
        &self,
        actor: &Actor,
        callees: &[UserName],
        engagements: &[Engagement],
    ) -> Result<Option<(StoredMeeting, InvitationId)>, DecisionError> {
        let [callee] = callees else { return Ok(None) };
        for engagement in engagements.iter().filter(|engagement| engagement.kind == EngagementKind::Rung) {
            let Some(stored) = self.service.stored_meeting(engagement.meeting).await? else { continue };
            let ring = stored.meeting.pending_for(&actor.user);
            let ring =
                ring.filter(|ring| ring.by == *callee && !self.service.clock.times().is_over(ring.deadline_ms()));
            if let Some(invitation) = ring.map(|ring| ring.id) {
                return Ok(Some((stored, invitation)));
            }
        }
        Ok(None)
    }

    async fn accept_glare(
        &self,
        actor: &Actor,
        stored: StoredMeeting,
        invitation: InvitationId,
    ) -> Result<(), DecisionError> {
        let request = Request::GlareCreate { create: self.meeting(), invitation };
        let event = Event::Request { actor: actor.clone(), request };
        let decided = self.service.decide(|context| stored.meeting.handle_event(event, context));
        if decided.meeting.member(&actor.user).is_none() {
            // Its deadline passed at this moment: the create makes a meeting of its own.
            return Err(CommitError::Conflict.into());
        }
        self.service.store(Some(&stored), decided, self.extra()).await.map(drop)
    }

    async fn refuse_full(&self, cause: &str) -> Result<(), DecisionError> {
        let words = format!("no channel is free ({cause}): try later");
        self.refuse(refusal(RefusalCode::Limit, words)).await
    }
}
