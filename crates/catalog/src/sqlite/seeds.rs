//! What the program makes by itself, once.

use super::fault::Fault;
use super::{SqliteCatalog, grants, keys, links, topics, users};
use crate::{CatalogError, CatalogFuture, Grantee, Kind, Origin, Seed, Seeded, Seeds};
use sqlx::{SqliteConnection, query, query_as, query_scalar};

impl Seeds for SqliteCatalog {
    fn seed(&self, seed: Seed, origin: Origin) -> CatalogFuture<'_, Seeded> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let done = sow(&mut tx, &seed, origin).await;
            let (seeded, revision) = self.finish::<_, CatalogError>(tx, done).await?;
            self.publish(revision);
            Ok(seeded)
        })
    }

    fn seeded(&self, origin: Origin) -> CatalogFuture<'_, Vec<(Kind, String)>> {
        read!(self, conn => still_there(conn, origin))
    }

    fn forget_seeds(&self, origin: Origin) -> CatalogFuture<'_, ()> {
        write!(self, conn => forget(conn, origin))
    }
}

/// What an owner has created is no seed any more, whatever was seeded under its name before.
pub(super) async fn is_an_owners(conn: &mut SqliteConnection, kind: Kind, subject: &str) -> Result<(), sqlx::Error> {
    let sql = "UPDATE seeds SET is_owners = 1 WHERE kind = $1 AND subject = $2";
    query(sql).bind(kind.name()).bind(subject).execute(conn).await?;
    Ok(())
}

/// What is known of a seed.
struct Known {
    is_there: bool,
    was_made: bool,
    is_owners: bool,
}

async fn known(conn: &mut SqliteConnection, kind: Kind, subject: &str) -> Result<Known, Fault> {
    let made: Option<bool> = query_scalar("SELECT is_owners FROM seeds WHERE kind = $1 AND subject = $2")
        .bind(kind.name())
        .bind(subject)
        .fetch_optional(&mut *conn)
        .await?;
    let is_there = is_there(conn, kind, subject).await?;
    Ok(Known { is_there, was_made: made.is_some(), is_owners: made == Some(true) })
}

/// Also the revision of the rules of access, if it has changed.
async fn sow(conn: &mut SqliteConnection, seed: &Seed, origin: Origin) -> Result<(Seeded, Option<u64>), Fault> {
    let (kind, subject) = (seed.kind(), seed.subject());
    let Known { is_there, was_made, is_owners } = known(conn, kind, &subject).await?;
    if was_made && !is_there || !has_place(conn, seed).await? {
        return Ok((Seeded::Removed, None));
    }
    if origin == Origin::Configuration && is_there && is_owners {
        return Ok((Seeded::Kept, None));
    }
    // The id of a link is of its secret: one that is there is the trial's.
    let is_of_another = origin == Origin::Dev && !was_made && is_there && kind != Kind::Link;
    if is_there && (is_owners || is_of_another) || is_anothers_place(conn, seed, origin, is_there).await? {
        return Ok((Seeded::Owners, None));
    }
    if let Seed::AccessKey(key) = seed
        && is_rotated(conn, &key.key_id).await?
    {
        return Ok((Seeded::Owners, None));
    }
    let is_as_it_is = is_there && (was_made || origin == Origin::Dev) && kind != Kind::Key;
    let revision = if is_as_it_is { None } else { put(conn, seed).await? };
    if !was_made {
        query("INSERT INTO seeds (kind, subject, origin) VALUES ($1, $2, $3)")
            .bind(kind.name())
            .bind(&subject)
            .bind(origin.name())
            .execute(conn)
            .await?;
    }
    Ok((if is_there { Seeded::Kept } else { Seeded::Made }, revision))
}

