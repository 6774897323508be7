//! Tokens that were revoked.

use super::fault::Fault;
use super::rows::{to_i64, to_uuid};
use crate::RevokedToken;
use crate::limits::{REVOKED_TOKEN_KEEP_MS, REVOKED_TOKENS_MAX};
use sqlx::{SqliteConnection, query, query_scalar};
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

/// Whether there is room for another one, once those are gone whose time is over.
pub(super) async fn have_room(conn: &mut SqliteConnection, now_ms: u64) -> Result<bool, Fault> {
    query("DELETE FROM revoked_tokens WHERE expires_at_ms < $1")
        .bind(to_i64(now_ms.saturating_sub(REVOKED_TOKEN_KEEP_MS))?)
        .execute(&mut *conn)
        .await?;
    let count: i64 = query_scalar("SELECT COUNT(*) FROM revoked_tokens").fetch_one(conn).await?;
    Ok(count < i64::from(REVOKED_TOKENS_MAX))
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
