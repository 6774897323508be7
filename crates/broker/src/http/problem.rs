//! Refusals: `application/problem+json` (RFC 9457) with a stable `code`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalog::CatalogError;
use serde::Serialize;
use utoipa::ToSchema;

/// Stable: a program may decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    InvalidBody,
    BodyTooLarge,
    InvalidUser,
    InvalidName,
    InvalidDevice,
    UnknownGroup,
    UnknownUser,
    InvalidHost,
    NotFound,
    MethodNotAllowed,
    SlowRequest,
    DeviceTaken,
    TooManyDevices,
    ApiKeyRequired,
    LoginRefused,
    LoginEnded,
    LoginExpired,
    TooManyFailures,
    Unavailable,
}

impl Code {
    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidBody
            | Self::InvalidUser
            | Self::InvalidName
            | Self::InvalidDevice
            | Self::InvalidHost
            | Self::UnknownGroup => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownUser | Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowRequest => StatusCode::REQUEST_TIMEOUT,
            Self::DeviceTaken | Self::TooManyDevices => StatusCode::CONFLICT,
            Self::ApiKeyRequired | Self::LoginRefused | Self::LoginEnded | Self::LoginExpired => {
                StatusCode::UNAUTHORIZED
            }
            Self::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::InvalidBody => "The request body cannot be read",
            Self::BodyTooLarge => "The request body is too large",
            Self::InvalidUser => "This cannot be a user's id",
            Self::InvalidName => "This cannot be a name",
            Self::InvalidDevice => "This cannot be a device's name",
            Self::UnknownGroup => "The group does not exist",
            Self::UnknownUser => "The user does not exist",
            Self::InvalidHost => "The request names no host, or more than one",
            Self::NotFound => "There is nothing at this path",
            Self::MethodNotAllowed => "This path does not take this method",
            Self::SlowRequest => "The request took too long",
            Self::DeviceTaken => "The device name is in use",
            Self::TooManyDevices => "The user has too many devices",
            Self::ApiKeyRequired => "A valid API key is needed",
            Self::LoginRefused => "The login was refused",
            Self::LoginEnded => "The login has ended",
            Self::LoginExpired => "The login has expired",
            Self::TooManyFailures => "Too many failed attempts",
            Self::Unavailable => "The service cannot answer at the moment",
        }
    }
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    pub code: Code,
    pub title: &'static str,
    pub status: u16,
    /// The thing, the cause and the remedy.
    pub detail: String,
    #[serde(skip)]
    #[schema(ignore)]
    retry_after_s: Option<u64>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let (title, status) = (code.title(), code.status().as_u16());
        Self { code, title, status, detail: detail.into(), retry_after_s: None }
    }

    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }
}

impl From<CatalogError> for Problem {
    /// What the store says is for the operator, not for the caller.
    fn from(error: CatalogError) -> Self {
        tracing::warn!(%error, "the catalog did not serve a request");
        Self::new(Code::Unavailable, "the catalog did not answer; try again in a moment").retry_after(1)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after_s) = (self.code.status(), self.retry_after_s);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
