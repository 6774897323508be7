//! The descriptors of the process, shared out before anything is served.
//!
//! Connections stay below the limit, so that the log can always open its next segment, SQLite its files, and the HTTP
//! API a connection while MQTT is flooded, and the other way round.

use anyhow::{Context, Result, ensure};
use tracing::info;

/// With fewer, too few clients could connect to be of use.
const CONNECTIONS_MIN: usize = 16;
/// For what is opened after the start: keys, temporary files, connections of the catalog.
const RESERVE: u64 = 64;
/// An event loop, a waker and a socket for media, of a worker and a shard.
const RESERVE_PER_THREAD: u64 = 8;
/// Of the limit, for further segments of the log: each holds one.
const LOG_PART: u64 = 32;
/// Of what is left, for each of the two HTTP listeners and for that of the queue.
const HTTP_PART: u64 = 8;
const HTTP_MAX: u64 = 4_096;

/// How many connections there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    pub(super) mqtt: usize,
    /// Of each HTTP listener, and of that of the queue.
    pub(super) http: usize,
}

/// Raises the limit of the process as far as it goes, and returns it. To be done before anything is opened.
pub(super) fn raise_limit() -> Result<u64> {
    crate::sys::raise_descriptor_limit().context("cannot read the limit of open files")
}

impl Descriptors {
    /// Shares out what is left of `limit` now that log and catalog are open.
    ///
    /// # Errors
    /// It is too little to serve.
    pub(super) fn share(limit: u64, threads: usize) -> Result<Self> {
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        let shares = Self::of(limit, open, threads);
        ensure!(
            shares.mqtt >= CONNECTIONS_MIN && shares.http > 0,
            "the process may have {limit} open files, of which log and catalog have {open}: too few to serve\n  \
             remedy: raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd); each connection takes one"
        );
        info!(limit, open, mqtt = shares.mqtt, http = shares.http, "open files, and connections among them");
        Ok(shares)
    }

    fn of(limit: u64, open: u64, threads: usize) -> Self {
        let reserve = open + RESERVE + RESERVE_PER_THREAD * threads as u64 + limit / LOG_PART;
        let connections = limit.saturating_sub(reserve);
        let http = (connections / HTTP_PART).min(HTTP_MAX);
        let mqtt = connections - 3 * http;
        let count = |n| usize::try_from(n).unwrap_or(usize::MAX);
        Self { mqtt: count(mqtt), http: count(http) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stay_below_the_limit_and_leave_a_reserve() {
        assert_eq!(Descriptors::of(256, 20, 2), Descriptors { mqtt: 94, http: 18 });
        assert_eq!(Descriptors::of(1_024, 20, 2), Descriptors { mqtt: 559, http: 111 });
        assert_eq!(Descriptors::of(20_000, 20, 2), Descriptors { mqtt: 12_048, http: 2_409 });
        assert_eq!(Descriptors::of(1 << 20, 20, 64).http, 4_096);
        assert_eq!(Descriptors::of(10, 20, 1), Descriptors { mqtt: 0, http: 0 });
    }
}
