//! `/api/v1/channels…`: the channel calls over HTTP, for a service that runs meetings by itself, and for operators who look at a
//! channel. A key with the scope channels opens them.
//!
//! What it is: [`signalling::channel`] with other words for its errors. What it is not: it knows of no meeting. All keys of an
//! instance have the same channels, those of the instance's app; the built-in meeting service has others, which can be looked
//! at here, and not be put.

mod token;

pub(super) use token::TokenSigner;
pub(crate) use token::{JoinGrant, TokenRequest};

use accounts::http::{Caller, Gate};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use catalog::Scope;
use problem::{Code, Problem};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use signalling::{ChannelDescription, ChannelError, ChannelEvents, ChannelId, DesiredChannel, EventCursor, Placement};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A wish with as many participations as a channel takes has less.
const BODY_BYTES_MAX: usize = 512 << 10;
const CHANNEL_CHARS_MAX: usize = 64;
/// Longest wait of a question for events, and the one where the query names none.
const WAIT_MAX: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(20);
/// Whether who waits may still know is asked anew so often.
const JUDGED_EVERY: Duration = Duration::from_millis(800);
/// What a number of JSON holds exactly everywhere.
const REV_MAX: u64 = (1 << 53) - 1;
/// Of a user and of a client.
const NAME_BYTES_MAX: usize = 128;

pub(super) struct ChannelRoutes {
    /// Those of the keys.
    pub(super) channels: rtc::ChannelApi,
    /// Those of the built-in service.
    pub(super) meetings: rtc::ChannelApi,
    pub(super) gate: Gate,
    pub(super) signer: TokenSigner,
}

pub(super) fn router(routes: ChannelRoutes) -> Router {
    let routes = Arc::new(routes);
    Router::new()
        .route("/api/v1/channels", get(list))
        .route("/api/v1/channels:events", get(events))
        .route("/api/v1/channels/{channel}", get(describe).put(put))
        .route("/api/v1/channels/{channel}/tokens", post(token))
        .layer(from_fn_with_state(Arc::clone(&routes), let_in))
        .with_state(routes)
}

async fn let_in(State(routes): State<Arc<ChannelRoutes>>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = routes.gate.caller_with(&parts, Scope::Channels).await?;
    parts.extensions.insert(caller);
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// The body of a put.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutRequest {
    /// Of the record that the wish was made from: it rises with each change of it. 0 before the record is stored.
    rev: u64,
    /// The whole wish; `null` ends the channel.
    #[serde(deserialize_with = "Option::deserialize")]
    desired: Option<DesiredChannel>,
}

/// The channels of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChannelList {
    items: Vec<ChannelDescription>,
}

/// From where on, and for how long to wait.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    epoch: Option<u64>,
    sequence: Option<u64>,
    wait_s: Option<u64>,
}

type Channel = Result<Path<String>, PathRejection>;

async fn put(
    State(routes): State<Arc<ChannelRoutes>>,
    Extension(caller): Extension<Caller>,
    channel: Channel,
    request: Request,
) -> Result<Json<Placement>, Response> {
    let channel = named(channel).map_err(IntoResponse::into_response)?;
    let PutRequest { rev, desired } =
        routes.body_of(&caller, request.into_body()).await.map_err(IntoResponse::into_response)?;
    check_wish(rev, desired.as_ref()).map_err(IntoResponse::into_response)?;
    routes.channels.put(channel, rev, desired).await.map(Json).map_err(refusal)
}

/// `null`: no such channel is open.
async fn describe(
    State(routes): State<Arc<ChannelRoutes>>,
    channel: Channel,
) -> Result<Json<Option<ChannelDescription>>, Response> {
    // What cannot be a name is the name of no open channel.
    let Ok(channel) = named(channel) else { return Ok(Json(None)) };
    let own = routes.channels.describe(channel.clone()).await.map_err(refusal)?;
    let found = match own {
        None => routes.meetings.describe(channel).await.map_err(refusal)?,
        own => own,
    };
    Ok(Json(found))
}

async fn list(State(routes): State<Arc<ChannelRoutes>>) -> Result<Json<ChannelList>, Response> {
    let items = routes.channels.list().await.map_err(refusal)?;
    Ok(Json(ChannelList { items }))
}

