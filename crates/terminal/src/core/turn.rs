//! One call of the core: its moment, and the effects that it has so far.

use super::clock::Clock;
use super::effect::{Delivery, Effect};
use crate::event::Event;
use crate::store::{Entry, Known};
use signalling::signal::VERSION;
use signalling::{Envelope, InvitationId, MeetingId, SignalId, Up, UpBody};
use uuid::Uuid;

/// A request that was not handled within this is refused by the service.
const REQUEST_EXPIRY_MS: u64 = 30_000;

/// Time and identifiers, given from outside.
pub struct Moment<'a> {
    /// Local clock, milliseconds since 1970.
    pub now_ms: u64,
    /// Makes a new UUIDv7.
    pub new_id: &'a mut dyn FnMut() -> Uuid,
}

pub(crate) struct Turn<'t, 'm> {
    moment: &'t mut Moment<'m>,
    clock: Clock,
    pub(crate) effects: Vec<Effect>,
}

impl<'t, 'm> Turn<'t, 'm> {
    pub(crate) fn new(moment: &'t mut Moment<'m>, clock: Clock) -> Self {
        Self { moment, clock, effects: Vec::new() }
    }

    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.moment.now_ms
    }

    pub(crate) fn service_ms(&self) -> u64 {
        self.clock.service_ms(self.moment.now_ms)
    }

    pub(crate) fn known_service_ms(&self) -> Option<u64> {
        self.clock.known_service_ms(self.moment.now_ms)
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.effects.push(Effect::Tell(event));
    }

    pub(crate) fn acknowledge(&mut self, delivery: Option<Delivery>) {
        self.effects.extend(delivery.map(Effect::Acknowledge));
    }

    pub(crate) fn store(&mut self, invitation: InvitationId, rev: u64, is: Known, expires_at_ms: u64) -> Entry {
        let entry = Entry { invitation, rev, is, expires_at_ms };
        self.effects.push(Effect::Store(entry));
        entry
    }

    pub(crate) fn publish(&mut self, meeting: Option<MeetingId>, body: UpBody) -> SignalId {
        let id = SignalId((self.moment.new_id)());
        let envelope = Envelope {
            v: VERSION,
            id,
            meeting,
            sent_at_ms: self.moment.now_ms,
            expires_at_ms: self.service_ms() + REQUEST_EXPIRY_MS,
            in_reply_to: None,
            rev: None,
        };
        self.effects.push(Effect::Publish(Up { envelope, body }));
        id
    }
}
