//! Routes for keys: access keys of services, and API keys of those who administer.

use super::Api;
use super::api_keys::{hex, sha256_hex};
use super::body::{Body, Secret};
use super::credentials::{asked, random};
use super::once::{Once, OnceHeader, RefusedOnce};
use super::owner::{
    Admin, Asked, Expected, Holder, IfMatch, Items, Named, Part, Refusals, Refused, RefusedOne, Tagged,
};
use super::unavailable;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalog::text::is_disturbing;
use catalog::{Change, Key, KeyKind, KeySecret, KeyUpdate, Row, Scope, Scopes};
use problem::{Code, Problem};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;

/// How long the old secret is valid after a rotation, without another wish.
const OVERLAP_S: u64 = 24 * 3600;
const OVERLAP_S_MAX: u64 = 30 * 24 * 3600;
/// Of a key that rotates itself: whose answer is lost asks for it again with the secret of before.
const OWN_OVERLAP_S_MIN: u64 = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum KindName {
    /// Logs a service in on MQTT, by a signature, and opens the API.
    Access,
    /// Opens the API alone; its secret is not kept.
    Api,
}

impl From<KindName> for KeyKind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Access => Self::Access,
            KindName::Api => Self::Api,
        }
    }
}

impl From<KeyKind> for KindName {
    fn from(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Access => Self::Access,
            KeyKind::Api => Self::Api,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ScopeName {
    /// Parent topics, grants and tokens; to publish and subscribe on MQTT, to send and receive on the queue.
    Topics,
    /// Group IDs.
    Groups,
    /// Users, their devices and login links.
    Devices,
    /// To look at meetings, and to act in them.
    Meetings,
    /// To look at an open channel.
    Channels,
    /// To say on the queue which terminal has sent a message, and to send online events.
    Stamps,
    /// All of these, and keys and the log of changes.
    Admin,
}

const SCOPES: [(ScopeName, Scope); 7] = [
    (ScopeName::Topics, Scope::Topics),
    (ScopeName::Groups, Scope::Groups),
    (ScopeName::Devices, Scope::Devices),
    (ScopeName::Meetings, Scope::Meetings),
    (ScopeName::Channels, Scope::Channels),
    (ScopeName::Stamps, Scope::Stamps),
    (ScopeName::Admin, Scope::Admin),
];

fn to_scopes(names: &[ScopeName]) -> Result<Scopes, Problem> {
    if names.is_empty() {
        return Err(Problem::new(Code::InvalidKey, "a key without a scope can do nothing; name one at least"));
    }
    Ok(SCOPES.into_iter().filter(|(name, _)| names.contains(name)).map(|(_, scope)| scope).collect())
}

fn names_of(scopes: Scopes) -> Vec<ScopeName> {
    let has = |wanted: Scope| scopes.iter().any(|scope| scope == wanted);
    SCOPES.into_iter().filter(|(_, scope)| has(*scope)).map(|(name, _)| name).collect()
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRequest {
    /// 1 to 64 of A-Z a-z 0-9 _ . -; else a new one.
    #[schema(example = "billing")]
    key: Option<String>,
    kind: KindName,
    scopes: Vec<ScopeName>,
    /// For people; up to 200 characters.
    #[serde(default)]
    note: String,
    /// Milliseconds since 1970; else it lasts until it is removed.
    expires_at_ms: Option<u64>,
    /// Of an access key the consumer groups by which it receives from the queue, and no others; else any. Up to 64.
    #[schema(example = json!(["shop"]))]
    consumer_groups: Option<Vec<String>>,
}

/// A field that is left out stays as it is.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeyChange {
    scopes: Option<Vec<ScopeName>>,
    note: Option<String>,
    /// `null`: it lasts until it is removed.
    #[serde(deserialize_with = "also_null")]
    #[schema(value_type = Option<u64>)]
    expires_at_ms: Option<Option<u64>>,
    disabled: Option<bool>,
    /// `null`: any.
    #[serde(deserialize_with = "also_null")]
    #[schema(value_type = Option<Vec<String>>)]
    consumer_groups: Option<Option<Vec<String>>>,
}

fn also_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(field).map(Some)
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RotationRequest {
    /// For how many seconds the secret of now stays valid: up to 30 days; a day without it.
    #[schema(maximum = 2_592_000)]
    overlap_s: Option<u64>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct KeyAnswer {
    key: String,
    kind: KindName,
    scopes: Vec<ScopeName>,
    note: String,
    created_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    disabled: bool,
    /// It has, or had, a grant, and may do on MQTT what its grants name alone; it administers no topics.
    narrowed: bool,
    /// The consumer groups by which it receives from the queue; left out: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_groups: Option<Vec<String>>,
    /// How many grants it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    grants: Option<u64>,
    /// How many connections stand by it, or by tokens that it has applied for.
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<u64>,
    /// The newest first.
    secrets: Vec<SecretAnswer>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SecretAnswer {
    generation: u64,
    /// Left out: as long as the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until_ms: Option<u64>,
}

#[derive(Clone, Serialize, ToSchema)]
pub(super) struct NewSecret {
    key: String,
    /// It is shown this once.
    secret: String,
    generation: u64,
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSecret").field("key", &self.key).finish_non_exhaustive()
    }
}

fn shown(key: Key) -> KeyAnswer {
    let secrets = key.secrets.iter();
    KeyAnswer {
        kind: key.kind.into(),
        scopes: names_of(key.scopes),
        secrets: secrets
            .map(|secret| SecretAnswer { generation: secret.generation, valid_until_ms: secret.valid_until_ms })
            .collect(),
        key: key.key_id,
        note: key.note,
        created_at_ms: key.created_at_ms,
        expires_at_ms: key.expires_at_ms,
        disabled: key.disabled,
        narrowed: key.is_narrowed,
        consumer_groups: key.consumer_groups,
        grants: None,
        connections: None,
    }
}

/// The secret, and the form in which the catalog keeps it.
fn new_secret(kind: KeyKind) -> Result<(String, String), Problem> {
    let secret = URL_SAFE_NO_PAD.encode(random::<32>()?);
    let kept = match kind {
        KeyKind::Access => secret.clone(),
        KeyKind::Api => sha256_hex(&secret),
    };
    Ok((secret, kept))
}

fn check_note(note: &str) -> Result<(), Problem> {
    let good = note.chars().count() <= Key::NOTE_CHARS_MAX && !note.chars().any(is_disturbing);
    let words = "the note of a key has at most 200 characters, and none that leaves the line or turns the direction of the text";
    if good { Ok(()) } else { Err(Problem::new(Code::InvalidKey, words)) }
}

/// A name that no group has is not refused: it may be made later.
fn check_groups(groups: Option<&[String]>) -> Result<(), Problem> {
    let max = Key::CONSUMER_GROUPS_MAX;
    let is_name = |name: &String| {
        (1..=127).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if groups.is_none_or(|groups| groups.len() <= max && groups.iter().all(is_name)) {
        return Ok(());
    }
    let words =
        format!("consumer_groups has at most {max} names, of letters, digits, - and _; leave it out for any group");
    Err(Problem::new(Code::InvalidKey, words))
}

fn check_expiry(api: &Api, expires_at_ms: Option<u64>) -> Result<(), Problem> {
    let is_good = |at_ms| at_ms > api.now_ms() && i64::try_from(at_ms).is_ok();
    let words = "expires_at_ms must lie ahead, in milliseconds since 1970; leave it out for a key that lasts";
    if expires_at_ms.is_none_or(is_good) { Ok(()) } else { Err(Problem::new(Code::InvalidKey, words)) }
}

/// Lists keys.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "keys", security(("api_key" = ["admin"])), params(Part),
    responses((status = 200, body = Items<KeyAnswer>), Refused)
)]
pub(super) async fn list_keys(
    State(api): State<Arc<Api>>,
    _: Holder<Admin>,
    Asked(part): Asked<Part>,
) -> Result<Json<Items<KeyAnswer>>, Problem> {
    let rows = api.state.catalog.keys(part.page()?).await.map_err(unavailable)?;
    Items::of(&part, rows, |key| key.key_id.clone(), |row| shown(row.value))
}

/// Creates a key, and shows its secret this once.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "keys", security(("api_key" = ["admin"])), params(OnceHeader),
    request_body = KeyRequest, responses((status = 200, body = NewSecret), Refused, RefusedOne, RefusedOnce)
)]
pub(super) async fn create_key(
    State(api): State<Arc<Api>>,
    holder: Holder<Admin>,
    Once { request, ticket }: Once<KeyRequest>,
) -> Result<Secret<NewSecret>, Problem> {
    let key_id = match request.key {
        Some(key_id) => key_id,
        None => format!("k-{}", hex(&random::<8>()?)),
    };
    if !Key::may_be_called(&key_id) {
        return Err(Problem::new(Code::InvalidKey, "a key's id has 1 to 64 characters of A-Z a-z 0-9 _ . -"));
    }
    check_note(&request.note)?;
    check_expiry(&api, request.expires_at_ms)?;
    check_groups(request.consumer_groups.as_deref())?;
    let kind = request.kind.into();
    let (secret, kept) = new_secret(kind)?;
    let instance = match kind {
        KeyKind::Access => api.state.access.load().instance().to_owned(),
        KeyKind::Api => String::new(),
    };
    let key = Key {
        key_id: key_id.clone(),
        kind,
        instance,
        scopes: to_scopes(&request.scopes)?,
        note: request.note,
        created_at_ms: api.now_ms(),
        expires_at_ms: request.expires_at_ms,
        disabled: false,
        is_narrowed: false,
        consumer_groups: request.consumer_groups,
        secrets: vec![KeySecret { generation: 1, secret: kept, valid_until_ms: None }],
    };
    let answer = NewSecret { key: key_id, secret, generation: 1 };
    let sealed = ticket.seal(api.now_ms(), Some(&answer))?;
    let made = api.apply_once(holder.by(), Change::CreateKey(key), None, sealed).await;
    made.map_err(|error| Refusals::of("key", &answer.key).refuse(error))?;
    Ok(Secret(answer))
}

