//! The life of a ring: what the callee and others do, decided by the table.

use crate::machine::decision::{Cause, Decision, EndedRing};
use crate::machine::document::{GlareCreate, Invitation, InvitationState};
use crate::machine::event::Actor;
use crate::machine::ring_table::{self, Notification, RingEvent, RingState, Transition};
use crate::machine::rules::Rules;
use signalling::{ClientId, DownBody, EndReason, InvitationId, MeetingId, OutcomeKind, RefusalCode, RejectReason};

/// The device of the callee that sent the request.
struct Acting<'a> {
    actor: &'a Actor,
    reason: RejectReason,
}

impl Decision<'_> {
    /// A device of the callee rings, accepts or rejects.
    pub(super) fn callee(
        &mut self,
        actor: &Actor,
        invitation: InvitationId,
        event: RingEvent,
        reason: Option<RejectReason>,
    ) -> Cause {
        let known = self.meeting.invitation(invitation).is_some_and(|ring| ring.user == actor.user);
        if !known {
            self.refuse(RefusalCode::NotAllowed, "there is no such invitation for you: ask for your state");
            return Cause::default();
        }
        self.add_device(actor);
        let reason = reason.unwrap_or(RejectReason::Declined);
        let cause = Cause { reason: EndReason::Declined, by: Some(actor.user.clone()), ..Cause::default() };
        self.decide(invitation, event, Some(&Acting { actor, reason }), &cause);
        cause
    }

    /// A create that has met an open ring by its only callee.
    pub(super) fn glare(&mut self, actor: &Actor, create: MeetingId, invitation: InvitationId) -> Cause {
        let cause = self.callee(actor, invitation, RingEvent::Accepts, None);
        if self.meeting.member(&actor.user).is_some() && self.meeting.glare_creates.len() < Rules::GLARE_CREATES_MAX {
            self.meeting.glare_creates.push(GlareCreate { meeting: create, user: actor.user.clone(), answered: false });
        }
        cause
    }

    /// The user has answered the ring that its own create had answered before.
    fn note_answered(&mut self, actor: &Actor) {
        let own = self.meeting.glare_creates.iter_mut().filter(|create| create.user == actor.user);
        own.for_each(|create| create.answered = true);
    }

    /// Adds the acting device to the open ring of its user.
    pub(super) fn add_device(&mut self, actor: &Actor) {
        let wanted = self
            .meeting
            .pending_for(&actor.user)
            .filter(|ring| ring.device(&actor.client).is_none() && ring.devices.len() < Rules::DEVICES_MAX);
        let Some(id) = wanted.map(|ring| ring.id) else { return };
        let device = self.device(&actor.client);
        if let Some(ring) = self.ring_mut(id) {
            ring.devices.push(device);
        }
    }

    /// Somebody other than the callee, or time, ends the ring.
    pub(super) fn decide_from_outside(&mut self, invitation: InvitationId, event: RingEvent, cause: &Cause) {
        self.decide(invitation, event, None, cause);
    }

    /// The meeting ends: so do all open rings.
    pub(super) fn decide_open(&mut self, cause: &Cause) {
        let open: Vec<InvitationId> = self.meeting.pending().map(|ring| ring.id).collect();
        for ring in open {
            self.decide_from_outside(ring, cause.rings, cause);
        }
    }

    fn decide(&mut self, id: InvitationId, event: RingEvent, acting: Option<&Acting<'_>>, cause: &Cause) {
        let Some(before) = self.meeting.invitation(id).cloned() else { return };
        let Some(row) = ring_table::transition(before.state.kind(), event) else { return };
        self.set_state(id, row, acting);
        let Some(ring) = self.meeting.invitation(id).cloned() else { return };
        self.tell_caller(&ring, row, acting, cause);
        if let Some(acting) = acting {
            self.tell_acting(&ring, row, acting);
        }
        self.tell_others(&ring, row, acting, cause);
        if row.missed {
            self.miss(&ring, OutcomeKind::Missed);
        }
        if before.state.is_open() && !ring.state.is_open() {
            self.release_devices(&ring);
            self.ended_rings.push(ring);
        }
    }

    /// Puts the ring into the state that the row names.
    fn set_state(&mut self, id: InvitationId, row: &Transition, acting: Option<&Acting<'_>>) {
        let ring_until_ms = self.now_ms.saturating_add(self.rules.ring_ms);
        let Some(ring) = self.ring_mut(id) else { return };
        match (row.to, acting, row.others) {
            (to, ..) if to == row.from => {}
            (RingState::Ringing, ..) => {
                ring.state = InvitationState::Ringing;
                ring.ring_until_ms = Some(ring_until_ms);
            }
            (RingState::Answered, Some(by), _) => {
                ring.state = InvitationState::Answered { on: by.actor.client.clone() };
            }
            (RingState::Declined, Some(by), _) => {
                ring.state = InvitationState::Declined { on: by.actor.client.clone(), reason: by.reason };
            }
            (_, _, Notification::Ended(reason)) => ring.state = InvitationState::Ended { reason },
            _ => {}
        }
    }

    fn tell_caller(&mut self, ring: &Invitation, row: &Transition, acting: Option<&Acting<'_>>, cause: &Cause) {
        let user = ring.user.clone();
        let body = match row.caller {
            Notification::Ringing => DownBody::Ringing { user },
            Notification::Accepted => DownBody::Accepted { user },
            Notification::Rejected => {
                DownBody::Rejected { user, reason: acting.map_or(RejectReason::Declined, |acting| acting.reason) }
            }
            Notification::Ended(reason) => {
                let by = cause.by.clone();
                return self.rings_to_report.push(EndedRing { ring: ring.id, reason, by });
            }
            Notification::Nothing | Notification::Admitted | Notification::AsDecided => return,
        };
        self.tell_inviter(ring, body);
    }

    fn tell_acting(&mut self, ring: &Invitation, row: &Transition, acting: &Acting<'_>) {
        let actor = acting.actor;
        match row.acting {
            Notification::Admitted => self.admit(ring, actor),
            Notification::Ended(reason) => self.answer_ring_end(ring, reason),
            Notification::AsDecided => self.tell_decided(ring, actor),
            Notification::Ringing => self.answer(DownBody::Ringing { user: actor.user.clone() }),
            Notification::Nothing | Notification::Accepted | Notification::Rejected => {}
        }
    }

    fn tell_decided(&mut self, ring: &Invitation, actor: &Actor) {
        let member = self.meeting.member(&actor.user);
        let here = member.is_some_and(|member| member.client == actor.client);
        // The user answered here, and is in the meeting elsewhere by now, or out of it.
        let gone = if member.is_some() { EndReason::AnsweredElsewhere } else { EndReason::Left };
        match ring.state.end_for(&actor.client) {
            Some(reason) => {
                self.answer_ring_is_over(ring, reason, ring.state.missed());
            }
            None if here => {
                self.note_answered(actor);
                self.admit_again(actor);
            }
            None => self.answer_ring_is_over(ring, gone, None),
        }
    }

    fn tell_others(&mut self, ring: &Invitation, row: &Transition, acting: Option<&Acting<'_>>, cause: &Cause) {
        let Notification::Ended(reason) = row.others else { return };
        let (by, missed) = (cause.by.clone(), row.missed.then_some(OutcomeKind::Missed));
        for device in ring.devices.iter().filter(|device| acting.is_none_or(|by| by.actor.client != device.client)) {
            self.end_ring(ring, &device.client, reason, by.clone(), missed);
        }
    }

    /// The callee becomes a member, on the device that answered.
    fn admit(&mut self, ring: &Invitation, actor: &Actor) {
        let device = ring.device(&actor.client).cloned().unwrap_or_else(|| self.device(&actor.client));
        self.enter(actor, ring.name.clone(), device);
        self.admit_again(actor);
    }

    pub(super) fn admit_again(&mut self, actor: &Actor) {
        if let Some(ticket) = self.meeting.ticket_of(&actor.user) {
            self.answer_admitted(ticket);
        }
    }

    /// Tokens of devices that did not answer open nothing any more.
    fn release_devices(&mut self, ring: &Invitation) {
        let keeps = |client: &ClientId| matches!(&ring.state, InvitationState::Answered { on } if on == client);
        for device in ring.devices.iter().filter(|device| !keeps(&device.client)) {
            self.remove(device.participation);
        }
    }

    pub(super) fn ring_mut(&mut self, id: InvitationId) -> Option<&mut Invitation> {
        self.meeting.invitations.iter_mut().find(|ring| ring.id == id)
    }
}

impl InvitationState {
    pub fn kind(&self) -> RingState {
        match self {
            Self::Invited => RingState::Invited,
            Self::Ringing => RingState::Ringing,
            Self::Answered { .. } => RingState::Answered,
            Self::Declined { .. } => RingState::Declined,
            Self::Busy => RingState::Busy,
            Self::Ended { .. } => RingState::Ended,
        }
    }
}
