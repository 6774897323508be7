//! The log of what owners have changed.

use super::Api;
use super::owner::{Admin, Asked, Holder, Items, Part, Refused};
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
    /// Changes of such things: group, topic, grant, key, user, device, link, token, dead_letter or meeting.
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
    responses((status = 200, body = Items<ChangeAnswer>), Refused)
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

fn number(after: &str) -> Result<u64, Problem> {
    let number = after.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| Problem::new(Code::InvalidQuery, "after is no `next` of this list; begin without it"))
}

fn kind(name: &str) -> Result<Kind, Problem> {
    let names = Kind::ALL.map(Kind::name).join(", ");
    Kind::of_name(name).ok_or_else(|| Problem::new(Code::InvalidQuery, format!("kind must be one of {names}")))
}
