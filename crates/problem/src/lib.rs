//! The answer to a refused request: `application/problem+json` (RFC 9457) with a stable `code`.
//!
//! What it is: [`Problem`], which every router answers with, and [`Code`], the codes of the API with their statuses and
//! titles. What it is not: it decides nothing, and the words of a refusal are the router's; it knows the types of HTTP
//! and does no I/O.
//!
//! Contract. A program may decide by `code`, and by nothing else of the body. `detail` names the thing, the cause and
//! the remedy. No cache keeps a refusal.
//!
//! A problem has one of two forms. [`Problem::new`] has a title of its own:
//!
//! ```json
//! {"code":"unknown_user","title":"The user does not exist","status":404,"detail":"there is no user ann; …"}
//! ```
//!
//! [`Problem::blank`] is of the type `about:blank`, whose title is that of the status (RFC 9457 section 4.2.1); its codes
//! are the router's own:
//!
//! ```json
//! {"type":"about:blank","title":"Gone","status":410,"code":"channel_closed","detail":"the channel of this …"}
//! ```

mod code;

pub use code::Code;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct Problem {
    #[schema(value_type = Code)]
    code: AnyCode,
    title: &'static str,
    #[schema(value_type = u16)]
    status: StatusCode,
    /// The thing, the cause and the remedy.
    detail: String,
    #[schema(ignore)]
    retry_after_s: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum AnyCode {
    OfApi(Code),
    OfRouter(&'static str),
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code: AnyCode::OfApi(code),
            title: code.title(),
            status: code.status(),
            detail: detail.into(),
            retry_after_s: None,
        }
    }

    /// Of the type `about:blank`, with a code that only its router has.
    pub fn blank(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("refused");
        Self { code: AnyCode::OfRouter(code), title, status, detail: detail.into(), retry_after_s: None }
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Tells the caller when to try again.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    fn is_blank(&self) -> bool {
        matches!(self.code, AnyCode::OfRouter(_))
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = self.status.as_u16();
        if self.is_blank() {
            let mut body = serializer.serialize_struct("Problem", 5)?;
            body.serialize_field("type", "about:blank")?;
            body.serialize_field("title", self.title)?;
            body.serialize_field("status", &status)?;
            body.serialize_field("code", &self.code)?;
            body.serialize_field("detail", &self.detail)?;
            return body.end();
        }
        let mut body = serializer.serialize_struct("Problem", 4)?;
        body.serialize_field("code", &self.code)?;
        body.serialize_field("title", self.title)?;
        body.serialize_field("status", &status)?;
        body.serialize_field("detail", &self.detail)?;
        body.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, challenges) = (self.status, self.status == StatusCode::UNAUTHORIZED && !self.is_blank());
        let retry_after_s = self.retry_after_s;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if challenges {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use axum::body::to_bytes;

    async fn answer(problem: Problem) -> (u16, Vec<(String, String)>, String) {
        let response = problem.into_response();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let headers = headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH);
        let mut headers: Vec<_> =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        headers.sort();
        let body = to_bytes(response.into_body(), 1_000).await.unwrap();
        (status, headers, String::from_utf8(body.to_vec()).unwrap())
    }

    fn headers(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn a_problem_with_a_title_of_its_own_has_four_members() {
        let (status, sent, body) = answer(Problem::new(Code::TooManyFailures, "wait").retry_after(3)).await;
        assert_eq!(status, 429);
        let expected =
            [("cache-control", "no-store"), ("content-type", "application/problem+json"), ("retry-after", "3")];
        assert_eq!(sent, headers(&expected));
        let expected =
            r#"{"code":"too_many_failures","title":"Too many failed attempts","status":429,"detail":"wait"}"#;
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn a_caller_that_is_not_known_is_told_how_to_say_who_it_is() {
        let (status, sent, _) = answer(Problem::new(Code::ApiKeyRequired, "send it")).await;
        assert_eq!(status, 401);
        assert!(sent.contains(&("www-authenticate".to_owned(), "Bearer".to_owned())));
    }

    #[tokio::test]
    async fn a_blank_problem_has_the_title_of_its_status() {
        let (status, sent, body) = answer(Problem::blank(StatusCode::UNAUTHORIZED, "token_expired", "ask")).await;
        assert_eq!(status, 401);
        let expected = [("cache-control", "no-store"), ("content-type", "application/problem+json")];
        assert_eq!(sent, headers(&expected));
        let expected =
            r#"{"type":"about:blank","title":"Unauthorized","status":401,"code":"token_expired","detail":"ask"}"#;
        assert_eq!(body, expected);
    }
}
