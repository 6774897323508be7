//! What all routes for owners share: who asks and whether they may, changes with their refusals, lists, entity tags.

use super::gate::{Caller, KEY_UNKNOWN};
use super::once::{Sealed, busy};
use super::{Api, unavailable};
use axum::Json;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalog::{Actor, ActorLost, Applied, ApplyError, By, CatalogError, Change, Cut, Device, Order, Page, Row, Scope};
use problem::{Code, Problem};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// A change answers when this server goes by it, or after this time.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(2);
/// The same, when what it ends has ended.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// What a route needs of a key.
pub(super) trait Needs: Send + Sync {
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($name:ident)*) => {
        $(
            #[derive(Clone, Debug)]
            pub(super) struct $name;

            impl Needs for $name {
                const SCOPE: Scope = Scope::$name;
            }
        )*
    };
}

needs! { Topics Groups Devices Meetings Admin }

/// Proof that the request carries a key with this scope.
pub(super) struct Holder<N> {
    caller: Caller,
    now_ms: u64,
    needs: PhantomData<N>,
}

impl<N> Holder<N> {
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// As the log of changes names them.
    pub(super) fn by(&self) -> By {
        let Caller { actor, address, key, .. } = &self.caller;
        By {
            actor: actor.clone(),
            address: address.clone(),
            at_ms: self.now_ms,
            right_as_of: key.map(|key| key.changed),
        }
    }
}

impl<N> Holder<N> {
    /// Whether this is the key of the request.
    pub(super) fn is_key(&self, key_id: &str) -> bool {
        matches!(&self.caller.actor, Actor::Key(own) if own == key_id)
    }

    /// Whoever locks itself out can take nothing back.
    pub(super) fn refuse_own(&self, key_id: &str, takes_away: &str) -> Result<(), Problem> {
        if !self.is_key(key_id) {
            return Ok(());
        }
        let words = format!(
            "the key {key_id} is the one of this request, and would not be let in any more: it cannot {takes_away}; send the \
             request with another key of the scope admin, or with that of the data directory's file api-key"
        );
        Err(Problem::new(Code::InUse, words))
    }

    /// Of what takes more than the route's own scope.
    pub(super) fn require(&self, scopes: &[Scope]) -> Result<(), Problem> {
        self.require_for("force", "such things go with it", scopes)
    }

    pub(super) fn require_for(&self, what: &str, why: &str, scopes: &[Scope]) -> Result<(), Problem> {
        let Some(lacking) = scopes.iter().find(|scope| !self.caller.scopes.allow(**scope)) else { return Ok(()) };
        let words = format!("{what} takes the scope {} too, because {why}", lacking.name());
        Err(Problem::new(Code::Forbidden, words))
    }
}

impl<N: Needs> FromRequestParts<Arc<Api>> for Holder<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let caller = api.state.gate.caller_with(parts, N::SCOPE).await?;
        // For those who read the body behind this.
        parts.extensions.insert(caller.clone());
        Ok(Self { caller, now_ms: api.now_ms(), needs: PhantomData })
    }
}

impl Api {
    /// Makes the change, and waits until this server goes by it and has ended what it ends.
    pub(super) async fn apply(
        self: &Arc<Self>,
        by: By,
        change: Change,
        expected: Option<u64>,
    ) -> Result<Applied, ApplyError> {
        self.apply_once(by, change, expected, Sealed::none()).await
    }

    /// The same, and keeps the answer for those who ask again.
    pub(super) async fn apply_once(
        self: &Arc<Self>,
        by: By,
        change: Change,
        expected: Option<u64>,
        answer: Sealed,
    ) -> Result<Applied, ApplyError> {
        let is_about_key = matches!(change, Change::UpdateKey { .. } | Change::RotateKey { .. });
        // Who asks again meanwhile waits, too.
        let _running = answer.running();
        let done = self.commit_once(by, change, expected, answer).await?;
        self.in_force(&done, is_about_key).await;
        Ok(done)
    }

