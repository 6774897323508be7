//! What is kept of one owner's events. Pure.

use signalling::{ChannelEvent, ChannelEventKind, ChannelId, ParticipationId};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Events in one answer; the next question brings the rest.
const ANSWER_MAX: usize = 1_000;

/// One report that is kept in its newest form only.
type Minor = (ChannelId, ParticipationId, MinorKind);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum MinorKind {
    Quality,
    Speaker,
}

pub(super) struct Kept {
    /// Every event, until there are too many.
    major: VecDeque<ChannelEvent>,
    max: usize,
    /// All up to it may have been forgotten.
    forgotten: u64,
    /// At most one of a kind for each participation that is there.
    minor: BTreeMap<u64, ChannelEvent>,
    newest_minor: HashMap<Minor, u64>,
}

pub(super) enum Found {
    /// Some of them are forgotten.
    Gap,
    /// By rising sequence number.
    Events(Vec<ChannelEvent>),
}

impl Kept {
    /// Begins behind the event `sequence`.
    pub(super) fn new(sequence: u64, max: usize) -> Self {
        let (major, minor, newest_minor) = (VecDeque::new(), BTreeMap::new(), HashMap::new());
        Self { major, max, forgotten: sequence, minor, newest_minor }
    }

    pub(super) fn push(&mut self, event: ChannelEvent) {
        if let Some(kind) = minor_kind(&event.kind) {
            self.replace_minor(kind, event);
            return;
        }
        if matches!(event.kind, ChannelEventKind::Left { .. }) {
            self.forget_minor(&event, MinorKind::Quality);
            self.forget_minor(&event, MinorKind::Speaker);
        }
        if self.major.len() >= self.max
            && let Some(oldest) = self.major.pop_front()
        {
            self.forgotten = oldest.sequence;
        }
        self.major.push_back(event);
    }

    fn replace_minor(&mut self, kind: MinorKind, event: ChannelEvent) {
        self.forget_minor(&event, kind);
        self.newest_minor.insert((event.channel.clone(), event.participation, kind), event.sequence);
        self.minor.insert(event.sequence, event);
    }

    fn forget_minor(&mut self, of: &ChannelEvent, kind: MinorKind) {
        if let Some(sequence) = self.newest_minor.remove(&(of.channel.clone(), of.participation, kind)) {
            self.minor.remove(&sequence);
        }
    }

    pub(super) fn after(&self, sequence: u64) -> Found {
        if sequence < self.forgotten {
            return Found::Gap;
        }
        let first = self.major.partition_point(|event| event.sequence <= sequence);
        let minor = self.minor.range(sequence + 1..).map(|(_, event)| event);
        let mut events: Vec<&ChannelEvent> = self.major.range(first..).take(ANSWER_MAX).collect();
        events.extend(minor.take(ANSWER_MAX));
        events.sort_by_key(|event| event.sequence);
        events.truncate(ANSWER_MAX);
        Found::Events(events.into_iter().cloned().collect())
    }
}

fn minor_kind(kind: &ChannelEventKind) -> Option<MinorKind> {
    match kind {
        ChannelEventKind::Quality { .. } => Some(MinorKind::Quality),
        ChannelEventKind::Speaker { .. } => Some(MinorKind::Speaker),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "a failed expectation is the test's failure")]

    use super::*;
    use signalling::LeftReason;
    use uuid::Uuid;

    fn event(sequence: u64, who: u128, kind: ChannelEventKind) -> ChannelEvent {
        let participation = ParticipationId(Uuid::from_u128(who));
        ChannelEvent { sequence, channel: ChannelId::from("c"), rev: 1, participation, connection: 1, kind }
    }

    fn speaker(speaking: bool) -> ChannelEventKind {
        ChannelEventKind::Speaker { speaking }
    }

    fn sequences(kept: &Kept, after: u64) -> Vec<u64> {
        match kept.after(after) {
            Found::Gap => panic!("a gap after {after}"),
            Found::Events(events) => events.iter().map(|event| event.sequence).collect(),
        }
    }

    #[test]
    fn of_reports_of_quality_and_speakers_the_newest_is_kept_and_none_of_who_has_left() {
        let mut kept = Kept::new(0, 10);
        kept.push(event(1, 1, speaker(true)));
        kept.push(event(2, 2, speaker(true)));
        kept.push(event(3, 1, ChannelEventKind::Lost));
        kept.push(event(4, 1, speaker(false)));
        assert_eq!(sequences(&kept, 0), [2, 3, 4]);
        assert_eq!(sequences(&kept, 3), [4]);
        kept.push(event(5, 1, ChannelEventKind::Left { reason: LeftReason::Gone }));
        assert_eq!(sequences(&kept, 0), [2, 3, 5]);
        assert_eq!((kept.minor.len(), kept.newest_minor.len()), (1, 1));
    }

    #[test]
    fn reports_of_quality_never_take_the_room_of_who_has_left() {
        let mut kept = Kept::new(0, 2);
        kept.push(event(1, 1, ChannelEventKind::Left { reason: LeftReason::Gone }));
        for sequence in 2..1_000 {
            kept.push(event(sequence, 2, ChannelEventKind::Quality { loss_permille: 0, rtt_ms: None }));
        }
        assert_eq!(sequences(&kept, 0), [1, 999]);
    }

    #[test]
    fn an_answer_is_bounded_and_the_next_one_goes_on_without_a_hole() {
        let mut kept = Kept::new(0, 5_000);
        for sequence in 1..=2_500 {
            let kind = if sequence % 7 == 0 { speaker(true) } else { ChannelEventKind::Lost };
            kept.push(event(sequence, u128::from(sequence), kind));
        }
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let next = sequences(&kept, after);
            assert!(next.len() <= ANSWER_MAX);
            let Some(last) = next.last() else { break };
            after = *last;
            all.extend(next);
        }
        assert_eq!(all, (1..=2_500).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_forgotten_is_a_gap_only_for_who_has_not_read_it() {
        let mut kept = Kept::new(10, 2);
        assert!(matches!(kept.after(9), Found::Gap));
        for sequence in 11..=13 {
            kept.push(event(sequence, 1, ChannelEventKind::Lost));
        }
        assert!(matches!(kept.after(10), Found::Gap));
        assert_eq!(sequences(&kept, 11), [12, 13]);
    }
}
