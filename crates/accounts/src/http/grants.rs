//! Routes for grants, and the question who may do what.

use super::Api;
use super::body::Body;
use super::once::{Once, OnceHeader, RefusedOnce};
use super::owner::{
    Asked, Expected, Holder, IfMatch, Items, Named, Part, Refusals, Refused, RefusedOne, Tagged, Topics,
};
use super::unavailable;
use crate::access::{Access, ClientId, Identity, P2pTopic, PublishRefusal, SubscribeRefusal, check_group_id, unshared};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use catalog::{Change, Grant, GrantFilter, Grantee, Key, Right, Rights, Row, Scope};
use problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RightName {
    /// To publish to the topics of the parent.
    Publish,
    /// To subscribe to filters inside the parent.
    Subscribe,
    /// To publish to one client: `<topic>/p2p/<client id>`.
    P2p,
}

const RIGHTS: [(RightName, Right); 3] =
    [(RightName::Publish, Right::Publish), (RightName::Subscribe, Right::Subscribe), (RightName::P2p, Right::P2p)];

fn to_rights(names: &[RightName]) -> Result<Rights, Problem> {
    if names.is_empty() {
        return Err(Problem::new(Code::InvalidBody, "a grant without rights gives nothing; name one, or remove it"));
    }
    Ok(RIGHTS.into_iter().filter(|(name, _)| names.contains(name)).map(|(_, right)| right).collect())
}

/// What a group, a user or an access key may do at a parent topic: `group`, `user` or `key` says who, one of them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantBody {
    /// For its devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// For its devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// An access key, for which the scope admin is needed besides. Its first grant narrows it for good to what its grants name.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    topic: String,
    /// `publish` without it.
    #[serde(default = "to_publish")]
    rights: Vec<RightName>,
}

fn to_publish() -> Vec<RightName> {
    vec![RightName::Publish]
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantUpdate {
    /// These and no others.
    rights: Vec<RightName>,
}

/// `None`: there is no name.
fn one_grantee(
    group: Option<String>,
    user: Option<String>,
    key: Option<String>,
) -> Result<Option<Grantee>, &'static str> {
    let all = [group.map(Grantee::Group), user.map(Grantee::User), key.map(Grantee::Key)];
    let mut named = all.into_iter().flatten();
    let first = named.next();
    if named.next().is_some() { Err("name a group, a user or a key, one of them") } else { Ok(first) }
}

impl TryFrom<GrantBody> for Grant {
    type Error = Problem;

    fn try_from(body: GrantBody) -> Result<Self, Problem> {
        let refused = |words| Problem::new(Code::InvalidBody, words);
        let grantee = one_grantee(body.group, body.user, body.key).map_err(refused)?;
        let grantee =
            grantee.ok_or_else(|| refused("name a group, a user or a key: somebody has to have the grant"))?;
        Ok(Self { grantee, parent: body.topic, rights: to_rights(&body.rights)? })
    }
}

fn shown(grant: Grant) -> GrantBody {
    let has = |wanted: Right| grant.rights.allow(wanted);
    let rights = RIGHTS.into_iter().filter(|(_, right)| has(*right)).map(|(name, _)| name).collect();
    let (mut group, mut user, mut key) = (None, None, None);
    match grant.grantee {
        Grantee::Group(name) => group = Some(name),
        Grantee::User(name) => user = Some(name),
        Grantee::Key(name) => key = Some(name),
    }
    GrantBody { group, user, key, topic: grant.parent, rights }
}

/// Why a right at this topic is nobody's who is a device: what is said in a call goes by the rules of calls, whatever an owner
/// grants, and who is online says the broker.
pub(super) fn why_closed(access: &Access, parent: &str) -> &'static str {
    match access.topic_of_calls(parent) {
        Some(_) => "it carries the signals of calls, and others could be rung in anybody's name, or be listened to",
        None => "the broker tells there who is online, and nobody else",
    }
}

fn check_open(access: &Access, grant: &Grant) -> Result<(), Problem> {
    let is_of_devices = !matches!(grant.grantee, Grantee::Key(_));
    let closed = access.never_granted_to_devices(&grant.parent);
    let Some(right) = grant.rights.iter().find(|right| is_of_devices && closed.allow(*right)) else { return Ok(()) };
    let words = format!(
        "no device has the right {} at {}: {}; take another parent topic",
        right.name(),
        grant.parent,
        why_closed(access, &grant.parent)
    );
    Err(Problem::new(Code::InvalidBody, words))
}

