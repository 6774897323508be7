//! Tokens that were revoked.

use super::fault::Fault;
use super::rows::{to_i64, to_uuid};
use crate::RevokedToken;
use crate::limits::REVOKED_TOKENS_MAX;
use sqlx::{SqliteConnection, query, query_as, query_scalar};
use uuid::Uuid;

/// In no order.
pub(super) async fn revoked(conn: &mut SqliteConnection) -> Result<Vec<Uuid>, Fault> {
    let ids: Vec<String> = query_scalar("SELECT token_id FROM revoked_tokens").fetch_all(conn).await?;
    ids.iter().map(|id| Ok(to_uuid(id)?)).collect()
}

pub(super) async fn is_revoked(conn: &mut SqliteConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM revoked_tokens WHERE token_id = $1)";
    query_scalar(sql).bind(id.to_string()).fetch_one(conn).await
}

/// Whether there is room for another one of this key's tokens; `None`: of the owner's. A key may have half of what the others
/// leave, so that none keeps the others from revoking. Rows go by [`prune`](super::prune) alone, which knows whether the time is
/// in doubt: one that was forgotten too early would make its token good again.
pub(super) async fn have_room(conn: &mut SqliteConnection, key_id: Option<&str>) -> Result<bool, Fault> {
    let (all, own): (i64, i64) = query_as("SELECT COUNT(*), COUNT(*) FILTER (WHERE key_id IS $1) FROM revoked_tokens")
        .bind(key_id)
        .fetch_one(conn)
        .await?;
    Ok(own < (i64::from(REVOKED_TOKENS_MAX) - (all - own)) / 2)
}

/// Those of a key that is gone: all of its tokens are void.
pub(super) async fn forget_of_key(conn: &mut SqliteConnection, key_id: &str) -> Result<(), sqlx::Error> {
    query("DELETE FROM revoked_tokens WHERE key_id = $1").bind(key_id).execute(conn).await.map(drop)
}

pub(super) async fn insert(conn: &mut SqliteConnection, token: &RevokedToken, changed: i64) -> Result<(), Fault> {
    query("INSERT INTO revoked_tokens (token_id, key_id, expires_at_ms, changed) VALUES ($1, $2, $3, $4)")
        .bind(token.id.to_string())
        .bind(&token.key_id)
        .bind(to_i64(token.expires_at_ms)?)
        .bind(changed)
        .execute(conn)
        .await?;
    Ok(())
}
