//! The issuers of JWTs, from the configuration to keys: files are read once, at the start; JWK sets are fetched as long as the
//! process runs.

use super::jwks::{self, Source};
use crate::config::JwtIssuerConfig;
use accounts::jwt::{Issuer, Issuers, VerifyingKey};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// The tasks that fetch end with the current run time. A set that cannot be fetched does not keep the server from starting.
///
/// # Errors
/// A file cannot be used.
pub(super) fn start(configured: &[JwtIssuerConfig]) -> Result<Issuers> {
    let mut issuers = Vec::new();
    for config in configured {
        let name = &config.rules.name;
        let issuer = Issuer::new(config.rules.clone(), own_keys(config)?, config.jwks.is_some());
        if let Some(url) = &config.jwks {
            let source = Source::new(url.clone(), config.jwks_ca.as_deref())
                .with_context(|| format!("cannot fetch the JWK set of the issuer {name} of jwt.issuers"))?;
            tokio::spawn(jwks::follow(issuer.clone(), source));
        }
        issuers.push(issuer);
    }
    Ok(Issuers::new(issuers))
}

fn own_keys(config: &JwtIssuerConfig) -> Result<Vec<VerifyingKey>> {
    let of_issuer = |path: &Path| {
        format!(
            "cannot use {} of the issuer {} of jwt.issuers\n  remedy: name a file that the user who runs convoke can read, \
             with what the reference of the configuration says",
            path.display(),
            config.rules.name
        )
    };
    let mut keys = Vec::new();
    for (kid, path) in &config.keys {
        let pem = fs::read(path).with_context(|| of_issuer(path))?;
        keys.push(VerifyingKey::from_pem(kid, &pem).with_context(|| of_issuer(path))?);
    }
    if let Some(path) = &config.secret {
        let secret = fs::read(path).with_context(|| of_issuer(path))?;
        keys.push(VerifyingKey::from_secret(secret.trim_ascii()).with_context(|| of_issuer(path))?);
    }
    Ok(keys)
}
