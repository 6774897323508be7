//! Users.

use super::fault::Fault;
use super::rows::to_u64;
use crate::text::check_name;
use crate::{CatalogError, Page, Row, User, Uses};
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

pub(super) async fn row(conn: &mut SqliteConnection, user: &str) -> Result<Option<Row<User>>, Fault> {
    let row: Option<(String, String, i64)> =
        query_as("SELECT user_id, name, changed FROM users WHERE user_id = $1").bind(user).fetch_optional(conn).await?;
    Ok(row.map(to_row).transpose()?)
}

pub(super) async fn find(
    conn: &mut SqliteConnection,
    text: Option<&str>,
    page: &Page,
) -> Result<Vec<Row<User>>, Fault> {
    let rows: Vec<(String, String, i64)> = query_as(
        "SELECT user_id, name, changed FROM users WHERE user_id > $1 \
         AND ($2 IS NULL OR instr(lower(user_id), lower($2)) > 0 OR instr(lower(name), lower($2)) > 0) \
         ORDER BY user_id LIMIT $3",
    )
    .bind(page.after.as_deref().unwrap_or_default())
    .bind(text)
    .bind(page.limit)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(to_row).collect::<Result<_, _>>()?)
}

fn to_row((user, name, changed): (String, String, i64)) -> Result<Row<User>, CatalogError> {
    Ok(Row { value: User { user, name }, changed: to_u64(changed)? })
}

/// Rows refer to users and groups.
pub(super) fn unknown_owner(error: sqlx::Error, thing: &str) -> Fault {
    if !error.as_database_error().is_some_and(|error| error.is_foreign_key_violation()) {
        return error.into();
    }
    Fault::Rule(CatalogError::Invalid(format!("{thing} needs its user and its group to exist; make them first")))
}

/// What hangs on a user.
pub(super) async fn uses(conn: &mut SqliteConnection, user: &str) -> Result<Uses, Fault> {
    let (grants, devices, links): (i64, i64, i64) = query_as(
        "SELECT (SELECT COUNT(*) FROM grants WHERE user_id = $1), (SELECT COUNT(*) FROM devices WHERE user_id = $1), \
         (SELECT COUNT(*) FROM links WHERE user_id = $1)",
    )
    .bind(user)
    .fetch_one(conn)
    .await?;
    Ok(Uses { grants: to_u64(grants)?, devices: to_u64(devices)?, links: to_u64(links)? })
}
