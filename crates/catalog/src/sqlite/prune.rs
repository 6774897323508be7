//! What is forgotten, and when.

use super::fault::Fault;
use super::rows::to_i64;
use crate::limits::{
    CREATES_KEEP_MS, ENDED_MEETING_KEEP_MS, EXPIRED_DEVICE_KEEP_MS, PAST_CALL_KEEP_MS, REMOVED_DEVICE_KEEP_MS,
    STRANGER_KEEP_MS, TCPCLEAN_KEEP_MS,
};
use sqlx::{SqliteConnection, query};

/// What one transaction forgets of each table at most: requests wait for it.
const ROWS_AT_ONCE: u32 = 1_000;
/// The same for meetings, each of which may have a thousand parts.
const MEETINGS_AT_ONCE: u32 = 20;

/// Forgets a part of what is over; how much of it, and whether that was all.
pub(super) async fn some(conn: &mut SqliteConnection, now_ms: u64) -> Result<(u64, bool), Fault> {
    let (mut gone, mut all) = (0, true);
    for Old { sql, keep_ms, at_once } in OLD {
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

struct Old {
    /// Deletes at most `$2` rows that are older than `$1` = now less the time to keep.
    sql: &'static str,
    keep_ms: u64,
    at_once: u32,
}

/// `$where` may use `$1`; `$key` is the table's primary key.
macro_rules! old {
    ($table:literal, $key:literal, $where:literal, $keep_ms:expr, $at_once:expr) => {
        Old {
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

const OLD: [Old; 8] = [
    old!("handled", "signal", "keep_until_ms < $1", 0, ROWS_AT_ONCE),
    old!("meetings", "id", "ended AND forget_at_ms <= $1 AND set_aside IS NULL", 0, MEETINGS_AT_ONCE),
    old!("creates", "id", "at_ms < $1", CREATES_KEEP_MS, ROWS_AT_ONCE),
    old!("past_calls", "id", "started_at_ms < $1", PAST_CALL_KEEP_MS, ROWS_AT_ONCE),
    old!("devices", "client_id", "expires_at_ms < $1", EXPIRED_DEVICE_KEEP_MS, ROWS_AT_ONCE),
    old!("removed_devices", "client_id", "at_ms < $1", REMOVED_DEVICE_KEEP_MS, ROWS_AT_ONCE),
    old!("connections", "id", "cleaned AND at_ms < $1", TCPCLEAN_KEEP_MS, ROWS_AT_ONCE),
    old!(
        "presence",
        "client_id",
        "NOT online AND since_ms < $1 AND NOT EXISTS \
         (SELECT 1 FROM devices WHERE devices.client_id = presence.client_id)",
        STRANGER_KEEP_MS,
        ROWS_AT_ONCE
    ),
];
