//! Invitations: which ring, which are missed, which are held until the service has said what stands.
//!
//! ```text
//!             new                        answered, declined, ended elsewhere, seen
//!   (nothing) ──► Ring ──────────────────────────────────────────────────────────► Done
//!       │           └── ended with an outcome, or past its time ──► Missed ──seen──► Done
//!       └── past its time when it comes, or known by its outcome alone ──► Missed
//! ```
//! A ring ends when the service says so. At its deadline the terminal asks, and again every 10 s as long as it stands; if no
//! answer comes within 10 s the ring is missed (docs/terminals.md).
//!
//! A change needs a higher `rev` than the stored one; each is stored before its PUBACK and before anybody is told.

use super::effect::Delivery;
use super::links::Links;
use super::turn::Turn;
use crate::event::{Event, MissedTold, RingTold};
use crate::store::{Entry, Known};
use signalling::{
    EndReason, Envelope, InvitationId, Media, MeetingId, Outcome, OutcomeKind, RejectReason, Ring, SignalId, State,
    UpBody,
};
use std::collections::BTreeMap;

/// Invitations that wait for a state answer; the broker keeps further ones, they are not acknowledged.
const HELD_MAX: usize = 64;
/// Invitations that are remembered; past it the oldest are forgotten.
const KNOWN_MAX: usize = 10_000;
/// The service is asked about a ring that is past its deadline; again after this if it still stands.
const ASK_AGAIN_MS: u64 = 10_000;
/// Without an answer for this long such a ring is missed: it must not go on for a call that nobody knows to stand.
const PATIENCE_MS: u64 = 10_000;
/// An accept without an answer for this long was lost if the state knows nothing of it.
const ACCEPT_PATIENCE_MS: u64 = 3_000;

pub(crate) struct Rings {
    known: BTreeMap<InvitationId, Entry>,
    live: BTreeMap<InvitationId, Live>,
    held: Vec<Held>,
    warm: bool,
}

/// A ring that rings now.
struct Live {
    ring: Ring,
    /// By the service's clock: when it was sent, when the service is asked whether it still stands, and since then when
    /// it is missed if no answer has come.
    sent_at_ms: u64,
    asks_at_ms: u64,
    missed_at_ms: Option<u64>,
    answer: Option<Answer>,
}

impl Live {
    /// The service has said just now that it stands.
    fn stands(&mut self, ring: Ring, now_ms: u64) {
        self.asks_at_ms = asks_at_ms(&ring, now_ms);
        self.missed_at_ms = None;
        self.ring = ring;
    }

    /// What is answered rings no more: it waits for the service's word.
    fn deadline_ms(&self) -> Option<u64> {
        self.answer.is_none().then(|| self.missed_at_ms.unwrap_or(self.asks_at_ms))
    }
}

fn asks_at_ms(ring: &Ring, now_ms: u64) -> u64 {
    if now_ms < ring.ring_until_ms { ring.ring_until_ms } else { now_ms + ASK_AGAIN_MS }
}

struct Answer {
    request: SignalId,
    at_ms: u64,
}

/// May have been delivered before.
struct Held {
    ring: Ring,
    envelope: Envelope,
    delivery: Option<Delivery>,
}

/// The beginning of a ring, or of its going on.
struct Start<'a> {
    ring: Ring,
    envelope: &'a Envelope,
    delivery: Option<Delivery>,
    resumed: bool,
    dup: bool,
}

/// The end of a ring.
pub(crate) struct Ended {
    pub(crate) invitation: InvitationId,
    pub(crate) rev: u64,
    pub(crate) reason: EndReason,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) expires_at_ms: u64,
}

impl Rings {
    pub(crate) fn new(known: impl IntoIterator<Item = Entry>, warm: bool) -> Self {
        let known = known.into_iter().map(|entry| (entry.invitation, entry)).collect();
        Self { known, live: BTreeMap::new(), held: Vec::new(), warm }
    }

    pub(crate) fn ringing(&self) -> Option<InvitationId> {
        self.live.iter().find(|(_, live)| live.answer.is_none()).map(|(id, _)| *id)
    }

