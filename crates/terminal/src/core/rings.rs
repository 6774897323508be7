//! Rings: which invitations ring, which are missed, which are held until the service has said what stands.
//!
//! ```text
//!             new                        answered, declined, ended elsewhere, seen
//!   (nothing) ──► Ring ──────────────────────────────────────────────────────────► Done
//!       │          ▲└── ended with an outcome, or unheard past its time ──► Missed ──seen──► Done
//!       │          └─────── the state says that it stands
//!       ├── in doubt ──► Held ── the state says nothing of it ──► Done
//!       └── known by its outcome alone ──► Missed
//! ```
//! An invitation is in doubt if the broker may have delivered it before (DUP), or if its time is over by the clock of this
//! terminal, which may be wrong. What is held is stored and acknowledged like everything else, so it blocks nothing.
//!
//! A ring ends when the service says so. At its deadline the terminal asks, and again every 10 s as long as it stands; if no
//! answer comes within 10 s the ring is missed (docs/terminals.md). All this runs on the monotonic clock.
//!
//! A change needs a higher `rev` than the stored one; each is stored before its PUBACK and before its event.

use super::clock::Clock;
use super::effect::Delivery;
use super::media_paths::MediaPaths;
use super::step::Step;
use crate::event::{Event, MissedNotification, RingNotification};
use crate::store::{RingEntry, RingPhase};
use signalling::{
    EndReason, Envelope, InvitationId, Media, MeetingId, Outcome, OutcomeKind, RefusalCode, RejectReason, Ring,
    SignalId, State, UpBody,
};
use std::collections::BTreeMap;

/// Invitations that are remembered; past it the oldest are forgotten.
const KNOWN_MAX: usize = 10_000;
/// The service is asked about a ring that is past its deadline; again after this if it still stands.
const ASK_AGAIN_MS: u64 = 10_000;
/// Without an answer for this long such a ring is missed: it must not go on for a call that may be over.
const ANSWER_TIMEOUT_MS: u64 = 10_000;
/// No call rings longer: with a clock that is a guess, this much on the monotonic clock has to pass before a ring that
/// the service has not confirmed is missed.
const RING_MAX_MS: u64 = 180_000;
/// An accept without an answer for this long was lost if the state knows nothing of it.
const ACCEPT_TIMEOUT_MS: u64 = 3_000;

pub(crate) struct Rings {
    known: BTreeMap<InvitationId, RingEntry>,
    active: BTreeMap<InvitationId, ActiveRing>,
    /// Of held invitations that arrived in this run of the process; those of an earlier run are older than every state
    /// request of this one.
    held: BTreeMap<InvitationId, Arrival>,
    /// Invitations that have arrived in this run of the process.
    arrivals: u64,
    /// When the service is asked again about invitations that do not ring here (yet): its last answer left rings out.
    recheck_at_ms: Option<u64>,
    warm: bool,
}

/// The arrival of an invitation: which one it was in this run of the process, 0 if it is known by the state. A state
/// answer is sure to know of those that had arrived when it was asked for. Times do not tell: an invitation is dated when
/// it is decided, and may be stored after a question of a later time was answered.
type Arrival = u64;

/// An invitation that rings now.
struct ActiveRing {
    ring: Ring,
    arrival: Arrival,
    begun_ms: u64,
    next_check: NextCheck,
    /// The service was asked and has not answered: it is missed then.
    missed_at_ms: Option<u64>,
    answer: Option<Answer>,
}

/// When the service is asked next whether the ring still stands.
#[derive(Clone, Copy)]
enum NextCheck {
    AtDeadline,
    At(u64),
}

impl ActiveRing {
    /// The service has just confirmed that it stands.
    fn refresh(&mut self, step: &Step<'_, '_>, ring: Ring) {
        self.next_check = next_check(step, &ring);
        self.missed_at_ms = None;
        self.ring = ring;
    }

    /// An answered ring has none: it waits for the service's decision.
    fn poll_timeout_ms(&self, clock: Clock) -> Option<u64> {
        let check_at_ms = match self.next_check {
            NextCheck::AtDeadline => clock.mono_ms(self.ring.ring_until_ms),
            NextCheck::At(at_ms) => at_ms,
        };
        self.answer.is_none().then(|| self.missed_at_ms.unwrap_or(check_at_ms))
    }
}

fn next_check(step: &Step<'_, '_>, ring: &Ring) -> NextCheck {
    if step.service_ms() < ring.ring_until_ms {
        NextCheck::AtDeadline
    } else {
        NextCheck::At(step.now_ms() + ASK_AGAIN_MS)
    }
}

