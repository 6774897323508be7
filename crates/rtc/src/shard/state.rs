//! Peers, channels and deadlines of one shard: datagrams and commands in, datagrams and events out.

use super::ShardConfig;
use super::mailbox::{AdmissionRequest, HandOver, HandedDatagram, ShardMailbox};
use super::peer::{MediaPacket, Peer, PeerEvent, PeerFailed, PeerOutput};
use super::routes::{Destination, Routes};
use super::socket::{Datagram, Egress};
use crate::channel::{Channel, ChannelBook, Effect, ForwardOutcome, PeerId, SlotWrite, SourceKey};
use crate::crypto;
use crate::metrics::DropReason;
use crate::owner::ChannelKey;
use signalling::LeftReason;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Rounds in which events of peers may cause more events; the rest waits for the next turn.
const ROUNDS_PER_TURN: usize = 4;
/// Between two checks whether there are drops to log.
const DROP_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How finely channels notice time: losses, leavings, key frames to ask for again.
const CHANNEL_TICK: Duration = Duration::from_millis(50);

pub(super) struct ShardState {
    pub(super) config: ShardConfig,
    egress: Egress,
    shards: Vec<ShardMailbox>,
    pub(super) routes: Routes,
    pub(super) peers: HashMap<PeerId, Peer>,
    pub(super) book: ChannelBook,
    /// Joins that wait for a put.
    pub(super) waiting: Vec<AdmissionRequest>,
    pub(super) next_peer: u64,
    /// One entry per peer: when its stack wants to be called.
    deadlines: BTreeSet<(Instant, PeerId)>,
    next_tick: Instant,
    next_sweep: Instant,
    next_drop_check: Instant,
    /// Events of peers that are not processed yet.
    reports: Vec<(PeerId, PeerEvent)>,
    /// Peers that were written to in this turn.
    written: BTreeSet<PeerId>,
    writes: Vec<SlotWrite>,
}

impl ShardState {
    pub(super) fn new(config: ShardConfig, egress: Egress, shards: Vec<ShardMailbox>) -> Self {
        Self {
            routes: Routes::new(config.index),
            book: ChannelBook::new(config.book),
            config,
            egress,
            shards,
            peers: HashMap::new(),
            waiting: Vec::new(),
            next_peer: 1,
            deadlines: BTreeSet::new(),
            next_tick: Instant::now(),
            next_sweep: Instant::now(),
            next_drop_check: Instant::now(),
            reports: Vec::new(),
            written: BTreeSet::new(),
            writes: Vec::new(),
        }
    }

