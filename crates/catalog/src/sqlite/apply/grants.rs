//! Grants: made, narrowed or widened, taken back.

use super::{Done, Outcome, found, rule};
use crate::grants::grant_name;
use crate::limits::GRANTS_MAX;
use crate::sqlite::audit::widen;
use crate::sqlite::fault::Fault;
use crate::sqlite::grants;
use crate::{ApplyError, CatalogError, Cut, Grant, Grantee, Kind, Right, Rights};
use serde_json::{Value, json};
use sqlx::{SqliteConnection, query, query_as, query_scalar};

fn grant_json(grant: &Grant) -> Value {
    let rights: Vec<_> = grant.rights.iter().map(|right| right.name()).collect();
    let (kind, id) = match &grant.grantee {
        Grantee::Group(group) => ("group", group),
        Grantee::User(user) => ("user", user),
        Grantee::Key(key_id) => ("key", key_id),
    };
    json!({ kind: id, "topic": grant.parent, "rights": rights })
}

pub(super) async fn create(conn: &mut SqliteConnection, grant: &Grant, number: i64) -> Outcome {
    let known = grants::grant(conn, &grant.grantee, &grant.parent).await.map_err(widen)?;
    if let Some(known) = known {
        return if known.value == *grant { Ok(None) } else { Err(rule(ApplyError::Exists)) };
    }
    check_room(conn).await?;
    let (mut cuts, mut after) = (Vec::new(), grant_json(grant));
    if let Grantee::Key(key_id) = &grant.grantee
        && narrow(conn, key_id, number).await?
    {
        cuts.push(Cut::Key { key_id: key_id.clone() });
        after["narrows"] = true.into();
    }
    if !grants::insert(conn, grant, number).await.map_err(widen)? {
        return Err(rule(ApplyError::Exists));
    }
    Ok(Some(Done::new("create", Kind::Grant, grant.name()).after(after).cuts(cuts)))
}

async fn check_room(conn: &mut SqliteConnection) -> Result<(), Fault<ApplyError>> {
    let grants: i64 = query_scalar("SELECT COUNT(*) FROM grants").fetch_one(conn).await?;
    if grants < i64::from(GRANTS_MAX) {
        return Ok(());
    }
    let words = format!("there are {GRANTS_MAX} grants, and no more may be; grant it to a group, or remove others");
    Err(CatalogError::Invalid(words).into())
}

/// `true`: it is the first grant of this key, which had its whole instance until now.
async fn narrow(conn: &mut SqliteConnection, key_id: &str, number: i64) -> Result<bool, Fault<ApplyError>> {
    let key: Option<(String, bool)> = query_as("SELECT kind, is_narrowed FROM keys WHERE key_id = $1")
        .bind(key_id)
        .fetch_optional(&mut *conn)
        .await?;
    match key {
        Some((kind, _)) if kind != "access" => Err(Fault::from(CatalogError::Invalid(format!(
            "the key {key_id} is an API key, and has no rights on MQTT; name an access key"
        )))),
        Some((_, false)) => {
            let sql = "UPDATE keys SET is_narrowed = 1, changed = $2 WHERE key_id = $1";
            query(sql).bind(key_id).bind(number).execute(conn).await?;
            Ok(true)
        }
        // That there is none is said when the grant is made.
        Some((_, true)) | None => Ok(false),
    }
}

pub(super) async fn update(conn: &mut SqliteConnection, grant: &Grant, expected: Option<u64>, number: i64) -> Outcome {
    let row = grants::grant(conn, &grant.grantee, &grant.parent).await.map_err(widen)?;
    let known = found(row, expected, |row| row.changed)?.value;
    if known == *grant {
        return Ok(None);
    }
    query("UPDATE grants SET rights = $3, changed = $4 WHERE grantee = $1 AND parent = $2")
        .bind(grant.grantee.to_string())
        .bind(&grant.parent)
        .bind(grant.rights.to_string())
        .bind(number)
        .execute(conn)
        .await?;
    let done = Done::new("update", Kind::Grant, grant.name());
    Ok(Some(done.before(grant_json(&known)).after(grant_json(grant)).cuts(ends(&known, grant.rights))))
}

pub(super) async fn remove(
    conn: &mut SqliteConnection,
    grantee: &Grantee,
    parent: &str,
    expected: Option<u64>,
) -> Outcome {
    let row = grants::grant(conn, grantee, parent).await.map_err(widen)?;
    let known = found(row, expected, |row| row.changed)?.value;
    query("DELETE FROM grants WHERE grantee = $1 AND parent = $2")
        .bind(grantee.to_string())
        .bind(parent)
        .execute(conn)
        .await?;
    let done = Done::new("remove", Kind::Grant, grant_name(grantee, parent));
    Ok(Some(done.before(grant_json(&known)).cuts(ends(&known, Rights::default()))))
}

/// A PUBLISH is judged by itself; a subscription stands.
fn ends(known: &Grant, left: Rights) -> Vec<Cut> {
    let ends = known.rights.allow(Right::Subscribe) && !left.allow(Right::Subscribe);
    if ends { vec![subscriptions(&known.parent)] } else { Vec::new() }
}

pub(super) fn subscriptions(parent: &str) -> Cut {
    Cut::Subscriptions { parent: parent.to_owned() }
}
