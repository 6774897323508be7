//! Queries of the meeting service, and the outbox.

use super::fault::Fault;
use super::rows::{to_engagement_kind, to_i64, to_u64, to_uuid};
use super::users::{NAMES_PER_QUERY, push_list};
use super::{SqliteCatalog, commit, meetings_list, set_aside};
use crate::{
    CatalogError, CatalogFuture, Claim, CommitError, DeviceState, DueTimers, Engagement, MeetingCommit, MeetingHead,
    MeetingPart, MeetingPartName, MeetingRow, Meetings, MeetingsPage, NewOutboxRow, OutboxRow, OutcomeRow,
    PastCallPlace, PastCallRow, SetAside, TimerRow, User, UserState,
};
use sqlx::{QueryBuilder, SqliteConnection, query_as, query_scalar};
use std::ops::Range;
use uuid::Uuid;

impl Meetings for SqliteCatalog {
    fn meeting(&self, id: Uuid) -> CatalogFuture<'_, Option<MeetingRow>> {
        read!(self, conn => meeting(conn, id))
    }

    fn meeting_revision(&self, id: Uuid) -> CatalogFuture<'_, Option<u64>> {
        read!(self, conn => revision(conn, id))
    }

    fn meetings(&self, page: MeetingsPage) -> CatalogFuture<'_, Vec<MeetingHead>> {
        read!(self, conn => meetings_list::heads(conn, &page))
    }

    fn live_meetings(&self) -> CatalogFuture<'_, Vec<Uuid>> {
        read!(self, conn => live(conn))
    }

    fn commit(&self, commit: MeetingCommit) -> CatalogFuture<'_, (), CommitError> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let done = commit::apply(&mut tx, &commit).await;
            let finished = self.finish(tx, done).await;
            // Also one that was not answered may stand.
            if commit.audit.is_some() {
                _ = self.publish_changes().await;
            }
            finished
        })
    }

    fn handled(&self, signal: Uuid) -> CatalogFuture<'_, bool> {
        read!(self, conn => handled(conn, signal))
    }

    fn engagements_of(&self, users: &[String]) -> CatalogFuture<'_, Vec<Engagement>> {
        let users = users.to_vec();
        read!(self, conn => engagements_of(conn, &users))
    }

    fn claim_timers(&self, claim: Claim, due: DueTimers, limit: u32) -> CatalogFuture<'_, Vec<TimerRow>> {
        Box::pin(async move {
            let mut claims = self.claims.lock().await;
            let others = claims.meetings_of_others(claim.by);
            let timers = read!(self, conn => due_timers(conn, &due, &others, limit)).await?;
            claims.claim_meetings(&claim, timers.iter().map(|timer| timer.meeting));
            Ok(timers)
        })
    }

    fn next_timer(&self, by: Uuid, held_ms: Range<u64>) -> CatalogFuture<'_, Option<u64>> {
        Box::pin(async move {
            let others = self.claims.lock().await.meetings_of_others(by);
            read!(self, conn => next_timer(conn, &held_ms, &others)).await
        })
    }

    fn claim_outbox(&self, claim: Claim, limit: u32) -> CatalogFuture<'_, Vec<OutboxRow>> {
        Box::pin(async move {
            let mut claims = self.claims.lock().await;
            read!(self, conn => claims.outbox(conn, &claim, limit)).await
        })
    }

    fn outbox_len(&self) -> CatalogFuture<'_, u64> {
        read!(self, conn => outbox_len(conn))
    }

    fn outbox_sent(&self, ids: &[i64]) -> CatalogFuture<'_, ()> {
        let ids = ids.to_vec();
        Box::pin(async move {
            let sent = &ids;
            write!(self, conn => outbox_sent(conn, sent)).await?;
            self.claims.lock().await.gone(&ids);
            Ok(())
        })
    }

    fn release_claims(&self, by: Uuid) -> CatalogFuture<'_, ()> {
        Box::pin(async move {
            self.claims.lock().await.release(by);
            Ok(())
        })
    }

    fn set_meeting_aside(&self, id: Uuid, reason: &str) -> CatalogFuture<'_, Option<u64>> {
        let reason = reason.to_owned();
        write!(self, conn => set_aside::meeting(conn, id, &reason))
    }

    fn set_message_aside(&self, id: i64, reason: &str) -> CatalogFuture<'_, ()> {
        let reason = reason.to_owned();
        Box::pin(async move {
            write!(self, conn => set_aside::message(conn, id, &reason)).await?;
            self.claims.lock().await.gone(&[id]);
            Ok(())
        })
    }

    fn set_aside(&self) -> CatalogFuture<'_, SetAside> {
        read!(self, conn => set_aside::count(conn))
    }

    fn user_state(&self, user: &str, outcomes: u32) -> CatalogFuture<'_, Option<UserState>> {
        let user = user.to_owned();
        read!(self, conn => user_state(conn, &user, outcomes))
    }

    fn outcomes(&self, user: &str, limit: u32) -> CatalogFuture<'_, Vec<OutcomeRow>> {
        let user = user.to_owned();
        read!(self, conn => outcomes(conn, &user, limit))
    }

    fn past_calls(&self, user: &str, before: Option<PastCallPlace>, limit: u32) -> CatalogFuture<'_, Vec<PastCallRow>> {
        let user = user.to_owned();
        read!(self, conn => past_calls(conn, &user, before, limit))
    }

    fn creates_since(&self, user: &str, since_ms: u64, now_ms: u64) -> CatalogFuture<'_, u32> {
        let user = user.to_owned();
        read!(self, conn => creates_since(conn, &user, since_ms, now_ms))
    }
}

