//! Calls: the meetings that this device is in, or tries to enter.
//!
//! ```text
//!   create ──► Creating ──admitted──► In ──ended──► (gone)
//!                  └────refused──────────────────────┘
//!   join ──► Joining (a meeting that was left), then as Creating
//!   admitted after an accept, or a state that says "here" ──► In
//! ```
//! While a call lives, its media path is established again without end: a lost path asks for fresh parameters (`join`),
//! a state answer brings them too.
//!
//! Answers may be lost with their connection, so the state answer decides about every call: what it does not know is over.
//! The service takes the requests of one user in their order, so an answer knows of everything that was asked for before
//! its own request, and says nothing about what came later.

use super::media_paths::MediaPaths;
use super::step::Step;
use crate::event::Event;
use signalling::{
    EndReason, Envelope, JoinParameters, Media, MeetingId, Muted, Roster, RosterChange, SignalId, StandingCall, State,
    Track, UpBody, UserName,
};
use std::collections::BTreeMap;

/// Calls of one device; a further create goes to the service, whose refusal ends it.
const CALLS_MAX: usize = 16;
/// Pauses before the fresh parameters are asked for: the first at once, then longer.
const REJOIN_PAUSES_MS: [u64; 5] = [0, 500, 1_000, 2_000, 4_000];
/// A `join` or `roster` request without an answer is repeated after this.
const JOIN_RETRY_MS: u64 = 5_000;
const ROSTER_RETRY_MS: u64 = 5_000;

#[derive(Default)]
pub(crate) struct Calls {
    by_meeting: BTreeMap<MeetingId, Call>,
    /// The call on another device that was reported last.
    elsewhere: Option<MeetingId>,
    /// The cancel of the last create that was taken back; its call is over here.
    taken_back: Option<SignalId>,
}

struct Call {
    phase: Phase,
    /// What is not sent from here.
    muted: Muted,
    roster: Roster,
    /// This user's name in it.
    me: Option<UserName>,
    /// A change of the roster was missed: when to ask for it whole again.
    roster_asked_at_ms: Option<u64>,
    /// Of the latest change that could not be followed, and of that when the roster was asked for.
    missed_rev: u64,
    asked_rev: u64,
    /// The create, or the join, that began this call.
    request: Option<SignalId>,
    /// It has changed since the last state request: the answer to that one says nothing about it.
    newer: bool,
    rejoin: Option<Rejoin>,
    attempts: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Creating,
    /// A meeting that was left is joined again.
    Joining,
    In,
    /// The leave, or the end for all, is on its way.
    Leaving {
        destroys: bool,
    },
}

/// A lost media path that is to be joined again.
struct Rejoin {
    /// When to ask for fresh parameters.
    at_ms: u64,
    request: Option<SignalId>,
}

impl Call {
    fn new(phase: Phase, muted: Muted) -> Self {
        Self {
            phase,
            muted,
            roster: Roster::default(),
            me: None,
            roster_asked_at_ms: None,
            missed_rev: 0,
            asked_rev: 0,
            request: None,
            newer: true,
            rejoin: None,
            attempts: 0,
        }
    }

    fn ask_roster(&mut self, step: &mut Step<'_, '_>, meeting: MeetingId) {
        step.publish(Some(meeting), UpBody::Roster {});
        self.roster_asked_at_ms = Some(step.now_ms() + ROSTER_RETRY_MS);
        self.asked_rev = self.missed_rev;
    }

    /// A roster of `rev` has come. One that was read before a change that has been missed since is asked for once more.
    fn follow_up(&mut self, step: &mut Step<'_, '_>, meeting: MeetingId, rev: u64) {
        if self.missed_rev <= rev {
            self.roster_asked_at_ms = None;
        } else if self.asked_rev < self.missed_rev {
            self.ask_roster(step, meeting);
        }
    }

    fn is_beginning(&self) -> bool {
        matches!(self.phase, Phase::Creating | Phase::Joining)
    }

    fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }

    fn rejoins_by(&self, request: Option<SignalId>) -> bool {
        request.is_some() && self.rejoin.as_ref().is_some_and(|rejoin| rejoin.request == request)
    }

    /// How it is over, and by whom, when the service does not know it any more: the answer that says so may overtake its
    /// `ended`.
    fn unheard_end(&self, me: &UserName) -> (EndReason, Option<UserName>) {
        match self.phase {
            Phase::Leaving { destroys: true } => (EndReason::Destroyed, Some(me.clone())),
            Phase::Leaving { destroys: false } => (EndReason::Left, None),
            _ => (EndReason::Failed, None),
        }
    }
}

/// A call begins with its video off if it is an audio call.
fn muted_at_first(media: Media) -> Muted {
    Muted { audio: false, video: media == Media::Audio }
}

impl Calls {
    pub(crate) fn current(&self) -> Option<MeetingId> {
        let inside = |call: &&Call| call.phase == Phase::In;
        let found = self.by_meeting.iter().find(|(_, call)| inside(call)).or(self.by_meeting.last_key_value());
        found.map(|(meeting, _)| *meeting)
    }

    pub(crate) fn poll_timeout_ms(&self) -> Option<u64> {
        let rejoin = |call: &Call| call.rejoin.as_ref().map(|rejoin| rejoin.at_ms);
        self.by_meeting.values().flat_map(|call| [rejoin(call), call.roster_asked_at_ms]).flatten().min()
    }

    /// The revision of the roster that is known.
    pub(crate) fn known_rev(&self, meeting: MeetingId) -> Option<u64> {
        self.by_meeting.get(&meeting).map(|call| call.roster.rev)
    }

    pub(crate) fn is_muted_by_roster(&self, meeting: MeetingId, track: Track) -> bool {
        let Some(call) = self.by_meeting.get(&meeting) else { return false };
        let mine = call.roster.members.iter().find(|member| Some(&member.user) == call.me.as_ref());
        mine.is_some_and(|member| match track {
            Track::Audio => member.muted.audio,
            Track::Video => member.muted.video,
        })
    }

    pub(crate) fn rejoins_by(&self, meeting: MeetingId, request: Option<SignalId>) -> bool {
        self.by_meeting.get(&meeting).is_some_and(|call| call.rejoins_by(request))
    }

    pub(crate) fn create(
        &mut self,
        step: &mut Step<'_, '_>,
        meeting: MeetingId,
        callees: Vec<UserName>,
        media: Media,
        title: Option<String>,
    ) {
        let create = step.publish(Some(meeting), UpBody::Create { callees, media, title });
        self.begin(meeting, Phase::Creating, create, muted_at_first(media));
    }

    /// Comes back to a meeting that was left. A call that stands here is asked for fresh parameters alone.
    pub(crate) fn join(&mut self, meeting: MeetingId, request: SignalId) {
        match self.by_meeting.get_mut(&meeting) {
            Some(call) if call.is_leaving() => {
                call.phase = Phase::Joining;
                call.request = Some(request);
                call.newer = true;
            }
            Some(_) => {}
            None => self.begin(meeting, Phase::Joining, request, Muted::default()),
        }
    }

    fn begin(&mut self, meeting: MeetingId, phase: Phase, request: SignalId, muted: Muted) {
        if self.by_meeting.len() < CALLS_MAX {
            self.by_meeting.insert(meeting, Call { request: Some(request), ..Call::new(phase, muted) });
        }
    }

    /// `destroys`: for all.
    pub(crate) fn leave(&mut self, meeting: MeetingId, destroys: bool) {
        if let Some(call) = self.by_meeting.get_mut(&meeting) {
            call.phase = Phase::Leaving { destroys };
            call.newer = true;
            call.rejoin = None;
            call.roster_asked_at_ms = None;
        }
    }

    pub(crate) fn set_muted(&mut self, meeting: MeetingId, track: Track, muted: bool) {
        if let Some(call) = self.by_meeting.get_mut(&meeting) {
            match track {
                Track::Audio => call.muted.audio = muted,
                Track::Video => call.muted.video = muted,
            }
        }
    }

