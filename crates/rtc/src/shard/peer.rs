//! One peer connection: what goes into the media stack, and what comes out of it.
//!
//! Contract: after each input the stack is drained before the next (several media writes count as one input, ended by
//! [`Peer::flush`]). An error or a panic inside ends this peer and no other.

use super::socket::Egress;
use crate::channel::{ParsedPacket, SlotWrite};
use crate::crypto;
use crate::negotiator::{Negotiated, NegotiatedMedia, mid_of};
use crate::offer::{MediaKind, kind_of};
use crate::owner::ChannelKey;
use signalling::join::SLOTS_CHANNEL;
use signalling::{SlotMap, Source};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use str0m::channel::ChannelId as DataChannelId;
use str0m::media::{KeyframeRequestKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Ssrc, Vp8Descriptor};
use str0m::{Event, Input, Output, Rtc, RtcError};

/// SSRCs that a peer may send from (two per source are usual): the stack remembers each of them.
const SSRCS_MAX: usize = 256;
/// Addresses of the terminal that are remembered, each with the server's address that it reached.
const LOCAL_IPS_MAX: usize = 64;

pub(super) struct Peer {
    rtc: Rtc,
    /// Shared, since every packet asks for it.
    pub(super) channel: Arc<ChannelKey>,
    pub(super) ufrag: String,
    media: NegotiatedMedia,
    slot_mids: Vec<Mid>,
    source_by_ssrc: HashMap<Ssrc, Source>,
    /// All that authenticated packets came from, also those of retransmissions.
    ssrcs: HashSet<u32>,
    /// The data channel of slot maps, once the terminal has opened it.
    slots_channel: Option<DataChannelId>,
    /// The newest map, if it could not be written yet.
    pending_map: Option<SlotMap>,
    /// The server's address by destination: answers leave from the address that was asked.
    local_ip: HashMap<SocketAddr, IpAddr>,
    /// When the stack wants to be called next.
    pub(super) deadline: Instant,
    unflushed: bool,
    /// The negotiated SRTP profile.
    cipher: Option<&'static str>,
}

/// What a peer's stack reports.
pub(super) enum PeerEvent {
    Connected {
        cipher: &'static str,
    },
    /// Connected without SRTP, though it offered media.
    Unprotected,
    Media(Box<MediaPacket>),
    KeyFrameWanted {
        slot: usize,
    },
    /// The data channel of slot maps is open, or has room again.
    SlotsChannelReady,
    Quality {
        loss_permille: u16,
        rtt_ms: Option<u32>,
    },
    Unannounced,
    Closed,
}

/// A media packet that came in, with all that its copies share.
pub(super) struct MediaPacket {
    pub(super) source: Source,
    pub(super) parsed: ParsedPacket,
    pub(super) marker: bool,
    payload: Arc<[u8]>,
    vp8: Option<Vp8Descriptor>,
    extensions: ExtensionValues,
}

/// The peer cannot go on and must be ended.
#[derive(Debug)]
pub(super) struct PeerFailed;

/// Where a peer's output goes: datagrams to the socket, the rest to the shard.
pub(super) struct PeerOutput<'a> {
    pub(super) socket: &'a mut Egress,
    pub(super) events: &'a mut Vec<PeerEvent>,
}

impl Peer {
    pub(super) fn new(channel: Arc<ChannelKey>, negotiated: Negotiated, now: Instant) -> Self {
        let Negotiated { rtc, ice, media, .. } = negotiated;
        let slot_mids = media.plan.slots.iter().map(|(_, mid)| mid_of(mid)).collect();
        Self {
            rtc,
            channel,
            ufrag: ice.ufrag,
            media,
            slot_mids,
            source_by_ssrc: HashMap::new(),
            ssrcs: HashSet::new(),
            slots_channel: None,
            pending_map: None,
            local_ip: HashMap::new(),
            deadline: now,
            unflushed: false,
            cipher: None,
        }
    }

    /// A datagram came in from a route of the peer.
    pub(super) fn handle_datagram(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        now: Instant,
        output: &mut PeerOutput<'_>,
    ) -> Result<(), PeerFailed> {
        self.flush(now, output)?;
        self.catch_failure(|peer| {
            // What the stack's parser does not know is dropped.
            let Ok(receive) = Receive::new(Protocol::Udp, source, destination, bytes) else { return Ok(()) };
            peer.rtc.handle_input(Input::Receive(now, receive))?;
            peer.drain(output)
        })?;
        self.count_ssrc(bytes)
    }

