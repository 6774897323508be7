//! The meetings that this device is in, or is trying to be in.
//!
//! ```text
//!   create ──► Creating ──admitted──► In ──ended──► (gone)
//!                  └────refused──────────────────────┘
//!   admitted after an accept, or a state that says "here" ──► In
//! ```
//! While a call lives, its media path is made again for ever: a lost path asks for fresh parameters (`join`), a state
//! answer brings them too.

use super::links::Links;
use super::turn::Turn;
use crate::event::Event;
use signalling::{
    EndReason, Envelope, JoinParameters, Media, MeetingId, Muted, Roster, SignalId, StandingCall, State, Track, UpBody,
    UserName,
};
use std::collections::BTreeMap;

/// Calls of one device; a further create goes to the service, whose refusal ends it.
const CALLS_MAX: usize = 16;
/// Pauses before the fresh parameters are asked for: the first at once, then longer.
const REJOIN_PAUSES_MS: [u64; 5] = [0, 500, 1_000, 2_000, 4_000];
/// A `join` request without an answer is repeated after this.
const JOIN_RETRY_MS: u64 = 5_000;

#[derive(Default)]
pub(crate) struct Calls {
    by_meeting: BTreeMap<MeetingId, Call>,
    /// The call elsewhere that was told last.
    elsewhere: Option<MeetingId>,
}

struct Call {
    phase: Phase,
    /// What is not sent from here.
    muted: Muted,
    roster: Roster,
    create: Option<SignalId>,
    /// By the service's clock.
    since_ms: u64,
    rejoin: Option<Rejoin>,
    attempts: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Creating,
    In,
    /// We have said that we go.
    Leaving,
}

/// The media path is gone.
struct Rejoin {
    /// When to ask for fresh parameters, by the local clock.
    at_ms: u64,
    request: Option<SignalId>,
}

impl Call {
    fn new(phase: Phase, media: Media, since_ms: u64) -> Self {
        let muted = Muted { audio: false, video: media == Media::Audio };
        Self { phase, muted, roster: Roster::default(), create: None, since_ms, rejoin: None, attempts: 0 }
    }
}

