//! Mutes, and the requests of the host, which an operator may make, too.

use crate::machine::decision::{Cause, Decision};
use crate::machine::document::{Ban, set_track};
use crate::machine::event::{Actor, Request};
use crate::machine::ring_table::RingEvent;
use crate::machine::rules::Rules;
use signalling::{DownBody, EndReason, Muted, RefusalCode, Track, UserName};

impl Decision<'_> {
    pub(super) fn mute_self(&mut self, actor: &Actor, track: Track, muted: bool) {
        if let Some(member) = self.member_mut(&actor.user) {
            set_track(&mut member.muted, track, muted);
        }
    }

    pub(super) fn ask_unmute(&mut self, by: &UserName, user: &UserName, track: Track) {
        let by = by.clone();
        self.tell_member(user, DownBody::UnmuteAsked { track, by });
    }

    pub(super) fn host_request(&mut self, by: &UserName, request: Request) -> Cause {
        match request {
            Request::Kick { user, ban_s } => return self.kick(by, &user, ban_s),
            Request::Destroy => return self.destroy(by),
            Request::Mute { user: Some(user), track } => self.mute_other(by, &user, track),
            Request::Block { user, track, blocked } => self.block(by, &user, track, blocked),
            _ => self.refuse(RefusalCode::Invalid, "this is no request to a running meeting"),
        }
        Cause::default()
    }

    fn destroy(&mut self, by: &UserName) -> Cause {
        let (reason, rings) = (EndReason::Destroyed, RingEvent::Destroyed);
        let cause = Cause { reason, by: Some(by.clone()), rings };
        self.end(&cause);
        cause
    }

    fn mute_other(&mut self, by: &UserName, user: &UserName, track: Track) {
        if let Some(member) = self.member_mut(user) {
            set_track(&mut member.muted, track, true);
        }
        self.tell_member(user, DownBody::Muted { track, by: by.clone() });
    }

    fn block(&mut self, by: &UserName, user: &UserName, track: Track, blocked: bool) {
        // It is kept of those who are away, and must not outlast the wish to lift it.
        if !blocked && self.meeting.member(user).is_none() && self.meeting.blocked.contains_key(user) {
            return self.set_blocked(user, track, false);
        }
        let more = blocked && !self.meeting.blocked.contains_key(user);
        if more && self.meeting.blocked.len() >= Rules::BLOCKED_MAX {
            let words = "the meeting has blocked as many users as it can: lift a block, or kick the user";
            return self.refuse(RefusalCode::Limit, words);
        }
        if self.tell_member(user, DownBody::Blocked { track, blocked, by: by.clone() }) {
            self.set_blocked(user, track, blocked);
        }
    }

    fn set_blocked(&mut self, user: &UserName, track: Track, blocked: bool) {
        let mut now = self.meeting.blocked(user);
        set_track(&mut now, track, blocked);
        self.meeting.blocked.insert(user.clone(), now);
        self.meeting.blocked.retain(|_, blocked| *blocked != Muted::default());
    }

    fn kick(&mut self, by: &UserName, user: &UserName, ban_s: u32) -> Cause {
        if user == by {
            self.refuse(RefusalCode::Invalid, "you cannot kick yourself: leave, or destroy the meeting");
            return Cause::default();
        }
        let ring = self.meeting.pending_for(user).map(|ring| ring.id);
        let former = self.meeting.former(user).is_some();
        if ring.is_none() && !former && self.meeting.member(user).is_none() {
            self.refuse(RefusalCode::NotAllowed, "this user is not in the meeting");
            return Cause::default();
        }
        if !self.ban(user, ban_s) {
            let words = "the meeting has banned as many users as it can: kick without a ban, or wait until one is over";
            self.refuse(RefusalCode::Limit, words);
            return Cause::default();
        }
        let left = self.meeting.former(user).cloned();
        if let Some(former) = left {
            self.forget_former(user);
            self.remember_kicked(former);
        }
        let cause = self.depart(user, EndReason::Kicked, RingEvent::Cancelled).unwrap_or_default();
        let Some(ring) = ring else { return cause };
        let cause = Cause { reason: EndReason::Cancelled, by: Some(by.clone()), ..cause };
        self.decide_from_outside(ring, RingEvent::Kicked, &cause);
        cause
    }

    /// `false`: there are too many.
    fn ban(&mut self, user: &UserName, ban_s: u32) -> bool {
        if ban_s == 0 {
            return true;
        }
        self.meeting.forget_bans(self.over());
        let until_ms = self.now_ms.saturating_add(u64::from(ban_s) * 1_000);
        let has_room = self.meeting.bans.len() < Rules::BANS_MAX;
        if has_room {
            self.meeting.bans.push(Ban { user: user.clone(), until_ms, lasts_s: Some(ban_s) });
        }
        has_room
    }

    /// `false` (and refused): the user is not in the meeting.
    fn tell_member(&mut self, user: &UserName, body: DownBody) -> bool {
        let client = self.meeting.member(user).map(|member| member.client.clone());
        match &client {
            Some(client) => self.tell(client, body),
            None => self.refuse(RefusalCode::NotAllowed, "this user is not in the meeting"),
        }
        client.is_some()
    }
}