async fn events(
    State(routes): State<Arc<ChannelRoutes>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Json<ChannelEvents>, Response> {
    let Query(query) = query.map_err(|rejection| invalid_query(rejection.body_text()).into_response())?;
    let after = match (query.epoch, query.sequence) {
        (Some(epoch), Some(sequence)) => Some(EventCursor { epoch, sequence }),
        (None, None) => None,
        _ => {
            return Err(invalid_query("epoch and sequence belong together: give both of them, or none").into_response());
        }
    };
    let wait = query.wait_s.map_or(WAIT, Duration::from_secs);
    if wait > WAIT_MAX {
        return Err(invalid_query(format!("wait_s must be 0 to {}", WAIT_MAX.as_secs())).into_response());
    }
    let until = Instant::now() + wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let events = routes.channels.events_within(after, left.min(JUDGED_EVERY)).await.map_err(refusal)?;
        routes.gate.judge_again(&caller).await.map_err(IntoResponse::into_response)?;
        if events.snapshot.is_some() || !events.events.is_empty() || left <= JUDGED_EVERY {
            return Ok(Json(events));
        }
    }
}

/// # Errors
/// Something that no wish can be.
fn check_wish(rev: u64, desired: Option<&DesiredChannel>) -> Result<(), Problem> {
    let invalid = |words: String| Err(Problem::new(Code::InvalidBody, words));
    if rev > REV_MAX {
        return invalid(format!("rev must be 0 to {REV_MAX}: above it there is none for the end"));
    }
    let is_name = |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len());
    let mut wished = desired.into_iter().flat_map(|desired| desired.participations.values());
    match wished.find(|one| !is_name(one.user.as_str()) || !is_name(&one.client)) {
        Some(_) => invalid(format!("user and client of a participation must have 1 to {NAME_BYTES_MAX} bytes")),
        None => Ok(()),
    }
}

async fn token(
    State(routes): State<Arc<ChannelRoutes>>,
    Extension(caller): Extension<Caller>,
    channel: Channel,
    request: Request,
) -> Result<Response, Problem> {
    let channel = named(channel)?;
    let asked: TokenRequest = routes.body_of(&caller, request.into_body()).await?;
    let granted: JoinGrant = routes.signer.sign(channel, asked)?;
    let mut response = Json(granted).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl ChannelRoutes {
    /// The body comes as slowly as the caller likes, who may have lost the right meanwhile.
    async fn body_of<T: DeserializeOwned>(&self, caller: &Caller, body: Body) -> Result<T, Problem> {
        let bytes: Bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
            Problem::new(
                Code::BodyTooLarge,
                "the body has more than 512 KiB, or has not come whole; send only the fields of the request",
            )
        })?;
        self.gate.judge_again(caller).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let words = format!("the body is not the JSON object that is expected here: {error}");
            Problem::new(Code::InvalidBody, words)
        })
    }
}

/// # Errors
/// It cannot be the name of a channel.
fn named(channel: Channel) -> Result<ChannelId, Problem> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let name = channel.map(|Path(name)| name).unwrap_or_default();
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= CHANNEL_CHARS_MAX && name.bytes().all(is_allowed) {
        return Ok(ChannelId(name));
    }
    let words = format!(
        "a channel has a name of 1 to {CHANNEL_CHARS_MAX} letters, digits, -, _ or ., and begins with a letter or digit"
    );
    Err(Problem::blank(StatusCode::BAD_REQUEST, "invalid_channel", words))
}

fn invalid_query(words: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidQuery, words)
}

/// The present revision of what is refused as old is told as its `ETag`.
fn refusal(error: ChannelError) -> Response {
    let words = error.to_string();
    match error {
        ChannelError::Stale { present } => {
            let mut response = Problem::new(Code::Stale, words).into_response();
            if let Ok(tag) = HeaderValue::from_str(&format!("\"{present}\"")) {
                response.headers_mut().insert(header::ETAG, tag);
            }
            response
        }
        ChannelError::Unavailable(_) => Problem::new(Code::Unavailable, words).retry_after(1).into_response(),
        ChannelError::Limit(_) => Problem::new(Code::Limit, words).into_response(),
    }
}
