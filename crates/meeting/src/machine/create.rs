//! The creation of a meeting, and the cancel that comes before it.

use crate::machine::decision::{Cause, Decision};
use crate::machine::document::{End, Meeting, VERSION};
use crate::machine::event::{Actor, Context, Create, Decided};
use crate::machine::rules::Rules;
use signalling::{EndReason, Media, MeetingId, RefusalCode};
use std::collections::BTreeMap;

impl Meeting {
    /// Opens the meeting and rings the callees. `existing`: the meeting that is stored under this id already.
    pub fn handle_create(create: Create, actor: Actor, existing: Option<&Self>, context: Context<'_>) -> Decided {
        match existing {
            Some(known) => known.create_again(actor, context),
            None => Self::open(create, actor, context),
        }
    }

    /// Remembers a cancel that has overtaken its create.
    pub fn handle_early_cancel(id: MeetingId, actor: Actor, context: Context<'_>) -> Decided {
        let mut meeting = Self::blank(id, &actor, Media::Audio, None, 1);
        meeting.end = Some(End { reason: EndReason::Cancelled, at_ms: context.now_ms, early: true });
        meeting.closed = true;
        let mut decision = Decision::new(meeting, context);
        decision.set_actor(&actor);
        decision.answer_cancelled();
        decision.finish(None, &Cause::default())
    }

    fn create_again(&self, actor: Actor, context: Context<'_>) -> Decided {
        let mut decision = Decision::new(self.clone(), context);
        decision.set_actor(&actor);
        match &self.end {
            Some(end) if end.early && self.host == actor.user => decision.answer_cancelled(),
            _ => decision.refuse(RefusalCode::Taken, "this meeting id is in use: make a new one (UUIDv7)"),
        }
        decision.finish(Some(self), &Cause::default())
    }

    fn open(create: Create, actor: Actor, context: Context<'_>) -> Decided {
        let fits = create.callees.len() < context.rules.members_max;
        let ends_below = if create.callees.is_empty() { 1 } else { 2 };
        let meeting = Self::blank(create.id, &actor, create.media, create.title, ends_below);
        let mut decision = Decision::new(meeting, context);
        decision.set_actor(&actor);
        if !fits {
            decision.refuse(RefusalCode::Limit, "too many callees for one meeting: invite fewer");
            return decision.without_meeting();
        }
        let cause = Cause { reason: EndReason::Declined, ..Cause::default() };
        decision.enter_host(&actor);
        decision.ring(&actor, create.callees);
        decision.end_if_too_few(&cause);
        decision.admit_host(&actor);
        decision.finish(None, &cause)
    }

    fn blank(id: MeetingId, host: &Actor, media: Media, title: Option<String>, ends_below: usize) -> Self {
        Self {
            v: VERSION,
            id,
            rev: 0,
            host: host.user.clone(),
            creator: Some(host.user.clone()),
            media,
            title,
            ends_below,
            members: Vec::new(),
            invitations: Vec::new(),
            blocked: BTreeMap::new(),
            bans: Vec::new(),
            removed: Vec::new(),
            glare_creates: Vec::new(),
            former: Vec::new(),
            kicked: Vec::new(),
            end: None,
            closed: false,
        }
    }
}

impl Decision<'_> {
    fn enter_host(&mut self, actor: &Actor) {
        let device = self.device(&actor.client);
        self.enter(actor, actor.name.clone(), device);
    }

    /// Admits the host. A meeting into which nobody could be rung is over before it has a channel.
    fn admit_host(&mut self, actor: &Actor) {
        if self.meeting.is_over() {
            self.meeting.closed = true;
        } else if let Some(ticket) = self.meeting.ticket_of(&actor.user) {
            self.answer_admitted(ticket);
            // The caller gets first the admission, then what becomes of its rings.
            self.sends.rotate_right(1);
        }
    }

    /// Nothing is stored but the answer.
    fn without_meeting(self) -> Decided {
        let Self { meeting, sends, refused, .. } = self;
        Decided { meeting, changed: false, sends, missed: Vec::new(), past: Vec::new(), refused }
    }

    fn answer_cancelled(&mut self) {
        let Some(actor) = self.actor.clone() else { return };
        self.answer_over(EndReason::Cancelled, Some(actor.user));
    }
}

impl Rules {
    /// A user may be rung into a meeting with this many in it.
    pub(super) fn has_room(&self, engaged: usize, more: usize) -> bool {
        engaged + more <= self.members_max
    }
}
