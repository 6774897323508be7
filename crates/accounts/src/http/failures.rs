//! The failed attempts from each address, held to a rate.
//!
//! Only failures cost. When the bucket is empty, a further failure is told so and costs nothing, until a token is back.
//! The map is bounded: the address that was quiet longest is forgotten first.

use crate::network::Network;
use crate::recent::Recent;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use limiter::{Rate, TokenBucket};
use std::net::SocketAddr;
use std::time::Duration;

/// Failures that are free.
const RATE: Rate = Rate { burst: 20, per_second: 1 };
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

#[derive(Debug)]
pub(super) struct Failures {
    buckets: Recent<Source, TokenBucket>,
}

impl Failures {
    pub(super) fn new() -> Self {
        Self { buckets: Recent::new(SOURCES_MAX) }
    }

    /// Counts a failure. The error: too many, the next one is counted in so many seconds.
    pub(super) fn charge(&mut self, source: Source, now: Duration) -> Result<(), u64> {
        let mut bucket = self.buckets.get_mut(&source).copied().unwrap_or_default();
        bucket.try_take(RATE, now).map_err(whole_seconds)?;
        self.buckets.insert(source, bucket);
        Ok(())
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Source {
        Source::Address(Network::of(std::net::Ipv4Addr::from(n).into()))
    }

    #[test]
    fn a_burst_is_counted_then_one_attempt_comes_back_a_second() {
        let ms = Duration::from_millis;
        let mut failures = Failures::new();
        for _ in 0..RATE.burst {
            assert_eq!(failures.charge(address(1), ms(0)), Ok(()));
        }
        assert_eq!(failures.charge(address(1), ms(0)), Err(1));
        assert_eq!(failures.charge(address(2), ms(0)), Ok(()));
        assert_eq!(failures.charge(address(1), ms(999)), Err(1));
        assert_eq!(failures.charge(address(1), ms(1_000)), Ok(()));
        assert_eq!(failures.charge(address(1), ms(1_000)), Err(1));
        assert_eq!(failures.charge(address(1), ms(60_000)), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut failures = Failures::new();
        for n in 0..SOURCES_MAX as u32 * 2 {
            let _ = failures.charge(address(n), Duration::ZERO);
        }
        assert!(failures.buckets.len() <= SOURCES_MAX);
    }
}
