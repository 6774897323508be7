//! The join endpoint: `POST /rtc/v1/join`, one offer in, one answer out.
//!
//! Contract: the bearer token is all that is needed, from any origin (no cookies are read). Refusals are
//! problem+json (RFC 9457) with a stable `code`. The answer is sent only after the shard has added the peer.
//!
//! Whether the bearer may join is asked of its channel before anything is negotiated. A token that is newer than the wish
//! for the channel, or that comes before its channel, waits for it for a moment; then its terminal is to come again.

use crate::metrics::Metrics;
use crate::negotiation_permits::NegotiationPermits;
use crate::negotiator::{Negotiated, Negotiator};
use crate::offer::{self, OfferError};
use crate::owner::ChannelKey;
use crate::shard::mailbox::{AdmissionRequest, Command, JoinAttempt, JoinRefusal};
use crate::shards::Shards;
use crate::token::{self, JoinKey, TokenError};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clock::Clock;
use problem::Problem;
use signalling::{JoinAnswer, JoinClaims, JoinRequest, ParticipationId, SlotMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long the answer of a shard may take.
const SHARD_ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// What a terminal is told that has come before its channel.
const RETRY_AFTER_S: u64 = 1;
/// JSON around the offer, and purposes.
const BODY_BYTES_BESIDE_OFFER: usize = 64 * 1024;

pub(crate) struct JoinEndpoint {
    pub(crate) shards: Arc<Shards>,
    pub(crate) negotiator: Negotiator,
    pub(crate) keys: Vec<JoinKey>,
    pub(crate) issuer: String,
    pub(crate) clock: Clock,
    pub(crate) token_life_max: Duration,
    /// How long a join waits for its channel, or for its place in it.
    pub(crate) join_wait: Duration,
    pub(crate) offer_bytes: usize,
    pub(crate) media_sections: usize,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) negotiation_permits: Arc<NegotiationPermits>,
}

pub(crate) fn router(endpoint: Arc<JoinEndpoint>) -> Router {
    Router::new().route("/rtc/v1/join", post(join).options(preflight)).with_state(endpoint)
}

async fn preflight() -> Response {
    with_cors(StatusCode::NO_CONTENT.into_response())
}

async fn join(State(endpoint): State<Arc<JoinEndpoint>>, headers: HeaderMap, body: Body) -> Response {
    with_cors(match endpoint.join(&headers, body).await {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(problem) => problem.into_response(),
    })
}

