//! Online state from the broker's events.
//!
//! A client is online while one of its connections has a `connect` and no `tcpclean`. Both are kept per connection, so
//! that order and repetition do not matter: a connection that was cleaned once stays cleaned, also when its `connect`
//! comes later or again. What is remembered is bounded per client, and in time by pruning.
//!
//! Events that came together are applied together: reads and writes of many clients are one statement each.

use super::SqliteCatalog;
use super::fault::Fault;
use super::rows::{to_i64, to_u64};
use super::users::{NAMES_PER_QUERY, push_list};
use crate::limits::CONNECTIONS_REMEMBERED_MAX;
use crate::{CatalogFuture, ClientOnline, OnlineEvent, OnlineKind, Presence, PresenceChanges};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query_as, query_scalar};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

impl Presence for SqliteCatalog {
    fn online_events(&self, events: &[OnlineEvent]) -> CatalogFuture<'_, Vec<ClientOnline>> {
        let events = events.to_vec();
        write!(self, conn => apply(conn, &events))
    }

    fn presence_changes(&self, after: u64, limit: u32) -> CatalogFuture<'_, PresenceChanges> {
        read_at_once!(self, conn => changes(conn, after, limit))
    }
}

/// Applies the events; returns each of their clients once, as it is after all of them.
pub(super) async fn apply(conn: &mut SqliteConnection, events: &[OnlineEvent]) -> Result<Vec<ClientOnline>, Fault> {
    let clients: BTreeSet<&str> = events.iter().map(|event| event.client_id.as_str()).collect();
    let clients: Vec<String> = clients.into_iter().map(str::to_owned).collect();
    let was = online_among(conn, &clients).await?;
    store_events(conn, events).await?;
    drop_oldest_connections(conn, &clients).await?;
    let is = online_among(conn, &clients).await?;
    store_presence(conn, &presence_updates(events, &was, &is)).await?;
    let mut owners = owners_of(conn, &clients).await?;
    let changed = |client: &&String| was.contains(*client) != is.contains(*client);
    let users: BTreeSet<&String> =
        clients.iter().filter(changed).filter_map(|client| owners.get(client)).map(|(user, _)| user).collect();
    record_presence_changes(conn, users).await?;
    let state = |client_id: String| {
        let (user, removed) = owners.remove(&client_id).unzip();
        ClientOnline {
            changed: was.contains(&client_id) != is.contains(&client_id),
            online: is.contains(&client_id),
            removed: removed.unwrap_or(false),
            user,
            client_id,
        }
    };
    Ok(clients.into_iter().map(state).collect())
}

async fn online_among(conn: &mut SqliteConnection, clients: &[String]) -> Result<HashSet<String>, sqlx::Error> {
    let mut online = HashSet::new();
    for some in clients.chunks(NAMES_PER_QUERY) {
        let mut sql =
            QueryBuilder::new("SELECT DISTINCT client_id FROM connections WHERE NOT cleaned AND client_id IN (");
        push_list(&mut sql, some);
        online.extend(sql.build_query_scalar::<String>().fetch_all(&mut *conn).await?);
    }
    Ok(online)
}

/// Returns the users of these clients' devices, and whether the device was removed.
async fn owners_of(
    conn: &mut SqliteConnection,
    clients: &[String],
) -> Result<HashMap<String, (String, bool)>, sqlx::Error> {
    let mut owners = HashMap::new();
    for some in clients.chunks(NAMES_PER_QUERY) {
        let mut sql = QueryBuilder::new(
            "SELECT client_id, user_id, removed FROM (SELECT client_id, user_id, 0 AS removed FROM devices \
             UNION ALL SELECT client_id, user_id, 1 FROM removed_devices) WHERE client_id IN (",
        );
        push_list(&mut sql, some);
        let rows = sql.build_query_as::<(String, String, bool)>().fetch_all(&mut *conn).await?;
        owners.extend(rows.into_iter().map(|(client, user, removed)| (client, (user, removed))));
    }
    Ok(owners)
}

/// Stores the events in their order, which decides what is dropped first.
async fn store_events(conn: &mut SqliteConnection, events: &[OnlineEvent]) -> Result<(), Fault> {
    for some in events.chunk_by(|one, next| one.kind == next.kind).flat_map(|same| same.chunks(NAMES_PER_QUERY)) {
        let cleans = some.first().is_some_and(|event| event.kind == OnlineKind::TcpClean);
        let times: Vec<i64> = some.iter().map(|event| to_i64(event.at_ms)).collect::<Result<_, _>>()?;
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO connections (client_id, channel_id, cleaned, at_ms) ");
        sql.push_values(some.iter().zip(times), |mut row, (event, at_ms)| {
            row.push_bind(event.client_id.clone()).push_bind(event.channel_id.clone()).push_bind(cleans);
            row.push_bind(at_ms);
        });
        sql.push(if cleans {
            " ON CONFLICT (client_id, channel_id) DO UPDATE SET cleaned = 1, at_ms = excluded.at_ms"
        } else {
            " ON CONFLICT (client_id, channel_id) DO NOTHING"
        });
        sql.build().execute(&mut *conn).await?;
    }
    Ok(())
}

