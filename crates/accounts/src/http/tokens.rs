//! Routes for tokens, with which clients of a service publish and subscribe.
//!
//! Nothing is kept of a token but that it was revoked. What its answer shows is all that there is to see of it.

use super::body::{Body, Secret};
use super::grants::why_closed;
use super::logins::ShownLogin;
use super::owner::{Holder, Refusals, Refused, RefusedBody, RefusedOne, Topics};
use super::rates::Asking;
use super::{Api, unavailable};
use crate::access::ClientId;
use crate::token::{Applicant, RESOURCES_MAX, Token, TokenError, TokenType, check_resource};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use catalog::{Actor, By, Change, Device, RevokedToken, Scope, Scopes};
use problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// How far ahead a token may end. What is wished beyond it is cut to it, as the reference product does.
const VALID_MS_MIN: u64 = 60 * 1000;
const VALID_MS_MAX: u64 = 30 * 24 * 3600 * 1000;
/// Who wishes the shortest time has taken the time before this server does.
const CLOCKS_APART_MS: u64 = 10 * 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) enum Actions {
    /// To subscribe.
    R,
    /// To publish.
    W,
    /// Both.
    #[serde(alias = "R,W")]
    RW,
}

impl From<Actions> for TokenType {
    fn from(actions: Actions) -> Self {
        match actions {
            Actions::R => Self::Read,
            Actions::W => Self::Write,
            Actions::RW => Self::ReadWrite,
        }
    }
}

impl From<TokenType> for Actions {
    fn from(token_type: TokenType) -> Self {
        match token_type {
            TokenType::Read => Self::R,
            TokenType::Write => Self::W,
            TokenType::ReadWrite => Self::RW,
        }
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    actions: Actions,
    /// 1 to 100 topics; `+` for one level of them and `#` for all that follow, behind a parent topic that exists.
    #[schema(example = json!(["orders-down/#"]))]
    resources: Vec<String>,
    /// Milliseconds since 1970: 60 s to 30 days ahead. What lies further ahead becomes 30 days.
    expires_at_ms: u64,
    /// The only client id that it is good for, as whose user it acts if it is that of a user's device; this takes the scope
    /// devices too. Without it, it is good for every client id that no user owns.
    #[schema(example = "GID_phone@@@d1")]
    client_id: Option<String>,
}

/// A token of now, in the forms that clients need.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct NewToken {
    /// It is shown this once.
    token: String,
    id: Uuid,
    actions: Actions,
    resources: Vec<String>,
    /// When it ends: no later than the key that applied for it.
    expires_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Whose device that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// For MQTT.
    #[schema(example = "Token|orders|convoke")]
    username: String,
    /// For MQTT; up to three tokens of different types may be joined by `|`.
    password: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShownToken {
    token: String,
}

impl fmt::Debug for ShownToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShownToken").finish_non_exhaustive()
    }
}

/// A token, or a login of MQTT.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokenQuestion {
    /// A token, a JWT, or a client certificate in PEM; not together with the rest.
    token: Option<String>,
    /// Of a CONNECT, with its `password` and its `client_id`.
    #[schema(example = "Signature|billing|convoke")]
    username: Option<String>,
    password: Option<String>,
    #[schema(example = "GID_phone@@@billing")]
    client_id: Option<String>,
}

impl fmt::Debug for TokenQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenQuestion").finish_non_exhaustive()
    }
}

/// What there is to say of a token, or of a login. Of one that was neither issued here nor signed by an issuer of the configuration, nothing but
/// that.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct TokenAnswer {
    pub(super) valid: bool,
    /// As clients are told it: 1 forged, 2 expired, 3 revoked, 8 signature, -1 its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<i32>,
    /// Why it is not valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// Of a login: Signature, Token, DeviceCredential or JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login: Option<String>,
    /// Of a JWT that was not issued here: the name of its issuer in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Uuid>,
    /// The key that applied for it; `owner`: that of the data directory. Of a Signature the key that has signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actions: Option<Actions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resources: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
}

/// What somebody wishes a token for.
pub(super) struct Wish {
    pub(super) token_type: TokenType,
    pub(super) resources: Vec<String>,
    pub(super) expires_at_ms: u64,
    pub(super) client_id: Option<String>,
}

