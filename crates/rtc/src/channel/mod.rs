//! A channel: who is in it, who may be heard and seen, who is in which slot. Pure: wishes, packets and `now` in,
//! [`Effect`]s and writes out; it knows no socket and no peer connection beyond a number.
//!
//! ```text
//!  participation:  (token, wish) ─ join ─> connecting ─ DTLS done ─> connected ⇄ lost ─ gone_after ─> left
//!                                              │ join_timeout            └ close, not wished, replaced, DTLS closed ─> left
//!  waiting (by the wish): connects like any other, but nothing is forwarded to or from it
//! ```
//!
//! Contract: what a participation may do is what the present wish says, for each of its connections from the first packet
//! on. Who is not in the wish is out, and nothing is remembered about them.

mod book;
mod forward;
mod key_frame_requests;
mod participant;
mod rewriter;
mod slots;
mod speech;
#[cfg(test)]
mod tests;

pub(crate) use book::{BookConfig, ChannelBook, OwnerLimits, Put};
pub(crate) use forward::{ForwardOutcome, ParsedPacket, SlotWrite};

use crate::offer::{MediaKind, MediaPlan, kind_of};
use crate::shard::mailbox::JoinRefusal;
use participant::{Connection, Participant};
use signalling::{
    ChannelDescription, ChannelEvent, ChannelEventKind, DesiredChannel, DesiredParticipation, LeftReason,
};
use signalling::{ChannelId, JoinClaims, SlotMap, Source};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// One peer connection of a shard; numbers rise in the order of the joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PeerId(pub(crate) u64);

/// One source of one connection. A participation that joins again is a new source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SourceKey {
    pub(crate) peer: PeerId,
    pub(crate) source: Source,
}

/// What a channel asks of its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Without its sequence number.
    Event(ChannelEvent),
    /// Close the connection; the channel has forgotten it.
    ClosePeer(PeerId),
    RequestKeyFrame(SourceKey),
    SendMap(PeerId, SlotMap),
    /// Send the present map once more, to be acknowledged.
    Probe(PeerId),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelConfig {
    pub(crate) lost_after: Duration,
    pub(crate) gone_after: Duration,
    pub(crate) join_timeout: Duration,
    pub(crate) peers_max: usize,
    pub(crate) participations_max: usize,
}

pub(crate) struct Channel {
    id: ChannelId,
    config: ChannelConfig,
    opened_at: Instant,
    rev: u64,
    desired: DesiredChannel,
    participants: BTreeMap<PeerId, Participant>,
    effects: Vec<Effect>,
}

impl Channel {
    pub(crate) fn new(id: ChannelId, config: ChannelConfig, now: Instant) -> Self {
        let (desired, participants) = (DesiredChannel::default(), BTreeMap::new());
        Self { id, config, opened_at: now, rev: 0, desired, participants, effects: Vec::new() }
    }

