//! The one transaction of the meeting service, in two batches of statements: those that may refuse the commit, then the
//! rows. Each statement of its own would wait for the connection's thread and back.

use super::fault::Fault;
use super::rows::{engagement_kind_name, to_i64, to_uuid};
use super::users::{NAMES_PER_QUERY, push_list};
use super::{audit, presence};
use crate::limits::OUTCOMES_PER_USER_MAX;
use crate::{
    AuditEntry, CatalogError, CommitError, Engagement, EngagementKind, MeetingChange, MeetingCommit, NewOutboxRow,
    OutcomeRow, PastCallRow, TimerRow,
};
use serde_json::Value;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

/// Statements, each with a semicolon behind it.
type Batch = QueryBuilder<Sqlite>;

/// A longer batch is not kept prepared: it hardly comes again.
const PREPARED_CHARS_MAX: usize = 8 << 10;

pub(super) async fn apply(conn: &mut SqliteConnection, commit: &MeetingCommit) -> Result<(), Fault<CommitError>> {
    check(conn, commit).await?;
    if let Some(entry) = &commit.audit {
        audit::check_actor(conn, &entry.by).await?;
    }
    let mut rows = Batch::new("");
    if let Some(change) = &commit.meeting {
        push_change(&mut rows, change)?;
    }
    push_messages(&mut rows, &commit.outbox)?;
    for outcome in &commit.outcomes {
        push_outcome(&mut rows, outcome)?;
    }
    for call in &commit.past_calls {
        push_past_call(&mut rows, call)?;
    }
    for (user, invitation) in &commit.seen {
        rows.push("DELETE FROM outcomes WHERE user_id = ").push_bind(user.clone());
        rows.push(" AND invitation = ").push_bind(invitation.to_string()).push("; ");
    }
    if let Some((user, at_ms)) = &commit.created_by {
        rows.push("INSERT INTO creates (user_id, at_ms) VALUES (").push_bind(user.clone());
        rows.push(", ").push_bind(to_i64(*at_ms)?).push("); ");
    }
    if let Some(entry) = &commit.audit {
        push_audit(&mut rows, entry)?;
    }
    Ok(execute(conn, rows).await?)
}

async fn execute(conn: &mut SqliteConnection, mut batch: Batch) -> Result<(), sqlx::Error> {
    let chars = batch.sql().as_str().len();
    if chars > 0 {
        batch.build().persistent(chars <= PREPARED_CHARS_MAX).execute(conn).await?;
    }
    Ok(())
}

/// What a statement of the first batch returns where it finds what it looks for.
mod found {
    pub(super) const NEW_REQUEST: &str = "new request";
    pub(super) const READ_REVISION: &str = "read revision";
    pub(super) const CHANGED_REVISION: &str = "changed revision";
    pub(super) const ENGAGED: &str = "engaged";
}

/// Writes the rows that may conflict with another commit, and looks for what forbids this one.
async fn check(conn: &mut SqliteConnection, commit: &MeetingCommit) -> Result<(), Fault<CommitError>> {
    let mut batch = Batch::new("");
    push_handled(&mut batch, commit)?;
    push_read(&mut batch, commit)?;
    if let Some(change) = &commit.meeting {
        check_meeting_ids(change)?;
        push_document(&mut batch, change)?;
        if !change.ended {
            push_engaged_elsewhere(&mut batch, change);
        }
    }
    if batch.sql().as_str().is_empty() {
        return Ok(());
    }
    let rows: Vec<(String, String, String)> = batch.build_query_as().fetch_all(conn).await?;
    let is_missing = |wanted: bool, name: &str| wanted && !rows.iter().any(|(found, ..)| found == name);
    if is_missing(commit.handled.is_some(), found::NEW_REQUEST) {
        return Err(CommitError::AlreadyHandled.into());
    }
    if is_missing(commit.read.is_some(), found::READ_REVISION)
        || is_missing(commit.meeting.is_some(), found::CHANGED_REVISION)
    {
        return Err(CommitError::Conflict.into());
    }
    // By the name of the first of them, where the unique index would name none.
    match rows.iter().find(|(found, ..)| found == found::ENGAGED) {
        Some((_, user, meeting)) => Err(CommitError::Engaged { user: user.clone(), meeting: to_uuid(meeting)? }.into()),
        None => Ok(()),
    }
}

