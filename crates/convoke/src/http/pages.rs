//! The web terminal, embedded at build time from `web/app/dist`, in every profile; without it every page says how to build
//! it, in the words of the build script.

use super::is_api_path;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use problem::{Code, Problem};

/// One embedded file.
pub(super) struct Page {
    path: &'static str,
    body: &'static [u8],
    /// The same, compressed with Brotli.
    brotli: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The content security policy of the pages; `{origins}` stands for what they connect to besides their own origin.
const POLICY: &str = include_str!("../../../../web/app/content-security-policy.txt");

/// The warning of the build, if it embedded no pages.
pub const MISSING: Option<&str> = PAGES_MISSING;

/// Serves the pages under a policy that lets nothing else in.
#[derive(Clone)]
pub struct Pages {
    policy: HeaderValue,
    missing: Option<&'static str>,
}

impl Pages {
    /// `connect_origins`: origins that pages must connect to besides their own (join endpoints, MQTT over WebSocket).
    pub fn new(connect_origins: &[String]) -> Self {
        let policy = POLICY.trim_end().replace("{origins}", &connect_origins.join(" "));
        Self { policy: HeaderValue::from_str(&policy).expect("origins are printable"), missing: MISSING }
    }

    /// Serves the pages on every path that no other route takes.
    pub fn mount(self, router: Router) -> Router {
        let router = router.method_not_allowed_fallback(|method: Method| async move { wrong_method(&method) });
        router.fallback(move |request: Request| async move {
            self.answer(request.method(), request.uri().path(), request.headers())
        })
    }

    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        if is_api_path(path) {
            return Problem::new(
                Code::NotFound,
                format!("there is nothing at {path}; docs/openapi.json names what is there"),
            )
            .into_response();
        }
        if method != Method::GET && method != Method::HEAD {
            return ([(header::ALLOW, "GET, HEAD")], wrong_method(method)).into_response();
        }
        if let Some(words) = self.missing {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("{words}\n")).into_response();
        }
        let name = path.trim_start_matches('/');
        let name = if name.is_empty() { "index.html" } else { name };
        match PAGES.iter().find(|page| page.path == name) {
            Some(page) => self.page(page, accepts_brotli(headers)),
            None => (StatusCode::NOT_FOUND, "There is no such page.\n").into_response(),
        }
    }

    fn page(&self, page: &Page, brotli: bool) -> Response {
        let compressed = page.brotli.filter(|_| brotli);
        let mut response = compressed.unwrap_or(page.body).into_response();
        let headers = response.headers_mut();
        let mut set = |name, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
        set(header::CONTENT_TYPE, content_type(page.path));
        set(
            header::CACHE_CONTROL,
            if page.path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" },
        );
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(header::REFERRER_POLICY, "no-referrer");
        set(header::VARY, "accept-encoding");
        if compressed.is_some() {
            set(header::CONTENT_ENCODING, "br");
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

/// The path is known; which methods it takes stands in the header `Allow`.
fn wrong_method(method: &Method) -> Problem {
    let words = format!("{method} is not for this path; use a method that the header Allow names");
    Problem::new(Code::MethodNotAllowed, words)
}

fn accepts_brotli(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|v| v.trim().starts_with("br"))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("json" | "webmanifest" | "map") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use axum::body::to_bytes;

    #[tokio::test]
    async fn a_build_without_pages_says_on_each_page_which_command_builds_them() {
        let words = "build them with `make web`, then build convoke again";
        let pages = Pages { missing: Some(words), ..Pages::new(&[]) };
        for path in ["/", "/index.html", "/assets/none.js"] {
            let answer = pages.answer(&Method::GET, path, &HeaderMap::new());
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(to_bytes(answer.into_body(), 1_000).await.unwrap(), format!("{words}\n"));
        }
        assert_eq!(pages.answer(&Method::GET, "/api/v1/none", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }
}
