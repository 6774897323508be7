//! The table of a ring: state × event → new state, and who is told what.
//!
//! The machine looks its decisions up here; `docs/signalling.md` is generated from the same rows.

use signalling::EndReason;

/// The states of an invitation, without details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RingState {
    /// Within reach, no device has rung yet.
    Invited,
    Ringing,
    Answered,
    Declined,
    Busy,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RingEvent {
    /// A device rings.
    Rings,
    Accepts,
    Rejects,
    /// The inviter gives up.
    Cancelled,
    /// `reach_s` or `ring_s` is over.
    TimeOver,
    /// The last member was lost while it rang.
    CallerGone,
    /// The host ended the meeting.
    Destroyed,
    /// The host does not want this callee.
    Kicked,
}

/// What a device is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notification {
    Nothing,
    Ringing,
    Accepted,
    /// `rejected`, with the reason that the callee gave.
    Rejected,
    Admitted,
    Ended(EndReason),
    /// `ended` with the reason that was decided before, as it concerns this device; the device that answered is
    /// admitted again.
    AsDecided,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    pub from: RingState,
    pub event: RingEvent,
    pub to: RingState,
    /// The inviter's device.
    pub caller: Notification,
    /// The device of the callee that sent the request.
    pub acting: Notification,
    /// All other devices of the callee; all devices if none acted.
    pub others: Notification,
    /// The callee has missed a call.
    pub missed: bool,
}

/// An open ring ends: caller and devices are told the same.
const fn over(from: RingState, event: RingEvent, reason: EndReason) -> Transition {
    let told = Notification::Ended(reason);
    Transition {
        from,
        event,
        to: RingState::Ended,
        caller: told,
        acting: Notification::Nothing,
        others: told,
        missed: true,
    }
}

const fn accept(from: RingState) -> Transition {
    let others = Notification::Ended(EndReason::AnsweredElsewhere);
    Transition {
        from,
        event: RingEvent::Accepts,
        to: RingState::Answered,
        caller: Notification::Accepted,
        acting: Notification::Admitted,
        others,
        missed: false,
    }
}

const fn reject(from: RingState) -> Transition {
    let (acting, others) =
        (Notification::Ended(EndReason::Declined), Notification::Ended(EndReason::DeclinedElsewhere));
    Transition {
        from,
        event: RingEvent::Rejects,
        to: RingState::Declined,
        caller: Notification::Rejected,
        acting,
        others,
        missed: false,
    }
}

const fn ring(from: RingState, caller: Notification) -> Transition {
    Transition {
        from,
        event: RingEvent::Rings,
        to: RingState::Ringing,
        caller,
        acting: Notification::Ringing,
        others: Notification::Nothing,
        missed: false,
    }
}

/// A request that comes after the end of the ring.
const fn late(from: RingState, event: RingEvent) -> Transition {
    let nothing = Notification::Nothing;
    Transition {
        from,
        event,
        to: from,
        caller: nothing,
        acting: Notification::AsDecided,
        others: nothing,
        missed: false,
    }
}

/// A pair that is not here changes nothing, and nobody is told anything.
pub static CALLEE: [Transition; 28] = [
    ring(RingState::Invited, Notification::Ringing),
    ring(RingState::Ringing, Notification::Nothing),
    accept(RingState::Invited),
    accept(RingState::Ringing),
    reject(RingState::Invited),
    reject(RingState::Ringing),
    over(RingState::Invited, RingEvent::Cancelled, EndReason::Cancelled),
    over(RingState::Ringing, RingEvent::Cancelled, EndReason::Cancelled),
    over(RingState::Invited, RingEvent::TimeOver, EndReason::NoAnswer),
    over(RingState::Ringing, RingEvent::TimeOver, EndReason::NoAnswer),
    over(RingState::Invited, RingEvent::CallerGone, EndReason::CallerGone),
    over(RingState::Ringing, RingEvent::CallerGone, EndReason::CallerGone),
    over(RingState::Invited, RingEvent::Destroyed, EndReason::Destroyed),
    over(RingState::Ringing, RingEvent::Destroyed, EndReason::Destroyed),
    over(RingState::Invited, RingEvent::Kicked, EndReason::Kicked),
    over(RingState::Ringing, RingEvent::Kicked, EndReason::Kicked),
    late(RingState::Answered, RingEvent::Rings),
    late(RingState::Answered, RingEvent::Accepts),
    late(RingState::Answered, RingEvent::Rejects),
    late(RingState::Declined, RingEvent::Rings),
    late(RingState::Declined, RingEvent::Accepts),
    late(RingState::Declined, RingEvent::Rejects),
    late(RingState::Ended, RingEvent::Rings),
    late(RingState::Ended, RingEvent::Accepts),
    late(RingState::Ended, RingEvent::Rejects),
    late(RingState::Busy, RingEvent::Rings),
    late(RingState::Busy, RingEvent::Accepts),
    late(RingState::Busy, RingEvent::Rejects),
];

/// The row for this pair, if anything happens.
pub fn transition(from: RingState, event: RingEvent) -> Option<&'static Transition> {
    CALLEE.iter().find(|row| row.from == from && row.event == event)
}
