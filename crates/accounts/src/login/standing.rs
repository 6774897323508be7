//! Logins that stand: until when what they were let in by lets them stay.

use super::{Credential, Login, LoginError, password};
use crate::access::{Access, ClientId, Identity};
use crate::token::TokenError;
use catalog::{Device, Scope};

/// A login that is finished, by the rules of now. Whose group is gone has no place here. A key that was disabled, removed or
/// rotated while the device was looked up lets nobody in any more, nor does a token that was revoked, or whose key has ended. A
/// key without the scope topics has nothing to do on MQTT; with a session it would receive what the session has subscribed.
///
/// # Errors
/// The login is refused.
pub fn judge_again(
    access: &Access,
    client_id: &str,
    login: Login,
    is_over: impl Fn(u64) -> bool,
) -> Result<Login, LoginError> {
    if !ClientId::parse(client_id).is_ok_and(|id| access.has_group(id.group())) {
        return Err(LoginError::Refused);
    }
    match (&login.identity, &login.credential) {
        (Identity::Service { key_id, .. }, Credential::Secret { generation, key_created_ms }) => {
            let valid_until_ms = secret_stands_until(access, key_id, *generation, *key_created_ms)?;
            if valid_until_ms.is_some_and(is_over) {
                return Err(LoginError::Expired);
            }
            let may = access.key_allows(key_id, Scope::Topics);
            if may { Ok(Login { valid_until_ms, ..login }) } else { Err(LoginError::Scope) }
        }
        (Identity::Tokens(holder), _) => {
            holder.tokens().try_for_each(|token| access.check_token(token))?;
            let holder = holder.ending_by(|token| access.end_of_token(token));
            if holder.first_to_end().is_some_and(|(_, ends_at_ms)| is_over(ends_at_ms)) {
                return Err(TokenError::Expired.into());
            }
            Ok(Login { identity: Identity::Tokens(Box::new(holder)), ..login })
        }
        (_, Credential::Jwt { id }) => access.check_jwt(*id).map(|()| login).map_err(LoginError::from),
        (_, Credential::Certificate { ids }) => Ok(access.check_certificates(ids).map(|()| login)?),
        _ => Ok(login),
    }
}

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
