//! What one group has done with one topic. Time comes as a parameter.
//!
//! ```text
//! at or past the cursor: never handed out
//! before the cursor:     hidden ── deadline ──► ready ── hand-out, attempt + 1 ──► hidden
//!                        hidden ── hold ──► held ── done ──► consumed (in no table any more)
//!                                             └── release ──► hidden or ready, as its deadline says
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use commitlog::Position;

use crate::ids::Now;
use crate::limits::IN_FLIGHT_MAX;
use crate::message::TagFilter;
use crate::records::Entry;

/// Messages that one pick looks at past the cursor: filters may leave out most of a topic.
const SCAN_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Subscription {
    cursor: Position,
    /// Everything before the cursor that is not consumed.
    flights: HashMap<Position, Flight>,
    ready: BTreeSet<Position>,
    deadlines: BTreeSet<(Now, Position)>,
    last_serial: u64,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    attempt: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Ready,
    Hidden { serial: u64, until: Now },
    Held { serial: u64, until: Now },
}

/// What a receive asks for.
pub(crate) struct Want<'a> {
    pub(crate) filter: &'a TagFilter,
    pub(crate) max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) invisible: Duration,
    pub(crate) attempts_max: u32,
    pub(crate) now: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandOut {
    pub(crate) position: Position,
    pub(crate) attempt: u32,
    pub(crate) serial: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Picked {
    pub(crate) hand_outs: Vec<HandOut>,
    /// Held: they were handed out as often as is allowed.
    pub(crate) dead: Vec<HandOut>,
    /// Left out by the filter, and so consumed.
    pub(crate) skipped: Vec<Position>,
    /// There is more to look at.
    pub(crate) more: bool,
}

/// The receipt names a hand-out that counts no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired;

impl Subscription {
    /// Hands messages out: first those that are due again, then those past the cursor.
    pub(crate) fn pick(&mut self, messages: &BTreeMap<Position, Entry>, want: &Want<'_>) -> Picked {
        self.expire(want.now);
        let mut picked = Picked::default();
        let mut room = Room { count: want.max, bytes: want.bytes_max, is_untouched: true };
        self.pick_ready(messages, want, &mut room, &mut picked);
        if !room.is_full() {
            self.pick_new(messages, want, &mut room, &mut picked);
        }
        picked
    }

    fn expire(&mut self, now: Now) {
        while let Some((until, position)) = self.deadlines.first().copied()
            && until <= now
        {
            self.deadlines.pop_first();
            self.make_ready(position);
        }
    }

    fn pick_ready(
        &mut self,
        messages: &BTreeMap<Position, Entry>,
        want: &Want<'_>,
        room: &mut Room,
        picked: &mut Picked,
    ) {
        let mut from = Position(0);
        for _ in 0..SCAN_MAX {
            let Some(position) = self.ready.range(from..).next().copied() else { return };
            from = after(position);
            let Some(entry) = messages.get(&position) else {
                // Forgotten by age.
                self.done(position);
                continue;
            };
            if !want.filter.matches(entry.tag.as_deref()) {
                continue;
            }
            let attempt = self.flights.get(&position).map_or(0, |flight| flight.attempt);
            if attempt >= want.attempts_max {
                picked.dead.push(self.set_aside(position, attempt, want.now));
            } else if room.take(entry.bytes) {
                picked.hand_outs.push(self.hide(position, attempt + 1, want.now.after(want.invisible)));
            } else {
                return;
            }
        }
    }

    fn pick_new(
        &mut self,
        messages: &BTreeMap<Position, Entry>,
        want: &Want<'_>,
        room: &mut Room,
        picked: &mut Picked,
    ) {
        for (seen, (position, entry)) in messages.range(self.cursor..).enumerate() {
            if seen >= SCAN_MAX {
                picked.more = true;
                return;
            }
            if want.filter.matches(entry.tag.as_deref()) {
                if self.flights.len() >= IN_FLIGHT_MAX || !room.take(entry.bytes) {
                    return;
                }
                picked.hand_outs.push(self.hide(*position, 1, want.now.after(want.invisible)));
            } else {
                picked.skipped.push(*position);
            }
            self.cursor = after(*position);
        }
    }

    fn hide(&mut self, position: Position, attempt: u32, until: Now) -> HandOut {
        let serial = self.next_serial();
        self.ready.remove(&position);
        self.deadlines.insert((until, position));
        self.flights.insert(position, Flight { attempt, state: State::Hidden { serial, until } });
        HandOut { position, attempt, serial }
    }

    fn set_aside(&mut self, position: Position, attempt: u32, now: Now) -> HandOut {
        let serial = self.next_serial();
        self.ready.remove(&position);
        self.flights.insert(position, Flight { attempt, state: State::Held { serial, until: now } });
        HandOut { position, attempt, serial }
    }

    fn next_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    fn make_ready(&mut self, position: Position) {
        if let Some(flight) = self.flights.get_mut(&position) {
            flight.state = State::Ready;
            self.ready.insert(position);
        }
    }

    /// Keeps a hidden message back until it is [`Subscription::done`] or [`Subscription::release`]d.
    pub(crate) fn hold(&mut self, position: Position, serial: u64, now: Now) -> Result<(), Expired> {
        let until = self.hidden_until(position, serial, now)?;
        self.deadlines.remove(&(until, position));
        self.set_state(position, State::Held { serial, until });
        Ok(())
    }

    pub(crate) fn release(&mut self, position: Position, serial: u64) {
        let Some(Flight { state: State::Held { serial: held, until }, .. }) = self.flights.get(&position) else {
            return;
        };
        if *held == serial {
            let until = *until;
            self.deadlines.insert((until, position));
            self.set_state(position, State::Hidden { serial, until });
        }
    }

    /// Hides the message from now on for another time, under a new serial.
    pub(crate) fn change(
        &mut self,
        position: Position,
        serial: u64,
        invisible: Duration,
        now: Now,
    ) -> Result<u64, Expired> {
        let until = self.hidden_until(position, serial, now)?;
        self.deadlines.remove(&(until, position));
        let attempt = self.flights.get(&position).map_or(1, |flight| flight.attempt);
        Ok(self.hide(position, attempt, now.after(invisible)).serial)
    }

    fn hidden_until(&self, position: Position, serial: u64, now: Now) -> Result<Now, Expired> {
        match self.flights.get(&position).map(|flight| flight.state) {
            Some(State::Hidden { serial: current, until }) if current == serial && until > now => Ok(until),
            _ => Err(Expired),
        }
    }

    fn set_state(&mut self, position: Position, state: State) {
        if let Some(flight) = self.flights.get_mut(&position) {
            flight.state = state;
        }
    }

    /// The message is consumed, whatever its state.
    pub(crate) fn done(&mut self, position: Position) {
        self.cursor = self.cursor.max(after(position));
        if let Some(Flight { state: State::Hidden { until, .. }, .. }) = self.flights.remove(&position) {
            self.deadlines.remove(&(until, position));
        }
        self.ready.remove(&position);
    }

    pub(crate) fn is_done(&self, position: Position) -> bool {
        position < self.cursor && !self.flights.contains_key(&position)
    }

    /// Undoes a pick whose hand-outs could not be logged. What had never been handed out is so again: left behind the
    /// cursor, it would be lost with the next start as soon as anything after it was logged.
    pub(crate) fn take_back(&mut self, picked: &Picked) {
        for HandOut { position, attempt, .. } in &picked.hand_outs {
            if let Some(Flight { state: State::Hidden { until, .. }, .. }) = self.flights.remove(position) {
                self.deadlines.remove(&(until, *position));
            }
            if *attempt == 1 {
                self.cursor = self.cursor.min(*position);
            } else {
                self.replay_hand_out(*position, attempt - 1);
            }
        }
        picked.dead.iter().for_each(|dead| self.make_ready(dead.position));
    }

    /// A hand-out of an earlier start: due again, with its attempt counted.
    pub(crate) fn replay_hand_out(&mut self, position: Position, attempt: u32) {
        self.cursor = self.cursor.max(after(position));
        self.flights.insert(position, Flight { attempt, state: State::Ready });
        self.ready.insert(position);
    }

    /// When the next hidden message is due.
    pub(crate) fn next_deadline(&self) -> Option<Now> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    pub(crate) fn cursor(&self) -> Position {
        self.cursor
    }

    /// Handed out and hidden, and due again.
    pub(crate) fn counts(&self, now: Now) -> (u64, u64) {
        let due = self.deadlines.iter().take_while(|(until, _)| *until <= now).count();
        let ready = (self.ready.len() + due) as u64;
        (self.flights.len() as u64 - ready, ready)
    }
}

fn after(position: Position) -> Position {
    Position(position.0.saturating_add(1))
}

/// How much a receive may still take.
struct Room {
    count: usize,
    bytes: usize,
    is_untouched: bool,
}

impl Room {
    /// The first message always fits, so that a large one is not waited for in vain.
    fn take(&mut self, bytes: usize) -> bool {
        if self.count == 0 || (bytes > self.bytes && !self.is_untouched) {
            return false;
        }
        self.count -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.is_untouched = false;
        true
    }

    fn is_full(&self) -> bool {
        self.count == 0
    }
}
