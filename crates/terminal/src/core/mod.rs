//! The decisions of a terminal, without I/O: inputs and time go in, effects are polled.
//!
//! ```text
//!   Connected, Disconnected ──┐                             ┌── Store ─► Acknowledge ─► Notify     (rings)
//!   Signal (with its PUBACK) ─┤                             ├── Publish
//!   Command, NotSent ─────────┼─► handle_input, ───► poll_effect
//!   Media ────────────────────┤   handle_timeout            ├── JoinMedia, AdmitMedia, MuteMedia, NameSenders, CloseMedia
//!   time (poll_timeout_ms) ───┘                             └── Notify
//! ```
//! Contract: after each [`Core::handle_input`] and [`Core::handle_timeout`] the shell polls all effects and carries them
//! out in their order, and stops at a `Store` that fails: what is acknowledged to the broker is on disk. It calls
//! `handle_timeout` at [`Core::poll_timeout_ms`].
//!
//! Rings follow three rules. An invitation that was never seen rings at once. One in doubt, which the broker may have
//! delivered before (DUP) or whose time seems to be over, is stored as held until the service has said what stands. After
//! a connect or a restart the state answer decides about everything older than itself.
//!
//! Everything is acknowledged as soon as it is stored, so that nothing that waits for an answer keeps the answer out.

mod calls;
mod clock;
mod contact_watch;
mod effect;
mod media_paths;
mod requests;
mod rings;
mod signal_filter;
mod step;
#[cfg(test)]
mod tests;

pub use effect::{Command, Delivery, Effect, Input, JoinMedia, MediaId, MediaInput, ReceivedSignal};
pub use step::{Moment, REQUEST_EXPIRY};

use crate::event::Event;
use crate::options::Fault;
use crate::store::RingEntry;
use calls::Calls;
use clock::Clock;
use contact_watch::ContactWatch;
use media_paths::MediaPaths;
use requests::Requests;
use rings::Rings;
use signal_filter::SignalFilter;
use signalling::{Down, DownBody, Envelope, InvitationId, MeetingId, RefusalCode, SignalId, State, Track, UpBody};
use std::collections::VecDeque;
use step::Step;

/// A state request without an answer is repeated after this.
const STATE_RETRY_MS: u64 = 5_000;

pub struct Core {
    clock: Clock,
    connected: bool,
    /// A state answer was handled on this connection.
    synchronised: bool,
    /// The state request whose answer decides.
    state_request: Option<StateRequest>,
    rings: Rings,
    calls: Calls,
    paths: MediaPaths,
    filter: SignalFilter,
    requests: Requests,
    contact_watch: ContactWatch,
    /// To be polled.
    effects: VecDeque<Effect>,
    fault: Fault,
}

struct StateRequest {
    request: SignalId,
    at_ms: u64,
    /// How many invitations had arrived.
    arrivals: u64,
}

impl Core {
    /// `known`: what the ring store holds. `warm`: whether the media path is prepared while it rings.
    pub fn new(known: impl IntoIterator<Item = RingEntry>, warm: bool) -> Self {
        Self {
            clock: Clock::default(),
            connected: false,
            synchronised: false,
            state_request: None,
            rings: Rings::new(known, warm),
            calls: Calls::default(),
            paths: MediaPaths::default(),
            filter: SignalFilter::default(),
            requests: Requests::default(),
            contact_watch: ContactWatch::default(),
            effects: VecDeque::new(),
            fault: Fault::None,
        }
    }

