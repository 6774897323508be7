//! Users, API keys, login links.

use super::fault::Fault;
use crate::text::check_name;
use crate::{ApiKey, CatalogError, LoginLink, User};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query, query_as};

/// Names in one `IN (…)`; SQLite takes at most 32,766 parameters.
pub(super) const NAMES_PER_QUERY: usize = 500;

pub(super) async fn put_user(conn: &mut SqliteConnection, user: &User) -> Result<(), Fault> {
    check_name(&user.name).map_err(|error| CatalogError::Invalid(format!("the name {error}")))?;
    query(
        "INSERT INTO users (user_id, name) VALUES ($1, $2) \
         ON CONFLICT (user_id) DO UPDATE SET name = excluded.name",
    )
    .bind(&user.user)
    .bind(&user.name)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn user(conn: &mut SqliteConnection, user: &str) -> Result<Option<User>, Fault> {
    let row = query_as("SELECT user_id, name FROM users WHERE user_id = $1").bind(user).fetch_optional(conn).await?;
    Ok(row.map(to_user))
}

pub(super) async fn users(conn: &mut SqliteConnection, after: Option<&str>, limit: u32) -> Result<Vec<User>, Fault> {
    let page = match after {
        None => query_as("SELECT user_id, name FROM users ORDER BY name, user_id LIMIT $1").bind(limit),
        Some(after) => query_as(
            "SELECT user_id, name FROM users \
             WHERE (name, user_id) > (SELECT name, user_id FROM users WHERE user_id = $2) \
             ORDER BY name, user_id LIMIT $1",
        )
        .bind(limit)
        .bind(after),
    };
    Ok(page.fetch_all(conn).await?.into_iter().map(to_user).collect())
}

fn to_user((user, name): (String, String)) -> User {
    User { user, name }
}

/// `$1, $2, …)`
pub(super) fn push_list(sql: &mut QueryBuilder<Sqlite>, names: &[String]) {
    let mut list = sql.separated(", ");
    for name in names {
        list.push_bind(name.clone());
    }
    sql.push(")");
}

pub(super) async fn put_api_key(conn: &mut SqliteConnection, key: &ApiKey) -> Result<(), Fault> {
    query(
        "INSERT INTO api_keys (secret_sha256, label) VALUES ($1, $2) \
         ON CONFLICT (secret_sha256) DO UPDATE SET label = excluded.label",
    )
    .bind(&key.secret_sha256)
    .bind(&key.label)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn api_key(conn: &mut SqliteConnection, hash: &str) -> Result<Option<ApiKey>, Fault> {
    let row: Option<(String, String)> = query_as("SELECT secret_sha256, label FROM api_keys WHERE secret_sha256 = $1")
        .bind(hash)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|(secret_sha256, label)| ApiKey { secret_sha256, label }))
}

pub(super) async fn put_login_link(conn: &mut SqliteConnection, link: &LoginLink) -> Result<(), Fault> {
    query(
        "INSERT INTO login_links (secret_sha256, user_id) VALUES ($1, $2) \
         ON CONFLICT (secret_sha256) DO UPDATE SET user_id = excluded.user_id",
    )
    .bind(&link.secret_sha256)
    .bind(&link.user)
    .execute(conn)
    .await
    .map_err(|error| unknown_owner(error, "a login link"))?;
    Ok(())
}

pub(super) async fn login_link(conn: &mut SqliteConnection, hash: &str) -> Result<Option<LoginLink>, Fault> {
    let row: Option<(String, String)> =
        query_as("SELECT secret_sha256, user_id FROM login_links WHERE secret_sha256 = $1")
            .bind(hash)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|(secret_sha256, user)| LoginLink { secret_sha256, user }))
}

/// Rows refer to users and groups.
pub(super) fn unknown_owner(error: sqlx::Error, thing: &str) -> Fault {
    if !error.as_database_error().is_some_and(|error| error.is_foreign_key_violation()) {
        return error.into();
    }
    Fault::Rule(CatalogError::Invalid(format!("{thing} needs its user and its group to exist; make them first")))
}
