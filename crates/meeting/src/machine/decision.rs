//! The decision of one event: the document as it changes, and the signals that it causes.

use crate::machine::document::{End, Invitation, Meeting, Member, Removed};
use crate::machine::event::{Actor, Context, Decided, Event, Missed, OutgoingSignal, Refusal, Request, Ticket};
use crate::machine::ring_table::RingEvent;
use crate::machine::roster::roster_change;
use crate::machine::rules::Rules;
use signalling::{ClientId, DownBody, EndReason, InvitationId, ParticipationId, RefusalCode, Roster, UserName};
use std::ops::Range;
use uuid::Uuid;

impl Meeting {
    /// Decides one event. A sender that may not act is answered with `refused`; nothing else happens then.
    pub fn handle_event(&self, event: Event, context: Context<'_>) -> Decided {
        let is_settled = context.is_settled;
        let mut decision = Decision::new(self.clone(), context);
        if is_settled {
            decision.meeting.pull_in_bans(decision.now_ms);
        }
        decision.expire_rings();
        let cause = decision.handle(event);
        decision.finish(Some(self), &cause)
    }
}

/// Why the meeting would end by an event, if that leaves too few in it.
pub(super) struct Cause {
    /// What the members are told.
    pub reason: EndReason,
    /// Who did it, for everybody who is told of an end.
    pub by: Option<UserName>,
    /// What happens to rings that are still open when nobody is in any more.
    pub rings: RingEvent,
}

impl Default for Cause {
    /// Nobody has done anything: time has passed.
    fn default() -> Self {
        Self { reason: EndReason::NoAnswer, by: None, rings: RingEvent::CallerGone }
    }
}

/// A ring that was ended by somebody else than the callee.
pub(super) struct EndedRing {
    pub ring: InvitationId,
    pub reason: EndReason,
    pub by: Option<UserName>,
}

pub(super) struct Decision<'c> {
    pub meeting: Meeting,
    pub now_ms: u64,
    held_ms: Range<u64>,
    pub rules: &'c Rules,
    ids: &'c mut dyn FnMut() -> Uuid,
    /// The sender of the request: it gets the answer.
    pub actor: Option<Actor>,
    /// Who has caused what happens, if a person has.
    pub by: Option<UserName>,
    /// Of a request that no terminal has sent.
    pub refused: Option<Refusal>,
    /// The sender of the request has its answer, or gets it from the service.
    pub answered: bool,
    /// Rings whose end the inviter is told, if the meeting goes on.
    pub rings_to_report: Vec<EndedRing>,
    pub sends: Vec<OutgoingSignal>,
    pub missed: Vec<Missed>,
    /// Members that went.
    pub departed: Vec<Member>,
    /// Rings that ended, also by an answer.
    pub ended_rings: Vec<Invitation>,
}

impl<'c> Decision<'c> {
    pub(super) fn new(meeting: Meeting, context: Context<'c>) -> Self {
        Self {
            meeting,
            now_ms: context.now_ms,
            held_ms: context.held_ms,
            rules: context.rules,
            ids: context.ids,
            actor: None,
            by: None,
            refused: None,
            answered: false,
            rings_to_report: Vec::new(),
            sends: Vec::new(),
            missed: Vec::new(),
            departed: Vec::new(),
            ended_rings: Vec::new(),
        }
    }

    /// Whether a deadline has passed.
    pub(super) fn over(&self) -> impl Fn(u64) -> bool + use<> {
        let (now_ms, held_ms) = (self.now_ms, self.held_ms.clone());
        move |deadline_ms| deadline_ms <= now_ms && !held_ms.contains(&deadline_ms)
    }

    /// Changes the document; returns why the meeting would end by that.
    fn handle(&mut self, event: Event) -> Cause {
        match event {
            Event::Request { actor, request } => {
                self.set_actor(&actor);
                return self.request(&actor, request);
            }
            Event::Operator { request } => return self.operator_request(request),
            Event::Removed { client } => return self.removed_client(&client),
            Event::Due { online } => {
                self.meeting.pull_in(self.now_ms, self.rules);
                let cause = self.gone_members(&online);
                self.show_closed();
                self.show_no_media();
                return cause;
            }
            Event::Media { participation, change } => self.media(participation, change),
            Event::Online { client, online } => self.online(&client, online),
            Event::CleanDisconnect { client } => self.clean_disconnect(&client),
            Event::Unreachable { user } => self.unreachable(&user),
            Event::Connected { connected } => self.connected(&connected),
            Event::Restarted { connected, online } => self.restarted(&connected, &online),
            Event::ChannelClosed => self.meeting.closed = self.meeting.is_over(),
        }
        Cause::default()
    }

