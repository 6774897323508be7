//! The check of what a request carries: a key, a login link's secret, or a device credential.
//!
//! Contract. A right key or secret always opens, whatever others at the same address (a NAT, a reverse proxy) have
//! tried. They have 128 bits or more, so nobody guesses them; only failures are slowed down. What a failure costs is
//! bounded: a hash, and one look into the catalog, one at a time for all callers together.

use super::IsOver;
use super::api_keys::{ApiKeys, Shown, hex, sha256};
use super::device_login::DeviceLogin;
use super::failures::{Failures, Source};
use super::owner::key_lost;
use super::refusal_counts::WhoAsks;
use super::unavailable;
use crate::login::matches;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use catalog::{Actor, ActorLost, Catalog, CatalogError, Device, Key, KeyKind, KeySecret, Row, Scope, Scopes, User};
use problem::{Code, Problem};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Catalog lookups of keys and secrets that run at once; the others wait in their order. Fewer than the catalog has
/// readers, so that a flood keeps no part of the server waiting but this one.
const LOOKUPS_AT_ONCE: usize = 1;

/// The time since some moment; no clock that is set moves it.
pub(super) type Elapsed = Box<dyn Fn() -> Duration + Send + Sync>;

/// Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    keys: ApiKeys,
    catalog: Arc<dyn Catalog>,
    is_over: IsOver,
    elapsed: Elapsed,
    lookups: Semaphore,
    failures: Mutex<Failures>,
}

/// The holder of a key.
#[derive(Clone, Debug)]
pub struct Caller {
    pub actor: Actor,
    pub scopes: Scopes,
    /// The row of its key; the owner's is none.
    pub key: Option<CallersKey>,
    /// Where the request comes from.
    pub address: Option<String>,
}

/// The row of the catalog by which a caller was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallersKey {
    pub kind: KeyKind,
    /// The change that made it what it is.
    pub changed: u64,
}

impl Gate {
    pub fn new(keys: ApiKeys, catalog: Arc<dyn Catalog>, is_over: IsOver) -> Self {
        let start = Instant::now();
        Self::with_time(keys, catalog, is_over, Box::new(move || start.elapsed()))
    }

    pub(super) fn with_time(keys: ApiKeys, catalog: Arc<dyn Catalog>, is_over: IsOver, elapsed: Elapsed) -> Self {
        let (lookups, failures) = (Semaphore::new(LOOKUPS_AT_ONCE), Mutex::new(Failures::new()));
        Self(Arc::new(Inner { keys, catalog, is_over, elapsed, lookups, failures }))
    }

