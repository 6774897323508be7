//! The channel as the RTC server must have it, derived from the document: so it can be derived again after a crash of
//! either side.

use crate::machine::document::{Meeting, Member};
use signalling::{Muted, ParticipationId, Rights, Source};
use std::collections::{BTreeMap, BTreeSet};

/// A channel as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    pub open: bool,
    pub admitted: BTreeMap<ParticipationId, Admitted>,
    pub removed: BTreeSet<ParticipationId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub rights: Rights,
    pub muted: Muted,
}

/// A command to the RTC server about one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelCommand {
    Open,
    Remove(ParticipationId),
    Admit(ParticipationId),
    UpdateRights(ParticipationId, Rights),
    Mute(ParticipationId, Source, bool),
    Close,
}

impl Channel {
    pub fn of(meeting: &Meeting) -> Self {
        if meeting.is_over() {
            return Self::default();
        }
        let admitted = |member: &Member| {
            let rights = meeting.rights_of(&member.user);
            (member.participation, Admitted { rights, muted: member.muted })
        };
        Self {
            open: true,
            admitted: meeting.members.iter().map(admitted).collect(),
            removed: meeting.removed.iter().map(|removed| removed.participation).collect(),
        }
    }

    /// The commands that lead here from `before`. `None`: its state is not known, so all are given. The same holds
    /// for a participation that `before` does not have: its token, or an earlier command, may say otherwise.
    pub fn commands_from(&self, before: Option<&Self>) -> Vec<ChannelCommand> {
        if !self.open {
            return if before.is_none_or(|before| before.open) { vec![ChannelCommand::Close] } else { Vec::new() };
        }
        let opened = before.filter(|before| before.open);
        let mut commands = Vec::new();
        commands.extend(opened.is_none().then_some(ChannelCommand::Open));
        let gone = |participation: &&ParticipationId| opened.is_none_or(|was| !was.removed.contains(*participation));
        commands.extend(self.removed.iter().filter(gone).map(|participation| ChannelCommand::Remove(*participation)));
        for (participation, wanted) in &self.admitted {
            let known = opened.and_then(|was| was.admitted.get(participation));
            commands.extend(wanted.commands_from(*participation, known.copied()));
            // Last, so that nothing flows before it is known whether it may.
            commands.extend(known.is_none().then_some(ChannelCommand::Admit(*participation)));
        }
        commands
    }
}

impl Admitted {
    fn commands_from(self, who: ParticipationId, before: Option<Self>) -> Vec<ChannelCommand> {
        let mut commands = Vec::new();
        if before.is_none_or(|before| before.rights != self.rights) {
            commands.push(ChannelCommand::UpdateRights(who, self.rights));
        }
        if before.is_none_or(|before| before.muted.audio != self.muted.audio) {
            commands.push(ChannelCommand::Mute(who, Source::Microphone, self.muted.audio));
        }
        if before.is_none_or(|before| before.muted.video != self.muted.video) {
            commands.push(ChannelCommand::Mute(who, Source::Camera, self.muted.video));
        }
        commands
    }
}