    pub(super) fn set_actor(&mut self, actor: &Actor) {
        self.by = Some(actor.user.clone());
        self.actor = Some(actor.clone());
    }

    fn request(&mut self, actor: &Actor, request: Request) -> Cause {
        match request {
            Request::GlareCreate { create, invitation } => self.glare(actor, create, invitation),
            Request::Ringing { invitation } => self.callee(actor, invitation, RingEvent::Rings, None),
            Request::Accept { invitation } => self.callee(actor, invitation, RingEvent::Accepts, None),
            Request::Reject { invitation, reason } => self.callee(actor, invitation, RingEvent::Rejects, Some(reason)),
            Request::State => {
                self.answered = true;
                self.add_device(actor);
                Cause::default()
            }
            of_member => self.member_request(actor, of_member),
        }
    }

    /// Requests that only a member may make.
    fn member_request(&mut self, actor: &Actor, request: Request) -> Cause {
        if self.meeting.member(&actor.user).is_none() {
            return self.former_request(actor, &request);
        }
        match request {
            Request::Cancel { callee } => return self.cancel(actor, callee.as_ref()),
            Request::Leave => return self.leave(actor),
            Request::Invite { callees } => self.invite(actor, callees),
            Request::Join => self.join(actor),
            Request::Mute { user: None, track } => self.mute_self(actor, track, true),
            Request::Unmute { track } => self.mute_self(actor, track, false),
            Request::AskUnmute { user, track } => self.ask_unmute(&actor.user, &user, track),
            Request::Roster => self.answer(DownBody::Roster(Roster::default())),
            of_host if self.meeting.host == actor.user => return self.host_request(&actor.user, of_host),
            _ => self.refuse(RefusalCode::NotHost, "only the host of the meeting may do this: ask the host"),
        }
        Cause::default()
    }

    /// A former member may come back, and may leave once more.
    fn former_request(&mut self, actor: &Actor, request: &Request) -> Cause {
        let former = !self.meeting.is_over() && self.meeting.former(&actor.user).is_some();
        match request {
            Request::Join if former => return self.come_back(actor),
            Request::Leave if former => self.answer_over(EndReason::Left, Some(actor.user.clone())),
            _ => self.refuse_non_member(actor),
        }
        Cause::default()
    }

    /// The sender is not in the meeting: it is told how the meeting ended if it had to do with it, else nothing of its
    /// existence.
    fn refuse_non_member(&mut self, actor: &Actor) {
        let user = &actor.user;
        let was_in = self.meeting.host == *user || self.meeting.former(user).is_some();
        let known = was_in || self.meeting.invitations.iter().any(|ring| ring.user == *user);
        match &self.meeting.end {
            Some(end) if known => {
                let reason = end.reason;
                self.answer_over(reason, None);
            }
            None if known => self.refuse(
                RefusalCode::NotMember,
                "you are not in this meeting (any more): accept an invitation to it, or ask a member for a new one",
            ),
            _ => self.refuse(RefusalCode::NotAllowed, "there is no such meeting for you: create one"),
        }
    }

    pub(super) fn new_id(&mut self) -> Uuid {
        (self.ids)()
    }

    /// On `meeting-down`.
    pub(super) fn tell(&mut self, to: &ClientId, body: DownBody) {
        self.push(to, body, None);
    }

    /// The meeting is over for this client.
    pub(super) fn tell_over(&mut self, to: &ClientId, reason: EndReason, by: Option<UserName>) {
        self.tell(to, DownBody::Ended { invitation: None, user: None, rev: 0, reason, by, outcome: None });
    }

    pub(super) fn tell_admitted(&mut self, ticket: Ticket) {
        let body = DownBody::Admitted { join: ticket.blank(), roster: Roster::default() };
        self.push(&ticket.client.clone(), body, Some(ticket));
    }

    fn push(&mut self, to: &ClientId, body: DownBody, ticket: Option<Ticket>) {
        let expires_at_ms = self.now_ms.saturating_add(self.rules.meeting_kept_ms);
        self.sends.push(OutgoingSignal { ticket, ..OutgoingSignal::on_meeting_down(to.clone(), body, expires_at_ms) });
    }

