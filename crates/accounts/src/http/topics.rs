//! Routes for parent topics.

use super::Api;
use super::body::Body;
use super::once::{Once, OnceHeader, RefusedOnce};
use super::owner::{
    Asked, Expected, Force, Holder, IfMatch, Items, Named, Part, Refusals, Refused, RefusedOne, Tagged, Topics,
};
use super::unavailable;
use crate::access::{advice, check_parent, is_of_online_events};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use catalog::{Change, GrantFilter, Grantee, Page, ParentTopic, ParentUpdate, Row, Rule, Scope};
use problem::{Code, Problem};
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

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
    /// How long, in seconds, messages wait for who is off, at most; 0: not at all. Without it as long as any: three days.
    #[schema(maximum = 259_200)]
    kept_s: Option<u32>,
}

/// A field that is left out stays as it is.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TopicUpdate {
    rule: Option<RuleName>,
    /// `null`: as long as any.
    #[serde(deserialize_with = "also_null")]
    #[schema(value_type = Option<u32>, maximum = 259_200)]
    kept_s: Option<Option<u32>>,
}

fn also_null<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::<u32>::deserialize(field).map(Some)
}

/// So long the broker keeps any message.
const KEPT_S_MAX: u32 = 3 * 24 * 3600;

/// Calls end without the rules that they need: those of today may be others, and be mended. Who is online is the broker's word
/// alone.
fn check_rule(api: &Api, topic: &str, rule: Rule) -> Result<(), Problem> {
    if is_of_online_events(topic) && matches!(rule, Rule::ToQueue | Rule::Both) {
        let words = format!(
            "{topic} is the queue topic to which the broker tells who is online, and nobody else; choose the rule from_queue or \
             none, or another name"
        );
        return Err(Problem::new(Code::InvalidBody, words));
    }
    let access = api.state.access.load();
    let Some(needed) = access.topic_of_calls(topic).and_then(|topic| topic.rule) else { return Ok(()) };
    if rule == needed {
        return Ok(());
    }
    let words =
        format!("{topic} carries the signals of calls, which need the rule {}; leave the rule as it is", needed.name());
    Err(Problem::new(Code::InvalidBody, words))
}

fn check_kept(api: &Api, topic: &str, kept_s: Option<u32>) -> Result<(), Problem> {
    if kept_s.is_some() && api.state.access.load().topic_of_calls(topic).is_some() {
        let words = format!("{topic} carries the signals of calls, which wait as long as calls need; leave kept_s out");
        return Err(Problem::new(Code::InvalidBody, words));
    }
    let words = "kept_s must be 0 to 259200: three days, which is how long any message waits; leave it out for that";
    if kept_s.is_none_or(|kept_s| kept_s <= KEPT_S_MAX) { Ok(()) } else { Err(Problem::new(Code::InvalidTopic, words)) }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TopicAnswer {
    topic: String,
    rule: RuleName,
    /// Left out: as long as any.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_s: Option<u32>,
    /// What is not advised, and works all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningAnswer>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct WarningAnswer {
    /// `both_ways`, `downstream_on_upstream` or `upstream_on_downstream`.
    warning: &'static str,
    /// For people.
    words: &'static str,
}

/// By the grants that are in force.
fn warnings(api: &Api, topic: &ParentTopic) -> Vec<WarningAnswer> {
    let granted = api.state.access.load().granted_to_devices(&topic.parent);
    let all = advice(topic.rule, granted).into_iter();
    all.map(|one| WarningAnswer { warning: one.name(), words: one.words() }).collect()
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TopicDetails {
    topic: String,
    rule: RuleName,
    /// Left out: as long as any.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_s: Option<u32>,
    /// What hangs on it.
    grants: u64,
    /// What is not advised, and works all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningAnswer>,
}

fn shown(api: &Api, topic: ParentTopic) -> TopicAnswer {
    TopicAnswer { warnings: warnings(api, &topic), topic: topic.parent, rule: topic.rule.into(), kept_s: topic.kept_s }
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
    Items::of(&part, rows, |topic| topic.parent.clone(), |row| shown(&api, row.value))
}

/// Creates a parent topic; the same one again stays as it is.
#[utoipa::path(
    post, path = "/api/v1/topics", tag = "topics", security(("api_key" = ["topics"])), params(OnceHeader),
    request_body = TopicRequest, responses((status = 200, body = TopicAnswer), Refused, RefusedOne, RefusedOnce)
)]
pub(super) async fn create_topic(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Once { request: TopicRequest { topic, rule, kept_s }, ticket }: Once<TopicRequest>,
) -> Result<Json<TopicAnswer>, Problem> {
    check_parent(&topic).map_err(|error| Problem::new(Code::InvalidTopic, error.to_string()))?;
    check_rule(&api, &topic, rule.into())?;
    check_kept(&api, &topic, kept_s)?;
    let wish = ParentTopic { parent: topic.clone(), rule: rule.into(), kept_s };
    let answer = shown(&api, wish.clone());
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
    let (warnings, rule, kept_s) = (warnings(&api, &value), value.rule.into(), value.kept_s);
    Ok(Tagged(changed, TopicDetails { topic: value.parent, rule, kept_s, grants: uses.grants, warnings }))
}

/// Changes the rule of a parent topic, and how long its messages wait for who is off. Topics of calls keep those that calls need.
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
    Body(TopicUpdate { rule, kept_s }): Body<TopicUpdate>,
) -> Result<Json<TopicAnswer>, Problem> {
    rule.map(|rule| check_rule(&api, &topic, rule.into())).transpose()?;
    check_kept(&api, &topic, kept_s.flatten())?;
    let update = ParentUpdate { rule: rule.map(Rule::from), kept_s };
    let done = api.apply(holder.by(), Change::UpdateParent { parent: topic.clone(), update }, expected).await;
    done.map_err(|error| Refusals::of("parent topic", &topic).refuse(error))?;
    let found = api.state.catalog.parent(&topic).await.map_err(unavailable)?;
    let (row, _) = found.ok_or_else(|| Refusals::of("parent topic", &topic).unknown())?;
    Ok(Json(shown(&api, row.value)))
}

/// Removes a parent topic: nobody publishes to it any more. With `force` its grants go too; where there are some of access keys,
/// this takes the scope admin. Topics of calls stay.
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
    if api.state.access.load().topic_of_calls(&topic).is_some_and(|topic| topic.rule.is_some()) {
        let words = format!("{topic} carries the signals of calls, which end without it: it cannot be removed");
        return Err(Problem::new(Code::InUse, words));
    }
    if force && has_grants_of_keys(&api, &topic).await? {
        holder.require_for("force", "grants of access keys go with it", &[Scope::Admin])?;
    }
    let gone = api.apply(holder.by(), Change::RemoveParent { parent: topic.clone(), force }, expected).await;
    gone.map_err(|error| Refusals::of("parent topic", &topic).refuse(error))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn has_grants_of_keys(api: &Api, topic: &str) -> Result<bool, Problem> {
    // The first of them, in the order of the names.
    let page = Page { after: Some("key:/".to_owned()), limit: 1 };
    let filter = GrantFilter { grantee: None, parent: Some(topic.to_owned()) };
    let found = api.state.catalog.grants(filter, page).await.map_err(unavailable)?;
    Ok(found.first().is_some_and(|row| matches!(row.value.grantee, Grantee::Key(_))))
}