    fn count_ssrc(&mut self, datagram: &[u8]) -> Result<(), PeerFailed> {
        if let Some(ssrc) = rtp_ssrc(datagram).filter(|_| crypto::is_authenticated()) {
            self.ssrcs.insert(ssrc);
        }
        if self.ssrcs.len() <= SSRCS_MAX {
            return Ok(());
        }
        tracing::debug!("a peer ended because it sent from too many SSRCs");
        Err(PeerFailed)
    }

    /// Answers to `destination` leave from this address of the server.
    pub(super) fn remember_local_ip(&mut self, destination: SocketAddr, local_ip: Option<IpAddr>) {
        if self.local_ip.len() >= LOCAL_IPS_MAX {
            self.local_ip.clear();
        }
        if let Some(ip) = local_ip {
            self.local_ip.insert(destination, ip);
        }
    }

    /// The time that the stack asked for has come.
    pub(super) fn handle_timeout(&mut self, now: Instant, output: &mut PeerOutput<'_>) -> Result<(), PeerFailed> {
        self.unflushed = true;
        self.flush(now, output)
    }

    /// Queues a copy for a slot; leaves with [`Self::flush`]. `false`: the slot has no stream.
    pub(super) fn write(&mut self, write: &SlotWrite, media: &MediaPacket, now: Instant) -> Result<bool, PeerFailed> {
        self.catch_failure(|peer| {
            let kind = kind_of(media.source);
            let (Some(mid), Some(pt)) = (peer.slot_mids.get(write.slot).copied(), peer.payload_type(kind)) else {
                return Ok(false);
            };
            let mut api = peer.rtc.direct_api();
            let Some(stream) = api.stream_tx_by_mid(mid, None) else { return Ok(false) };
            stream.write_rtp(media.copy(write, pt, now));
            peer.unflushed = true;
            Ok(true)
        })
    }

    /// Sends what was written.
    pub(super) fn flush(&mut self, now: Instant, output: &mut PeerOutput<'_>) -> Result<(), PeerFailed> {
        if !std::mem::take(&mut self.unflushed) {
            return Ok(());
        }
        self.catch_failure(|peer| {
            peer.rtc.handle_input(Input::Timeout(now))?;
            peer.drain(output)
        })
    }

    pub(super) fn request_key_frame(
        &mut self,
        source: Source,
        now: Instant,
        output: &mut PeerOutput<'_>,
    ) -> Result<(), PeerFailed> {
        self.flush(now, output)?;
        let plan = self.media.plan.sources.iter().find(|(of, _)| *of == source);
        let Some(mid) = plan.map(|(_, mid)| mid_of(mid)) else { return Ok(()) };
        self.catch_failure(|peer| {
            if let Some(stream) = peer.rtc.direct_api().stream_rx_by_mid(mid, None) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
            Ok(())
        })?;
        self.handle_timeout(now, output)
    }

    /// Sends a map, or keeps it until the data channel takes it; an older one that waits is superseded.
    pub(super) fn send_map(
        &mut self,
        map: SlotMap,
        now: Instant,
        output: &mut PeerOutput<'_>,
    ) -> Result<(), PeerFailed> {
        self.pending_map = Some(map);
        self.send_pending_map(now, output)
    }

    fn send_pending_map(&mut self, now: Instant, output: &mut PeerOutput<'_>) -> Result<(), PeerFailed> {
        let (Some(id), Some(map)) = (self.slots_channel, &self.pending_map) else { return Ok(()) };
        let text = serde_json::to_vec(map).map_err(|_| PeerFailed)?;
        self.flush(now, output)?;
        let taken = self.catch_failure(|peer| match peer.rtc.channel(id) {
            Some(mut channel) => channel.write(false, &text),
            None => Ok(false),
        })?;
        if taken {
            self.pending_map = None;
        }
        self.handle_timeout(now, output)
    }

