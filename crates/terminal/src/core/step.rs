//! A step of the core: the handling of one input, with its moment and the effects that it has so far.

use super::clock::Clock;
use super::effect::{Delivery, Effect};
use crate::event::Event;
use crate::store::{RingEntry, RingPhase};
use signalling::signal::VERSION;
use signalling::{Envelope, InvitationId, MeetingId, SignalId, Up, UpBody};
use std::time::Duration;
use uuid::Uuid;

/// A request that was not handled within this is refused by the service.
pub const REQUEST_EXPIRY: Duration = Duration::from_secs(30);

/// The present time and a source of identifiers, given from outside.
pub struct Moment<'a> {
    /// The wall clock, milliseconds since 1970. It may be wrong, and may be set at any time.
    pub wall_ms: u64,
    /// A clock that only goes forward, milliseconds since any moment. All deadlines run on it.
    pub mono_ms: u64,
    /// Creates a new UUIDv7.
    pub new_id: &'a mut dyn FnMut() -> Uuid,
}

pub(crate) struct Step<'t, 'm> {
    moment: &'t mut Moment<'m>,
    pub(crate) clock: Clock,
    pub(crate) effects: Vec<Effect>,
}

impl<'t, 'm> Step<'t, 'm> {
    pub(crate) fn new(moment: &'t mut Moment<'m>, clock: Clock) -> Self {
        Self { moment, clock, effects: Vec::new() }
    }

    /// By the monotonic clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.moment.mono_ms
    }

    /// By the service's clock, as far as it is known or guessed.
    pub(crate) fn service_ms(&self) -> u64 {
        self.clock.service_ms(self.moment.mono_ms)
    }

    /// Certainly past this moment of the service's clock.
    pub(crate) fn is_past(&self, service_ms: u64) -> bool {
        self.clock.is_known() && service_ms <= self.service_ms()
    }

    pub(crate) fn notify(&mut self, event: Event) {
        self.effects.push(Effect::Notify(event));
    }

    pub(crate) fn acknowledge(&mut self, delivery: Option<Delivery>) {
        self.effects.extend(delivery.map(Effect::Acknowledge));
    }

    pub(crate) fn store(
        &mut self,
        invitation: InvitationId,
        rev: u64,
        phase: RingPhase,
        expires_at_ms: u64,
    ) -> RingEntry {
        let entry = RingEntry { invitation, rev, phase, expires_at_ms };
        self.effects.push(Effect::Store(entry));
        entry
    }

    pub(crate) fn publish(&mut self, meeting: Option<MeetingId>, body: UpBody) -> SignalId {
        let id = SignalId((self.moment.new_id)());
        let envelope = Envelope {
            v: VERSION,
            id,
            meeting,
            sent_at_ms: self.moment.wall_ms,
            expires_at_ms: self.service_ms() + REQUEST_EXPIRY.as_millis() as u64,
            in_reply_to: None,
            rev: None,
        };
        self.effects.push(Effect::Publish(Up { envelope, body }));
        id
    }
}