fn push_found(batch: &mut Batch, name: &'static str) {
    batch.push("'").push(name).push("', '', ''");
}

fn push_handled(batch: &mut Batch, commit: &MeetingCommit) -> Result<(), CatalogError> {
    let Some(handled) = &commit.handled else { return Ok(()) };
    batch.push("INSERT INTO handled (signal, keep_until_ms) VALUES (").push_bind(handled.signal.to_string());
    batch.push(", ").push_bind(to_i64(handled.keep_until_ms)?);
    batch.push(") ON CONFLICT (signal) DO NOTHING RETURNING ");
    push_found(batch, found::NEW_REQUEST);
    batch.push("; ");
    Ok(())
}

fn push_read(batch: &mut Batch, commit: &MeetingCommit) -> Result<(), CatalogError> {
    let Some(read) = &commit.read else { return Ok(()) };
    batch.push("SELECT ");
    push_found(batch, found::READ_REVISION);
    batch.push(" FROM meetings WHERE id = ").push_bind(read.id.to_string());
    batch.push(" AND revision = ").push_bind(to_i64(read.revision)?).push(" AND set_aside IS NULL; ");
    Ok(())
}

/// Timers and engagements that a change names belong to its meeting.
fn check_meeting_ids(change: &MeetingChange) -> Result<(), CatalogError> {
    let mut named = change.timers.iter().map(|timer| timer.meeting).chain(change.engaged.iter().map(|e| e.meeting));
    match named.find(|meeting| *meeting != change.id) {
        Some(other) => Err(CatalogError::Invalid(format!("a change of {} names a row of {other}", change.id))),
        None => Ok(()),
    }
}

fn push_document(batch: &mut Batch, change: &MeetingChange) -> Result<(), CatalogError> {
    let id = change.id.to_string();
    let (document, ended) = (change.document.clone(), change.ended);
    let ended_at = change.ended_at_ms.map(to_i64).transpose()?;
    match change.expected {
        None => {
            batch.push("INSERT INTO meetings (id, document, ended, created_at_ms, ended_at_ms, revision) VALUES (");
            batch.push_bind(id).push(", ").push_bind(document).push(", ").push_bind(ended);
            batch.push(", ").push_bind(to_i64(change.created_at_ms)?).push(", ").push_bind(ended_at);
            batch.push(", 1) ON CONFLICT (id) DO NOTHING");
        }
        Some(expected) => {
            batch.push("UPDATE meetings SET document = ").push_bind(document).push(", ended = ").push_bind(ended);
            batch.push(", ended_at_ms = ").push_bind(ended_at);
            batch.push(", revision = revision + 1 WHERE id = ").push_bind(id);
            batch.push(" AND revision = ").push_bind(to_i64(expected)?).push(" AND set_aside IS NULL");
        }
    }
    batch.push(" RETURNING ");
    push_found(batch, found::CHANGED_REVISION);
    batch.push("; ");
    Ok(())
}

fn push_engaged_elsewhere(batch: &mut Batch, change: &MeetingChange) {
    let users: Vec<String> = change
        .engaged
        .iter()
        .filter(|engagement| engagement.kind == EngagementKind::In)
        .map(|engagement| engagement.user.clone())
        .collect();
    for some in users.chunks(NAMES_PER_QUERY) {
        batch.push("SELECT '").push(found::ENGAGED).push("', user_id, meeting FROM engagements ");
        batch.push("WHERE kind = 'in' AND meeting <> ").push_bind(change.id.to_string()).push(" AND user_id IN (");
        push_list(batch, some);
        batch.push(" ORDER BY user_id LIMIT 1; ");
    }
}