    /// Who asks, by the key that the request carries: an API key, or the id and the secret of an access key.
    ///
    /// # Errors
    /// The answer to the request.
    pub async fn caller(&self, parts: &Parts) -> Result<Caller, Problem> {
        let shown = Shown::of(parts).ok_or_else(|| Problem::new(Code::ApiKeyRequired, KEY_MISSING))?;
        let known = self.find_key(&shown).await.map_err(unavailable)?;
        let (actor, scopes, key) =
            known.ok_or_else(|| self.failed(Source::of(parts), Code::ApiKeyRequired, KEY_UNKNOWN))?;
        if let Some(who) = parts.extensions.get::<WhoAsks>() {
            who.is(&actor);
        }
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_string());
        Ok(Caller { actor, scopes, key, address })
    }

    /// The same, of a key that may do this.
    ///
    /// # Errors
    /// The answer to the request, the same whether or not there is what is asked for.
    pub async fn caller_with(&self, parts: &Parts, scope: Scope) -> Result<Caller, Problem> {
        let caller = self.caller(parts).await?;
        if caller.scopes.allow(scope) {
            return Ok(caller);
        }
        let (scopes, needed) = (caller.scopes, scope.name());
        let words = format!("this needs a key with the scope {needed}; the key of the request has: {scopes}");
        Err(Problem::new(Code::Forbidden, words))
    }

    /// Judges again what a caller was let in by: the request may have been under way for long, and no transaction judges what
    /// changes no row.
    ///
    /// # Errors
    /// The right is lost, or has to be judged anew.
    pub async fn judge_again(&self, caller: &Caller) -> Result<(), Problem> {
        let (Actor::Key(key_id), Some(seen)) = (&caller.actor, caller.key) else { return Ok(()) };
        let row = self.0.catalog.key(key_id).await.map_err(unavailable)?;
        let is_over = |key: &Key| key.expires_at_ms.is_some_and(|until_ms| (self.0.is_over)(until_ms));
        match row.filter(|row| !row.value.disabled && !is_over(&row.value)) {
            None => Err(key_lost(ActorLost::Gone)),
            Some(row) if row.changed != seen.changed => Err(key_lost(ActorLost::Changed)),
            Some(_) => Ok(()),
        }
    }

    /// The login link that has this secret, and its user.
    pub(super) async fn link_user(&self, source: Source, secret: &str) -> Result<(String, User), Problem> {
        let user = self.find_link_user(&hex(&sha256(secret))).await.map_err(unavailable)?;
        user.ok_or_else(|| self.unknown_link(source))
    }

    /// The device of this credential, whether or not it has expired.
    pub(super) async fn device(&self, source: Source, login: &DeviceLogin) -> Result<Device, Problem> {
        let turn = self.0.lookups.acquire().await;
        let device = self.0.catalog.device(&login.client_id).await.map_err(unavailable)?;
        drop(turn);
        let secret = device.as_ref().map(|device| device.secret.as_str());
        let fits = matches(secret, &login.client_id, login.password.as_bytes());
        device.filter(|_| fits).ok_or_else(|| self.ended(source))
    }

    /// The login link is none, or none any more.
    pub(super) fn unknown_link(&self, source: Source) -> Problem {
        self.failed(source, Code::LoginRefused, SECRET_UNKNOWN)
    }

    /// A wrong signature.
    pub(super) fn wrong_signature(&self, source: Source, words: &str) -> Problem {
        self.failed(source, Code::LoginRefused, words)
    }

    /// The time since some moment.
    pub(super) fn elapsed(&self) -> Duration {
        (self.0.elapsed)()
    }

    /// The credential is none, or none any more.
    pub(super) fn ended(&self, source: Source) -> Problem {
        self.failed(source, Code::LoginEnded, LOGIN_ENDED)
    }

    async fn find_key(&self, shown: &Shown) -> Result<Option<(Actor, Scopes, Option<CallersKey>)>, CatalogError> {
        let hash = sha256(&shown.secret);
        if shown.key_id.is_none() && self.0.keys.contain(&hash) {
            return Ok(Some((Actor::Owner, [Scope::Admin].into_iter().collect(), None)));
        }
        let turn = self.0.lookups.acquire().await;
        let key = match &shown.key_id {
            None => self.0.catalog.api_key(&hex(&hash)).await?,
            Some(key_id) => self.0.catalog.key(key_id).await?,
        };
        drop(turn);
        let key = key.filter(|key| !key.value.disabled && self.is_secret_of(&key.value, &hash));
        Ok(key.map(|Row { value, changed }| {
            let scopes = value.administers();
            (Actor::Key(value.key_id), scopes, Some(CallersKey { kind: value.kind, changed }))
        }))
    }

    /// In constant time for each of its secrets.
    fn is_secret_of(&self, key: &Key, hash: &[u8; 32]) -> bool {
        let is_right = |secret: &&KeySecret| match key.kind {
            KeyKind::Api => verify_slices_are_equal(hex(hash).as_bytes(), secret.secret.as_bytes()).is_ok(),
            KeyKind::Access => verify_slices_are_equal(hash, &sha256(&secret.secret)).is_ok(),
        };
        let secret = key.secrets.iter().find(is_right);
        secret.is_some_and(|secret| !key.valid_until_ms(secret).is_some_and(|until_ms| (self.0.is_over)(until_ms)))
    }

    async fn find_link_user(&self, secret_sha256: &str) -> Result<Option<(String, User)>, CatalogError> {
        let _turn = self.0.lookups.acquire().await;
        let link = self.0.catalog.login_link(secret_sha256).await?;
        let link = link.filter(|link| !link.expires_at_ms.is_some_and(|until_ms| (self.0.is_over)(until_ms)));
        let Some(link) = link else { return Ok(None) };
        Ok(self.0.catalog.user(&link.user).await?.map(|user| (link.link_id, user)))
    }

    /// Says so, or that there were too many.
    fn failed(&self, source: Source, code: Code, words: &str) -> Problem {
        // A thread that panicked with the lock held left it whole: each change is one call.
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.charge(source, (self.0.elapsed)()) {
            Ok(()) => Problem::new(code, words),
            Err(seconds) => Problem::new(
                Code::TooManyFailures,
                format!("too many attempts from here failed; wait {seconds} s, or use a valid key or secret"),
            )
            .retry_after(seconds),
        }
    }
}

const KEY_MISSING: &str = "the request has no key; send an API key as Authorization: Bearer <key>, or an access key as \
                           Authorization: Basic base64(<key id>:<secret>)";
pub(super) const KEY_UNKNOWN: &str = "the key is not known here, is disabled or has expired; take the one of the data directory's file \
                           api-key, or create one with it";
const LOGIN_ENDED: &str = "this login has ended: the device was removed or logged in anew, or its password is wrong; \
                           open your login link again";
const SECRET_UNKNOWN: &str = "the secret of this login link is not known, or its time is over; ask for a new link";