/// A token for a client, so that it may publish and subscribe for a while. Up to 100 a second for each key.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens", security(("api_key" = ["topics"])), request_body = TokenRequest,
    responses((status = 200, body = NewToken), Refused, RefusedOne)
)]
pub(super) async fn apply_for_token(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Body(TokenRequest { actions, resources, expires_at_ms, client_id }): Body<TokenRequest>,
) -> Result<Secret<NewToken>, Problem> {
    let wish = Wish { token_type: actions.into(), resources, expires_at_ms, client_id };
    let caller = holder.caller();
    let (text, token) = api.issue_token(&caller.actor, caller.scopes, wish).await?;
    let username = format!("Token|{}|{}", token.applicant.name(), api.state.access.load().instance());
    let password = format!("{}|{text}", token.token_type);
    Ok(Secret(NewToken {
        token: text,
        id: token.id,
        actions,
        resources: token.resources,
        expires_at_ms: token.expires_at_ms,
        client_id: token.client_id,
        user: token.user,
        username,
        password,
    }))
}

/// Is this token valid, and what is it good for? JWTs of configured issuers and client certificates in PEM are tokens, too. Or: would
/// a client with this user name, password and client id be let in, as whom, and if not, why? What MQTT refuses without a cause is told
/// to keys whose scopes show it: of access keys admin, of devices devices, of groups groups.
#[utoipa::path(
    post, path = "/api/v1/tokens:query", tag = "tokens", security(("api_key" = ["topics"])), request_body = TokenQuestion,
    responses((status = 200, body = TokenAnswer), Refused, RefusedBody)
)]
pub(super) async fn query_token(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Body(question): Body<TokenQuestion>,
) -> Result<Json<TokenAnswer>, Problem> {
    let TokenQuestion { token, username, password, client_id } = question;
    match (token, username, password, client_id) {
        (Some(token), None, None, None) => Ok(Json(api.describe_token(token).await)),
        (None, Some(username), Some(password), Some(client_id)) => {
            let login = ShownLogin { username, password, client_id };
            api.describe_login(holder.caller().scopes, login).await.map(Json)
        }
        _ => Err(Problem::new(Code::InvalidBody, "send a token alone, or username, password and client_id of a login")),
    }
}

/// Voids a token, a JWT or a client certificate before its time: nobody logs in by it any more, and connections by it end. Up to 5
/// a second for each key, of 20000 whose time is not over half at most of what those of other keys leave.
#[utoipa::path(
    post, path = "/api/v1/tokens:revoke", tag = "tokens", security(("api_key" = ["topics"])), request_body = ShownToken,
    responses((status = 204), Refused, RefusedOne)
)]
pub(super) async fn revoke_token(
    State(api): State<Arc<Api>>,
    holder: Holder<Topics>,
    Body(ShownToken { token }): Body<ShownToken>,
) -> Result<StatusCode, Problem> {
    api.void_token(holder.by(), &token).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn invalid(words: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidToken, words)
}

impl Api {
    async fn describe_token(&self, token: String) -> TokenAnswer {
        if let Some(answer) = self.describe_certificate(&token).await {
            return answer;
        }
        if let Some(answer) = self.describe_jwt(&token).await {
            return answer;
        }
        let valid = self.token_is_valid(&token);
        let error = valid.err();
        let answer = TokenAnswer {
            valid: error.is_none(),
            code: error.map(TokenError::code),
            why: error.map(|error| error.to_string()),
            ..TokenAnswer::default()
        };
        let access = self.state.access.load();
        let Some(Ok(token)) = access.token_key().map(|key| key.verify(&token)) else { return answer };
        TokenAnswer {
            id: Some(token.id),
            key: Some(token.applicant.name().to_owned()),
            actions: Some(token.token_type.into()),
            resources: Some(token.resources),
            expires_at_ms: Some(token.expires_at_ms),
            client_id: token.client_id,
            user: token.user,
            ..answer
        }
    }

    /// A token that the holder of a key with the scope topics wishes, and what it says.
    pub(super) async fn issue_token(
        self: &Arc<Self>,
        actor: &Actor,
        scopes: Scopes,
        wish: Wish,
    ) -> Result<(String, Token), Problem> {
        self.rates.take(Asking::ApplyForToken, actor.to_string(), self.state.gate.elapsed())?;
        let Wish { token_type, resources, expires_at_ms, client_id } = wish;
        let now_ms = self.now_ms();
        let (applicant, key_ends_ms) = self.applicant(actor)?;
        let resources = self.checked_resources(token_type, resources)?;
        if expires_at_ms.saturating_add(CLOCKS_APART_MS) < now_ms + VALID_MS_MIN {
            let words =
                format!("expires_at_ms must lie 60 s to 30 days ahead, in milliseconds since 1970; now is {now_ms}");
            return Err(invalid(words));
        }
        let ends_ms = expires_at_ms.min(now_ms + VALID_MS_MAX).min(key_ends_ms.unwrap_or(u64::MAX));
        let device = match &client_id {
            Some(client_id) => self.device_of(client_id, scopes).await?,
            None => None,
        };
        let (user, login) = device.map(|device| (device.user, device.key_id)).unzip();
        // Whole seconds, which is what it can say.
        let expires_at_ms = ends_ms / 1000 * 1000;
        let id = Uuid::now_v7();
        let token = Token { id, token_type, resources, expires_at_ms, applicant, client_id, user, login };
        let access = self.state.access.load();
        let key = access
            .token_key()
            .ok_or_else(|| Problem::new(Code::Unavailable, "this server has no key that signs tokens; see its log"))?;
        let text = key.sign(&token, now_ms).map_err(|error| invalid(error.to_string()))?;
        Ok((text, token))
    }

