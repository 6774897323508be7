//! The log of what owners change, which is also the feed of the changes.

use super::apply::{self, Done};
use super::fault::Fault;
use super::rows::{to_i64, to_u64, to_uuid};
use super::{SqliteCatalog, seeds, topics};
use crate::{
    Actor, ActorLost, Applied, ApplyError, Audit, AuditPage, AuditRow, By, CatalogError, CatalogFuture, ChangeRow, Cut,
    Kind, Order,
};
use serde_json::{Value, json};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query, query_as, query_scalar};
use tokio::sync::watch;

impl Audit for SqliteCatalog {
    fn apply(&self, order: Order) -> CatalogFuture<'_, Applied, ApplyError> {
        Box::pin(self.change(order, None))
    }

    fn change_number(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn look_for_changes(&self) -> CatalogFuture<'_, ()> {
        Box::pin(self.publish_changes())
    }

    fn changes(&self, after: u64, limit: u32) -> CatalogFuture<'_, Vec<ChangeRow>> {
        read!(self, conn => changes(conn, after, limit))
    }

    fn audit(&self, page: AuditPage) -> CatalogFuture<'_, Vec<AuditRow>> {
        read!(self, conn => rows(conn, &page))
    }
}

pub(super) async fn apply(conn: &mut SqliteConnection, order: &Order) -> Result<Applied, Fault<ApplyError>> {
    check_actor(conn, &order.by).await?;
    let number = last_number(conn).await? + 1;
    let Some(done) = apply::apply(conn, order, number).await? else { return Ok(Applied::default()) };
    query("UPDATE change_number SET number = $1").bind(number).execute(&mut *conn).await?;
    insert(conn, number, &order.by, &done).await?;
    if done.action == "create" {
        seeds::is_an_owners(conn, done.kind, &done.subject).await?;
    }
    let access_revision = match done.concerns_access {
        true => Some(topics::raise_revision(conn).await.map_err(widen)?),
        false => None,
    };
    Ok(Applied { number: Some(to_u64(number)?), access_revision, cuts: done.cuts })
}

/// Whoever lost the right to order something while the order was under way changes nothing any more: what was taken away is
/// taken away once that is answered.
pub(super) async fn check_actor<E: From<ActorLost> + From<CatalogError>>(
    conn: &mut SqliteConnection,
    by: &By,
) -> Result<(), Fault<E>> {
    let (sql, id) = match &by.actor {
        Actor::Key(key_id) => ("SELECT changed FROM keys WHERE key_id = $1 AND NOT disabled", key_id),
        Actor::Link(link_id) => ("SELECT changed FROM links WHERE link_id = $1", link_id),
        // A device's change names its credential.
        Actor::Server | Actor::Owner | Actor::Device(_) => return Ok(()),
    };
    let found: Option<i64> = query_scalar(sql).bind(id).fetch_optional(conn).await?;
    let changed =
        to_u64(found.ok_or(Fault::Rule(ActorLost::Gone.into()))?).map_err(|error| Fault::Rule(error.into()))?;
    let is_as_judged = by.right_as_of.is_none_or(|seen| seen == changed);
    if is_as_judged { Ok(()) } else { Err(Fault::Rule(ActorLost::Changed.into())) }
}

pub(super) fn widen(fault: Fault) -> Fault<ApplyError> {
    match fault {
        Fault::Sql(error) => Fault::Sql(error),
        Fault::Rule(error) => Fault::Rule(error.into()),
    }
}

pub(super) async fn last_number(conn: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    query_scalar("SELECT number FROM change_number").fetch_one(conn).await
}

