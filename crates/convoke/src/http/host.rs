//! Check of the host that a request is for (RFC 9112 §3.2): HTTP/1.1 names it exactly once, and it must be a host.
//!
//! Nothing here depends on the name itself: behind a proxy or a new domain the server answers as before.

use super::is_api_path;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use problem::{Code, Problem};

pub(super) async fn require_host(request: Request, next: Next) -> Response {
    match host_fault(&request) {
        None => next.run(request).await,
        Some(words) if is_api_path(request.uri().path()) => Problem::new(Code::InvalidHost, words).into_response(),
        Some(words) => (StatusCode::BAD_REQUEST, format!("{words}\n")).into_response(),
    }
}

fn host_fault(request: &Request) -> Option<&'static str> {
    let mut named = request.headers().get_all(header::HOST).iter();
    match (named.next(), named.next()) {
        // HTTP/1.0 knows no Host; HTTP/2 has its `:authority`.
        (None, _) if request.version() != Version::HTTP_11 => None,
        (None, _) => Some("the request has no Host header; send one (RFC 9112 section 3.2)"),
        (Some(_), Some(_)) => Some("the request has more than one Host header; send one (RFC 9112 section 3.2)"),
        (Some(host), None) if is_host(host) => None,
        (Some(_), None) => Some("the Host header names no host; send a name or address, and a port if need be"),
    }
}

/// `host [ ":" port ]` (RFC 9110 §7.2), the host not empty.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(value.as_bytes()) else { return false };
    let port = authority.as_str().strip_prefix(authority.host());
    let is_port = |port: &str| port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
    !authority.host().is_empty() && port.is_some_and(is_port)
}

/// A port may be left out behind its colon (RFC 3986 §3.2.3).
fn is_number(digits: &str) -> bool {
    digits.is_empty() || (digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn request(version: Version, hosts: &[&'static str]) -> Request {
        let mut request = Request::new(Body::empty());
        *request.version_mut() = version;
        for host in hosts {
            request.headers_mut().append(header::HOST, HeaderValue::from_static(host));
        }
        request
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in ["localhost", "localhost:8080", "example.org.", "10.0.0.7:80", "[::1]:8443", "[fe80::1]", "a:"] {
            assert_eq!(host_fault(&request(Version::HTTP_11, &[host])), None, "{host}");
        }
        for host in ["", ":80", "a b", "a/b", "user@a", "a:b", "a:80:80", "a:65536", "[::1", "http://a", "a#b", "a?b"] {
            for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                let words = host_fault(&request(version, &[host])).unwrap_or_default();
                assert!(words.contains("names no host"), "{host} {version:?}");
            }
        }
    }

    #[test]
    fn http_1_1_says_it_once_and_the_others_at_most_once() {
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(host_fault(&request(version, &[])), None);
        }
        assert!(host_fault(&request(Version::HTTP_11, &[])).is_some_and(|words| words.contains("no Host header")));
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let words = host_fault(&request(version, &["a", "a"])).unwrap_or_default();
            assert!(words.contains("more than one"), "{version:?}");
        }
    }
}
