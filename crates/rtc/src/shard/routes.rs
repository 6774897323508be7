//! Routes of a shard: which peer a datagram is for (RFC 7983), without asking every peer.
//!
//! ```text
//!  STUN ── user fragment ──> another shard's: hand over
//!                        └─> ours: MESSAGE-INTEGRITY right? ── yes ──> the address is a route of the peer
//!  DTLS, RTP, RTCP ── address ──> a route: its peer    a foreign route: hand over    else: drop
//! ```
//!
//! Contract: only an authenticated binding request creates or moves a route, so that an address that did not prove the
//! password can neither send for a peer nor learn anything of it.

use crate::channel::PeerId;
use crate::crypto;
use crate::negotiator::shard_of;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use str0m::ice::StunMessage;

/// Addresses that one peer may come from at a time; one more replaces the oldest (a terminal that moves between networks).
const ROUTES_PER_PEER_MAX: usize = 16;
/// Addresses whose datagrams another shard's socket gets; beyond, an arbitrary one is forgotten and learned again.
const FOREIGN_ROUTES_MAX: usize = 100_000;
/// A datagram longer than any that WebRTC sends.
const DATAGRAM_BYTES_MAX: usize = 2_000;

#[derive(Default)]
pub(super) struct Routes {
    shard: usize,
    peer_by_source: HashMap<SocketAddr, PeerId>,
    sources_by_peer: HashMap<PeerId, VecDeque<SocketAddr>>,
    expected_by_ufrag: HashMap<String, ExpectedPeer>,
    shard_by_source: HashMap<SocketAddr, usize>,
}

struct ExpectedPeer {
    peer: PeerId,
    password: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// `authenticated`: by a binding request just now.
    Peer {
        peer: PeerId,
        authenticated: bool,
    },
    OtherShard(usize),
    Unknown,
    /// STUN for a peer of this shard with a wrong or missing MESSAGE-INTEGRITY.
    Unauthenticated,
    Malformed,
}

impl Routes {
    pub(super) fn new(shard: usize) -> Self {
        Self { shard, ..Self::default() }
    }

    pub(super) fn register(&mut self, peer: PeerId, ufrag: &str, password: &str) {
        self.expected_by_ufrag.insert(ufrag.to_owned(), ExpectedPeer { peer, password: password.to_owned() });
    }

    pub(super) fn unregister(&mut self, peer: PeerId, ufrag: &str) {
        self.expected_by_ufrag.remove(ufrag);
        for source in self.sources_by_peer.remove(&peer).unwrap_or_default() {
            if self.peer_by_source.get(&source) == Some(&peer) {
                self.peer_by_source.remove(&source);
            }
        }
    }

    /// Another shard proved that the address is its own.
    pub(super) fn add_foreign(&mut self, source: SocketAddr, shard: usize) {
        if self.shard_by_source.len() >= FOREIGN_ROUTES_MAX
            && let Some(any) = self.shard_by_source.keys().next().copied()
        {
            self.shard_by_source.remove(&any);
        }
        self.shard_by_source.insert(source, shard);
    }

    pub(super) fn classify(&mut self, source: SocketAddr, datagram: &[u8]) -> Destination {
        match datagram.first() {
            Some(0..=3) => self.classify_stun(source, datagram),
            Some(20..=63 | 128..=191) if datagram.len() <= DATAGRAM_BYTES_MAX => self.route_of(source),
            _ => Destination::Malformed,
        }
    }

    fn route_of(&self, source: SocketAddr) -> Destination {
        if let Some(peer) = self.peer_by_source.get(&source) {
            return Destination::Peer { peer: *peer, authenticated: false };
        }
        self.shard_by_source.get(&source).map_or(Destination::Unknown, |shard| Destination::OtherShard(*shard))
    }

    fn classify_stun(&mut self, source: SocketAddr, datagram: &[u8]) -> Destination {
        // The parser reads unauthenticated bytes: if it panics, one datagram is lost.
        let checked = catch_unwind(AssertUnwindSafe(|| self.check_stun(datagram)));
        let destination = checked.unwrap_or(Destination::Malformed);
        if let Destination::Peer { peer, .. } = destination {
            self.add_route(source, peer);
        }
        destination
    }

    fn check_stun(&self, datagram: &[u8]) -> Destination {
        let Ok(message) = StunMessage::parse(datagram) else { return Destination::Malformed };
        let Some((ufrag, _)) = message.split_username().filter(|_| message.is_binding_request()) else {
            return Destination::Unknown;
        };
        if let Some(shard) = shard_of(ufrag).filter(|shard| *shard != self.shard) {
            return Destination::OtherShard(shard);
        }
        let Some(expected) = self.expected_by_ufrag.get(ufrag) else { return Destination::Unknown };
        let hmac = crypto::provider().sha1_hmac_provider;
        if message.verify(expected.password.as_bytes(), |key, payloads| hmac.sha1_hmac(key, payloads)) {
            Destination::Peer { peer: expected.peer, authenticated: true }
        } else {
            Destination::Unauthenticated
        }
    }

