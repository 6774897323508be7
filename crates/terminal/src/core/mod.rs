//! What a terminal decides, without I/O: (state, input, now) → effects.
//!
//! ```text
//!   Connected, Disconnected ──┐                    ┌── Store ─► Acknowledge ─► Tell     (rings)
//!   Signal (with its PUBACK) ─┤                    ├── Publish
//!   Command, NotSent ─────────┼──► Core::apply ────┤
//!   Media ────────────────────┤                    ├── JoinMedia, AdmitMedia, MuteMedia, NameSenders, CloseMedia
//!   Tick (at the deadline) ───┘                    └── Tell
//! ```
//! Contract: the shell carries the effects out in their order, and stops at a `Store` that fails: what is
//! acknowledged to the broker is on disk. It calls with `Tick` at [`Core::deadline_ms`].
//!
//! Rings follow three rules. An invitation that was never seen rings at once. One that the broker may have delivered
//! before (DUP) is held, without its PUBACK, until the service has said what stands. After a connect or a restart the
//! state answer decides about everything older than itself.

mod calls;
mod clock;
mod effect;
mod links;
mod rings;
#[cfg(test)]
mod tests;
mod turn;

pub use effect::{Command, Delivery, Effect, Input, JoinMedia, MediaId, MediaInput, SignalIn};
pub use turn::Moment;

use crate::event::Event;
use crate::store::Entry;
use calls::Calls;
use clock::Clock;
use links::Links;
use rings::Rings;
use signalling::{Down, DownBody, Envelope, InvitationId, MeetingId, RefusalCode, SignalId, State, Track, UpBody};
use turn::Turn;

/// A state request without an answer is repeated after this.
const STATE_RETRY_MS: u64 = 5_000;

pub struct Core {
    clock: Clock,
    connected: bool,
    /// A state answer was handled on this connection.
    synchronised: bool,
    /// The state request whose answer decides.
    asked: Option<Asked>,
    rings: Rings,
    calls: Calls,
    links: Links,
}

struct Asked {
    request: SignalId,
    at_ms: u64,
}

impl Core {
    /// `known`: what the ring store holds. `warm`: whether the media path is prepared while it rings.
    pub fn new(known: impl IntoIterator<Item = Entry>, warm: bool) -> Self {
        Self {
            clock: Clock::default(),
            connected: false,
            synchronised: false,
            asked: None,
            rings: Rings::new(known, warm),
            calls: Calls::default(),
            links: Links::default(),
        }
    }

    pub fn apply(&mut self, input: Input, moment: &mut Moment<'_>) -> Vec<Effect> {
        let mut turn = Turn::new(moment, self.clock);
        match input {
            Input::Connected { session_present, endpoint, tls } => {
                self.connected = true;
                turn.tell(Event::Connected { session_present, endpoint, tls });
                self.synchronised = false;
                self.ask_state(&mut turn);
            }
            Input::Disconnected { reason, retry_ms } => {
                self.connected = false;
                self.asked = None;
                self.rings.handle_disconnected();
                turn.tell(Event::Disconnected { reason, retry_ms });
            }
            Input::Signal(signal) => self.handle_signal(&mut turn, *signal),
            Input::Command(command) => self.handle_command(&mut turn, command),
            Input::Media(media, input) => self.handle_media(&mut turn, media, input),
            Input::NotSent(request) => self.handle_not_sent(&mut turn, request),
            Input::Tick => self.handle_tick(&mut turn),
        }
        turn.effects
    }

    /// When a [`Input::Tick`] is due, by the local clock.
    pub fn deadline_ms(&self) -> Option<u64> {
        let state = self.asked.as_ref().map(|asked| asked.at_ms + STATE_RETRY_MS);
        let rejoin = self.calls.deadline_ms().filter(|_| self.connected);
        let ring = self.rings.deadline_ms().map(|service| self.clock.local_ms(service));
        [state, rejoin, ring].into_iter().flatten().min()
    }

    /// The meeting that this terminal is in, if any.
    pub fn current_meeting(&self) -> Option<MeetingId> {
        self.calls.current()
    }

    /// An invitation that rings and is not answered yet; the oldest first.
    pub fn ringing(&self) -> Option<InvitationId> {
        self.rings.ringing()
    }

