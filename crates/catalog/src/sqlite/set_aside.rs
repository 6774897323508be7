//! Meetings that cannot be read and messages that cannot be sent: taken out of use, and kept for an operator.

use super::commit;
use super::fault::Fault;
use super::rows::to_u64;
use crate::SetAside;
use sqlx::{SqliteConnection, query, query_as, query_scalar};
use uuid::Uuid;

/// Sets the meeting aside: it has no engagements and no timers any more. Returns the revision that it has by that.
pub(super) async fn meeting(conn: &mut SqliteConnection, id: Uuid, reason: &str) -> Result<Option<u64>, Fault> {
    let set = "UPDATE meetings SET set_aside = $2, revision = revision + 1 WHERE id = $1 AND set_aside IS NULL \
               RETURNING revision";
    let revision: Option<i64> = query_scalar(set).bind(id.to_string()).bind(reason).fetch_optional(&mut *conn).await?;
    commit::drop_engagements_and_timers(conn, id).await?;
    Ok(revision.map(to_u64).transpose()?)
}

pub(super) async fn message(conn: &mut SqliteConnection, id: i64, reason: &str) -> Result<(), Fault> {
    query(
        "INSERT OR IGNORE INTO outbox_set_aside (id, topic, properties, body, reason) \
         SELECT id, topic, properties, body, $2 FROM outbox WHERE id = $1",
    )
    .bind(id)
    .bind(reason)
    .execute(&mut *conn)
    .await?;
    query("DELETE FROM outbox WHERE id = $1").bind(id).execute(conn).await?;
    Ok(())
}

pub(super) async fn count(conn: &mut SqliteConnection) -> Result<SetAside, Fault> {
    let (meetings, messages): (i64, i64) = query_as(
        "SELECT (SELECT COUNT(*) FROM meetings WHERE set_aside IS NOT NULL), (SELECT COUNT(*) FROM outbox_set_aside)",
    )
    .fetch_one(conn)
    .await?;
    Ok(SetAside { meetings: to_u64(meetings)?, messages: to_u64(messages)? })
}
