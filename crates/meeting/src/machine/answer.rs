//! The answer to a request: each request gets one, on the device that sent it. Which answer it is, is in
//! [`answer_table`](crate::machine::answer_table).
//!
//! A signal that the sender gets anyway may be the answer. A request that has none when all is decided is answered by
//! the state of the meeting.

use crate::machine::decision::{Cause, Decision};
use crate::machine::document::Invitation;
use crate::machine::event::{OutgoingSignal, ParentTopic, Refusal, Ticket};
use signalling::{DownBody, EndReason, InvitationId, OutcomeKind, RefusalCode, RosterChange, UserName};

impl Decision<'_> {
    /// On `meeting-down`.
    pub(super) fn answer(&mut self, body: DownBody) {
        if let Some(actor) = self.actor.clone() {
            self.tell(&actor.client, body);
            self.last_is_answer();
        }
    }

    pub(super) fn refuse(&mut self, code: RefusalCode, words: &str) {
        if self.actor.is_some() {
            self.answer(DownBody::Refused { code, words: words.to_owned() });
        } else {
            self.refused.get_or_insert_with(|| Refusal { code, words: words.to_owned() });
        }
    }

    pub(super) fn answer_admitted(&mut self, ticket: Ticket) {
        self.tell_admitted(ticket);
        self.last_is_answer();
    }

    /// The meeting is over for the sender; the other devices of its user are told elsewhere.
    pub(super) fn answer_over(&mut self, reason: EndReason, by: Option<UserName>) {
        if self.is_told(OutgoingSignal::ends_meeting) {
            return;
        }
        if let Some(actor) = self.actor.clone() {
            self.tell_over(&actor.client, reason, by);
            self.last_is_answer();
        }
    }

    /// The sender's own request ends the ring.
    pub(super) fn answer_ring_end(&mut self, ring: &Invitation, reason: EndReason) {
        if let Some(actor) = self.actor.clone() {
            self.end_ring(ring, &actor.client, reason, Some(actor.user), None);
            self.last_is_answer();
        }
    }

    /// The ring had ended before. On `meeting-down`: on `ring-down` the inbox drops what is not newer than the end.
    pub(super) fn answer_ring_is_over(&mut self, ring: &Invitation, reason: EndReason, missed: Option<OutcomeKind>) {
        if !self.is_told(|send| send.ends_ring(ring.id)) {
            let body = self.ring_end(ring, reason, None, missed);
            self.answer(body);
        }
    }

    /// A request that succeeded and has no answer of its own.
    pub(super) fn answer_by_state(&mut self, cause: &Cause) {
        let Some(user) = self.actor.as_ref().filter(|_| !self.answered).map(|actor| actor.user.clone()) else { return };
        match &self.meeting.end {
            Some(end) => self.answer_over(end.reason, cause.by.clone()),
            None if self.meeting.member(&user).is_some() => {
                self.answer(DownBody::RosterChanged(RosterChange::default()))
            }
            None => self.refuse(RefusalCode::NotMember, "you are not in this meeting any more"),
        }
    }

    /// Makes a signal that the sender gets anyway its answer, if there is one that matches.
    fn is_told(&mut self, such: impl Fn(&OutgoingSignal) -> bool) -> bool {
        let Some(actor) = &self.actor else { return false };
        let Some(at) = self.sends.iter().position(|send| send.to == actor.client && such(send)) else { return false };
        self.make_answer(at);
        true
    }

    fn last_is_answer(&mut self) {
        self.make_answer(self.sends.len().saturating_sub(1));
    }

    fn make_answer(&mut self, at: usize) {
        let request = self.actor.as_ref().filter(|_| !self.answered).map(|actor| actor.request);
        if let (Some(request), Some(send)) = (request, self.sends.get_mut(at)) {
            send.in_reply_to = Some(request);
            self.answered = true;
        }
    }
}

impl OutgoingSignal {
    fn ends_meeting(&self) -> bool {
        matches!(self.body, DownBody::Ended { invitation: None, user: None, .. })
    }

    fn ends_ring(&self, ring: InvitationId) -> bool {
        self.parent == ParentTopic::Ring
            && matches!(self.body, DownBody::Ended { invitation: Some(invitation), .. } if invitation == ring)
    }
}
