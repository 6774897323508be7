//! A channel: who is in it, who may be heard and seen, who is in which slot. Pure: calls, packets and `now` in,
//! [`Effect`]s and writes out; it knows no socket and no peer connection beyond a number.
//!
//! ```text
//!  participation:  (token) ─ join ─> connecting ─ DTLS done ─> connected ⇄ lost ─ gone_after ─> left
//!                                        │ join_timeout            └ close, remove, replaced, DTLS closed ─> left
//!  waiting (token, until admit): connects like any other, but nothing is forwarded to or from it
//! ```
//!
//! Contract: what the service said of a participation (admitted, rights, mutes, removed) outlives its connections and
//! may come before the first one. A participation that was removed or replaced joins no more; only when there are more
//! to remember than may be, the oldest of those is forgotten, first among them who had never been admitted.

mod forward;
mod keyframes;
mod member;
mod rewriter;
mod slots;
mod speaker;
#[cfg(test)]
mod tests;

pub(crate) use forward::{Forwarded, Packet, Write};

use crate::offer::{MediaKind, MediaPlan, kind_of};
use crate::shard::mailbox::JoinRefusal;
use member::{Connection, Member};
use signalling::{ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, LeftReason};
use signalling::{ChannelId, JoinClaims, ParticipationId, Rights, SlotMap, Source};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// One peer connection of a shard; numbers rise in the order of the joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PeerId(pub(crate) u64);

/// What one connection sends. A participation that joins again is a new source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SourceKey {
    pub(crate) peer: PeerId,
    pub(crate) source: Source,
}

/// What the shard has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Event(ChannelEvent),
    /// Close the connection; the channel has forgotten it.
    End(PeerId),
    RequestKeyFrame(SourceKey),
    SendMap(PeerId, SlotMap),
    /// Send the present map once more, to be acknowledged.
    Probe(PeerId),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) lost_after: Duration,
    pub(crate) gone_after: Duration,
    pub(crate) join_timeout: Duration,
    pub(crate) peers_max: usize,
    pub(crate) participations_max: usize,
}

pub(crate) struct Channel {
    id: ChannelId,
    rules: Rules,
    members: BTreeMap<PeerId, Member>,
    standings: HashMap<ParticipationId, Standing>,
    next_standing: u64,
    effects: Vec<Effect>,
}

/// What the service, or time, has said of a participation.
#[derive(Clone, Debug, Default)]
struct Standing {
    /// Rises with each that is made.
    number: u64,
    admitted: bool,
    rights: Option<Rights>,
    muted: BTreeSet<Source>,
    over: Option<JoinRefusal>,
}

impl Channel {
    pub(crate) fn new(id: ChannelId, rules: Rules) -> Self {
        let (members, standings) = (BTreeMap::new(), HashMap::new());
        Self { id, rules, members, standings, next_standing: 0, effects: Vec::new() }
    }

    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    // Joining.

    /// Takes a new connection in, in place of an older one of the same client, and says whom it will see.
    pub(crate) fn join(
        &mut self,
        peer: PeerId,
        claims: &JoinClaims,
        plan: &MediaPlan,
        seed: u64,
        now: Instant,
    ) -> Result<SlotMap, JoinRefusal> {
        self.check_join(claims)?;
        self.replace(claims);
        let mut member = Member::new(claims, plan, seed, now);
        if let Some(standing) = self.standings.get(&claims.participation) {
            standing.apply(&mut member);
        }
        self.members.insert(peer, member);
        self.assign();
        Ok(self.first_map(peer))
    }

    fn check_join(&mut self, claims: &JoinClaims) -> Result<(), JoinRefusal> {
        if let Some(over) = self.standings.get(&claims.participation).and_then(|standing| standing.over) {
            return Err(over);
        }
        let replaces = self.members.values().any(|member| member.client == claims.client);
        if self.members.len() >= self.rules.peers_max && !replaces {
            return Err(JoinRefusal::ChannelFull);
        }
        self.standing(claims.participation).map(|_| ()).map_err(|_| JoinRefusal::ChannelFull)
    }