    /// `rang`: the media of the ring that this admission answers.
    pub(crate) fn handle_admitted(
        &mut self,
        step: &mut Step<'_, '_>,
        paths: &mut MediaPaths,
        envelope: &Envelope,
        (meeting, rang): (MeetingId, Option<Media>),
        join: JoinParameters,
        roster: Roster,
    ) {
        self.follow_glare(envelope.in_reply_to, meeting);
        let muted = muted_at_first(rang.unwrap_or(Media::Video));
        let call = self.by_meeting.entry(meeting).or_insert_with(|| Call::new(Phase::Creating, muted));
        if call.is_leaving() {
            return;
        }
        let rejoined = call.phase == Phase::In;
        let asked = call.rejoins_by(envelope.in_reply_to);
        call.phase = Phase::In;
        call.newer = true;
        if !rejoined || asked || !paths.is_healthy(meeting) {
            self.enter(step, paths, meeting, join, roster, rejoined);
        } else {
            self.handle_roster(step, paths, meeting, roster);
        }
    }

    /// Glare: of two people who call each other at the same time, the second create is answered by the meeting of the first.
    fn follow_glare(&mut self, create: Option<SignalId>, meeting: MeetingId) {
        let was_created_by_it = |call: &Call| create.is_some() && call.request == create;
        self.become_meeting(meeting, was_created_by_it);
    }

    /// The same, where the admission was lost: the state knows this device in a meeting that it has not entered yet.
    fn follow_unheard_glare(&mut self, meeting: MeetingId) {
        if !self.by_meeting.contains_key(&meeting) {
            self.become_meeting(meeting, |call| call.phase == Phase::Creating && !call.newer);
        }
    }

    fn become_meeting(&mut self, meeting: MeetingId, becomes_it: impl Fn(&Call) -> bool) {
        let mut others = self.by_meeting.iter().filter(|(id, _)| **id != meeting);
        let Some(old) = others.find(|(_, call)| becomes_it(call)).map(|(id, _)| *id) else { return };
        if let Some(call) = self.by_meeting.remove(&old) {
            self.by_meeting.entry(meeting).or_insert(call);
        }
    }

    fn enter(
        &mut self,
        step: &mut Step<'_, '_>,
        paths: &mut MediaPaths,
        meeting: MeetingId,
        join: JoinParameters,
        roster: Roster,
        rejoined: bool,
    ) {
        let Some(call) = self.by_meeting.get_mut(&meeting) else { return };
        call.rejoin = None;
        call.me = Some(join.user.clone());
        let (channel, participation) = (join.channel.clone(), join.participation);
        step.notify(Event::Admitted { meeting, channel, participation, rejoined, roster: roster.clone() });
        if !paths.admit(step, meeting, participation, call.muted, &roster) {
            paths.join(step, meeting, join, call.muted, &roster);
        }
        if roster.rev >= call.roster.rev {
            call.follow_up(step, meeting, roster.rev);
            call.roster = roster;
        }
        if !rejoined {
            publish_mutes(step, meeting, call.muted);
        }
    }

    pub(crate) fn handle_roster(
        &mut self,
        step: &mut Step<'_, '_>,
        paths: &MediaPaths,
        meeting: MeetingId,
        roster: Roster,
    ) {
        let Some(call) = self.by_meeting.get_mut(&meeting).filter(|call| call.roster.rev <= roster.rev) else { return };
        call.follow_up(step, meeting, roster.rev);
        if call.roster != roster {
            call.roster = roster.clone();
            paths.name_senders(step, meeting, &roster);
            step.notify(Event::Roster { meeting, roster });
        }
    }

    /// What changed. One that begins above what is known here leaves a gap: the roster is asked for, whole.
    pub(crate) fn handle_roster_changed(
        &mut self,
        step: &mut Step<'_, '_>,
        paths: &MediaPaths,
        meeting: MeetingId,
        change: RosterChange,
    ) {
        let Some(call) = self.by_meeting.get_mut(&meeting).filter(|call| call.roster.rev < change.rev) else { return };
        if call.roster.rev < change.base {
            if call.phase == Phase::In {
                call.missed_rev = change.rev.max(call.missed_rev);
            }
            if call.phase == Phase::In && call.roster_asked_at_ms.is_none() {
                call.ask_roster(step, meeting);
            }
            return;
        }
        let roster = changed(&call.roster, change);
        self.handle_roster(step, paths, meeting, roster);
    }

    pub(crate) fn end(&mut self, step: &mut Step<'_, '_>, meeting: MeetingId, reason: EndReason, by: Option<UserName>) {
        self.by_meeting.remove(&meeting);
        step.notify(Event::Ended { meeting, user: None, reason, by });
    }

