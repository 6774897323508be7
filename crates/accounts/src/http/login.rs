//! Routes for terminals: a login link's secret becomes a device credential, which its holder renews and ends.

use super::Api;
use super::body::{Body, Secret};
use super::credentials::{Terminal, extend, issue, remove, reserve};
use super::device_login::DeviceLogin;
use super::failures::Source;
use super::once::Ticket;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use catalog::{Actor, By};
use problem::{Code, Problem};
use serde::Deserialize;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// From a login link.
    pub secret: String,
    /// Names this browser or machine: the part behind `@@@` of the client id. The same one again replaces the
    /// credential.
    pub device: String,
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest").field("device", &self.device).finish_non_exhaustive()
    }
}

/// The source of a request, whose failures count.
pub(super) struct Caller(Source);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Source::of(parts)))
    }
}

/// Redeems a login link, as often as wanted. From any origin.
#[utoipa::path(
    post, path = "/api/v1/login", tag = "login",
    request_body = LoginRequest,
    responses(
        (status = 200, body = Terminal),
        (status = 400, body = Problem, content_type = "application/problem+json",
         description = "invalid_body, invalid_device"),
        (status = 401, body = Problem, content_type = "application/problem+json",
         description = "login_refused"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "device_taken, too_many_devices"),
        (status = 413, body = Problem, content_type = "application/problem+json",
         description = "body_too_large"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         description = "too_many_failures"),
        (status = 503, body = Problem, content_type = "application/problem+json",
         description = "unavailable")
    )
)]
pub(super) async fn log_in(
    State(api): State<Arc<Api>>,
    Caller(source): Caller,
    Body(request): Body<LoginRequest>,
) -> Result<Secret<Terminal>, Problem> {
    let (link_id, user) = api.state.gate.link_user(source.clone(), &request.secret).await?;
    let reserved = reserve(&api, None, Some(request.device), &user.user).await?;
    let by = By { actor: Actor::Link(link_id), address: None, at_ms: api.now_ms(), right_as_of: None };
    let gone = || api.state.gate.unknown_link(source);
    Ok(Secret(issue(&api, by, reserved, user, &Ticket::none(), gone).await?))
}

/// Lets a device credential last 30 days from now. User name and password stay: it may be asked again and again.
#[utoipa::path(
    post, path = "/api/v1/login/renew", tag = "login", security(("device_credential" = [])),
    responses(
        (status = 200, body = Terminal),
        (status = 401, body = Problem, content_type = "application/problem+json",
         description = "login_refused (no credential in the request), login_ended, login_expired"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         description = "too_many_failures"),
        (status = 503, body = Problem, content_type = "application/problem+json",
         description = "unavailable")
    )
)]
pub(super) async fn renew(
    State(api): State<Arc<Api>>,
    Caller(source): Caller,
    login: DeviceLogin,
) -> Result<Secret<Terminal>, Problem> {
    let device = api.state.gate.device(source.clone(), &login).await?;
    if (api.state.is_over)(device.expires_at_ms) {
        return Err(Problem::new(Code::LoginExpired, EXPIRED));
    }
    extend(&api, device).await?.map(Secret).ok_or_else(|| api.state.gate.ended(source))
}

const EXPIRED: &str = "this login has expired: it was not renewed in time; open your login link again";

/// Ends a login: removes the device with its session and what waits for it, and ends its connection. An expired credential
/// may, too.
#[utoipa::path(
    delete, path = "/api/v1/login", tag = "login", security(("device_credential" = [])),
    responses(
        (status = 204, description = "The device is removed."),
        (status = 401, body = Problem, content_type = "application/problem+json",
         description = "login_refused (no credential in the request), login_ended"),
        (status = 429, body = Problem, content_type = "application/problem+json",
         description = "too_many_failures"),
        (status = 503, body = Problem, content_type = "application/problem+json",
         description = "unavailable")
    )
)]
pub(super) async fn log_out(
    State(api): State<Arc<Api>>,
    Caller(source): Caller,
    login: DeviceLogin,
) -> Result<StatusCode, Problem> {
    let device = api.state.gate.device(source.clone(), &login).await?;
    let worker = Arc::clone(&api);
    // It is finished also if the caller hangs up.
    let removed = tokio::spawn(async move { remove(&worker, &device).await }).await;
    let removed = removed.map_err(|_| Problem::new(Code::Unavailable, "the device was not removed; try again"))??;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(api.state.gate.ended(source)) }
}

/// What a browser asks before a page of another origin may log in.
pub(super) async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Pages of any origin may read the answer: it takes the secret to get one, and no cookie is looked at.
pub(super) async fn for_any_origin(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(header::ACCESS_CONTROL_ALLOW_METHODS, "POST, DELETE");
    set(header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type");
    set(header::ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after");
    set(header::ACCESS_CONTROL_MAX_AGE, "86400");
    response
}
