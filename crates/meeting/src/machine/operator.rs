//! Requests of an operator: somebody who runs the server, has the host's rights in every meeting, and is in none.
//!
//! They are decided by the functions that decide the host's. Terminals are told of [`UserName::operator`], which is no
//! user's name. An operator is no user who could be called back, so it rings in the name of the host, who is told what
//! becomes of it. Nobody's microphone is opened from outside: an operator asks to unmute, as a member does.

use crate::machine::decision::{Cause, Decision};
use crate::machine::document::track_of;
use crate::machine::event::{Actor, Callee, Request};
use signalling::{RefusalCode, SignalId, Track, UserName};
use uuid::Uuid;

impl Decision<'_> {
    pub(super) fn operator_request(&mut self, request: Request) -> Cause {
        if self.meeting.is_over() {
            self.refuse(RefusalCode::NotAllowed, "the meeting is over: nothing of it can be changed");
            return Cause::default();
        }
        let by = UserName::operator();
        self.by = Some(by.clone());
        match request {
            Request::Invite { callees } => self.invite_for_host(callees),
            // Whoever is heard already is not disturbed.
            Request::AskUnmute { user, track } if !self.may_unmute(&user, track) => {}
            Request::AskUnmute { user, track } => self.ask_unmute(&by, &user, track),
            Request::Unban { user } => self.meeting.bans.retain(|ban| ban.user != user),
            of_host => return self.host_request(&by, of_host),
        }
        Cause::default()
    }

    /// `false`: it is in, and not muted.
    fn may_unmute(&self, user: &UserName, track: Track) -> bool {
        self.meeting.member(user).is_none_or(|member| track_of(member.muted, track))
    }

    fn invite_for_host(&mut self, callees: Vec<Callee>) {
        let host = self.meeting.member(&self.meeting.host).map(|host| Actor {
            user: host.user.clone(),
            name: host.name.clone(),
            client: host.client.clone(),
            online: host.online,
            // It answers no request: what it is told has none to reply to.
            request: SignalId(Uuid::nil()),
        });
        match host {
            Some(host) => self.invite(&host, callees),
            None => self.refuse(RefusalCode::NotMember, "the host is not in the meeting: try again in a moment"),
        }
    }
}
