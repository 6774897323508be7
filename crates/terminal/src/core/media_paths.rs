//! Media paths: the media connections of this device that are established or being established, and whether they work.

use super::effect::{Effect, JoinMedia, MediaId, MediaInput};
use super::step::Step;
use crate::event::Event;
use signalling::{JoinParameters, MeetingId, Muted, ParticipationId, Roster, Track, UserName};
use std::collections::BTreeMap;

/// One in a call and a few that are warm while it rings; further rings are not warmed.
const WARM_MAX: usize = 3;

#[derive(Default)]
pub(crate) struct MediaPaths {
    by_id: BTreeMap<MediaId, MediaPath>,
    next: u64,
}

struct MediaPath {
    meeting: MeetingId,
    participation: ParticipationId,
    waiting: bool,
    quiet: bool,
}

impl MediaPaths {
    /// Prepares the path of a call that rings.
    pub(crate) fn warm(&mut self, step: &mut Step<'_, '_>, meeting: MeetingId, join: JoinParameters) {
        if self.by_id.len() < WARM_MAX && !self.by_id.values().any(|path| path.meeting == meeting) {
            self.start(step, meeting, join, true, Muted::default());
        }
    }

    /// Joins again; an older connection of the meeting is closed.
    pub(crate) fn join(
        &mut self,
        step: &mut Step<'_, '_>,
        meeting: MeetingId,
        join: JoinParameters,
        muted: Muted,
        roster: &Roster,
    ) {
        self.close_meeting(step, meeting);
        self.start(step, meeting, join, false, muted);
        self.name_senders(step, meeting, roster);
    }

    /// Lets a waiting connection of this participation send. Returns false if there is none.
    pub(crate) fn admit(
        &mut self,
        step: &mut Step<'_, '_>,
        meeting: MeetingId,
        participation: ParticipationId,
        muted: Muted,
        roster: &Roster,
    ) -> bool {
        let fits = |path: &&mut MediaPath| path.meeting == meeting && path.participation == participation;
        let Some((id, path)) = self.by_id.iter_mut().find(|(_, path)| fits(path) && path.waiting && !path.quiet) else {
            return false;
        };
        path.waiting = false;
        let muting = [(Track::Audio, muted.audio), (Track::Video, muted.video)];
        let muted = muting.into_iter().filter(|(_, muted)| *muted);
        step.effects.extend(muted.map(|(track, muted)| Effect::MuteMedia(*id, track, muted)));
        step.effects.push(Effect::AdmitMedia(*id));
        self.name_senders(step, meeting, roster);
        true
    }

    /// Whether a connection that may send is established, or being established, and not quiet.
    pub(crate) fn is_healthy(&self, meeting: MeetingId) -> bool {
        self.by_id.values().any(|path| path.meeting == meeting && !path.waiting && !path.quiet)
    }

    pub(crate) fn set_muted(&self, step: &mut Step<'_, '_>, meeting: MeetingId, track: Track, muted: bool) {
        step.effects.extend(self.of(meeting).map(|id| Effect::MuteMedia(id, track, muted)));
    }

    pub(crate) fn name_senders(&self, step: &mut Step<'_, '_>, meeting: MeetingId, roster: &Roster) {
        let named = roster.members.iter().filter_map(|m| Some((m.participation?, m.user.clone())));
        let names: Vec<(ParticipationId, UserName)> = named.collect();
        step.effects.extend(self.of(meeting).map(|id| Effect::NameSenders(id, names.clone())));
    }

    pub(crate) fn close_meeting(&mut self, step: &mut Step<'_, '_>, meeting: MeetingId) {
        step.effects.extend(self.of(meeting).map(Effect::CloseMedia));
        self.by_id.retain(|_, path| path.meeting != meeting);
    }

    /// Returns the meeting and whether the connection was waiting; `None` for one that was closed.
    pub(crate) fn handle_input(
        &mut self,
        step: &mut Step<'_, '_>,
        media: MediaId,
        input: &MediaInput,
    ) -> Option<(MeetingId, bool)> {
        let path = self.by_id.get_mut(&media)?;
        let (meeting, participation, waiting) = (path.meeting, path.participation, path.waiting);
        match input {
            MediaInput::Joined { cipher, after_ms } => {
                step.notify(Event::MediaJoined { meeting, participation, cipher, waiting, after_ms: *after_ms });
            }
            MediaInput::Quiet => path.quiet = true,
            MediaInput::Resumed => path.quiet = false,
            MediaInput::Over(_) => drop(self.by_id.remove(&media)),
        }
        Some((meeting, waiting))
    }

    fn start(
        &mut self,
        step: &mut Step<'_, '_>,
        meeting: MeetingId,
        join: JoinParameters,
        waiting: bool,
        muted: Muted,
    ) {
        let id = MediaId(self.next);
        self.next += 1;
        self.by_id.insert(id, MediaPath { meeting, participation: join.participation, waiting, quiet: false });
        step.effects.push(Effect::JoinMedia(Box::new(JoinMedia { id, meeting, join, waiting, muted })));
    }

    fn of(&self, meeting: MeetingId) -> impl Iterator<Item = MediaId> {
        self.by_id.iter().filter(move |(_, path)| path.meeting == meeting).map(|(id, _)| *id)
    }
}