    fn handle_tick(&mut self, turn: &mut Turn<'_, '_>) {
        let ask = self.rings.expire(turn, &mut self.links);
        if self.connected {
            self.calls.rejoin_due(turn);
        }
        if ask && self.connected {
            self.ask_state(turn);
        }
        if self.asked.as_ref().is_some_and(|asked| asked.at_ms + STATE_RETRY_MS <= turn.now_ms()) {
            self.ask_state(turn);
        }
    }

    fn ask_state(&mut self, turn: &mut Turn<'_, '_>) {
        let request = turn.publish(None, UpBody::State {});
        self.note_asked(turn, request);
    }

    fn note_asked(&mut self, turn: &Turn<'_, '_>, request: SignalId) {
        self.asked = Some(Asked { request, at_ms: turn.now_ms() });
        self.calls.handle_asked();
    }

    /// Who called while this user was busy is told by the state alone.
    fn ask_what_was_missed(&mut self, turn: &mut Turn<'_, '_>) {
        if self.connected {
            self.ask_state(turn);
        }
    }

    fn handle_command(&mut self, turn: &mut Turn<'_, '_>, command: Command) {
        match command {
            Command::Call { meeting, callees, media, title } => self.calls.create(turn, meeting, callees, media, title),
            Command::Accept { invitation } => self.rings.accept(turn, invitation),
            Command::Reject { invitation, reason } => self.rings.reject(turn, &mut self.links, invitation, reason),
            Command::Request { meeting, body } => {
                self.note_request(turn, meeting, &body);
                let is_state = matches!(body, UpBody::State {});
                let request = turn.publish(meeting, body);
                if is_state {
                    self.note_asked(turn, request);
                }
            }
        }
    }

    /// What a request changes here at once, before the service answers.
    fn note_request(&mut self, turn: &mut Turn<'_, '_>, meeting: Option<MeetingId>, body: &UpBody) {
        match (meeting, body) {
            (Some(meeting), UpBody::Leave {} | UpBody::Destroy {}) => {
                self.calls.leave(meeting);
                self.links.close_meeting(turn, meeting);
            }
            (Some(meeting), UpBody::Mute { user: None, track }) => self.set_muted(turn, meeting, *track, true),
            (Some(meeting), UpBody::Unmute { track }) => self.set_muted(turn, meeting, *track, false),
            _ => {}
        }
    }

    fn set_muted(&mut self, turn: &mut Turn<'_, '_>, meeting: MeetingId, track: Track, muted: bool) {
        self.calls.set_muted(meeting, track, muted);
        self.links.set_muted(turn, meeting, track, muted);
    }

    fn handle_signal(&mut self, turn: &mut Turn<'_, '_>, signal: SignalIn) {
        let SignalIn { down: Down { envelope, body }, dup, delivery } = signal;
        if !body.is_kept_for_rings() {
            turn.acknowledge(delivery);
        }
        match body {
            DownBody::Invitation(ring) => {
                self.rings.handle_invitation(turn, &mut self.links, *ring, &envelope, dup, delivery);
            }
            DownBody::Ended { invitation: Some(invitation), rev, reason, outcome, .. } => {
                let ended = rings::Ended { invitation, rev, reason, outcome, expires_at_ms: envelope.expires_at_ms };
                self.rings.handle_ended(turn, &mut self.links, ended, delivery);
            }
            DownBody::Seen { invitation, rev } => {
                self.rings.handle_seen(turn, invitation, rev, envelope.expires_at_ms, delivery);
            }
            DownBody::State(state) => self.handle_state(turn, &envelope, *state),
            DownBody::Contacts { users } => turn.tell(Event::Contacts { users }),
            DownBody::Presence { users } => turn.tell(Event::Presence { users }),
            DownBody::Refused { code, words } => self.handle_refused(turn, &envelope, code, words),
            body => self.handle_meeting_signal(turn, &envelope, body),
        }
    }

