//! Groups, parents, keys, grants. A put that changes a row raises the revision in the same transaction and returns it.

use super::SqliteCatalog;
use super::fault::Fault;
use super::rows::{rule_name, to_rule, to_u64};
use crate::{AccessKey, AccessSnapshot, CatalogError, CatalogFuture, Grant, Group, ParentTopic, Topics};
use sqlx::sqlite::SqliteQueryResult;
use sqlx::{SqliteConnection, query, query_as, query_scalar};
use tokio::sync::watch;

impl Topics for SqliteCatalog {
    fn access(&self) -> CatalogFuture<'_, AccessSnapshot> {
        read_at_once!(self, conn => snapshot(conn))
    }

    fn access_revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn put_group(&self, group: Group) -> CatalogFuture<'_, ()> {
        write_access!(self, conn => put_group(conn, &group))
    }

    fn put_parent(&self, parent: ParentTopic) -> CatalogFuture<'_, ()> {
        write_access!(self, conn => put_parent(conn, &parent))
    }

    fn put_access_key(&self, key: AccessKey) -> CatalogFuture<'_, ()> {
        write_access!(self, conn => put_access_key(conn, &key))
    }

    fn put_grant(&self, grant: Grant) -> CatalogFuture<'_, ()> {
        write_access!(self, conn => put_grant(conn, &grant))
    }
}

pub(super) async fn snapshot(conn: &mut SqliteConnection) -> Result<AccessSnapshot, Fault> {
    Ok(AccessSnapshot {
        revision: to_u64(revision(conn).await?)?,
        groups: groups(conn).await?,
        parents: parents(conn).await?,
        keys: keys(conn).await?,
        grants: grants(conn).await?,
    })
}

pub(super) async fn revision(conn: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    query_scalar("SELECT revision FROM access_revision").fetch_one(conn).await
}

async fn groups(conn: &mut SqliteConnection) -> Result<Vec<Group>, sqlx::Error> {
    let rows: Vec<String> = query_scalar("SELECT group_id FROM user_groups ORDER BY group_id").fetch_all(conn).await?;
    Ok(rows.into_iter().map(|group| Group { group }).collect())
}

async fn parents(conn: &mut SqliteConnection) -> Result<Vec<ParentTopic>, Fault> {
    let rows: Vec<(String, String)> =
        query_as("SELECT parent, rule FROM parents ORDER BY parent").fetch_all(conn).await?;
    let parents = rows.into_iter().map(|(parent, rule)| Ok(ParentTopic { parent, rule: to_rule(&rule)? }));
    parents.collect()
}

async fn keys(conn: &mut SqliteConnection) -> Result<Vec<AccessKey>, sqlx::Error> {
    let rows: Vec<(String, String, String)> =
        query_as("SELECT key_id, secret, instance FROM access_keys ORDER BY key_id").fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(key_id, secret, instance)| AccessKey { key_id, secret, instance }).collect())
}

async fn grants(conn: &mut SqliteConnection) -> Result<Vec<Grant>, sqlx::Error> {
    let rows: Vec<(String, String)> =
        query_as("SELECT group_id, parent FROM grants ORDER BY group_id, parent").fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(group, parent)| Grant { group, parent }).collect())
}

pub(super) async fn put_group(conn: &mut SqliteConnection, group: &Group) -> Result<Option<u64>, Fault> {
    let done = query("INSERT INTO user_groups (group_id) VALUES ($1) ON CONFLICT (group_id) DO NOTHING")
        .bind(&group.group)
        .execute(&mut *conn)
        .await?;
    raise_if_changed(conn, &done).await
}

pub(super) async fn put_parent(conn: &mut SqliteConnection, new: &ParentTopic) -> Result<Option<u64>, Fault> {
    let folded = new.parent.to_lowercase();
    refuse_other_case(conn, &new.parent, &folded).await?;
    let done = query(
        "INSERT INTO parents (parent, folded, rule) VALUES ($1, $2, $3) \
         ON CONFLICT (parent) DO UPDATE SET rule = excluded.rule WHERE parents.rule <> excluded.rule",
    )
    .bind(&new.parent)
    .bind(&folded)
    .bind(rule_name(new.rule))
    .execute(&mut *conn)
    .await?;
    raise_if_changed(conn, &done).await
}

async fn refuse_other_case(conn: &mut SqliteConnection, parent: &str, folded: &str) -> Result<(), Fault> {
    let holder: Option<String> =
        query_scalar("SELECT parent FROM parents WHERE folded = $1").bind(folded).fetch_optional(conn).await?;
    match holder {
        Some(holder) if holder != parent => Err(Fault::Rule(CatalogError::Invalid(format!(
            "parent topic {parent} differs from {holder}, which exists, only in case; choose another name"
        )))),
        _ => Ok(()),
    }
}

pub(super) async fn put_access_key(conn: &mut SqliteConnection, key: &AccessKey) -> Result<Option<u64>, Fault> {
    let done = query(
        "INSERT INTO access_keys (key_id, secret, instance) VALUES ($1, $2, $3) \
         ON CONFLICT (key_id) DO UPDATE SET secret = excluded.secret, instance = excluded.instance \
         WHERE access_keys.secret <> excluded.secret OR access_keys.instance <> excluded.instance",
    )
    .bind(&key.key_id)
    .bind(&key.secret)
    .bind(&key.instance)
    .execute(&mut *conn)
    .await?;
    raise_if_changed(conn, &done).await
}

pub(super) async fn put_grant(conn: &mut SqliteConnection, grant: &Grant) -> Result<Option<u64>, Fault> {
    let done = query("INSERT INTO grants (group_id, parent) VALUES ($1, $2) ON CONFLICT (group_id, parent) DO NOTHING")
        .bind(&grant.group)
        .bind(&grant.parent)
        .execute(&mut *conn)
        .await
        .map_err(|error| unknown_end_of_grant(error, grant))?;
    raise_if_changed(conn, &done).await
}

fn unknown_end_of_grant(error: sqlx::Error, grant: &Grant) -> Fault {
    if !error.as_database_error().is_some_and(|error| error.is_foreign_key_violation()) {
        return error.into();
    }
    Fault::Rule(CatalogError::Invalid(format!(
        "a grant needs its group {} and its parent topic {} to exist; make them first",
        grant.group, grant.parent
    )))
}

async fn raise_if_changed(conn: &mut SqliteConnection, done: &SqliteQueryResult) -> Result<Option<u64>, Fault> {
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    let raised: i64 =
        query_scalar("UPDATE access_revision SET revision = revision + 1 RETURNING revision").fetch_one(conn).await?;
    Ok(Some(to_u64(raised)?))
}