struct Answer {
    request: SignalId,
    at_ms: u64,
}

/// The beginning of a ring, or of its going on.
struct RingStart {
    ring: Ring,
    arrival: Arrival,
    expires_at_ms: u64,
    delivery: Option<Delivery>,
    resumed: bool,
    dup: bool,
}

/// The end of a ring.
pub(crate) struct RingEnd {
    pub(crate) invitation: InvitationId,
    pub(crate) rev: u64,
    pub(crate) reason: EndReason,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) expires_at_ms: u64,
}

impl Rings {
    pub(crate) fn new(known: impl IntoIterator<Item = RingEntry>, warm: bool) -> Self {
        let known = known.into_iter().map(|entry| (entry.invitation, entry)).collect();
        Self { known, active: BTreeMap::new(), held: BTreeMap::new(), arrivals: 0, recheck_at_ms: None, warm }
    }

    pub(crate) fn ringing(&self) -> Option<InvitationId> {
        self.active.iter().find(|(_, active)| active.answer.is_none()).map(|(id, _)| *id)
    }

    #[cfg(test)]
    pub(crate) fn rings_now(&self, invitation: InvitationId) -> bool {
        self.active.contains_key(&invitation)
    }

    pub(crate) fn poll_timeout_ms(&self, clock: Clock) -> Option<u64> {
        self.active.values().filter_map(|active| active.poll_timeout_ms(clock)).chain(self.recheck_at_ms).min()
    }

    /// How many invitations have arrived; the answer to a state request that is sent now knows of them all.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Returns true if it is in doubt, so that the service is to be asked.
    pub(crate) fn handle_invitation(
        &mut self,
        step: &mut Step<'_, '_>,
        paths: &mut MediaPaths,
        ring: Ring,
        envelope: &Envelope,
        dup: bool,
        delivery: Option<Delivery>,
    ) -> bool {
        self.arrivals += 1;
        let arrival = self.arrivals;
        let known = self.known.get(&ring.invitation).copied();
        let in_doubt = dup || step.service_ms() >= ring.ring_until_ms;
        match known.map(|entry| entry.phase) {
            Some(RingPhase::Missed | RingPhase::Done) => step.acknowledge(delivery),
            Some(_) if known.is_some_and(|entry| ring.rev <= entry.rev) => step.acknowledge(delivery),
            Some(RingPhase::Ring) => self.update(step, ring, delivery),
            None | Some(RingPhase::Held) if in_doubt => {
                self.hold(step, &ring, arrival, envelope.expires_at_ms, delivery);
                return true;
            }
            None | Some(RingPhase::Held) => {
                self.held.remove(&ring.invitation);
                let expires_at_ms = envelope.expires_at_ms;
                let start = RingStart { ring, arrival, expires_at_ms, delivery, resumed: false, dup };
                self.start(step, paths, start);
            }
        }
        false
    }

    fn hold(
        &mut self,
        step: &mut Step<'_, '_>,
        ring: &Ring,
        arrival: Arrival,
        expires_at_ms: u64,
        delivery: Option<Delivery>,
    ) {
        let entry = step.store(ring.invitation, ring.rev, RingPhase::Held, expires_at_ms);
        self.remember(entry);
        self.held.insert(ring.invitation, arrival);
        step.acknowledge(delivery);
    }

    /// A newer copy of what rings already.
    fn update(&mut self, step: &mut Step<'_, '_>, ring: Ring, delivery: Option<Delivery>) {
        let Some(entry) = self.known.get_mut(&ring.invitation) else { return };
        *entry = step.store(ring.invitation, ring.rev, RingPhase::Ring, entry.expires_at_ms);
        step.acknowledge(delivery);
        if let Some(active) = self.active.get_mut(&ring.invitation) {
            active.refresh(step, ring);
        }
    }

    fn start(
        &mut self,
        step: &mut Step<'_, '_>,
        paths: &mut MediaPaths,
        RingStart { ring, arrival, expires_at_ms, delivery, resumed, dup }: RingStart,
    ) {
        let stored = self.known.get(&ring.invitation).map(|entry| (entry.phase, entry.rev));
        if stored != Some((RingPhase::Ring, ring.rev)) {
            let entry = step.store(ring.invitation, ring.rev, RingPhase::Ring, expires_at_ms);
            self.remember(entry);
        }
        step.acknowledge(delivery);
        step.notify(Event::Ring(RingNotification::new(&ring, resumed, dup)));
        step.publish(Some(ring.meeting), UpBody::Ringing { invitation: ring.invitation });
        if self.warm {
            paths.warm(step, ring.meeting, ring.join.clone());
        }
        let (begun_ms, next_check) = (step.now_ms(), next_check(step, &ring));
        let active = ActiveRing { ring, arrival, begun_ms, next_check, missed_at_ms: None, answer: None };
        self.active.insert(active.ring.invitation, active);
    }

