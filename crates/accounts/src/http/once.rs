//! Requests that are done once however often they are sent: `Idempotency-Key`, as the IETF draft "The Idempotency-Key HTTP
//! Header Field" has it.
//!
//! A request is named by its caller and the key that it carries. Its answer is written, sealed, in the transaction of the
//! change that it tells of, and given again to the same request; so a caller whose answer was lost sends the request again,
//! also after a crash of the server. The same key with another method, path or body is refused. While the first request
//! runs, a second one is told so. A refusal is not kept: nothing was changed, and the key may be used again.

use super::Api;
use super::api_keys::{sha256, sha256_hex};
use super::body::{bytes_of, object};
use super::gate::Caller;
use crate::sealing::Seal;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use catalog::{Answer, AnswerKey};
use problem::{Code, Problem};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use utoipa::{IntoParams, IntoResponses};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_BYTES_MAX: usize = 255;

type Digest = [u8; 32];

/// A request with a JSON body, and the ticket by which its answer is kept. To be taken after the check of the caller, who is
/// found among the extensions of the request.
pub(super) struct Once<T> {
    pub(super) request: T,
    pub(super) ticket: Ticket,
}

/// The body of a request that has nothing to say.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Why a handler has nothing to do.
pub(super) enum Settled {
    Refused(Problem),
    /// The answer that was given before.
    Answered(Response),
}

impl From<Problem> for Settled {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl IntoResponse for Settled {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(problem) => problem.into_response(),
            Self::Answered(response) => response,
        }
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Once<T> {
    type Rejection = Settled;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Settled> {
        let key = key_of(request.headers())?;
        let caller = request.extensions().get::<Caller>().map(|caller| caller.actor.to_string());
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let bytes = bytes_of(request, api).await?;
        let ticket = match (key, caller) {
            (Some(idempotency_key), Some(caller)) => {
                let asked = digest_of(&method, &uri, &bytes);
                Ticket(Some(begin(api, caller, &idempotency_key, asked).await?))
            }
            _ => Ticket(None),
        };
        Ok(Self { request: object(&bytes)?, ticket })
    }
}

/// Of the draft's string in quotes, or of the bare text that many clients send.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let words = "Idempotency-Key is one text of 1 to 255 visible ASCII characters without \" and \\, best a new UUID for each \
                 request";
    let invalid = || Problem::new(Code::InvalidIdempotencyKey, words);
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| invalid())?.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_good = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\');
    let good = (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_good) && values.next().is_none();
    if good { Ok(Some(text.to_owned())) } else { Err(invalid()) }
}

/// Each part with its length before it: no two requests have the same bytes.
fn digest_of(method: &Method, uri: &Uri, body: &[u8]) -> Digest {
    let target = uri.path_and_query().map_or(uri.path(), |target| target.as_str());
    let mut bytes = Vec::with_capacity(body.len() + target.len() + 32);
    for part in [method.as_str().as_bytes(), target.as_bytes(), body] {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part);
    }
    sha256(&bytes)
}

/// # Errors
/// The answer to the request: one that was given before, or why there is none.
async fn begin(api: &Arc<Api>, caller: String, key: &str, asked: Digest) -> Result<Arc<Running>, Settled> {
    let seal = api.state.access.load().token_key().and_then(|secret| secret.sealing().of(key)).ok_or_else(|| {
        Problem::new(Code::Unavailable, "this server has no key by which answers are kept; see its log")
    })?;
    let to = AnswerKey { caller, idempotency_key: sha256_hex(key) };
    let running = Arc::new(api.requests.start(to, asked, seal)?);
    // From here on a request that ran before has left its answer.
    let known = api.state.catalog.answer(&running.to, api.now_ms()).await.map_err(super::unavailable)?;
    match known {
        None => Ok(running),
        Some(answer) if answer.request != asked => Err(reused().into()),
        Some(answer) => {
            let response = running.replay(&answer)?;
            api.all_in_force().await;
            Err(Settled::Answered(response))
        }
    }
}

fn reused() -> Problem {
    let words = "this Idempotency-Key was sent with another request; a key is for one request, send a new one";
    Problem::new(Code::IdempotencyKeyReused, words)
}

pub(super) fn busy() -> Problem {
    let words = "a request with this Idempotency-Key is being done, or was done just now; send it again in a moment for its answer";
    Problem::new(Code::IdempotencyKeyBusy, words).retry_after(1)
}

/// Requests with a key that run at the moment.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<Mutex<HashMap<AnswerKey, Digest>>>);

impl Requests {
    fn start(&self, to: AnswerKey, asked: Digest, seal: Seal) -> Result<Running, Problem> {
        // A thread that panicked with the lock held left it whole: each change is one call.
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match running.entry(to.clone()) {
            Entry::Vacant(place) => _ = place.insert(asked),
            Entry::Occupied(other) if *other.get() == asked => return Err(busy()),
            Entry::Occupied(_) => return Err(reused()),
        }
        Ok(Running { to, asked, seal, requests: self.clone() })
    }
}

/// A request that is being done; no other one with its key is, for as long as it lives.
pub(super) struct Running {
    to: AnswerKey,
    asked: Digest,
    seal: Seal,
    requests: Requests,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.requests.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.to);
    }
}

impl Running {
    /// What a sealed answer belongs to.
    fn context(&self, status: u16) -> Vec<u8> {
        let AnswerKey { caller, idempotency_key } = &self.to;
        let mut context = Vec::new();
        for part in [caller.as_bytes(), idempotency_key.as_bytes(), &self.asked, &status.to_be_bytes()] {
            context.extend((part.len() as u64).to_be_bytes());
            context.extend(part);
        }
        context
    }

