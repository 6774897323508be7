//! The changes themselves: each looks at what there is, and makes of it what is wished.

mod grants;
mod ordered;

use super::audit::widen;
use super::devices::DevicesOf;
use super::fault::Fault;
use super::rows::to_i64;
use super::{answers, devices, keys, links, tokens, topics, users};
use crate::limits::REVOKED_TOKENS_MAX;
use crate::{
    Actor, ApplyError, CatalogError, Change, Cut, Device, DeviceInfo, Group, Key, KeySecret, KeyUpdate, Kind,
    LoginLink, Order, ParentTopic, ParentUpdate, RevokedToken, User, Uses,
};
use serde_json::{Value, json};
use sqlx::{SqliteConnection, query};

/// Devices that go with their group or user in one transaction, at most.
const DEVICES_AT_ONCE: u64 = 10_000;

/// What a change has done.
pub(super) struct Done {
    pub(super) action: &'static str,
    pub(super) kind: Kind,
    pub(super) subject: String,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
    pub(super) cuts: Vec<Cut>,
    /// The rules of access are others now.
    pub(super) concerns_access: bool,
}

type Outcome = Result<Option<Done>, Fault<ApplyError>>;

impl Done {
    fn new(action: &'static str, kind: Kind, subject: impl Into<String>) -> Self {
        let concerns_access = matches!(kind, Kind::Group | Kind::Parent | Kind::Grant | Kind::Key | Kind::Token);
        let (before, after, cuts) = (None, None, Vec::new());
        Self { action, kind, subject: subject.into(), before, after, cuts, concerns_access }
    }

    fn before(self, row: Value) -> Self {
        Self { before: Some(row), ..self }
    }

    fn after(self, row: Value) -> Self {
        Self { after: Some(row), ..self }
    }

    fn cuts(self, cuts: Vec<Cut>) -> Self {
        Self { cuts, ..self }
    }
}

/// `number`: that of this change. `None`: nothing is to be changed.
pub(super) async fn apply(conn: &mut SqliteConnection, order: &Order, number: i64) -> Outcome {
    let at_ms = order.by.at_ms;
    let expected = order.expected;
    match &order.change {
        Change::CreateGroup(group) => create_group(conn, group, number).await,
        Change::RemoveGroup { group, force } => remove_group(conn, group, *force, expected, at_ms).await,
        Change::CreateParent(parent) => create_parent(conn, parent, number).await,
        Change::UpdateParent { parent, update } => update_parent(conn, parent, *update, expected, number).await,
        Change::RemoveParent { parent, force } => remove_parent(conn, parent, *force, expected).await,
        Change::CreateGrant(grant) => grants::create(conn, grant, number).await,
        Change::UpdateGrant(grant) => grants::update(conn, grant, expected, number).await,
        Change::RemoveGrant { grantee, parent } => grants::remove(conn, grantee, parent, expected).await,
        Change::CreateKey(key) => create_key(conn, key, number).await,
        Change::UpdateKey { key_id, update } => update_key(conn, key_id, update, expected, number).await,
        Change::RotateKey { key_id, secret, previous_until_ms } => {
            let ends_now = *previous_until_ms <= at_ms;
            let done = rotate_key(conn, key_id, secret, *previous_until_ms, expected, number).await?;
            let cuts = if ends_now { vec![Cut::Key { key_id: key_id.clone() }] } else { Vec::new() };
            Ok(done.map(|done| done.cuts(cuts)))
        }
        Change::RemoveKey { key_id } => remove_key(conn, key_id, expected).await,
        Change::PutUser(user) => put_user(conn, user, expected, number).await,
        Change::RemoveUser { user, force } => remove_user(conn, user, *force, expected, at_ms).await,
        Change::PutDevice { device, replaces } => put_device(conn, device, replaces.as_deref(), number).await,
        Change::RemoveDevice { client_id, key_id } => {
            remove_device(conn, client_id, key_id.as_deref(), expected, at_ms).await
        }
        Change::RevokeDevice { client_id, key_id, secret } => {
            let credential = (key_id.as_str(), secret.as_str());
            ordered::revoke_device(conn, client_id, credential, expected, (number, at_ms)).await
        }
        Change::RenameDevice { client_id, name } => {
            ordered::rename_device(conn, client_id, name.as_deref(), expected, number).await
        }
        Change::Note(note) => Ok(Some(ordered::noted(note))),
        Change::CreateLink(link) => create_link(conn, link, number).await,
        Change::UpdateLink { link_id, expires_at_ms } => {
            update_link(conn, link_id, *expires_at_ms, expected, number).await
        }
        Change::RemoveLink { link_id } => remove_link(conn, link_id, expected).await,
        Change::RevokeToken(token) => revoke_token(conn, token, number).await,
    }
}

