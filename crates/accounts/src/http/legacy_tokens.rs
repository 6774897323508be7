//! The token service of the reference product, as its older clients ask for it: `/token/apply`, `/token/query` and
//! `/token/revoke`, by POST with a form or by GET with a query.
//!
//! Who asks is an access key, which signs: Base64(HMAC-SHA1(secret, text)), where the text is made of the *signed* pairs,
//! sorted, each `name=value` with its comma-separated values sorted, joined by `&`, without URL encoding. The answer is always
//! `200 OK` with a code of its own in its JSON.
//!
//! A signature has no time in it: who has seen a request may send it again. Use TLS.

use super::Api;
use super::body::Secret;
use super::failures::Source;
use super::tokens::Wish;
use crate::access::Access;
use crate::login::matches;
use crate::token::TokenType;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use catalog::{Actor, By, Key, Scope};
use problem::Problem;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use utoipa::ToSchema;

/// Names of one request; there are ten at most that mean anything.
const PAIRS_MAX: usize = 32;

/// 1 forged, 2 expired, 3 revoked and their like are those of tokens.
mod code {
    pub(super) const OK: i32 = 200;
    pub(super) const PARAMETERS: i32 = 400;
    pub(super) const SIGNATURE: i32 = 407;
    pub(super) const NOT_CREATED: i32 = 409;
    pub(super) const NOT_REVOKED: i32 = 410;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reply {
    success: bool,
    message: String,
    /// 200 ok, 400 parameters, 407 signature, 409 not created, 410 not revoked; of a token 1 forged, 2 expired, 3 revoked
    code: i32,
    /// The token, if one was applied for.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_data: Option<String>,
}

impl Reply {
    fn done(token_data: Option<String>) -> Self {
        Self { success: true, message: "operation success".to_owned(), code: code::OK, token_data }
    }

    fn refused(code: i32, words: impl Into<String>) -> Self {
        Self { success: false, message: words.into(), code, token_data: None }
    }
}

/// The pairs of a form, or of a query; of one name the last.
pub(super) struct Pairs {
    by_name: BTreeMap<String, String>,
    parts: Parts,
}

impl<S: Send + Sync> FromRequest<S> for Pairs {
    type Rejection = Json<Reply>;

    async fn from_request(request: Request, state: &S) -> Result<Self, Json<Reply>> {
        let (parts, body) = request.into_parts();
        let text = if parts.method == Method::GET {
            Bytes::from(parts.uri.query().unwrap_or_default().to_owned())
        } else {
            let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
            body.map_err(|_| Json(Reply::refused(code::PARAMETERS, "the form is longer than 16 KiB, or was cut off")))?
        };
        let by_name = form_urlencoded::parse(&text).into_owned().take(PAIRS_MAX).collect();
        Ok(Self { by_name, parts })
    }
}

impl Pairs {
    fn find(&self, name: &str) -> Result<&str, Reply> {
        let value = self.by_name.get(name).map(String::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| Reply::refused(code::PARAMETERS, format!("{name} is missing")))
    }

    /// The text that is signed, of those of these names that there are.
    fn signed(&self, names: &[&str]) -> String {
        let pairs = self.by_name.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let pairs = pairs.map(|(name, value)| format!("{name}={}", sorted(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn sorted(values: &str) -> String {
    let mut values: Vec<&str> = values.split(',').collect();
    values.sort_unstable();
    values.join(",")
}

/// Applies for a token. Signed are actions, expireTime, instanceId, resources, serviceName, and clientId if it is there.
#[utoipa::path(
    post, path = "/token/apply", tag = "tokens",
    request_body(
        content = String, content_type = "application/x-www-form-urlencoded",
        description = "accessKey, actions (R, W or R,W), resources (with commas), expireTime (ms), instanceId, serviceName=mq, \
                       proxyType=MQTT, signature; clientId may be added"
    ),
    responses((status = 200, body = Reply))
)]
pub(super) async fn apply(State(api): State<Arc<Api>>, pairs: Pairs) -> Secret<Reply> {
    Secret(api.legacy_apply(&pairs).await.unwrap_or_else(|refused| refused))
}

/// The same, with the pairs in the query.
#[utoipa::path(get, path = "/token/apply", tag = "tokens", responses((status = 200, body = Reply)))]
pub(super) async fn apply_by_query(api: State<Arc<Api>>, pairs: Pairs) -> Secret<Reply> {
    apply(api, pairs).await
}

/// Is a token valid? Signed is token.
#[utoipa::path(
    post, path = "/token/query", tag = "tokens",
    request_body(
        content = String, content_type = "application/x-www-form-urlencoded", description = "accessKey, token, signature"
    ),
    responses((status = 200, body = Reply))
)]
pub(super) async fn query(State(api): State<Arc<Api>>, pairs: Pairs) -> Json<Reply> {
    Json(api.legacy_query(&pairs).unwrap_or_else(|refused| refused))
}

/// The same, with the pairs in the query.
#[utoipa::path(get, path = "/token/query", tag = "tokens", responses((status = 200, body = Reply)))]
pub(super) async fn query_by_query(api: State<Arc<Api>>, pairs: Pairs) -> Json<Reply> {
    query(api, pairs).await
}

/// Voids a token before its time. Signed is token.
#[utoipa::path(
    post, path = "/token/revoke", tag = "tokens",
    request_body(
        content = String, content_type = "application/x-www-form-urlencoded", description = "accessKey, token, signature"
    ),
    responses((status = 200, body = Reply))
)]
pub(super) async fn revoke(State(api): State<Arc<Api>>, pairs: Pairs) -> Json<Reply> {
    Json(api.legacy_revoke(&pairs).await.unwrap_or_else(|refused| refused))
}

