//! The rows that a decision changes in the catalog: those by which the meeting before and after it differ.

use crate::commit::stored::StoredMeeting;
use crate::machine::{DocumentRowName, EngagementKind, Meeting, Places, Rules};
use catalog::{Engagement, MeetingChange, MeetingPart, MeetingPartName, TimerRow};
use std::collections::BTreeMap;
use uuid::Uuid;

/// `now_ms`: when it was decided. `standing`: timers that are in the catalog, whatever the document before says of them.
pub(crate) fn change(
    before: Option<&StoredMeeting>,
    after: &Meeting,
    rules: &Rules,
    now_ms: u64,
    standing: &[TimerRow],
) -> (MeetingChange, Places) {
    let id = after.id.0;
    let had = before.map(|stored| (&*stored.meeting, &*stored.places));
    let (rows, places) = after.rows_since(had);
    let mut had_timers = had.map(|(meeting, _)| timers(meeting, rules)).unwrap_or_default();
    had_timers.extend(standing.iter().map(|timer| (timer.key.clone(), timer.due_ms)));
    let (timers, timers_gone) = difference(&had_timers, timers(after, rules));
    let had_engagements = had.map(|(meeting, _)| engagements(meeting)).unwrap_or_default();
    let (engaged, freed) = difference(&had_engagements, engagements(after));
    let put = rows.put.into_iter().map(|(name, document)| MeetingPart { name: part_name(name), document });
    let change = MeetingChange {
        id,
        expected: before.map(|stored| stored.revision),
        document: after.head(),
        // Not before its channel is gone, so that a crash in between does not forget to close it.
        ended: after.is_over() && after.closed,
        created_at_ms: before.map_or(now_ms, |stored| stored.created_at_ms),
        ended_at_ms: after.end.as_ref().map(|end| end.at_ms),
        parts: put.collect(),
        parts_gone: rows.gone.into_iter().map(part_name).collect(),
        timers: timers.into_iter().map(|(key, due_ms)| TimerRow { meeting: id, key, due_ms }).collect(),
        timers_gone,
        engaged: engaged.into_iter().map(|(user, kind)| engagement(user, id, kind)).collect(),
        freed,
    };
    (change, places)
}

fn part_name((kind, place): DocumentRowName) -> MeetingPartName {
    MeetingPartName { kind: kind.to_owned(), place }
}

fn timers(meeting: &Meeting, rules: &Rules) -> BTreeMap<String, u64> {
    meeting.timers(rules).into_iter().map(|timer| (timer.kind.key(), timer.due_ms)).collect()
}

fn engagements(meeting: &Meeting) -> BTreeMap<String, EngagementKind> {
    meeting.engagements().into_iter().map(|engagement| (engagement.user.0, engagement.kind)).collect()
}

fn engagement(user: String, meeting: Uuid, kind: EngagementKind) -> Engagement {
    let kind = match kind {
        EngagementKind::In => catalog::EngagementKind::In,
        EngagementKind::Rung => catalog::EngagementKind::Rung,
        EngagementKind::Left => catalog::EngagementKind::Left,
    };
    Engagement { user, meeting, kind }
}

/// Entries that are new or differ from before, and the names of those that are gone.
fn difference<T: PartialEq>(
    before: &BTreeMap<String, T>,
    after: BTreeMap<String, T>,
) -> (Vec<(String, T)>, Vec<String>) {
    let gone = before.keys().filter(|name| !after.contains_key(*name)).cloned().collect();
    let put = after.into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect();
    (put, gone)
}