fn rule(error: ApplyError) -> Fault<ApplyError> {
    Fault::Rule(error)
}

fn check_expected(expected: Option<u64>, present: u64) -> Result<(), Fault<ApplyError>> {
    match expected {
        Some(expected) if expected != present => Err(rule(ApplyError::Stale { present })),
        _ => Ok(()),
    }
}

/// The row, if it is there and as the caller believes.
fn found<T>(row: Option<T>, expected: Option<u64>, changed: impl Fn(&T) -> u64) -> Result<T, Fault<ApplyError>> {
    let row = row.ok_or_else(|| rule(ApplyError::Unknown))?;
    check_expected(expected, changed(&row))?;
    Ok(row)
}

fn check_unused(uses: Uses, force: bool) -> Result<(), Fault<ApplyError>> {
    let may_go = uses.is_empty() || force && uses.devices <= DEVICES_AT_ONCE;
    if may_go { Ok(()) } else { Err(rule(ApplyError::InUse(uses))) }
}

// Groups.

fn group_json(group: &str) -> Value {
    json!({ "group": group })
}

async fn create_group(conn: &mut SqliteConnection, group: &Group, number: i64) -> Outcome {
    let made = query("INSERT INTO user_groups (group_id, changed) VALUES ($1, $2) ON CONFLICT (group_id) DO NOTHING")
        .bind(&group.group)
        .bind(number)
        .execute(conn)
        .await?;
    let done = || Done::new("create", Kind::Group, &group.group).after(group_json(&group.group));
    Ok((made.rows_affected() > 0).then(done))
}

async fn remove_group(
    conn: &mut SqliteConnection,
    group: &str,
    force: bool,
    expected: Option<u64>,
    at_ms: u64,
) -> Outcome {
    let row = topics::group_and_uses(conn, group).await.map_err(widen)?;
    let (_, uses) = found(row, expected, |(row, _)| row.changed)?;
    check_unused(uses, force)?;
    query("DELETE FROM grants WHERE group_id = $1").bind(group).execute(&mut *conn).await?;
    let mut cuts = remove_devices(conn, DevicesOf::Group(group), at_ms).await?;
    cuts.push(Cut::Group { group: group.to_owned() });
    query("DELETE FROM user_groups WHERE group_id = $1").bind(group).execute(&mut *conn).await?;
    let before = json!({ "group": group, "grants": uses.grants, "devices": uses.devices });
    Ok(Some(Done::new("remove", Kind::Group, group).before(before).cuts(cuts)))
}

async fn remove_devices(
    conn: &mut SqliteConnection,
    which: DevicesOf<'_>,
    at_ms: u64,
) -> Result<Vec<Cut>, Fault<ApplyError>> {
    let gone = devices::remove_all(conn, which, at_ms).await.map_err(widen)?;
    Ok(gone.into_iter().map(|(client_id, key_id)| Cut::Device { client_id, key_id }).collect())
}

// Parent topics.

fn parent_json(parent: &ParentTopic) -> Value {
    json!({ "topic": parent.parent, "rule": parent.rule.name(), "kept_s": parent.kept_s })
}

async fn create_parent(conn: &mut SqliteConnection, parent: &ParentTopic, number: i64) -> Outcome {
    if let Some((known, _)) = topics::parent_and_uses(conn, &parent.parent).await.map_err(widen)? {
        return if known.value == *parent { Ok(None) } else { Err(rule(ApplyError::Exists)) };
    }
    query("INSERT INTO parents (parent, folded, rule, kept_s, changed) VALUES ($1, $2, $3, $4, $5)")
        .bind(&parent.parent)
        .bind(parent.parent.to_lowercase())
        .bind(parent.rule.name())
        .bind(parent.kept_s)
        .bind(number)
        .execute(conn)
        .await?;
    Ok(Some(Done::new("create", Kind::Parent, &parent.parent).after(parent_json(parent))))
}

async fn known_parent(
    conn: &mut SqliteConnection,
    parent: &str,
    expected: Option<u64>,
) -> Result<(ParentTopic, Uses), Fault<ApplyError>> {
    let row = topics::parent_and_uses(conn, parent).await.map_err(widen)?;
    let row = row.filter(|(row, _)| row.value.parent == parent);
    let (row, uses) = found(row, expected, |(row, _)| row.changed)?;
    Ok((row.value, uses))
}

