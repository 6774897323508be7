//! Keys with their secrets.

use super::fault::Fault;
use super::rows::{to_i64, to_u64};
use crate::{AccessKey, ApiKey, CatalogError, Key, KeyKind, KeySecret, Page, Row, Scopes};
use sqlx::{SqliteConnection, query, query_as, query_scalar};

type KeyColumns = (String, String, String, String, String, i64, Option<i64>, bool, bool, Option<String>, i64);

macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT key_id, kind, instance, scopes, note, created_at_ms, expires_at_ms, disabled, is_narrowed, consumer_groups, changed \
             FROM keys ",
            $end
        )
    };
}

async fn to_key(conn: &mut SqliteConnection, columns: KeyColumns) -> Result<Row<Key>, Fault> {
    let (key_id, kind, instance, scopes, note, created, expires, disabled, is_narrowed, groups, changed) = columns;
    let kind = match kind.as_str() {
        "access" => KeyKind::Access,
        "api" => KeyKind::Api,
        _ => return Err(damaged(format!("{kind:?} is no kind of key"))),
    };
    let scopes = Scopes::parse(&scopes).map_err(|word| damaged(format!("{word:?} is no scope of a key")))?;
    let secrets = secrets(conn, &key_id).await?;
    let (created_at_ms, expires_at_ms) = (to_u64(created)?, expires.map(to_u64).transpose()?);
    let consumer_groups = groups.map(|groups| groups.split_ascii_whitespace().map(str::to_owned).collect());
    let value = Key {
        key_id,
        kind,
        instance,
        scopes,
        note,
        created_at_ms,
        expires_at_ms,
        disabled,
        is_narrowed,
        consumer_groups,
        secrets,
    };
    Ok(Row { value, changed: to_u64(changed)? })
}

/// As the column has it: no name has a space.
pub(super) fn joined(groups: Option<&[String]>) -> Option<String> {
    groups.map(|groups| groups.join(" "))
}

fn damaged(words: String) -> Fault {
    Fault::Rule(CatalogError::Damaged(words))
}

async fn secrets(conn: &mut SqliteConnection, key_id: &str) -> Result<Vec<KeySecret>, Fault> {
    let rows: Vec<(i64, String, Option<i64>)> = query_as(
        "SELECT generation, secret, valid_until_ms FROM key_secrets WHERE key_id = $1 ORDER BY generation DESC",
    )
    .bind(key_id)
    .fetch_all(conn)
    .await?;
    let secrets = rows.into_iter().map(|(generation, secret, until)| {
        let valid_until_ms = until.map(to_u64).transpose()?;
        Ok(KeySecret { generation: to_u64(generation)?, secret, valid_until_ms })
    });
    secrets.collect()
}

async fn to_keys(conn: &mut SqliteConnection, rows: Vec<KeyColumns>) -> Result<Vec<Row<Key>>, Fault> {
    let mut keys = Vec::with_capacity(rows.len());
    for columns in rows {
        keys.push(to_key(conn, columns).await?);
    }
    Ok(keys)
}

pub(super) async fn not_disabled(conn: &mut SqliteConnection) -> Result<Vec<Key>, Fault> {
    let sql = select!("WHERE NOT disabled ORDER BY key_id");
    let rows = query_as(sql).fetch_all(&mut *conn).await?;
    Ok(to_keys(conn, rows).await?.into_iter().map(|row| row.value).collect())
}

pub(super) async fn narrowed(conn: &mut SqliteConnection) -> Result<Vec<String>, Fault> {
    Ok(query_scalar("SELECT key_id FROM keys WHERE is_narrowed").fetch_all(conn).await?)
}

pub(super) async fn page(conn: &mut SqliteConnection, page: &Page) -> Result<Vec<Row<Key>>, Fault> {
    let sql = select!("WHERE key_id > $1 ORDER BY key_id LIMIT $2");
    let after = page.after.as_deref().unwrap_or_default();
    let rows = query_as(sql).bind(after).bind(page.limit).fetch_all(&mut *conn).await?;
    to_keys(conn, rows).await
}