    /// Whether this answers the cancel of a create that was taken back: that call was reported as ended.
    pub(crate) fn is_already_ended(&self, in_reply_to: Option<SignalId>) -> bool {
        in_reply_to.is_some() && in_reply_to == self.taken_back
    }

    /// A state request is on its way.
    pub(crate) fn handle_asked(&mut self) {
        self.by_meeting.values_mut().for_each(|call| call.newer = false);
    }

    pub(crate) fn handle_refused(&mut self, step: &mut Step<'_, '_>, paths: &mut MediaPaths, request: SignalId) {
        let asked =
            |call: &Call| call.request == Some(request) && call.is_beginning() || call.rejoins_by(Some(request));
        let Some(meeting) = self.by_meeting.iter().find(|(_, call)| asked(call)).map(|(id, _)| *id) else { return };
        paths.close_meeting(step, meeting);
        self.end(step, meeting, EndReason::Failed, None);
    }

    /// A create that did not get away is a call that never began.
    pub(crate) fn handle_not_sent(&mut self, step: &mut Step<'_, '_>, request: SignalId) {
        let made = |call: &Call| call.request == Some(request) && call.is_beginning();
        if let Some(meeting) = self.by_meeting.iter().find(|(_, call)| made(call)).map(|(id, _)| *id) {
            self.end(step, meeting, EndReason::Failed, None);
        }
    }

    /// Whether a call still waits for this request.
    pub(crate) fn is_made_by(&self, request: SignalId) -> bool {
        self.by_meeting.values().any(|call| call.request == Some(request) && call.is_beginning())
    }

    /// This request goes out once more after the next state answer, which then knows nothing of it.
    pub(crate) fn handle_repeat_due(&mut self, meeting: MeetingId) {
        if let Some(call) = self.by_meeting.get_mut(&meeting) {
            call.newer = true;
        }
    }

    /// The request has gone out once more under another id.
    pub(crate) fn handle_repeated(&mut self, request: SignalId, again: SignalId) {
        for call in self.by_meeting.values_mut() {
            let rejoin = call.rejoin.as_mut().map(|rejoin| &mut rejoin.request);
            let ids = [Some(&mut call.request), rejoin];
            ids.into_iter().flatten().filter(|id| **id == Some(request)).for_each(|id| *id = Some(again));
        }
        if self.taken_back == Some(request) {
            self.taken_back = Some(again);
        }
    }

    pub(crate) fn handle_state(&mut self, step: &mut Step<'_, '_>, paths: &mut MediaPaths, state: &State) {
        let here = state.call.as_ref().filter(|call| call.here);
        if let Some(call) = here {
            self.follow_unheard_glare(call.meeting);
        }
        self.end_unknown(step, paths, state, here.is_some());
        match &state.call {
            Some(call) if call.here => self.handle_standing_here(step, paths, call),
            Some(call) => self.handle_standing_elsewhere(step, paths, call.meeting),
            None => self.elsewhere = None,
        }
    }

    /// Ends what the service does not know any more. A create is taken back: one that the service could not decide at once
    /// must not ring now. In a call it is not taken back: that may be the one that this create became by glare.
    fn end_unknown(&mut self, step: &mut Step<'_, '_>, paths: &mut MediaPaths, state: &State, here: bool) {
        let standing = state.call.as_ref().map(|call| call.meeting);
        let over = |(id, call): &(&MeetingId, &Call)| !call.newer && Some(**id) != standing;
        let end = |(id, call): (&MeetingId, &Call)| (*id, call.phase, call.unheard_end(&state.user));
        let gone: Vec<_> = self.by_meeting.iter().filter(over).map(end).collect();
        for (meeting, phase, (reason, by)) in gone {
            if phase == Phase::Creating && !here {
                self.taken_back = Some(step.publish(Some(meeting), UpBody::Cancel { callee: None }));
            }
            paths.close_meeting(step, meeting);
            self.end(step, meeting, reason, by);
        }
    }

