//! Groups, parents and keys. A put that changes a row raises the revision in the same transaction and returns it.

use super::fault::Fault;
use super::rows::{to_rule, to_u64};
use super::{SqliteCatalog, grants, keys, tokens};
use crate::{
    AccessKey, AccessSnapshot, CatalogError, CatalogFuture, Grant, GrantFilter, Grantee, Group, Page, ParentTopic, Row,
    Topics, Uses,
};
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
        write_access!(self, conn => grants::put(conn, &grant))
    }

    fn groups(&self, page: Page) -> CatalogFuture<'_, Vec<Row<Group>>> {
        read!(self, conn => group_page(conn, &page))
    }

    fn group(&self, group: &str) -> CatalogFuture<'_, Option<(Row<Group>, Uses)>> {
        let group = group.to_owned();
        read_at_once!(self, conn => group_and_uses(conn, &group))
    }

    fn parents(&self, page: Page) -> CatalogFuture<'_, Vec<Row<ParentTopic>>> {
        read!(self, conn => parent_page(conn, &page))
    }

    fn parent(&self, parent: &str) -> CatalogFuture<'_, Option<(Row<ParentTopic>, Uses)>> {
        let parent = parent.to_owned();
        read_at_once!(self, conn => parent_and_uses(conn, &parent))
    }

    fn grant(&self, grantee: &Grantee, parent: &str) -> CatalogFuture<'_, Option<Row<Grant>>> {
        let (grantee, parent) = (grantee.clone(), parent.to_owned());
        read!(self, conn => grants::grant(conn, &grantee, &parent))
    }

    fn grants(&self, filter: GrantFilter, page: Page) -> CatalogFuture<'_, Vec<Row<Grant>>> {
        read!(self, conn => grants::page(conn, &filter, &page))
    }
}

pub(super) async fn snapshot(conn: &mut SqliteConnection) -> Result<AccessSnapshot, Fault> {
    Ok(AccessSnapshot {
        revision: to_u64(revision(conn).await?)?,
        groups: groups(conn).await?,
        parents: parents(conn).await?,
        keys: keys::not_disabled(conn).await?,
        narrowed_keys: keys::narrowed(conn).await?,
        grants: grants::all(conn).await?,
        revoked_tokens: tokens::revoked(conn).await?,
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
    let rows: Vec<ParentColumns> =
        query_as("SELECT parent, rule, kept_s, changed FROM parents ORDER BY parent").fetch_all(conn).await?;
    rows.into_iter().map(|columns| Ok(to_parent(columns)?.value)).collect()
}

type ParentColumns = (String, String, Option<u32>, i64);

fn to_parent((parent, rule, kept_s, changed): ParentColumns) -> Result<Row<ParentTopic>, Fault> {
    Ok(Row { value: ParentTopic { parent, rule: to_rule(&rule)?, kept_s }, changed: to_u64(changed)? })
}

pub(super) async fn put_group(conn: &mut SqliteConnection, group: &Group) -> Result<Option<u64>, Fault> {
    let done = query("INSERT INTO user_groups (group_id) VALUES ($1) ON CONFLICT (group_id) DO NOTHING")
        .bind(&group.group)
        .execute(&mut *conn)
        .await?;
    raise_if_changed(conn, done.rows_affected() > 0).await
}

pub(super) async fn put_parent(conn: &mut SqliteConnection, new: &ParentTopic) -> Result<Option<u64>, Fault> {
    let folded = new.parent.to_lowercase();
    refuse_other_case(conn, &new.parent, &folded).await?;
    let done = query(
        "INSERT INTO parents (parent, folded, rule, kept_s) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (parent) DO UPDATE SET rule = excluded.rule WHERE parents.rule <> excluded.rule",
    )
    .bind(&new.parent)
    .bind(&folded)
    .bind(new.rule.name())
    .bind(new.kept_s)
    .execute(&mut *conn)
    .await?;
    raise_if_changed(conn, done.rows_affected() > 0).await
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
    match keys::put_access_key(conn, key).await? {
        Some(()) => raise_revision(conn).await.map(Some),
        None => Ok(None),
    }
}

pub(super) async fn raise_if_changed(conn: &mut SqliteConnection, is_changed: bool) -> Result<Option<u64>, Fault> {
    if is_changed { raise_revision(conn).await.map(Some) } else { Ok(None) }
}

pub(super) async fn raise_revision(conn: &mut SqliteConnection) -> Result<u64, Fault> {
    let raised: i64 =
        query_scalar("UPDATE access_revision SET revision = revision + 1 RETURNING revision").fetch_one(conn).await?;
    Ok(to_u64(raised)?)
}

async fn group_page(conn: &mut SqliteConnection, page: &Page) -> Result<Vec<Row<Group>>, Fault> {
    let rows: Vec<(String, i64)> =
        query_as("SELECT group_id, changed FROM user_groups WHERE group_id > $1 ORDER BY group_id LIMIT $2")
            .bind(page.after.as_deref().unwrap_or_default())
            .bind(page.limit)
            .fetch_all(conn)
            .await?;
    let rows = rows.into_iter().map(|(group, changed)| Ok(Row { value: Group { group }, changed: to_u64(changed)? }));
    rows.collect()
}

pub(super) async fn group_and_uses(
    conn: &mut SqliteConnection,
    group: &str,
) -> Result<Option<(Row<Group>, Uses)>, Fault> {
    let row: Option<(i64, i64, i64)> = query_as(
        "SELECT changed, (SELECT COUNT(*) FROM grants WHERE group_id = $1), \
         (SELECT COUNT(*) FROM devices WHERE group_id = $1) FROM user_groups WHERE group_id = $1",
    )
    .bind(group)
    .fetch_optional(conn)
    .await?;
    let Some((changed, grants, devices)) = row else { return Ok(None) };
    let uses = Uses { grants: to_u64(grants)?, devices: to_u64(devices)?, ..Uses::default() };
    Ok(Some((Row { value: Group { group: group.to_owned() }, changed: to_u64(changed)? }, uses)))
}

async fn parent_page(conn: &mut SqliteConnection, page: &Page) -> Result<Vec<Row<ParentTopic>>, Fault> {
    let rows: Vec<ParentColumns> =
        query_as("SELECT parent, rule, kept_s, changed FROM parents WHERE parent > $1 ORDER BY parent LIMIT $2")
            .bind(page.after.as_deref().unwrap_or_default())
            .bind(page.limit)
            .fetch_all(conn)
            .await?;
    rows.into_iter().map(to_parent).collect()
}

pub(super) async fn parent_and_uses(
    conn: &mut SqliteConnection,
    parent: &str,
) -> Result<Option<(Row<ParentTopic>, Uses)>, Fault> {
    let row: Option<(String, String, Option<u32>, i64, i64)> = query_as(
        "SELECT parent, rule, kept_s, changed, (SELECT COUNT(*) FROM grants WHERE grants.parent = parents.parent) \
         FROM parents WHERE folded = $1",
    )
    .bind(parent.to_lowercase())
    .fetch_optional(conn)
    .await?;
    let Some((parent, rule, kept_s, changed, grants)) = row else { return Ok(None) };
    let uses = Uses { grants: to_u64(grants)?, ..Uses::default() };
    Ok(Some((to_parent((parent, rule, kept_s, changed))?, uses)))
}
