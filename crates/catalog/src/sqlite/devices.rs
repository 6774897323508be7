//! Devices with their credentials and online state.

use super::fault::Fault;
use super::presence::record_presence_changes;
use super::rows::{to_i64, to_u64};
use super::users::{NAMES_PER_QUERY, push_list, unknown_owner};
use crate::{CatalogError, Device, DeviceFilter, DeviceInfo, DeviceState, Page, Row};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query, query_as, query_scalar};
use std::collections::BTreeSet;

pub(super) async fn put(conn: &mut SqliteConnection, device: &Device) -> Result<(), Fault> {
    let done = query(
        "INSERT INTO devices (client_id, user_id, group_id, name, key_id, secret, expires_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (client_id) DO UPDATE SET group_id = excluded.group_id, name = COALESCE(excluded.name, devices.name), \
         key_id = excluded.key_id, secret = excluded.secret, expires_at_ms = excluded.expires_at_ms \
         WHERE devices.user_id = excluded.user_id",
    )
    .bind(&device.client_id)
    .bind(&device.user)
    .bind(&device.group)
    .bind(&device.name)
    .bind(&device.key_id)
    .bind(&device.secret)
    .bind(to_i64(device.expires_at_ms)?)
    .execute(&mut *conn)
    .await
    .map_err(|error| unknown_owner(error, "a device"))?;
    if done.rows_affected() == 0 {
        let words = "the device belongs to another user; choose another device name";
        return Err(Fault::Rule(CatalogError::Invalid(words.to_owned())));
    }
    query("DELETE FROM removed_devices WHERE client_id = $1").bind(&device.client_id).execute(conn).await?;
    Ok(())
}

type DeviceColumns = (String, String, String, Option<String>, String, String, i64);

fn to_device((client_id, user, group, name, key_id, secret, expires): DeviceColumns) -> Result<Device, CatalogError> {
    Ok(Device { client_id, user, group, name, key_id, secret, expires_at_ms: to_u64(expires)? })
}

pub(super) async fn device(conn: &mut SqliteConnection, client_id: &str) -> Result<Option<Device>, Fault> {
    let row: Option<DeviceColumns> = query_as(
        "SELECT client_id, user_id, group_id, name, key_id, secret, expires_at_ms FROM devices WHERE client_id = $1",
    )
    .bind(client_id)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(to_device).transpose()?)
}

pub(super) async fn extend(
    conn: &mut SqliteConnection,
    client_id: &str,
    key_id: &str,
    expires_at_ms: u64,
) -> Result<Option<u64>, Fault> {
    let until: Option<i64> = query_scalar(
        "UPDATE devices SET expires_at_ms = MAX(expires_at_ms, $3) WHERE client_id = $1 AND key_id = $2 \
         RETURNING expires_at_ms",
    )
    .bind(client_id)
    .bind(key_id)
    .bind(to_i64(expires_at_ms)?)
    .fetch_optional(conn)
    .await?;
    Ok(until.map(to_u64).transpose()?)
}

pub(super) async fn remove(
    conn: &mut SqliteConnection,
    client_id: &str,
    key_id: &str,
    at_ms: u64,
) -> Result<bool, Fault> {
    let is_there = query("SELECT 1 FROM devices WHERE client_id = $1 AND key_id = $2").bind(client_id).bind(key_id);
    if is_there.fetch_optional(&mut *conn).await?.is_none() {
        return Ok(false);
    }
    remove_all(conn, DevicesOf::ClientId(client_id), at_ms).await?;
    Ok(true)
}