    fn add_route(&mut self, source: SocketAddr, peer: PeerId) {
        if self.peer_by_source.insert(source, peer) == Some(peer) {
            return;
        }
        let sources = self.sources_by_peer.entry(peer).or_default();
        sources.push_back(source);
        if sources.len() > ROUTES_PER_PEER_MAX
            && let Some(oldest) = sources.pop_front()
            && self.peer_by_source.get(&oldest) == Some(&peer)
        {
            self.peer_by_source.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use str0m::ice::TransId;

    const ALICE: PeerId = PeerId(1);
    const BOB: PeerId = PeerId(2);
    const RTP: [u8; 12] = [0x80; 12];

    fn routes() -> Routes {
        let mut routes = Routes::new(0);
        routes.register(ALICE, "00alice", "wonderland-wonderland-wonderland");
        routes.register(BOB, "00bob", "builder-builder-builder-builder!");
        routes
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn binding(ufrag: &str, password: &str) -> Vec<u8> {
        let username = format!("{ufrag}:remote");
        let message = StunMessage::binding_request(&username, TransId::new(), true, 1, 1, false);
        let mut buffer = vec![0; 500];
        let hmac = crypto::provider().sha1_hmac_provider;
        let len = message.to_bytes(Some(password.as_bytes()), &mut buffer, |k, p| hmac.sha1_hmac(k, p)).unwrap();
        buffer.truncate(len);
        buffer
    }

    #[test]
    fn only_a_proven_binding_makes_a_route() {
        let mut routes = routes();
        assert_eq!(routes.classify(address(1), &RTP), Destination::Unknown);
        assert_eq!(routes.classify(address(1), &binding("00alice", "wrong")), Destination::Unauthenticated);
        assert_eq!(routes.classify(address(1), &RTP), Destination::Unknown);
        let proof = binding("00alice", "wonderland-wonderland-wonderland");
        assert_eq!(routes.classify(address(1), &proof), Destination::Peer { peer: ALICE, authenticated: true });
        assert_eq!(routes.classify(address(1), &RTP), Destination::Peer { peer: ALICE, authenticated: false });
        assert_eq!(routes.classify(address(2), &RTP), Destination::Unknown);
    }

    #[test]
    fn an_address_that_another_peer_proves_becomes_a_route_of_that_peer() {
        let mut routes = routes();
        routes.classify(address(1), &binding("00alice", "wonderland-wonderland-wonderland"));
        routes.classify(address(1), &binding("00bob", "builder-builder-builder-builder!"));
        assert_eq!(routes.classify(address(1), &RTP), Destination::Peer { peer: BOB, authenticated: false });
        routes.unregister(ALICE, "00alice");
        assert_eq!(routes.classify(address(1), &RTP), Destination::Peer { peer: BOB, authenticated: false });
        routes.unregister(BOB, "00bob");
        assert_eq!(routes.classify(address(1), &RTP), Destination::Unknown);
    }

    #[test]
    fn a_peer_that_moves_keeps_its_newest_addresses() {
        let mut routes = routes();
        for port in 1..=20 {
            routes.classify(address(port), &binding("00alice", "wonderland-wonderland-wonderland"));
        }
        assert_eq!(routes.classify(address(4), &RTP), Destination::Unknown);
        assert!(matches!(routes.classify(address(5), &RTP), Destination::Peer { .. }));
        assert_eq!(routes.peer_by_source.len(), ROUTES_PER_PEER_MAX);
    }

    #[test]
    fn what_another_shard_owns_is_handed_over() {
        let mut routes = routes();
        assert_eq!(routes.classify(address(1), &binding("01carol", "x")), Destination::OtherShard(1));
        assert_eq!(routes.classify(address(1), &RTP), Destination::Unknown);
        routes.add_foreign(address(1), 1);
        assert_eq!(routes.classify(address(1), &RTP), Destination::OtherShard(1));
    }

    #[test]
    fn noise_belongs_to_no_peer() {
        let mut routes = routes();
        for noise in [&b""[..], &[0], &[1; 19], &[0; 40], &[70; 100], &[255; 2_500], &[128; 2_001]] {
            assert_eq!(routes.classify(address(1), noise), Destination::Malformed, "{noise:?}");
        }
        assert_eq!(routes.classify(address(1), &binding("zz", "x")), Destination::Unknown);
        assert!(routes.peer_by_source.is_empty());
    }
}