    /// Stores a missed call and reports it, unless it was reported before.
    fn miss(&mut self, step: &mut Step<'_, '_>, outcome: &Outcome, expires_at_ms: u64, delivery: Option<Delivery>) {
        let before = self.known.get(&outcome.invitation).copied();
        if before.is_some_and(|entry| outcome.rev <= entry.rev && !entry.phase.is_open()) {
            step.acknowledge(delivery);
            return;
        }
        let entry = step.store(outcome.invitation, outcome.rev, RingPhase::Missed, expires_at_ms);
        self.remember(entry);
        step.acknowledge(delivery);
        if before.is_none_or(|entry| entry.phase != RingPhase::Missed) {
            step.notify(Event::Missed(MissedNotification::from(outcome)));
        }
    }

    /// Stores that the invitation is done; reports the end of a ring that rang.
    fn finish(
        &mut self,
        step: &mut Step<'_, '_>,
        (invitation, rev): (InvitationId, u64),
        reason: Option<EndReason>,
        expires_at_ms: u64,
        delivery: Option<Delivery>,
    ) {
        let rang = self.known.get(&invitation).is_some_and(|entry| entry.phase == RingPhase::Ring);
        let entry = step.store(invitation, rev, RingPhase::Done, expires_at_ms);
        self.remember(entry);
        step.acknowledge(delivery);
        if rang {
            step.notify(Event::RingEnded { invitation, reason });
        }
    }

    fn remember(&mut self, entry: RingEntry) {
        self.known.insert(entry.invitation, entry);
        if entry.phase != RingPhase::Held {
            self.held.remove(&entry.invitation);
        }
        if self.known.len() > KNOWN_MAX {
            let forgotten = self.known.pop_first();
            forgotten.and_then(|(invitation, _)| self.held.remove(&invitation));
        }
    }

    fn stop_ringing(&mut self, step: &mut Step<'_, '_>, paths: &mut MediaPaths, invitation: InvitationId) {
        if let Some(active) = self.active.remove(&invitation) {
            paths.close_meeting(step, active.ring.meeting);
        }
    }

    pub(crate) fn handle_ended(
        &mut self,
        step: &mut Step<'_, '_>,
        paths: &mut MediaPaths,
        ended: RingEnd,
        delivery: Option<Delivery>,
    ) {
        let RingEnd { invitation, rev, reason, outcome, expires_at_ms } = ended;
        if self.known.get(&invitation).is_some_and(|entry| rev <= entry.rev) {
            step.acknowledge(delivery);
            return;
        }
        self.stop_ringing(step, paths, invitation);
        match outcome {
            Some(outcome) => self.miss(step, &outcome, expires_at_ms, delivery),
            None => self.finish(step, (invitation, rev), Some(reason), expires_at_ms, delivery),
        }
    }

    pub(crate) fn handle_seen(
        &mut self,
        step: &mut Step<'_, '_>,
        invitation: InvitationId,
        rev: u64,
        expires_at_ms: u64,
        delivery: Option<Delivery>,
    ) {
        let before = self.known.get(&invitation).copied();
        if before.is_some_and(|entry| rev < entry.rev || entry.phase == RingPhase::Done) {
            step.acknowledge(delivery);
            return;
        }
        self.finish(step, (invitation, rev), None, expires_at_ms, delivery);
        step.notify(Event::Seen { invitation });
    }

    /// This device is in the meeting now: its ring is answered. Returns the media of the call that rang.
    pub(crate) fn handle_admitted(&mut self, step: &mut Step<'_, '_>, meeting: MeetingId) -> Option<Media> {
        let of_meeting = |active: &&ActiveRing| active.ring.meeting == meeting;
        let answered: Vec<_> = self.active.values().filter(of_meeting).map(|active| active.ring.invitation).collect();
        let mut media = None;
        for invitation in answered {
            media = self.active.remove(&invitation).map(|active| active.ring.media);
            if let Some(entry) = self.known.get_mut(&invitation) {
                *entry = step.store(invitation, entry.rev, RingPhase::Done, entry.expires_at_ms);
            }
        }
        media
    }