pub(super) async fn meeting(conn: &mut SqliteConnection, id: Uuid) -> Result<Option<MeetingRow>, Fault> {
    // One statement, so that document and parts are of one moment. The document comes first: no kind is empty.
    let rows: Vec<(String, i64, String, bool, i64)> = query_as(
        "SELECT '' AS kind, revision AS place, document, ended, created_at_ms FROM meetings \
         WHERE id = $1 AND set_aside IS NULL \
         UNION ALL SELECT kind, place, document, FALSE, 0 FROM meeting_parts WHERE meeting = $1 ORDER BY kind, place",
    )
    .bind(id.to_string())
    .fetch_all(conn)
    .await?;
    let mut rows = rows.into_iter();
    let first = rows.next().filter(|(kind, ..)| kind.is_empty());
    let Some((_, revision, document, ended, created)) = first else { return Ok(None) };
    let parts = rows.map(|(kind, place, document, ..)| {
        let name = MeetingPartName { kind, place: to_u64(place)? };
        Ok(MeetingPart { name, document })
    });
    let parts = parts.collect::<Result<_, CatalogError>>()?;
    let (revision, created_at_ms) = (to_u64(revision)?, to_u64(created)?);
    Ok(Some(MeetingRow { id, revision, document, parts, ended, created_at_ms }))
}

pub(super) async fn revision(conn: &mut SqliteConnection, id: Uuid) -> Result<Option<u64>, Fault> {
    let revision: Option<i64> = query_scalar("SELECT revision FROM meetings WHERE id = $1 AND set_aside IS NULL")
        .bind(id.to_string())
        .fetch_optional(conn)
        .await?;
    Ok(revision.map(to_u64).transpose()?)
}

pub(super) async fn live(conn: &mut SqliteConnection) -> Result<Vec<Uuid>, Fault> {
    let rows: Vec<String> = query_scalar("SELECT id FROM meetings WHERE NOT ended AND set_aside IS NULL ORDER BY id")
        .fetch_all(conn)
        .await?;
    rows.iter().map(|id| Ok(to_uuid(id)?)).collect()
}

pub(super) async fn handled(conn: &mut SqliteConnection, signal: Uuid) -> Result<bool, Fault> {
    let known = query_scalar("SELECT EXISTS (SELECT 1 FROM handled WHERE signal = $1)")
        .bind(signal.to_string())
        .fetch_one(conn)
        .await?;
    Ok(known)
}

pub(super) async fn engagements_of(conn: &mut SqliteConnection, users: &[String]) -> Result<Vec<Engagement>, Fault> {
    let mut found = Vec::new();
    for some in users.chunks(NAMES_PER_QUERY) {
        let mut sql = QueryBuilder::new("SELECT user_id, meeting, kind FROM engagements WHERE user_id IN (");
        push_list(&mut sql, some);
        sql.push(" ORDER BY user_id, meeting");
        let rows: Vec<(String, String, String)> = sql.build_query_as().fetch_all(&mut *conn).await?;
        for (user, meeting, kind) in rows {
            found.push(Engagement { user, meeting: to_uuid(&meeting)?, kind: to_engagement_kind(&kind)? });
        }
    }
    Ok(found)
}