    /// Closes the connection (RTCP BYE, DTLS close_notify); the peer is dropped after it.
    pub(super) fn close(&mut self, now: Instant, output: &mut PeerOutput<'_>) {
        let closed = self.flush(now, output).and_then(|()| {
            self.catch_failure(|peer| {
                peer.rtc.close()?;
                peer.rtc.handle_input(Input::Timeout(now))?;
                peer.drain(output)
            })
        });
        if closed.is_err() {
            tracing::debug!("a peer ended without closing its connection");
        }
    }

    fn payload_type(&self, kind: MediaKind) -> Option<Pt> {
        match kind {
            MediaKind::Audio => self.media.opus,
            MediaKind::Video => self.media.vp8,
        }
    }

    fn catch_failure<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, RtcError>) -> Result<T, PeerFailed> {
        match catch_unwind(AssertUnwindSafe(|| step(self))) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a peer ended by its own error");
                Err(PeerFailed)
            }
            Err(_) => {
                tracing::error!("the media stack panicked; its peer is ended");
                Err(PeerFailed)
            }
        }
    }

    fn drain(&mut self, output: &mut PeerOutput<'_>) -> Result<(), RtcError> {
        loop {
            let polled = self.rtc.poll_output()?;
            self.cipher = crypto::take_cipher().or(self.cipher);
            match polled {
                Output::Timeout(at) => {
                    self.deadline = at;
                    return Ok(());
                }
                Output::Transmit(out) => {
                    let from = self.local_ip.get(&out.destination).copied();
                    output.socket.send(out.destination, from, &out.contents);
                }
                Output::Event(event) => output.events.extend(self.translate(event)),
            }
        }
    }

    fn translate(&mut self, event: Event) -> Option<PeerEvent> {
        match event {
            Event::Connected => Some(self.connected()),
            Event::RtpPacket(packet) => Some(self.media(packet)),
            Event::KeyframeRequest(request) => {
                let slot = self.slot_mids.iter().position(|mid| *mid == request.mid)?;
                Some(PeerEvent::KeyFrameWanted { slot })
            }
            Event::ChannelOpen(id, label) if label == SLOTS_CHANNEL => {
                self.slots_channel = Some(id);
                Some(PeerEvent::SlotsChannelReady)
            }
            Event::ChannelBufferedAmountLow(_) => self.pending_map.is_some().then_some(PeerEvent::SlotsChannelReady),
            Event::ChannelClose(id) => {
                self.slots_channel = self.slots_channel.filter(|open| *open != id);
                None
            }
            Event::PeerStats(stats) => Some(PeerEvent::Quality {
                loss_permille: permille(stats.egress_loss_fraction, stats.ingress_loss_fraction),
                rtt_ms: stats.rtt.and_then(|rtt| u32::try_from(rtt.as_millis()).ok()),
            }),
            Event::Closed => Some(PeerEvent::Closed),
            _ => None,
        }
    }

    fn connected(&self) -> PeerEvent {
        match self.cipher {
            Some(cipher) => PeerEvent::Connected { cipher },
            None if self.media.plan.is_empty() => PeerEvent::Connected { cipher: crypto::NO_CIPHER },
            None => PeerEvent::Unprotected,
        }
    }

    fn media(&mut self, packet: RtpPacket) -> PeerEvent {
        let Some(source) = self.source_of(packet.header.ssrc) else { return PeerEvent::Unannounced };
        if self.payload_type(kind_of(source)) != Some(packet.header.payload_type) {
            return PeerEvent::Unannounced;
        }
        MediaPacket::read(source, packet).map_or(PeerEvent::Unannounced, |media| PeerEvent::Media(Box::new(media)))
    }

    fn source_of(&mut self, ssrc: Ssrc) -> Option<Source> {
        if let Some(known) = self.source_by_ssrc.get(&ssrc) {
            return Some(*known);
        }
        let mid = self.rtc.direct_api().stream_rx(&ssrc)?.mid();
        let source = self.media.plan.sources.iter().find(|(_, of)| mid_of(of) == mid)?.0;
        self.source_by_ssrc.insert(ssrc, source);
        Some(source)
    }
}

