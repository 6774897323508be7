//! What is wrong with a login that is refused like all others, for those who may see what it is about.

use super::{Method, Username, matches};
use crate::access::{Access, ClientId};
use catalog::{Device, Scope};

/// The first thing that is wrong, and the scope that shows things of its kind; `None`: nothing hidden.
pub(crate) fn why_refused(
    access: &Access,
    client_id: &str,
    username: &str,
    password: &[u8],
    device: Option<&Device>,
) -> Option<(Scope, String)> {
    let (id, name) = (ClientId::parse(client_id).ok()?, Username::parse(username)?);
    if !access.has_group(id.group()) {
        return Some((
            Scope::Groups,
            format!("the group {} of the client id does not exist; create it first", id.group()),
        ));
    }
    if name.instance != access.instance() {
        let words = format!("the instance of the user name is {}; write {}", name.instance, access.instance());
        return Some((Scope::Topics, words));
    }
    let words = match name.method {
        Method::Signature => (Scope::Admin, why_no_signature(access, client_id, name.key_id, password)?),
        Method::DeviceCredential => (Scope::Devices, why_no_device(client_id, name.key_id, password, device)?),
        Method::Jwt if access.issuers().named(name.key_id).is_none() => {
            (Scope::Admin, format!("the configuration has no issuer {} of JWTs", name.key_id))
        }
        Method::Jwt | Method::Token | Method::Certificate => return None,
    };
    Some(words)
}

fn why_no_signature(access: &Access, client_id: &str, key_id: &str, password: &[u8]) -> Option<String> {
    let Some(key) = access.key(key_id) else {
        return Some(format!("there is no access key {key_id}, or it is disabled"));
    };
    if key.instance != access.instance() {
        return Some(format!("the access key {key_id} is of another instance"));
    }
    let is_signed = key.secrets.iter().any(|secret| matches(Some(&secret.secret), client_id, password));
    let words = format!("no secret of the access key {key_id} makes this signature of the client id {client_id}");
    (!is_signed).then_some(words)
}

fn why_no_device(client_id: &str, key_id: &str, password: &[u8], device: Option<&Device>) -> Option<String> {
    let Some(device) = device else {
        return Some(format!("no device is registered under {client_id}"));
    };
    if device.key_id != key_id {
        return Some(format!(
            "the device has another credential, {}: it was registered anew, or revoked",
            device.key_id
        ));
    }
    let is_signed = matches(Some(&device.secret), client_id, password);
    (!is_signed).then(|| "the secret of the device's credential makes another signature of its client id".to_owned())
}

/// As user names have it.
pub(crate) fn method_of(username: &str) -> Option<&'static str> {
    let name = match Username::parse(username)?.method {
        Method::Signature => "Signature",
        Method::Token => "Token",
        Method::DeviceCredential => "DeviceCredential",
        Method::Jwt => "JWT",
        Method::Certificate => "Certificate",
    };
    Some(name)
}
