//! One participant of a channel: a participation with its connection, what it sends, and what it may do.

use super::key_frame_requests::KeyFrameRequests;
use super::slots::Slot;
use super::speech::SpeechDetector;
use super::{PeerId, SourceKey};
use crate::metrics::DropReason;
use crate::offer::{MediaKind, MediaPlan};
use signalling::{
    Admission, DesiredParticipation, JoinClaims, ParticipationId, Rights, Source, SourceTraffic, Sources, UserName,
};
use std::time::{Duration, Instant};

/// A source without packets for so long leaves its slots (a camera that was switched off).
pub(super) const SOURCE_IDLE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Participant {
    pub(super) participation: ParticipationId,
    pub(super) user: UserName,
    pub(super) client: String,
    rights: Rights,
    muted: Sources,
    waiting: bool,
    pub(super) connection: Connection,
    pub(super) tracks: Vec<Track>,
    pub(super) slots: Vec<Slot>,
    pub(super) epoch: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Connection {
    /// ICE and DTLS are not done.
    Connecting { since: Instant },
    Connected {
        cipher: &'static str,
        heard_at: Instant,
        lost: bool,
        /// A probe was sent since.
        probed: bool,
    },
}

/// One source that the participant may send.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) source: Source,
    /// Packets come in, admitted or not.
    pub(super) active: bool,
    pub(super) last_packet_at: Option<Instant>,
    /// Rises whenever packets were dropped on purpose.
    pub(super) run: u32,
    interrupted: bool,
    pub(super) key_frame_requests: KeyFrameRequests,
    pub(super) speech: SpeechDetector,
    pub(super) traffic: SourceTraffic,
    /// Slots that packets may end up in, as (participant, index of slot).
    pub(super) viewers: Vec<(PeerId, usize)>,
}

impl Participant {
    pub(super) fn new(
        claims: &JoinClaims,
        wish: &DesiredParticipation,
        plan: &MediaPlan,
        seed: u64,
        now: Instant,
    ) -> Self {
        let slot = |(index, (kind, mid)): (u64, &(MediaKind, String))| {
            // Another odd multiplier would do: slots only must not all start at the same numbers.
            Slot::new(mid.clone(), *kind, seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        };
        Self {
            participation: claims.participation,
            user: claims.user.clone(),
            client: claims.client.clone(),
            rights: wish.rights,
            muted: wish.muted,
            waiting: wish.admission == Admission::Waiting,
            connection: Connection::Connecting { since: now },
            tracks: plan.sources.iter().map(|(source, _)| Track::new(*source)).collect(),
            slots: (0..).zip(&plan.slots).map(slot).collect(),
            epoch: 1,
        }
    }

    pub(super) fn apply(&mut self, wish: &DesiredParticipation) {
        self.rights = wish.rights;
        self.muted = wish.muted;
        self.waiting = wish.admission == Admission::Waiting;
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.connection, Connection::Connected { .. })
    }

    /// Whether media may flow to it.
    pub(super) fn receives(&self) -> bool {
        !self.waiting && self.rights.receive
    }

    /// Whether media may flow from it, as far as the participant as a whole is concerned.
    pub(super) fn sends(&self) -> bool {
        !self.waiting && self.is_connected()
    }

    pub(super) fn track(&self, source: Source) -> Option<&Track> {
        self.tracks.iter().find(|track| track.source == source)
    }

    pub(super) fn track_mut(&mut self, source: Source) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|track| track.source == source)
    }

    /// Why packets of a source are not forwarded, whatever the terminal sends.
    pub(super) fn refusal(&self, source: Source) -> Option<DropReason> {
        if self.waiting {
            Some(DropReason::Waiting)
        } else if !self.rights.send.contains(source) {
            Some(DropReason::NoRight)
        } else if self.muted.contains(source) {
            Some(DropReason::Muted)
        } else {
            None
        }
    }

    pub(super) fn describe(&self, peer: PeerId) -> signalling::Participant {
        let cipher = match self.connection {
            Connection::Connected { cipher, .. } => Some(cipher.to_owned()),
            Connection::Connecting { .. } => None,
        };
        signalling::Participant {
            participation: self.participation,
            connection: peer.0,
            user: self.user.clone(),
            waiting: self.waiting,
            connected: matches!(self.connection, Connection::Connected { lost: false, .. }),
            publishing: self.tracks.iter().filter(|track| track.active).map(|track| track.source).collect(),
            cipher,
            traffic: self.tracks.iter().map(|track| track.traffic).collect(),
        }
    }
}

impl Track {
    fn new(source: Source) -> Self {
        let traffic = SourceTraffic {
            source,
            received: 0,
            forwarded: 0,
            dropped_muted: 0,
            dropped_blocked: 0,
            dropped_waiting: 0,
        };
        Self {
            source,
            active: false,
            last_packet_at: None,
            run: 0,
            interrupted: false,
            key_frame_requests: KeyFrameRequests::default(),
            speech: SpeechDetector::default(),
            traffic,
            viewers: Vec::new(),
        }
    }

    pub(super) fn key(&self, peer: PeerId) -> SourceKey {
        SourceKey { peer, source: self.source }
    }

    /// No packet has come in on this connection.
    pub(super) fn is_fresh(&self) -> bool {
        self.traffic.received == 0
    }

    /// A packet came in; `true` when the source begins with it.
    pub(super) fn handle_packet(&mut self, now: Instant) -> bool {
        self.traffic.received += 1;
        self.last_packet_at = Some(now);
        !std::mem::replace(&mut self.active, true)
    }

    pub(super) fn record_drop(&mut self, reason: DropReason) {
        self.interrupted = true;
        match reason {
            DropReason::Muted => self.traffic.dropped_muted += 1,
            DropReason::NoRight => self.traffic.dropped_blocked += 1,
            _ => self.traffic.dropped_waiting += 1,
        }
    }

    /// The run that the present packet belongs to.
    pub(super) fn continue_run(&mut self) -> u32 {
        if std::mem::take(&mut self.interrupted) {
            self.run = self.run.wrapping_add(1);
        }
        self.run
    }

    /// `true` when the source has just become idle.
    pub(super) fn poll_idle(&mut self, now: Instant) -> bool {
        let recent = self.last_packet_at.is_some_and(|at| now.saturating_duration_since(at) < SOURCE_IDLE);
        !recent && std::mem::replace(&mut self.active, false)
    }
}