/// Any page may join with a token; the browser must be told so.
fn with_cors(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS");
    set(header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type");
    set(header::ACCESS_CONTROL_MAX_AGE, "86400");
    set(header::CACHE_CONTROL, "no-store");
    response
}

impl JoinEndpoint {
    async fn join(self: &Arc<Self>, headers: &HeaderMap, body: Body) -> Result<JoinAnswer, Problem> {
        let (key, claims) = self.claims(headers)?;
        let request = self.request(body).await?;
        let shard = self.shards.index_of(&key.channel);
        self.admission(shard, &key, &claims).await?;
        let negotiated = self.negotiated(claims.participation, request, shard).await?;
        let sdp = negotiated.answer.clone();
        let (reply, answer) = oneshot::channel();
        let attempt = JoinAttempt { key, claims, negotiated, reply };
        let sent = self.shards.at(shard).send(Command::Join(Box::new(attempt)));
        sent.map_err(|refused| unavailable(&refused.to_string()))?;
        let slots = await_slots(answer).await?;
        self.metrics.joins.add(1);
        Ok(JoinAnswer { sdp, slots })
    }

    fn claims(&self, headers: &HeaderMap) -> Result<(ChannelKey, JoinClaims), Problem> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(bearer_token);
        let verified = token::verify(token.unwrap_or_default(), &self.keys, &self.issuer, self.clock.times());
        let (owner, claims) = verified.map_err(Problem::from)?;
        token::check_life(&claims, self.token_life_max)?;
        Ok((ChannelKey { owner, channel: claims.channel.clone() }, claims))
    }

    /// Waits until it is decided, but not for long.
    async fn admission(&self, shard: usize, key: &ChannelKey, claims: &JoinClaims) -> Result<(), Problem> {
        let (reply, decided) = oneshot::channel();
        let request = AdmissionRequest { key: key.clone(), claims: claims.clone(), reply };
        let sent = self.shards.at(shard).send(Command::Admission(Box::new(request)));
        sent.map_err(|refused| unavailable(&refused.to_string()))?;
        match timeout(self.join_wait, decided).await {
            Ok(Ok(decided)) => decided.map_err(Problem::from),
            Ok(Err(_)) => Err(unavailable("it is shutting down")),
            Err(_) => Err(JoinRefusal::NotYet.into()),
        }
    }

    async fn request(&self, body: Body) -> Result<JoinRequest, Problem> {
        // Every byte of an offer may become two in JSON (\r, \n).
        let bytes_max = 2 * self.offer_bytes + BODY_BYTES_BESIDE_OFFER;
        let read = timeout(BODY_WITHIN, to_bytes(body, bytes_max)).await;
        let read = read.map_err(|_| {
            Problem::blank(StatusCode::REQUEST_TIMEOUT, "slow_body", "the request took too long to arrive")
        })?;
        let bytes: Bytes = read.map_err(|_| Problem::from(OfferError::TooLarge(self.offer_bytes)))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let detail = format!("the body is no join request ({error}): send JSON with sdp, profile and purposes");
            Problem::blank(StatusCode::BAD_REQUEST, "bad_request", detail)
        })
    }

    async fn negotiated(
        self: &Arc<Self>,
        who: ParticipationId,
        request: JoinRequest,
        shard: usize,
    ) -> Result<Negotiated, Problem> {
        let permit = self.negotiation_permits.acquire(who).await.map_err(|none| unavailable(&none.to_string()))?;
        let endpoint = self.clone();
        let negotiation = tokio::task::spawn_blocking(move || {
            let negotiated = endpoint.negotiate(&request, shard);
            drop(permit);
            negotiated
        });
        negotiation.await.map_err(|_| unavailable("the offer could not be read"))?
    }

    fn negotiate(&self, request: &JoinRequest, shard: usize) -> Result<Negotiated, Problem> {
        let offer = offer::read(&request.sdp, self.offer_bytes, self.media_sections)?;
        let plan = offer.plan(request.profile, &request.purposes)?;
        let answered = self.negotiator.answer(&request.sdp, plan, shard);
        if let Err(OfferError::Stack { cause, .. }) = &answered {
            tracing::debug!(%cause, "an offer was refused by the media stack");
        }
        Ok(answered?)
    }
}

/// The scheme's name has no case (RFC 9110 §11.1).
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn await_slots(answer: oneshot::Receiver<Result<SlotMap, JoinRefusal>>) -> Result<SlotMap, Problem> {
    let in_time = timeout(SHARD_ANSWER_MAX, answer).await;
    let answer = in_time.map_err(|_| unavailable("the media thread does not answer"))?;
    answer.map_err(|_| unavailable("it is shutting down"))?.map_err(Problem::from)
}

fn unavailable(detail: &str) -> Problem {
    let words = format!("the RTC server cannot take a join now ({detail}): try again");
    Problem::blank(StatusCode::SERVICE_UNAVAILABLE, "unavailable", words)
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let (status, code) = match error {
            TokenError::Invalid | TokenError::TooLong => (StatusCode::UNAUTHORIZED, "token_invalid"),
            TokenError::Expired => (StatusCode::UNAUTHORIZED, "token_expired"),
            TokenError::Foreign => (StatusCode::FORBIDDEN, "token_foreign"),
        };
        Self::blank(status, code, error.to_string())
    }
}

impl From<OfferError> for Problem {
    fn from(error: OfferError) -> Self {
        let (status, code) = match error {
            OfferError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "offer_too_large"),
            OfferError::TooManyMedia(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_media"),
            OfferError::Bad(_) | OfferError::Stack { .. } => (StatusCode::BAD_REQUEST, "bad_offer"),
        };
        Self::blank(status, code, error.to_string())
    }
}

impl From<JoinRefusal> for Problem {
    fn from(refusal: JoinRefusal) -> Self {
        let (status, code, detail) = match refusal {
            JoinRefusal::NotYet => {
                let detail = "the channel is not ready for this token yet: try again in a moment";
                return Self::blank(StatusCode::SERVICE_UNAVAILABLE, "retry", detail).retry_after(RETRY_AFTER_S);
            }
            JoinRefusal::ChannelClosed => {
                (StatusCode::GONE, "channel_closed", "the channel of this token is not open: ask for your state")
            }
            JoinRefusal::Removed => {
                (StatusCode::GONE, "removed", "this participation is not in the channel (any more): ask for your state")
            }
            JoinRefusal::ChannelFull => (
                StatusCode::SERVICE_UNAVAILABLE,
                "channel_full",
                "the channel has all the peers that it may have: try later",
            ),
        };
        Self::blank(status, code, detail)
    }
}
