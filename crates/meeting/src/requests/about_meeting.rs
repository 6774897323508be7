//! Requests about a meeting that exists, or whose create has not come yet.

use super::RequestHandler;
use crate::commit::stored::StoredMeeting;
use crate::commit::{CommitExtra, DecisionError, TRIES_MAX};
use crate::directory;
use crate::machine::{Actor, Decided, Event, Meeting, Request};
use crate::requests::verify::check_new_meeting;
use catalog::{CommitError, EngagementKind};
use signalling::{DownBody, EndReason, UpBody, UserName};
use std::collections::BTreeSet;

impl RequestHandler<'_> {
    pub(super) async fn about_meeting(&self, actor: &Actor, body: &UpBody) -> Result<(), DecisionError> {
        for _ in 0..TRIES_MAX {
            let done = match self.service.stored_meeting(self.meeting().0).await? {
                Some(stored) => self.decide_request(actor, body, stored).await,
                None => self.without_meeting(actor, body).await,
            };
            match done {
                Err(DecisionError::Commit(CommitError::Conflict)) => {}
                Err(DecisionError::Commit(CommitError::Engaged { .. })) => return self.refuse_engaged().await,
                done => return done,
            }
        }
        Err(CommitError::Conflict.into())
    }

    async fn decide_request(&self, actor: &Actor, body: &UpBody, stored: StoredMeeting) -> Result<(), DecisionError> {
        let Some(request) = self.request(body).await? else { return self.refuse_unknown().await };
        self.apply(actor, request, stored).await
    }

    async fn apply(&self, actor: &Actor, request: Request, stored: StoredMeeting) -> Result<(), DecisionError> {
        let event = Event::Request { actor: actor.clone(), request };
        let decided = self.service.decide(|context| stored.meeting.handle_event(event, context));
        if self.is_read() && !decided.changed {
            return self.answer_read(decided).await;
        }
        self.service.store(Some(&stored), decided, self.extra()).await.map(drop)
    }

    async fn answer_read(&self, decided: Decided) -> Result<(), DecisionError> {
        for send in decided.sends {
            self.service.send_directly(send, Some(decided.meeting.id)).await?;
        }
        Ok(())
    }

    /// A cancel may overtake its create, or name a create that became an accept.
    async fn without_meeting(&self, actor: &Actor, body: &UpBody) -> Result<(), DecisionError> {
        if !matches!(body, UpBody::Cancel { .. } | UpBody::Leave {}) {
            return self.refuse_unknown().await;
        }
        if let Some((stored, answered)) = self.taken_over(actor).await? {
            // A sender that has also answered the ring is in the call by that: only the create is over.
            if answered {
                return self.end_glare_create(actor).await;
            }
            return self.apply(actor, Request::Leave, stored).await;
        }
        if let Err(refusal) = check_new_meeting(self.up.envelope.meeting) {
            return self.refuse(refusal).await;
        }
        if self.creates_too_much(actor).await? {
            return self.refuse_too_many().await;
        }
        let id = self.meeting();
        let decided = self.service.decide(|context| Meeting::handle_early_cancel(id, actor.clone(), context));
        let created_by = Some((actor.user.0.clone(), self.service.now_ms()));
        match self.service.store(None, decided, CommitExtra { created_by, ..self.extra() }).await {
            Err(DecisionError::Commit(CommitError::Conflict)) if self.is_set_aside().await? => {
                self.refuse_unknown().await
            }
            done => done.map(drop),
        }
    }

    /// Whether a meeting of this id is set aside: the id is in use, but there is no meeting to read.
    pub(super) async fn is_set_aside(&self) -> Result<bool, DecisionError> {
        Ok(self.service.stored_meeting(self.meeting().0).await?.is_none())
    }

    async fn end_glare_create(&self, actor: &Actor) -> Result<(), DecisionError> {
        let (reason, by) = (EndReason::Cancelled, Some(actor.user.clone()));
        let ended = DownBody::Ended { invitation: None, user: None, rev: 0, reason, by, outcome: None };
        self.service.answer(self.up.envelope.meeting, vec![self.answer(ended)], self.extra()).await
    }

    /// The meeting that the sender is in because its own create became an accept; and whether its ring was answered,
    /// too.
    async fn taken_over(&self, actor: &Actor) -> Result<Option<(StoredMeeting, bool)>, DecisionError> {
        let engagements = self.service.catalog.engagements_of(std::slice::from_ref(&actor.user.0)).await?;
        for engagement in engagements.into_iter().filter(|engagement| engagement.kind == EngagementKind::In) {
            let Some(stored) = self.service.stored_meeting(engagement.meeting).await? else { continue };
            if let Some(answered) = stored.meeting.took_over(self.meeting(), &actor.user).map(|create| create.answered)
            {
                return Ok(Some((stored, answered)));
            }
        }
        Ok(None)
    }

    /// `None`: it names a user who does not exist, or is no request about a meeting.
    async fn request(&self, body: &UpBody) -> Result<Option<Request>, DecisionError> {
        Ok(Some(match body.clone() {
            UpBody::Invite { callees } => {
                let unique: BTreeSet<UserName> = callees.into_iter().collect();
                let users: Vec<UserName> = unique.into_iter().collect();
                match directory::callees(&*self.service.catalog, &users, self.meeting()).await? {
                    Ok(callees) => Request::Invite { callees },
                    Err(_) => return Ok(None),
                }
            }
            UpBody::Ringing { invitation } => Request::Ringing { invitation },
            UpBody::Accept { invitation } => Request::Accept { invitation },
            UpBody::Reject { invitation, reason } => Request::Reject { invitation, reason },
            UpBody::Cancel { callee } => Request::Cancel { callee },
            UpBody::Join {} => Request::Join,
            UpBody::Leave {} => Request::Leave,
            UpBody::Mute { user, track } => {
                Request::Mute { user: user.filter(|user| Some(user) != self.sender.user.as_ref()), track }
            }
            UpBody::Unmute { track } => Request::Unmute { track },
            UpBody::Block { user, track } => Request::Block { user, track, blocked: true },
            UpBody::Unblock { user, track } => Request::Block { user, track, blocked: false },
            UpBody::AskUnmute { user, track } => Request::AskUnmute { user, track },
            UpBody::Kick { user, ban_s } => Request::Kick { user, ban_s },
            UpBody::Destroy {} => Request::Destroy,
            UpBody::Roster {} => Request::Roster,
            UpBody::Create { .. }
            | UpBody::State {}
            | UpBody::Contacts { .. }
            | UpBody::History { .. }
            | UpBody::Seen { .. } => {
                return Ok(None);
            }
        }))
    }
}
