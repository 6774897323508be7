//! Invitations: ringing users, and ending rings.

use crate::machine::decision::{Cause, Decision};
use crate::machine::document::{Device, Invitation, InvitationState, Meeting};
use crate::machine::event::{Actor, Callee, Missed, OutgoingSignal};
use crate::machine::ring_table::RingEvent;
use crate::machine::rules::Rules;
use signalling::{
    ClientId, DownBody, EndReason, InvitationId, Outcome, OutcomeKind, ParticipationId, RefusalCode, UserName,
};

impl Decision<'_> {
    pub(super) fn invite(&mut self, actor: &Actor, callees: Vec<Callee>) {
        let engaged = self.meeting.members.len() + self.meeting.pending().count();
        if !self.rules.has_room(engaged, callees.len()) {
            return self.refuse(RefusalCode::Limit, "the meeting has no room for so many: invite fewer");
        }
        if callees.iter().any(|callee| self.meeting.is_banned(&callee.user, self.over())) {
            return self.refuse(RefusalCode::NotAllowed, "the host has banned this user for a time: invite later");
        }
        if callees.iter().any(|callee| self.was_rung_enough(&callee.user)) {
            return self.refuse(RefusalCode::Limit, "this user was rung too often in this meeting: create a new one");
        }
        self.ring(actor, callees);
    }

    fn was_rung_enough(&self, user: &UserName) -> bool {
        self.meeting.invitations.iter().filter(|ring| ring.user == *user).count() >= Rules::RINGS_PER_USER_MAX
    }

    pub(super) fn ring(&mut self, actor: &Actor, callees: Vec<Callee>) {
        for callee in callees {
            let there = self.meeting.member(&callee.user).is_some();
            if !there && self.meeting.pending_for(&callee.user).is_none() {
                self.ring_one(actor, callee);
            }
        }
        self.forget_old_invitations();
    }

    fn ring_one(&mut self, actor: &Actor, callee: Callee) {
        let invitation = self.invitation(actor, &callee);
        if callee.busy {
            self.tell(&actor.client, DownBody::Busy { user: callee.user });
            self.miss(&invitation, OutcomeKind::MissedBusy);
            callee.devices.iter().take(Rules::DEVICES_MAX).for_each(|client| self.tell_busy(&invitation, client));
            self.ended_rings.push(invitation.clone());
        } else {
            if !callee.online {
                let until_ms = invitation.reach_until_ms;
                self.tell(&actor.client, DownBody::Waiting { user: callee.user, until_ms });
            }
            invitation.devices.iter().for_each(|device| self.send_invitation(&invitation, device));
        }
        self.meeting.invitations.push(invitation);
    }

    /// A device of a callee in another call is told at once who called, as a ring that is over.
    fn tell_busy(&mut self, invitation: &Invitation, client: &ClientId) {
        self.end_ring(invitation, client, EndReason::NoAnswer, None, Some(OutcomeKind::MissedBusy));
    }

    /// The callee's last device went offline before one rang: the inviter is told once.
    pub(super) fn unreachable(&mut self, user: &UserName) {
        let waits =
            |ring: &&mut Invitation| ring.user == *user && ring.state == InvitationState::Invited && !ring.waited_for;
        let Some(ring) = self.meeting.invitations.iter_mut().find(waits) else { return };
        ring.waited_for = true;
        let (by, until_ms) = (ring.by.clone(), ring.reach_until_ms);
        if let Some(inviter) = self.meeting.member(&by).map(|member| member.client.clone()) {
            self.tell(&inviter, DownBody::Waiting { user: user.clone(), until_ms });
        }
    }

    fn invitation(&mut self, actor: &Actor, callee: &Callee) -> Invitation {
        let clients = callee.devices.iter().take(if callee.busy { 0 } else { Rules::DEVICES_MAX });
        let devices = clients.map(|client| self.device(client)).collect();
        Invitation {
            id: InvitationId(self.new_id()),
            user: callee.user.clone(),
            name: callee.name.clone(),
            by: actor.user.clone(),
            by_name: actor.name.clone(),
            reach_until_ms: self.now_ms.saturating_add(self.rules.reach_ms),
            ring_until_ms: None,
            waited_for: !callee.online && !callee.busy,
            state: if callee.busy { InvitationState::Busy } else { InvitationState::Invited },
            devices,
        }
    }

    pub(super) fn device(&mut self, client: &ClientId) -> Device {
        Device { client: client.clone(), participation: ParticipationId(self.new_id()), warm: false }
    }

    fn send_invitation(&mut self, invitation: &Invitation, device: &Device) {
        let (ring, ticket) = self.meeting.ring_of(invitation, device);
        let expires_at_ms = invitation.reach_until_ms;
        self.send_ring(invitation.id, &device.client, DownBody::Invitation(Box::new(ring)), expires_at_ms);
        if let Some(send) = self.sends.last_mut() {
            send.ticket = Some(ticket);
        }
    }

    /// On `ring-down`.
    fn send_ring(&mut self, invitation: InvitationId, to: &ClientId, body: DownBody, expires_at_ms: u64) {
        // The version is set when all is decided.
        self.sends.push(OutgoingSignal::on_ring_down(to.clone(), body, expires_at_ms, (invitation, 0)));
    }

    pub(super) fn end_ring(
        &mut self,
        ring: &Invitation,
        to: &ClientId,
        reason: EndReason,
        by: Option<UserName>,
        missed: Option<OutcomeKind>,
    ) {
        let body = self.ring_end(ring, reason, by, missed);
        self.send_ring(ring.id, to, body, self.now_ms.saturating_add(self.rules.ring_kept_ms));
    }

    pub(super) fn ring_end(
        &self,
        ring: &Invitation,
        reason: EndReason,
        by: Option<UserName>,
        missed: Option<OutcomeKind>,
    ) -> DownBody {
        let outcome = missed.map(|kind| self.meeting.outcome_of(ring, kind, self.now_ms));
        DownBody::Ended { invitation: Some(ring.id), user: None, rev: 0, reason, by, outcome }
    }

    pub(super) fn miss(&mut self, ring: &Invitation, kind: OutcomeKind) {
        let outcome = self.meeting.outcome_of(ring, kind, self.now_ms);
        self.missed.push(Missed { user: ring.user.clone(), outcome });
    }

    /// Ends the ring of one callee, or all that are open. The host may cancel any invitation, others their own.
    pub(super) fn cancel(&mut self, actor: &Actor, callee: Option<&UserName>) -> Cause {
        let may = |ring: &&Invitation| ring.by == actor.user || self.meeting.host == actor.user;
        let meant = |ring: &&Invitation| callee.is_none_or(|user| ring.user == *user);
        let rings: Vec<InvitationId> = self.meeting.pending().filter(may).filter(meant).map(|ring| ring.id).collect();
        let cause = Cause { reason: EndReason::Cancelled, by: Some(actor.user.clone()), ..Cause::default() };
        for ring in rings {
            self.decide_from_outside(ring, RingEvent::Cancelled, &cause);
        }
        cause
    }

    /// Rings whose time is over.
    pub(super) fn expire_rings(&mut self) {
        let is_over = self.over();
        let over = self.meeting.pending().filter(|ring| is_over(ring.deadline_ms()));
        let rings: Vec<InvitationId> = over.map(|ring| ring.id).collect();
        let cause = Cause::default();
        for ring in &rings {
            self.decide_from_outside(*ring, RingEvent::TimeOver, &cause);
        }
        if !rings.is_empty() {
            self.end_if_too_few(&cause);
        }
    }

    fn forget_old_invitations(&mut self) {
        while self.meeting.invitations.len() > Rules::INVITATIONS_MAX {
            let Some(oldest) = self.meeting.invitations.iter().position(|ring| !ring.state.is_open()) else { return };
            self.meeting.invitations.remove(oldest);
        }
    }
}

impl Meeting {
    fn outcome_of(&self, ring: &Invitation, kind: OutcomeKind, at_ms: u64) -> Outcome {
        Outcome {
            invitation: ring.id,
            meeting: self.id,
            rev: 0,
            from: ring.by.clone(),
            from_name: ring.by_name.clone(),
            media: self.media,
            kind,
            at_ms,
        }
    }
}