    #[cfg(test)]
    pub(crate) fn rings_now(&self, invitation: InvitationId) -> bool {
        self.live.contains_key(&invitation)
    }

    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.live.values().filter_map(Live::deadline_ms).min()
    }

    /// PUBACKs belong to their connection; the broker sends again what was held.
    pub(crate) fn handle_disconnected(&mut self) {
        self.held.clear();
    }

    pub(crate) fn handle_invitation(
        &mut self,
        turn: &mut Turn<'_, '_>,
        links: &mut Links,
        ring: Ring,
        envelope: &Envelope,
        dup: bool,
        delivery: Option<Delivery>,
    ) {
        match self.known.get(&ring.invitation) {
            Some(entry) if ring.rev <= entry.rev || entry.is != Known::Ring => turn.acknowledge(delivery),
            Some(_) => self.update(turn, ring, delivery),
            None if dup => self.hold(Held { ring, envelope: envelope.clone(), delivery }),
            None if turn.known_service_ms().is_some_and(|now| now >= ring.ring_until_ms) => {
                let outcome = missed(&ring);
                self.miss(turn, &outcome, envelope.expires_at_ms, delivery);
            }
            None => self.start(turn, links, Start { ring, envelope, delivery, resumed: false, dup }),
        }
    }

    fn hold(&mut self, held: Held) {
        if self.held.len() < HELD_MAX {
            self.held.push(held);
        }
    }

    /// A newer copy of what rings already.
    fn update(&mut self, turn: &mut Turn<'_, '_>, ring: Ring, delivery: Option<Delivery>) {
        let Some(entry) = self.known.get_mut(&ring.invitation) else { return };
        *entry = turn.store(ring.invitation, ring.rev, Known::Ring, entry.expires_at_ms);
        turn.acknowledge(delivery);
        if let Some(live) = self.live.get_mut(&ring.invitation) {
            live.stands(ring, turn.service_ms());
        }
    }

    fn start(
        &mut self,
        turn: &mut Turn<'_, '_>,
        links: &mut Links,
        Start { ring, envelope, delivery, resumed, dup }: Start<'_>,
    ) {
        let stored = self.known.get(&ring.invitation).map(|entry| entry.rev);
        if stored != Some(ring.rev) {
            let entry = turn.store(ring.invitation, ring.rev, Known::Ring, envelope.expires_at_ms);
            self.remember(entry);
        }
        turn.acknowledge(delivery);
        turn.tell(Event::Ring(RingTold::new(&ring, resumed, dup)));
        turn.publish(Some(ring.meeting), UpBody::Ringing { invitation: ring.invitation });
        if self.warm {
            links.warm(turn, ring.meeting, ring.join.clone());
        }
        let asks_at_ms = asks_at_ms(&ring, turn.service_ms());
        let live = Live { sent_at_ms: envelope.sent_at_ms, asks_at_ms, missed_at_ms: None, ring, answer: None };
        self.live.insert(live.ring.invitation, live);
    }

    /// Stores and tells a missed call, unless it was told before.
    fn miss(&mut self, turn: &mut Turn<'_, '_>, outcome: &Outcome, expires_at_ms: u64, delivery: Option<Delivery>) {
        let before = self.known.get(&outcome.invitation).copied();
        if before.is_some_and(|entry| outcome.rev <= entry.rev && entry.is != Known::Ring) {
            turn.acknowledge(delivery);
            return;
        }
        let entry = turn.store(outcome.invitation, outcome.rev, Known::Missed, expires_at_ms);
        self.remember(entry);
        turn.acknowledge(delivery);
        if before.is_none_or(|entry| entry.is != Known::Missed) {
            turn.tell(Event::Missed(MissedTold::from(outcome)));
        }
    }

    /// Stores that nothing is left to do; tells whom it rang for.
    fn finish(
        &mut self,
        turn: &mut Turn<'_, '_>,
        (invitation, rev): (InvitationId, u64),
        reason: Option<EndReason>,
        expires_at_ms: u64,
        delivery: Option<Delivery>,
    ) {
        let rang = self.known.get(&invitation).is_some_and(|entry| entry.is == Known::Ring);
        let entry = turn.store(invitation, rev, Known::Done, expires_at_ms);
        self.remember(entry);
        turn.acknowledge(delivery);
        if rang {
            turn.tell(Event::RingEnded { invitation, reason });
        }
    }

    fn remember(&mut self, entry: Entry) {
        self.known.insert(entry.invitation, entry);
        if self.known.len() > KNOWN_MAX {
            self.known.pop_first();
        }
    }

    fn silence(&mut self, turn: &mut Turn<'_, '_>, links: &mut Links, invitation: InvitationId) {
        if let Some(live) = self.live.remove(&invitation) {
            links.close_meeting(turn, live.ring.meeting);
        }
    }

    pub(crate) fn handle_ended(
        &mut self,
        turn: &mut Turn<'_, '_>,
        links: &mut Links,
        ended: Ended,
        delivery: Option<Delivery>,
    ) {
        let Ended { invitation, rev, reason, outcome, expires_at_ms } = ended;
        self.held.retain(|held| held.ring.invitation != invitation || acknowledge_held(turn, held));
        if self.known.get(&invitation).is_some_and(|entry| rev <= entry.rev) {
            turn.acknowledge(delivery);
            return;
        }
        self.silence(turn, links, invitation);
        match outcome {
            Some(outcome) => self.miss(turn, &outcome, expires_at_ms, delivery),
            None => self.finish(turn, (invitation, rev), Some(reason), expires_at_ms, delivery),
        }
    }

    pub(crate) fn handle_seen(
        &mut self,
        turn: &mut Turn<'_, '_>,
        invitation: InvitationId,
        rev: u64,
        expires_at_ms: u64,
        delivery: Option<Delivery>,
    ) {
        let before = self.known.get(&invitation).copied();
        if before.is_some_and(|entry| rev < entry.rev || entry.is == Known::Done) {
            turn.acknowledge(delivery);
            return;
        }
        self.finish(turn, (invitation, rev), None, expires_at_ms, delivery);
        turn.tell(Event::Seen { invitation });
    }

    /// This device is in the meeting now: its ring is answered. Gives what kind of call rang.
    pub(crate) fn handle_admitted(&mut self, turn: &mut Turn<'_, '_>, meeting: MeetingId) -> Option<Media> {
        let of_meeting = |live: &&Live| live.ring.meeting == meeting;
        let answered: Vec<_> = self.live.values().filter(of_meeting).map(|live| live.ring.invitation).collect();
        let mut media = None;
        for invitation in answered {
            media = self.live.remove(&invitation).map(|live| live.ring.media);
            if let Some(entry) = self.known.get_mut(&invitation) {
                *entry = turn.store(invitation, entry.rev, Known::Done, entry.expires_at_ms);
            }
        }
        media
    }

    /// An accept or reject was refused: what it answered is gone.
    pub(crate) fn handle_refused(&mut self, turn: &mut Turn<'_, '_>, links: &mut Links, request: SignalId) {
        let asked = |live: &&Live| live.answer.as_ref().is_some_and(|answer| answer.request == request);
        let Some((invitation, rev)) = self.live.values().find(asked).map(|l| (l.ring.invitation, l.ring.rev)) else {
            return;
        };
        self.end_unheard(turn, links, invitation, rev);
    }

    pub(crate) fn accept(&mut self, turn: &mut Turn<'_, '_>, invitation: InvitationId) {
        self.answer(turn, invitation, UpBody::Accept { invitation });
    }

    pub(crate) fn reject(
        &mut self,
        turn: &mut Turn<'_, '_>,
        links: &mut Links,
        invitation: InvitationId,
        reason: RejectReason,
    ) {
        self.answer(turn, invitation, UpBody::Reject { invitation, reason });
        if let Some(live) = self.live.get(&invitation) {
            links.close_meeting(turn, live.ring.meeting);
        }
    }

    /// Sends an answer; for an unknown ring too, so that it is the service that refuses.
    fn answer(&mut self, turn: &mut Turn<'_, '_>, invitation: InvitationId, body: UpBody) {
        let live = self.live.get_mut(&invitation);
        let request = turn.publish(live.as_ref().map(|live| live.ring.meeting), body);
        if let Some(live) = live {
            live.answer = Some(Answer { request, at_ms: turn.now_ms() });
        }
    }

    /// An answer that did not get away may be given again.
    pub(crate) fn handle_not_sent(&mut self, request: SignalId) {
        for live in self.live.values_mut() {
            live.answer.take_if(|answer| answer.request == request);
        }
    }

    /// Past its deadline a ring is asked about, and missed if no answer comes. True if the service is to be asked.
    pub(crate) fn expire(&mut self, turn: &mut Turn<'_, '_>, links: &mut Links) -> bool {
        let now = turn.service_ms();
        let due = |live: &&mut Live| live.deadline_ms().is_some_and(|at_ms| at_ms <= now);
        let (mut ask, mut expired) = (false, Vec::new());
        for live in self.live.values_mut().filter(due) {
            match live.missed_at_ms {
                Some(_) => expired.push(missed(&live.ring)),
                None => live.missed_at_ms = Some(now + PATIENCE_MS),
            }
            ask |= live.missed_at_ms.is_some_and(|at_ms| at_ms > now);
        }
        for outcome in expired {
            self.silence(turn, links, outcome.invitation);
            let expires_at_ms = self.expiry(outcome.invitation, now);
            self.miss(turn, &outcome, expires_at_ms, None);
        }
        ask
    }

    /// Takes the service's word on everything that was sent before `knows_until_ms`. True if an invitation is newer, so
    /// that one more answer is needed.
    pub(crate) fn handle_state(
        &mut self,
        turn: &mut Turn<'_, '_>,
        links: &mut Links,
        state: &State,
        knows_until_ms: u64,
    ) -> bool {
        for ring in &state.rings {
            self.confirm(turn, links, ring, state.now_ms);
        }
        for outcome in &state.outcomes {
            let held = self.take_held(outcome.invitation);
            let expires_at_ms = held.as_ref().map_or(state.now_ms, |held| held.envelope.expires_at_ms);
            self.silence(turn, links, outcome.invitation);
            self.miss(turn, outcome, expires_at_ms, held.and_then(|held| held.delivery));
        }
        self.end_unconfirmed(turn, links, state, knows_until_ms);
        self.release_held(turn, knows_until_ms)
    }

    /// It stands: rings on as the same ring, or begins.
    fn confirm(&mut self, turn: &mut Turn<'_, '_>, links: &mut Links, ring: &Ring, now_ms: u64) {
        let held = self.take_held(ring.invitation);
        let delivery = held.as_ref().and_then(|held| held.delivery);
        let known = self.known.get(&ring.invitation).copied();
        if known.is_some_and(|entry| entry.is != Known::Ring) {
            return turn.acknowledge(delivery);
        }
        if let Some(live) = self.live.get_mut(&ring.invitation) {
            live.stands(ring.clone(), now_ms);
            self.say_again_that_it_rings(turn, ring);
            return turn.acknowledge(delivery);
        }
        let expires_at_ms = known.map_or(ring.ring_until_ms, |entry| entry.expires_at_ms);
        let made = Envelope {
            v: signalling::signal::VERSION,
            id: SignalId(ring.invitation.0),
            meeting: Some(ring.meeting),
            sent_at_ms: now_ms,
            expires_at_ms,
            in_reply_to: None,
            rev: Some(ring.rev),
        };
        let dup = held.is_some();
        let envelope = held.map_or(made, |held| held.envelope);
        let (ring, resumed) = (ring.clone(), known.is_some());
        self.start(turn, links, Start { ring, envelope: &envelope, delivery, resumed, dup });
    }

    /// The service waits for a first ringing although it rings here: what said so was lost with its connection, or refused
    /// for this machine's clock.
    fn say_again_that_it_rings(&self, turn: &mut Turn<'_, '_>, ring: &Ring) {
        let answered = self.live.get(&ring.invitation).is_some_and(|live| live.answer.is_some());
        if !answered && !ring.ringing {
            turn.publish(Some(ring.meeting), UpBody::Ringing { invitation: ring.invitation });
        }
    }

    /// What rang here and does not stand any more has ended without our hearing of it.
    fn end_unconfirmed(&mut self, turn: &mut Turn<'_, '_>, links: &mut Links, state: &State, knows_until_ms: u64) {
        let stands = |id: &InvitationId| state.rings.iter().any(|ring| ring.invitation == *id);
        let rang = self.known.values().filter(|entry| entry.is == Known::Ring && !stands(&entry.invitation));
        let over: Vec<_> = rang.map(|entry| (entry.invitation, entry.rev)).collect();
        for (invitation, rev) in over {
            let live = self.live.get(&invitation);
            let newer = live.is_some_and(|live| live.sent_at_ms >= knows_until_ms);
            let pending = live.and_then(|live| live.answer.as_ref());
            let answering = pending.is_some_and(|answer| turn.now_ms() < answer.at_ms + ACCEPT_PATIENCE_MS);
            if !newer && !answering {
                self.end_unheard(turn, links, invitation, rev);
            }
        }
    }

    fn end_unheard(&mut self, turn: &mut Turn<'_, '_>, links: &mut Links, invitation: InvitationId, rev: u64) {
        self.silence(turn, links, invitation);
        let expires_at_ms = self.expiry(invitation, turn.service_ms());
        self.finish(turn, (invitation, rev), None, expires_at_ms, None);
    }

    /// Lets go what the answer knows nothing of; keeps what was sent after it.
    fn release_held(&mut self, turn: &mut Turn<'_, '_>, knows_until_ms: u64) -> bool {
        let newer = |held: &Held| held.envelope.sent_at_ms >= knows_until_ms;
        let (newer, over): (Vec<_>, Vec<_>) = self.held.drain(..).partition(newer);
        self.held = newer;
        for held in over {
            let key = (held.ring.invitation, held.ring.rev);
            self.finish(turn, key, None, held.envelope.expires_at_ms, held.delivery);
        }
        !self.held.is_empty()
    }

    fn take_held(&mut self, invitation: InvitationId) -> Option<Held> {
        let at = self.held.iter().position(|held| held.ring.invitation == invitation)?;
        Some(self.held.swap_remove(at))
    }

    fn expiry(&self, invitation: InvitationId, otherwise: u64) -> u64 {
        self.known.get(&invitation).map_or(otherwise, |entry| entry.expires_at_ms)
    }
}

/// Its end arrived: what was held is done. Always false, so that it is let go.
fn acknowledge_held(turn: &mut Turn<'_, '_>, held: &Held) -> bool {
    turn.acknowledge(held.delivery);
    false
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