/// Keys are the matter of those who administer them.
fn require_for(holder: &Holder<Topics>, grantee: &Grantee) -> Result<(), Problem> {
    match grantee {
        Grantee::Key(_) => holder.require_for("a grant of a key", "it narrows the key", &[Scope::Admin]),
        Grantee::Group(_) | Grantee::User(_) => Ok(()),
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GrantQuery {
    /// Those of this group; not together with `user` or `key`.
    group: Option<String>,
    /// Those of this user.
    user: Option<String>,
    /// Those of this access key.
    key: Option<String>,
    /// Those for this parent topic.
    topic: Option<String>,
    /// The `next` of the part before.
    after: Option<String>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Lists grants.
#[utoipa::path(
    get, path = "/api/v1/grants", tag = "topics", security(("api_key" = ["topics"])), params(GrantQuery),
    responses((status = 200, body = Items<GrantBody>), Refused)
)]
pub(super) async fn list_grants(
    State(api): State<Arc<Api>>,
    _: Holder<Topics>,
    Asked(query): Asked<GrantQuery>,
) -> Result<Json<Items<GrantBody>>, Problem> {
    let part = Part { after: query.after, limit: query.limit };
    let grantee =
        one_grantee(query.group, query.user, query.key).map_err(|words| Problem::new(Code::InvalidQuery, words))?;
    if let Some(Grantee::Group(group)) = &grantee {
        check_group_id(group).map_err(|error| Problem::new(Code::InvalidQuery, error.to_string()))?;
    }
    let filter = GrantFilter { grantee, parent: query.topic };
    let rows = api.state.catalog.grants(filter, part.page()?).await.map_err(unavailable)?;
    Items::of(&part, rows, Grant::name, |row| shown(row.value))
}

/// Grants rights at a parent topic to a group, a user or an access key; a grant that exists with the same rights stays as it is. No
/// key narrows itself.
#[utoipa::path(
    post, path = "/api/v1/grants", tag = "topics", security(("api_key" = ["topics"])), params(OnceHeader),
    request_body = GrantBody, responses((status = 200, body = GrantBody), Refused, RefusedOne, RefusedOnce)
)]
pub(super) async fn create_grant(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Once { request, ticket }: Once<GrantBody>,
) -> Result<Json<GrantBody>, Problem> {
    let wish = Grant::try_from(request)?;
    require_for(&holder, &wish.grantee)?;
    if let Grantee::Key(key_id) = &wish.grantee {
        holder.refuse_own(key_id, "narrow itself")?;
    }
    check_open(&api.state.access.load(), &wish)?;
    let (name, answer) = (wish.name(), shown(wish.clone()));
    let sealed = ticket.seal(api.now_ms(), Some(&answer))?;
    let made = api.apply_once(holder.by(), Change::CreateGrant(wish), None, sealed).await;
    made.map_err(|error| Refusals::of("grant", &name).refuse(error))?;
    Ok(Json(answer))
}

/// A grant.
#[utoipa::path(
    get, path = "/api/v1/grants/{grantee}/{topic}", tag = "topics", security(("api_key" = ["topics"])),
    params(("grantee" = String, Path, description = "A Group ID, `user:<user>` or `key:<key>`."), ("topic" = String, Path)),
    responses((status = 200, body = GrantBody, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn show_grant(
    State(api): State<Arc<Api>>,
    _: Holder<Topics>,
    Named((grantee, parent)): Named<(String, String)>,
) -> Result<Tagged<GrantBody>, Problem> {
    let found = api.state.catalog.grant(&Grantee::of_name(&grantee), &parent).await.map_err(unavailable)?;
    let Row { value, changed } =
        found.ok_or_else(|| Refusals::of("grant", &format!("{grantee}/{parent}")).unknown())?;
    Ok(Tagged(changed, shown(value)))
}

/// Changes the rights of a grant. What is taken away is gone at once.
#[utoipa::path(
    patch, path = "/api/v1/grants/{grantee}/{topic}", tag = "topics", security(("api_key" = ["topics"])),
    params(("grantee" = String, Path, description = "A Group ID, `user:<user>` or `key:<key>`."), ("topic" = String, Path), IfMatch),
    request_body = GrantUpdate, responses((status = 200, body = GrantBody), Refused, RefusedOne)
)]
pub(super) async fn update_grant(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named((grantee, parent)): Named<(String, String)>,
    Expected(expected): Expected,
    Body(GrantUpdate { rights }): Body<GrantUpdate>,
) -> Result<Json<GrantBody>, Problem> {
    let wish = Grant { grantee: Grantee::of_name(&grantee), parent, rights: to_rights(&rights)? };
    require_for(&holder, &wish.grantee)?;
    check_open(&api.state.access.load(), &wish)?;
    let done = api.apply(holder.by(), Change::UpdateGrant(wish.clone()), expected).await;
    done.map_err(|error| Refusals::of("grant", &wish.name()).refuse(error))?;
    Ok(Json(shown(wish)))
}