    /// An accept or reject was refused: what it answered is gone, unless it came too late by the service's clock.
    pub(crate) fn handle_refused(
        &mut self,
        step: &mut Step<'_, '_>,
        paths: &mut MediaPaths,
        request: SignalId,
        code: RefusalCode,
    ) {
        if code == RefusalCode::Expired {
            return self.handle_not_sent(request);
        }
        if let Some((invitation, rev)) =
            self.answered_by(request).map(|active| (active.ring.invitation, active.ring.rev))
        {
            self.end_unheard(step, paths, invitation, rev);
        }
    }

    fn answered_by(&mut self, request: SignalId) -> Option<&mut ActiveRing> {
        self.active.values_mut().find(|active| active.answer.as_ref().is_some_and(|answer| answer.request == request))
    }

    /// Whether a ring still waits for what becomes of this request.
    pub(crate) fn is_answered_by(&mut self, request: SignalId) -> bool {
        self.answered_by(request).is_some()
    }

    /// The request has gone out once more under another id.
    pub(crate) fn handle_repeated(&mut self, step: &Step<'_, '_>, request: SignalId, again: SignalId) {
        if let Some(active) = self.answered_by(request) {
            active.answer = Some(Answer { request: again, at_ms: step.now_ms() });
        }
    }

    pub(crate) fn accept(&mut self, step: &mut Step<'_, '_>, invitation: InvitationId) {
        self.answer(step, invitation, UpBody::Accept { invitation });
    }

    pub(crate) fn reject(
        &mut self,
        step: &mut Step<'_, '_>,
        paths: &mut MediaPaths,
        invitation: InvitationId,
        reason: RejectReason,
    ) {
        self.answer(step, invitation, UpBody::Reject { invitation, reason });
        if let Some(active) = self.active.get(&invitation) {
            paths.close_meeting(step, active.ring.meeting);
        }
    }

    /// Sends an answer; for an unknown ring too, so that it is the service that refuses.
    fn answer(&mut self, step: &mut Step<'_, '_>, invitation: InvitationId, body: UpBody) {
        let active = self.active.get_mut(&invitation);
        let request = step.publish(active.as_ref().map(|active| active.ring.meeting), body);
        if let Some(active) = active {
            active.answer = Some(Answer { request, at_ms: step.now_ms() });
        }
    }

    /// An answer that was not sent may be given again.
    pub(crate) fn handle_not_sent(&mut self, request: SignalId) {
        for active in self.active.values_mut() {
            active.answer.take_if(|answer| answer.request == request);
        }
    }

    /// Past its deadline a ring is asked about, and missed without an answer. Returns true if the service is to be asked.
    pub(crate) fn handle_timeout(&mut self, step: &mut Step<'_, '_>, paths: &mut MediaPaths) -> bool {
        let (now, clock) = (step.now_ms(), step.clock);
        let due = |active: &&mut ActiveRing| active.poll_timeout_ms(clock).is_some_and(|at_ms| at_ms <= now);
        let mut ask = self.recheck_at_ms.take_if(|at_ms| *at_ms <= now).is_some();
        let mut expired = Vec::new();
        for active in self.active.values_mut().filter(due) {
            if active.missed_at_ms.is_some() {
                expired.push(missed(&active.ring));
                continue;
            }
            ask = true;
            if clock.is_known() || active.begun_ms + RING_MAX_MS <= now {
                active.missed_at_ms = Some(now + ANSWER_TIMEOUT_MS);
            } else {
                active.next_check = NextCheck::At(now + ASK_AGAIN_MS);
            }
        }
        for outcome in expired {
            self.stop_ringing(step, paths, outcome.invitation);
            let expires_at_ms = self.expiry(outcome.invitation, step.service_ms());
            self.miss(step, &outcome, expires_at_ms, None);
        }
        ask
    }

    /// Takes over what the service says of everything that it knows; so many `arrivals` there had been when it was asked.
    /// Returns true if an invitation is newer, so that one more answer is needed.
    pub(crate) fn handle_state(
        &mut self,
        step: &mut Step<'_, '_>,
        paths: &mut MediaPaths,
        state: &State,
        arrivals: u64,
    ) -> bool {
        for ring in &state.rings {
            self.confirm(step, paths, ring);
        }
        for outcome in &state.outcomes {
            self.stop_ringing(step, paths, outcome.invitation);
            let expires_at_ms = self.expiry(outcome.invitation, state.now_ms);
            self.miss(step, outcome, expires_at_ms, None);
        }
        if state.rings_left_out {
            self.doubt_unnamed(step, state);
            return false;
        }
        self.recheck_at_ms = None;
        self.end_unconfirmed(step, paths, state, arrivals);
        !self.held.is_empty()
    }