    pub(crate) fn with_fault(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    pub fn handle_input(&mut self, input: Input, now: &mut Moment<'_>) {
        let mut step = self.begin(now);
        match input {
            Input::Connected { session_present, endpoint, tls } => {
                self.connected = true;
                self.clock.handle_connected();
                step.notify(Event::Connected { session_present, endpoint, tls });
                self.synchronised = false;
                self.ask_state(&mut step);
                self.contact_watch.handle_connected(&mut step);
            }
            Input::Disconnected { reason, retry_ms } => {
                self.connected = false;
                self.state_request = None;
                step.notify(Event::Disconnected { reason, retry_ms });
            }
            Input::Signal(signal) => self.handle_signal(&mut step, *signal),
            Input::Command(command) => self.handle_command(&mut step, command),
            Input::Media(media, input) => self.handle_media(&mut step, media, input),
            Input::NotSent(request) => self.handle_not_sent(&mut step, request),
        }
        self.finish(step);
    }

    /// To be called when the time of [`Core::poll_timeout_ms`] has come.
    pub fn handle_timeout(&mut self, now: &mut Moment<'_>) {
        let mut step = self.begin(now);
        let ask = self.rings.handle_timeout(&mut step, &mut self.paths);
        if self.connected {
            self.calls.publish_due_requests(&mut step);
            self.contact_watch.handle_timeout(&mut step);
        }
        if ask && self.connected {
            self.ask_state(&mut step);
        }
        if self.state_request.as_ref().is_some_and(|asked| asked.at_ms + STATE_RETRY_MS <= step.now_ms()) {
            self.ask_state(&mut step);
        }
        self.finish(step);
    }

    /// The next effect to be carried out; to be called until `None`.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Core::handle_timeout`] is due, by the monotonic clock.
    pub fn poll_timeout_ms(&self) -> Option<u64> {
        let state = self.state_request.as_ref().map(|asked| asked.at_ms + STATE_RETRY_MS);
        let calls = self.calls.poll_timeout_ms().filter(|_| self.connected);
        let watch = self.contact_watch.poll_timeout_ms().filter(|_| self.connected);
        let ring = self.rings.poll_timeout_ms(self.clock);
        [state, calls, watch, ring].into_iter().flatten().min()
    }

    /// The service's clock in milliseconds since 1970, unless it is a guess.
    pub fn known_service_ms(&self, mono_ms: u64) -> Option<u64> {
        self.clock.is_known().then(|| self.clock.service_ms(mono_ms))
    }

    /// The meeting that this terminal is in, if any.
    pub fn current_meeting(&self) -> Option<MeetingId> {
        self.calls.current()
    }

    /// An invitation that rings and is not answered yet; the oldest first.
    pub fn ringing(&self) -> Option<InvitationId> {
        self.rings.ringing()
    }

    /// Begins a step by comparing the local clocks: after a jump the service's clock has to be learnt again.
    fn begin<'t, 'm>(&mut self, now: &'t mut Moment<'m>) -> Step<'t, 'm> {
        let jumped = self.clock.has_jumped(now.wall_ms, now.mono_ms);
        let mut step = Step::new(now, self.clock);
        if jumped && self.connected {
            self.ask_state(&mut step);
        }
        step
    }

    fn finish(&mut self, step: Step<'_, '_>) {
        let now_ms = step.now_ms();
        for effect in &step.effects {
            if let Effect::Publish(up) = effect {
                self.requests.note(up, now_ms);
            }
        }
        self.effects.extend(step.effects);
    }

    fn ask_state(&mut self, step: &mut Step<'_, '_>) {
        let request = step.publish(None, UpBody::State {});
        self.note_asked(step, request);
    }

    fn note_asked(&mut self, step: &Step<'_, '_>, request: SignalId) {
        self.state_request = Some(StateRequest { request, at_ms: step.now_ms(), arrivals: self.rings.arrivals() });
        self.calls.handle_asked();
    }

    fn ask_state_once(&mut self, step: &mut Step<'_, '_>) {
        if self.connected && self.state_request.is_none() {
            self.ask_state(step);
        }
    }

    /// Only the state answer lists calls that came while this user was busy.
    fn ask_what_was_missed(&mut self, step: &mut Step<'_, '_>) {
        if self.connected {
            self.ask_state(step);
        }
    }

    fn handle_command(&mut self, step: &mut Step<'_, '_>, command: Command) {
        match command {
            Command::Call { meeting, callees, media, title } => self.calls.create(step, meeting, callees, media, title),
            Command::Accept { invitation } => self.rings.accept(step, invitation),
            Command::Reject { invitation, reason } => self.rings.reject(step, &mut self.paths, invitation, reason),
            Command::Request { meeting, body } => {
                self.note_request(step, meeting, &body);
                let (is_state, is_join) = (matches!(body, UpBody::State {}), matches!(body, UpBody::Join {}));
                let request = step.publish(meeting, body);
                if is_state {
                    self.note_asked(step, request);
                }
                if let Some(meeting) = meeting.filter(|_| is_join) {
                    self.calls.join(meeting, request);
                }
            }
            Command::Watch(watches) => self.contact_watch.set(step, watches),
        }
    }

    /// What a request changes here at once, before the service answers.
    fn note_request(&mut self, step: &mut Step<'_, '_>, meeting: Option<MeetingId>, body: &UpBody) {
        match (meeting, body) {
            (Some(meeting), UpBody::Leave {} | UpBody::Destroy {}) => {
                self.calls.leave(meeting, *body == UpBody::Destroy {});
                self.paths.close_meeting(step, meeting);
            }
            (Some(meeting), UpBody::Mute { user: None, track }) => self.set_muted(step, meeting, *track, true),
            (Some(meeting), UpBody::Unmute { track }) => self.set_muted(step, meeting, *track, false),
            _ => {}
        }
    }

    fn set_muted(&mut self, step: &mut Step<'_, '_>, meeting: MeetingId, track: Track, muted: bool) {
        self.calls.set_muted(meeting, track, muted);
        self.paths.set_muted(step, meeting, track, muted);
    }

    fn handle_signal(&mut self, step: &mut Step<'_, '_>, signal: ReceivedSignal) {
        let ReceivedSignal { down: Down { envelope, body }, dup, delivery } = signal;
        if let Some(request) = envelope.in_reply_to.filter(|_| !matches!(body, DownBody::Refused { .. })) {
            self.requests.handle_answered(request);
        }
        if !is_about_a_ring(&body) {
            step.acknowledge(delivery);
            let is_old = !self.filter.is_new(envelope.id) || self.is_outdated(step, &envelope, &body);
            if is_old && !self.fault.believes_repeats() {
                return;
            }
        }
        match body {
            DownBody::Invitation(ring) => {
                let delivery = delivery.filter(|_| !(dup && self.fault.leaves_doubt_unacknowledged()));
                if self.rings.handle_invitation(step, &mut self.paths, *ring, &envelope, dup, delivery) {
                    self.ask_state_once(step);
                }
            }
            DownBody::Ended { invitation: Some(invitation), rev, reason, outcome, .. } => {
                let ended = rings::RingEnd { invitation, rev, reason, outcome, expires_at_ms: envelope.expires_at_ms };
                self.rings.handle_ended(step, &mut self.paths, ended, delivery);
            }
            DownBody::Seen { invitation, rev } => {
                self.rings.handle_seen(step, invitation, rev, envelope.expires_at_ms, delivery);
            }
            DownBody::State(state) => self.handle_state(step, &envelope, *state),
            DownBody::Contacts { users } => step.notify(Event::Contacts { users }),
            DownBody::Presence { users } => step.notify(Event::Presence { users }),
            DownBody::History { calls, next } => step.notify(Event::History { calls, next }),
            DownBody::Refused { code, words } => self.handle_refused(step, &envelope, code, words),
            body => self.handle_meeting_signal(step, &envelope, body),
        }
    }

    /// Whether it is too old to be applied. What ended or was decided for good never is.
    fn is_outdated(&mut self, step: &mut Step<'_, '_>, envelope: &Envelope, body: &DownBody) -> bool {
        let rev = match body {
            DownBody::Admitted { roster, .. } | DownBody::Roster(roster) => Some(roster.rev),
            DownBody::RosterChanged(change) => Some(change.rev),
            DownBody::Muted { .. } | DownBody::Blocked { .. } => envelope.rev,
            DownBody::State(_) => None,
            _ => return false,
        };
        if step.is_past(envelope.expires_at_ms) {
            // Whether this device is in is part of the state; the rest is in the next roster.
            if matches!(body, DownBody::Admitted { .. }) {
                self.ask_state_once(step);
            }
            return true;
        }
        let Some((meeting, rev)) = envelope.meeting.zip(rev) else { return false };
        let still_holds = match body {
            DownBody::Admitted { .. } => self.calls.rejoins_by(meeting, envelope.in_reply_to),
            // The person may have unmuted since: the roster says.
            DownBody::Muted { track, .. } => self.calls.is_muted_by_roster(meeting, *track),
            _ => false,
        };
        let is_older = self.calls.known_rev(meeting).is_some_and(|known| rev < known);
        is_older && !still_holds || self.filter.is_before_end(meeting, rev)
    }

    /// Signals that are about the meeting that their envelope names.
    fn handle_meeting_signal(&mut self, step: &mut Step<'_, '_>, envelope: &Envelope, body: DownBody) {
        let Some(meeting) = envelope.meeting else { return };
        match body {
            DownBody::Admitted { join, roster } => {
                let rang = self.rings.handle_admitted(step, meeting);
                self.calls.handle_admitted(step, &mut self.paths, envelope, (meeting, rang), join, roster);
            }
            DownBody::Ended { user: user @ Some(_), reason, by, .. } => {
                step.notify(Event::Ended { meeting, user, reason, by });
            }
            DownBody::Ended { .. } if self.calls.is_already_ended(envelope.in_reply_to) => {}
            DownBody::Ended { reason, by, rev, .. } => {
                self.filter.note_ended(meeting, rev);
                self.paths.close_meeting(step, meeting);
                self.calls.end(step, meeting, reason, by);
                self.ask_what_was_missed(step);
            }
            DownBody::Roster(roster) => self.calls.handle_roster(step, &self.paths, meeting, roster),
            DownBody::RosterChanged(change) => self.calls.handle_roster_changed(step, &self.paths, meeting, change),
            DownBody::Muted { track, by } => {
                self.set_muted(step, meeting, track, true);
                step.notify(Event::Muted { meeting, track, by });
            }
            DownBody::Blocked { track, blocked, by } => step.notify(Event::Blocked { meeting, track, blocked, by }),
            DownBody::UnmuteAsked { track, by } => step.notify(Event::UnmuteAsked { meeting, track, by }),
            DownBody::Waiting { user, until_ms } => step.notify(Event::Waiting { meeting, user, until_ms }),
            // The answer to this device's own `ringing`.
            DownBody::Ringing { .. } if envelope.in_reply_to.is_some() => {}
            DownBody::Ringing { user } => step.notify(Event::Ringing { meeting, user }),
            DownBody::Accepted { user } => step.notify(Event::Accepted { meeting, user }),
            DownBody::Rejected { user, reason } => step.notify(Event::Rejected { meeting, user, reason }),
            DownBody::Busy { user } => step.notify(Event::Busy { meeting, user }),
            _ => {}
        }
    }

    fn handle_refused(&mut self, step: &mut Step<'_, '_>, envelope: &Envelope, code: RefusalCode, words: String) {
        let (request, meeting) = (envelope.in_reply_to, envelope.meeting);
        if code == RefusalCode::Expired && self.repeats(step, request) {
            return;
        }
        step.notify(Event::Refused { request, meeting, code, words });
        let Some(request) = request else { return };
        self.requests.handle_answered(request);
        self.rings.handle_refused(step, &mut self.paths, request, code);
        self.calls.handle_refused(step, &mut self.paths, request);
    }

    /// Refused for the time on it: the clock is learnt again and the request sent once more. Returns false if it is not.
    fn repeats(&mut self, step: &mut Step<'_, '_>, request: Option<SignalId>) -> bool {
        let Some(request) = request else { return false };
        let Some(meeting) = self.requests.handle_expired(request, step.now_ms()) else { return false };
        self.clock.doubt();
        step.clock = self.clock;
        self.ask_state_once(step);
        self.calls.handle_repeat_due(meeting);
        true
    }

    fn repeat_requests(&mut self, step: &mut Step<'_, '_>) {
        for request in self.requests.take_due() {
            let still_wanted = match request.body {
                UpBody::Accept { .. } | UpBody::Reject { .. } => self.rings.is_answered_by(request.id),
                UpBody::Create { .. } => self.calls.is_made_by(request.id),
                UpBody::Invite { .. } if request.is_too_old(step.now_ms()) => {
                    let (request, meeting) = (Some(request.id), Some(request.meeting));
                    let words = "it waited too long for the service's time: send it anew".into();
                    step.notify(Event::Refused { request, meeting, code: RefusalCode::Expired, words });
                    false
                }
                _ => true,
            };
            if !still_wanted {
                continue;
            }
            let before = request.id;
            let again = self.requests.repeat(step, request);
            self.rings.handle_repeated(step, before, again);
            self.calls.handle_repeated(before, again);
            step.notify(Event::Repeated { request: before, signal: again });
        }
    }

    /// A request that the broker refuses never reaches the service.
    fn handle_not_sent(&mut self, step: &mut Step<'_, '_>, request: SignalId) {
        self.rings.handle_not_sent(request);
        self.calls.handle_not_sent(step, request);
    }

    fn handle_state(&mut self, step: &mut Step<'_, '_>, envelope: &Envelope, state: State) {
        let Some(asked) = self.state_request.take_if(|asked| Some(asked.request) == envelope.in_reply_to) else {
            return;
        };
        self.clock.learn(state.now_ms, asked.at_ms, step.now_ms());
        step.clock = self.clock;
        let state = self.filter.without_ended(state);
        if let Some(here) = state.call.as_ref().filter(|call| call.here) {
            self.rings.handle_admitted(step, here.meeting);
        }
        let unclear = self.rings.handle_state(step, &mut self.paths, &state, asked.arrivals);
        self.calls.handle_state(step, &mut self.paths, &state);
        step.notify(Event::State(Box::new(state)));
        if !std::mem::replace(&mut self.synchronised, true) {
            step.notify(Event::Synchronised {});
        }
        self.repeat_requests(step);
        if unclear {
            self.ask_state(step);
        }
    }

    fn handle_media(&mut self, step: &mut Step<'_, '_>, media: MediaId, input: MediaInput) {
        let Some((meeting, waiting)) = self.paths.handle_input(step, media, &input) else { return };
        match input {
            MediaInput::Quiet if self.connected && !waiting => self.ask_state(step),
            MediaInput::Over(reason) if !waiting => self.calls.handle_media_lost(step, meeting, reason, self.connected),
            MediaInput::Joined { .. } => self.calls.handle_media_joined(meeting),
            MediaInput::Quiet | MediaInput::Resumed | MediaInput::Over(_) => {}
        }
    }
}

/// Whether a signal begins or ends a ring, so that its PUBACK waits for the store.
fn is_about_a_ring(body: &DownBody) -> bool {
    matches!(body, DownBody::Invitation(_) | DownBody::Ended { invitation: Some(_), .. } | DownBody::Seen { .. })
}
