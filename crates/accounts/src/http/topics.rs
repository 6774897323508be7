//! Routes for parent topics and grants, and the question who may do what.

use super::Api;
use super::body::Body;
use super::once::{Once, OnceHeader, RefusedOnce};
use super::owner::{
    Asked, Expected, Force, Holder, IfMatch, Items, Named, Part, Refusals, Refused, RefusedOne, Tagged, Topics,
};
use super::unavailable;
use crate::access::{ClientId, Identity, check_parent};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use catalog::{Change, Grant, GrantFilter, Key, ParentTopic, Row, Rule};
use problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// What happens between MQTT and the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RuleName {
    /// Messages stay inside the broker.
    None,
    /// What is published goes to the queue topic of the same name.
    ToQueue,
    /// What is in the queue topic is delivered.
    FromQueue,
    Both,
}

impl From<RuleName> for Rule {
    fn from(name: RuleName) -> Self {
        match name {
            RuleName::None => Self::None,
            RuleName::ToQueue => Self::ToQueue,
            RuleName::FromQueue => Self::FromQueue,
            RuleName::Both => Self::Both,
        }
    }
}

impl From<Rule> for RuleName {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::None => Self::None,
            Rule::ToQueue => Self::ToQueue,
            Rule::FromQueue => Self::FromQueue,
            Rule::Both => Self::Both,
        }
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TopicRequest {
    /// 3 to 64 characters of A-Z a-z 0-9 - _; unique without regard to case.
    #[schema(example = "orders-up")]
    topic: String,
    rule: RuleName,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TopicUpdate {
    rule: RuleName,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TopicAnswer {
    topic: String,
    rule: RuleName,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TopicDetails {
    topic: String,
    rule: RuleName,
    /// What hangs on it.
    grants: u64,
}

fn shown(topic: ParentTopic) -> TopicAnswer {
    TopicAnswer { topic: topic.parent, rule: topic.rule.into() }
}

/// Lists parent topics.
#[utoipa::path(
    get, path = "/api/v1/topics", tag = "topics", security(("api_key" = ["topics"])), params(Part),
    responses((status = 200, body = Items<TopicAnswer>), Refused)
)]
pub(super) async fn list_topics(
    State(api): State<Arc<Api>>,
    _: Holder<Topics>,
    Asked(part): Asked<Part>,
) -> Result<Json<Items<TopicAnswer>>, Problem> {
    let rows = api.state.catalog.parents(part.page()?).await.map_err(unavailable)?;
    Items::of(&part, rows, |topic| topic.parent.clone(), |row| shown(row.value))
}

/// Creates a parent topic; the same one again stays as it is.
#[utoipa::path(
    post, path = "/api/v1/topics", tag = "topics", security(("api_key" = ["topics"])), params(OnceHeader),
    request_body = TopicRequest, responses((status = 200, body = TopicAnswer), Refused, RefusedOne, RefusedOnce)
)]
pub(super) async fn create_topic(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Once { request: TopicRequest { topic, rule }, ticket }: Once<TopicRequest>,
) -> Result<Json<TopicAnswer>, Problem> {
    check_parent(&topic).map_err(|error| Problem::new(Code::InvalidTopic, error.to_string()))?;
    let wish = ParentTopic { parent: topic.clone(), rule: rule.into() };
    let answer = shown(wish.clone());
    let sealed = ticket.seal(api.now_ms(), Some(&answer))?;
    let made = api.apply_once(holder.by(), Change::CreateParent(wish), None, sealed).await;
    made.map_err(|error| Refusals::of("parent topic", &topic).refuse(error))?;
    Ok(Json(answer))
}

/// A parent topic, and what hangs on it.
#[utoipa::path(
    get, path = "/api/v1/topics/{topic}", tag = "topics", security(("api_key" = ["topics"])),
    params(("topic" = String, Path)), responses((status = 200, body = TopicDetails, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn show_topic(
    State(api): State<Arc<Api>>,
    _: Holder<Topics>,
    Named(topic): Named<String>,
) -> Result<Tagged<TopicDetails>, Problem> {
    let found = api.state.catalog.parent(&topic).await.map_err(unavailable)?;
    let (Row { value, changed }, uses) = found.ok_or_else(|| Refusals::of("parent topic", &topic).unknown())?;
    Ok(Tagged(changed, TopicDetails { topic: value.parent, rule: value.rule.into(), grants: uses.grants }))
}

/// Changes the rule of a parent topic.
#[utoipa::path(
    patch, path = "/api/v1/topics/{topic}", tag = "topics", security(("api_key" = ["topics"])),
    params(("topic" = String, Path), IfMatch), request_body = TopicUpdate,
    responses((status = 200, body = TopicAnswer), Refused, RefusedOne)
)]
pub(super) async fn update_topic(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named(topic): Named<String>,
    Expected(expected): Expected,
    Body(TopicUpdate { rule }): Body<TopicUpdate>,
) -> Result<Json<TopicAnswer>, Problem> {
    let wish = ParentTopic { parent: topic.clone(), rule: rule.into() };
    let done = api.apply(holder.by(), Change::UpdateParent(wish.clone()), expected).await;
    done.map_err(|error| Refusals::of("parent topic", &topic).refuse(error))?;
    Ok(Json(shown(wish)))
}