/// Takes the rights back, at once. A key that loses its last grant may do nothing.
#[utoipa::path(
    delete, path = "/api/v1/grants/{grantee}/{topic}", tag = "topics", security(("api_key" = ["topics"])),
    params(("grantee" = String, Path, description = "A Group ID, `user:<user>` or `key:<key>`."), ("topic" = String, Path), IfMatch),
    responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn remove_grant(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named((grantee, parent)): Named<(String, String)>,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    let id = format!("{grantee}/{parent}");
    let grantee = Grantee::of_name(&grantee);
    require_for(&holder, &grantee)?;
    let gone = api.apply(holder.by(), Change::RemoveGrant { grantee, parent }, expected).await;
    gone.map_err(|error| Refusals::of("grant", &id).refuse(error))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Publish,
    Subscribe,
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TestQuery {
    /// The client id of a device, registered or not; not together with `key`.
    #[param(example = "GID_phone@@@d1")]
    client_id: Option<String>,
    /// The id of an access key; not together with `client_id`.
    key: Option<String>,
    #[param(inline)]
    action: Action,
    /// A topic; of a subscription a filter.
    #[param(example = "orders-up/call")]
    topic: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TestAnswer {
    allowed: bool,
    /// The rule that has decided.
    why: String,
}

/// May this device or service publish or subscribe there, by MQTT and with a login of its own?
#[utoipa::path(
    get, path = "/api/v1/grants:test", tag = "topics", security(("api_key" = ["topics"])), params(TestQuery),
    responses((status = 200, body = TestAnswer), Refused)
)]
pub(super) async fn test_grant(
    State(api): State<Arc<Api>>,
    _: Holder<Topics>,
    Asked(query): Asked<TestQuery>,
) -> Result<Json<TestAnswer>, Problem> {
    let access = api.state.access.load();
    let who = match (query.client_id, query.key) {
        (Some(client_id), None) => device(&api, client_id).await?,
        (None, Some(key_id)) if access.key(&key_id).is_none() => {
            let why = format!("there is no access key {key_id}, or it is disabled");
            return Ok(Json(TestAnswer { allowed: false, why }));
        }
        (None, Some(key_id)) if access.key(&key_id).is_some_and(|key| has_ended(&api, key)) => {
            let why = format!("the access key {key_id} has expired");
            return Ok(Json(TestAnswer { allowed: false, why }));
        }
        (None, Some(key_id)) if access.key(&key_id).is_some_and(|key| key.instance != access.instance()) => {
            let why = format!("the access key {key_id} is of another instance");
            return Ok(Json(TestAnswer { allowed: false, why }));
        }
        (None, Some(key_id)) => Identity::Service { key_id, instance: access.instance().to_owned() },
        _ => return Err(Problem::new(Code::InvalidQuery, "name a client_id or a key, one of them")),
    };
    Ok(Json(decide(&access, &who, query.action, &query.topic)))
}

fn decide(access: &Access, who: &Identity, action: Action, topic: &str) -> TestAnswer {
    if matches!(action, Action::Subscribe) && topic.starts_with("$share/") {
        let why = "shared subscriptions are not offered; subscribe to the filter itself".to_owned();
        return TestAnswer { allowed: false, why };
    }
    let right = match action {
        Action::Publish => P2pTopic::right_at(topic),
        Action::Subscribe => Right::Subscribe,
    };
    let refused = match action {
        Action::Publish => access.may_publish(who, topic).err().map(|refusal| match refusal {
            PublishRefusal::NotGranted => not_granted(access, who, right, topic),
            refusal => refusal.to_string(),
        }),
        Action::Subscribe => access.may_subscribe(who, topic).err().map(|refusal| match refusal {
            SubscribeRefusal::NotGranted => not_granted(access, who, right, topic),
            refusal => refusal.to_string(),
        }),
    };
    let allowed = refused.is_none();
    TestAnswer { allowed, why: refused.unwrap_or_else(|| allowed_by(access, who, right, topic)) }
}

/// None of its secrets lets anybody in any more.
fn has_ended(api: &Api, key: &Key) -> bool {
    let is_over = |until_ms: Option<u64>| until_ms.is_some_and(|until_ms| (api.state.is_over)(until_ms));
    key.secrets.iter().all(|secret| is_over(key.valid_until_ms(secret)))
}

/// As it would log in. Of one that is not registered the grants of its group count alone.
async fn device(api: &Api, client_id: String) -> Result<Identity, Problem> {
    let id = ClientId::parse(&client_id).map_err(|error| Problem::new(Code::InvalidDevice, error.to_string()))?;
    let group = id.group().to_owned();
    let known = api.state.catalog.device(&client_id).await.map_err(unavailable)?;
    Ok(Identity::Device { client_id, user: known.map(|known| known.user).unwrap_or_default(), group, publishes: None })
}

fn not_granted(access: &Access, who: &Identity, right: Right, topic: &str) -> String {
    let grantees: Vec<_> = access.grantees(who).iter().map(ToString::to_string).collect();
    format!("no grant of {} gives the right {} at {}", grantees.join(" or "), right.name(), first_level(topic))
}

fn allowed_by(access: &Access, who: &Identity, right: Right, topic: &str) -> String {
    let parent = first_level(topic);
    let granted = access.grantees(who).into_iter().find(|grantee| access.gives(grantee, parent, right));
    match (granted, who) {
        (Some(grantee), _) => format!("the grant {grantee}/{parent}, with the right {}", right.name()),
        (None, Identity::Service { key_id, .. }) => {
            format!("the access key {key_id} has the scope topics, and with it all parent topics")
        }
        (None, _) => "a token that names the topic".to_owned(),
    }
}

/// Of the filter that a shared one shares.
fn first_level(topic: &str) -> &str {
    unshared(topic).split('/').next().unwrap_or(topic)
}
