//! The descriptors of the process, shared out before anything is served.
//!
//! Connections stay below the limit, so that the log can always open its next segment, SQLite its files, and the HTTP
//! API a connection while MQTT is flooded, and the other way round.

use anyhow::{Context, Result, ensure};
use tracing::info;

/// With fewer, too few clients could connect to be of use.
const LIMIT_MIN: u64 = 128;
/// Catalog, first segments of the log, listeners, run time: about 40 of them are in use after a start.
const RESERVE: u64 = 64;
/// An event loop, a waker and a socket for media, of a worker and a shard.
const RESERVE_PER_THREAD: u64 = 8;
/// Of the limit, for segments of the log: each holds one.
const LOG_PART: u64 = 32;
/// Of what is left, for each of the two HTTP listeners.
const HTTP_PART: u64 = 8;
const HTTP_MAX: u64 = 4_096;

/// How many connections there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    pub(super) mqtt: usize,
    /// Of each HTTP listener.
    pub(super) http: usize,
}

impl Descriptors {
    /// Raises the limit of the process as far as it goes, and shares it out.
    ///
    /// # Errors
    /// The limit is too low to serve.
    pub(super) fn claim(threads: usize) -> Result<Self> {
        let limit = crate::sys::raise_descriptor_limit().context("cannot read the limit of open files")?;
        ensure!(
            limit >= LIMIT_MIN + RESERVE_PER_THREAD * threads as u64,
            "the process may have {limit} open files, which are too few for {threads} threads\n  \
             remedy: raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd); each connection takes one"
        );
        let shares = Self::share(limit, threads);
        info!(limit, mqtt = shares.mqtt, http = shares.http, "open files, and connections among them");
        Ok(shares)
    }

    fn share(limit: u64, threads: usize) -> Self {
        let reserve = RESERVE + RESERVE_PER_THREAD * threads as u64 + limit / LOG_PART;
        let connections = limit.saturating_sub(reserve);
        let http = (connections / HTTP_PART).min(HTTP_MAX);
        let mqtt = connections - 2 * http;
        let count = |n| usize::try_from(n).unwrap_or(usize::MAX);
        Self { mqtt: count(mqtt), http: count(http) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stay_below_the_limit_and_leave_a_reserve() {
        assert_eq!(Descriptors::share(256, 2), Descriptors { mqtt: 126, http: 21 });
        assert_eq!(Descriptors::share(1_024, 2), Descriptors { mqtt: 684, http: 114 });
        assert_eq!(Descriptors::share(20_000, 2), Descriptors { mqtt: 14_473, http: 2_411 });
        assert_eq!(Descriptors::share(1 << 20, 64).http, 4_096);
        assert_eq!(Descriptors::share(10, 1), Descriptors { mqtt: 0, http: 0 });
    }
}