/// Which devices.
#[derive(Clone, Copy)]
pub(super) enum DevicesOf<'a> {
    ClientId(&'a str),
    Group(&'a str),
    User(&'a str),
}

/// The statements of a removal, where `$1` is what the devices have in this column.
macro_rules! removal {
    ($column:literal) => {
        [
            concat!("DELETE FROM presence WHERE client_id IN (SELECT client_id FROM devices WHERE ", $column, " = $1)"),
            concat!(
                "UPDATE connections SET cleaned = 1 WHERE client_id IN (SELECT client_id FROM devices WHERE ",
                $column,
                " = $1)"
            ),
            concat!(
                "INSERT OR REPLACE INTO removed_devices (client_id, user_id, at_ms) ",
                "SELECT client_id, user_id, $2 FROM devices WHERE ",
                $column,
                " = $1"
            ),
            concat!("DELETE FROM devices WHERE ", $column, " = $1 RETURNING client_id, user_id, key_id"),
        ]
    };
}

/// Removes devices and their online state; returns their client ids and credentials. Their connections count as over: news
/// of them may still come, and changes no presence.
pub(super) async fn remove_all(
    conn: &mut SqliteConnection,
    which: DevicesOf<'_>,
    at_ms: u64,
) -> Result<Vec<(String, String)>, Fault> {
    let (value, [presence, connections, note, devices]) = match which {
        DevicesOf::ClientId(client_id) => (client_id, removal!("client_id")),
        DevicesOf::Group(group) => (group, removal!("group_id")),
        DevicesOf::User(user) => (user, removal!("user_id")),
    };
    query(presence).bind(value).execute(&mut *conn).await?;
    query(connections).bind(value).execute(&mut *conn).await?;
    query(note).bind(value).bind(to_i64(at_ms)?).execute(&mut *conn).await?;
    let gone: Vec<(String, String, String)> = query_as(devices).bind(value).fetch_all(&mut *conn).await?;
    let users: BTreeSet<&String> = gone.iter().map(|(_, user, _)| user).collect();
    record_presence_changes(conn, users).await?;
    Ok(gone.into_iter().map(|(client_id, _, key_id)| (client_id, key_id)).collect())
}

pub(super) async fn removed(conn: &mut SqliteConnection) -> Result<Vec<String>, Fault> {
    Ok(query_scalar("SELECT client_id FROM removed_devices").fetch_all(conn).await?)
}

pub(super) async fn was_removed(conn: &mut SqliteConnection, client_id: &str) -> Result<bool, Fault> {
    let found: Option<i64> =
        query_scalar("SELECT 1 FROM removed_devices WHERE client_id = $1").bind(client_id).fetch_optional(conn).await?;
    Ok(found.is_some())
}

pub(super) async fn of_users(conn: &mut SqliteConnection, users: &[String]) -> Result<Vec<DeviceState>, Fault> {
    let mut found = Vec::new();
    for some in users.chunks(NAMES_PER_QUERY) {
        let rows: Vec<(String, String, bool, Option<i64>)> =
            states_of(some).build_query_as().fetch_all(&mut *conn).await?;
        for row in rows {
            found.push(to_state(row)?);
        }
    }
    Ok(found)
}

fn states_of(users: &[String]) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(
        "SELECT d.client_id, d.user_id, COALESCE(p.online, 0), p.since_ms \
         FROM devices d LEFT JOIN presence p ON p.client_id = d.client_id WHERE d.user_id IN (",
    );
    push_list(&mut sql, users);
    sql.push(" ORDER BY d.user_id, d.client_id");
    sql
}

fn to_state(
    (client_id, user, online, since): (String, String, bool, Option<i64>),
) -> Result<DeviceState, CatalogError> {
    Ok(DeviceState { client_id, user, online, since_ms: since.map(to_u64).transpose()? })
}

type InfoColumns = (String, String, String, Option<String>, String, i64, bool, Option<i64>, i64);

macro_rules! select_info {
    ($end:literal) => {
        concat!(
            "SELECT d.client_id, d.user_id, d.group_id, d.name, d.key_id, d.expires_at_ms, COALESCE(p.online, 0), ",
            "p.since_ms, d.changed FROM devices d LEFT JOIN presence p ON p.client_id = d.client_id ",
            $end
        )
    };
}

fn to_info(columns: InfoColumns) -> Result<Row<DeviceInfo>, CatalogError> {
    let (client_id, user, group, name, key_id, expires, online, since, changed) = columns;
    let (expires_at_ms, since_ms) = (to_u64(expires)?, since.map(to_u64).transpose()?);
    let value = DeviceInfo { client_id, user, group, name, key_id, expires_at_ms, online, since_ms };
    Ok(Row { value, changed: to_u64(changed)? })
}

pub(super) async fn info(conn: &mut SqliteConnection, client_id: &str) -> Result<Option<Row<DeviceInfo>>, Fault> {
    let sql = select_info!("WHERE d.client_id = $1");
    let row: Option<InfoColumns> = query_as(sql).bind(client_id).fetch_optional(conn).await?;
    Ok(row.map(to_info).transpose()?)
}

pub(super) async fn connected(conn: &mut SqliteConnection, filter: &DeviceFilter) -> Result<u64, Fault> {
    let mut sql =
        QueryBuilder::new("SELECT COUNT(*) FROM devices d JOIN presence p ON p.client_id = d.client_id WHERE p.online");
    narrow(&mut sql, filter);
    let count: i64 = sql.build_query_scalar().fetch_one(conn).await?;
    Ok(to_u64(count)?)
}

fn narrow(sql: &mut QueryBuilder<Sqlite>, filter: &DeviceFilter) {
    if let Some(user) = &filter.user {
        sql.push(" AND d.user_id = ").push_bind(user.clone());
    }
    if let Some(group) = &filter.group {
        sql.push(" AND d.group_id = ").push_bind(group.clone());
    }
    if let Some(text) = &filter.text {
        sql.push(" AND (");
        for (column, or) in [("d.client_id", " OR "), ("d.user_id", " OR "), ("COALESCE(d.name, '')", ")")] {
            sql.push(format_args!("instr(lower({column}), lower(")).push_bind(text.clone()).push(")) > 0").push(or);
        }
    }
}

/// Only with the filters that are asked for: then an index serves them.
pub(super) fn select(filter: &DeviceFilter, page: &Page) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(select_info!("WHERE d.client_id > "));
    sql.push_bind(page.after.clone().unwrap_or_default());
    narrow(&mut sql, filter);
    sql.push(" ORDER BY d.client_id LIMIT ").push_bind(page.limit);
    sql
}

pub(super) async fn page(
    conn: &mut SqliteConnection,
    filter: &DeviceFilter,
    page: &Page,
) -> Result<Vec<Row<DeviceInfo>>, Fault> {
    let rows: Vec<InfoColumns> = select(filter, page).build_query_as().fetch_all(conn).await?;
    Ok(rows.into_iter().map(to_info).collect::<Result<_, _>>()?)
}
