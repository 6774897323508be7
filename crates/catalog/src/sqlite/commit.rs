//! The one transaction of the meeting service.

use super::fault::Fault;
use super::online;
use super::rows::{tie_name, to_i64, to_uuid};
use super::users::{NAMES_PER_QUERY, push_list};
use crate::limits::OUTCOMES_PER_USER_MAX;
use crate::{
    CatalogError, CommitError, Engagement, Handled, MeetingChange, MeetingCommit, MeetingRead, NewOutboxRow,
    OutcomeRow, PastCallRow, Tie, TimerRow,
};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query, query_scalar};
use uuid::Uuid;

type CommitResult = Result<(), Fault<CommitError>>;

pub(super) async fn apply(conn: &mut SqliteConnection, commit: &MeetingCommit) -> CommitResult {
    if let Some(handled) = &commit.handled {
        remember_handled(conn, handled).await?;
    }
    if let Some(read) = &commit.read {
        expect_revision(conn, read).await?;
    }
    if let Some(change) = &commit.meeting {
        change_meeting(conn, change).await?;
    }
    for message in &commit.outbox {
        add_message(conn, message).await?;
    }
    for outcome in &commit.outcomes {
        put_outcome(conn, outcome).await?;
    }
    for call in &commit.past_calls {
        put_past_call(conn, call).await?;
    }
    for (user, invitation) in &commit.seen {
        delete_outcome(conn, user, *invitation).await?;
    }
    if let Some((user, at_ms)) = &commit.created_by {
        count_create(conn, user, *at_ms).await?;
    }
    Ok(())
}

async fn remember_handled(conn: &mut SqliteConnection, handled: &Handled) -> CommitResult {
    let done = query("INSERT INTO handled (signal, keep_until_ms) VALUES ($1, $2) ON CONFLICT (signal) DO NOTHING")
        .bind(handled.signal.to_string())
        .bind(to_i64(handled.keep_until_ms)?)
        .execute(conn)
        .await?;
    if done.rows_affected() == 0 { Err(CommitError::AlreadyHandled.into()) } else { Ok(()) }
}

async fn expect_revision(conn: &mut SqliteConnection, read: &MeetingRead) -> CommitResult {
    let now: Option<i64> = query_scalar("SELECT revision FROM meetings WHERE id = $1 AND set_aside IS NULL")
        .bind(read.id.to_string())
        .fetch_optional(conn)
        .await?;
    if now == Some(to_i64(read.revision)?) { Ok(()) } else { Err(CommitError::Conflict.into()) }
}

async fn change_meeting(conn: &mut SqliteConnection, change: &MeetingChange) -> CommitResult {
    check_meeting_ids(change)?;
    put_document(conn, change).await?;
    drop_parts(conn, change).await?;
    put_parts(conn, change).await?;
    if change.ended {
        return Ok(drop_ties(conn, change.id).await?);
    }
    drop_timers(conn, change).await?;
    put_timers(conn, &change.timers).await?;
    drop_engagements(conn, change).await?;
    put_engagements(conn, change).await?;
    let changed = change.engaged.iter().filter(|tie| tie.kind != Tie::Rung).map(|tie| &tie.user);
    Ok(online::record_presence_changes(conn, changed.chain(&change.freed)).await?)
}

/// Timers and engagements that a change names belong to its meeting.
fn check_meeting_ids(change: &MeetingChange) -> Result<(), CatalogError> {
    let mut named = change.timers.iter().map(|timer| timer.meeting).chain(change.engaged.iter().map(|e| e.meeting));
    match named.find(|meeting| *meeting != change.id) {
        Some(other) => Err(CatalogError::Invalid(format!("a change of {} names a row of {other}", change.id))),
        None => Ok(()),
    }
}

async fn put_document(conn: &mut SqliteConnection, change: &MeetingChange) -> CommitResult {
    let sql = match change.expected {
        None => {
            "INSERT INTO meetings (id, document, ended, revision) VALUES ($1, $2, $3, $4 + 1) \
             ON CONFLICT (id) DO NOTHING"
        }
        Some(_) => {
            "UPDATE meetings SET document = $2, ended = $3, revision = $4 + 1 \
             WHERE id = $1 AND revision = $4 AND set_aside IS NULL"
        }
    };
    let done = query(sql)
        .bind(change.id.to_string())
        .bind(&change.document)
        .bind(change.ended)
        .bind(to_i64(change.expected.unwrap_or(0))?)
        .execute(conn)
        .await?;
    if done.rows_affected() == 0 { Err(CommitError::Conflict.into()) } else { Ok(()) }
}