    /// The participation's token must open nothing any more.
    pub(super) fn remove(&mut self, participation: ParticipationId) {
        let until_ms = self.now_ms.saturating_add(self.rules.token_ms);
        self.meeting.removed.push(Removed { participation, until_ms });
        let excess = self.meeting.removed.len().saturating_sub(Rules::REMOVED_MAX);
        self.meeting.removed.drain(..excess);
    }

    pub(super) fn member_mut(&mut self, user: &UserName) -> Option<&mut Member> {
        self.meeting.members.iter_mut().find(|member| member.user == *user)
    }

    /// Ends the meeting if too few are left.
    pub(super) fn end_if_too_few(&mut self, cause: &Cause) {
        let (inside, open) = (self.meeting.members.len(), self.meeting.pending().count());
        let stands = inside > 0 && inside + open >= self.meeting.ends_below;
        if !stands && !self.meeting.is_over() {
            self.end(cause);
        }
    }

    pub(super) fn end(&mut self, cause: &Cause) {
        self.meeting.end = Some(End { reason: cause.reason, at_ms: self.now_ms, early: false });
        self.decide_open(cause);
        for member in std::mem::take(&mut self.meeting.members) {
            self.tell_over(&member.client, cause.reason, cause.by.clone());
            self.remember_former(member.user.clone());
            self.departed.push(member);
        }
        self.meeting.glare_creates.clear();
        self.meeting.bans.clear();
    }

    pub(super) fn finish(mut self, before: Option<&Meeting>, cause: &Cause) -> Decided {
        self.end_if_too_few(cause);
        self.tell_inviters();
        self.forget_old();
        let changed = before != Some(&self.meeting);
        self.answer_by_state(cause);
        self.meeting.rev += u64::from(changed);
        let (rev, roster) = (self.meeting.rev, self.meeting.roster());
        self.sends.iter_mut().for_each(|send| send.stamp(rev, &roster));
        self.stamp_change(before);
        self.missed.iter_mut().for_each(|missed| missed.outcome.rev = rev);
        let past = self.past();
        let Self { meeting, sends, missed, refused, .. } = self;
        Decided { meeting, changed, sends, missed, past, refused }
    }

    /// Fills in the answer that is a change of the roster.
    fn stamp_change(&mut self, before: Option<&Meeting>) {
        for send in &mut self.sends {
            if let (DownBody::RosterChanged(change), Some(before)) = (&mut send.body, before) {
                *change = roster_change(before, &self.meeting);
            }
        }
    }

    fn tell_inviters(&mut self) {
        for EndedRing { ring, reason, by } in std::mem::take(&mut self.rings_to_report) {
            let Some(ring) = self.meeting.invitation(ring).cloned() else { continue };
            let (invitation, user) = (Some(ring.id), Some(ring.user.clone()));
            let body = DownBody::Ended { invitation, user, rev: 0, reason, by, outcome: None };
            self.tell_inviter(&ring, body);
        }
    }

    /// On the device with which the inviter is in the meeting now, if any.
    pub(super) fn tell_inviter(&mut self, ring: &Invitation, body: DownBody) {
        if let Some(client) = self.meeting.member(&ring.by).map(|member| member.client.clone()) {
            self.tell(&client, body);
        }
    }

    fn forget_old(&mut self) {
        let is_over = self.over();
        self.meeting.removed.retain(|removed| !is_over(removed.until_ms));
        self.meeting.forget_bans(is_over);
    }
}

impl OutgoingSignal {
    /// Sets what is known only when all is decided.
    fn stamp(&mut self, rev_now: u64, roster_now: &Roster) {
        // A refusal says nothing of the meeting: a sender that may not know of it gets one, too.
        self.rev = (!matches!(self.body, DownBody::Refused { .. })).then_some(rev_now);
        if let Some((_, version)) = &mut self.collapse {
            *version = rev_now;
        }
        self.ticket.iter_mut().for_each(|ticket| ticket.rev = rev_now);
        match &mut self.body {
            DownBody::Invitation(ring) => {
                ring.rev = rev_now;
            }
            DownBody::Ended { rev, outcome, .. } => {
                *rev = rev_now;
                outcome.iter_mut().for_each(|outcome| outcome.rev = rev_now);
            }
            DownBody::Admitted { roster, .. } | DownBody::Roster(roster) => *roster = roster_now.clone(),
            _ => {}
        }
    }
}
