//! A filter for signals of `meeting-down`: one that is delivered again, or that is older than an end, changes nothing.

use signalling::{MeetingId, SignalId, State};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// Signals that are remembered; past it the oldest are forgotten.
const SIGNALS_MAX: usize = 4_096;
/// Meetings whose end is remembered; past it the oldest are forgotten.
const ENDED_MAX: usize = 1_024;

#[derive(Default)]
pub(crate) struct SignalFilter {
    signals: HashSet<SignalId>,
    order: VecDeque<SignalId>,
    /// The revision of the last decision that ended the meeting for this device.
    ended: BTreeMap<MeetingId, u64>,
}

impl SignalFilter {
    pub(crate) fn is_new(&mut self, signal: SignalId) -> bool {
        let is_new = self.signals.insert(signal);
        if is_new {
            self.order.push_back(signal);
        }
        if self.order.len() > SIGNALS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.signals.remove(&oldest);
        }
        is_new
    }

    pub(crate) fn note_ended(&mut self, meeting: MeetingId, rev: u64) {
        let known = self.ended.entry(meeting).or_default();
        *known = rev.max(*known);
        if self.ended.len() > ENDED_MAX {
            self.ended.pop_first();
        }
    }

    pub(crate) fn is_before_end(&self, meeting: MeetingId, rev: u64) -> bool {
        self.ended.get(&meeting).is_some_and(|ended| rev < *ended)
    }

    /// Without what was over before the service read it.
    pub(crate) fn without_ended(&self, mut state: State) -> State {
        state.call.take_if(|call| self.is_before_end(call.meeting, call.roster.rev));
        state.rings.retain(|ring| !self.is_before_end(ring.meeting, ring.rev));
        state.joinable.retain(|joinable| !self.is_before_end(joinable.meeting, joinable.rev));
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn what_is_remembered_is_bounded_and_at_least_a_thousand() {
        let mut filter = SignalFilter::default();
        let id = |number: usize| SignalId(Uuid::from_u128(number as u128));
        let count = SIGNALS_MAX + 10;
        assert!((0..count).all(|number| filter.is_new(id(number))));
        assert!((count - 1_000..count).all(|number| !filter.is_new(id(number))));
        assert!(filter.is_new(id(0)), "forgotten");
        assert_eq!((filter.signals.len(), filter.order.len()), (SIGNALS_MAX, SIGNALS_MAX));
    }
}