async fn update_parent(
    conn: &mut SqliteConnection,
    parent: &str,
    update: ParentUpdate,
    expected: Option<u64>,
    number: i64,
) -> Outcome {
    let (known, _) = known_parent(conn, parent, expected).await?;
    let parent = &ParentTopic {
        rule: update.rule.unwrap_or(known.rule),
        kept_s: update.kept_s.unwrap_or(known.kept_s),
        ..known.clone()
    };
    if known == *parent {
        return Ok(None);
    }
    query("UPDATE parents SET rule = $2, kept_s = $3, changed = $4 WHERE parent = $1")
        .bind(&parent.parent)
        .bind(parent.rule.name())
        .bind(parent.kept_s)
        .bind(number)
        .execute(conn)
        .await?;
    let done = Done::new("update", Kind::Parent, &parent.parent);
    Ok(Some(done.before(parent_json(&known)).after(parent_json(parent))))
}

async fn remove_parent(conn: &mut SqliteConnection, parent: &str, force: bool, expected: Option<u64>) -> Outcome {
    let (known, uses) = known_parent(conn, parent, expected).await?;
    check_unused(uses, force)?;
    query("DELETE FROM grants WHERE parent = $1").bind(parent).execute(&mut *conn).await?;
    query("DELETE FROM parents WHERE parent = $1").bind(parent).execute(conn).await?;
    let before = json!({ "topic": parent, "rule": known.rule.name(), "kept_s": known.kept_s, "grants": uses.grants });
    let cuts = if uses.grants > 0 { vec![grants::subscriptions(parent)] } else { Vec::new() };
    Ok(Some(Done::new("remove", Kind::Parent, parent).before(before).cuts(cuts)))
}

// Keys.

fn key_json(key: &Key) -> Value {
    json!({
        "key": key.key_id,
        "kind": key.kind.name(),
        "scopes": key.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>(),
        "note": key.note,
        "expires_at_ms": key.expires_at_ms,
        "disabled": key.disabled,
        "narrowed": key.is_narrowed,
        "consumer_groups": key.consumer_groups,
        "generation": key.secrets.first().map(|secret| secret.generation),
    })
}

async fn create_key(conn: &mut SqliteConnection, key: &Key, number: i64) -> Outcome {
    if keys::key(conn, &key.key_id).await.map_err(widen)?.is_some() {
        return Err(rule(ApplyError::Exists));
    }
    keys::insert(conn, key, number).await.map_err(widen)?;
    Ok(Some(Done::new("create", Kind::Key, &key.key_id).after(key_json(key))))
}

async fn known_key(conn: &mut SqliteConnection, key_id: &str, expected: Option<u64>) -> Result<Key, Fault<ApplyError>> {
    let row = keys::key(conn, key_id).await.map_err(widen)?;
    Ok(found(row, expected, |row| row.changed)?.value)
}

async fn update_key(
    conn: &mut SqliteConnection,
    key_id: &str,
    update: &KeyUpdate,
    expected: Option<u64>,
    number: i64,
) -> Outcome {
    let known = known_key(conn, key_id, expected).await?;
    let new = Key {
        scopes: update.scopes.unwrap_or(known.scopes),
        note: update.note.clone().unwrap_or_else(|| known.note.clone()),
        expires_at_ms: update.expires_at_ms.unwrap_or(known.expires_at_ms),
        disabled: update.disabled.unwrap_or(known.disabled),
        consumer_groups: update.consumer_groups.clone().unwrap_or_else(|| known.consumer_groups.clone()),
        ..known.clone()
    };
    if new == known {
        return Ok(None);
    }
    query(
        "UPDATE keys SET scopes = $2, note = $3, expires_at_ms = $4, disabled = $5, consumer_groups = $6, changed = $7 \
         WHERE key_id = $1",
    )
    .bind(key_id)
    .bind(new.scopes.to_string())
    .bind(&new.note)
    .bind(new.expires_at_ms.map(to_i64).transpose()?)
    .bind(new.disabled)
    .bind(keys::joined(new.consumer_groups.as_deref()))
    .bind(number)
    .execute(conn)
    .await?;
    let ends = new.disabled && !known.disabled || known.scopes.iter().any(|scope| !new.scopes.allow(scope));
    let cuts = if ends { vec![Cut::Key { key_id: key_id.to_owned() }] } else { Vec::new() };
    Ok(Some(Done::new("update", Kind::Key, key_id).before(key_json(&known)).after(key_json(&new)).cuts(cuts)))
}

