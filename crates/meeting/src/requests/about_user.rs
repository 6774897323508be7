//! Requests about the sender: its state, its contacts, outcomes that it has seen.

use super::RequestHandler;
use crate::commit::{CommitExtra, DecisionError};
use crate::config::Config;
use crate::machine::{Actor, Event, Meeting, OutgoingSignal, Request};
use catalog::{Engagement, EngagementKind, UserState};
use serde::Serialize;
use signalling::{ClientId, DownBody, InvitationId, Joinable, Outcome, Ring, StandingCall, State};
use std::sync::Arc;

/// Longest answer; what does not fit is left out.
const ANSWER_BYTES_MAX: usize = 60 * 1024;

impl RequestHandler<'_> {
    /// A watch begins when the answer is sent.
    pub(super) async fn contacts(&self, actor: &Actor, watch_s: Option<u32>) -> Result<(), DecisionError> {
        let (mut users, number) = self.service.contacts.of(&*self.service.catalog, &actor.user).await?;
        while is_too_long(&users) && users.pop().is_some() {}
        let answer = self.answer(DownBody::Contacts { users: users.clone() });
        self.service.send_directly(answer, None).await?;
        if let Some(watch_s) = watch_s {
            self.service.presence.watch(&actor.client, &users, number, watch_s);
        }
        Ok(())
    }

    pub(super) async fn state(&self, actor: &Actor, known: UserState, now_ms: u64) -> Result<(), DecisionError> {
        let meetings = self.meetings_of(actor, &known.engagements).await?;
        let mut rings: Vec<Ring> = meetings.iter().filter_map(|meeting| self.ring(meeting, actor)).collect();
        let rings_left_out = rings.len() > Config::RINGS_MAX;
        rings.truncate(Config::RINGS_MAX);
        let state = State {
            now_ms,
            user: actor.user.clone(),
            name: actor.name.clone(),
            rings,
            rings_left_out,
            call: meetings.iter().find_map(|meeting| self.standing(meeting, actor)),
            joinable: self.joinable(actor, &known.engagements).await?,
            outcomes: self.outcomes(actor, known).await?,
        };
        self.service.send_behind_outbox(self.answer(DownBody::State(Box::new(shortened(state))))).await
    }

    /// The sender's live meetings; its open rings know this device from now on.
    async fn meetings_of(&self, actor: &Actor, engagements: &[Engagement]) -> Result<Vec<Arc<Meeting>>, DecisionError> {
        let mut meetings = Vec::new();
        for engagement in engagements.iter().filter(|engagement| engagement.kind != EngagementKind::Left) {
            let event = Event::Request { actor: actor.clone(), request: Request::State };
            meetings.extend(self.service.handle_event(engagement.meeting, event).await?);
        }
        Ok(meetings)
    }

    /// Living meetings to which the sender may come back, the last left first.
    async fn joinable(&self, actor: &Actor, engagements: &[Engagement]) -> Result<Vec<Joinable>, DecisionError> {
        let mut found = Vec::new();
        for engagement in
            engagements.iter().rev().filter(|engagement| engagement.kind == EngagementKind::Left).take(Config::LEFT_MAX)
        {
            let Some(known) = self.service.stored_meeting(engagement.meeting).await? else { continue };
            let left_at_ms = known.meeting.former(&actor.user).map(|former| former.left_at_ms);
            found.extend(known.meeting.joinable(&actor.user).map(|joinable| (left_at_ms, joinable)));
        }
        found.sort_by_key(|(left_at_ms, _)| std::cmp::Reverse(*left_at_ms));
        Ok(found.into_iter().take(Config::JOINABLE_MAX).map(|(_, joinable)| joinable).collect())
    }

    fn ring(&self, meeting: &Meeting, actor: &Actor) -> Option<Ring> {
        let (ring, ticket) = meeting.open_ring(&actor.user, &actor.client)?;
        let join = self.service.join_parameters(&ticket);
        Some(Ring { join, ..ring })
    }

    fn standing(&self, meeting: &Meeting, actor: &Actor) -> Option<StandingCall> {
        let current = meeting.current_call(&actor.user, &actor.client)?;
        let join = current.ticket.as_ref().map(|ticket| self.service.join_parameters(ticket));
        Some(StandingCall { join, ..current.call })
    }

    /// Read again after the meetings: a ring may have ended meanwhile, and then its outcome must not be missing.
    async fn outcomes(&self, actor: &Actor, known: UserState) -> Result<Vec<Outcome>, DecisionError> {
        let rows = if known.engagements.is_empty() {
            known.outcomes
        } else {
            self.service.catalog.outcomes(&actor.user.0, Config::OUTCOMES_MAX).await?
        };
        Ok(rows.iter().filter_map(|row| serde_json::from_str(&row.document).ok()).collect())
    }

    /// Seen on one device is seen on all.
    pub(super) async fn seen(&self, actor: &Actor, invitation: InvitationId) -> Result<(), DecisionError> {
        let rows = self.service.catalog.outcomes(&actor.user.0, catalog::limits::OUTCOMES_PER_USER_MAX).await?;
        let row = rows.iter().find(|row| row.invitation == invitation.0);
        let outcome = row.and_then(|row| serde_json::from_str::<Outcome>(&row.document).ok());
        let mut sends = match outcome {
            Some(outcome) => self.seen_signals(actor, &outcome).await?,
            None => Vec::new(),
        };
        if sends.iter().all(|send| send.in_reply_to.is_none()) {
            // There is no such outcome (any more): on `meeting-down`, since the inbox has a higher version of this
            // ring.
            sends.push(self.answer(DownBody::Seen { invitation, rev: 0 }));
        }
        let seen = vec![(actor.user.0.clone(), invitation.0)];
        self.service.answer(self.up.envelope.meeting, sends, CommitExtra { seen, ..self.extra() }).await
    }

    /// To all devices of the user; for the sender it is the answer.
    async fn seen_signals(&self, actor: &Actor, outcome: &Outcome) -> Result<Vec<OutgoingSignal>, DecisionError> {
        // A device that came late may have been told of the ring with a later revision of the meeting.
        let told = self.service.stored_meeting(outcome.meeting.0).await?.map_or(0, |known| known.meeting.rev);
        let (invitation, rev) = (outcome.invitation, outcome.rev.max(told).saturating_add(1));
        let devices = self.service.catalog.devices_of(std::slice::from_ref(&actor.user.0)).await?;
        let expires_at_ms = self.service.now_ms().saturating_add(self.service.config.rules.ring_kept_ms);
        let signal = |client: String| {
            let in_reply_to = (client == actor.client.0).then_some(actor.request);
            let (to, seen) = (ClientId(client), DownBody::Seen { invitation, rev });
            OutgoingSignal { in_reply_to, ..OutgoingSignal::on_ring_down(to, seen, expires_at_ms, (invitation, rev)) }
        };
        Ok(devices.into_iter().map(|device| signal(device.client_id)).collect())
    }
}

