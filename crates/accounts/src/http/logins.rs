//! Logins of MQTT where tokens are asked about: a user name, a password and a client id, judged as a CONNECT that has them.
//!
//! What a login is refused for without a word on MQTT is said to those who may see what it is about. To all others unknown and
//! wrong are the same here, too: who tries passwords learns what a client would.

use super::credentials::no_answer;
use super::tokens::TokenAnswer;
use super::{Api, unavailable};
use crate::access::{Access, Identity, is_account_of_tokens};
use crate::login::{Credential, Login, LoginError, LoginStep, begin, judge_again, method_of, why_refused};
use crate::revocation::answered;
use catalog::{Device, Scopes};
use problem::Problem;

const ANOTHERS: &str = "the client id has a session of another account; choose another one, or end that session";

pub(super) struct ShownLogin {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) client_id: String,
}

impl Api {
    /// What there is to say of a login, to the holder of a key with these scopes.
    pub(super) async fn describe_login(&self, scopes: Scopes, shown: ShownLogin) -> Result<TokenAnswer, Problem> {
        let device = self.state.catalog.device(&shown.client_id).await.map_err(unavailable)?;
        let method = method_of(&shown.username);
        let answer = TokenAnswer {
            login: method.map(str::to_owned),
            client_id: Some(shown.client_id.clone()),
            ..TokenAnswer::default()
        };
        let login = match self.log_in(&shown, device.as_ref()).await {
            Ok(login) => login,
            Err(error) => {
                let access = self.state.access.load();
                let why = Some(why(&access, scopes, &shown, device.as_ref(), error));
                let code = if let LoginError::Token(error) = error { Some(error.code()) } else { None };
                return Ok(TokenAnswer { code, why, ..answer });
            }
        };
        let is_anothers = self.is_anothers(&shown.client_id, &login.identity).await?;
        let why = is_anothers.then(|| ANOTHERS.to_owned());
        let issuer = shown.username.split('|').nth(1).filter(|_| method == Some("JWT")).map(str::to_owned);
        Ok(who(login, TokenAnswer { valid: why.is_none(), why, issuer, ..answer }))
    }

    /// As a broker does it.
    async fn log_in(&self, shown: &ShownLogin, device: Option<&Device>) -> Result<Login, LoginError> {
        let ShownLogin { username, password, client_id } = shown;
        let step = begin(&self.state.access.load(), client_id, Some(username), Some(password.as_bytes()));
        let login = match step {
            LoginStep::Decided(decided) => decided?,
            LoginStep::NeedsDevice(pending) => {
                if let Some(issuer) = pending.wanted_keys() {
                    self.refreshed(issuer).await;
                }
                pending.finish(device, |at_ms| (self.state.is_over)(at_ms))?
            }
        };
        judge_again(&self.state.access.load(), client_id, login, |at_ms| (self.state.is_over)(at_ms))
    }

    async fn is_anothers(&self, client_id: &str, who: &Identity) -> Result<bool, Problem> {
        let holder = answered(self.state.sessions.holder_of(client_id)).await.ok_or_else(no_answer)?;
        let access = self.state.access.load();
        let may_have =
            |holder: &str| access.takes_over(who, holder) || is_account_of_tokens(holder) && access.ends_tokens(who);
        Ok(holder.is_some_and(|holder| !may_have(&holder)))
    }
}

fn why(access: &Access, scopes: Scopes, shown: &ShownLogin, device: Option<&Device>, error: LoginError) -> String {
    let ShownLogin { username, password, client_id } = shown;
    let hidden = match error {
        LoginError::Refused => why_refused(access, client_id, username, password.as_bytes(), device),
        _ => None,
    };
    let told = hidden.filter(|(scope, _)| scopes.allow(*scope));
    told.map_or_else(|| error.to_string(), |(_, words)| words)
}

fn who(login: Login, answer: TokenAnswer) -> TokenAnswer {
    let id = if let Credential::Jwt { id } = login.credential { Some(id) } else { None };
    let answer = TokenAnswer { id, expires_at_ms: login.valid_until_ms, ..answer };
    match login.identity {
        Identity::Service { key_id, .. } => TokenAnswer { key: Some(key_id), ..answer },
        Identity::Device { user, publishes, .. } => {
            TokenAnswer { user: Some(user), resources: publishes.map(<[String]>::into_vec), ..answer }
        }
        Identity::Tokens(holder) => {
            let key = holder.tokens().next().map(|token| token.applicant.name().to_owned());
            let expires_at_ms = holder.first_to_end().map(|(_, ends_at_ms)| ends_at_ms);
            TokenAnswer { key, expires_at_ms, user: holder.user.clone(), ..answer }
        }
    }
}