/// The same, with the pairs in the query.
#[utoipa::path(get, path = "/token/revoke", tag = "tokens", responses((status = 200, body = Reply)))]
pub(super) async fn revoke_by_query(api: State<Arc<Api>>, pairs: Pairs) -> Json<Reply> {
    revoke(api, pairs).await
}

impl Api {
    async fn legacy_apply(self: &Arc<Self>, pairs: &Pairs) -> Result<Reply, Reply> {
        let signed = pairs.signed(&["actions", "clientId", "expireTime", "instanceId", "resources", "serviceName"]);
        let key = self.signer(pairs, &signed)?;
        let [actions, resources, expires] = ["actions", "resources", "expireTime"].map(|name| pairs.find(name));
        let (actions, resources, expires) = (actions?, resources?, expires?);
        let bad = |words: &str| Reply::refused(code::PARAMETERS, words);
        if pairs.find("instanceId")? != self.state.access.load().instance() {
            return Err(bad("there is no such instanceId here"));
        }
        if pairs.find("serviceName")? != "mq" || pairs.find("proxyType").is_ok_and(|proxy| proxy != "MQTT") {
            return Err(bad("serviceName is mq, and proxyType MQTT"));
        }
        let token_type = match sorted(actions).as_str() {
            "R" => TokenType::Read,
            "W" => TokenType::Write,
            "R,W" => TokenType::ReadWrite,
            _ => return Err(bad("actions are R, W or R,W")),
        };
        let wish = Wish {
            token_type,
            resources: resources.split(',').map(str::to_owned).collect(),
            expires_at_ms: expires.parse().map_err(|_| bad("expireTime is in milliseconds since 1970"))?,
            client_id: pairs.find("clientId").ok().map(str::to_owned),
        };
        let scopes = key.administers();
        let issued = self.issue_token(&Actor::Key(key.key_id), scopes, wish).await;
        issued.map(|(text, _)| Reply::done(Some(text))).map_err(|problem| {
            let is_wish_wrong = problem.status() == StatusCode::BAD_REQUEST;
            refused(if is_wish_wrong { code::PARAMETERS } else { code::NOT_CREATED }, &problem)
        })
    }

    fn legacy_query(&self, pairs: &Pairs) -> Result<Reply, Reply> {
        self.signer(pairs, &pairs.signed(&["token"]))?;
        let valid = self.token_is_valid(pairs.find("token")?);
        valid.map(|()| Reply::done(None)).map_err(|error| Reply::refused(error.code(), error.to_string()))
    }

    async fn legacy_revoke(self: &Arc<Self>, pairs: &Pairs) -> Result<Reply, Reply> {
        let key = self.signer(pairs, &pairs.signed(&["token"]))?;
        let peer = pairs.parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let address = peer.map(|ConnectInfo(peer)| peer.ip().to_string());
        let by = By { actor: Actor::Key(key.key_id), address, at_ms: self.now_ms(), right_as_of: None };
        let revoked = self.void_token(by, pairs.find("token")?).await;
        revoked.map(|()| Reply::done(None)).map_err(|problem| refused(code::NOT_REVOKED, &problem))
    }

    /// The access key that has signed, if it may deal with tokens.
    fn signer(&self, pairs: &Pairs, signed: &str) -> Result<Key, Reply> {
        let (key_id, signature) = (pairs.find("accessKey")?, pairs.find("signature")?);
        let key = self.key_of_signature(&self.state.access.load(), key_id, signed, signature).ok_or_else(|| {
            let words = "the access key is not known here, or has not signed this";
            let problem = self.state.gate.wrong_signature(Source::of(&pairs.parts), words);
            refused(code::SIGNATURE, &problem)
        })?;
        if key.administers().allow(Scope::Topics) {
            return Ok(key);
        }
        Err(Reply::refused(code::SIGNATURE, "the access key lacks the scope topics"))
    }

    /// Unknown and wrong take as long.
    fn key_of_signature(&self, access: &Access, key_id: &str, signed: &str, signature: &str) -> Option<Key> {
        let Some(key) = access.key(key_id).filter(|key| key.instance == access.instance()) else {
            matches(None, signed, signature.as_bytes());
            return None;
        };
        let secret = key.secrets.iter().find(|one| matches(Some(&one.secret), signed, signature.as_bytes()))?;
        let is_over = key.valid_until_ms(secret).is_some_and(|until_ms| (self.state.is_over)(until_ms));
        (!is_over).then(|| key.clone())
    }
}

fn refused(code: i32, problem: &Problem) -> Reply {
    Reply::refused(code, problem.detail())
}
