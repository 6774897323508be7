//! Routes by which an owner sees and removes users, devices and login links.

use super::Api;
use super::names::UserPath;
use super::owner::{
    Asked, Devices, Expected, Force, Holder, Items, Named, Part, Refusals, Refused, RefusedOne, Tagged,
};
use super::unavailable;
use super::users::UserAnswer;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use catalog::{Change, DeviceFilter, DeviceInfo, LoginLink, Row, User};
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

/// A user.
#[utoipa::path(
    get, path = "/api/v1/users/{user}", tag = "users", security(("api_key" = ["devices"])),
    params(("user" = String, Path)), responses((status = 200, body = UserAnswer), Refused, RefusedOne)
)]
pub(super) async fn show_user(
    State(api): State<Arc<Api>>,
    _: Holder<Devices>,
    UserPath(id): UserPath,
) -> Result<Tagged<UserAnswer>, Problem> {
    let found = api.state.catalog.user_row(&id).await.map_err(unavailable)?;
    let row = found.ok_or_else(|| Refusals::of("user", &id).unknown())?;
    Ok(Tagged(row.changed, user(row)))
}

/// Removes a user with its missed and past calls. With `force` devices and login links go too, and connections end.
#[utoipa::path(
    delete, path = "/api/v1/users/{user}", tag = "users", security(("api_key" = ["devices"])),
    params(("user" = String, Path), Force), responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn remove_user(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    UserPath(id): UserPath,
    Asked(Force { force }): Asked<Force>,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    let gone = api.apply(holder.by(), Change::RemoveUser { user: id.clone(), force }, expected).await;
    gone.map_err(|error| Refusals::of("user", &id).refuse(error))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeviceQuery {
    /// Those of this user.
    user: Option<String>,
    /// Those of this group.
    group: Option<String>,
    /// The `next` of the part before.
    after: Option<String>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DeviceAnswer {
    #[schema(example = "GID_phone@@@d1")]
    client_id: String,
    user: String,
    group: String,
    /// Of its credential.
    key_id: String,
    expires_at_ms: u64,
    online: bool,
    /// When it was last seen to come or go; left out: it was never connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
}

fn device(row: Row<DeviceInfo>) -> DeviceAnswer {
    let DeviceInfo { client_id, user, group, key_id, expires_at_ms, online, since_ms, .. } = row.value;
    DeviceAnswer { client_id, user, group, key_id, expires_at_ms, online, since_ms }
}

/// Lists devices.
#[utoipa::path(
    get, path = "/api/v1/devices", tag = "devices", security(("api_key" = ["devices"])), params(DeviceQuery),
    responses((status = 200, body = Items<DeviceAnswer>), Refused)
)]
pub(super) async fn list_devices(
    State(api): State<Arc<Api>>,
    _: Holder<Devices>,
    Asked(query): Asked<DeviceQuery>,
) -> Result<Json<Items<DeviceAnswer>>, Problem> {
    let part = Part { after: query.after, limit: query.limit };
    let filter = DeviceFilter { user: query.user, group: query.group };
    let rows = api.state.catalog.devices(filter, part.page()?).await.map_err(unavailable)?;
    Items::of(&part, rows, |device| device.client_id.clone(), device)
}

/// A device, by its client id.
#[utoipa::path(
    get, path = "/api/v1/devices/{client_id}", tag = "devices", security(("api_key" = ["devices"])),
    params(("client_id" = String, Path)), responses((status = 200, body = DeviceAnswer), Refused, RefusedOne)
)]
pub(super) async fn show_device(
    State(api): State<Arc<Api>>,
    _: Holder<Devices>,
    Named(client_id): Named<String>,
) -> Result<Tagged<DeviceAnswer>, Problem> {
    let found = api.state.catalog.device_info(&client_id).await.map_err(unavailable)?;
    let row = found.ok_or_else(|| Refusals::of("device", &client_id).unknown())?;
    Ok(Tagged(row.changed, device(row)))
}

/// Removes a device with its login, its session and what waits for it, and ends its connection.
#[utoipa::path(
    delete, path = "/api/v1/devices/{client_id}", tag = "devices", security(("api_key" = ["devices"])),
    params(("client_id" = String, Path)), responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn remove_device(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    Named(client_id): Named<String>,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    let gone =
        api.apply(holder.by(), Change::RemoveDevice { client_id: client_id.clone(), key_id: None }, expected).await;
    gone.map_err(|error| Refusals::of("device", &client_id).refuse(error))?;
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

/// Removes a login link: nobody logs in by it any more. Who has, stays.
#[utoipa::path(
    delete, path = "/api/v1/login-links/{link}", tag = "users", security(("api_key" = ["devices"])),
    params(("link" = String, Path)), responses((status = 204), Refused, RefusedOne)
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