/// Removes a parent topic: nobody publishes to it any more. With `force` its grants go too.
#[utoipa::path(
    delete, path = "/api/v1/topics/{topic}", tag = "topics", security(("api_key" = ["topics"])),
    params(("topic" = String, Path), Force, IfMatch), responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn remove_topic(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named(topic): Named<String>,
    Asked(Force { force }): Asked<Force>,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    let gone = api.apply(holder.by(), Change::RemoveParent { parent: topic.clone(), force }, expected).await;
    gone.map_err(|error| Refusals::of("parent topic", &topic).refuse(error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The right of a group's devices to publish to a parent topic.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantBody {
    group: String,
    topic: String,
}

fn grant(row: Row<Grant>) -> GrantBody {
    GrantBody { group: row.value.group, topic: row.value.parent }
}

fn grant_id(grant: &Grant) -> String {
    format!("{}/{}", grant.group, grant.parent)
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GrantQuery {
    /// Those of this group.
    group: Option<String>,
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
    let filter = GrantFilter { group: query.group, parent: query.topic };
    let rows = api.state.catalog.grants(filter, part.page()?).await.map_err(unavailable)?;
    Items::of(&part, rows, grant_id, grant)
}

/// Lets the devices of a group publish to a parent topic; a grant that exists stays as it is.
#[utoipa::path(
    post, path = "/api/v1/grants", tag = "topics", security(("api_key" = ["topics"])), params(OnceHeader),
    request_body = GrantBody, responses((status = 200, body = GrantBody), Refused, RefusedOne, RefusedOnce)
)]
pub(super) async fn create_grant(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Once { request, ticket }: Once<GrantBody>,
) -> Result<Json<GrantBody>, Problem> {
    let wish = Grant { group: request.group.clone(), parent: request.topic.clone() };
    let sealed = ticket.seal(api.now_ms(), Some(&request))?;
    let made = api.apply_once(holder.by(), Change::CreateGrant(wish.clone()), None, sealed).await;
    made.map_err(|error| Refusals::of("grant", &grant_id(&wish)).refuse(error))?;
    Ok(Json(request))
}

/// Takes the right back, at once.
#[utoipa::path(
    delete, path = "/api/v1/grants/{group}/{topic}", tag = "topics", security(("api_key" = ["topics"])),
    params(("group" = String, Path), ("topic" = String, Path), IfMatch), responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn remove_grant(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Named((group, parent)): Named<(String, String)>,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    let wish = Grant { group, parent };
    let id = grant_id(&wish);
    let gone = api.apply(holder.by(), Change::RemoveGrant(wish), expected).await;
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

/// May this device or service publish or subscribe there?
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
        (None, Some(key_id)) => Identity::Service { key_id, instance: access.instance().to_owned() },
        _ => return Err(Problem::new(Code::InvalidQuery, "name a client_id or a key, one of them")),
    };
    let decided = match query.action {
        Action::Publish => access.may_publish(&who, &query.topic).map_err(|refusal| refusal.to_string()),
        Action::Subscribe => access.may_subscribe(&who, &query.topic).map_err(|refusal| refusal.to_string()),
    };
    let allowed = decided.is_ok();
    let why = decided.err().unwrap_or_else(|| allowed_by(&who, &query.topic));
    Ok(Json(TestAnswer { allowed, why }))
}

/// None of its secrets lets anybody in any more.
fn has_ended(api: &Api, key: &Key) -> bool {
    let is_over = |until_ms: Option<u64>| until_ms.is_some_and(|until_ms| (api.state.is_over)(until_ms));
    key.secrets.iter().all(|secret| is_over(key.valid_until_ms(secret)))
}

/// As it would log in. Of one that is not registered the group counts alone.
async fn device(api: &Api, client_id: String) -> Result<Identity, Problem> {
    let id = ClientId::parse(&client_id).map_err(|error| Problem::new(Code::InvalidDevice, error.to_string()))?;
    let group = id.group().to_owned();
    let known = api.state.catalog.device(&client_id).await.map_err(unavailable)?;
    Ok(Identity::Device { client_id, user: known.map(|known| known.user).unwrap_or_default(), group, publishes: None })
}

fn allowed_by(who: &Identity, topic: &str) -> String {
    let parent = topic.split('/').next().unwrap_or(topic);
    match who {
        Identity::Service { key_id, .. } => {
            format!("the access key {key_id} has the scope topics, and with it all parent topics")
        }
        Identity::Device { group, .. } => format!("the grant {group}/{parent}"),
        Identity::Tokens(_) => "a token that names the topic".to_owned(),
    }
}
