//! Membership: entering, leaving, being lost, moving to another device, coming back.

use crate::machine::decision::{Cause, Decision};
use crate::machine::document::{Device, Former, MediaState, Member};
use crate::machine::event::Actor;
use crate::machine::ring_table::RingEvent;
use crate::machine::rules::Rules;
use signalling::{ClientId, EndReason, Muted, ParticipationId, RefusalCode, UserName};
use std::collections::BTreeSet;

impl Decision<'_> {
    /// A late leave of a device from which the member has moved is answered, and changes nothing.
    pub(super) fn leave(&mut self, actor: &Actor) -> Cause {
        let here = |member: &Member| member.client == actor.client;
        let leaves = self.meeting.member(&actor.user).is_some_and(here);
        let left = leaves.then(|| self.depart(&actor.user, EndReason::Left, RingEvent::Cancelled));
        self.answer_over(EndReason::Left, Some(actor.user.clone()));
        left.flatten().unwrap_or_default()
    }

    /// Takes out the members with neither media nor signalling for too long.
    pub(super) fn gone_members(&mut self, online: &BTreeSet<ClientId>) -> Cause {
        let now_ms = self.now_ms;
        for member in &mut self.meeting.members {
            member.set_online(online.contains(&member.client), now_ms);
        }
        let is_over = self.over();
        let gone = |member: &&Member| member.gone_at_ms(self.rules).is_some_and(&is_over);
        let users: Vec<UserName> = self.meeting.members.iter().filter(gone).map(|member| member.user.clone()).collect();
        users.iter().fold(None, |_, user| self.depart_lost(user)).unwrap_or_default()
    }

    /// Takes out a member on a client that is not registered any more, even if its media is there. A signal to that
    /// client would reach nobody.
    pub(super) fn removed_client(&mut self, client: &ClientId) -> Cause {
        let here = |member: &&Member| member.client == *client;
        let user = self.meeting.members.iter().find(here).map(|member| member.user.clone());
        let Some(user) = user else { return Cause::default() };
        let cause = self.depart_lost(&user);
        self.sends.retain(|send| send.to != *client);
        cause.unwrap_or_default()
    }

    fn depart_lost(&mut self, user: &UserName) -> Option<Cause> {
        let last = self.meeting.members.len() == 1 && self.meeting.pending().next().is_some();
        let reason = if last { EndReason::CallerGone } else { EndReason::Left };
        self.depart(user, reason, RingEvent::CallerGone)
    }

    /// Takes the user out and says so to the device. `rings`: what happens to open rings if nobody is left. `None`: the
    /// user is not in.
    pub(super) fn depart(&mut self, user: &UserName, reason: EndReason, rings: RingEvent) -> Option<Cause> {
        let at = self.meeting.members.iter().position(|member| member.user == *user)?;
        let member = self.meeting.members.remove(at);
        self.remove(member.participation);
        self.departed.push(member.clone());
        self.meeting.glare_creates.retain(|create| create.user != *user);
        if reason == EndReason::Kicked {
            self.remember_kicked(Former { user: user.clone(), left_at_ms: self.now_ms });
        } else {
            self.remember_former(user.clone());
        }
        self.pass_host_role(user);
        let by = self.by.clone();
        self.tell_over(&member.client, reason, by.clone());
        Some(Cause { reason: EndReason::Left, by: by.or(Some(user.clone())), rings })
    }

    /// Passes the host's role to the member that has been in longest; with nobody in it stays where it is.
    fn pass_host_role(&mut self, gone: &UserName) {
        if self.meeting.host == *gone
            && let Some(next) = self.meeting.members.first()
        {
            self.meeting.host = next.user.clone();
        }
    }

    pub(super) fn remember_former(&mut self, user: UserName) {
        self.forget_former(&user);
        self.meeting.former.push(Former { user, left_at_ms: self.now_ms });
        let excess = self.meeting.former.len().saturating_sub(Rules::FORMER_MAX);
        self.meeting.former.drain(..excess);
    }

    pub(super) fn remember_kicked(&mut self, kicked: Former) {
        self.forget_kicked(&kicked.user);
        self.meeting.kicked.push(kicked);
        let excess = self.meeting.kicked.len().saturating_sub(Rules::FORMER_MAX);
        self.meeting.kicked.drain(..excess);
    }

    fn forget_kicked(&mut self, user: &UserName) {
        self.meeting.kicked.retain(|kicked| kicked.user != *user);
    }

    pub(super) fn forget_former(&mut self, user: &UserName) {
        self.meeting.former.retain(|former| former.user != *user);
    }

    /// A former member comes in again, with another participation. If it is being rung meanwhile, it accepts that ring.
    pub(super) fn come_back(&mut self, actor: &Actor) -> Cause {
        if let Some(ring) = self.meeting.pending_for(&actor.user).map(|ring| ring.id) {
            return self.callee(actor, ring, RingEvent::Accepts, None);
        }
        let engaged = self.meeting.members.len() + self.meeting.pending().count();
        if !self.rules.has_room(engaged, 1) {
            self.refuse(RefusalCode::Limit, "the meeting has no room now: come back later");
            return Cause::default();
        }
        let device = self.device(&actor.client);
        self.enter(actor, actor.name.clone(), device);
        self.admit_again(actor);
        Cause::default()
    }

    /// Makes the user a member, on the device that asked for it. A third member makes a meeting of a call.
    pub(super) fn enter(&mut self, actor: &Actor, name: String, device: Device) {
        let now_ms = self.now_ms;
        self.meeting.members.push(Member {
            user: actor.user.clone(),
            name,
            client: device.client,
            participation: device.participation,
            media: if device.warm { MediaState::There } else { MediaState::Absent },
            media_since_ms: now_ms,
            no_media: false,
            online: actor.online,
            online_since_ms: now_ms,
            said_goodbye: false,
            muted: Muted::default(),
            answered_at_ms: None,
        });
        self.mark_answered();
        self.forget_former(&actor.user);
        self.forget_kicked(&actor.user);
        if self.meeting.members.len() > 2 {
            self.meeting.ends_below = 1;
        }
    }

    /// From the second member on, nobody is alone in the meeting.
    pub(super) fn mark_answered(&mut self) {
        if self.meeting.members.len() > 1 {
            let now_ms = self.now_ms;
            self.meeting.members.iter_mut().for_each(|member| {
                member.answered_at_ms.get_or_insert(now_ms);
            });
        }
    }

    /// Gives fresh join parameters. A request from another device of the member moves it there.
    pub(super) fn join(&mut self, actor: &Actor) {
        let moves = self.meeting.member(&actor.user).is_some_and(|member| member.client != actor.client);
        if moves {
            self.move_member(actor);
        }
        let now_ms = self.now_ms;
        if let Some(member) = self.member_mut(&actor.user).filter(|_| actor.online) {
            member.set_online(true, now_ms);
        }
        self.admit_again(actor);
    }

    fn move_member(&mut self, actor: &Actor) {
        let participation = ParticipationId(self.new_id());
        let now_ms = self.now_ms;
        let Some(member) = self.member_mut(&actor.user) else { return };
        let (old, client) = (member.participation, std::mem::replace(&mut member.client, actor.client.clone()));
        member.participation = participation;
        member.media = MediaState::Absent;
        member.media_since_ms = now_ms;
        member.no_media = false;
        member.online = actor.online;
        member.online_since_ms = now_ms;
        member.said_goodbye = false;
        self.remove(old);
        self.tell_over(&client, EndReason::AnsweredElsewhere, Some(actor.user.clone()));
    }
}