    /// Makes the change and keeps its answer, also if the caller hangs up, and waits for nothing behind it.
    pub(super) async fn commit_once(
        self: &Arc<Self>,
        by: By,
        change: Change,
        expected: Option<u64>,
        answer: Sealed,
    ) -> Result<Applied, ApplyError> {
        let api = Arc::clone(self);
        let task = tokio::spawn(async move {
            let (answer, _running) = answer.into_parts();
            let client_id = match &change {
                Change::PutDevice { device: Device { client_id, .. }, .. }
                | Change::RemoveDevice { client_id, .. }
                | Change::RevokeDevice { client_id, .. } => Some(client_id.clone()),
                _ => None,
            };
            let order = Order { change, by, expected };
            let done = match answer {
                Some(answer) => api.state.catalog.apply_and_keep(order, answer).await,
                None => api.state.catalog.apply(order).await,
            };
            // Also if it was not answered: it may stand.
            if let Some(client_id) = client_id {
                api.state.directory.invalidate(&client_id);
            }
            done
        });
        let lost = || ApplyError::Catalog(CatalogError::Unavailable("the change was not finished".to_owned()));
        task.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Waits until this server goes by the change and has ended what it ends, though not for ever.
    pub(super) async fn in_force(&self, done: &Applied, is_about_key: bool) {
        let Applied { number, access_revision, cuts } = done;
        if let Some(revision) = *access_revision
            && timeout(IN_FORCE_WITHIN, self.state.access.reached(revision)).await.is_err()
        {
            tracing::warn!(revision, "a change is not in force yet, because the catalog cannot be read");
        }
        let ends_devices = cuts.iter().any(|cut| matches!(cut, Cut::Device { .. }));
        let passed = async |number| match ends_devices {
            true => self.state.revocation.passed(number).await,
            false => self.state.revocation.passed_at_once(number).await,
        };
        if let Some(number) = *number
            && (is_about_key || !cuts.is_empty())
            && timeout(ENDED_WITHIN, passed(number)).await.is_err()
        {
            tracing::warn!(change = number, "what a change ends has not ended yet; it is tried again");
        }
    }
    /// The same of whatever was changed before, by a caller who does not know its number.
    pub(super) async fn all_in_force(&self) {
        let (revision, number) =
            (*self.state.catalog.access_revision().borrow(), *self.state.catalog.change_number().borrow());
        let all = async {
            self.state.access.reached(revision).await;
            self.state.revocation.passed_at_once(number).await;
        };
        if timeout(ENDED_WITHIN, all).await.is_err() {
            tracing::warn!(change = number, "what earlier changes end has not ended yet; it is tried again");
        }
    }
}

/// The key of the request was disabled or removed while it was under way.
pub(super) fn key_gone() -> Problem {
    Problem::new(Code::ApiKeyRequired, KEY_UNKNOWN)
}

/// The key of a request has lost its right while the request was under way.
pub(super) fn key_lost(lost: ActorLost) -> Problem {
    if lost == ActorLost::Gone {
        return key_gone();
    }
    let words = "the key of this request was changed while it was under way, and nothing was done; send it again";
    Problem::new(Code::Unavailable, words).retry_after(1)
}

/// The words of refusals about one thing.
pub(super) struct Refusals<'a> {
    kind: &'static str,
    id: &'a str,
}

impl<'a> Refusals<'a> {
    pub(super) fn of(kind: &'static str, id: &'a str) -> Self {
        Self { kind, id }
    }

    pub(super) fn refuse(&self, error: ApplyError) -> Problem {
        let Self { kind, id } = self;
        match error {
            ApplyError::Exists => {
                let words =
                    format!("there is a {kind} {id} already, and it is another; change that, or choose another name");
                Problem::new(Code::Exists, words)
            }
            ApplyError::Unknown => self.unknown(),
            ApplyError::Stale { present } => {
                let words =
                    format!("the {kind} {id} was changed meanwhile: its ETag is \"{present}\" now; read it again");
                Problem::new(Code::Stale, words)
            }
            ApplyError::InUse(uses) => {
                let words = format!(
                    "the {kind} {id} is in use by {uses}; remove these first, or send force=true (up to 10000 devices)"
                );
                Problem::new(Code::InUse, words)
            }
            ApplyError::Actor(lost) => key_lost(lost),
            ApplyError::TooMany { max } => {
                let words = format!(
                    "too many are revoked of the key that has applied for this one: a key may have half of what the others \
                     leave of {max}; wait for their time to be over, or remove the key, which voids all of its tokens"
                );
                Problem::new(Code::TooManyRevoked, words)
            }
            ApplyError::Answered => busy(),
            ApplyError::Catalog(CatalogError::Invalid(words)) => Problem::new(Code::InvalidBody, words),
            ApplyError::Catalog(error) => unavailable(error),
        }
    }

    pub(super) fn unknown(&self) -> Problem {
        Problem::new(Code::NotFound, format!("there is no {} {} here; see the list of them", self.kind, self.id))
    }
}

/// `If-Match: "<number>"` (RFC 9110 section 13.1.1): the change that made the thing what the caller believes it to be.
pub(super) struct Expected(pub(super) Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for Expected {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(tag) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let number = tag.to_str().ok().map(str::trim).filter(|tag| *tag != "*");
        let Some(tag) = number else { return Ok(Self(None)) };
        let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
        let words =
            "If-Match names no ETag of this API; send the one of the answer that you have read, with its quotes";
        number.map(|number| Self(Some(number))).ok_or_else(|| Problem::new(Code::InvalidQuery, words))
    }
}