async fn insert(conn: &mut SqliteConnection, number: i64, by: &By, done: &Done) -> Result<(), Fault<ApplyError>> {
    let cuts = (!done.cuts.is_empty()).then(|| Value::from_iter(done.cuts.iter().map(cut_to_json)).to_string());
    query(
        "INSERT INTO audit (number, at_ms, actor, address, action, kind, subject, before, after, cuts) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(number)
    .bind(to_i64(by.at_ms)?)
    .bind(by.actor.to_string())
    .bind(&by.address)
    .bind(done.action)
    .bind(done.kind.name())
    .bind(&done.subject)
    .bind(done.before.as_ref().map(Value::to_string))
    .bind(done.after.as_ref().map(Value::to_string))
    .bind(cuts)
    .execute(conn)
    .await?;
    Ok(())
}

fn cut_to_json(cut: &Cut) -> Value {
    match cut {
        Cut::Key { key_id } => json!({ "key": key_id }),
        Cut::Credential { client_id, key_id } => json!({ "login": client_id, "credential": key_id }),
        Cut::Device { client_id, key_id } => json!({ "device": client_id, "credential": key_id }),
        Cut::Token { id } => json!({ "token": id }),
        Cut::Others { client_id, user } => json!({ "others": client_id, "user": user }),
        Cut::Group { group } => json!({ "group": group }),
        Cut::Subscriptions { parent } => json!({ "subscriptions": parent }),
    }
}

fn to_cut(value: &Value) -> Option<Cut> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(key_id) = text("key") {
        return Some(Cut::Key { key_id });
    }
    if let Some(id) = text("token") {
        return Some(Cut::Token { id: to_uuid(&id).ok()? });
    }
    if let Some(group) = text("group") {
        return Some(Cut::Group { group });
    }
    if let Some(parent) = text("subscriptions") {
        return Some(Cut::Subscriptions { parent });
    }
    if let Some(client_id) = text("others") {
        return Some(Cut::Others { client_id, user: text("user")? });
    }
    let key_id = text("credential")?;
    match text("device") {
        Some(client_id) => Some(Cut::Device { client_id, key_id }),
        None => text("login").map(|client_id| Cut::Credential { client_id, key_id }),
    }
}

fn to_cuts(text: &str) -> Result<Vec<Cut>, CatalogError> {
    let cuts = to_json(text)?.as_array().and_then(|cuts| cuts.iter().map(to_cut).collect());
    cuts.ok_or_else(|| CatalogError::Damaged(format!("{text:?} is no list of what a change ends")))
}

fn to_json(text: &str) -> Result<Value, CatalogError> {
    serde_json::from_str(text).map_err(|error| CatalogError::Damaged(format!("{text:?} is no JSON: {error}")))
}

fn to_kind(name: &str) -> Result<Kind, CatalogError> {
    Kind::of_name(name).ok_or_else(|| CatalogError::Damaged(format!("{name:?} is no kind of thing")))
}

async fn changes(conn: &mut SqliteConnection, after: u64, limit: u32) -> Result<Vec<ChangeRow>, Fault> {
    let rows: Vec<(i64, String, String, Option<String>)> =
        query_as("SELECT number, kind, subject, cuts FROM audit WHERE number > $1 ORDER BY number LIMIT $2")
            .bind(to_i64(after)?)
            .bind(limit)
            .fetch_all(conn)
            .await?;
    let rows = rows.into_iter().map(|(number, kind, subject, cuts)| {
        let cuts = cuts.as_deref().map(to_cuts).transpose()?.unwrap_or_default();
        Ok(ChangeRow { number: to_u64(number)?, kind: to_kind(&kind)?, subject, cuts })
    });
    rows.collect()
}

type AuditColumns = (i64, i64, String, Option<String>, String, String, String, Option<String>, Option<String>);

/// Only with the filters that are asked for: then an index serves them.
pub(super) fn select(page: &AuditPage) -> Result<QueryBuilder<Sqlite>, CatalogError> {
    let mut sql = QueryBuilder::new(
        "SELECT number, at_ms, actor, address, action, kind, subject, before, after FROM audit WHERE number < ",
    );
    sql.push_bind(page.before.map_or(Ok(i64::MAX), to_i64)?);
    if let Some(kind) = page.kind {
        sql.push(" AND kind = ").push_bind(kind.name());
    }
    if let Some(subject) = &page.subject {
        sql.push(" AND subject = ").push_bind(subject.clone());
    }
    if let Some(actor) = &page.actor {
        sql.push(" AND actor = ").push_bind(actor.clone());
    }
    sql.push(" ORDER BY number DESC LIMIT ").push_bind(page.limit);
    Ok(sql)
}

async fn rows(conn: &mut SqliteConnection, page: &AuditPage) -> Result<Vec<AuditRow>, Fault> {
    let rows: Vec<AuditColumns> = select(page)?.build_query_as().fetch_all(conn).await?;
    Ok(rows.into_iter().map(to_row).collect::<Result<_, _>>()?)
}

fn to_row(columns: AuditColumns) -> Result<AuditRow, CatalogError> {
    let (number, at, actor, address, action, kind, subject, before, after) = columns;
    let json = |text: Option<String>| text.as_deref().map(to_json).transpose();
    let (number, at_ms, kind) = (to_u64(number)?, to_u64(at)?, to_kind(&kind)?);
    Ok(AuditRow { number, at_ms, actor, address, action, kind, subject, before: json(before)?, after: json(after)? })
}
