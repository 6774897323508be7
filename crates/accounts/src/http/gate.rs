//! The check of what a request carries: an API key, a login link's secret, or a device credential.
//!
//! Contract. A right key or secret always opens, whatever others at the same address (a NAT, a reverse proxy) have
//! tried. They have 128 bits or more, so nobody guesses them; only failures are slowed down. What a failure costs is
//! bounded: a hash, and one look into the catalog, one at a time for all callers together.

use super::api_keys::{ApiKeys, bearer, hex, sha256};
use super::device_login::DeviceLogin;
use super::failures::{Failures, Source};
use super::unavailable;
use crate::login::matches;
use axum::http::request::Parts;
use catalog::{Catalog, CatalogError, Device, User};
use problem::{Code, Problem};
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
    elapsed: Elapsed,
    lookups: Semaphore,
    failures: Mutex<Failures>,
}

impl Gate {
    pub fn new(keys: ApiKeys, catalog: Arc<dyn Catalog>) -> Self {
        let start = Instant::now();
        Self::with_time(keys, catalog, Box::new(move || start.elapsed()))
    }

    pub(super) fn with_time(keys: ApiKeys, catalog: Arc<dyn Catalog>, elapsed: Elapsed) -> Self {
        let (lookups, failures) = (Semaphore::new(LOOKUPS_AT_ONCE), Mutex::new(Failures::new()));
        Self(Arc::new(Inner { keys, catalog, elapsed, lookups, failures }))
    }

    /// Checks that a request carries a valid API key.
    ///
    /// # Errors
    /// The answer to the request.
    pub async fn check_api_key(&self, parts: &Parts) -> Result<(), Problem> {
        let key = bearer(parts).ok_or_else(|| Problem::new(Code::ApiKeyRequired, KEY_MISSING))?;
        if self.is_key(key).await.map_err(unavailable)? {
            Ok(())
        } else {
            Err(self.failed(Source::of(parts), Code::ApiKeyRequired, KEY_UNKNOWN))
        }
    }

    /// The user of the login link that has this secret.
    pub(super) async fn link_user(&self, source: Source, secret: &str) -> Result<User, Problem> {
        let user = self.find_link_user(&hex(&sha256(secret))).await.map_err(unavailable)?;
        user.ok_or_else(|| self.failed(source, Code::LoginRefused, SECRET_UNKNOWN))
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

    /// The credential is none, or none any more.
    pub(super) fn ended(&self, source: Source) -> Problem {
        self.failed(source, Code::LoginEnded, LOGIN_ENDED)
    }

    async fn is_key(&self, key: &str) -> Result<bool, CatalogError> {
        let hash = sha256(key);
        if self.0.keys.contain(&hash) {
            return Ok(true);
        }
        let _turn = self.0.lookups.acquire().await;
        Ok(self.0.catalog.api_key(&hex(&hash)).await?.is_some())
    }

    async fn find_link_user(&self, secret_sha256: &str) -> Result<Option<User>, CatalogError> {
        let _turn = self.0.lookups.acquire().await;
        let Some(link) = self.0.catalog.login_link(secret_sha256).await? else { return Ok(None) };
        self.0.catalog.user(&link.user).await
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

const KEY_MISSING: &str = "the request has no API key; send it as Authorization: Bearer <key>";
const KEY_UNKNOWN: &str = "the API key is not known here; take it from the data directory's file api-key";
const LOGIN_ENDED: &str = "this login has ended: the device was removed or logged in anew, or its password is wrong; \
                           open your login link again";
const SECRET_UNKNOWN: &str = "the secret of this login link is not known; ask for a new link";
