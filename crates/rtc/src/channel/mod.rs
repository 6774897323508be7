//! A channel: who is in it, who may be heard and seen, who is in which slot. Pure: commands, packets and `now` in,
//! [`Effect`]s and writes out; it knows no socket and no peer connection beyond a number.
//!
//! ```text
//!  participation:  (token) ─ join ─> connecting ─ DTLS done ─> connected ⇄ lost ─ gone_after ─> left
//!                                        │ join_timeout            └ close, remove, replaced, DTLS closed ─> left
//!  waiting (token, until admit): connects like any other, but nothing is forwarded to or from it
//! ```
//!
//! Contract: what the service decides about a participation (admitted, rights, mutes, removed) outlives its connections
//! and may come before the first one. A participation that was removed or replaced cannot join again; only at the limit
//! of remembered participations the oldest of these is forgotten, those that were never admitted first.

mod forward;
mod key_frame_requests;
mod participant;
mod rewriter;
mod slots;
mod speech;
#[cfg(test)]
mod tests;

pub(crate) use forward::{ForwardOutcome, ParsedPacket, SlotWrite};

use crate::offer::{MediaKind, MediaPlan, kind_of};
use crate::shard::mailbox::JoinRefusal;
use participant::{Connection, Participant};
use signalling::{ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, LeftReason};
use signalling::{ChannelId, JoinClaims, ParticipationId, Rights, SlotMap, Source};
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
    participants: BTreeMap<PeerId, Participant>,
    decisions: HashMap<ParticipationId, ServiceDecision>,
    next_decision: u64,
    effects: Vec<Effect>,
}

/// What was decided about a participation: by the service, or by a newer participation of the same client.
#[derive(Clone, Debug, Default)]
struct ServiceDecision {
    /// Rises with each that is created.
    number: u64,
    admitted: bool,
    rights: Option<Rights>,
    muted: BTreeSet<Source>,
    join_refusal: Option<JoinRefusal>,
}

