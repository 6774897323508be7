//! The list of meetings, as an owner reads it.

use super::fault::Fault;
use super::rows::{to_i64, to_u64, to_uuid};
use crate::{CatalogError, MeetingHead, MeetingState, MeetingsPage};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

/// Only with the filters that are asked for: then an index serves them.
pub(super) fn select(page: &MeetingsPage) -> Result<QueryBuilder<Sqlite>, CatalogError> {
    let mut sql = QueryBuilder::new(
        "SELECT id, revision, created_at_ms, ended_at_ms, document, \
         (SELECT COUNT(*) FROM engagements e WHERE e.meeting = meetings.id AND e.kind = 'in'), \
         (SELECT COUNT(*) FROM engagements e WHERE e.meeting = meetings.id AND e.kind = 'rung') \
         FROM meetings WHERE set_aside IS NULL",
    );
    match page.state {
        Some(MeetingState::Live) => sql.push(" AND ended_at_ms IS NULL"),
        Some(MeetingState::Ended) => sql.push(" AND ended_at_ms IS NOT NULL"),
        None => &mut sql,
    };
    if let Some(user) = &page.user {
        sql.push(" AND id IN (SELECT meeting FROM engagements WHERE user_id = ").push_bind(user.clone());
        sql.push(" UNION SELECT meeting FROM past_calls WHERE user_id = ").push_bind(user.clone()).push(")");
    }
    if let Some(place) = page.before {
        sql.push(" AND (created_at_ms, id) < (").push_bind(to_i64(place.created_at_ms)?);
        sql.push(", ").push_bind(place.id.to_string()).push(")");
    }
    sql.push(" ORDER BY created_at_ms DESC, id DESC LIMIT ").push_bind(page.limit);
    Ok(sql)
}

type Columns = (String, i64, i64, Option<i64>, String, u32, u32);

pub(super) async fn heads(conn: &mut SqliteConnection, page: &MeetingsPage) -> Result<Vec<MeetingHead>, Fault> {
    let rows: Vec<Columns> = select(page)?.build_query_as().fetch_all(conn).await?;
    Ok(rows.into_iter().map(to_head).collect::<Result<_, _>>()?)
}

fn to_head(columns: Columns) -> Result<MeetingHead, CatalogError> {
    let (id, revision, created, ended, document, inside, rung) = columns;
    Ok(MeetingHead {
        id: to_uuid(&id)?,
        revision: to_u64(revision)?,
        created_at_ms: to_u64(created)?,
        ended_at_ms: ended.map(to_u64).transpose()?,
        document,
        inside,
        rung,
    })
}