async fn rotate_key(
    conn: &mut SqliteConnection,
    key_id: &str,
    secret: &str,
    previous_until_ms: u64,
    expected: Option<u64>,
    number: i64,
) -> Outcome {
    let known = known_key(conn, key_id, expected).await?;
    // Of the old ones the newest stays.
    query("DELETE FROM key_secrets WHERE key_id = $1 AND generation < (SELECT MAX(generation) FROM key_secrets WHERE key_id = $1)")
        .bind(key_id)
        .execute(&mut *conn)
        .await?;
    query("UPDATE key_secrets SET valid_until_ms = MIN(COALESCE(valid_until_ms, $2), $2) WHERE key_id = $1")
        .bind(key_id)
        .bind(to_i64(previous_until_ms)?)
        .execute(&mut *conn)
        .await?;
    let generation = known.secrets.first().map_or(0, |newest| newest.generation) + 1;
    let new = KeySecret { generation, secret: secret.to_owned(), valid_until_ms: None };
    keys::insert_secret(conn, key_id, &new).await.map_err(widen)?;
    query("UPDATE keys SET changed = $2 WHERE key_id = $1").bind(key_id).bind(number).execute(conn).await?;
    let after = json!({ "key": key_id, "generation": generation, "previous_until_ms": previous_until_ms });
    Ok(Some(Done::new("rotate", Kind::Key, key_id).before(key_json(&known)).after(after)))
}

async fn remove_key(conn: &mut SqliteConnection, key_id: &str, expected: Option<u64>) -> Outcome {
    let known = known_key(conn, key_id, expected).await?;
    keys::remove(conn, key_id).await.map_err(widen)?;
    answers::forget(conn, &Actor::Key(key_id.to_owned()).to_string()).await?;
    tokens::forget_of_key(conn, key_id).await?;
    let cuts = vec![Cut::Key { key_id: key_id.to_owned() }];
    Ok(Some(Done::new("remove", Kind::Key, key_id).before(key_json(&known)).cuts(cuts)))
}

// Users.

fn user_json(user: &User) -> Value {
    json!({ "user": user.user, "name": user.name })
}

async fn put_user(conn: &mut SqliteConnection, user: &User, expected: Option<u64>, number: i64) -> Outcome {
    let known = users::row(conn, &user.user).await.map_err(widen)?;
    check_expected(expected, known.as_ref().map_or(0, |known| known.changed))?;
    if known.as_ref().is_some_and(|known| known.value == *user) {
        return Ok(None);
    }
    users::put_user(conn, user).await.map_err(widen)?;
    query("UPDATE users SET changed = $2 WHERE user_id = $1").bind(&user.user).bind(number).execute(conn).await?;
    let done = Done::new(if known.is_some() { "update" } else { "create" }, Kind::User, &user.user);
    let done = done.after(user_json(user));
    Ok(Some(match known {
        Some(known) => done.before(user_json(&known.value)),
        None => done,
    }))
}

async fn remove_user(
    conn: &mut SqliteConnection,
    user: &str,
    force: bool,
    expected: Option<u64>,
    at_ms: u64,
) -> Outcome {
    let row = users::row(conn, user).await.map_err(widen)?;
    let known = found(row, expected, |row| row.changed)?.value;
    let uses = users::uses(conn, user).await.map_err(widen)?;
    check_unused(uses, force)?;
    let cuts = remove_devices(conn, DevicesOf::User(user), at_ms).await?;
    for sql in [
        "DELETE FROM grants WHERE user_id = $1",
        "DELETE FROM links WHERE user_id = $1",
        "DELETE FROM outcomes WHERE user_id = $1",
        "DELETE FROM past_calls WHERE user_id = $1",
        "DELETE FROM creates WHERE user_id = $1",
        "DELETE FROM users WHERE user_id = $1",
    ] {
        query(sql).bind(user).execute(&mut *conn).await?;
    }
    let (grants, devices, links) = (uses.grants, uses.devices, uses.links);
    let before =
        json!({ "user": known.user, "name": known.name, "grants": grants, "devices": devices, "links": links });
    let done = Done::new("remove", Kind::User, user).before(before).cuts(cuts);
    // A later user of that name has no grant of this one.
    Ok(Some(Done { concerns_access: grants > 0, ..done }))
}

// Devices.

fn device_json(device: &DeviceInfo) -> Value {
    json!({
        "device": device.client_id,
        "user": device.user,
        "group": device.group,
        "name": device.name,
        "credential": device.key_id,
        "expires_at_ms": device.expires_at_ms,
    })
}

