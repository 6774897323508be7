//! JWTs of other issuers where tokens are asked about or voided.

use super::Api;
use super::tokens::TokenAnswer;
use crate::access::ClientId;
use crate::jwt::{Issuer, Jwt, JwtError};
use catalog::{By, Change, RevokedToken};
use problem::{Code, Problem};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A set of keys is fetched within less.
const FETCHED_WITHIN: Duration = Duration::from_secs(5);

/// A JWT of an issuer, and what it says if it is one.
struct Shown {
    issuer: Issuer,
    read: Result<Jwt, JwtError>,
}

impl Api {
    /// `None`: by what it says of itself it is of no issuer of the configuration.
    async fn read_jwt(&self, text: &str) -> Option<Shown> {
        let issuers: Vec<Issuer> = self.state.access.load().issuers().that_may_have_signed(text).cloned().collect();
        let mut last = None;
        for issuer in issuers {
            let mut read = issuer.verify(text);
            if read == Err(JwtError::UnknownKey) {
                self.refreshed(&issuer).await;
                read = issuer.verify(text);
            }
            let is_theirs = read.is_ok();
            last = Some(Shown { issuer, read });
            if is_theirs {
                break;
            }
        }
        last
    }

    /// When its keys are fetched anew. Without an answer in time what is unknown stays so.
    pub(super) async fn refreshed(&self, issuer: &Issuer) {
        let (done, refreshed) = tokio::sync::oneshot::channel();
        issuer.when_refreshed(Box::new(|| _ = done.send(())));
        let _ = timeout(FETCHED_WITHIN, refreshed).await;
    }

    /// What there is to say of a JWT of an issuer of the configuration.
    pub(super) async fn describe_jwt(&self, text: &str) -> Option<TokenAnswer> {
        let Shown { issuer, read } = self.read_jwt(text).await?;
        let issuer = Some(issuer.name().to_owned());
        let jwt = match read {
            Ok(jwt) => jwt,
            Err(error) => return Some(TokenAnswer { why: Some(error.to_string()), issuer, ..TokenAnswer::default() }),
        };
        let why = self.why_not(&jwt).await.err();
        Some(TokenAnswer {
            valid: why.is_none(),
            why,
            issuer,
            id: Some(jwt.id),
            resources: jwt.publishes,
            expires_at_ms: Some(jwt.expires_at_ms),
            client_id: Some(jwt.client_id),
            user: Some(jwt.user),
            ..TokenAnswer::default()
        })
    }

    /// As a login finds it.
    async fn why_not(&self, jwt: &Jwt) -> Result<(), String> {
        self.state.access.load().check_jwt(jwt.id).map_err(|error| error.to_string())?;
        jwt.check_time(|at_ms| (self.state.is_over)(at_ms)).map_err(|error| error.to_string())?;
        let id = ClientId::parse(&jwt.client_id).map_err(|error| error.to_string())?;
        if !self.state.access.load().has_group(id.group()) {
            return Err(format!("the group {} of the client id does not exist; create it first", id.group()));
        }
        let device = self.state.catalog.device(&jwt.client_id).await;
        let device = device.map_err(|_| "the catalog did not answer; try again later".to_owned())?;
        let is_theirs = device.is_some_and(|device| device.user == jwt.user);
        if is_theirs { Ok(()) } else { Err(JwtError::Device.to_string()) }
    }

    /// `None`: it is no JWT of an issuer. One whose time is over is void already.
    pub(super) async fn void_jwt(self: &Arc<Self>, by: &By, text: &str) -> Option<Result<(), Problem>> {
        let jwt = match self.read_jwt(text).await?.read {
            Ok(jwt) => jwt,
            Err(error) => return Some(Err(Problem::new(Code::InvalidToken, error.to_string()))),
        };
        if (self.state.is_over)(jwt.expires_at_ms) {
            return Some(Ok(()));
        }
        let revoked = RevokedToken { id: jwt.id, key_id: None, expires_at_ms: jwt.expires_at_ms };
        let done = self.apply(by.clone(), Change::RevokeToken(revoked), None).await;
        let refused = |error| super::owner::Refusals::of("token", &jwt.id.to_string()).refuse(error);
        Some(done.map(drop).map_err(refused))
    }
}