/// Deletes the timers and engagements of the meeting.
pub(super) async fn drop_ties(conn: &mut SqliteConnection, meeting: Uuid) -> Result<(), sqlx::Error> {
    let meeting = meeting.to_string();
    let freed: Vec<String> = query_scalar("SELECT user_id FROM engagements WHERE meeting = $1 AND kind = 'in'")
        .bind(&meeting)
        .fetch_all(&mut *conn)
        .await?;
    query("DELETE FROM timers WHERE meeting = $1").bind(&meeting).execute(&mut *conn).await?;
    query("DELETE FROM engagements WHERE meeting = $1").bind(&meeting).execute(&mut *conn).await?;
    online::record_presence_changes(conn, &freed).await
}

async fn drop_parts(conn: &mut SqliteConnection, change: &MeetingChange) -> CommitResult {
    for name in &change.parts_gone {
        query("DELETE FROM meeting_parts WHERE meeting = $1 AND kind = $2 AND place = $3")
            .bind(change.id.to_string())
            .bind(&name.kind)
            .bind(to_i64(name.place)?)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn put_parts(conn: &mut SqliteConnection, change: &MeetingChange) -> CommitResult {
    for some in change.parts.chunks(NAMES_PER_QUERY) {
        let places: Vec<i64> = some.iter().map(|part| to_i64(part.name.place)).collect::<Result<_, _>>()?;
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO meeting_parts (meeting, kind, place, document) ");
        sql.push_values(some.iter().zip(places), |mut row, (part, place)| {
            row.push_bind(change.id.to_string()).push_bind(part.name.kind.clone()).push_bind(place);
            row.push_bind(part.document.clone());
        });
        sql.push(" ON CONFLICT (meeting, kind, place) DO UPDATE SET document = excluded.document");
        sql.build().execute(&mut *conn).await?;
    }
    Ok(())
}

async fn drop_timers(conn: &mut SqliteConnection, change: &MeetingChange) -> CommitResult {
    drop_named(conn, "DELETE FROM timers WHERE meeting = ", " AND key IN (", change.id, &change.timers_gone).await
}

async fn drop_engagements(conn: &mut SqliteConnection, change: &MeetingChange) -> CommitResult {
    drop_named(conn, "DELETE FROM engagements WHERE meeting = ", " AND user_id IN (", change.id, &change.freed).await
}

async fn drop_named(
    conn: &mut SqliteConnection,
    of_meeting: &'static str,
    named: &'static str,
    meeting: Uuid,
    names: &[String],
) -> CommitResult {
    for some in names.chunks(NAMES_PER_QUERY) {
        let mut sql = QueryBuilder::<Sqlite>::new(of_meeting);
        sql.push_bind(meeting.to_string()).push(named);
        push_list(&mut sql, some);
        sql.build().execute(&mut *conn).await?;
    }
    Ok(())
}

async fn put_timers(conn: &mut SqliteConnection, timers: &[TimerRow]) -> CommitResult {
    for some in timers.chunks(NAMES_PER_QUERY) {
        let dues: Vec<i64> = some.iter().map(|timer| to_i64(timer.due_ms)).collect::<Result<_, _>>()?;
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO timers (meeting, key, due_ms) ");
        sql.push_values(some.iter().zip(dues), |mut row, (timer, due)| {
            row.push_bind(timer.meeting.to_string()).push_bind(timer.key.clone()).push_bind(due);
        });
        sql.push(" ON CONFLICT (meeting, key) DO UPDATE SET due_ms = excluded.due_ms");
        sql.build().execute(&mut *conn).await?;
    }
    Ok(())
}

async fn put_engagements(conn: &mut SqliteConnection, change: &MeetingChange) -> CommitResult {
    for some in change.engaged.chunks(NAMES_PER_QUERY) {
        refuse_engaged(conn, change.id, some).await?;
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO engagements (meeting, user_id, kind) ");
        sql.push_values(some, |mut row, tie| {
            row.push_bind(tie.meeting.to_string()).push_bind(tie.user.clone()).push_bind(tie_name(tie.kind));
        });
        sql.push(" ON CONFLICT (meeting, user_id) DO UPDATE SET kind = excluded.kind");
        sql.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// Refuses users who are in another meeting, and names the first of them, where the unique index would name none.
async fn refuse_engaged(conn: &mut SqliteConnection, meeting: Uuid, engaged: &[Engagement]) -> CommitResult {
    let users: Vec<String> = engaged.iter().filter(|tie| tie.kind == Tie::In).map(|tie| tie.user.clone()).collect();
    if users.is_empty() {
        return Ok(());
    }
    let mut sql = QueryBuilder::new("SELECT user_id, meeting FROM engagements WHERE kind = 'in' AND meeting <> ");
    sql.push_bind(meeting.to_string()).push(" AND user_id IN (");
    push_list(&mut sql, &users);
    sql.push(" ORDER BY user_id LIMIT 1");
    let holder: Option<(String, String)> = sql.build_query_as().fetch_optional(conn).await?;
    match holder {
        Some((user, meeting)) => Err(CommitError::Engaged { user, meeting: to_uuid(&meeting)? }.into()),
        None => Ok(()),
    }
}

async fn add_message(conn: &mut SqliteConnection, message: &NewOutboxRow) -> CommitResult {
    let properties = serde_json::to_string(&message.properties)
        .map_err(|error| CatalogError::Invalid(format!("properties of a message: {error}")))?;
    query("INSERT INTO outbox (topic, properties, body) VALUES ($1, $2, $3)")
        .bind(&message.topic)
        .bind(properties)
        .bind(&message.body)
        .execute(conn)
        .await?;
    Ok(())
}

async fn put_outcome(conn: &mut SqliteConnection, outcome: &OutcomeRow) -> CommitResult {
    query(
        "INSERT INTO outcomes (user_id, invitation, at_ms, document) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (user_id, invitation) DO UPDATE SET at_ms = excluded.at_ms, document = excluded.document",
    )
    .bind(&outcome.user)
    .bind(outcome.invitation.to_string())
    .bind(to_i64(outcome.at_ms)?)
    .bind(&outcome.document)
    .execute(&mut *conn)
    .await?;
    drop_oldest_outcomes(conn, &outcome.user).await
}

async fn drop_oldest_outcomes(conn: &mut SqliteConnection, user: &str) -> CommitResult {
    query(
        "DELETE FROM outcomes WHERE user_id = $1 AND (at_ms, invitation) <= \
         (SELECT at_ms, invitation FROM outcomes WHERE user_id = $1 \
          ORDER BY at_ms DESC, invitation DESC LIMIT 1 OFFSET $2)",
    )
    .bind(user)
    .bind(OUTCOMES_PER_USER_MAX)
    .execute(conn)
    .await?;
    Ok(())
}

async fn put_past_call(conn: &mut SqliteConnection, call: &PastCallRow) -> CommitResult {
    query(
        "INSERT INTO past_calls (user_id, meeting, started_at_ms, duration_ms, document) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (user_id, meeting) DO UPDATE SET \
         document = iif(excluded.duration_ms IS NULL AND duration_ms IS NOT NULL, document, excluded.document), \
         duration_ms = coalesce(duration_ms + excluded.duration_ms, duration_ms, excluded.duration_ms)",
    )
    .bind(&call.user)
    .bind(call.meeting.to_string())
    .bind(to_i64(call.started_at_ms)?)
    .bind(call.duration_ms.map(to_i64).transpose()?)
    .bind(&call.document)
    .execute(conn)
    .await?;
    Ok(())
}

async fn delete_outcome(conn: &mut SqliteConnection, user: &str, invitation: Uuid) -> CommitResult {
    query("DELETE FROM outcomes WHERE user_id = $1 AND invitation = $2")
        .bind(user)
        .bind(invitation.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

async fn count_create(conn: &mut SqliteConnection, user: &str, at_ms: u64) -> CommitResult {
    query("INSERT INTO creates (user_id, at_ms) VALUES ($1, $2)").bind(user).bind(to_i64(at_ms)?).execute(conn).await?;
    Ok(())
}
