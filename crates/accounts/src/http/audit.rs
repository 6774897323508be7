//! The log of what owners have changed.

use super::Api;
use super::owner::{Admin, Asked, Holder, Items, Part};
use super::refusal_counts::{Counted, Refusal, Refused};
use super::unavailable;
use axum::Json;
use axum::extract::State;
use catalog::{AuditPage, AuditRow, Kind};
use problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuditQuery {
    /// Changes of such things: group, topic, grant, key, user, device, link, token, dead_letter, queue_topic, queue_group or meeting.
    kind: Option<String>,
    /// Changes of the thing with this id; of a grant `<group>/<topic>`.
    subject: Option<String>,
    /// Changes by these, as they are written in the log: `key:billing`, `owner`, `device:…`, `link:…`.
    actor: Option<String>,
    /// The `next` of the part before.
    after: Option<String>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ChangeAnswer {
    number: u64,
    at_ms: u64,
    /// By whom.
    actor: String,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// create, update, rotate, revoke or remove
    action: String,
    kind: String,
    subject: String,
    /// How it was, without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    /// How it is, without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

fn shown(row: AuditRow) -> ChangeAnswer {
    let AuditRow { number, at_ms, actor, address, action, kind, subject, before, after } = row;
    ChangeAnswer { number, at_ms, actor, address, action, kind: kind.name().to_owned(), subject, before, after }
}

/// What was changed, by whom, the newest first; kept for 90 days.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", security(("api_key" = ["admin"])), params(AuditQuery),
    responses((status = 200, body = Items<ChangeAnswer>), super::owner::Refused)
)]
pub(super) async fn list_changes(
    State(api): State<Arc<Api>>,
    _: Holder<Admin>,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<Items<ChangeAnswer>>, Problem> {
    let limit = Part { after: None, limit: query.limit }.limit()?;
    let before = query.after.as_deref().map(number).transpose()?;
    let kind = query.kind.as_deref().map(kind).transpose()?;
    let page = AuditPage { before, kind, subject: query.subject, actor: query.actor, limit: limit + 1 };
    let mut rows = api.state.catalog.audit(page).await.map_err(unavailable)?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| has_more).map(|row| row.number.to_string());
    Ok(Json(Items { items: rows.into_iter().map(shown).collect(), next }))
}

/// Refused requests of one key in one minute.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RefusalsAnswer {
    /// When the minute began.
    minute_ms: u64,
    /// `key:billing`, `owner`; `others`: of further keys, when more than 256 were refused in this minute. Left out: no key
    /// that is known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    /// 401.
    unauthorized: u64,
    /// 403.
    forbidden: u64,
    /// 429.
    too_many: u64,
}

fn shown_refusals(counted: Counted) -> RefusalsAnswer {
    let Counted { from_ms: minute_ms, who, counts } = counted;
    let actor = match who {
        Refused::Nobody => None,
        Refused::Key(actor) => Some(actor),
        Refused::Others => Some(OTHERS.to_owned()),
    };
    let [unauthorized, forbidden, too_many] =
        [Refusal::Unauthorized, Refusal::Forbidden, Refusal::TooMany].map(|refusal| counts.of(refusal));
    RefusalsAnswer { minute_ms, actor, unauthorized, forbidden, too_many }
}

/// No actor is written so.
const OTHERS: &str = "others";

/// Refused requests (401, 403, 429) of the last hour, counted for each key and minute, the newest first. They are in no log,
/// and a start of the server forgets them.
#[utoipa::path(
    get, path = "/api/v1/audit/refusals", tag = "audit", security(("api_key" = ["admin"])), params(Part),
    responses((status = 200, body = Items<RefusalsAnswer>), super::owner::Refused)
)]
pub(super) async fn list_refusals(
    State(api): State<Arc<Api>>,
    _: Holder<Admin>,
    Asked(part): Asked<Part>,
) -> Result<Json<Items<RefusalsAnswer>>, Problem> {
    let after = part.place()?.as_deref().map(minute).transpose()?;
    let limit = part.limit()? as usize;
    let mut rows = api.state.refusals.list(after.as_ref(), limit + 1, api.now_ms());
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let items: Vec<_> = rows.into_iter().map(shown_refusals).collect();
    let place = |last: &RefusalsAnswer| format!("{}/{}", last.minute_ms, last.actor.as_deref().unwrap_or_default());
    let next = items.last().filter(|_| has_more).map(|last| Part::next(&place(last)));
    Ok(Json(Items { items, next }))
}

fn minute(place: &str) -> Result<(u64, Refused), Problem> {
    let found = place.split_once('/').and_then(|(from_ms, actor)| Some((from_ms.parse().ok()?, actor)));
    let found = found.map(|(from_ms, actor)| match actor {
        "" => (from_ms, Refused::Nobody),
        OTHERS => (from_ms, Refused::Others),
        actor => (from_ms, Refused::Key(actor.to_owned())),
    });
    found.ok_or_else(|| Problem::new(Code::InvalidQuery, "after is no `next` of this list; begin without it"))
}

fn number(after: &str) -> Result<u64, Problem> {
    let number = after.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| Problem::new(Code::InvalidQuery, "after is no `next` of this list; begin without it"))
}

fn kind(name: &str) -> Result<Kind, Problem> {
    let names = Kind::ALL.map(Kind::name).join(", ");
    Kind::of_name(name).ok_or_else(|| Problem::new(Code::InvalidQuery, format!("kind must be one of {names}")))
}
