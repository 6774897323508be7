//! The HTTP client of the join endpoint: one offer, one answer (`POST <endpoint>/rtc/v1/join`).

use reqwest::{Client, StatusCode};
use signalling::{JoinAnswer, JoinParameters, JoinRequest};
use std::net::SocketAddr;
use std::time::Duration;

const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an error's body that are kept for its message.
const WORDS_MAX: usize = 400;

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the join parameters name no end point")]
    NoEndpoint,
    #[error("the join door {0} cannot be reached: {1}")]
    Unreachable(String, String),
    #[error("the join door {endpoint} refused with {status}: {words}")]
    Refused { endpoint: String, status: StatusCode, words: String },
}

/// Tries the end points in their order; a refusal is final, an unreachable one is not.
///
/// # Errors
/// The last end point's.
pub async fn request_join(
    http: &Client,
    join: &JoinParameters,
    request: &JoinRequest,
) -> Result<JoinAnswer, JoinError> {
    let mut last = JoinError::NoEndpoint;
    for endpoint in &join.endpoints {
        match post_offer(http, endpoint, &join.token, request).await {
            Err(error @ JoinError::Unreachable(..)) => last = error,
            decided => return decided,
        }
    }
    Err(last)
}

async fn post_offer(
    http: &Client,
    endpoint: &str,
    token: &str,
    request: &JoinRequest,
) -> Result<JoinAnswer, JoinError> {
    let unreachable = |error: reqwest::Error| JoinError::Unreachable(endpoint.to_owned(), chain(&error));
    let url = format!("{}/rtc/v1/join", endpoint.trim_end_matches('/'));
    let sent = http.post(url).bearer_auth(token).timeout(JOIN_TIMEOUT).json(request).send().await;
    let response = sent.map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return response.json().await.map_err(unreachable);
    }
    let words = response.text().await.unwrap_or_default().chars().take(WORDS_MAX).collect();
    Err(JoinError::Refused { endpoint: endpoint.to_owned(), status, words })
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The media addresses that an answer names (`a=candidate`, RFC 8839 §5.1), UDP only, in their order.
pub fn candidates(answer: &str) -> Vec<SocketAddr> {
    let lines = answer.lines().filter_map(|line| line.trim().strip_prefix("a=candidate:"));
    lines.filter_map(candidate).collect()
}

fn candidate(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_ascii_whitespace();
    let udp = fields.nth(2)?.eq_ignore_ascii_case("udp");
    let address = fields.nth(1)?.parse().ok()?;
    let port = fields.next()?.parse().ok()?;
    udp.then_some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn udp_candidates_are_read_from_an_answer() {
        let answer = "v=0\r\na=candidate:1 1 udp 2130706175 192.0.2.1 7700 typ host\r\n\
                      a=candidate:2 1 TCP 1 192.0.2.1 7700 typ host tcptype passive\r\n\
                      a=candidate:3 1 UDP 1 2001:db8::1 7700 typ host\r\na=candidate:4 1 udp 1 host.local x\r\n";
        let expected: [SocketAddr; 2] =
            [([192, 0, 2, 1], 7700).into(), ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 7700).into()];
        assert_eq!(candidates(answer), expected);
    }
}
