//! Pruning of rows whose time is over, and correction of rows whose time cannot be.

use super::fault::Fault;
use super::rows::to_i64;
use crate::limits::{
    AHEAD_MAX_MS, ANSWER_KEEP_MS, AUDIT_KEEP_MS, AUDIT_OF_DEVICES_MAX, AUDIT_OF_MEETINGS_MAX, AUDIT_OF_TOKENS_MAX,
    CREATES_KEEP_MS, CREDENTIAL_VALID_MS, ENDED_MEETING_KEEP_MS, EXPIRED_DEVICE_KEEP_MS, EXPIRED_LINK_KEEP_MS,
    PAST_CALL_KEEP_MS, REMOVED_DEVICE_KEEP_MS, REVOKED_TOKEN_KEEP_MS, TCPCLEAN_KEEP_MS, UNREGISTERED_CLIENT_KEEP_MS,
};
use sqlx::{SqliteConnection, query};

/// Rows of each table that one transaction deletes at most: requests wait for it.
const ROWS_AT_ONCE: u32 = 1_000;
/// The same for meetings, each of which may have a thousand parts.
const MEETINGS_AT_ONCE: u32 = 20;

/// Deletes some of the rows whose time is over; returns how many, and whether those were all.
pub(super) async fn prune_batch(conn: &mut SqliteConnection, now_ms: u64) -> Result<(u64, bool), Fault> {
    let (mut gone, mut all) = (0, true);
    for PruneRule { sql, keep_ms, at_once } in RULES {
        let before = to_i64(now_ms.saturating_sub(keep_ms))?;
        let rows = query(sql).bind(before).bind(at_once).execute(&mut *conn).await?.rows_affected();
        gone += rows;
        all &= rows < u64::from(at_once);
    }
    for (sql, max) in AUDIT_BOUNDS {
        let rows = query(sql).bind(max).bind(ROWS_AT_ONCE).execute(&mut *conn).await?.rows_affected();
        gone += rows;
        all &= rows < u64::from(ROWS_AT_ONCE);
    }
    Ok((gone, all))
}

/// Deletes at most `$2` of the oldest rows of the log about one kind, beyond `$1` of them.
macro_rules! audit_bound {
    ($kind:literal) => {
        concat!(
            "DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE kind = '",
            $kind,
            "' AND number <= (SELECT number FROM audit WHERE kind = '",
            $kind,
            "' ORDER BY number DESC LIMIT 1 OFFSET $1) LIMIT $2)"
        )
    };
}

/// Kinds of which programs make rows.
const AUDIT_BOUNDS: [(&str, u32); 3] = [
    (audit_bound!("device"), AUDIT_OF_DEVICES_MAX),
    (audit_bound!("meeting"), AUDIT_OF_MEETINGS_MAX),
    (audit_bound!("token"), AUDIT_OF_TOKENS_MAX),
];

/// Corrects some of the rows from a time when the clock was ahead; returns how many, and whether those were all.
pub(super) async fn pull_in_batch(conn: &mut SqliteConnection, now_ms: u64) -> Result<(u64, bool), Fault> {
    let (mut corrected, mut all) = (0, true);
    for (sql, lasts_ms) in PULLED_IN {
        let to = to_i64(now_ms.saturating_add(lasts_ms))?;
        let beyond = to_i64(now_ms.saturating_add(lasts_ms).saturating_add(AHEAD_MAX_MS))?;
        let done = query(sql).bind(to).bind(beyond).bind(ROWS_AT_ONCE).execute(&mut *conn).await?;
        corrected += done.rows_affected();
        all &= done.rows_affected() < u64::from(ROWS_AT_ONCE);
    }
    Ok((corrected, all))
}

/// A commit carries no time, so the end of a meeting is dated by the first pruning that sees it.
pub(super) async fn date_ended_meetings(conn: &mut SqliteConnection, now_ms: u64) -> Result<(), Fault> {
    query("UPDATE meetings SET forget_at_ms = $1 WHERE ended AND forget_at_ms IS NULL")
        .bind(to_i64(now_ms.saturating_add(ENDED_MEETING_KEEP_MS))?)
        .execute(conn)
        .await?;
    Ok(())
}