    fn replace(&mut self, claims: &JoinClaims) {
        let same = |member: &Member| member.client == claims.client || member.participation == claims.participation;
        let older: Vec<PeerId> =
            self.members.iter().filter(|(_, member)| same(member)).map(|(peer, _)| *peer).collect();
        for peer in older {
            let Some(member) = self.members.remove(&peer) else { continue };
            self.effects.push(Effect::End(peer));
            if member.participation != claims.participation {
                if let Some(standing) = self.standings.get_mut(&member.participation) {
                    standing.over = Some(JoinRefusal::Replaced);
                }
                self.event(member.participation, ChannelEventKind::Left(LeftReason::Replaced));
            }
        }
    }

    fn first_map(&mut self, peer: PeerId) -> SlotMap {
        if let Some(member) = self.members.get_mut(&peer) {
            slots::show_assigned(&mut member.slots);
        }
        self.map(peer)
    }

    /// The present map of a member; sent again when its data channel opens, since it may have changed on the way.
    pub(crate) fn map(&self, peer: PeerId) -> SlotMap {
        let Some(member) = self.members.get(&peer) else { return SlotMap::default() };
        slots::map(&member.slots, member.epoch, |of| Some(self.members.get(&of)?.participation))
    }

    // What happens on the wire.

    /// ICE and DTLS are done.
    pub(crate) fn connected(&mut self, peer: PeerId, cipher: &'static str, now: Instant) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        member.connection = Connection::Connected { cipher, heard_at: now, lost: false, probed: false };
        let participation = member.participation;
        self.event(participation, ChannelEventKind::Joined { cipher: cipher.to_owned() });
        self.assign();
        self.ask_key_frames(now);
    }

