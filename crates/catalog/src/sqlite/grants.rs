//! Grants. A put that changes a row raises the revision in the same transaction and returns it.

use super::fault::Fault;
use super::rows::to_u64;
use super::topics::raise_if_changed;
use crate::{CatalogError, Grant, GrantFilter, Grantee, Page, Rights, Row};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query, query_as};

type Columns = (String, String, String, i64);

fn to_grant((grantee, parent, rights, changed): Columns) -> Result<Row<Grant>, Fault> {
    let rights = Rights::parse(&rights)
        .map_err(|word| Fault::Rule(CatalogError::Damaged(format!("{word:?} is no right of a grant"))))?;
    let value = Grant { grantee: Grantee::of_name(&grantee), parent, rights };
    Ok(Row { value, changed: to_u64(changed)? })
}

pub(super) async fn all(conn: &mut SqliteConnection) -> Result<Vec<Grant>, Fault> {
    let sql = "SELECT grantee, parent, rights, changed FROM grants ORDER BY grantee, parent";
    let rows: Vec<Columns> = query_as(sql).fetch_all(conn).await?;
    rows.into_iter().map(|columns| Ok(to_grant(columns)?.value)).collect()
}

pub(super) async fn grant(
    conn: &mut SqliteConnection,
    grantee: &Grantee,
    parent: &str,
) -> Result<Option<Row<Grant>>, Fault> {
    let sql = "SELECT grantee, parent, rights, changed FROM grants WHERE grantee = $1 AND parent = $2";
    let row: Option<Columns> = query_as(sql).bind(grantee.to_string()).bind(parent).fetch_optional(conn).await?;
    row.map(to_grant).transpose()
}

/// A grant that is there stays as it is.
pub(super) async fn put(conn: &mut SqliteConnection, grant: &Grant) -> Result<Option<u64>, Fault> {
    let is_made = insert(conn, grant, 0).await?;
    raise_if_changed(conn, is_made).await
}

/// `false`: there is one already.
pub(super) async fn insert(conn: &mut SqliteConnection, grant: &Grant, number: i64) -> Result<bool, Fault> {
    let sql = "INSERT INTO grants (grantee, parent, group_id, user_id, key_id, rights, changed) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (grantee, parent) DO NOTHING";
    let made = query(sql)
        .bind(grant.grantee.to_string())
        .bind(&grant.parent)
        .bind(grant.grantee.group())
        .bind(grant.grantee.user())
        .bind(grant.grantee.key())
        .bind(grant.rights.to_string())
        .bind(number)
        .execute(conn)
        .await;
    Ok(made.map_err(|error| unknown_end(error, grant))?.rows_affected() > 0)
}

fn unknown_end(error: sqlx::Error, grant: &Grant) -> Fault {
    if !error.as_database_error().is_some_and(|error| error.is_foreign_key_violation()) {
        return error.into();
    }
    let who = match &grant.grantee {
        Grantee::Group(group) => format!("group {group}"),
        Grantee::User(user) => format!("user {user}"),
        Grantee::Key(key_id) => format!("access key {key_id}"),
    };
    Fault::Rule(CatalogError::Invalid(format!(
        "a grant needs its {who} and its parent topic {} to exist; make them first",
        grant.parent
    )))
}

/// Only with the filters that are asked for: then an index serves them.
pub(super) fn select(filter: &GrantFilter, page: &Page) -> QueryBuilder<Sqlite> {
    let (grantee, parent) = page.after.as_deref().and_then(|after| after.rsplit_once('/')).unwrap_or_default();
    let mut sql = QueryBuilder::new("SELECT grantee, parent, rights, changed FROM grants WHERE (grantee, parent) > (");
    sql.push_bind(grantee.to_owned()).push(", ").push_bind(parent.to_owned()).push(")");
    if let Some(grantee) = &filter.grantee {
        sql.push(" AND grantee = ").push_bind(grantee.to_string());
    }
    if let Some(parent) = &filter.parent {
        sql.push(" AND parent = ").push_bind(parent.clone());
    }
    sql.push(" ORDER BY grantee, parent LIMIT ").push_bind(page.limit);
    sql
}

pub(super) async fn page(
    conn: &mut SqliteConnection,
    filter: &GrantFilter,
    page: &Page,
) -> Result<Vec<Row<Grant>>, Fault> {
    let rows: Vec<Columns> = select(filter, page).build_query_as().fetch_all(conn).await?;
    rows.into_iter().map(to_grant).collect()
}
