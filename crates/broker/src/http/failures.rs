//! A small token bucket for the failed attempts of one address or with one secret.
//!
//! Only failures cost. An empty bucket refuses further attempts until a token is back. The map is bounded: who was
//! quiet longest is forgotten first.

use super::problem::{Code, Problem};
use crate::login::recent::Recent;
use crate::network::Network;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use std::net::SocketAddr;

/// Failures in a row that are free.
const BURST: u64 = 20;
/// One more each.
const REFILL_MS: u64 = 1_000;
/// Addresses and secrets that are remembered.
const SOURCES_MAX: usize = 16_384;

/// Whose failures are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Address(Network),
    /// The peer's address was not supplied.
    Unknown,
    Secret(String),
}

/// Each source with the time at which its bucket is full again.
#[derive(Debug)]
pub(super) struct Failures {
    full_at_ms: Recent<Source, u64>,
}

impl Failures {
    pub(super) fn new() -> Self {
        Self { full_at_ms: Recent::new(SOURCES_MAX) }
    }

    pub(super) fn charge(&mut self, source: Source, now_ms: u64) {
        let full_at = self.full_at_ms.get_mut(&source).map_or(now_ms, |full_at| (*full_at).max(now_ms));
        self.full_at_ms.insert(source, full_at + REFILL_MS);
    }

    /// `Some(seconds)`: the next attempt is free after so long.
    pub(super) fn blocked_s(&mut self, source: &Source, now_ms: u64) -> Option<u64> {
        let full_at = *self.full_at_ms.get_mut(source)?;
        let missing_ms = full_at.saturating_sub(now_ms);
        let over_ms = missing_ms.saturating_sub((BURST - 1) * REFILL_MS);
        (over_ms > 0).then(|| over_ms.div_ceil(1_000))
    }
}

pub(super) fn too_many(seconds: u64) -> Problem {
    let words = format!("too many attempts from here failed; wait {seconds} s, then use a valid key or secret");
    Problem::new(Code::TooManyFailures, words).retry_after(seconds)
}

pub(super) fn caller(parts: &Parts) -> Source {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(Source::Unknown, |ConnectInfo(peer)| Source::Address(Network::of(peer.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Source {
        Source::Address(Network::of(text.parse().expect("an address of this test")))
    }

    #[test]
    fn a_burst_is_free_then_one_attempt_comes_back_a_second() {
        let mut failures = Failures::new();
        for _ in 0..BURST {
            assert_eq!(failures.blocked_s(&address("192.0.2.1"), 0), None);
            failures.charge(address("192.0.2.1"), 0);
        }
        assert_eq!(failures.blocked_s(&address("192.0.2.1"), 0), Some(1));
        assert_eq!(failures.blocked_s(&address("192.0.2.2"), 0), None);
        assert_eq!(failures.blocked_s(&address("192.0.2.1"), 999), Some(1));
        assert_eq!(failures.blocked_s(&address("192.0.2.1"), 1_000), None);
        failures.charge(address("192.0.2.1"), 1_000);
        assert_eq!(failures.blocked_s(&address("192.0.2.1"), 1_000), Some(1));
        assert_eq!(failures.blocked_s(&address("192.0.2.1"), 60_000), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut failures = Failures::new();
        for n in 0..SOURCES_MAX * 2 {
            failures.charge(Source::Secret(n.to_string()), 0);
        }
        assert!(failures.full_at_ms.len() <= SOURCES_MAX);
    }
}
