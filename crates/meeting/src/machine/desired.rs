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

/// One call to the RTC server about one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
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

    /// The calls that lead here from `before`. `None`: its state is not known, so all calls are made. The same holds
    /// for a participation that `before` does not have: its token, or an earlier call, may say otherwise.
    pub fn calls_from(&self, before: Option<&Self>) -> Vec<Call> {
        if !self.open {
            return if before.is_none_or(|before| before.open) { vec![Call::Close] } else { Vec::new() };
        }
        let opened = before.filter(|before| before.open);
        let mut calls = Vec::new();
        calls.extend(opened.is_none().then_some(Call::Open));
        let gone = |participation: &&ParticipationId| opened.is_none_or(|was| !was.removed.contains(*participation));
        calls.extend(self.removed.iter().filter(gone).map(|participation| Call::Remove(*participation)));
        for (participation, wanted) in &self.admitted {
            let known = opened.and_then(|was| was.admitted.get(participation));
            calls.extend(wanted.calls_from(*participation, known.copied()));
            // Last, so that nothing flows before it is known whether it may.
            calls.extend(known.is_none().then_some(Call::Admit(*participation)));
        }
        calls
    }
}

impl Admitted {
    fn calls_from(self, who: ParticipationId, before: Option<Self>) -> Vec<Call> {
        let mut calls = Vec::new();
        if before.is_none_or(|before| before.rights != self.rights) {
            calls.push(Call::UpdateRights(who, self.rights));
        }
        if before.is_none_or(|before| before.muted.audio != self.muted.audio) {
            calls.push(Call::Mute(who, Source::Microphone, self.muted.audio));
        }
        if before.is_none_or(|before| before.muted.video != self.muted.video) {
            calls.push(Call::Mute(who, Source::Camera, self.muted.video));
        }
        calls
    }
}
