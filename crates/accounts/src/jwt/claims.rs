//! What a JWT says, once its signature is right.

use super::issuer::IssuerRules;
use super::{Jwt, JwtError};
use crate::access::TopicLimit;
use crate::token::{RESOURCES_MAX, check_resource};
use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Topics that it may be published to.
const PUBLISH: &str = "convoke_publish";
const USER_BYTES_MAX: usize = 256;
/// The end of the year 9999: what ends later ends then.
const TIME_MS_MAX: u64 = 253_402_300_799_000;

/// `signed`: header and claims as they were signed.
pub(super) fn read(rules: &IssuerRules, claims: &Map<String, Value>, signed: &[u8]) -> Result<Jwt, JwtError> {
    if text(claims, "iss") != Some(rules.issuer.as_str()) {
        return Err(JwtError::Issuer);
    }
    let is_for_us = match claims.get("aud") {
        Some(Value::String(one)) => *one == rules.audience,
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(&rules.audience)),
        _ => false,
    };
    if !is_for_us {
        return Err(JwtError::Audience);
    }
    let expires_at_ms = time(claims, "exp")?.ok_or(JwtError::NoExpiry)?;
    let begins_at_ms = time(claims, "nbf")?;
    let user = text(claims, &rules.user_claim).filter(|user| (1..=USER_BYTES_MAX).contains(&user.len()));
    Ok(Jwt {
        id: id_of(rules, claims.get("jti"), signed)?,
        user: user.ok_or(JwtError::User)?.to_owned(),
        client_id: text(claims, &rules.client_id_claim).ok_or(JwtError::ClientId)?.to_owned(),
        begins_at_ms: begins_at_ms.map(|at_ms| at_ms.saturating_sub(rules.leeway_ms)),
        expires_at_ms: expires_at_ms.saturating_add(rules.leeway_ms).min(TIME_MS_MAX),
        publishes: claims.get(PUBLISH).map(publishes).transpose()?,
    })
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// A NumericDate: seconds since 1970, which may have a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, JwtError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    if let Some(seconds) = value.as_u64() {
        return Ok(Some(seconds.saturating_mul(1_000).min(TIME_MS_MAX)));
    }
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0).ok_or(JwtError::Malformed)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and saturating")]
    Ok(Some(((seconds * 1_000.0) as u64).min(TIME_MS_MAX)))
}

fn publishes(value: &Value) -> Result<Vec<String>, JwtError> {
    let list = value.as_array().filter(|list| list.len() <= RESOURCES_MAX).ok_or(JwtError::Rights)?;
    let topic = |one: &Value| {
        let topic = one.as_str().ok_or(JwtError::Rights)?;
        check_resource(topic, usize::from(TopicLimit::MAX)).map_err(|_| JwtError::Rights)?;
        Ok(topic.to_owned())
    };
    list.iter().map(topic).collect()
}

/// The same for the same `jti`, and for the same JWT whatever its signature is (those of ECDSA differ from one to the next).
fn id_of(rules: &IssuerRules, jti: Option<&Value>, signed: &[u8]) -> Result<Uuid, JwtError> {
    let named = match jti {
        None => None,
        Some(jti) => Some(jti.as_str().ok_or(JwtError::Malformed)?),
    };
    let mut hash = Context::new(&SHA256);
    let issuer_len = u64::try_from(rules.issuer.len()).unwrap_or(u64::MAX);
    hash.update(&issuer_len.to_be_bytes());
    hash.update(rules.issuer.as_bytes());
    hash.update(if named.is_some() { b"jti" } else { b"jwt" });
    hash.update(named.map_or(signed, str::as_bytes));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
    Ok(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
