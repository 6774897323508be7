//! JWK sets by HTTP: fetched in the background, never by a login.
//!
//! A set is used until the next one has been fetched, however old it is by then: an issuer that is down for a while locks
//! nobody out. It is fetched again when the answer's age is over, within bounds, and when a login names a key that is not in it
//! ([`Issuer::refresh_wanted`] says how often at most).

use crate::config::is_loopback;
use accounts::jwt::{Issuer, JwksError, PublicKeys};
use anyhow::{Context, Result, bail};
use reqwest::header::{AGE, CACHE_CONTROL, HeaderMap};
use reqwest::{Certificate, Client, StatusCode, Url};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

/// From the request to the last byte of the answer. A login waits for it, and has 10 s in all.
const FETCHED_WITHIN: Duration = Duration::from_secs(4);
/// A hundred keys with their certificates.
const SET_BYTES_MAX: usize = 256 << 10;
const AGE_MIN: Duration = Duration::from_secs(60);
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Of an answer that does not say how long it may be kept.
const AGE_UNSAID: Duration = Duration::from_secs(10 * 60);
const RETRY_AFTER: Duration = Duration::from_secs(10);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);

/// Where a set is.
pub(super) struct Source {
    http: Client,
    url: Url,
}

/// Why there is no set.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer: {0}")]
    Unreachable(String),
    #[error("the answer is {0}, not 200; a redirect is not followed")]
    Status(StatusCode),
    #[error("the answer is longer than 256 KiB")]
    TooLong,
    #[error(transparent)]
    Set(#[from] JwksError),
}

/// With its causes, and without the address, which the caller knows.
fn unreachable(error: reqwest::Error) -> FetchError {
    FetchError::Unreachable(format!("{:#}", anyhow::Error::from(error.without_url())))
}

impl Source {
    /// # Errors
    /// The authority cannot be used, or there is none.
    pub(super) fn new(url: Url, authority: Option<&Path>) -> Result<Self> {
        Self::within(url, authority, FETCHED_WITHIN)
    }

    fn within(url: Url, authority: Option<&Path>, limit: Duration) -> Result<Self> {
        let is_local = is_loopback(&url);
        let mut http = Client::builder()
            .timeout(limit)
            .redirect(reqwest::redirect::Policy::none())
            .https_only(url.scheme() == "https");
        if is_local {
            http = http.no_proxy();
        }
        http = match authority {
            Some(path) => http.tls_certs_only(certificates(path)?),
            // Where no TLS is spoken the system need not trust anybody.
            None if url.scheme() == "http" => http.tls_certs_only([]),
            None => http,
        };
        let remedy = "remedy: install the certificates that the system trusts, or name an authority by jwks_ca";
        let http = http.build().with_context(|| format!("cannot start the HTTP client\n  {remedy}"))?;
        Ok(Self { http, url })
    }

    /// The set, and for how long it is to be kept.
    async fn fetch(&self) -> Result<(PublicKeys, Duration), FetchError> {
        let mut answer = self.http.get(self.url.clone()).send().await.map_err(unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let age = age_of(answer.headers());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > SET_BYTES_MAX {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((PublicKeys::from_jwks(&body)?, age))
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let pem = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() {
        bail!("{} holds no certificate\n  remedy: name an authority in PEM by jwks_ca", path.display());
    }
    Ok(found)
}

/// For how long an answer is kept (RFC 9111 §4.2.1), within our bounds.
fn age_of(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let directives: Vec<String> =
        values.flat_map(|value| value.split(',')).map(|one| one.trim().to_ascii_lowercase()).collect();
    if directives.iter().any(|one| one == "no-store" || one == "no-cache") {
        return AGE_MIN;
    }
    let seconds = |text: &str| text.trim_matches('"').parse::<u64>().ok();
    let Some(kept) = directives.iter().find_map(|one| seconds(one.strip_prefix("max-age=")?)) else {
        return AGE_UNSAID;
    };
    let passed = headers.get(AGE).and_then(|value| value.to_str().ok()).and_then(seconds).unwrap_or(0);
    Duration::from_secs(kept.saturating_sub(passed)).clamp(AGE_MIN, AGE_MAX)
}

/// Fetches the set of an issuer again and again, for ever.
pub(super) async fn follow(issuer: Issuer, source: Source) {
    let (mut pause, mut known) = (RETRY_AFTER, None);
    loop {
        issuer.fetch_begins();
        let next = match source.fetch().await {
            Ok((keys, age)) => {
                let count = keys.len();
                issuer.fetch_ended(Some(keys));
                if known.replace(count) != Some(count) {
                    info!(issuer = issuer.name(), keys = count, "the JWK set of an issuer is in force");
                }
                pause = RETRY_AFTER;
                age
            }
            Err(error) => {
                issuer.fetch_ended(None);
                warn!(
                    issuer = issuer.name(), %error, has_keys = known.is_some(),
                    "cannot fetch the JWK set of an issuer; the keys from before it stay"
                );
                let next = pause;
                pause = (2 * pause).min(RETRY_AFTER_MAX);
                next
            }
        };
        tokio::select! {
            () = sleep(next) => {}
            () = issuer.refresh_wanted() => {}
        }
    }
}

#[cfg(test)]
mod tests;