    /// Signals that are about the meeting that their envelope names.
    fn handle_meeting_signal(&mut self, turn: &mut Turn<'_, '_>, envelope: &Envelope, body: DownBody) {
        let Some(meeting) = envelope.meeting else { return };
        match body {
            DownBody::Admitted { join, roster } => {
                let rang = self.rings.handle_admitted(turn, meeting);
                self.calls.handle_admitted(turn, &mut self.links, envelope, (meeting, rang), join, roster);
            }
            DownBody::Ended { user: user @ Some(_), reason, by, .. } => {
                turn.tell(Event::Ended { meeting, user, reason, by });
            }
            DownBody::Ended { .. } if self.calls.is_told(envelope.in_reply_to) => {}
            DownBody::Ended { reason, by, .. } => {
                self.links.close_meeting(turn, meeting);
                self.calls.end(turn, meeting, reason, by);
                self.ask_what_was_missed(turn);
            }
            DownBody::Roster(roster) => self.calls.handle_roster(turn, &self.links, meeting, roster),
            DownBody::Muted { track, by } => {
                self.set_muted(turn, meeting, track, true);
                turn.tell(Event::Muted { meeting, track, by });
            }
            DownBody::Blocked { track, blocked, by } => turn.tell(Event::Blocked { meeting, track, blocked, by }),
            DownBody::UnmuteAsked { track, by } => turn.tell(Event::UnmuteAsked { meeting, track, by }),
            DownBody::Waiting { user, until_ms } => turn.tell(Event::Waiting { meeting, user, until_ms }),
            // The service has heard that it rings here.
            DownBody::Ringing { .. } if envelope.in_reply_to.is_some() => {}
            DownBody::Ringing { user } => turn.tell(Event::Ringing { meeting, user }),
            DownBody::Accepted { user } => turn.tell(Event::Accepted { meeting, user }),
            DownBody::Rejected { user, reason } => turn.tell(Event::Rejected { meeting, user, reason }),
            DownBody::Busy { user } => turn.tell(Event::Busy { meeting, user }),
            _ => {}
        }
    }

    fn handle_refused(&mut self, turn: &mut Turn<'_, '_>, envelope: &Envelope, code: RefusalCode, words: String) {
        let (request, meeting) = (envelope.in_reply_to, envelope.meeting);
        turn.tell(Event::Refused { request, meeting, code, words });
        let Some(request) = request else { return };
        self.rings.handle_refused(turn, &mut self.links, request);
        self.calls.handle_refused(turn, &mut self.links, request);
    }

    /// What the broker does not take never reaches the service.
    fn handle_not_sent(&mut self, turn: &mut Turn<'_, '_>, request: SignalId) {
        self.rings.handle_not_sent(request);
        self.calls.handle_not_sent(turn, request);
    }

    fn handle_state(&mut self, turn: &mut Turn<'_, '_>, envelope: &Envelope, state: State) {
        self.clock.learn(state.now_ms, turn.now_ms());
        turn.set_clock(self.clock);
        let Some(asked) = self.asked.take_if(|asked| Some(asked.request) == envelope.in_reply_to) else { return };
        // What the service sent after the question may be missing in the answer.
        let knows_until_ms = state.now_ms.saturating_sub(turn.now_ms().saturating_sub(asked.at_ms));
        let unclear = self.rings.handle_state(turn, &mut self.links, &state, knows_until_ms);
        self.calls.handle_state(turn, &mut self.links, &state);
        turn.tell(Event::State(Box::new(state)));
        if !std::mem::replace(&mut self.synchronised, true) {
            turn.tell(Event::Synchronised {});
        }
        if unclear {
            self.ask_state(turn);
        }
    }

    fn handle_media(&mut self, turn: &mut Turn<'_, '_>, media: MediaId, input: MediaInput) {
        let Some((meeting, waiting)) = self.links.handle(turn, media, &input) else { return };
        match input {
            MediaInput::Quiet if self.connected && !waiting => self.ask_state(turn),
            MediaInput::Over(reason) if !waiting => self.calls.handle_media_lost(turn, meeting, reason, self.connected),
            MediaInput::Joined { .. } => self.calls.handle_media_joined(meeting),
            MediaInput::Quiet | MediaInput::Heard | MediaInput::Over(_) => {}
        }
    }
}

/// Which signals end or begin a ring, so that their PUBACK waits for the store.
trait KeptForRings {
    fn is_kept_for_rings(&self) -> bool;
}

impl KeptForRings for DownBody {
    fn is_kept_for_rings(&self) -> bool {
        matches!(self, Self::Invitation(_) | Self::Ended { invitation: Some(_), .. } | Self::Seen { .. })
    }
}