    /// The ring stands: it continues as the same one, or begins.
    fn confirm(&mut self, step: &mut Step<'_, '_>, paths: &mut MediaPaths, ring: &Ring) {
        let known = self.known.get(&ring.invitation).copied();
        if known.is_some_and(|entry| !entry.phase.is_open()) {
            return;
        }
        if let Some(active) = self.active.get_mut(&ring.invitation) {
            active.refresh(step, ring.clone());
            return self.repeat_ringing(step, ring);
        }
        let expires_at_ms = known.map_or(ring.ring_until_ms, |entry| entry.expires_at_ms);
        let arrival = self.held.remove(&ring.invitation).unwrap_or(0);
        let phase = known.map(|entry| entry.phase);
        let (resumed, dup) = (phase == Some(RingPhase::Ring), phase == Some(RingPhase::Held));
        self.start(step, paths, RingStart { ring: ring.clone(), arrival, expires_at_ms, delivery: None, resumed, dup });
    }

    /// The service waits for a first ringing although it rings here: what said so was lost with its connection, or refused
    /// for this machine's clock.
    fn repeat_ringing(&self, step: &mut Step<'_, '_>, ring: &Ring) {
        let answered = self.active.get(&ring.invitation).is_some_and(|active| active.answer.is_some());
        if !answered && !ring.ringing {
            step.publish(Some(ring.meeting), UpBody::Ringing { invitation: ring.invitation });
        }
    }

    /// The answer had no room for all that stands: what it does not name is asked about again.
    fn doubt_unnamed(&mut self, step: &Step<'_, '_>, state: &State) {
        let again_ms = step.now_ms() + ASK_AGAIN_MS;
        let unnamed = |id: &InvitationId| state.rings.iter().all(|ring| ring.invitation != *id);
        for (_, active) in self.active.iter_mut().filter(|(id, _)| unnamed(id)) {
            active.next_check = NextCheck::At(again_ms);
            active.missed_at_ms = None;
        }
        let waits = |entry: &RingEntry| entry.phase.is_open() && !self.active.contains_key(&entry.invitation);
        self.recheck_at_ms = self.known.values().any(waits).then_some(again_ms);
    }

    /// Ends what rang here, or was held, and does not stand any more: its `ended` was not received.
    fn end_unconfirmed(&mut self, step: &mut Step<'_, '_>, paths: &mut MediaPaths, state: &State, arrivals: u64) {
        let stands = |id: &InvitationId| state.rings.iter().any(|ring| ring.invitation == *id);
        let open = self.known.values().filter(|entry| entry.phase.is_open() && !stands(&entry.invitation));
        let over: Vec<_> = open.map(|entry| (entry.invitation, entry.rev)).collect();
        for (invitation, rev) in over {
            let active = self.active.get(&invitation);
            let arrival = active.map(|active| active.arrival).or_else(|| self.held.get(&invitation).copied());
            let newer = arrival.is_some_and(|arrival| arrival > arrivals);
            let pending = active.and_then(|active| active.answer.as_ref());
            let answering = pending.is_some_and(|answer| step.now_ms() < answer.at_ms + ACCEPT_TIMEOUT_MS);
            if !newer && !answering {
                self.end_unheard(step, paths, invitation, rev);
            }
        }
    }

    fn end_unheard(&mut self, step: &mut Step<'_, '_>, paths: &mut MediaPaths, invitation: InvitationId, rev: u64) {
        self.stop_ringing(step, paths, invitation);
        let expires_at_ms = self.expiry(invitation, step.service_ms());
        self.finish(step, (invitation, rev), None, expires_at_ms, None);
    }

    fn expiry(&self, invitation: InvitationId, otherwise: u64) -> u64 {
        self.known.get(&invitation).map_or(otherwise, |entry| entry.expires_at_ms)
    }
}

/// The outcome of a ring that ended by time alone.
fn missed(ring: &Ring) -> Outcome {
    Outcome {
        invitation: ring.invitation,
        meeting: ring.meeting,
        rev: ring.rev,
        from: ring.from.clone(),
        from_name: ring.from_name.clone(),
        media: ring.media,
        kind: OutcomeKind::Missed,
        at_ms: ring.ring_until_ms,
    }
}
