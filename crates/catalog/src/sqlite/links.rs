//! Login links.

use super::fault::Fault;
use super::rows::{to_i64, to_u64};
use super::users::unknown_owner;
use crate::{CatalogError, LoginLink, Page, Row};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query, query_as};

type LinkColumns = (String, String, String, i64, Option<i64>, i64);

macro_rules! select {
    ($end:literal) => {
        concat!("SELECT link_id, secret_sha256, user_id, created_at_ms, expires_at_ms, changed FROM links ", $end)
    };
}

fn to_link(columns: LinkColumns) -> Result<Row<LoginLink>, CatalogError> {
    let (link_id, secret_sha256, user, created, expires, changed) = columns;
    let (created_at_ms, expires_at_ms) = (to_u64(created)?, expires.map(to_u64).transpose()?);
    let value = LoginLink { link_id, secret_sha256, user, created_at_ms, expires_at_ms };
    Ok(Row { value, changed: to_u64(changed)? })
}

pub(super) async fn put(conn: &mut SqliteConnection, link: &LoginLink) -> Result<(), Fault> {
    query("DELETE FROM links WHERE link_id = $1 OR secret_sha256 = $2")
        .bind(&link.link_id)
        .bind(&link.secret_sha256)
        .execute(&mut *conn)
        .await?;
    insert(conn, link, 0).await
}

pub(super) async fn insert(conn: &mut SqliteConnection, link: &LoginLink, changed: i64) -> Result<(), Fault> {
    query(
        "INSERT INTO links (link_id, secret_sha256, user_id, created_at_ms, expires_at_ms, changed) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&link.link_id)
    .bind(&link.secret_sha256)
    .bind(&link.user)
    .bind(to_i64(link.created_at_ms)?)
    .bind(link.expires_at_ms.map(to_i64).transpose()?)
    .bind(changed)
    .execute(conn)
    .await
    .map_err(|error| unknown_owner(error, "a login link"))?;
    Ok(())
}

pub(super) async fn by_secret(conn: &mut SqliteConnection, hash: &str) -> Result<Option<LoginLink>, Fault> {
    let sql = select!("WHERE secret_sha256 = $1");
    let row: Option<LinkColumns> = query_as(sql).bind(hash).fetch_optional(conn).await?;
    Ok(row.map(to_link).transpose()?.map(|row| row.value))
}

pub(super) async fn link(conn: &mut SqliteConnection, link_id: &str) -> Result<Option<Row<LoginLink>>, Fault> {
    let sql = select!("WHERE link_id = $1");
    let row: Option<LinkColumns> = query_as(sql).bind(link_id).fetch_optional(conn).await?;
    Ok(row.map(to_link).transpose()?)
}

/// Only with the filter that is asked for: then an index serves it.
pub(super) fn select(user: Option<&str>, page: &Page) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(select!("WHERE link_id > "));
    sql.push_bind(page.after.clone().unwrap_or_default());
    if let Some(user) = user {
        sql.push(" AND user_id = ").push_bind(user.to_owned());
    }
    sql.push(" ORDER BY link_id LIMIT ").push_bind(page.limit);
    sql
}

pub(super) async fn page(
    conn: &mut SqliteConnection,
    user: Option<&str>,
    page: &Page,
) -> Result<Vec<Row<LoginLink>>, Fault> {
    let rows: Vec<LinkColumns> = select(user, page).build_query_as().fetch_all(conn).await?;
    Ok(rows.into_iter().map(to_link).collect::<Result<_, _>>()?)
}