fn push_change(batch: &mut Batch, change: &MeetingChange) -> Result<(), CatalogError> {
    push_parts_gone(batch, change)?;
    push_parts(batch, change)?;
    if change.ended {
        push_drop_engagements_and_timers(batch, change.id);
        return Ok(());
    }
    push_drop_named(batch, "DELETE FROM timers WHERE meeting = ", " AND key IN (", change.id, &change.timers_gone);
    push_timers(batch, &change.timers)?;
    push_drop_named(batch, "DELETE FROM engagements WHERE meeting = ", " AND user_id IN (", change.id, &change.freed);
    push_engagements(batch, &change.engaged);
    let changed = change
        .engaged
        .iter()
        .filter(|engagement| engagement.kind != EngagementKind::Rung)
        .map(|engagement| &engagement.user);
    presence::push_presence_changes(batch, changed.chain(&change.freed));
    Ok(())
}

/// Deletes the timers and engagements of the meeting.
pub(super) async fn drop_engagements_and_timers(conn: &mut SqliteConnection, meeting: Uuid) -> Result<(), sqlx::Error> {
    let mut batch = Batch::new("");
    push_drop_engagements_and_timers(&mut batch, meeting);
    execute(conn, batch).await
}

fn push_drop_engagements_and_timers(batch: &mut Batch, meeting: Uuid) {
    let id = meeting.to_string();
    batch.push("INSERT OR REPLACE INTO presence_changes (user_id) ");
    batch.push("SELECT user_id FROM engagements WHERE kind = 'in' AND meeting = ").push_bind(id.clone());
    batch.push("; DELETE FROM timers WHERE meeting = ").push_bind(id.clone());
    batch.push("; DELETE FROM engagements WHERE meeting = ").push_bind(id).push("; ");
}

fn push_parts_gone(batch: &mut Batch, change: &MeetingChange) -> Result<(), CatalogError> {
    for name in &change.parts_gone {
        batch.push("DELETE FROM meeting_parts WHERE meeting = ").push_bind(change.id.to_string());
        batch.push(" AND kind = ").push_bind(name.kind.clone());
        batch.push(" AND place = ").push_bind(to_i64(name.place)?).push("; ");
    }
    Ok(())
}

fn push_parts(batch: &mut Batch, change: &MeetingChange) -> Result<(), CatalogError> {
    for some in change.parts.chunks(NAMES_PER_QUERY) {
        let places: Vec<i64> = some.iter().map(|part| to_i64(part.name.place)).collect::<Result<_, _>>()?;
        batch.push("INSERT INTO meeting_parts (meeting, kind, place, document) ");
        batch.push_values(some.iter().zip(places), |mut row, (part, place)| {
            row.push_bind(change.id.to_string()).push_bind(part.name.kind.clone()).push_bind(place);
            row.push_bind(part.document.clone());
        });
        batch.push(" ON CONFLICT (meeting, kind, place) DO UPDATE SET document = excluded.document; ");
    }
    Ok(())
}

fn push_drop_named(batch: &mut Batch, of_meeting: &'static str, named: &'static str, meeting: Uuid, names: &[String]) {
    for some in names.chunks(NAMES_PER_QUERY) {
        batch.push(of_meeting).push_bind(meeting.to_string()).push(named);
        push_list(batch, some);
        batch.push("; ");
    }
}

fn push_timers(batch: &mut Batch, timers: &[TimerRow]) -> Result<(), CatalogError> {
    for some in timers.chunks(NAMES_PER_QUERY) {
        let dues: Vec<i64> = some.iter().map(|timer| to_i64(timer.due_ms)).collect::<Result<_, _>>()?;
        batch.push("INSERT INTO timers (meeting, key, due_ms) ");
        batch.push_values(some.iter().zip(dues), |mut row, (timer, due)| {
            row.push_bind(timer.meeting.to_string()).push_bind(timer.key.clone()).push_bind(due);
        });
        batch.push(" ON CONFLICT (meeting, key) DO UPDATE SET due_ms = excluded.due_ms; ");
    }
    Ok(())
}

fn push_engagements(batch: &mut Batch, engaged: &[Engagement]) {
    for some in engaged.chunks(NAMES_PER_QUERY) {
        batch.push("INSERT INTO engagements (meeting, user_id, kind) ");
        batch.push_values(some, |mut row, engagement| {
            row.push_bind(engagement.meeting.to_string())
                .push_bind(engagement.user.clone())
                .push_bind(engagement_kind_name(engagement.kind));
        });
        batch.push(" ON CONFLICT (meeting, user_id) DO UPDATE SET kind = excluded.kind; ");
    }
}

