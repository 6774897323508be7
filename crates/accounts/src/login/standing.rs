//! Logins that stand: until when what they were let in by lets them stay.

use super::{LoginError, password};
use crate::access::Access;
use catalog::Device;

/// Until when this secret of an access key, which was created then, lets its holder stay, by the rules that are in force;
/// `None`: until it is taken away.
///
/// # Errors
/// It does not any more: key or secret is gone, or another key has the name.
pub fn secret_stands_until(
    access: &Access,
    key_id: &str,
    generation: u64,
    created_ms: u64,
) -> Result<Option<u64>, LoginError> {
    let key = access.key(key_id).filter(|key| key.created_at_ms == created_ms).ok_or(LoginError::Refused)?;
    let secret = key.secrets.iter().find(|secret| secret.generation == generation).ok_or(LoginError::Refused)?;
    Ok(key.valid_until_ms(secret))
}

/// The same of a device's credential, by its row in the directory.
///
/// # Errors
/// The device is removed, or has another one.
pub fn credential_stands_until(device: Option<&Device>, key_id: &str) -> Result<u64, LoginError> {
    let device = device.filter(|device| device.key_id == key_id).ok_or(LoginError::Refused)?;
    Ok(device.expires_at_ms)
}

/// Whether a secret of an access key of this instance has made the signature, HMAC-SHA1 over `signed`, and is not over: for
/// services that sign each request.
#[must_use]
pub fn has_signed(
    access: &Access,
    key_id: &str,
    signed: &[u8],
    signature: &[u8],
    is_over: impl Fn(u64) -> bool,
) -> bool {
    let Some(key) = access.key(key_id).filter(|key| key.instance == access.instance()) else {
        return password::verifies(None, signed, signature);
    };
    let stands = |secret| !key.valid_until_ms(secret).is_some_and(&is_over);
    key.secrets.iter().any(|secret| password::verifies(Some(&secret.secret), signed, signature) && stands(secret))
}
