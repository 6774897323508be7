//! The queue of reports of the RTC server that wait for their meetings. Pure.
//!
//! Those of one channel keep their order and are handled one after the other, channels in turn. Where too many wait,
//! those of that channel are dropped, and the RTC server is to be asked instead.

use crate::machine::MediaChange;
use signalling::ParticipationId;
use std::collections::{HashMap, VecDeque};
use uuid::Uuid;

/// Waiting reports of all channels.
const WAITING_MAX: usize = 16_384;
const OF_A_CHANNEL_MAX: usize = 1_024;

pub(crate) type Change = (ParticipationId, MediaChange);

/// What one meeting has to handle.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReportBatch {
    pub meeting: Uuid,
    /// First the RTC server is to be asked who is connected.
    pub ask: bool,
    pub changes: VecDeque<Change>,
}

#[derive(Default)]
struct Waiting {
    ask: bool,
    changes: VecDeque<Change>,
    /// A batch of this meeting is being handled.
    busy: bool,
}

pub(crate) struct Reports {
    by_meeting: HashMap<Uuid, Waiting>,
    ready: VecDeque<Uuid>,
    waiting: usize,
    max: usize,
}

impl Default for Reports {
    fn default() -> Self {
        Self::holding(WAITING_MAX)
    }
}

impl Reports {
    fn holding(max: usize) -> Self {
        Self { by_meeting: HashMap::new(), ready: VecDeque::new(), waiting: 0, max }
    }

    pub(crate) fn handle_report(&mut self, meeting: Uuid, change: Change) {
        let is_full = self.waiting >= self.max;
        let waiting = self.waiting_of(meeting);
        if !is_full && waiting.changes.len() < OF_A_CHANNEL_MAX {
            waiting.changes.push_back(change);
            self.waiting += 1;
        } else {
            self.handle_gap(meeting);
        }
    }

    /// The RTC server is to be asked who is connected: its answer says more than the reports that wait.
    pub(crate) fn handle_gap(&mut self, meeting: Uuid) {
        let waiting = self.waiting_of(meeting);
        waiting.ask = true;
        let given_up = std::mem::take(&mut waiting.changes).len();
        self.waiting -= given_up;
    }

    /// Until `handle_done` is called for its meeting, no other batch of that meeting is returned.
    pub(crate) fn poll_batch(&mut self) -> Option<ReportBatch> {
        let meeting = self.ready.pop_front()?;
        let waiting = self.by_meeting.get_mut(&meeting)?;
        waiting.busy = true;
        let batch = ReportBatch { meeting, ask: waiting.ask, changes: std::mem::take(&mut waiting.changes) };
        waiting.ask = false;
        self.waiting -= batch.changes.len();
        Some(batch)
    }

    pub(crate) fn handle_done(&mut self, meeting: Uuid) {
        let Some(waiting) = self.by_meeting.get_mut(&meeting) else { return };
        waiting.busy = false;
        if waiting.ask || !waiting.changes.is_empty() {
            self.ready.push_back(meeting);
        } else {
            self.by_meeting.remove(&meeting);
        }
    }

    fn waiting_of(&mut self, meeting: Uuid) -> &mut Waiting {
        let waiting = self.by_meeting.entry(meeting).or_default();
        if !waiting.busy && !waiting.ask && waiting.changes.is_empty() {
            self.ready.push_back(meeting);
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use MediaChange::{Back, Joined, Lost};

    const ANN: ParticipationId = ParticipationId(Uuid::from_u128(100));

    fn batch(meeting: u128, ask: bool, changes: &[MediaChange]) -> ReportBatch {
        let changes = changes.iter().map(|change| (ANN, *change)).collect();
        ReportBatch { meeting: Uuid::from_u128(meeting), ask, changes }
    }

    fn push(reports: &mut Reports, meeting: u128, change: MediaChange) {
        reports.handle_report(Uuid::from_u128(meeting), (ANN, change));
    }

    fn drained(reports: &mut Reports) -> Vec<ReportBatch> {
        let all = std::iter::from_fn(|| {
            let batch = reports.poll_batch()?;
            reports.handle_done(batch.meeting);
            Some(batch)
        });
        all.collect()
    }

    #[test]
    fn a_channel_is_told_in_order_and_one_at_a_time() {
        let mut reports = Reports::default();
        push(&mut reports, 1, Joined);
        push(&mut reports, 2, Joined);
        push(&mut reports, 1, Lost);
        assert_eq!(reports.poll_batch().unwrap(), batch(1, false, &[Joined, Lost]));
        push(&mut reports, 1, Back);
        assert_eq!(reports.poll_batch().unwrap(), batch(2, false, &[Joined]));
        assert_eq!(reports.poll_batch(), None, "the first is still being handled");
        reports.handle_done(Uuid::from_u128(1));
        reports.handle_done(Uuid::from_u128(2));
        assert_eq!(drained(&mut reports), [batch(1, false, &[Back])]);
        assert!(reports.by_meeting.is_empty() && reports.waiting == 0);
    }

    #[test]
    fn what_does_not_fit_is_asked_for_and_what_comes_after_it_is_told() {
        let mut reports = Reports::holding(2);
        for (meeting, change) in [(1, Joined), (2, Joined), (1, Lost)] {
            push(&mut reports, meeting, change);
        }
        push(&mut reports, 1, Back);
        push(&mut reports, 3, Joined);
        assert_eq!(drained(&mut reports), [batch(1, true, &[Back]), batch(2, false, &[Joined]), batch(3, true, &[])]);
        assert!(reports.by_meeting.is_empty() && reports.waiting == 0);
    }

    #[test]
    fn one_channel_does_not_fill_the_room_of_the_others() {
        let mut reports = Reports::default();
        for _ in 0..=OF_A_CHANNEL_MAX {
            push(&mut reports, 1, Lost);
        }
        assert_eq!(drained(&mut reports), [batch(1, true, &[])]);
        assert_eq!(reports.waiting, 0);
    }

    #[test]
    fn asking_while_something_is_told_is_done_after_it() {
        let mut reports = Reports::default();
        push(&mut reports, 1, Joined);
        let first = reports.poll_batch().unwrap();
        reports.handle_gap(first.meeting);
        assert_eq!(reports.poll_batch(), None);
        reports.handle_done(first.meeting);
        assert_eq!(drained(&mut reports), [batch(1, true, &[])]);
    }
}
