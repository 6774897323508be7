//! Routes by which an owner sees and removes users and login links.

use super::Api;
use super::body::Body;
use super::names::UserPath;
use super::owner::{
    Asked, Devices, Expected, Force, Holder, IfMatch, Items, Named, Part, Refusals, Refused, RefusedOne, Tagged,
};
use super::unavailable;
use super::users::{UserAnswer, check_link_valid_s};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use catalog::{Change, DeviceFilter, LoginLink, Row, Scope, User, Uses};
use problem::Problem;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UserQuery {
    /// Those whose id or name contains this.
    search: Option<String>,
    /// The `next` of the part before.
    after: Option<String>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

fn user(row: Row<User>) -> UserAnswer {
    UserAnswer { user: row.value.user, name: row.value.name }
}

/// Lists users.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", security(("api_key" = ["devices"])), params(UserQuery),
    responses((status = 200, body = Items<UserAnswer>), Refused)
)]
pub(super) async fn list_users(
    State(api): State<Arc<Api>>,
    _: Holder<Devices>,
    Asked(query): Asked<UserQuery>,
) -> Result<Json<Items<UserAnswer>>, Problem> {
    let part = Part { after: query.after, limit: query.limit };
    let rows = api.state.catalog.find_users(query.search.as_deref(), part.page()?).await.map_err(unavailable)?;
    Items::of(&part, rows, |user| user.user.clone(), user)
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct UserDetails {
    user: String,
    name: String,
    /// What hangs on it.
    devices: u64,
    /// How many of these are connected.
    connected: u64,
    links: u64,
    grants: u64,
}

/// A user, and what hangs on it.
#[utoipa::path(
    get, path = "/api/v1/users/{user}", tag = "users", security(("api_key" = ["devices"])),
    params(("user" = String, Path)), responses((status = 200, body = UserDetails, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn show_user(
    State(api): State<Arc<Api>>,
    _: Holder<Devices>,
    UserPath(id): UserPath,
) -> Result<Tagged<UserDetails>, Problem> {
    let found = api.state.catalog.user_row(&id).await.map_err(unavailable)?;
    let row = found.ok_or_else(|| Refusals::of("user", &id).unknown())?;
    let Uses { grants, devices, links } = api.state.catalog.user_uses(&id).await.map_err(unavailable)?;
    let filter = DeviceFilter { user: Some(id.clone()), ..DeviceFilter::default() };
    let connected = api.state.catalog.connected(filter).await.map_err(unavailable)?;
    Ok(Tagged(row.changed, UserDetails { user: id, name: row.value.name, devices, connected, links, grants }))
}

/// Removes a user with its missed and past calls. With `force` devices, login links and grants go too, and connections end; where
/// there are grants, this takes the scope topics besides.
#[utoipa::path(
    delete, path = "/api/v1/users/{user}", tag = "users", security(("api_key" = ["devices"])),
    params(("user" = String, Path), Force, IfMatch), responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn remove_user(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    UserPath(id): UserPath,
    Asked(Force { force }): Asked<Force>,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    let grants = api.state.catalog.user_uses(&id).await.map_err(unavailable)?.grants;
    if force && grants > 0 {
        holder.require(&[Scope::Topics])?;
    }
    let gone = api.apply(holder.by(), Change::RemoveUser { user: id.clone(), force }, expected).await;
    gone.map_err(|error| Refusals::of("user", &id).refuse(error))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LinkQuery {
    /// Those of this user.
    user: Option<String>,
    /// The `next` of the part before.
    after: Option<String>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LinkAnswer {
    link: String,
    user: String,
    created_at_ms: u64,
    /// Left out: it lasts until it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
}

fn link(row: Row<LoginLink>) -> LinkAnswer {
    let LoginLink { link_id, user, created_at_ms, expires_at_ms, .. } = row.value;
    LinkAnswer { link: link_id, user, created_at_ms, expires_at_ms }
}

/// Lists login links.
#[utoipa::path(
    get, path = "/api/v1/login-links", tag = "users", security(("api_key" = ["devices"])), params(LinkQuery),
    responses((status = 200, body = Items<LinkAnswer>), Refused)
)]
pub(super) async fn list_links(
    State(api): State<Arc<Api>>,
    _: Holder<Devices>,
    Asked(query): Asked<LinkQuery>,
) -> Result<Json<Items<LinkAnswer>>, Problem> {
    let part = Part { after: query.after, limit: query.limit };
    let rows = api.state.catalog.links(query.user.as_deref(), part.page()?).await.map_err(unavailable)?;
    Items::of(&part, rows, |link| link.link_id.clone(), link)
}

/// A login link, without its secret.
#[utoipa::path(
    get, path = "/api/v1/login-links/{link}", tag = "users", security(("api_key" = ["devices"])),
    params(("link" = String, Path)), responses((status = 200, body = LinkAnswer, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn show_link(
    State(api): State<Arc<Api>>,
    _: Holder<Devices>,
    Named(link_id): Named<String>,
) -> Result<Tagged<LinkAnswer>, Problem> {
    known_link(&api, &link_id).await
}

async fn known_link(api: &Api, link_id: &str) -> Result<Tagged<LinkAnswer>, Problem> {
    let found = api.state.catalog.link(link_id).await.map_err(unavailable)?;
    let row = found.ok_or_else(|| Refusals::of("login link", link_id).unknown())?;
    Ok(Tagged(row.changed, link(row)))
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkUpdate {
    /// For how many seconds from now it is valid: 60 to 315360000.
    #[schema(minimum = 60, maximum = 315_360_000)]
    valid_s: u64,
}

/// Lets a login link end at another time. Devices that have logged in by it stay.
#[utoipa::path(
    patch, path = "/api/v1/login-links/{link}", tag = "users", security(("api_key" = ["devices"])),
    params(("link" = String, Path), IfMatch), request_body = LinkUpdate,
    responses((status = 200, body = LinkAnswer, headers(("ETag" = String))), Refused, RefusedOne)
)]
pub(super) async fn update_link(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    Named(link_id): Named<String>,
    Expected(expected): Expected,
    Body(LinkUpdate { valid_s }): Body<LinkUpdate>,
) -> Result<Tagged<LinkAnswer>, Problem> {
    check_link_valid_s(valid_s)?;
    let wish = Change::UpdateLink { link_id: link_id.clone(), expires_at_ms: api.now_ms() + valid_s * 1000 };
    let done = api.apply(holder.by(), wish, expected).await;
    done.map_err(|error| Refusals::of("login link", &link_id).refuse(error))?;
    known_link(&api, &link_id).await
}

/// Removes a login link: nobody logs in by it any more. Who has, stays.
#[utoipa::path(
    delete, path = "/api/v1/login-links/{link}", tag = "users", security(("api_key" = ["devices"])),
    params(("link" = String, Path), IfMatch), responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn remove_link(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    Named(link_id): Named<String>,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    let gone = api.apply(holder.by(), Change::RemoveLink { link_id: link_id.clone() }, expected).await;
    gone.map_err(|error| Refusals::of("login link", &link_id).refuse(error))?;
    Ok(StatusCode::NO_CONTENT)
}
