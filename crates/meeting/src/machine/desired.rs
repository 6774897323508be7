//! The channel as the RTC server must have it, derived from the document: so it can be derived again after a crash of
//! either side, and two services that share a catalog wish the same at the same revision.

use crate::machine::document::{Invitation, Meeting, Member};
use signalling::{
    Admission, ClientId, DesiredChannel, DesiredParticipation, Muted, ParticipationId, Rights, Sources, UserName,
};

impl Meeting {
    /// `None`: it has ended. `alias` is the name of a client in tokens.
    ///
    /// Members are admitted, the devices of those who are rung wait. Everybody else is out.
    pub fn desired_channel(&self, alias: impl Fn(&ClientId) -> String) -> Option<DesiredChannel> {
        if self.is_over() {
            return None;
        }
        let waiting = self.pending().flat_map(|ring| self.waiting(ring, &alias));
        let members = self.members.iter().map(|member| self.admitted(member, &alias));
        Some(DesiredChannel { participations: waiting.chain(members).collect() })
    }

    fn admitted(
        &self,
        member: &Member,
        alias: impl Fn(&ClientId) -> String,
    ) -> (ParticipationId, DesiredParticipation) {
        let desired = DesiredParticipation {
            user: member.user.clone(),
            client: alias(&member.client),
            admission: Admission::Admitted,
            rights: self.rights_of(&member.user),
            muted: sources(member.muted),
        };
        (member.participation, desired)
    }

    fn waiting(
        &self,
        ring: &Invitation,
        alias: impl Fn(&ClientId) -> String,
    ) -> impl Iterator<Item = (ParticipationId, DesiredParticipation)> {
        ring.devices.iter().map(move |device| {
            let desired = DesiredParticipation {
                user: ring.user.clone(),
                client: alias(&device.client),
                admission: Admission::Waiting,
                rights: self.rights_of(&ring.user),
                muted: Sources::NONE,
            };
            (device.participation, desired)
        })
    }

    /// All that a block leaves.
    pub fn rights_of(&self, user: &UserName) -> Rights {
        Rights { send: Sources::ALL.without(sources(self.blocked(user))), receive: true }
    }
}

/// By kind: a terminal says itself what is its camera and what its screen.
fn sources(tracks: Muted) -> Sources {
    let audio = if tracks.audio { Sources::AUDIO } else { Sources::NONE };
    let video = if tracks.video { Sources::VIDEO } else { Sources::NONE };
    audio.with(video)
}
