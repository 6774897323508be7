//! Issuers: what the configuration says of each, its keys, and whether a JWT is one of theirs.

use super::keys::{self, PublicKeys, VerifyingKey};
use super::refresh::{Refresh, Refreshed};
use super::{JWT_BYTES_MAX, Jwt, JwtError, claims, strict_json};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// What JWTs of one issuer must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRules {
    /// In user names.
    pub name: String,
    /// `iss`.
    pub issuer: String,
    /// To be named by `aud`.
    pub audience: String,
    pub user_claim: String,
    pub client_id_claim: String,
    /// How far the clocks of the issuer and of this server may differ.
    pub leeway_ms: u64,
}

/// One issuer with its keys. Cheap to clone; clones are one issuer.
#[derive(Clone)]
pub struct Issuer(Arc<Inner>);

struct Inner {
    rules: IssuerRules,
    /// Of the configuration.
    own: Vec<VerifyingKey>,
    /// Of its JWK set.
    fetched: ArcSwap<PublicKeys>,
    /// `None`: it has no JWK set.
    refresh: Option<Refresh>,
}

impl PartialEq for Issuer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Issuer {}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("rules", &self.0.rules).finish_non_exhaustive()
    }
}

impl Issuer {
    /// `has_jwks`: somebody fetches its JWK set, and says so by [`Self::fetch_begins`] and [`Self::fetch_ended`].
    #[must_use]
    pub fn new(rules: IssuerRules, own: Vec<VerifyingKey>, has_jwks: bool) -> Self {
        let refresh = has_jwks.then(Refresh::default);
        Self(Arc::new(Inner { rules, own, fetched: ArcSwap::default(), refresh }))
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.rules.name
    }

    /// Reads a JWT of this issuer; its time is not judged. What it costs is bounded: one signature is verified at most.
    ///
    /// # Errors
    /// It is none of this issuer's, or says not enough.
    pub fn verify(&self, text: &str) -> Result<Jwt, JwtError> {
        if text.len() > JWT_BYTES_MAX {
            return Err(JwtError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::Malformed)?;
        if payload.contains('.') {
            return Err(JwtError::Malformed);
        }
        let header = object(header)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(JwtError::Critical);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(keys::algorithm_of);
        let algorithm = algorithm.ok_or(JwtError::Algorithm)?;
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(JwtError::Malformed)?),
        };
        self.key(algorithm, kid)?.verifies(signed.as_bytes(), signature).then_some(()).ok_or(JwtError::Signature)?;
        claims::read(&self.0.rules, &object(payload)?, signed.as_bytes())
    }

    /// The one key that may have signed it. Without its name it must be the only one of its kind.
    fn key(&self, algorithm: Algorithm, kid: Option<&str>) -> Result<VerifyingKey, JwtError> {
        let fetched = self.0.fetched.load();
        let all = || self.0.own.iter().chain(&fetched.0);
        // A shared secret has no name: what its JWTs say of one is the issuer's own matter.
        let is_meant =
            |key: &&VerifyingKey| kid.is_none() || key.kid.as_deref() == kid || key.algorithm == Algorithm::HS256;
        let mut meant = all().filter(|key| key.algorithm == algorithm).filter(is_meant);
        match (meant.next(), meant.next()) {
            (Some(key), None) => Ok(key.clone()),
            // Of two that have one name, the configuration's comes first.
            (Some(key), Some(_)) if kid.is_some() => Ok(key.clone()),
            _ if all().any(|key| kid.is_some() && key.kid.as_deref() == kid) => Err(JwtError::Algorithm),
            _ if algorithm == Algorithm::HS256 => Err(JwtError::Algorithm),
            _ => Err(JwtError::UnknownKey),
        }
    }

    /// Calls `done` once its keys were fetched anew, or at once if they will not be for now.
    pub fn when_refreshed(&self, done: Refreshed) {
        match &self.0.refresh {
            Some(refresh) => refresh.want(Instant::now(), done),
            None => done(),
        }
    }

    /// Whether its keys may become more.
    #[must_use]
    pub fn has_jwks(&self) -> bool {
        self.0.refresh.is_some()
    }

    /// Waits until a login names a key that is not known.
    pub async fn refresh_wanted(&self) {
        match &self.0.refresh {
            Some(refresh) => refresh.wanted().await,
            None => std::future::pending().await,
        }
    }

    pub fn fetch_begins(&self) {
        self.0.refresh.iter().for_each(Refresh::begin);
    }

    /// `None`: it has failed, and the keys stay as they are.
    pub fn fetch_ended(&self, keys: Option<PublicKeys>) {
        if let Some(keys) = keys {
            self.0.fetched.store(Arc::new(keys));
        }
        self.0.refresh.iter().for_each(|refresh| refresh.end(Instant::now()));
    }
}

fn object(part: &str) -> Result<Map<String, Value>, JwtError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed)?;
    strict_json::parse(&json).ok_or(JwtError::Malformed)
}

/// The issuers of the configuration, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issuers(Arc<BTreeMap<String, Issuer>>);

impl Issuers {
    #[must_use]
    pub fn new(issuers: impl IntoIterator<Item = Issuer>) -> Self {
        Self(Arc::new(issuers.into_iter().map(|issuer| (issuer.name().to_owned(), issuer)).collect()))
    }

    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Issuer> {
        self.0.get(name)
    }

    /// Those that may have signed it by what it says of itself, which nobody has verified.
    pub fn that_may_have_signed(&self, text: &str) -> impl Iterator<Item = &Issuer> {
        let payload = text.split('.').nth(1).filter(|_| text.len() <= JWT_BYTES_MAX);
        let claims = payload.and_then(|payload| object(payload).ok()).unwrap_or_default();
        let said = claims.get("iss").and_then(Value::as_str).map(str::to_owned);
        self.0.values().filter(move |issuer| said.as_deref() == Some(&*issuer.0.rules.issuer))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.values()
    }
}
