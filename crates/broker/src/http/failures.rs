//! A small token bucket for the failed attempts from one address.
//!
//! Only failures cost. When the bucket is empty, a further failure is told so and costs nothing, until a token is back.
//! The map is bounded: who was quiet longest is forgotten first.

use crate::login::recent::Recent;
use crate::network::Network;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use std::net::SocketAddr;

/// Failures in a row that are free.
const BURST: u64 = 20;
/// One more each.
const REFILL_MS: u64 = 1_000;
/// Addresses that are remembered.
const SOURCES_MAX: usize = 16_384;

/// Whose failures are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Address(Network),
    /// The peer's address was not supplied.
    Unknown,
}

impl Source {
    pub(super) fn of(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        peer.map_or(Self::Unknown, |ConnectInfo(peer)| Self::Address(Network::of(peer.ip())))
    }
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

    /// Counts a failure. The error: too many, the next one is counted in so many seconds.
    pub(super) fn charge(&mut self, source: Source, now_ms: u64) -> Result<(), u64> {
        let full_at = self.full_at_ms.get_mut(&source).map_or(now_ms, |full_at| (*full_at).max(now_ms));
        let over_ms = (full_at - now_ms).saturating_sub((BURST - 1) * REFILL_MS);
        if over_ms > 0 {
            return Err(over_ms.div_ceil(1_000));
        }
        self.full_at_ms.insert(source, full_at + REFILL_MS);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Source {
        Source::Address(Network::of(std::net::Ipv4Addr::from(n).into()))
    }

    #[test]
    fn a_burst_is_counted_then_one_attempt_comes_back_a_second() {
        let mut failures = Failures::new();
        for _ in 0..BURST {
            assert_eq!(failures.charge(address(1), 0), Ok(()));
        }
        assert_eq!(failures.charge(address(1), 0), Err(1));
        assert_eq!(failures.charge(address(2), 0), Ok(()));
        assert_eq!(failures.charge(address(1), 999), Err(1));
        assert_eq!(failures.charge(address(1), 1_000), Ok(()));
        assert_eq!(failures.charge(address(1), 1_000), Err(1));
        assert_eq!(failures.charge(address(1), 60_000), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut failures = Failures::new();
        for n in 0..SOURCES_MAX as u32 * 2 {
            let _ = failures.charge(address(n), 0);
        }
        assert!(failures.full_at_ms.len() <= SOURCES_MAX);
    }
}