    fn replay(&self, answer: &Answer) -> Result<Response, Problem> {
        let status = StatusCode::from_u16(answer.status).ok();
        let body = self.seal.open(&self.context(answer.status), &answer.sealed);
        let (Some(status), Some(body)) = (status, body) else {
            let words = "this request was done, but its answer cannot be read any more: the secret of the data directory's file \
                         keys/token-secret is another now; look at what there is, and send a new Idempotency-Key";
            return Err(Problem::new(Code::IdempotencyAnswerLost, words));
        };
        let mut response = if body.is_empty() {
            status.into_response()
        } else {
            (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }
}

/// Of a request whose answer is to be kept, if it has a key.
pub(super) struct Ticket(Option<Arc<Running>>);

impl Ticket {
    /// Of a request that cannot have a key.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// For [`Api::apply_once`] and [`Api::commit_once`]. `None` is an answer without a body.
    pub(super) fn seal(&self, now_ms: u64, answer: Option<&impl Serialize>) -> Result<Sealed, Problem> {
        let Some(running) = self.0.clone() else { return Ok(Sealed(None)) };
        let unwritten =
            || Problem::new(Code::Unavailable, "the answer could not be kept, and nothing was done; try again");
        let body = answer.map(serde_json::to_vec).transpose().map_err(|_| unwritten())?.unwrap_or_default();
        let status = if answer.is_some() { StatusCode::OK } else { StatusCode::NO_CONTENT }.as_u16();
        let sealed = running.seal.seal(&running.context(status), body).ok_or_else(unwritten)?;
        let (to, request) = (running.to.clone(), running.asked.to_vec());
        Ok(Sealed(Some((running, Answer { to, request, status, sealed, created_at_ms: now_ms }))))
    }
}

/// The answer that a change will have, once it is made.
pub(super) struct Sealed(Option<(Arc<Running>, Answer)>);

impl Sealed {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// No other request with its key runs for as long as it is held.
    pub(super) fn running(&self) -> Option<Arc<Running>> {
        self.0.as_ref().map(|(running, _)| Arc::clone(running))
    }

    /// What is to be written; the request counts as running for as long as the second is held.
    pub(super) fn into_parts(self) -> (Option<Answer>, Option<Arc<Running>>) {
        self.0.map_or((None, None), |(running, answer)| (Some(answer), Some(running)))
    }
}

/// The header of a request whose answer is kept.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "of the document alone")]
pub(super) struct OnceHeader {
    /// A text of the caller's, best a new UUID (`"8e03978e-40d5-43dd-bc93-6894a57f9324"`), that names this request. A request
    /// whose answer was lost is sent again with it, and is not done twice: it has the same answer, with the header
    /// `Idempotency-Replayed: true`. Answers are kept for 24 hours, the last 10000 of each key; they are written with the change
    /// that they tell of. Refusals are not kept: nothing was changed, and the same key may be sent again, also with another
    /// body. Routes that do not name this header do not look at it.
    #[param(rename = "Idempotency-Key", pattern = r#"^([!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}")$"#)]
    idempotency_key: Option<String>,
}

/// What a route may answer besides whose answers are kept.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "of the document alone")]
pub(super) enum RefusedOnce {
    /// exists, in_use, limits of the thing; idempotency_key_busy: the first request with this key is being done;
    /// idempotency_answer_lost: it was done, and its answer cannot be read any more
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// idempotency_key_reused: the key was sent with another method, path or body
    #[response(status = 422, content_type = "application/problem+json")]
    Reused(Problem),
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use crate::sealing::Sealing;

    fn key(values: &[&str]) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(KEY, value.parse().unwrap());
        }
        key_of(&headers)
    }

    #[test]
    fn a_key_is_a_text_in_quotes_or_bare() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&["\"8e03978e\""]), Ok(Some("8e03978e".to_owned())));
        assert_eq!(key(&["8e03978e"]), Ok(Some("8e03978e".to_owned())));
        assert!(key(&[&"k".repeat(KEY_BYTES_MAX)]).is_ok());
        for bad in [&[""] as &[_], &["\"\""], &["\""], &["a b"], &["a\\\"b"], &["a", "b"], &[&"k".repeat(256)]] {
            assert!(key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn requests_are_the_same_by_method_path_query_and_body() {
        let digest = |method, uri: &'static str, body: &str| digest_of(method, &Uri::from_static(uri), body.as_bytes());
        let first = digest(&Method::POST, "/a?b=c", "{}");
        assert_eq!(first, digest(&Method::POST, "/a?b=c", "{}"));
        for other in [
            digest(&Method::PUT, "/a?b=c", "{}"),
            digest(&Method::POST, "/a?b=d", "{}"),
            digest(&Method::POST, "/a", "?b=c{}"),
            digest(&Method::POST, "/a?b=c", "{ }"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn two_requests_with_one_key_do_not_run_at_once() {
        let requests = Requests::default();
        let to = |caller: &str| AnswerKey { caller: caller.to_owned(), idempotency_key: "k".to_owned() };
        let start = |caller, asked| requests.start(to(caller), [asked; 32], Sealing::new(&[7; 32]).of("k").unwrap());
        let first = start("a", 1).unwrap();
        assert_eq!(start("a", 1).err(), Some(busy()));
        assert_eq!(start("a", 2).err(), Some(reused()));
        assert!(start("b", 2).is_ok());
        drop(first);
        assert!(start("a", 2).is_ok());
        assert!(requests.0.lock().unwrap().is_empty());
    }
}