/// The header of a route that takes [`Expected`].
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "of the document alone")]
pub(super) struct IfMatch {
    /// The `ETag` of the answer that the caller has read, with its quotes: the number of the change that made the thing what it
    /// is. If it is another by now, nothing is done (412 `stale`). Without it, or with `*`, any will do.
    #[param(rename = "If-Match", pattern = r#"^("[0-9]{1,19}"|\*)$"#)]
    if_match: Option<String>,
}

/// One thing, with its ETag.
pub(super) struct Tagged<T>(pub(super) u64, pub(super) T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        tagged(Some(self.0), self.1)
    }
}

/// The same of a thing that may have none, because it is no row.
pub(super) fn tagged(tag: Option<u64>, thing: impl Serialize) -> Response {
    let mut response = Json(thing).into_response();
    let tag = tag.and_then(|tag| HeaderValue::try_from(format!("\"{tag}\"")).ok());
    if let Some(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Whether what uses a thing goes with it.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Force {
    /// Removes what uses it, too.
    pub(super) force: bool,
}

/// Which part of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Part {
    /// The `next` of the part before.
    pub(super) after: Option<String>,
    /// 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
}

const LIMIT: u32 = 50;
const LIMIT_MAX: u32 = 200;

impl Part {
    /// One more than is shown, to know whether there are more.
    pub(super) fn page(&self) -> Result<Page, Problem> {
        Ok(Page { after: self.place()?, limit: self.limit()? + 1 })
    }

    /// What [`next`](Self::next) was made of.
    pub(super) fn place(&self) -> Result<Option<String>, Problem> {
        self.after.as_deref().map(decoded).transpose()
    }

    pub(super) fn next(place: &str) -> String {
        URL_SAFE_NO_PAD.encode(place)
    }

    pub(super) fn limit(&self) -> Result<u32, Problem> {
        match self.limit.unwrap_or(LIMIT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            _ => Err(Problem::new(Code::InvalidQuery, "limit must be 1 to 200")),
        }
    }
}

fn decoded(cursor: &str) -> Result<String, Problem> {
    let id = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    id.ok_or_else(|| Problem::new(Code::InvalidQuery, "after is no `next` of this API; begin without it"))
}

/// A part of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
    /// For `after`; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

impl<T> Items<T> {
    /// Of rows that [`Part::page`] asked for.
    pub(super) fn of<R>(
        part: &Part,
        mut rows: Vec<Row<R>>,
        id: impl Fn(&R) -> String,
        show: impl Fn(Row<R>) -> T,
    ) -> Result<Json<Self>, Problem> {
        let limit = part.limit()? as usize;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| has_more).map(|row| id(&row.value));
        let next = last.map(|id| Part::next(&id));
        Ok(Json(Self { items: rows.into_iter().map(show).collect(), next }))
    }
}

/// The query of a request.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let asked = Query::<T>::from_request_parts(parts, state).await;
        let Query(asked) = asked.map_err(|error| Problem::new(Code::InvalidQuery, error.body_text()))?;
        Ok(Self(asked))
    }
}

/// The id in the path, and both of a grant.
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = Path::<T>::from_request_parts(parts, state).await;
        let words = "the path is no UTF-8 text; encode it anew";
        named.map(|Path(named)| Self(named)).map_err(|_| Problem::new(Code::NotFound, words))
    }
}

/// What every route for owners may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "of the document alone")]
pub(super) enum Refused {
    /// invalid_query, invalid_idempotency_key where one is taken, or what the body breaks: invalid_body, or the code of the field
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// api_key_required
    #[response(status = 401, content_type = "application/problem+json")]
    NoKey(Problem),
    /// forbidden: the key lacks the scope
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// too_many_failures
    #[response(status = 429, content_type = "application/problem+json")]
    TooManyFailures(Problem),
    /// unavailable
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// What a route that changes no row may answer besides, of one thing that may not be there.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "of the document alone")]
pub(super) enum RefusedAbsent {
    /// not_found
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
}

/// What a route that takes a body may answer besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "of the document alone")]
pub(super) enum RefusedBody {
    /// body_too_large
    #[response(status = 413, content_type = "application/problem+json")]
    BodyTooLarge(Problem),
}

/// What a route about one thing may answer besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "of the document alone")]
pub(super) enum RefusedOne {
    /// not_found
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// exists, in_use; of a meeting meeting_over, not_allowed, limit
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// stale: `If-Match` names another state of it
    #[response(status = 412, content_type = "application/problem+json")]
    Stale(Problem),
    /// body_too_large
    #[response(status = 413, content_type = "application/problem+json")]
    BodyTooLarge(Problem),
}