    /// The key that asks, and when it ends.
    fn applicant(&self, actor: &Actor) -> Result<(Applicant, Option<u64>), Problem> {
        let access = self.state.access.load();
        let Actor::Key(key_id) = actor else { return Ok((Applicant::owner(access.owner_key().to_owned()), None)) };
        let key = access.any_key(key_id).ok_or_else(|| {
            Problem::new(Code::Unavailable, "the key is not in force here yet; try again in a moment").retry_after(1)
        })?;
        Ok((Applicant::key(key_id.clone(), key.created_at_ms), key.expires_at_ms))
    }

    fn checked_resources(&self, token_type: TokenType, mut resources: Vec<String>) -> Result<Vec<String>, Problem> {
        if !(1..=RESOURCES_MAX).contains(&resources.len()) {
            return Err(invalid("a token names 1 to 100 topics; apply for several, or use wildcards"));
        }
        let access = self.state.access.load();
        for resource in &resources {
            let named = |words: &dyn fmt::Display| invalid(format!("{resource:?} cannot be: {words}"));
            check_resource(resource, access.topic_limit().chars()).map_err(|error| named(&error))?;
            let parent = resource.split('/').next().unwrap_or(resource);
            if access.rule_of(parent).is_none() {
                return Err(named(&"its parent topic does not exist; create that first"));
            }
            if let Some(right) = access.closed_to_token(token_type, resource) {
                let why = why_closed(&access, parent);
                let words =
                    format!("no token gives the right {} there: {why}; take another parent topic", right.name());
                return Err(named(&words));
            }
        }
        resources.sort_unstable();
        resources.dedup();
        Ok(resources)
    }

    /// The device of a user that this is, as whom the token will act.
    async fn device_of(&self, client_id: &str, scopes: Scopes) -> Result<Option<Device>, Problem> {
        let id = ClientId::parse(client_id).map_err(|error| invalid(error.to_string()))?;
        if !self.state.access.load().has_group(id.group()) {
            return Err(invalid(format!("the group {} of the client id does not exist; create it first", id.group())));
        }
        let device = self.state.catalog.device(client_id).await.map_err(unavailable)?;
        if device.is_some() && !scopes.allow(Scope::Devices) {
            let words = "a token for a user's device takes the scope devices too, because its holder acts as the user";
            return Err(Problem::new(Code::Forbidden, words));
        }
        Ok(device)
    }

    pub(super) fn token_is_valid(&self, text: &str) -> Result<(), TokenError> {
        let access = self.state.access.load();
        let ends_at_ms = access.end_of_token(&access.token(text)?);
        if (self.state.is_over)(ends_at_ms) { Err(TokenError::Expired) } else { Ok(()) }
    }

    /// One whose time is over is void already.
    pub(super) async fn void_token(self: &Arc<Self>, by: By, text: &str) -> Result<(), Problem> {
        self.rates.take(Asking::RevokeToken, by.actor.to_string(), self.state.gate.elapsed())?;
        if let Some(voided) = self.void_certificate(&by, text).await {
            return voided;
        }
        if let Some(voided) = self.void_jwt(&by, text).await {
            return voided;
        }
        let token = {
            let access = self.state.access.load();
            let verified = access.token_key().ok_or(TokenError::Forged).and_then(|key| key.verify(text));
            verified.map_err(|error| invalid(error.to_string()))?
        };
        if (self.state.is_over)(token.expires_at_ms) {
            return Ok(());
        }
        let Token { id, applicant, expires_at_ms, .. } = token;
        let wish = Change::RevokeToken(RevokedToken { id, key_id: applicant.key_id, expires_at_ms });
        let done = self.apply(by, wish, None).await;
        done.map_err(|error| Refusals::of("token", &id.to_string()).refuse(error))?;
        Ok(())
    }
}
