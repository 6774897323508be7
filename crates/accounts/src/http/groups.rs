//! Routes for Group IDs.

use super::Api;
use super::once::{Once, OnceHeader, RefusedOnce};
use super::owner::{
    Asked, Expected, Force, Groups, Holder, IfMatch, Items, Named, Part, Refusals, Refused, RefusedOne, Tagged,
};
use super::unavailable;
use crate::access::check_group_id;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use catalog::{Change, DeviceFilter, Group, Scope, Uses};
use problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupRequest {
    /// `GID_…` or `GID-…`, 7 to 64 characters of A-Z a-z 0-9 - _.
    #[schema(example = "GID_phone")]
    group: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct GroupAnswer {
    group: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct GroupDetails {
    group: String,
    /// What hangs on it.
    grants: u64,
    devices: u64,
    /// How many of these are connected.
    connected: u64,
}

/// Lists Group IDs.
#[utoipa::path(
    get, path = "/api/v1/groups", tag = "groups", security(("api_key" = ["groups"])), params(Part),
    responses((status = 200, body = Items<GroupAnswer>), Refused)
)]
pub(super) async fn list_groups(
    State(api): State<Arc<Api>>,
    _: Holder<Groups>,
    Asked(part): Asked<Part>,
) -> Result<Json<Items<GroupAnswer>>, Problem> {
    let rows = api.state.catalog.groups(part.page()?).await.map_err(unavailable)?;
    Items::of(&part, rows, |group| group.group.clone(), |row| GroupAnswer { group: row.value.group })
}

/// Creates a Group ID; one that exists stays as it is.
#[utoipa::path(
    post, path = "/api/v1/groups", tag = "groups", security(("api_key" = ["groups"])), params(OnceHeader),
    request_body = GroupRequest, responses((status = 200, body = GroupAnswer), Refused, RefusedOne, RefusedOnce)
)]
pub(super) async fn create_group(
    State(api): State<Arc<Api>>,
    holder: Holder<Groups>,
    Once { request: GroupRequest { group }, ticket }: Once<GroupRequest>,
) -> Result<Json<GroupAnswer>, Problem> {
    check_group_id(&group).map_err(|error| Problem::new(Code::InvalidGroup, error.to_string()))?;
    let answer = GroupAnswer { group: group.clone() };
    let sealed = ticket.seal(api.now_ms(), Some(&answer))?;
    let made = api.apply_once(holder.by(), Change::CreateGroup(Group { group: group.clone() }), None, sealed).await;
    made.map_err(|error| Refusals::of("Group ID", &group).refuse(error))?;
    Ok(Json(GroupAnswer { group }))
}

/// A Group ID, and what hangs on it.
#[utoipa::path(
    get, path = "/api/v1/groups/{group}", tag = "groups", security(("api_key" = ["groups"])),
    params(("group" = String, Path)), responses((status = 200, body = GroupDetails, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn show_group(
    State(api): State<Arc<Api>>,
    _: Holder<Groups>,
    Named(group): Named<String>,
) -> Result<Tagged<GroupDetails>, Problem> {
    let found = api.state.catalog.group(&group).await.map_err(unavailable)?;
    let (row, uses) = found.ok_or_else(|| Refusals::of("Group ID", &group).unknown())?;
    let filter = DeviceFilter { group: Some(group.clone()), ..DeviceFilter::default() };
    let connected = api.state.catalog.connected(filter).await.map_err(unavailable)?;
    let Uses { grants, devices, .. } = uses;
    Ok(Tagged(row.changed, GroupDetails { group, grants, devices, connected }))
}

/// Removes a Group ID. With `force` its grants and devices go too, and their connections end; this takes the scopes topics
/// and devices besides.
#[utoipa::path(
    delete, path = "/api/v1/groups/{group}", tag = "groups", security(("api_key" = ["groups"])),
    params(("group" = String, Path), Force, IfMatch), responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn remove_group(
    State(api): State<Arc<Api>>,
    holder: Holder<Groups>,
    Named(group): Named<String>,
    Asked(Force { force }): Asked<Force>,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    if force {
        holder.require(&[Scope::Devices, Scope::Topics])?;
    }
    let gone = api.apply(holder.by(), Change::RemoveGroup { group: group.clone(), force }, expected).await;
    gone.map_err(|error| Refusals::of("Group ID", &group).refuse(error))?;
    Ok(StatusCode::NO_CONTENT)
}