async fn drop_oldest_connections(conn: &mut SqliteConnection, clients: &[String]) -> Result<(), sqlx::Error> {
    for some in clients.chunks(NAMES_PER_QUERY) {
        let mut sql = QueryBuilder::new(
            "DELETE FROM connections WHERE id IN (SELECT id FROM (SELECT id, \
             ROW_NUMBER() OVER (PARTITION BY client_id ORDER BY id DESC) AS place \
             FROM connections WHERE client_id IN (",
        );
        push_list(&mut sql, some);
        sql.push(") WHERE place > ").push_bind(CONNECTIONS_REMEMBERED_MAX).push(")");
        sql.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// Returns the new presence of clients that came or went, and of those that are still away.
fn presence_updates<'e>(
    events: &'e [OnlineEvent],
    was: &HashSet<String>,
    is: &HashSet<String>,
) -> BTreeMap<&'e str, (bool, u64)> {
    let mut updates: BTreeMap<&str, (bool, u64)> = BTreeMap::new();
    for event in events {
        let client = event.client_id.as_str();
        let online = is.contains(client);
        // A client is online since the beginning of a connection, away since the end of one.
        let counts = online == (event.kind == OnlineKind::Connect);
        if counts && (was.contains(client) != online || !online) {
            let (_, since_ms) = updates.entry(client).or_insert((online, event.at_ms));
            *since_ms = (*since_ms).max(event.at_ms);
        }
    }
    updates
}

/// Stores presence: of several times of absence the latest, whatever order they come in; a change always.
async fn store_presence(conn: &mut SqliteConnection, updates: &BTreeMap<&str, (bool, u64)>) -> Result<(), Fault> {
    let mut rows = Vec::new();
    for (client, (online, since_ms)) in updates {
        rows.push(((*client).to_owned(), *online, to_i64(*since_ms)?));
    }
    for some in rows.chunks(NAMES_PER_QUERY) {
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO presence (client_id, online, since_ms) ");
        sql.push_values(some, |mut row, (client, online, since_ms)| {
            row.push_bind(client.clone()).push_bind(*online).push_bind(*since_ms);
        });
        sql.push(
            " ON CONFLICT (client_id) DO UPDATE SET online = excluded.online, since_ms = excluded.since_ms \
             WHERE presence.online <> excluded.online OR presence.since_ms < excluded.since_ms",
        );
        sql.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// Records that the presence of these users may have changed.
pub(super) async fn record_presence_changes(
    conn: &mut SqliteConnection,
    users: impl IntoIterator<Item = &String>,
) -> Result<(), sqlx::Error> {
    let mut batch = QueryBuilder::<Sqlite>::new("");
    push_presence_changes(&mut batch, users);
    if !batch.sql().as_str().is_empty() {
        batch.build().execute(conn).await?;
    }
    Ok(())
}

/// Adds the statements that record it, each with a semicolon behind it.
pub(super) fn push_presence_changes<'u>(batch: &mut QueryBuilder<Sqlite>, users: impl IntoIterator<Item = &'u String>) {
    let users: Vec<&String> = users.into_iter().collect();
    for some in users.chunks(NAMES_PER_QUERY) {
        batch.push("INSERT OR REPLACE INTO presence_changes (user_id) ");
        batch.push_values(some, |mut row, user| {
            row.push_bind((*user).clone());
        });
        batch.push("; ");
    }
}

pub(super) async fn changes(conn: &mut SqliteConnection, after: u64, limit: u32) -> Result<PresenceChanges, Fault> {
    let rows: Vec<(i64, String)> =
        query_as("SELECT number, user_id FROM presence_changes WHERE number > $1 ORDER BY number LIMIT $2")
            .bind(to_i64(after)?)
            .bind(limit)
            .fetch_all(&mut *conn)
            .await?;
    let newest: i64 =
        query_scalar("SELECT COALESCE(MAX(number), 0) FROM presence_changes").fetch_one(&mut *conn).await?;
    let last = rows.last().map_or(newest, |(number, _)| *number);
    let users = rows.into_iter().map(|(_, user)| user).collect();
    Ok(PresenceChanges { users, last: to_u64(last)?, more: last < newest })
}