impl Channel {
    pub(crate) fn new(id: ChannelId, config: ChannelConfig) -> Self {
        let (participants, decisions) = (BTreeMap::new(), HashMap::new());
        Self { id, config, participants, decisions, next_decision: 0, effects: Vec::new() }
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

    // Joining.

    /// Adds a connection, in place of an older one of the same client, and returns its first slot map.
    pub(crate) fn join(
        &mut self,
        peer: PeerId,
        claims: &JoinClaims,
        plan: &MediaPlan,
        seed: u64,
        now: Instant,
    ) -> Result<SlotMap, JoinRefusal> {
        self.check_join(claims)?;
        self.replace_older(claims);
        let mut participant = Participant::new(claims, plan, seed, now);
        if let Some(decision) = self.decisions.get(&claims.participation) {
            decision.apply(&mut participant);
        }
        self.participants.insert(peer, participant);
        self.assign_slots();
        Ok(self.first_map(peer))
    }

    fn check_join(&mut self, claims: &JoinClaims) -> Result<(), JoinRefusal> {
        if let Some(refusal) = self.decisions.get(&claims.participation).and_then(|decision| decision.join_refusal) {
            return Err(refusal);
        }
        let replaces = self.participants.values().any(|participant| participant.client == claims.client);
        if self.participants.len() >= self.config.peers_max && !replaces {
            return Err(JoinRefusal::ChannelFull);
        }
        self.decision_mut(claims.participation).map(|_| ()).map_err(|_| JoinRefusal::ChannelFull)
    }

    fn replace_older(&mut self, claims: &JoinClaims) {
        let same = |participant: &Participant| {
            participant.client == claims.client || participant.participation == claims.participation
        };
        let older: Vec<PeerId> =
            self.participants.iter().filter(|(_, participant)| same(participant)).map(|(peer, _)| *peer).collect();
        for peer in older {
            let Some(participant) = self.participants.remove(&peer) else { continue };
            self.effects.push(Effect::ClosePeer(peer));
            if participant.participation != claims.participation {
                if let Some(decision) = self.decisions.get_mut(&participant.participation) {
                    decision.join_refusal = Some(JoinRefusal::Replaced);
                }
                self.push_event(participant.participation, ChannelEventKind::Left(LeftReason::Replaced));
            }
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
        let participation = participant.participation;
        self.push_event(participation, ChannelEventKind::Joined { cipher: cipher.to_owned() });
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
            let participation = participant.participation;
            self.push_event(participation, ChannelEventKind::Back);
        }
    }

    /// The connection ended by itself.
    pub(crate) fn handle_ended(&mut self, peer: PeerId, reason: LeftReason) {
        if let Some(participant) = self.participants.remove(&peer) {
            self.push_event(participant.participation, ChannelEventKind::Left(reason));
            self.assign_slots();
        }
    }

    pub(crate) fn handle_quality(&mut self, peer: PeerId, loss_permille: u16, rtt_ms: Option<u32>) {
        if let Some(participation) = self.participants.get(&peer).filter(|m| m.is_connected()).map(|m| m.participation)
        {
            self.push_event(participation, ChannelEventKind::Quality { loss_permille, rtt_ms });
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
        for participant in self.participants.values_mut() {
            if let Connection::Connected { heard_at, lost, .. } = &mut participant.connection
                && !*lost
                && now.saturating_duration_since(*heard_at) >= self.config.lost_after
            {
                *lost = true;
                fresh.push(participant.participation);
            }
        }
        for participation in fresh {
            self.push_event(participation, ChannelEventKind::Lost);
        }
    }

    fn notice_silence(&mut self, now: Instant) {
        let mut idle = false;
        let mut quiet = Vec::new();
        for participant in self.participants.values_mut() {
            for track in &mut participant.tracks {
                idle |= track.poll_idle(now);
                if track.speech.poll(now).is_some() {
                    quiet.push(participant.participation);
                }
            }
        }
        for participation in quiet {
            self.push_event(participation, ChannelEventKind::Speaker { speaking: false });
        }
        if idle {
            self.assign_slots();
        }
    }

    // Commands of the service.

    pub(crate) fn admit(&mut self, participation: ParticipationId, now: Instant) -> Result<(), ChannelError> {
        self.decision_mut(participation)?.admitted = true;
        self.apply_decision(participation, now);
        Ok(())
    }

    pub(crate) fn update_rights(
        &mut self,
        participation: ParticipationId,
        rights: Rights,
        now: Instant,
    ) -> Result<(), ChannelError> {
        self.decision_mut(participation)?.rights = Some(rights);
        self.apply_decision(participation, now);
        Ok(())
    }

    pub(crate) fn mute(
        &mut self,
        participation: ParticipationId,
        source: Source,
        muted: bool,
        now: Instant,
    ) -> Result<(), ChannelError> {
        let decision = self.decision_mut(participation)?;
        if muted {
            decision.muted.insert(source);
        } else {
            decision.muted.remove(&source);
        }
        self.apply_decision(participation, now);
        Ok(())
    }

    pub(crate) fn remove(&mut self, participation: ParticipationId) -> Result<(), ChannelError> {
        self.decision_mut(participation)?.join_refusal = Some(JoinRefusal::Removed);
        if let Some(peer) = self.peer_of(participation) {
            self.effects.push(Effect::ClosePeer(peer));
            self.handle_ended(peer, LeftReason::Removed);
        }
        Ok(())
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
        ChannelDescription { participants: self.participants.values().map(Participant::describe).collect() }
    }

    /// The decision about a participation, created when it is first mentioned.
    fn decision_mut(&mut self, participation: ParticipationId) -> Result<&mut ServiceDecision, ChannelError> {
        if !self.decisions.contains_key(&participation) {
            self.make_room()?;
            let fresh = ServiceDecision { number: self.next_decision, ..ServiceDecision::default() };
            self.next_decision += 1;
            self.decisions.insert(participation, fresh);
        }
        Ok(self.decisions.entry(participation).or_default())
    }

    /// A client that invites and cancels without end must not use up the room for blocks and removals. A token that was
    /// never admitted opens nothing but a place to wait.
    fn make_room(&mut self) -> Result<(), ChannelError> {
        let max = self.config.participations_max;
        if self.decisions.len() < max {
            return Ok(());
        }
        let over = self.decisions.iter().filter(|(_, decision)| decision.join_refusal.is_some());
        let oldest = over.min_by_key(|(_, decision)| (decision.admitted, decision.number)).map(|(of, _)| *of);
        let oldest = oldest.ok_or_else(|| ChannelError::Limit(format!("{max} participations in one channel")))?;
        self.decisions.remove(&oldest);
        Ok(())
    }

    fn apply_decision(&mut self, participation: ParticipationId, now: Instant) {
        let participant = self.participants.values_mut().find(|participant| participant.participation == participation);
        if let (Some(decision), Some(participant)) = (self.decisions.get(&participation), participant) {
            decision.apply(participant);
            self.assign_slots();
            self.request_key_frames(now);
        }
    }

    fn peer_of(&self, participation: ParticipationId) -> Option<PeerId> {
        self.participants
            .iter()
            .find(|(_, participant)| participant.participation == participation)
            .map(|(peer, _)| *peer)
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
                let silent = participant.refusal(track.source, track.muted).is_some();
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

    fn push_event(&mut self, participation: ParticipationId, kind: ChannelEventKind) {
        self.effects.push(Effect::Event(ChannelEvent { channel: self.id.clone(), participation, kind }));
    }
}

impl ServiceDecision {
    fn apply(&self, participant: &mut Participant) {
        participant.waiting &= !self.admitted;
        participant.rights = self.rights.unwrap_or(participant.rights);
        for track in &mut participant.tracks {
            track.muted = self.muted.contains(&track.source);
        }
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