pub(super) async fn due_timers(
    conn: &mut SqliteConnection,
    DueTimers { now_ms, held_ms, latest_ms }: &DueTimers,
    without: &[Uuid],
    limit: u32,
) -> Result<Vec<TimerRow>, Fault> {
    let due = "SELECT meeting, key, due_ms FROM timers \
        WHERE (due_ms <= $1 OR due_ms > $2) AND NOT (due_ms >= $3 AND due_ms < $4) \
        AND meeting NOT IN (SELECT value FROM json_each($5)) ORDER BY due_ms, meeting, key LIMIT $6";
    let rows: Vec<(String, String, i64)> = query_as(due)
        .bind(to_i64(*now_ms)?)
        .bind(to_i64(*latest_ms)?)
        .bind(to_i64(held_ms.start)?)
        .bind(to_i64(held_ms.end)?)
        .bind(json_list(without))
        .bind(limit)
        .fetch_all(conn)
        .await?;
    let timers = rows
        .into_iter()
        .map(|(meeting, key, due)| Ok(TimerRow { meeting: to_uuid(&meeting)?, key, due_ms: to_u64(due)? }));
    timers.collect()
}

pub(super) async fn next_timer(
    conn: &mut SqliteConnection,
    held_ms: &Range<u64>,
    without: &[Uuid],
) -> Result<Option<u64>, Fault> {
    let next = "SELECT due_ms FROM timers WHERE NOT (due_ms >= $1 AND due_ms < $2) \
        AND meeting NOT IN (SELECT value FROM json_each($3)) ORDER BY due_ms LIMIT 1";
    let due: Option<i64> = query_scalar(next)
        .bind(to_i64(held_ms.start)?)
        .bind(to_i64(held_ms.end)?)
        .bind(json_list(without))
        .fetch_optional(conn)
        .await?;
    Ok(due.map(to_u64).transpose()?)
}

fn json_list(ids: &[Uuid]) -> String {
    serde_json::Value::from_iter(ids.iter().map(Uuid::to_string)).to_string()
}