impl Calls {
    pub(crate) fn current(&self) -> Option<MeetingId> {
        let inside = |call: &&Call| call.phase == Phase::In;
        let found = self.by_meeting.iter().find(|(_, call)| inside(call)).or(self.by_meeting.last_key_value());
        found.map(|(meeting, _)| *meeting)
    }

    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.by_meeting.values().filter_map(|call| call.rejoin.as_ref()).map(|rejoin| rejoin.at_ms).min()
    }

    pub(crate) fn create(
        &mut self,
        turn: &mut Turn<'_, '_>,
        meeting: MeetingId,
        callees: Vec<UserName>,
        media: Media,
        title: Option<String>,
    ) {
        let create = turn.publish(Some(meeting), UpBody::Create { callees, media, title });
        if self.by_meeting.len() < CALLS_MAX {
            let call = Call { create: Some(create), ..Call::new(Phase::Creating, media, turn.service_ms()) };
            self.by_meeting.insert(meeting, call);
        }
    }

    pub(crate) fn leave(&mut self, meeting: MeetingId) {
        if let Some(call) = self.by_meeting.get_mut(&meeting) {
            call.phase = Phase::Leaving;
            call.rejoin = None;
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

    pub(crate) fn handle_admitted(
        &mut self,
        turn: &mut Turn<'_, '_>,
        links: &mut Links,
        envelope: &Envelope,
        meeting: MeetingId,
        join: JoinParameters,
        roster: Roster,
    ) {
        self.follow_crossing(envelope.in_reply_to, meeting);
        let service_ms = turn.service_ms();
        let call =
            self.by_meeting.entry(meeting).or_insert_with(|| Call::new(Phase::Creating, Media::Video, service_ms));
        if call.phase == Phase::Leaving {
            return;
        }
        let rejoined = call.phase == Phase::In;
        let asked = call.rejoin.as_ref().is_some_and(|r| r.request.is_some() && r.request == envelope.in_reply_to);
        call.phase = Phase::In;
        call.since_ms = service_ms;
        if !rejoined || asked || !links.is_healthy(meeting) {
            self.enter(turn, links, meeting, join, roster, rejoined);
        } else {
            self.handle_roster(turn, links, meeting, roster);
        }
    }

    /// Two people who call each other meet: the second create is answered by the first one's meeting.
    fn follow_crossing(&mut self, create: Option<SignalId>, meeting: MeetingId) {
        let spent = |(id, call): &(&MeetingId, &Call)| **id != meeting && create.is_some() && call.create == create;
        let Some(old) = self.by_meeting.iter().find(spent).map(|(id, _)| *id) else { return };
        if let Some(call) = self.by_meeting.remove(&old) {
            self.by_meeting.entry(meeting).or_insert(call);
        }
    }

    fn enter(
        &mut self,
        turn: &mut Turn<'_, '_>,
        links: &mut Links,
        meeting: MeetingId,
        join: JoinParameters,
        roster: Roster,
        rejoined: bool,
    ) {
        let Some(call) = self.by_meeting.get_mut(&meeting) else { return };
        call.rejoin = None;
        let (channel, participation) = (join.channel.clone(), join.participation);
        turn.tell(Event::Admitted { meeting, channel, participation, rejoined, roster: roster.clone() });
        if !links.admit(turn, meeting, participation, call.muted, &roster) {
            links.join(turn, meeting, join, call.muted, &roster);
        }
        call.roster = roster;
    }

    pub(crate) fn handle_roster(&mut self, turn: &mut Turn<'_, '_>, links: &Links, meeting: MeetingId, roster: Roster) {
        if let Some(call) = self.by_meeting.get_mut(&meeting) {
            if roster.rev < call.roster.rev || roster == call.roster {
                return;
            }
            call.roster = roster.clone();
        }
        links.name_senders(turn, meeting, &roster);
        turn.tell(Event::Roster { meeting, roster });
    }

    pub(crate) fn end(&mut self, turn: &mut Turn<'_, '_>, meeting: MeetingId, reason: EndReason, by: Option<UserName>) {
        self.by_meeting.remove(&meeting);
        turn.tell(Event::Ended { meeting, user: None, reason, by });
    }

    pub(crate) fn handle_refused(&mut self, turn: &mut Turn<'_, '_>, links: &mut Links, request: SignalId) {
        let asked = |call: &Call| {
            let join = call.rejoin.as_ref().and_then(|rejoin| rejoin.request);
            call.create == Some(request) && call.phase == Phase::Creating || join == Some(request)
        };
        let Some(meeting) = self.by_meeting.iter().find(|(_, call)| asked(call)).map(|(id, _)| *id) else { return };
        links.close_meeting(turn, meeting);
        self.end(turn, meeting, EndReason::Failed, None);
    }

    pub(crate) fn handle_state(&mut self, turn: &mut Turn<'_, '_>, links: &mut Links, state: &State) {
        let standing = state.call.as_ref().map(|call| call.meeting);
        let over = |id: &MeetingId, call: &Call| {
            call.phase == Phase::In && call.since_ms < state.now_ms && Some(*id) != standing
        };
        let gone: Vec<_> = self.by_meeting.iter().filter(|(id, call)| over(id, call)).map(|(id, _)| *id).collect();
        for meeting in gone {
            links.close_meeting(turn, meeting);
            self.end(turn, meeting, EndReason::Failed, None);
        }
        match &state.call {
            Some(call) if call.here => self.stand_here(turn, links, call),
            Some(call) => self.stand_elsewhere(turn, links, call.meeting, state.now_ms),
            None => self.elsewhere = None,
        }
    }

    /// The service says that this device is in the call: it goes on, with fresh parameters if its path is gone.
    fn stand_here(&mut self, turn: &mut Turn<'_, '_>, links: &mut Links, standing: &StandingCall) {
        let meeting = standing.meeting;
        let (media, service_ms) = (standing.media, turn.service_ms());
        let call = self.by_meeting.entry(meeting).or_insert_with(|| Call::new(Phase::In, media, service_ms));
        if call.phase == Phase::Leaving {
            return;
        }
        call.phase = Phase::In;
        match &standing.join {
            Some(join) if !links.is_healthy(meeting) => {
                self.enter(turn, links, meeting, join.clone(), standing.roster.clone(), true);
            }
            _ => self.handle_roster(turn, links, meeting, standing.roster.clone()),
        }
    }

    fn stand_elsewhere(&mut self, turn: &mut Turn<'_, '_>, links: &mut Links, meeting: MeetingId, now_ms: u64) {
        let here = self.by_meeting.get(&meeting);
        if here.is_some_and(|call| call.phase == Phase::In && call.since_ms < now_ms) {
            links.close_meeting(turn, meeting);
            self.end(turn, meeting, EndReason::AnsweredElsewhere, None);
        }
        if self.elsewhere.replace(meeting) != Some(meeting) {
            turn.tell(Event::InCallElsewhere { meeting });
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
        turn: &mut Turn<'_, '_>,
        meeting: MeetingId,
        reason: String,
        connected: bool,
    ) {
        let Some(call) = self.by_meeting.get_mut(&meeting).filter(|call| call.phase == Phase::In) else { return };
        turn.tell(Event::MediaLost { meeting, reason });
        let pause = REJOIN_PAUSES_MS[call.attempts.min(REJOIN_PAUSES_MS.len() - 1)];
        call.attempts += 1;
        call.rejoin = Some(Rejoin { at_ms: turn.now_ms() + pause, request: None });
        if connected {
            self.rejoin_due(turn);
        }
    }

    pub(crate) fn rejoin_due(&mut self, turn: &mut Turn<'_, '_>) {
        let now = turn.now_ms();
        for (meeting, call) in &mut self.by_meeting {
            if let Some(rejoin) = call.rejoin.as_mut().filter(|rejoin| rejoin.at_ms <= now) {
                rejoin.request = Some(turn.publish(Some(*meeting), UpBody::Join {}));
                rejoin.at_ms = now + JOIN_RETRY_MS;
            }
        }
    }
}