async fn put_device(conn: &mut SqliteConnection, device: &Device, replaces: Option<&str>, number: i64) -> Outcome {
    let known = devices::info(conn, &device.client_id).await.map_err(widen)?;
    if known.as_ref().map(|known| known.value.key_id.as_str()) != replaces {
        return Err(rule(ApplyError::Stale { present: known.map_or(0, |known| known.changed) }));
    }
    devices::put(conn, device).await.map_err(widen)?;
    let sql = "UPDATE devices SET changed = $2 WHERE client_id = $1";
    query(sql).bind(&device.client_id).bind(number).execute(&mut *conn).await?;
    let new = devices::info(conn, &device.client_id).await.map_err(widen)?;
    let done = Done::new(if known.is_some() { "update" } else { "create" }, Kind::Device, &device.client_id);
    let done = match new {
        Some(new) => done.after(device_json(&new.value)),
        None => done,
    };
    let others = || Cut::Others { client_id: device.client_id.clone(), user: device.user.clone() };
    let Some(known) = known.map(|known| known.value) else { return Ok(Some(done.cuts(vec![others()]))) };
    let mut cuts = Vec::new();
    if known.key_id != device.key_id {
        cuts.push(Cut::Credential { client_id: known.client_id.clone(), key_id: known.key_id.clone() });
    }
    if known.user != device.user {
        cuts.push(others());
    }
    Ok(Some(done.before(device_json(&known)).cuts(cuts)))
}

async fn remove_device(
    conn: &mut SqliteConnection,
    client_id: &str,
    key_id: Option<&str>,
    expected: Option<u64>,
    at_ms: u64,
) -> Outcome {
    let row = devices::info(conn, client_id).await.map_err(widen)?;
    let row = row.filter(|row| key_id.is_none_or(|key_id| row.value.key_id == key_id));
    let known = found(row, expected, |row| row.changed)?.value;
    let cuts = remove_devices(conn, DevicesOf::ClientId(client_id), at_ms).await?;
    Ok(Some(Done::new("remove", Kind::Device, client_id).before(device_json(&known)).cuts(cuts)))
}

// Login links.

fn link_json(link: &LoginLink) -> Value {
    json!({ "link": link.link_id, "user": link.user, "expires_at_ms": link.expires_at_ms })
}

async fn create_link(conn: &mut SqliteConnection, link: &LoginLink, number: i64) -> Outcome {
    if links::link(conn, &link.link_id).await.map_err(widen)?.is_some() {
        return Err(rule(ApplyError::Exists));
    }
    links::insert(conn, link, number).await.map_err(widen)?;
    Ok(Some(Done::new("create", Kind::Link, &link.link_id).after(link_json(link))))
}

async fn update_link(
    conn: &mut SqliteConnection,
    link_id: &str,
    expires_at_ms: u64,
    expected: Option<u64>,
    number: i64,
) -> Outcome {
    let row = links::link(conn, link_id).await.map_err(widen)?;
    let known = found(row, expected, |row| row.changed)?.value;
    let wish = LoginLink { expires_at_ms: Some(expires_at_ms), ..known.clone() };
    if wish == known {
        return Ok(None);
    }
    let sql = query("UPDATE links SET expires_at_ms = $2, changed = $3 WHERE link_id = $1").bind(link_id);
    sql.bind(to_i64(expires_at_ms)?).bind(number).execute(conn).await?;
    Ok(Some(Done::new("update", Kind::Link, link_id).before(link_json(&known)).after(link_json(&wish))))
}

async fn remove_link(conn: &mut SqliteConnection, link_id: &str, expected: Option<u64>) -> Outcome {
    let row = links::link(conn, link_id).await.map_err(widen)?;
    let known = found(row, expected, |row| row.changed)?.value;
    query("DELETE FROM links WHERE link_id = $1").bind(link_id).execute(conn).await?;
    Ok(Some(Done::new("remove", Kind::Link, link_id).before(link_json(&known))))
}

// Tokens.

fn token_json(token: &RevokedToken) -> Value {
    json!({ "token": token.id, "key": token.key_id, "expires_at_ms": token.expires_at_ms })
}

async fn revoke_token(conn: &mut SqliteConnection, token: &RevokedToken, number: i64) -> Outcome {
    if tokens::is_revoked(conn, token.id).await? {
        return Ok(None);
    }
    if !tokens::have_room(conn, token.key_id.as_deref()).await.map_err(widen)? {
        return Err(rule(ApplyError::TooMany { max: REVOKED_TOKENS_MAX }));
    }
    tokens::insert(conn, token, number).await.map_err(widen)?;
    let done = Done::new("revoke", Kind::Token, token.id).before(token_json(token));
    Ok(Some(done.cuts(vec![Cut::Token { id: token.id }])))
}

impl From<CatalogError> for Fault<ApplyError> {
    fn from(error: CatalogError) -> Self {
        Self::Rule(error.into())
    }
}