/// Leaves out the oldest outcomes, then the oldest joinable meetings, then the last rings, until it is short enough.
fn shortened(mut state: State) -> State {
    while is_too_long(&state) && (state.outcomes.pop().is_some() || state.joinable.pop().is_some()) {}
    while is_too_long(&state) && state.rings.pop().is_some() {
        state.rings_left_out = true;
    }
    state
}

pub(super) fn is_too_long(answer: &impl Serialize) -> bool {
    serde_json::to_vec(answer).map_or(0, |bytes| bytes.len()) > ANSWER_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "00000000-0000-7000-8000-000000000001";

    /// Each ring takes more than 1 KiB.
    fn state(rings: usize, outcomes: usize) -> serde_json::Result<State> {
        let join = json!({
            "endpoints": [], "app": "convoke", "channel": ID, "user": "bob", "participation": ID, "token": "t".repeat(1024),
            "profile": "call", "turn": [],
        });
        let ring = json!({
            "invitation": ID, "rev": 1, "meeting": ID, "from": "alice", "from_name": "Alice", "media": "video",
            "ring_until_ms": 0, "join": join, "ringing": true, "members": 1, "names": [],
        });
        let outcome = json!({
            "invitation": ID, "meeting": ID, "rev": 1, "from": "alice", "from_name": "A".repeat(1024), "media": "video",
            "kind": "missed", "at_ms": 0,
        });
        let state = json!({
            "now_ms": 0, "user": "bob", "name": "Bob", "rings": vec![ring; rings], "outcomes": vec![outcome; outcomes],
        });
        serde_json::from_value(state)
    }

    #[test]
    fn an_answer_that_is_cut_says_that_rings_were_left_out() -> serde_json::Result<()> {
        let cut = shortened(state(100, 0)?);
        assert!(cut.rings_left_out && (1..100).contains(&cut.rings.len()), "{} rings", cut.rings.len());
        assert!(!is_too_long(&cut));
        Ok(())
    }

    #[test]
    fn an_answer_loses_its_outcomes_before_a_ring() -> serde_json::Result<()> {
        let cut = shortened(state(20, 100)?);
        assert!(!cut.rings_left_out && cut.rings.len() == 20 && cut.outcomes.len() < 100);
        Ok(())
    }
}