pub(super) async fn outbox(conn: &mut SqliteConnection, after: i64, limit: usize) -> Result<Vec<OutboxRow>, Fault> {
    let rows: Vec<(i64, String, String, String, Vec<u8>)> =
        query_as("SELECT id, lane, topic, properties, body FROM outbox WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after)
            .bind(to_i64(limit as u64)?)
            .fetch_all(conn)
            .await?;
    let messages = rows.into_iter().map(|(id, lane, topic, properties, body)| {
        let properties = serde_json::from_str(&properties).map_err(|error| format!("its properties: {error}"));
        let message = properties.map(|properties| NewOutboxRow { lane: lane.clone(), topic, properties, body });
        OutboxRow { id, lane, message }
    });
    Ok(messages.collect())
}

pub(super) async fn outbox_len(conn: &mut SqliteConnection) -> Result<u64, Fault> {
    let rows: i64 = query_scalar("SELECT COUNT(*) FROM outbox").fetch_one(conn).await?;
    Ok(to_u64(rows)?)
}

pub(super) async fn outbox_sent(conn: &mut SqliteConnection, ids: &[i64]) -> Result<(), Fault> {
    for some in ids.chunks(NAMES_PER_QUERY) {
        let mut sql = QueryBuilder::new("DELETE FROM outbox WHERE id IN (");
        let mut list = sql.separated(", ");
        for id in some {
            list.push_bind(*id);
        }
        sql.push(")").build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// In one statement, so that all is of one moment.
pub(super) async fn user_state(
    conn: &mut SqliteConnection,
    user: &str,
    outcomes: u32,
) -> Result<Option<UserState>, Fault> {
    // What the row is of, two names, a number, a flag, a document.
    let rows: Vec<(String, String, String, Option<i64>, bool, String)> = query_as(
        "SELECT 'user', user_id, name, NULL, FALSE, '' FROM users WHERE user_id = $1 \
         UNION ALL SELECT 'device', d.client_id, '', p.since_ms, COALESCE(p.online, FALSE), '' \
         FROM devices d LEFT JOIN presence p ON p.client_id = d.client_id WHERE d.user_id = $1 \
         UNION ALL SELECT 'engagement', meeting, kind, NULL, FALSE, '' FROM engagements WHERE user_id = $1 \
         UNION ALL SELECT 'outcome', invitation, '', at_ms, FALSE, document FROM \
         (SELECT invitation, at_ms, document FROM outcomes WHERE user_id = $1 \
          ORDER BY at_ms DESC, invitation DESC LIMIT $2)",
    )
    .bind(user)
    .bind(outcomes)
    .fetch_all(conn)
    .await?;
    let name = rows.iter().find(|(of, ..)| of == "user").map(|(_, _, name, ..)| name.clone());
    let Some(name) = name else { return Ok(None) };
    let user = user.to_owned();
    let known = User { user: user.clone(), name };
    let mut state = UserState { user: known, devices: Vec::new(), engagements: Vec::new(), outcomes: Vec::new() };
    for (of, one, two, number, flag, document) in rows {
        let user = user.clone();
        match of.as_str() {
            "device" => {
                let since_ms = number.map(to_u64).transpose()?;
                state.devices.push(DeviceState { client_id: one, user, online: flag, since_ms });
            }
            "engagement" => {
                state.engagements.push(Engagement { user, meeting: to_uuid(&one)?, kind: to_engagement_kind(&two)? });
            }
            "outcome" => {
                let (invitation, at_ms) = (to_uuid(&one)?, to_u64(number.unwrap_or_default())?);
                state.outcomes.push(OutcomeRow { user, invitation, at_ms, document });
            }
            _ => {}
        }
    }
    state.devices.sort_by(|one, next| one.client_id.cmp(&next.client_id));
    state.engagements.sort_by_key(|engagement| engagement.meeting);
    state.outcomes.sort_by_key(|outcome| std::cmp::Reverse((outcome.at_ms, outcome.invitation)));
    Ok(Some(state))
}

pub(super) async fn outcomes(conn: &mut SqliteConnection, user: &str, limit: u32) -> Result<Vec<OutcomeRow>, Fault> {
    let rows: Vec<(String, i64, String)> = query_as(
        "SELECT invitation, at_ms, document FROM outcomes WHERE user_id = $1 \
         ORDER BY at_ms DESC, invitation DESC LIMIT $2",
    )
    .bind(user)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    let outcomes = rows.into_iter().map(|(invitation, at_ms, document)| {
        let (invitation, at_ms) = (to_uuid(&invitation)?, to_u64(at_ms)?);
        Ok(OutcomeRow { user: user.to_owned(), invitation, at_ms, document })
    });
    outcomes.collect()
}

pub(super) async fn past_calls(
    conn: &mut SqliteConnection,
    user: &str,
    before: Option<PastCallPlace>,
    limit: u32,
) -> Result<Vec<PastCallRow>, Fault> {
    // No id is after a row of the last moment that there is.
    let (start, meeting) = match before {
        Some(place) => (to_i64(place.started_at_ms)?, place.meeting.to_string()),
        None => (i64::MAX, String::new()),
    };
    let rows: Vec<(String, i64, Option<i64>, String)> = query_as(
        "SELECT meeting, started_at_ms, duration_ms, document FROM past_calls \
         WHERE user_id = $1 AND (started_at_ms, meeting) < ($2, $3) \
         ORDER BY started_at_ms DESC, meeting DESC LIMIT $4",
    )
    .bind(user)
    .bind(start)
    .bind(meeting)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    let calls = rows.into_iter().map(|(meeting, start, duration, document)| {
        let (meeting, started_at_ms) = (to_uuid(&meeting)?, to_u64(start)?);
        let duration_ms = duration.map(to_u64).transpose()?;
        Ok(PastCallRow { user: user.to_owned(), meeting, started_at_ms, duration_ms, document })
    });
    calls.collect()
}

pub(super) async fn creates_since(
    conn: &mut SqliteConnection,
    user: &str,
    since_ms: u64,
    now_ms: u64,
) -> Result<u32, Fault> {
    let count = query_scalar("SELECT COUNT(*) FROM creates WHERE user_id = $1 AND at_ms BETWEEN $2 AND $3")
        .bind(user)
        .bind(to_i64(since_ms)?)
        .bind(to_i64(now_ms)?)
        .fetch_one(conn)
        .await?;
    Ok(count)
}
