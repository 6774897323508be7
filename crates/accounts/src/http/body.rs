//! JSON bodies: in, with refusals in our own words; out, so that no cache keeps them.

use super::Api;
use super::gate::Caller;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use problem::{Code, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A JSON object; an empty body is an empty object.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        object(&bytes_of(request, api).await?).map(Self)
    }
}

/// The whole body. It comes as slowly as the caller likes, who may have lost the right meanwhile.
pub(super) async fn bytes_of(request: Request, api: &Api) -> Result<Bytes, Problem> {
    let caller = request.extensions().get::<Caller>().cloned();
    let bytes = Bytes::from_request(request, &()).await.map_err(|rejection| unread(rejection.status()))?;
    if let Some(caller) = caller {
        api.state.gate.judge_again(&caller).await?;
    }
    Ok(bytes)
}

/// # Errors
/// It is none that can be meant here.
pub(super) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    read(text).map_err(|error| {
        Problem::new(Code::InvalidBody, format!("the body is not the JSON object that is expected here: {error}"))
    })
}

/// Not from the text at once: a struct would also be read from an array.
fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    let fields: Map<String, Value> = serde_json::from_slice(text)?;
    serde_json::from_value(Value::Object(fields))
}

fn unread(status: StatusCode) -> Problem {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(
            Code::BodyTooLarge,
            "the body has more than 16 KiB, or of a message more than 128 KiB; send only the fields of the request",
        );
    }
    Problem::new(Code::InvalidBody, "the connection ended within the body; send it again")
}

/// An answer that holds a secret.
pub(super) struct Secret<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Secret<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.0).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