    /// An authenticated packet came in.
    pub(crate) fn heard(&mut self, peer: PeerId, now: Instant) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        let Connection::Connected { heard_at, lost, probed, .. } = &mut member.connection else { return };
        *heard_at = now;
        *probed = false;
        if std::mem::take(lost) {
            let participation = member.participation;
            self.event(participation, ChannelEventKind::Back);
        }
    }

    /// The connection ended by itself.
    pub(crate) fn ended(&mut self, peer: PeerId, reason: LeftReason) {
        if let Some(member) = self.members.remove(&peer) {
            self.event(member.participation, ChannelEventKind::Left(reason));
            self.assign();
        }
    }

    pub(crate) fn quality(&mut self, peer: PeerId, loss_permille: u16, rtt_ms: Option<u32>) {
        if let Some(participation) = self.members.get(&peer).filter(|m| m.is_connected()).map(|m| m.participation) {
            self.event(participation, ChannelEventKind::Quality { loss_permille, rtt_ms });
        }
    }

    /// Time passes: losses, leavings, idle sources, silence, key frames that did not come.
    pub(crate) fn tick(&mut self, now: Instant) {
        let overdue: Vec<(PeerId, LeftReason)> = self
            .members
            .iter_mut()
            .filter_map(|(peer, member)| Some((*peer, member.overdue(&self.rules, now)?)))
            .collect();
        for (peer, reason) in overdue {
            self.effects.push(Effect::End(peer));
            self.ended(peer, reason);
        }
        self.probe_quiet(now);
        self.notice_lost(now);
        self.notice_silence(now);
        self.ask_key_frames(now);
    }

    /// A terminal that sends no media is heard only every few seconds (RFC 7675 asks for no more). The present map once
    /// more makes it acknowledge something, before it is taken for lost.
    fn probe_quiet(&mut self, now: Instant) {
        for (peer, member) in &mut self.members {
            let Connection::Connected { heard_at, probed, .. } = &mut member.connection else { continue };
            let quiet = now.saturating_duration_since(*heard_at) >= self.rules.lost_after / 2;
            if quiet && !std::mem::replace(probed, true) {
                self.effects.push(Effect::Probe(*peer));
            }
        }
    }

    fn notice_lost(&mut self, now: Instant) {
        let mut fresh = Vec::new();
        for member in self.members.values_mut() {
            if let Connection::Connected { heard_at, lost, .. } = &mut member.connection
                && !*lost
                && now.saturating_duration_since(*heard_at) >= self.rules.lost_after
            {
                *lost = true;
                fresh.push(member.participation);
            }
        }
        for participation in fresh {
            self.event(participation, ChannelEventKind::Lost);
        }
    }

    fn notice_silence(&mut self, now: Instant) {
        let mut idle = false;
        let mut quiet = Vec::new();
        for member in self.members.values_mut() {
            for track in &mut member.tracks {
                idle |= track.fall_idle(now);
                if track.speaker.poll(now).is_some() {
                    quiet.push(member.participation);
                }
            }
        }
        for participation in quiet {
            self.event(participation, ChannelEventKind::Speaker { speaking: false });
        }
        if idle {
            self.assign();
        }
    }

    // What the service asks.

    pub(crate) fn admit(&mut self, participation: ParticipationId, now: Instant) -> Result<(), ChannelError> {
        self.standing(participation)?.admitted = true;
        self.restate(participation, now);
        Ok(())
    }

    pub(crate) fn update_rights(
        &mut self,
        participation: ParticipationId,
        rights: Rights,
        now: Instant,
    ) -> Result<(), ChannelError> {
        self.standing(participation)?.rights = Some(rights);
        self.restate(participation, now);
        Ok(())
    }

    pub(crate) fn mute(
        &mut self,
        participation: ParticipationId,
        source: Source,
        muted: bool,
        now: Instant,
    ) -> Result<(), ChannelError> {
        let standing = self.standing(participation)?;
        if muted {
            standing.muted.insert(source);
        } else {
            standing.muted.remove(&source);
        }
        self.restate(participation, now);
        Ok(())
    }

    pub(crate) fn remove(&mut self, participation: ParticipationId) -> Result<(), ChannelError> {
        self.standing(participation)?.over = Some(JoinRefusal::Removed);
        if let Some(peer) = self.peer_of(participation) {
            self.effects.push(Effect::End(peer));
            self.ended(peer, LeftReason::Removed);
        }
        Ok(())
    }

    /// Ends everybody; the channel is dropped after it.
    pub(crate) fn close(&mut self) {
        let peers: Vec<PeerId> = self.members.keys().copied().collect();
        for peer in peers {
            self.effects.push(Effect::End(peer));
            self.ended(peer, LeftReason::Closed);
        }
    }

    pub(crate) fn describe(&self) -> ChannelDescription {
        ChannelDescription { participants: self.members.values().map(Member::describe).collect() }
    }

    /// What is remembered of a participation, made on first mention.
    fn standing(&mut self, participation: ParticipationId) -> Result<&mut Standing, ChannelError> {
        if !self.standings.contains_key(&participation) {
            self.make_room()?;
            let fresh = Standing { number: self.next_standing, ..Standing::default() };
            self.next_standing += 1;
            self.standings.insert(participation, fresh);
        }
        Ok(self.standings.entry(participation).or_default())
    }

    /// Whoever invites and cancels without end must not use up what blocks and removals are remembered with. A token
    /// that had never been admitted opens nothing but a place to wait.
    fn make_room(&mut self) -> Result<(), ChannelError> {
        let max = self.rules.participations_max;
        if self.standings.len() < max {
            return Ok(());
        }
        let over = self.standings.iter().filter(|(_, standing)| standing.over.is_some());
        let oldest = over.min_by_key(|(_, standing)| (standing.admitted, standing.number)).map(|(of, _)| *of);
        let oldest = oldest.ok_or_else(|| ChannelError::Limit(format!("{max} participations in one channel")))?;
        self.standings.remove(&oldest);
        Ok(())
    }

    fn restate(&mut self, participation: ParticipationId, now: Instant) {
        let member = self.members.values_mut().find(|member| member.participation == participation);
        if let (Some(standing), Some(member)) = (self.standings.get(&participation), member) {
            standing.apply(member);
            self.assign();
            self.ask_key_frames(now);
        }
    }

    fn peer_of(&self, participation: ParticipationId) -> Option<PeerId> {
        self.members.iter().find(|(_, member)| member.participation == participation).map(|(peer, _)| *peer)
    }

    // Slots.

    /// Whoever may be seen or heard gets slots, best first; viewers whose map changes by it are told.
    fn assign(&mut self) {
        let everybody: Vec<PeerId> = self.members.keys().copied().collect();
        for viewer in everybody {
            let audio = self.ranked(viewer, MediaKind::Audio);
            let video = self.ranked(viewer, MediaKind::Video);
            let Some(member) = self.members.get_mut(&viewer) else { continue };
            let mut changed = slots::assign(&mut member.slots, MediaKind::Audio, &audio);
            changed |= slots::assign(&mut member.slots, MediaKind::Video, &video);
            if changed {
                self.send_map(viewer);
            }
        }
        self.link_viewers();
    }

    /// Sources for one viewer's slots, best first. Muted ones last; screens before cameras; among microphones who
    /// spoke last; else who has a slot, then who joined first.
    fn ranked(&self, viewer: PeerId, kind: MediaKind) -> Vec<SourceKey> {
        let Some(receiver) = self.members.get(&viewer).filter(|member| member.receives()) else { return Vec::new() };
        let mut ranked = Vec::new();
        for (peer, member) in self.members.iter().filter(|(peer, member)| **peer != viewer && member.sends()) {
            for track in member.tracks.iter().filter(|track| track.active && kind_of(track.source) == kind) {
                let key = track.key(*peer);
                let silent = member.refusal(track.source, track.muted).is_some();
                let placed = receiver.slots.iter().any(|slot| slot.assigned == Some(key));
                let no_screen = track.source != Source::Screen;
                let rank = (silent, no_screen, !track.speaker.is_speaking(), Reverse(track.speaker.loud_at()), !placed);
                ranked.push((rank, key));
            }
        }
        ranked.sort();
        ranked.into_iter().map(|(_, key)| key).collect()
    }

    /// Who takes packets of which track, looked up once per change instead of once per packet.
    fn link_viewers(&mut self) {
        let mut viewers: HashMap<SourceKey, Vec<(PeerId, usize)>> = HashMap::new();
        for (peer, member) in self.members.iter().filter(|(_, member)| member.receives()) {
            for (index, slot) in member.slots.iter().enumerate() {
                let sources: BTreeSet<SourceKey> = slot.assigned.into_iter().chain(slot.shown).collect();
                for source in sources {
                    viewers.entry(source).or_default().push((*peer, index));
                }
            }
        }
        for (peer, member) in &mut self.members {
            for track in &mut member.tracks {
                track.viewers = viewers.remove(&track.key(*peer)).unwrap_or_default();
            }
        }
    }

    fn send_map(&mut self, viewer: PeerId) {
        if let Some(member) = self.members.get_mut(&viewer) {
            member.epoch += 1;
        }
        let map = self.map(viewer);
        self.effects.push(Effect::SendMap(viewer, map));
    }

    fn event(&mut self, participation: ParticipationId, kind: ChannelEventKind) {
        self.effects.push(Effect::Event(ChannelEvent { channel: self.id.clone(), participation, kind }));
    }
}

impl Standing {
    fn apply(&self, member: &mut Member) {
        member.waiting &= !self.admitted;
        member.rights = self.rights.unwrap_or(member.rights);
        for track in &mut member.tracks {
            track.muted = self.muted.contains(&track.source);
        }
    }
}

impl Member {
    /// Why its time is over.
    fn overdue(&mut self, rules: &Rules, now: Instant) -> Option<LeftReason> {
        let past = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        match self.connection {
            Connection::Connecting { since } => past(since, rules.join_timeout).then_some(LeftReason::Failed),
            Connection::Connected { heard_at, .. } => past(heard_at, rules.gone_after).then_some(LeftReason::TimedOut),
        }
    }
}