impl MediaPacket {
    /// `None`: a video payload without a whole VP8 descriptor.
    fn read(source: Source, packet: RtpPacket) -> Option<Self> {
        let (seq, time) = (*packet.seq_no, packet.header.timestamp);
        let from = packet.header.ext_vals;
        let (parsed, vp8) = match kind_of(source) {
            MediaKind::Audio => (ParsedPacket::opus(seq, time, from.audio_level), None),
            MediaKind::Video => {
                let (parsed, descriptor) = ParsedPacket::vp8(seq, time, &packet.payload)?;
                (parsed, Some(descriptor))
            }
        };
        let extensions = ExtensionValues {
            audio_level: from.audio_level,
            // The stack writes the level only with the voice bit.
            voice_activity: from.audio_level.map(|_| true),
            video_orientation: from.video_orientation,
            ..ExtensionValues::default()
        };
        Some(Self { source, parsed, marker: packet.header.marker, payload: packet.payload, vp8, extensions })
    }

    fn copy(&self, write: &SlotWrite, pt: Pt, now: Instant) -> RtpWrite {
        let copy = RtpWrite::new(pt, write.seq.into(), write.time, now, self.payload.clone())
            .marker(self.marker)
            .ext_vals(self.extensions.clone())
            .nackable(self.vp8.is_some());
        let patch = self.vp8.and_then(|descriptor| {
            let patch = descriptor.patch();
            let patch = write.picture.map_or(patch, |id| patch.picture_id(id));
            write.tl0.map_or(patch, |tl0| patch.tl0_pic_idx(tl0)).build().ok()
        });
        match patch {
            Some(patch) => copy.vp8_patch(patch),
            None => copy,
        }
    }
}

/// The SSRC of an RTP packet (RFC 3550 §5.1); RTCP is told apart by its packet types (RFC 5761 §4).
fn rtp_ssrc(datagram: &[u8]) -> Option<u32> {
    let is_rtp = matches!(datagram, [128..=191, kind, ..] if !(192..=223).contains(kind));
    let ssrc = datagram.get(8..12).filter(|_| is_rtp)?;
    Some(u32::from_be_bytes(ssrc.try_into().ok()?))
}

/// The worse of both directions.
fn permille(egress: Option<f32>, ingress: Option<f32>) -> u16 {
    let worst = egress.unwrap_or(0.0).max(ingress.unwrap_or(0.0));
    (worst.clamp(0.0, 1.0) * 1000.0) as u16
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use crate::negotiator::Negotiator;
    use crate::offer::{self, MediaPlan};
    use crate::owner::Owner;
    use signalling::{ChannelId, Profile, Purpose};
    use str0m::media::{Direction, MediaKind as Kind};

    /// It has offered one microphone.
    fn peer() -> Peer {
        let mut terminal = Rtc::new(Instant::now());
        let mut changes = terminal.sdp_api();
        let mid = changes.add_media(Kind::Audio, Direction::SendOnly, None, None, None).to_string();
        let sdp = changes.apply().unwrap().0.to_sdp_string();
        let purposes = [(mid, Purpose::Microphone)].into();
        let plan = offer::read(&sdp, sdp.len(), 8).unwrap().plan(Profile::Call, &purposes).unwrap();
        let negotiator = Negotiator::new(vec![([127, 0, 0, 1], 7700).into()]).unwrap();
        let negotiated = negotiator.answer(&sdp, plan, 0).ok().unwrap();
        let key = ChannelKey { owner: Owner::default(), channel: ChannelId::from("c") };
        Peer::new(Arc::new(key), negotiated, Instant::now())
    }

    #[test]
    fn a_peer_whose_handshake_brought_no_srtp_is_not_taken_as_joined_if_it_offered_media() {
        let mut peer = peer();
        assert!(matches!(peer.translate(Event::Connected), Some(PeerEvent::Unprotected)));
        peer.cipher = Some("AEAD_AES_128_GCM");
        let connected = peer.translate(Event::Connected);
        assert!(matches!(connected, Some(PeerEvent::Connected { cipher: "AEAD_AES_128_GCM" })));
        (peer.cipher, peer.media.plan) = (None, MediaPlan::default());
        let connected = peer.translate(Event::Connected);
        assert!(matches!(connected, Some(PeerEvent::Connected { cipher: crypto::NO_CIPHER })));
    }
}
