//! Online state from the broker's events.
//!
//! A client is online while one of its connections has a `connect` and no `tcpclean`. Both are kept per connection, so
//! that order and repetition do not matter: a connection that was cleaned once stays cleaned, also when its `connect`
//! comes later or again. What is remembered is bounded per client, and in time by pruning.

use super::fault::Fault;
use super::rows::to_i64;
use crate::limits::CONNECTIONS_REMEMBERED_MAX;
use crate::{OnlineEvent, OnlineKind};
use sqlx::{SqliteConnection, query, query_scalar};

/// `true` if the client came or went by this event.
pub(super) async fn apply(conn: &mut SqliteConnection, event: &OnlineEvent) -> Result<bool, Fault> {
    let was = is_online(conn, &event.client_id).await?;
    note(conn, event).await?;
    forget_oldest(conn, &event.client_id).await?;
    let is = is_online(conn, &event.client_id).await?;
    if was != is || !is {
        note_presence(conn, event, is).await?;
    }
    Ok(was != is)
}

async fn is_online(conn: &mut SqliteConnection, client_id: &str) -> Result<bool, sqlx::Error> {
    query_scalar("SELECT EXISTS (SELECT 1 FROM connections WHERE client_id = $1 AND NOT cleaned)")
        .bind(client_id)
        .fetch_one(conn)
        .await
}

async fn note(conn: &mut SqliteConnection, event: &OnlineEvent) -> Result<(), Fault> {
    let sql = match event.kind {
        OnlineKind::Connect => {
            "INSERT INTO connections (client_id, channel_id, cleaned, at_ms) VALUES ($1, $2, 0, $3) \
             ON CONFLICT (client_id, channel_id) DO NOTHING"
        }
        OnlineKind::TcpClean => {
            "INSERT INTO connections (client_id, channel_id, cleaned, at_ms) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (client_id, channel_id) DO UPDATE SET cleaned = 1, at_ms = excluded.at_ms"
        }
    };
    query(sql).bind(&event.client_id).bind(&event.channel_id).bind(to_i64(event.at_ms)?).execute(conn).await?;
    Ok(())
}

async fn forget_oldest(conn: &mut SqliteConnection, client_id: &str) -> Result<(), sqlx::Error> {
    query(
        "DELETE FROM connections WHERE client_id = $1 AND id <= \
         (SELECT id FROM connections WHERE client_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
    )
    .bind(client_id)
    .bind(CONNECTIONS_REMEMBERED_MAX)
    .execute(conn)
    .await?;
    Ok(())
}

/// Of several signs of absence the latest counts, whatever order they came in; a change counts always.
async fn note_presence(conn: &mut SqliteConnection, event: &OnlineEvent, online: bool) -> Result<(), Fault> {
    query(
        "INSERT INTO presence (client_id, online, since_ms) VALUES ($1, $2, $3) \
         ON CONFLICT (client_id) DO UPDATE SET online = excluded.online, since_ms = excluded.since_ms \
         WHERE presence.online <> excluded.online OR presence.since_ms < excluded.since_ms",
    )
    .bind(&event.client_id)
    .bind(online)
    .bind(to_i64(event.at_ms)?)
    .execute(conn)
    .await?;
    Ok(())
}
