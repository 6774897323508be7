//! Pruning of rows whose time is over.

use super::fault::Fault;
use super::rows::to_i64;
use crate::limits::{
    CREATES_KEEP_MS, ENDED_MEETING_KEEP_MS, EXPIRED_DEVICE_KEEP_MS, PAST_CALL_KEEP_MS, REMOVED_DEVICE_KEEP_MS,
    TCPCLEAN_KEEP_MS, UNREGISTERED_CLIENT_KEEP_MS,
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
    Ok((gone, all))
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

const RULES: [PruneRule; 8] = [
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
