//! Routes for the application's server: users, their devices, their login links.

use super::api_keys::sha256_hex;
use super::body::{Body, Secret};
use super::credentials::{Terminal, issue, random, reserve};
use super::names::{UserPath, check_name};
use super::once::{Once, OnceHeader};
use super::owner::{Devices, Holder, Refusals, key_gone};
use super::{Api, unavailable};
use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalog::{By, Change, LoginLink, User};
use problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// As shown to others; 1 to 64 characters.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserAnswer {
    pub user: String,
    pub name: String,
}

/// All fields may be left out.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceRequest {
    /// A Group ID; else that of the instance.
    pub group: Option<String>,
    /// The part behind `@@@` of the client id; else a new one. The same one again replaces the credential.
    pub device: Option<String>,
    /// The user's shown name; else it stays as it is (a new user's: the id).
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LoginLinkRequest {
    /// For how many seconds the link is valid, up to ten years; a year without it.
    #[schema(minimum = 60, maximum = 315_360_000)]
    valid_s: Option<u64>,
}

const LINK_VALID_S: u64 = 365 * 24 * 3600;
const LINK_VALID_S_RANGE: RangeInclusive<u64> = 60..=10 * LINK_VALID_S;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginLinkAnswer {
    /// Names the link in lists.
    pub link: String,
    /// Logs its holder in as the user, again and again. It is shown this once.
    pub secret: String,
    pub user: String,
    pub expires_at_ms: u64,
}

impl fmt::Debug for LoginLinkAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginLinkAnswer").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Makes the user, or renames it.
#[utoipa::path(
    put, path = "/api/v1/users/{user}", tag = "users", security(("api_key" = ["devices"])),
    params(("user" = String, Path, description = "The application's id of the user: 1 to 64 of A-Z a-z 0-9 - _ . @ +")),
    request_body = UserRequest,
    responses(
        (status = 200, body = UserAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json",
         description = "invalid_body, invalid_user, invalid_name"),
        (status = 401, body = Problem, content_type = "application/problem+json",
         description = "api_key_required"),
        (status = 403, body = Problem, content_type = "application/problem+json",
         description = "forbidden"),
        (status = 413, body = Problem, content_type = "application/problem+json",
         description = "body_too_large"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         description = "too_many_failures"),
        (status = 503, body = Problem, content_type = "application/problem+json",
         description = "unavailable")
    )
)]
pub(super) async fn put_user(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    UserPath(user): UserPath,
    Body(request): Body<UserRequest>,
) -> Result<Json<UserAnswer>, Problem> {
    let name = check_name(&request.name)?.to_owned();
    let wish = Change::PutUser(User { user: user.clone(), name: name.clone() });
    api.apply(holder.by(), wish, None).await.map_err(|error| Refusals::of("user", &user).refuse(error))?;
    Ok(Json(UserAnswer { user, name }))
}

/// Gives a device of the user a credential for 30 days; makes the user if it is new.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/devices", tag = "users", security(("api_key" = ["devices"])),
    params(
        ("user" = String, Path, description = "The application's id of the user: 1 to 64 of A-Z a-z 0-9 - _ . @ +"),
        OnceHeader
    ),
    request_body(content = DeviceRequest, description = "May be empty."),
    responses(
        (status = 200, body = Terminal),
        (status = 400, body = Problem, content_type = "application/problem+json",
         description = "invalid_body, invalid_user, invalid_name, invalid_device, unknown_group"),
        (status = 401, body = Problem, content_type = "application/problem+json",
         description = "api_key_required"),
        (status = 403, body = Problem, content_type = "application/problem+json",
         description = "forbidden"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "device_taken, too_many_devices, idempotency_key_busy, idempotency_answer_lost"),
        (status = 413, body = Problem, content_type = "application/problem+json",
         description = "body_too_large"),
        (status = 422, body = Problem, content_type = "application/problem+json",
         description = "idempotency_key_reused"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         description = "too_many_failures"),
        (status = 503, body = Problem, content_type = "application/problem+json",
         description = "unavailable")
    )
)]
pub(super) async fn register_device(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    UserPath(user): UserPath,
    Once { request, ticket }: Once<DeviceRequest>,
) -> Result<Secret<Terminal>, Problem> {
    let name = request.name.as_deref().map(check_name).transpose()?;
    // Before the user is created: a refused request leaves nothing behind.
    let reserved = reserve(&api, request.group, request.device, &user).await?;
    let user = settle_user(&api, holder.by(), &user, name).await?;
    Ok(Secret(issue(&api, holder.by(), reserved, user, &ticket, key_gone).await?))
}