fn push_messages(batch: &mut Batch, messages: &[NewOutboxRow]) -> Result<(), CatalogError> {
    for some in messages.chunks(NAMES_PER_QUERY) {
        let properties: Vec<String> = some.iter().map(properties).collect::<Result<_, _>>()?;
        batch.push("INSERT INTO outbox (lane, topic, properties, body) ");
        batch.push_values(some.iter().zip(properties), |mut row, (message, properties)| {
            row.push_bind(message.lane.clone()).push_bind(message.topic.clone());
            row.push_bind(properties).push_bind(message.body.clone());
        });
        batch.push("; ");
    }
    Ok(())
}

fn properties(message: &NewOutboxRow) -> Result<String, CatalogError> {
    serde_json::to_string(&message.properties)
        .map_err(|error| CatalogError::Invalid(format!("properties of a message: {error}")))
}

fn push_outcome(batch: &mut Batch, outcome: &OutcomeRow) -> Result<(), CatalogError> {
    batch.push("INSERT INTO outcomes (user_id, invitation, at_ms, document) VALUES (").push_bind(outcome.user.clone());
    batch.push(", ").push_bind(outcome.invitation.to_string()).push(", ").push_bind(to_i64(outcome.at_ms)?);
    batch.push(", ").push_bind(outcome.document.clone());
    batch.push(
        ") ON CONFLICT (user_id, invitation) DO UPDATE SET at_ms = excluded.at_ms, document = excluded.document; ",
    );
    push_drop_oldest_outcomes(batch, &outcome.user);
    Ok(())
}

fn push_drop_oldest_outcomes(batch: &mut Batch, user: &str) {
    batch.push("DELETE FROM outcomes WHERE user_id = ").push_bind(user.to_owned());
    batch.push(" AND (at_ms, invitation) <= (SELECT at_ms, invitation FROM outcomes WHERE user_id = ");
    batch.push_bind(user.to_owned()).push(" ORDER BY at_ms DESC, invitation DESC LIMIT 1 OFFSET ");
    batch.push_bind(OUTCOMES_PER_USER_MAX).push("); ");
}

fn push_past_call(batch: &mut Batch, call: &PastCallRow) -> Result<(), CatalogError> {
    batch.push("INSERT INTO past_calls (user_id, meeting, started_at_ms, duration_ms, document) VALUES (");
    batch.push_bind(call.user.clone()).push(", ").push_bind(call.meeting.to_string()).push(", ");
    batch.push_bind(to_i64(call.started_at_ms)?).push(", ");
    batch.push_bind(call.duration_ms.map(to_i64).transpose()?).push(", ").push_bind(call.document.clone());
    batch.push(
        ") ON CONFLICT (user_id, meeting) DO UPDATE SET \
         document = iif(excluded.duration_ms IS NULL AND duration_ms IS NOT NULL, document, excluded.document), \
         duration_ms = coalesce(duration_ms + excluded.duration_ms, duration_ms, excluded.duration_ms); ",
    );
    Ok(())
}

fn push_audit(batch: &mut Batch, entry: &AuditEntry) -> Result<(), CatalogError> {
    let (before, after) = (entry.before.as_ref().map(Value::to_string), entry.after.as_ref().map(Value::to_string));
    batch.push("UPDATE change_number SET number = number + 1; ");
    batch.push(
        "INSERT INTO audit (number, at_ms, actor, address, action, kind, subject, before, after) SELECT number, ",
    );
    batch.push_bind(to_i64(entry.by.at_ms)?).push(", ").push_bind(entry.by.actor.to_string());
    batch.push(", ").push_bind(entry.by.address.clone()).push(", ").push_bind(entry.action.clone());
    batch.push(", ").push_bind(entry.kind.name()).push(", ").push_bind(entry.subject.clone());
    batch.push(", ").push_bind(before).push(", ").push_bind(after).push(" FROM change_number; ");
    Ok(())
}