    pub(crate) fn poll_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.participants.is_empty()
    }

    pub(crate) fn rev(&self) -> u64 {
        self.rev
    }

    pub(crate) fn opened_at(&self) -> Instant {
        self.opened_at
    }

    pub(crate) fn desired(&self) -> &DesiredChannel {
        &self.desired
    }

    // Wishes.

    /// Makes the channel what is wished. Whether the revision is a newer one is judged before.
    pub(crate) fn put(&mut self, rev: u64, desired: DesiredChannel, now: Instant) {
        self.rev = rev;
        if self.desired == desired {
            return;
        }
        self.desired = desired;
        self.remove_unwanted();
        for participant in self.participants.values_mut() {
            if let Some(wish) = self.desired.participations.get(&participant.participation) {
                participant.apply(wish);
            }
        }
        self.assign_slots();
        self.request_key_frames(now);
    }

    fn remove_unwanted(&mut self) {
        let wishes = &self.desired.participations;
        let wanted = |of: &Participant| {
            wishes.get(&of.participation).is_some_and(|wish| wish.user == of.user && wish.client == of.client)
        };
        let unwanted: Vec<PeerId> =
            self.participants.iter().filter(|(_, of)| !wanted(of)).map(|(peer, _)| *peer).collect();
        for peer in unwanted {
            self.effects.push(Effect::ClosePeer(peer));
            self.handle_ended(peer, LeftReason::Removed);
        }
    }

    /// Ends every participation; the channel is dropped after it.
    pub(crate) fn close(&mut self) {
        let peers: Vec<PeerId> = self.participants.keys().copied().collect();
        for peer in peers {
            self.effects.push(Effect::ClosePeer(peer));
            self.handle_ended(peer, LeftReason::Closed);
        }
    }

    pub(crate) fn describe(&self) -> ChannelDescription {
        let participants = self.participants.iter().map(|(peer, participant)| participant.describe(*peer)).collect();
        ChannelDescription { channel: self.id.clone(), rev: self.rev, participants }
    }

    // Joining.

    /// What the wish says of the bearer of a token.
    pub(crate) fn admission(&self, claims: &JoinClaims) -> Result<&DesiredParticipation, JoinRefusal> {
        match self.desired.participations.get(&claims.participation) {
            Some(wish) if wish.user == claims.user && wish.client == claims.client => Ok(wish),
            None if claims.rev > self.rev => Err(JoinRefusal::NotYet),
            _ => Err(JoinRefusal::Removed),
        }
    }

    /// Adds a connection, in place of an older one of the same client, and returns its first slot map.
    pub(crate) fn join(
        &mut self,
        peer: PeerId,
        claims: &JoinClaims,
        plan: &MediaPlan,
        seed: u64,
        now: Instant,
    ) -> Result<SlotMap, JoinRefusal> {
        let participant = Participant::new(claims, self.admission(claims)?, plan, seed, now);
        self.check_room(claims)?;
        self.replace_older(claims);
        self.participants.insert(peer, participant);
        self.assign_slots();
        Ok(self.first_map(peer))
    }

    fn check_room(&self, claims: &JoinClaims) -> Result<(), JoinRefusal> {
        let replaces = self.participants.values().any(|participant| participant.client == claims.client);
        let is_full = self.participants.len() >= self.config.peers_max && !replaces;
        if is_full { Err(JoinRefusal::ChannelFull) } else { Ok(()) }
    }

    fn replace_older(&mut self, claims: &JoinClaims) {
        let same = |participant: &Participant| {
            participant.client == claims.client || participant.participation == claims.participation
        };
        let older: Vec<PeerId> =
            self.participants.iter().filter(|(_, participant)| same(participant)).map(|(peer, _)| *peer).collect();
        for peer in older {
            let Some(participant) = self.participants.get(&peer) else { continue };
            self.effects.push(Effect::ClosePeer(peer));
            if participant.participation != claims.participation {
                self.push_event(peer, ChannelEventKind::Left { reason: LeftReason::Replaced });
            }
            self.participants.remove(&peer);
        }
    }

    fn first_map(&mut self, peer: PeerId) -> SlotMap {
        if let Some(participant) = self.participants.get_mut(&peer) {
            slots::show_assigned(&mut participant.slots);
        }
        self.map(peer)
    }

    /// The present map of a participant; sent again when its data channel opens, since it may have changed on the way.
    pub(crate) fn map(&self, peer: PeerId) -> SlotMap {
        let Some(participant) = self.participants.get(&peer) else { return SlotMap::default() };
        slots::map(&participant.slots, participant.epoch, |of| Some(self.participants.get(&of)?.participation))
    }

    // Inputs from the wire.

    /// ICE and DTLS are done.
    pub(crate) fn handle_connected(&mut self, peer: PeerId, cipher: &'static str, now: Instant) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        participant.connection = Connection::Connected { cipher, heard_at: now, lost: false, probed: false };
        self.push_event(peer, ChannelEventKind::Joined { cipher: cipher.to_owned() });
        self.assign_slots();
        self.request_key_frames(now);
    }

    /// An authenticated packet came in.
    pub(crate) fn handle_authenticated(&mut self, peer: PeerId, now: Instant) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let Connection::Connected { heard_at, lost, probed, .. } = &mut participant.connection else { return };
        *heard_at = now;
        *probed = false;
        if std::mem::take(lost) {
            self.push_event(peer, ChannelEventKind::Back);
        }
    }

    /// The connection ended by itself.
    pub(crate) fn handle_ended(&mut self, peer: PeerId, reason: LeftReason) {
        if self.participants.contains_key(&peer) {
            self.push_event(peer, ChannelEventKind::Left { reason });
            self.participants.remove(&peer);
            self.assign_slots();
        }
    }

    pub(crate) fn handle_quality(&mut self, peer: PeerId, loss_permille: u16, rtt_ms: Option<u32>) {
        if self.participants.get(&peer).is_some_and(Participant::is_connected) {
            self.push_event(peer, ChannelEventKind::Quality { loss_permille, rtt_ms });
        }
    }

    /// Time has passed: lost and overdue connections, idle sources, silence, missing key frames.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let overdue: Vec<(PeerId, LeftReason)> = self
            .participants
            .iter_mut()
            .filter_map(|(peer, participant)| Some((*peer, participant.overdue(&self.config, now)?)))
            .collect();
        for (peer, reason) in overdue {
            self.effects.push(Effect::ClosePeer(peer));
            self.handle_ended(peer, reason);
        }
        self.probe_quiet(now);
        self.notice_lost(now);
        self.notice_silence(now);
        self.request_key_frames(now);
    }

    /// A terminal that sends no media is heard only every few seconds (RFC 7675 asks for no more). The present map once
    /// more makes it acknowledge something, before it is taken for lost.
    fn probe_quiet(&mut self, now: Instant) {
        for (peer, participant) in &mut self.participants {
            let Connection::Connected { heard_at, probed, .. } = &mut participant.connection else { continue };
            let quiet = now.saturating_duration_since(*heard_at) >= self.config.lost_after / 2;
            if quiet && !std::mem::replace(probed, true) {
                self.effects.push(Effect::Probe(*peer));
            }
        }
    }

    fn notice_lost(&mut self, now: Instant) {
        let mut fresh = Vec::new();
        for (peer, participant) in &mut self.participants {
            if let Connection::Connected { heard_at, lost, .. } = &mut participant.connection
                && !*lost
                && now.saturating_duration_since(*heard_at) >= self.config.lost_after
            {
                *lost = true;
                fresh.push(*peer);
            }
        }
        for peer in fresh {
            self.push_event(peer, ChannelEventKind::Lost);
        }
    }

    fn notice_silence(&mut self, now: Instant) {
        let mut idle = false;
        let mut quiet = Vec::new();
        for (peer, participant) in &mut self.participants {
            for track in &mut participant.tracks {
                idle |= track.poll_idle(now);
                if track.speech.poll(now).is_some() {
                    quiet.push(*peer);
                }
            }
        }
        for peer in quiet {
            self.push_event(peer, ChannelEventKind::Speaker { speaking: false });
        }
        if idle {
            self.assign_slots();
        }
    }

    // Slots.

    /// Assigns slots to the sources that may be seen or heard, best first; a viewer whose map changes gets the new one.
    fn assign_slots(&mut self) {
        let everybody: Vec<PeerId> = self.participants.keys().copied().collect();
        for viewer in everybody {
            let audio = self.ranked_sources(viewer, MediaKind::Audio);
            let video = self.ranked_sources(viewer, MediaKind::Video);
            let Some(participant) = self.participants.get_mut(&viewer) else { continue };
            let mut changed = slots::assign(&mut participant.slots, MediaKind::Audio, &audio);
            changed |= slots::assign(&mut participant.slots, MediaKind::Video, &video);
            if changed {
                self.send_map(viewer);
            }
        }
        self.index_viewers();
    }

    /// Sources for one viewer's slots, best first. Muted ones last; screens before cameras; among microphones who
    /// spoke last; else who has a slot, then who joined first.
    fn ranked_sources(&self, viewer: PeerId, kind: MediaKind) -> Vec<SourceKey> {
        let Some(receiver) = self.participants.get(&viewer).filter(|participant| participant.receives()) else {
            return Vec::new();
        };
        let mut ranked = Vec::new();
        for (peer, participant) in
            self.participants.iter().filter(|(peer, participant)| **peer != viewer && participant.sends())
        {
            for track in participant.tracks.iter().filter(|track| track.active && kind_of(track.source) == kind) {
                let key = track.key(*peer);
                let silent = participant.refusal(track.source).is_some();
                let placed = receiver.slots.iter().any(|slot| slot.assigned == Some(key));
                let no_screen = track.source != Source::Screen;
                let rank = (silent, no_screen, !track.speech.is_speaking(), Reverse(track.speech.loud_at()), !placed);
                ranked.push((rank, key));
            }
        }
        ranked.sort();
        ranked.into_iter().map(|(_, key)| key).collect()
    }

    /// Keeps at each track which slots take its packets, so that it is looked up per change and not per packet.
    fn index_viewers(&mut self) {
        let mut viewers: HashMap<SourceKey, Vec<(PeerId, usize)>> = HashMap::new();
        for (peer, participant) in self.participants.iter().filter(|(_, participant)| participant.receives()) {
            for (index, slot) in participant.slots.iter().enumerate() {
                let sources: BTreeSet<SourceKey> = slot.assigned.into_iter().chain(slot.shown).collect();
                for source in sources {
                    viewers.entry(source).or_default().push((*peer, index));
                }
            }
        }
        for (peer, participant) in &mut self.participants {
            for track in &mut participant.tracks {
                track.viewers = viewers.remove(&track.key(*peer)).unwrap_or_default();
            }
        }
    }

    fn send_map(&mut self, viewer: PeerId) {
        if let Some(participant) = self.participants.get_mut(&viewer) {
            participant.epoch += 1;
        }
        let map = self.map(viewer);
        self.effects.push(Effect::SendMap(viewer, map));
    }

    fn push_event(&mut self, peer: PeerId, kind: ChannelEventKind) {
        let Some(participation) = self.participants.get(&peer).map(|participant| participant.participation) else {
            return;
        };
        let (channel, rev, connection) = (self.id.clone(), self.rev, peer.0);
        self.effects.push(Effect::Event(ChannelEvent { sequence: 0, channel, rev, participation, connection, kind }));
    }
}

impl Participant {
    /// Why the connection must end now; `None` while its deadlines lie ahead.
    fn overdue(&mut self, config: &ChannelConfig, now: Instant) -> Option<LeftReason> {
        let past = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        match self.connection {
            Connection::Connecting { since } => past(since, config.join_timeout).then_some(LeftReason::Failed),
            Connection::Connected { heard_at, .. } => past(heard_at, config.gone_after).then_some(LeftReason::TimedOut),
        }
    }
}
