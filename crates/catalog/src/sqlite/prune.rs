//! What is forgotten, and when.

use super::fault::Fault;
use super::rows::to_i64;
use crate::limits::{
    CREATES_KEEP_MS, ENDED_MEETING_KEEP_MS, EXPIRED_DEVICE_KEEP_MS, STRANGER_KEEP_MS, TCPCLEAN_KEEP_MS,
};
use sqlx::{SqliteConnection, query};

pub(super) async fn prune(conn: &mut SqliteConnection, now_ms: u64) -> Result<u64, Fault> {
    date_ended_meetings(conn, now_ms).await?;
    let mut gone = 0;
    for (sql, keep_ms) in OLD {
        let before = to_i64(now_ms.saturating_sub(keep_ms))?;
        gone += query(sql).bind(before).execute(&mut *conn).await?.rows_affected();
    }
    Ok(gone)
}

/// A commit carries no time, so the end of a meeting is dated by the first pruning that sees it.
async fn date_ended_meetings(conn: &mut SqliteConnection, now_ms: u64) -> Result<(), Fault> {
    query("UPDATE meetings SET forget_at_ms = $1 WHERE ended AND forget_at_ms IS NULL")
        .bind(to_i64(now_ms.saturating_add(ENDED_MEETING_KEEP_MS))?)
        .execute(conn)
        .await?;
    Ok(())
}

/// Each deletes what is older than `$1` = now less the time to keep.
const OLD: [(&str, u64); 6] = [
    ("DELETE FROM handled WHERE keep_until_ms < $1", 0),
    ("DELETE FROM meetings WHERE ended AND forget_at_ms <= $1", 0),
    ("DELETE FROM creates WHERE at_ms < $1", CREATES_KEEP_MS),
    ("DELETE FROM devices WHERE expires_at_ms < $1", EXPIRED_DEVICE_KEEP_MS),
    ("DELETE FROM connections WHERE cleaned AND at_ms < $1", TCPCLEAN_KEEP_MS),
    (
        "DELETE FROM presence WHERE NOT online AND since_ms < $1 \
         AND NOT EXISTS (SELECT 1 FROM devices WHERE devices.client_id = presence.client_id)",
        STRANGER_KEEP_MS,
    ),
];
