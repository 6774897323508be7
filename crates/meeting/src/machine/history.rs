//! History entries: calls that are over for a user.

use crate::machine::decision::Decision;
use crate::machine::document::{Invitation, InvitationState, Meeting, Member};
use crate::machine::event::HistoryEntry;
use crate::machine::rules::Rules;
use signalling::{CallResult, Direction, EndReason, PastCall, Person, RejectReason, UserName};

/// People that an entry names.
const NAMED_MAX: usize = 10;

impl Decision<'_> {
    /// The entries that this decision makes. Called when all is decided: how a call that nobody answered has ended says
    /// what became of its rings.
    pub(super) fn past(&self) -> Vec<HistoryEntry> {
        let unanswered = self.ended_rings.iter().filter_map(|ring| self.entry_of_ring(ring));
        let left = self.departed.iter().filter_map(|member| self.entry_of_member(member));
        unanswered.chain(left).collect()
    }

    fn entry_of_ring(&self, ring: &Invitation) -> Option<HistoryEntry> {
        let result = match ring.state {
            InvitationState::Declined { .. } => CallResult::Declined,
            InvitationState::Busy | InvitationState::Ended { .. } => CallResult::Missed,
            InvitationState::Invited | InvitationState::Ringing | InvitationState::Answered { .. } => return None,
        };
        Some(self.entry(&ring.user, result, ring.called_at_ms(self.rules), None))
    }

    /// A member that was alone in the meeting and has called nobody has made no call.
    fn entry_of_member(&self, member: &Member) -> Option<HistoryEntry> {
        let meeting = &self.meeting;
        let called_at_ms = meeting.called_at_ms(&member.user, self.rules);
        if let Some(since_ms) = member.answered_at_ms {
            let duration_ms = self.now_ms.saturating_sub(since_ms);
            let started_at_ms = called_at_ms.unwrap_or(since_ms);
            return Some(self.entry(&member.user, CallResult::Answered, started_at_ms, Some(duration_ms)));
        }
        let rings = meeting.invitations.iter().filter(|ring| ring.by == member.user);
        let result = rings.map(|ring| made(&ring.state)).max_by_key(|result| weight(*result))?;
        Some(self.entry(&member.user, result, called_at_ms.unwrap_or(self.now_ms), None))
    }

    fn entry(&self, user: &UserName, result: CallResult, started_at_ms: u64, duration_ms: Option<u64>) -> HistoryEntry {
        let meeting = &self.meeting;
        let direction = meeting.direction(user);
        let mut with = meeting.people(user, direction);
        let others = with.len().saturating_sub(NAMED_MAX);
        with.truncate(NAMED_MAX);
        let call = PastCall {
            meeting: meeting.id,
            direction,
            with,
            others: u32::try_from(others).unwrap_or(u32::MAX),
            media: meeting.media,
            title: meeting.title.clone(),
            result,
            started_at_ms,
            duration_ms,
        };
        HistoryEntry { user: user.clone(), call }
    }
}

/// The result of one ring for the caller, if nobody answered any.
fn made(state: &InvitationState) -> CallResult {
    match state {
        InvitationState::Busy | InvitationState::Declined { reason: RejectReason::Busy, .. } => CallResult::Busy,
        InvitationState::Declined { .. } => CallResult::Declined,
        InvitationState::Ended { reason: EndReason::NoAnswer } => CallResult::NoAnswer,
        InvitationState::Ended { reason: EndReason::Cancelled | EndReason::Kicked | EndReason::Destroyed } => {
            CallResult::Cancelled
        }
        InvitationState::Invited
        | InvitationState::Ringing
        | InvitationState::Answered { .. }
        | InvitationState::Ended { .. } => CallResult::Failed,
    }
}

/// Of several results, the one that says most about what the caller did.
fn weight(result: CallResult) -> u8 {
    match result {
        CallResult::Cancelled => 4,
        CallResult::NoAnswer => 3,
        CallResult::Declined => 2,
        CallResult::Busy => 1,
        CallResult::Answered | CallResult::Missed | CallResult::Failed => 0,
    }
}

impl Invitation {
    fn called_at_ms(&self, rules: &Rules) -> u64 {
        self.reach_until_ms.saturating_sub(rules.reach_ms)
    }
}

impl Meeting {
    fn direction(&self, user: &UserName) -> Direction {
        let creator = self.creator.as_ref().unwrap_or(&self.host);
        if creator == user { Direction::Made } else { Direction::Received }
    }

    /// When the user was called last; the creator: when it called first.
    fn called_at_ms(&self, user: &UserName, rules: &Rules) -> Option<u64> {
        let ring = match self.direction(user) {
            Direction::Made => self.invitations.iter().find(|ring| ring.by == *user),
            Direction::Received => self.invitations.iter().rfind(|ring| ring.user == *user),
        };
        ring.map(|ring| ring.called_at_ms(rules))
    }

    /// The other people of the call: who called the user, then who answered, then whom the user called.
    fn people(&self, user: &UserName, direction: Direction) -> Vec<Person> {
        let rings = &self.invitations;
        let callers = rings.iter().rev().filter(|ring| direction == Direction::Received && ring.user == *user);
        let answered = rings.iter().filter(|ring| matches!(ring.state, InvitationState::Answered { .. }));
        let called = rings.iter().filter(|ring| ring.by == *user);
        let inviters = answered.clone().map(inviter);
        let all = callers.map(inviter).chain(answered.map(callee)).chain(inviters).chain(called.map(callee));
        let mut with: Vec<Person> = Vec::new();
        for person in all {
            if person.user != *user && with.iter().all(|known| known.user != person.user) {
                with.push(person);
            }
        }
        with
    }
}

fn inviter(ring: &Invitation) -> Person {
    Person { user: ring.by.clone(), name: ring.by_name.clone() }
}

fn callee(ring: &Invitation) -> Person {
    Person { user: ring.user.clone(), name: ring.name.clone() }
}