async fn settle_user(api: &Arc<Api>, by: By, user: &str, name: Option<&str>) -> Result<User, Problem> {
    let known = api.state.catalog.user(user).await.map_err(unavailable)?;
    match (known, name) {
        (Some(known), None) => Ok(known),
        (Some(known), Some(name)) if known.name == name => Ok(known),
        (_, name) => {
            let settled = User { user: user.to_owned(), name: name.unwrap_or(user).to_owned() };
            let wish = Change::PutUser(settled.clone());
            api.apply(by, wish, None).await.map_err(|error| Refusals::of("user", user).refuse(error))?;
            Ok(settled)
        }
    }
}

pub(super) fn check_link_valid_s(valid_s: u64) -> Result<(), Problem> {
    let words = "a login link is valid for 60 to 315360000 seconds; send another valid_s";
    let is_good = LINK_VALID_S_RANGE.contains(&valid_s);
    if is_good { Ok(()) } else { Err(Problem::new(Code::InvalidBody, words)) }
}

/// Makes a reusable secret that logs a page in as this user.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/login-links", tag = "users", security(("api_key" = ["devices"])),
    params(
        ("user" = String, Path, description = "The application's id of the user: 1 to 64 of A-Z a-z 0-9 - _ . @ +"),
        OnceHeader
    ),
    request_body(content = LoginLinkRequest, description = "May be empty."),
    responses(
        (status = 200, body = LoginLinkAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json",
         description = "invalid_user, invalid_body"),
        (status = 401, body = Problem, content_type = "application/problem+json",
         description = "api_key_required"),
        (status = 403, body = Problem, content_type = "application/problem+json",
         description = "forbidden"),
        (status = 404, body = Problem, content_type = "application/problem+json",
         description = "unknown_user"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "idempotency_key_busy, idempotency_answer_lost"),
        (status = 413, body = Problem, content_type = "application/problem+json",
         description = "body_too_large"),
        (status = 422, body = Problem, content_type = "application/problem+json",
         description = "idempotency_key_reused"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         description = "too_many_failures"),
        (status = 503, body = Problem, content_type = "application/problem+json",
         description = "unavailable")
    )
)]
pub(super) async fn make_login_link(
    State(api): State<Arc<Api>>,
    holder: Holder<Devices>,
    UserPath(user): UserPath,
    Once { request, ticket }: Once<LoginLinkRequest>,
) -> Result<Secret<LoginLinkAnswer>, Problem> {
    let valid_s = request.valid_s.unwrap_or(LINK_VALID_S);
    check_link_valid_s(valid_s)?;
    if api.state.catalog.user(&user).await.map_err(unavailable)?.is_none() {
        let words = format!("there is no user {user}; make it first with PUT /api/v1/users/{user}");
        return Err(Problem::new(Code::UnknownUser, words));
    }
    let secret = URL_SAFE_NO_PAD.encode(random::<32>()?);
    let now_ms = api.now_ms();
    let expires_at_ms = now_ms + valid_s * 1000;
    let link = LoginLink {
        created_at_ms: now_ms,
        expires_at_ms: Some(expires_at_ms),
        ..LoginLink::new(sha256_hex(&secret), user.clone())
    };
    let answer = LoginLinkAnswer { link: link.link_id.clone(), secret, user, expires_at_ms };
    let sealed = ticket.seal(api.now_ms(), Some(&answer))?;
    let made = api.apply_once(holder.by(), Change::CreateLink(link), None, sealed).await;
    made.map_err(|error| Refusals::of("login link", &answer.link).refuse(error))?;
    Ok(Secret(answer))
}
