//! How many connections there may be, in all and from one network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use accounts::Network;

use crate::complaint::Complaint;
use crate::config::Limits;
use crate::stats::Counts;

/// Connections by network and in all.
#[derive(Debug)]
pub(crate) struct ConnectionLimiter {
    connections_max: usize,
    per_address_max: usize,
    open: Mutex<Open>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_network: HashMap<Network, usize>,
    refused: Complaint,
}

/// The right to one connection; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    network: Network,
}

impl ConnectionLimiter {
    pub(crate) fn new(limits: &Limits, counts: Arc<Counts>) -> Arc<Self> {
        Arc::new(Self {
            connections_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            open: Mutex::default(),
            counts,
        })
    }

    /// `None`: there are too many.
    pub(crate) fn permit(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionPermit> {
        let network = Network::of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = open.by_network.get(&network).copied().unwrap_or(0);
        if open.all >= self.connections_max || from_there >= self.per_address_max {
            self.counts.refused_connections.one();
            if let Some(times) = open.refused.note(Instant::now()) {
                let (all, max) = (open.all, self.connections_max);
                tracing::warn!(%address, from_there, all, max, times, "too many connections, in all or from one address");
            }
            return None;
        }
        open.all += 1;
        open.by_network.insert(network, from_there + 1);
        self.counts.connections.one();
        Some(ConnectionPermit { limiter: self.clone(), network })
    }

    fn leave(&self, network: Network) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(from_there) = open.by_network.get_mut(&network) {
            *from_there -= 1;
            if *from_there == 0 {
                open.by_network.remove(&network);
            }
        }
        self.counts.connections.less(1);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limiter.leave(self.network);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn connections_are_limited_by_address_and_in_all_and_come_back() {
        let limits = Limits { connections_max: 3, connections_per_address_max: 2, ..Limits::default() };
        let counts = Arc::new(Counts::default());
        let limiter = ConnectionLimiter::new(&limits, counts.clone());
        let permit = |address: &str| limiter.permit(address.parse().unwrap());
        let first = permit("2001:db8::1").unwrap();
        let _second = permit("2001:db8::2:1").unwrap();
        assert!(permit("2001:db8::3").is_none(), "a host has a /64");
        let _third = permit("10.0.0.2").unwrap();
        assert!(permit("10.0.0.2").is_none());
        drop(first);
        assert!(permit("10.0.0.2").is_some());
        assert_eq!((counts.connections.value(), counts.refused_connections.value()), (2, 2));
    }
}
