//! Views of the document: what users are shown of it.

use crate::machine::document::{Device, Invitation, InvitationState, MediaState, Meeting, Member};
use crate::machine::event::Ticket;
use signalling::{ClientId, Joinable, MemberState, Muted, Profile, Ring, Roster, StandingCall, UserName};

/// The call that a user is in, with the ticket of the device if it is the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentCall {
    /// Its join parameters are blank.
    pub call: StandingCall,
    pub ticket: Option<Ticket>,
}

impl Meeting {
    /// Every terminal may invite, so each joins with room for a meeting: growing later would need a second join.
    const PROFILE: Profile = Profile::Meeting;
    /// Members that an invitation names.
    const NAMES_MAX: usize = 10;
    /// Of all names of a roster: with everything else of 200 members less than 64 KiB.
    const NAMES_BYTES_MAX: usize = 16 * 1024;

    /// The roster. It fits into one message: very many very long names are cut.
    pub fn roster(&self) -> Roster {
        let inside = self.members.iter().map(|member| self.shown(member));
        let mut members: Vec<signalling::Member> = inside.chain(self.pending().map(Invitation::shown)).collect();
        let bytes: usize = members.iter().map(|member| member.name.len()).sum();
        if bytes > Self::NAMES_BYTES_MAX {
            let each = Self::NAMES_BYTES_MAX / members.len();
            members.iter_mut().for_each(|member| shorten(&mut member.name, each));
        }
        Roster { rev: self.rev, host: Some(self.host.clone()), members }
    }

    /// How many are in.
    pub fn count(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    /// The names of those who are in, as far as an invitation has room for them.
    pub fn names(&self) -> Vec<String> {
        self.members.iter().take(Self::NAMES_MAX).map(|member| member.name.clone()).collect()
    }

    fn shown(&self, member: &Member) -> signalling::Member {
        signalling::Member {
            user: member.user.clone(),
            name: member.name.clone(),
            participation: Some(member.participation),
            state: match member.media {
                _ if member.no_media => MemberState::NoMedia,
                MediaState::Absent => MemberState::Joining,
                MediaState::There | MediaState::Closed => MemberState::In,
                MediaState::Lost => MemberState::Lost,
            },
            muted: member.muted,
            blocked: self.blocked(&member.user),
        }
    }

    /// The member's ticket.
    pub fn ticket_of(&self, user: &UserName) -> Option<Ticket> {
        let member = self.member(user)?;
        Some(Ticket {
            meeting: self.id,
            user: member.user.clone(),
            client: member.client.clone(),
            participation: member.participation,
            rev: self.rev,
            profile: Self::PROFILE,
        })
    }

    /// The ring as this device of the callee gets it; its join parameters are blank.
    pub fn ring_of(&self, invitation: &Invitation, device: &Device) -> (Ring, Ticket) {
        let ticket = Ticket {
            meeting: self.id,
            user: invitation.user.clone(),
            client: device.client.clone(),
            participation: device.participation,
            rev: self.rev,
            profile: Self::PROFILE,
        };
        let ring = Ring {
            invitation: invitation.id,
            rev: self.rev,
            meeting: self.id,
            from: invitation.by.clone(),
            from_name: invitation.by_name.clone(),
            media: self.media,
            title: self.title.clone(),
            ring_until_ms: invitation.deadline_ms(),
            join: ticket.blank(),
            ringing: invitation.state == InvitationState::Ringing,
            members: self.count(),
            names: self.names(),
        };
        (ring, ticket)
    }

    /// The open ring of this user, for a device that it knows (see [`Request::State`](super::Request::State)).
    pub fn open_ring(&self, user: &UserName, client: &ClientId) -> Option<(Ring, Ticket)> {
        let invitation = self.pending_for(user)?;
        Some(self.ring_of(invitation, invitation.device(client)?))
    }

    /// The meeting as it is shown to a user that has left it and may come back.
    pub fn joinable(&self, user: &UserName) -> Option<Joinable> {
        let may = !self.is_over() && self.member(user).is_none() && self.former(user).is_some();
        may.then(|| Joinable {
            meeting: self.id,
            rev: self.rev,
            media: self.media,
            title: self.title.clone(),
            members: self.count(),
            names: self.names(),
        })
    }

    /// The call that this user is in.
    pub fn current_call(&self, user: &UserName, client: &ClientId) -> Option<CurrentCall> {
        let ticket = self.ticket_of(user)?;
        let here = ticket.client == *client;
        let join = here.then(|| ticket.blank());
        let call = StandingCall { meeting: self.id, media: self.media, here, join, roster: self.roster() };
        Some(CurrentCall { call, ticket: here.then_some(ticket) })
    }
}

fn shorten(name: &mut String, bytes: usize) {
    let end = (0..=bytes.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
    name.truncate(end.unwrap_or(0));
}

impl Invitation {
    fn shown(&self) -> signalling::Member {
        let ringing = self.state == InvitationState::Ringing;
        signalling::Member {
            user: self.user.clone(),
            name: self.name.clone(),
            participation: None,
            state: if ringing { MemberState::Ringing } else { MemberState::Invited },
            muted: Muted::default(),
            blocked: Muted::default(),
        }
    }
}