/// Which rows of a table are deleted.
struct PruneRule {
    /// Deletes at most `$2` rows that are older than `$1` = now less the time to keep.
    sql: &'static str,
    keep_ms: u64,
    at_once: u32,
}

/// `$where` may use `$1`; `$key` is the table's primary key.
macro_rules! prune_rule {
    ($table:literal, $key:literal, $where:literal, $keep_ms:expr, $at_once:expr) => {
        PruneRule {
            sql: concat!(
                "DELETE FROM ",
                $table,
                " WHERE ",
                $key,
                " IN (SELECT ",
                $key,
                " FROM ",
                $table,
                " WHERE ",
                $where,
                " LIMIT $2)"
            ),
            keep_ms: $keep_ms,
            at_once: $at_once,
        }
    };
}

const RULES: [PruneRule; 12] = [
    prune_rule!("answers", "id", "created_at_ms < $1", ANSWER_KEEP_MS, ROWS_AT_ONCE),
    prune_rule!("revoked_tokens", "token_id", "expires_at_ms < $1", REVOKED_TOKEN_KEEP_MS, ROWS_AT_ONCE),
    prune_rule!("links", "link_id", "expires_at_ms < $1", EXPIRED_LINK_KEEP_MS, ROWS_AT_ONCE),
    prune_rule!("audit", "number", "at_ms < $1", AUDIT_KEEP_MS, ROWS_AT_ONCE),
    prune_rule!("handled", "signal", "keep_until_ms < $1", 0, ROWS_AT_ONCE),
    prune_rule!("meetings", "id", "ended AND forget_at_ms <= $1 AND set_aside IS NULL", 0, MEETINGS_AT_ONCE),
    prune_rule!("creates", "id", "at_ms < $1", CREATES_KEEP_MS, ROWS_AT_ONCE),
    prune_rule!("past_calls", "id", "started_at_ms < $1", PAST_CALL_KEEP_MS, ROWS_AT_ONCE),
    prune_rule!("devices", "client_id", "expires_at_ms < $1", EXPIRED_DEVICE_KEEP_MS, ROWS_AT_ONCE),
    prune_rule!("removed_devices", "client_id", "at_ms < $1", REMOVED_DEVICE_KEEP_MS, ROWS_AT_ONCE),
    prune_rule!("connections", "id", "cleaned AND at_ms < $1", TCPCLEAN_KEEP_MS, ROWS_AT_ONCE),
    prune_rule!(
        "presence",
        "client_id",
        "NOT online AND since_ms < $1 AND NOT EXISTS \
         (SELECT 1 FROM devices WHERE devices.client_id = presence.client_id)",
        UNREGISTERED_CLIENT_KEEP_MS,
        ROWS_AT_ONCE
    ),
];

/// Brings at most `$3` rows from beyond `$2` to `$1`.
macro_rules! pull_in_rule {
    ($table:literal, $key:literal, $time:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET ",
            $time,
            " = $1 WHERE ",
            $key,
            " IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE ",
            $time,
            " > $2 LIMIT $3)"
        )
    };
}

/// With how long it lasts from now at most. Creates are counted in a window of the past: those that lie ahead are in none.
const PULLED_IN: [(&str, u64); 11] = [
    (pull_in_rule!("answers", "id", "created_at_ms"), 0),
    (pull_in_rule!("devices", "client_id", "expires_at_ms"), CREDENTIAL_VALID_MS),
    (pull_in_rule!("meetings", "id", "forget_at_ms"), ENDED_MEETING_KEEP_MS),
    (pull_in_rule!("meetings", "id", "created_at_ms"), 0),
    (pull_in_rule!("past_calls", "id", "started_at_ms"), 0),
    (pull_in_rule!("outcomes", "rowid", "at_ms"), 0),
    (pull_in_rule!("removed_devices", "client_id", "at_ms"), 0),
    (pull_in_rule!("connections", "id", "at_ms"), 0),
    (pull_in_rule!("presence", "client_id", "since_ms"), 0),
    (pull_in_rule!("audit", "number", "at_ms"), 0),
    ("DELETE FROM creates WHERE id IN (SELECT id FROM creates WHERE at_ms > $2 LIMIT $3)", 0),
];