/// A key, without its secrets, and what hangs on it.
#[utoipa::path(
    get, path = "/api/v1/keys/{key}", tag = "keys", security(("api_key" = ["admin"])),
    params(("key" = String, Path)), responses((status = 200, body = KeyAnswer, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn show_key(
    State(api): State<Arc<Api>>,
    _: Holder<Admin>,
    Named(key_id): Named<String>,
) -> Result<Tagged<KeyAnswer>, Problem> {
    let Row { value, changed } = known(&api, &key_id).await?;
    let grants = u64::try_from(api.state.access.load().grants_of_key(&key_id)).ok();
    let connections = match value.kind {
        KeyKind::Access => {
            Some(asked(&api, &api.questions, |clients, turn| clients.connections_of_key(&key_id, turn)).await?)
        }
        KeyKind::Api => None,
    };
    Ok(Tagged(changed, KeyAnswer { grants, connections, ..shown(value) }))
}

async fn known(api: &Api, key_id: &str) -> Result<Row<Key>, Problem> {
    let found = api.state.catalog.key(key_id).await.map_err(unavailable)?;
    found.ok_or_else(|| Refusals::of("key", key_id).unknown())
}

/// Changes scopes, note and expiry of a key, disables or enables it. No key disables itself, takes the scope admin from itself or
/// brings its own end nearer.
#[utoipa::path(
    patch, path = "/api/v1/keys/{key}", tag = "keys", security(("api_key" = ["admin"])),
    params(("key" = String, Path), IfMatch), request_body = KeyChange,
    responses((status = 200, body = KeyAnswer, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn update_key(
    State(api): State<Arc<Api>>,
    holder: Holder<Admin>,
    Named(key_id): Named<String>,
    Expected(expected): Expected,
    Body(change): Body<KeyChange>,
) -> Result<Tagged<KeyAnswer>, Problem> {
    change.note.as_deref().map(check_note).transpose()?;
    check_expiry(&api, change.expires_at_ms.flatten())?;
    check_groups(change.consumer_groups.as_ref().and_then(Option::as_deref))?;
    let update = KeyUpdate {
        scopes: change.scopes.as_deref().map(to_scopes).transpose()?,
        note: change.note,
        expires_at_ms: change.expires_at_ms,
        disabled: change.disabled,
        consumer_groups: change.consumer_groups,
    };
    if update.disabled == Some(true) {
        holder.refuse_own(&key_id, "disable itself")?;
    }
    if update.scopes.is_some_and(|scopes| !scopes.allow(Scope::Admin)) {
        holder.refuse_own(&key_id, "take the scope admin from itself")?;
    }
    if let Some(Some(ends)) = update.expires_at_ms
        && holder.is_key(&key_id)
        && known(&api, &key_id).await?.value.expires_at_ms.is_none_or(|end| ends < end)
    {
        holder.refuse_own(&key_id, "bring its own end nearer")?;
    }
    let done = api.apply(holder.by(), Change::UpdateKey { key_id: key_id.clone(), update }, expected).await;
    done.map_err(|error| Refusals::of("key", &key_id).refuse(error))?;
    let Row { value, changed } = known(&api, &key_id).await?;
    Ok(Tagged(changed, shown(value)))
}

/// Gives a key a new secret, and shows it this once. The one before stays valid for a while; older ones end. A key that rotates
/// itself keeps the one before for 120 s at least.
#[utoipa::path(
    post, path = "/api/v1/keys/{key}/rotate", tag = "keys", security(("api_key" = ["admin"])),
    params(("key" = String, Path), OnceHeader, IfMatch),
    request_body(content = RotationRequest, description = "May be empty."),
    responses((status = 200, body = NewSecret), Refused, RefusedOne, RefusedOnce)
)]
pub(super) async fn rotate_key(
    State(api): State<Arc<Api>>,
    holder: Holder<Admin>,
    Named(key_id): Named<String>,
    Expected(expected): Expected,
    Once { request: RotationRequest { overlap_s }, ticket }: Once<RotationRequest>,
) -> Result<Secret<NewSecret>, Problem> {
    let overlap_s = overlap_s.unwrap_or(OVERLAP_S);
    if overlap_s > OVERLAP_S_MAX {
        return Err(Problem::new(Code::InvalidKey, "overlap_s is at most 2592000, 30 days"));
    }
    if overlap_s < OWN_OVERLAP_S_MIN && holder.is_key(&key_id) {
        let words = format!(
            "the key {key_id} is the one of this request: it needs its secret of now to ask again if the answer is lost; send \
             overlap_s of {OWN_OVERLAP_S_MIN} or more, or rotate it with another key"
        );
        return Err(Problem::new(Code::InUse, words));
    }
    let Row { value, changed } = known(&api, &key_id).await?;
    let (secret, kept) = new_secret(value.kind)?;
    let previous_until_ms = api.now_ms() + overlap_s * 1000;
    let wish = Change::RotateKey { key_id: key_id.clone(), secret: kept, previous_until_ms };
    let generation = value.secrets.first().map_or(0, |newest| newest.generation) + 1;
    let answer = NewSecret { key: key_id, secret, generation };
    let sealed = ticket.seal(api.now_ms(), Some(&answer))?;
    // What was read is what is rotated: the generation is told.
    let done = api.apply_once(holder.by(), wish, Some(expected.unwrap_or(changed)), sealed).await;
    done.map_err(|error| Refusals::of("key", &answer.key).refuse(error))?;
    Ok(Secret(answer))
}

/// Removes a key: nobody is let in by it any more. No key removes itself.
#[utoipa::path(
    delete, path = "/api/v1/keys/{key}", tag = "keys", security(("api_key" = ["admin"])),
    params(("key" = String, Path), IfMatch), responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn remove_key(
    State(api): State<Arc<Api>>,
    holder: Holder<Admin>,
    Named(key_id): Named<String>,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    holder.refuse_own(&key_id, "remove itself")?;
    let gone = api.apply(holder.by(), Change::RemoveKey { key_id: key_id.clone() }, expected).await;
    gone.map_err(|error| Refusals::of("key", &key_id).refuse(error))?;
    Ok(StatusCode::NO_CONTENT)
}