    /// The service says that this device is in the call: it goes on, with fresh parameters if its path is gone.
    fn handle_standing_here(&mut self, step: &mut Step<'_, '_>, paths: &mut MediaPaths, standing: &StandingCall) {
        let meeting = standing.meeting;
        let call = self.by_meeting.entry(meeting).or_insert_with(|| Call::new(Phase::In, muted_by_roster(standing)));
        if call.is_leaving() {
            if !call.newer {
                // The service has not heard of it, or has refused the end for all.
                call.phase = Phase::Leaving { destroys: false };
                step.publish(Some(meeting), UpBody::Leave {});
            }
            return;
        }
        let rejoined = call.phase == Phase::In;
        call.phase = Phase::In;
        match &standing.join {
            Some(join) if !paths.is_healthy(meeting) => {
                self.enter(step, paths, meeting, join.clone(), standing.roster.clone(), rejoined);
            }
            _ => self.handle_roster(step, paths, meeting, standing.roster.clone()),
        }
    }

    fn handle_standing_elsewhere(&mut self, step: &mut Step<'_, '_>, paths: &mut MediaPaths, meeting: MeetingId) {
        if let Some(call) = self.by_meeting.get(&meeting).filter(|call| !call.newer) {
            let left = call.is_leaving();
            paths.close_meeting(step, meeting);
            self.end(step, meeting, if left { EndReason::Left } else { EndReason::AnsweredElsewhere }, None);
        }
        if self.elsewhere.replace(meeting) != Some(meeting) {
            step.notify(Event::InCallElsewhere { meeting });
        }
    }

    pub(crate) fn handle_media_joined(&mut self, meeting: MeetingId) {
        if let Some(call) = self.by_meeting.get_mut(&meeting) {
            call.attempts = 0;
        }
    }

    /// Asks for fresh parameters: now, if signalling stands; else the state answer after the next connect brings them.
    pub(crate) fn handle_media_lost(
        &mut self,
        step: &mut Step<'_, '_>,
        meeting: MeetingId,
        reason: String,
        connected: bool,
    ) {
        let Some(call) = self.by_meeting.get_mut(&meeting).filter(|call| call.phase == Phase::In) else { return };
        step.notify(Event::MediaLost { meeting, reason });
        let pause = REJOIN_PAUSES_MS[call.attempts.min(REJOIN_PAUSES_MS.len() - 1)];
        call.attempts += 1;
        call.rejoin = Some(Rejoin { at_ms: step.now_ms() + pause, request: None });
        if connected {
            self.publish_due_requests(step);
        }
    }

    pub(crate) fn publish_due_requests(&mut self, step: &mut Step<'_, '_>) {
        let now = step.now_ms();
        for (meeting, call) in &mut self.by_meeting {
            if call.roster_asked_at_ms.is_some_and(|at_ms| at_ms <= now) {
                call.ask_roster(step, *meeting);
            }
            if let Some(rejoin) = call.rejoin.as_mut().filter(|rejoin| rejoin.at_ms <= now) {
                rejoin.request = Some(step.publish(Some(*meeting), UpBody::Join {}));
                rejoin.at_ms = now + JOIN_RETRY_MS;
            }
        }
    }
}

/// The roster with what has changed.
fn changed(before: &Roster, RosterChange { rev, host, members, gone, .. }: RosterChange) -> Roster {
    let mut roster = Roster { rev, host: Some(host), members: before.members.clone() };
    roster.members.retain(|member| !gone.contains(&member.user));
    for member in members {
        match roster.members.iter_mut().find(|known| known.user == member.user) {
            Some(known) => *known = member,
            None => roster.members.push(member),
        }
    }
    roster
}

/// What was muted when this device was in the call before, by the service's roster.
fn muted_by_roster(standing: &StandingCall) -> Muted {
    let me = standing.join.as_ref().map(|join| &join.user);
    let member = standing.roster.members.iter().find(|member| Some(&member.user) == me);
    member.map_or_else(|| muted_at_first(standing.media), |member| member.muted)
}

/// Tells the service what is muted here, so that the roster shows it to the others.
fn publish_mutes(step: &mut Step<'_, '_>, meeting: MeetingId, muted: Muted) {
    for (track, _) in [(Track::Audio, muted.audio), (Track::Video, muted.video)].into_iter().filter(|(_, off)| *off) {
        step.publish(Some(meeting), UpBody::Mute { user: None, track });
    }
}