/// A new link of a trial would let its holder in as an owner's user.
async fn is_anothers_place(
    conn: &mut SqliteConnection,
    seed: &Seed,
    origin: Origin,
    is_there: bool,
) -> Result<bool, Fault> {
    let Seed::Link(link) = seed else { return Ok(false) };
    if is_there || origin == Origin::Configuration {
        return Ok(false);
    }
    let Known { was_made, is_owners, .. } = known(conn, Kind::User, &link.user).await?;
    Ok(!was_made || is_owners)
}

/// By an owner: those of the program are of the first generation.
async fn is_rotated(conn: &mut SqliteConnection, key_id: &str) -> Result<bool, Fault> {
    let key = keys::key(conn, key_id).await?;
    Ok(key.is_some_and(|row| row.value.secrets.iter().any(|secret| secret.generation > 1)))
}

async fn put(conn: &mut SqliteConnection, seed: &Seed) -> Result<Option<u64>, Fault> {
    match seed {
        Seed::Group(group) => topics::put_group(conn, group).await,
        Seed::Parent(parent) => topics::put_parent(conn, parent).await,
        Seed::Grant(grant) => grants::put(conn, grant).await,
        Seed::AccessKey(key) => topics::put_access_key(conn, key).await,
        Seed::User(user) => users::put_user(conn, user).await.map(|()| None),
        Seed::Link(link) => links::put(conn, link).await.map(|()| None),
    }
}

/// What it belongs to is there.
async fn has_place(conn: &mut SqliteConnection, seed: &Seed) -> Result<bool, Fault> {
    Ok(match seed {
        Seed::Grant(grant) => {
            let (kind, id) = match &grant.grantee {
                Grantee::Group(group) => (Kind::Group, group),
                Grantee::User(user) => (Kind::User, user),
                Grantee::Key(key_id) => (Kind::Key, key_id),
            };
            is_there(conn, kind, id).await? && is_there(conn, Kind::Parent, &grant.parent).await?
        }
        Seed::Link(link) => is_there(conn, Kind::User, &link.user).await?,
        _ => true,
    })
}

async fn is_there(conn: &mut SqliteConnection, kind: Kind, subject: &str) -> Result<bool, Fault> {
    Ok(match kind {
        Kind::Group => topics::group_and_uses(conn, subject).await?.is_some(),
        Kind::Parent => {
            topics::parent_and_uses(conn, subject).await?.is_some_and(|(row, _)| row.value.parent == subject)
        }
        Kind::Grant => {
            let sql = "SELECT 1 FROM grants WHERE grantee || '/' || parent = $1";
            let found: Option<i64> = query_scalar(sql).bind(subject).fetch_optional(conn).await?;
            found.is_some()
        }
        Kind::Key => keys::key(conn, subject).await?.is_some(),
        Kind::User => users::row(conn, subject).await?.is_some(),
        Kind::Link => links::link(conn, subject).await?.is_some(),
        // Nobody seeds such.
        Kind::Device | Kind::DeadLetter | Kind::QueueTopic | Kind::QueueGroup | Kind::Meeting | Kind::Token => false,
    })
}

async fn still_there(conn: &mut SqliteConnection, origin: Origin) -> Result<Vec<(Kind, String)>, Fault> {
    let sql = "SELECT kind, subject FROM seeds WHERE origin = $1 AND NOT is_owners ORDER BY kind, subject";
    let rows: Vec<(String, String)> = query_as(sql).bind(origin.name()).fetch_all(&mut *conn).await?;
    let mut found = Vec::new();
    for (kind, subject) in rows {
        let unknown = || CatalogError::Damaged(format!("{kind:?} is no kind of thing"));
        let kind = Kind::of_name(&kind).ok_or_else(unknown)?;
        if is_there(conn, kind, &subject).await? {
            found.push((kind, subject));
        }
    }
    Ok(found)
}

async fn forget(conn: &mut SqliteConnection, origin: Origin) -> Result<(), Fault> {
    query("DELETE FROM seeds WHERE origin = $1").bind(origin.name()).execute(conn).await?;
    Ok(())
}
