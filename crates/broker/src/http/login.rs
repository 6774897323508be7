//! For pages without a server of their own: a login link's secret becomes a device credential.

use super::Api;
use super::body::{Body, Secret};
use super::credentials::{Terminal, claim, issue};
use super::failures::Source;
use super::problem::Problem;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
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

/// Whose failures count.
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
    let user = api.state.gate.holder(source, &request.secret).await?;
    let _turn = api.registering.lock().await;
    let client_id = claim(&api, None, Some(request.device), &user.user).await?;
    Ok(Secret(issue(&api, &client_id, user).await?))
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
    set(header::ACCESS_CONTROL_ALLOW_METHODS, "POST");
    set(header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type");
    set(header::ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after");
    set(header::ACCESS_CONTROL_MAX_AGE, "86400");
    response
}