    /// How long the shard may wait; `None`: until an input comes.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Duration> {
        if !self.reports.is_empty() {
            return Some(Duration::ZERO);
        }
        let tick = (!self.peers.is_empty()).then_some(self.next_tick);
        let sweep = (!self.book.is_empty() || !self.waiting.is_empty()).then_some(self.next_sweep);
        let first = self.deadlines.first().map(|(at, _)| *at);
        first.into_iter().chain(tick).chain(sweep).min().map(|at| at.saturating_duration_since(now))
    }

    pub(super) fn finish_turn(&mut self, now: Instant) {
        self.process_reports(now);
        self.wake_due(now);
        self.handle_channel_timeouts(now);
        self.sweep(now);
        for _ in 0..ROUNDS_PER_TURN {
            self.flush_written(now);
            if self.reports.is_empty() {
                break;
            }
            self.process_reports(now);
        }
        self.egress.flush();
        self.log_drops(now);
    }

    fn log_drops(&mut self, now: Instant) {
        if now < self.next_drop_check {
            return;
        }
        self.next_drop_check = now + DROP_CHECK_INTERVAL;
        if let Some(dropped) = self.config.metrics.unusual_drops(now) {
            tracing::info!(dropped, "datagrams or packets were dropped");
        }
    }

    /// The server stops: every peer is closed.
    pub(super) fn close_all(&mut self, now: Instant) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.close_peer(peer, now);
        }
        self.egress.flush();
    }

    // Datagrams.

    pub(super) fn handle_datagram(&mut self, datagram: &Datagram<'_>, now: Instant) {
        let metrics = &self.config.metrics;
        metrics.packets_in.add(1);
        metrics.bytes_in.add(datagram.bytes.len() as u64);
        match self.routes.classify(datagram.source, datagram.bytes) {
            Destination::Peer { peer, authenticated } => self.deliver(peer, authenticated, datagram, now),
            Destination::OtherShard(shard) => self.hand_over(shard, datagram),
            Destination::Unknown => metrics.discard(DropReason::UnknownSource),
            Destination::Unauthenticated => metrics.discard(DropReason::Unauthenticated),
            Destination::Malformed => metrics.discard(DropReason::Malformed),
        }
    }

    /// The kernel gave it to our socket, another shard owns the peer.
    fn hand_over(&self, shard: usize, datagram: &Datagram<'_>) {
        let Some(mailbox) = self.shards.get(shard) else {
            return self.config.metrics.discard(DropReason::UnknownSource);
        };
        let handed = HandedDatagram {
            from_shard: self.config.index,
            source: datagram.source,
            local_ip: datagram.local_ip,
            bytes: datagram.bytes.into(),
        };
        if mailbox.hand_over(HandOver::Datagram(handed)).is_err() {
            self.config.metrics.discard(DropReason::ShardFull);
        }
    }

    pub(super) fn handle_hand_over(&mut self, handed: &HandOver, now: Instant) {
        match handed {
            HandOver::Datagram(datagram) => self.handle_handed_datagram(datagram, now),
            HandOver::Route(source, shard) => self.routes.add_foreign(*source, *shard),
        }
    }

    fn handle_handed_datagram(&mut self, handed: &HandedDatagram, now: Instant) {
        let datagram = Datagram { source: handed.source, local_ip: handed.local_ip, bytes: &handed.bytes };
        match self.routes.classify(handed.source, &handed.bytes) {
            Destination::Peer { peer, authenticated } => {
                if authenticated {
                    self.claim_route(handed.source, handed.from_shard);
                }
                self.deliver(peer, authenticated, &datagram, now);
            }
            // Handed over already: whichever shard it is for, it does not travel in circles.
            Destination::OtherShard(_) | Destination::Unknown => self.config.metrics.discard(DropReason::UnknownSource),
            Destination::Unauthenticated => self.config.metrics.discard(DropReason::Unauthenticated),
            Destination::Malformed => self.config.metrics.discard(DropReason::Malformed),
        }
    }

    /// Tells the shard whose socket gets them that the datagrams of this address are ours.
    fn claim_route(&self, source: SocketAddr, of: usize) {
        if let Some(mailbox) = self.shards.get(of)
            && mailbox.hand_over(HandOver::Route(source, self.config.index)).is_err()
        {
            // The next binding request claims it again.
            self.config.metrics.discard(DropReason::ShardFull);
        }
    }

    fn deliver(&mut self, id: PeerId, authenticated: bool, datagram: &Datagram<'_>, now: Instant) {
        let local = self.local_candidate(datagram.local_ip);
        let Some(peer) = self.peers.get(&id) else { return };
        let channel = peer.channel.clone();
        crypto::take_authenticated();
        self.with_peer(id, now, |peer, output| {
            if authenticated {
                peer.remember_local_ip(datagram.source, datagram.local_ip);
            }
            peer.handle_datagram(datagram.source, local, datagram.bytes, now, output)
        });
        if authenticated | crypto::take_authenticated()
            && let Some(channel) = self.book.get_mut(&channel)
        {
            channel.handle_authenticated(id, now);
        }
    }

    /// The candidate that a datagram was sent to. Behind address translation the packet names another address than the
    /// one that terminals were told.
    fn local_candidate(&self, local_ip: Option<IpAddr>) -> SocketAddr {
        let candidates = &self.config.candidates;
        let same = candidates.iter().find(|candidate| Some(candidate.ip()) == local_ip);
        let family =
            || candidates.iter().find(|candidate| Some(candidate.is_ipv4()) == local_ip.map(|ip| ip.is_ipv4()));
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        same.or_else(family).or(candidates.first()).copied().unwrap_or(any)
    }

    // Peers.

    /// Runs one step of a peer, keeps its deadline and its events; a step that fails ends the peer.
    pub(super) fn with_peer(
        &mut self,
        id: PeerId,
        now: Instant,
        step: impl FnOnce(&mut Peer, &mut PeerOutput<'_>) -> Result<(), PeerFailed>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let before = peer.deadline;
        let mut events = Vec::new();
        let result = step(peer, &mut PeerOutput { socket: &mut self.egress, events: &mut events });
        if peer.deadline != before {
            self.deadlines.remove(&(before, id));
            self.deadlines.insert((peer.deadline, id));
        }
        self.reports.extend(events.into_iter().map(|event| (id, event)));
        if result.is_err() {
            self.drop_failed(id, now);
        }
    }

    pub(super) fn add_peer(&mut self, id: PeerId, peer: Peer) {
        self.deadlines.insert((peer.deadline, id));
        self.peers.insert(id, peer);
        self.config.metrics.peers.add(1);
    }

    /// The peer failed: its participation has left.
    fn drop_failed(&mut self, id: PeerId, now: Instant) {
        let Some(peer) = self.remove_peer(id) else { return };
        if let Some(channel) = self.book.get_mut(&peer.channel) {
            channel.handle_ended(id, LeftReason::Failed);
        }
        self.apply_effects(&peer.channel, now);
    }

    /// Its channel ended it.
    fn close_peer(&mut self, id: PeerId, now: Instant) {
        let Some(mut peer) = self.remove_peer(id) else { return };
        peer.close(now, &mut PeerOutput { socket: &mut self.egress, events: &mut Vec::new() });
    }

    fn remove_peer(&mut self, id: PeerId) -> Option<Peer> {
        let peer = self.peers.remove(&id)?;
        self.deadlines.remove(&(peer.deadline, id));
        self.written.remove(&id);
        self.routes.unregister(id, &peer.ufrag);
        self.config.metrics.peers.sub(1);
        Some(peer)
    }

    fn wake_due(&mut self, now: Instant) {
        let due: Vec<PeerId> = self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        for id in due {
            self.with_peer(id, now, |peer, output| peer.handle_timeout(now, output));
            self.written.remove(&id);
        }
    }

    fn flush_written(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.written) {
            self.with_peer(id, now, |peer, output| peer.flush(now, output));
        }
    }

    // Channels.

    fn handle_channel_timeouts(&mut self, now: Instant) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + CHANNEL_TICK;
        let mut changed = Vec::new();
        for (key, channel) in self.book.in_use() {
            channel.handle_timeout(now);
            changed.extend(channel.has_effects().then(|| key.clone()));
        }
        for key in changed {
            self.apply_effects(&key, now);
        }
    }

    /// What nobody needs any more: ends that are old, channels without owner and without participants.
    fn sweep(&mut self, now: Instant) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + self.config.sweep_interval;
        self.forget_given_up();
        let feeds = &self.config.feeds;
        let closed = self.book.sweep(now, |owner| feeds.is_lapsed(owner, now));
        self.config.metrics.channels.sub(closed as u64);
        if closed > 0 {
            tracing::info!(channels = closed, "empty channels are closed: their owner has not renewed them");
        }
    }

    fn process_reports(&mut self, now: Instant) {
        for (id, event) in std::mem::take(&mut self.reports) {
            let Some(channel) = self.peers.get(&id).map(|peer| peer.channel.clone()) else { continue };
            self.handle_report(id, &channel, event, now);
            self.apply_effects(&channel, now);
        }
    }

    fn handle_report(&mut self, id: PeerId, name: &ChannelKey, event: PeerEvent, now: Instant) {
        let Some(channel) = self.book.get_mut(name) else { return };
        match event {
            PeerEvent::Connected { cipher } => {
                self.config.metrics.joined(cipher);
                channel.handle_connected(id, cipher, now);
            }
            PeerEvent::Unprotected => {
                tracing::info!(channel = %name, "a peer is ended: it speaks no SRTP profile of ours (AES-GCM, AES-CM)");
                self.drop_failed(id, now);
            }
            PeerEvent::Media(media) => self.forward(id, name, &media, now),
            PeerEvent::KeyFrameWanted { slot } => channel.handle_key_frame_request(id, slot, now),
            PeerEvent::SlotsChannelReady => self.send_present_map(id, now),
            PeerEvent::Quality { loss_permille, rtt_ms } => channel.handle_quality(id, loss_permille, rtt_ms),
            PeerEvent::Unannounced => self.config.metrics.discard(DropReason::Unannounced),
            PeerEvent::Closed => self.close_in_reply(id, now),
        }
    }

    fn send_present_map(&mut self, id: PeerId, now: Instant) {
        let channel = self.peers.get(&id).and_then(|peer| self.book.get(&peer.channel));
        let Some(map) = channel.map(|channel| channel.map(id)) else { return };
        self.with_peer(id, now, |peer, output| peer.send_map(map, now, output));
    }

    /// The terminal closed the connection: it is closed on this side too, and the participation has left.
    fn close_in_reply(&mut self, id: PeerId, now: Instant) {
        let channel = self.peers.get(&id).map(|peer| peer.channel.clone());
        self.close_peer(id, now);
        if let Some(channel) = channel.and_then(|channel| self.book.get_mut(&channel)) {
            channel.handle_ended(id, LeftReason::Gone);
        }
    }

    fn forward(&mut self, id: PeerId, channel: &ChannelKey, media: &MediaPacket, now: Instant) {
        let Some(channel) = self.book.get_mut(channel) else { return };
        let mut writes = std::mem::take(&mut self.writes);
        let from = SourceKey { peer: id, source: media.source };
        let outcome = channel.forward(from, &media.parsed, now, &mut writes);
        let metrics = &self.config.metrics;
        metrics.media_in.add(1);
        metrics.media_forwarded.add(writes.len() as u64);
        match outcome {
            ForwardOutcome::Dropped(reason) => metrics.discard(reason),
            ForwardOutcome::Written { awaiting_key_frame } => {
                (0..awaiting_key_frame).for_each(|_| metrics.discard(DropReason::AwaitsKeyFrame))
            }
        }
        for write in writes.drain(..) {
            self.write_copy(&write, media, now);
        }
        self.writes = writes;
    }

    fn write_copy(&mut self, write: &SlotWrite, media: &MediaPacket, now: Instant) {
        let Some(peer) = self.peers.get_mut(&write.peer) else { return };
        match peer.write(write, media, now) {
            Ok(true) => {
                self.written.insert(write.peer);
            }
            Ok(false) => {}
            Err(PeerFailed) => self.drop_failed(write.peer, now),
        }
    }

    pub(super) fn apply_effects(&mut self, key: &ChannelKey, now: Instant) {
        let effects = self.book.get_mut(key).map(Channel::poll_effects).unwrap_or_default();
        for effect in effects {
            self.apply_effect(key, effect, now);
        }
    }

    pub(super) fn apply_effect(&mut self, key: &ChannelKey, effect: Effect, now: Instant) {
        match effect {
            Effect::Event(event) => {
                if !event.kind.is_minor() {
                    tracing::info!(channel = %event.channel, participation = %event.participation, kind = ?event.kind, "participation");
                }
                self.config.feeds.send(&key.owner, event);
            }
            Effect::ClosePeer(id) => self.close_peer(id, now),
            Effect::RequestKeyFrame(of) => {
                self.config.metrics.key_frame_requests.add(1);
                self.with_peer(of.peer, now, |peer, output| peer.request_key_frame(of.source, now, output));
            }
            Effect::Probe(id) => self.send_present_map(id, now),
            Effect::SendMap(id, map) => self.with_peer(id, now, |peer, output| peer.send_map(map, now, output)),
        }
    }
}
