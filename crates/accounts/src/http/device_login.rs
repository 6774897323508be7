//! A terminal with its device credential: `Authorization: Basic base64(<client id>:<password>)` (RFC 7617).

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use problem::{Code, Problem};
use std::fmt;

/// As the request has it; the gate says whether it is right.
pub(super) struct DeviceLogin {
    pub(super) client_id: String,
    pub(super) password: String,
}

impl fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceLogin").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for DeviceLogin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        basic(parts).ok_or_else(|| Problem::new(Code::LoginRefused, MISSING))
    }
}

pub(super) fn basic(parts: &Parts) -> Option<DeviceLogin> {
    let (scheme, encoded) = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let (client_id, password) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    let login = DeviceLogin { client_id: client_id.to_owned(), password: password.to_owned() };
    scheme.eq_ignore_ascii_case("basic").then_some(login)
}

const MISSING: &str = "the request names no device; send its client id and MQTT password as Authorization: Basic \
                       base64(<client id>:<password>)";
