//! The roster as a terminal knows it that follows the rules.

use signalling::{Down, DownBody, MeetingId, Member, MemberState, Roster, RosterChange, UserName};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Followed {
    meeting: Option<MeetingId>,
    pub(crate) rev: u64,
    members: BTreeMap<UserName, Member>,
    /// Changes that did not follow on what is known.
    pub(crate) gaps: usize,
    /// Unasked messages about the roster, with the number of entries of each.
    pub(crate) news: Vec<(&'static str, usize)>,
}

impl Followed {
    /// `true`: it is about the roster and nothing else.
    pub(crate) fn take(&mut self, down: &Down) -> bool {
        match &down.body {
            DownBody::Admitted { roster, .. } => {
                self.meeting = down.envelope.meeting;
                self.know(roster);
                return false;
            }
            DownBody::Ended { invitation: None, user: None, .. } if self.meeting == down.envelope.meeting => {
                *self = Self { news: std::mem::take(&mut self.news), ..Self::default() };
                return false;
            }
            DownBody::Roster(roster) => {
                self.meeting = down.envelope.meeting;
                self.know(roster);
                self.note(down, roster.members.len());
            }
            DownBody::RosterChanged(change) => {
                self.hear(change);
                self.note(down, change.members.len() + change.gone.len());
            }
            _ => return false,
        }
        true
    }

    fn note(&mut self, down: &Down, entries: usize) {
        if down.envelope.in_reply_to.is_none() {
            self.news.push((down.body.kind(), entries));
        }
    }

    fn know(&mut self, roster: &Roster) {
        if roster.rev >= self.rev {
            self.rev = roster.rev;
            self.members = roster.members.iter().map(|member| (member.user.clone(), member.clone())).collect();
        }
    }

    fn hear(&mut self, change: &RosterChange) {
        if change.rev <= self.rev {
            return;
        }
        if change.base > self.rev {
            self.gaps += 1;
            return;
        }
        self.rev = change.rev;
        change.gone.iter().for_each(|user| drop(self.members.remove(user)));
        self.members.extend(change.members.iter().map(|member| (member.user.clone(), member.clone())));
    }

    /// `alice+ bob~ carol?`: in, on the way or lost, rung. `!`: something is muted or blocked.
    pub(crate) fn shown(&self) -> String {
        let members = self.members.values().map(|member| {
            let state = match member.state {
                MemberState::Invited | MemberState::Ringing => '?',
                MemberState::Joining | MemberState::Lost | MemberState::NoMedia => '~',
                MemberState::In => '+',
            };
            let off = [member.muted.audio, member.muted.video, member.blocked.audio, member.blocked.video];
            format!("{}{state}{}", member.user, if off.contains(&true) { "!" } else { "" })
        });
        members.collect::<Vec<_>>().join(" ")
    }
}
