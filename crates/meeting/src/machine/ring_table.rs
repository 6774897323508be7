//! The life of one ring as data: callee's state × event → new state, and who is told what.
//!
//! The machine looks its decisions up here; `docs/signalling.md` is generated from the same rows.

use signalling::EndReason;

/// What an invitation can be, without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Within reach, no device has rung yet.
    Invited,
    Ringing,
    Answered,
    Declined,
    Busy,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A device rings.
    Rings,
    Accepts,
    Rejects,
    /// The inviter gives up.
    Cancelled,
    /// `reach_s` or `ring_s` is over.
    TimeOver,
    /// The last member went while it rang.
    CallerGone,
    /// The host ended the meeting.
    Destroyed,
    /// The host does not want this callee.
    Kicked,
}

/// What somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
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
    pub from: State,
    pub event: Event,
    pub to: State,
    /// The inviter's device.
    pub caller: Told,
    /// The device of the callee that sent the request.
    pub acting: Told,
    /// All other devices of the callee; all devices if none acted.
    pub others: Told,
    /// The callee has missed a call.
    pub missed: bool,
}

/// How an open ring ends, for all three of the people told.
const fn over(from: State, event: Event, reason: EndReason) -> Transition {
    let told = Told::Ended(reason);
    Transition { from, event, to: State::Ended, caller: told, acting: Told::Nothing, others: told, missed: true }
}

const fn accept(from: State) -> Transition {
    let others = Told::Ended(EndReason::AnsweredElsewhere);
    Transition {
        from,
        event: Event::Accepts,
        to: State::Answered,
        caller: Told::Accepted,
        acting: Told::Admitted,
        others,
        missed: false,
    }
}

const fn reject(from: State) -> Transition {
    let (acting, others) = (Told::Ended(EndReason::Declined), Told::Ended(EndReason::DeclinedElsewhere));
    Transition {
        from,
        event: Event::Rejects,
        to: State::Declined,
        caller: Told::Rejected,
        acting,
        others,
        missed: false,
    }
}

const fn ring(from: State, caller: Told) -> Transition {
    Transition {
        from,
        event: Event::Rings,
        to: State::Ringing,
        caller,
        acting: Told::Ringing,
        others: Told::Nothing,
        missed: false,
    }
}

/// A request that comes when all is decided.
const fn late(from: State, event: Event) -> Transition {
    let nothing = Told::Nothing;
    Transition { from, event, to: from, caller: nothing, acting: Told::AsDecided, others: nothing, missed: false }
}

/// Every pair that is not here changes nothing and tells nobody anything.
pub static CALLEE: [Transition; 28] = [
    ring(State::Invited, Told::Ringing),
    ring(State::Ringing, Told::Nothing),
    accept(State::Invited),
    accept(State::Ringing),
    reject(State::Invited),
    reject(State::Ringing),
    over(State::Invited, Event::Cancelled, EndReason::Cancelled),
    over(State::Ringing, Event::Cancelled, EndReason::Cancelled),
    over(State::Invited, Event::TimeOver, EndReason::NoAnswer),
    over(State::Ringing, Event::TimeOver, EndReason::NoAnswer),
    over(State::Invited, Event::CallerGone, EndReason::CallerGone),
    over(State::Ringing, Event::CallerGone, EndReason::CallerGone),
    over(State::Invited, Event::Destroyed, EndReason::Destroyed),
    over(State::Ringing, Event::Destroyed, EndReason::Destroyed),
    over(State::Invited, Event::Kicked, EndReason::Kicked),
    over(State::Ringing, Event::Kicked, EndReason::Kicked),
    late(State::Answered, Event::Rings),
    late(State::Answered, Event::Accepts),
    late(State::Answered, Event::Rejects),
    late(State::Declined, Event::Rings),
    late(State::Declined, Event::Accepts),
    late(State::Declined, Event::Rejects),
    late(State::Ended, Event::Rings),
    late(State::Ended, Event::Accepts),
    late(State::Ended, Event::Rejects),
    late(State::Busy, Event::Rings),
    late(State::Busy, Event::Accepts),
    late(State::Busy, Event::Rejects),
];

/// The row for this pair, if anything happens.
pub fn transition(from: State, event: Event) -> Option<&'static Transition> {
    CALLEE.iter().find(|row| row.from == from && row.event == event)
}