pub(super) async fn key(conn: &mut SqliteConnection, key_id: &str) -> Result<Option<Row<Key>>, Fault> {
    let sql = select!("WHERE key_id = $1");
    let row = query_as(sql).bind(key_id).fetch_optional(&mut *conn).await?;
    match row {
        Some(columns) => to_key(conn, columns).await.map(Some),
        None => Ok(None),
    }
}

pub(super) async fn by_secret(conn: &mut SqliteConnection, secret_sha256: &str) -> Result<Option<Row<Key>>, Fault> {
    let key_id: Option<String> = query_scalar(
        "SELECT key_id FROM key_secrets JOIN keys USING (key_id) WHERE secret = $1 AND kind = 'api' LIMIT 1",
    )
    .bind(secret_sha256)
    .fetch_optional(&mut *conn)
    .await?;
    match key_id {
        Some(key_id) => key(conn, &key_id).await,
        None => Ok(None),
    }
}

pub(super) async fn put_access_key(conn: &mut SqliteConnection, new: &AccessKey) -> Result<Option<()>, Fault> {
    put(conn, new.clone().into()).await
}

pub(super) async fn put_api_key(conn: &mut SqliteConnection, new: &ApiKey) -> Result<(), Fault> {
    put(conn, new.clone().into()).await.map(drop)
}

/// A key of the program's own. `None`: it is as it is to be. What an owner has changed of it stays, but for the
/// secret; with another one it is made anew, so that tokens which it has applied for are void.
async fn put(conn: &mut SqliteConnection, new: Key) -> Result<Option<()>, Fault> {
    let known = key(conn, &new.key_id).await?.map(|row| row.value);
    let has_secret =
        |known: &Key| new.secrets.iter().all(|new| known.secrets.iter().any(|known| known.secret == new.secret));
    if known.is_some_and(|known| known.instance == new.instance && has_secret(&known)) {
        return Ok(None);
    }
    let updated = query("UPDATE keys SET instance = $2, created_at_ms = $4 WHERE key_id = $1 AND kind = $3")
        .bind(&new.key_id)
        .bind(&new.instance)
        .bind(new.kind.name())
        .bind(to_i64(new.created_at_ms)?)
        .execute(&mut *conn)
        .await?;
    if updated.rows_affected() == 0 {
        remove(conn, &new.key_id).await?;
        insert(conn, &new, 0).await?;
        return Ok(Some(()));
    }
    query("DELETE FROM key_secrets WHERE key_id = $1").bind(&new.key_id).execute(&mut *conn).await?;
    for secret in &new.secrets {
        insert_secret(conn, &new.key_id, secret).await?;
    }
    Ok(Some(()))
}

pub(super) async fn insert(conn: &mut SqliteConnection, key: &Key, changed: i64) -> Result<(), Fault> {
    query(
        "INSERT INTO keys (key_id, kind, instance, scopes, note, created_at_ms, expires_at_ms, disabled, is_narrowed, \
         consumer_groups, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&key.key_id)
    .bind(key.kind.name())
    .bind(&key.instance)
    .bind(key.scopes.to_string())
    .bind(&key.note)
    .bind(to_i64(key.created_at_ms)?)
    .bind(key.expires_at_ms.map(to_i64).transpose()?)
    .bind(key.disabled)
    .bind(key.is_narrowed)
    .bind(joined(key.consumer_groups.as_deref()))
    .bind(changed)
    .execute(&mut *conn)
    .await?;
    for secret in &key.secrets {
        insert_secret(conn, &key.key_id, secret).await?;
    }
    Ok(())
}

pub(super) async fn insert_secret(conn: &mut SqliteConnection, key_id: &str, secret: &KeySecret) -> Result<(), Fault> {
    query("INSERT INTO key_secrets (key_id, generation, secret, valid_until_ms) VALUES ($1, $2, $3, $4)")
        .bind(key_id)
        .bind(to_i64(secret.generation)?)
        .bind(&secret.secret)
        .bind(secret.valid_until_ms.map(to_i64).transpose()?)
        .execute(conn)
        .await?;
    Ok(())
}

/// Its secrets and grants go with it.
pub(super) async fn remove(conn: &mut SqliteConnection, key_id: &str) -> Result<(), Fault> {
    query("DELETE FROM keys WHERE key_id = $1").bind(key_id).execute(conn).await?;
    Ok(())
}
