//! The codes of the API: as its OpenAPI document names them, with their statuses and titles.

use axum::http::StatusCode;
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
    InvalidGroup,
    InvalidTopic,
    InvalidKey,
    InvalidToken,
    InvalidQuery,
    InvalidHost,
    InvalidIdempotencyKey,
    NotFound,
    MethodNotAllowed,
    SlowRequest,
    DeviceTaken,
    TooManyDevices,
    Exists,
    InUse,
    Stale,
    MeetingOver,
    NotAllowed,
    Limit,
    IdempotencyKeyBusy,
    IdempotencyAnswerLost,
    IdempotencyKeyReused,
    Forbidden,
    ApiKeyRequired,
    LoginRefused,
    LoginEnded,
    LoginExpired,
    TooManyFailures,
    TooManyRequests,
    TooManyRevoked,
    Unavailable,
}

impl Code {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::InvalidBody
            | Self::InvalidUser
            | Self::InvalidName
            | Self::InvalidDevice
            | Self::InvalidGroup
            | Self::InvalidTopic
            | Self::InvalidKey
            | Self::InvalidToken
            | Self::InvalidQuery
            | Self::InvalidHost
            | Self::InvalidIdempotencyKey
            | Self::UnknownGroup => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownUser | Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowRequest => StatusCode::REQUEST_TIMEOUT,
            Self::DeviceTaken
            | Self::TooManyDevices
            | Self::TooManyRevoked
            | Self::Exists
            | Self::InUse
            | Self::MeetingOver
            | Self::NotAllowed
            | Self::Limit
            | Self::IdempotencyKeyBusy
            | Self::IdempotencyAnswerLost => StatusCode::CONFLICT,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::ApiKeyRequired | Self::LoginRefused | Self::LoginEnded | Self::LoginExpired => {
                StatusCode::UNAUTHORIZED
            }
            Self::TooManyFailures | Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::InvalidBody => "The request body cannot be read",
            Self::BodyTooLarge => "The request body is too large",
            Self::InvalidUser => "This cannot be a user's id",
            Self::InvalidName => "This cannot be a name",
            Self::InvalidDevice => "This cannot be a device's name",
            Self::UnknownGroup => "The group does not exist",
            Self::UnknownUser => "The user does not exist",
            Self::InvalidGroup => "This cannot be a Group ID",
            Self::InvalidTopic => "This cannot be the topic",
            Self::InvalidKey => "This cannot be a key",
            Self::InvalidToken => "This cannot be a token",
            Self::InvalidQuery => "The query cannot be read",
            Self::InvalidHost => "The request names no host, or more than one",
            Self::InvalidIdempotencyKey => "This cannot be an idempotency key",
            Self::NotFound => "There is nothing at this path",
            Self::MethodNotAllowed => "This path does not take this method",
            Self::SlowRequest => "The request took too long",
            Self::DeviceTaken => "The device name is in use",
            Self::TooManyDevices => "The user has too many devices",
            Self::Exists => "It exists already",
            Self::InUse => "It is in use",
            Self::Stale => "It was changed meanwhile",
            Self::MeetingOver => "The meeting is over",
            Self::NotAllowed => "This cannot be done in the meeting",
            Self::Limit => "There are too many",
            Self::IdempotencyKeyBusy => "The first request with this key is being done",
            Self::IdempotencyAnswerLost => "The answer cannot be read any more",
            Self::IdempotencyKeyReused => "The key is that of another request",
            Self::Forbidden => "The key may not do that",
            Self::ApiKeyRequired => "A valid API key is needed",
            Self::LoginRefused => "The login was refused",
            Self::LoginEnded => "The login has ended",
            Self::LoginExpired => "The login has expired",
            Self::TooManyFailures => "Too many failed attempts",
            Self::TooManyRequests => "Too many requests",
            Self::TooManyRevoked => "Too many tokens are revoked",
            Self::Unavailable => "The service cannot answer at the moment",
        }
    }
}
