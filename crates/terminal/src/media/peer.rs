//! A media connection without I/O: datagrams, commands and time go in, datagrams and events are polled.
//!
//! ```text
//!   new ─► JoinRequest ─► join endpoint ─► JoinAnswer ─► handle_answer ─► ICE, DTLS ─► Connected
//!                                                       handle_admitted ─► plays its clip, expects pictures
//! ```
//! It offers once, for the whole stay: microphone, camera, screen, the receive slots of its profile, and the data
//! channel `slots`. Until it is admitted *and* connected it sends no media. It is the DTLS client, so the server's
//! order of ciphers counts.
//!
//! Contract: after each call of a `handle_` and of `close`, take all of [`MediaPeer::poll_datagram`] and
//! [`MediaPeer::poll_event`], then wait until [`MediaPeer::poll_timeout`] at most.

use crate::media::cipher;
use crate::media::clip::Clip;
use crate::media::lines::{self, MediaLines};
use crate::media::receiver::{FirstFrame, Packet, ReceivedFrame, Receiver, Senders, SourceKey};
use crate::media::report::MediaReport;
use crate::media::sender::Sender;
use signalling::join::SLOTS_CHANNEL;
use signalling::{JoinAnswer, JoinRequest, Profile, SlotMap, Track};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::media::KeyframeRequestKind;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

/// Without a datagram for this long the connection is doubtful…
const QUIET_AFTER: Duration = Duration::from_millis(1500);
/// … and for this long it is lost.
const LOST_AFTER: Duration = Duration::from_secs(4);
/// How often the path is checked when nothing else is sent; well below [`QUIET_AFTER`].
const PATH_CHECK: Duration = Duration::from_millis(700);
/// From the answer to the end of ICE and DTLS.
const CONNECT_MAX: Duration = Duration::from_secs(8);
const NO_ANSWER: &str = "media could not connect: no answer from the media port";

#[derive(Clone, Debug)]
pub enum PeerEvent {
    /// ICE and DTLS are done.
    Connected { cipher: &'static str },
    /// No datagram has arrived for a while; the server may have restarted.
    Quiet,
    /// Datagrams arrive again.
    Resumed,
    /// The connection is over; nothing comes after this.
    Lost(&'static str),
    /// The first whole frame of a source.
    FirstFrame { source: SourceKey, first: FirstFrame },
    /// Any whole frame, if asked for by [`MediaPeer::report_frames`].
    Frame(ReceivedFrame),
}

/// Why an answer of the join endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the answer of the join door is no SDP: {0}")]
    Sdp(#[from] str0m::error::SdpError),
    #[error("the answer of the join door does not fit the offer: {0}")]
    Rtc(#[from] str0m::RtcError),
    #[error("the local address {0} is no candidate: {1}")]
    Candidate(SocketAddr, String),
    #[error("an answer was accepted before")]
    Again,
}

pub struct MediaPeer {
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    lines: MediaLines,
    local: Option<SocketAddr>,
    sender: Sender,
    receiver: Receiver,
    slots_channel: Option<ChannelId>,
    started: Option<Instant>,
    heard: Option<Instant>,
    connected: bool,
    admitted: bool,
    quiet: bool,
    over: bool,
    cipher: Option<&'static str>,
    wants_frames: bool,
    rtc_deadline: Instant,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<PeerEvent>,
}

impl MediaPeer {
    /// Creates the one offer. `first_sequence` may be random, it is below 65,536 so that the receiver's rollover counter
    /// starts right.
    ///
    /// # Errors
    /// Never for a new connection; what the media stack reports if it does.
    pub fn new(
        profile: Profile,
        clip: Arc<Clip>,
        first_sequence: u16,
        now: Instant,
    ) -> Result<(Self, JoinRequest), str0m::RtcError> {
        let mut rtc = build(now);
        let (offer, pending, lines) = lines::offer(&mut rtc, profile)?;
        let request = JoinRequest { sdp: offer, profile, purposes: lines.purposes() };
        let mut peer = Self {
            sender: Sender::new(clip, &lines, first_sequence),
            receiver: Receiver::new(lines.slots()),
            rtc,
            pending: Some(pending),
            lines,
            local: None,
            slots_channel: None,
            started: None,
            heard: None,
            connected: false,
            admitted: false,
            quiet: false,
            over: false,
            cipher: None,
            wants_frames: false,
            rtc_deadline: now,
            datagrams: VecDeque::new(),
            events: VecDeque::new(),
        };
        peer.drain(now);
        Ok((peer, request))
    }

    /// Takes the answer of the join endpoint; `local` is the address of the socket that sends and receives.
    ///
    /// # Errors
    /// An answer that does not fit; the peer is of no use then.
    pub fn handle_answer(&mut self, answer: &JoinAnswer, local: SocketAddr, now: Instant) -> Result<(), AnswerError> {
        let pending = self.pending.take().ok_or(AnswerError::Again)?;
        let sdp = SdpAnswer::from_sdp_string(&answer.sdp)?;
        self.rtc.sdp_api().accept_answer(pending, sdp)?;
        self.drain(now);
        let candidate =
            Candidate::host(local, "udp").map_err(|error| AnswerError::Candidate(local, error.to_string()))?;
        self.rtc.add_local_candidate(candidate);
        self.local = Some(local);
        self.started = Some(now);
        self.receiver.handle_slots(&answer.slots, now);
        self.handle_timeout(now);
        Ok(())
    }

    /// The accept was decided: media may flow.
    pub fn handle_admitted(&mut self, now: Instant) {
        if !self.admitted {
            self.admitted = true;
            self.receiver.handle_admitted(now);
            self.handle_timeout(now);
        }
    }

    pub fn set_muted(&mut self, track: Track, muted: bool) {
        self.sender.playback.set_muted(track, muted);
    }

    pub fn set_senders(&mut self, senders: Senders) {
        self.receiver.set_senders(senders);
    }

    /// Reports every whole frame as an event from now on.
    pub fn report_frames(&mut self) {
        self.wants_frames = true;
    }

    pub fn handle_datagram(&mut self, source: SocketAddr, bytes: &[u8], now: Instant) {
        let Some(local) = self.local.filter(|_| !self.over) else { return };
        let Ok(contents) = bytes.try_into() else { return };
        let input = Input::Receive(now, Receive { proto: Protocol::Udp, source, destination: local, contents });
        if !self.rtc.accepts(&input) {
            return;
        }
        self.heard = Some(now);
        if std::mem::take(&mut self.quiet) {
            self.events.push_back(PeerEvent::Resumed);
        }
        self.input(input);
        self.drain(now);
        self.ask_for_key_frames(now);
    }

    /// Call at [`MediaPeer::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.over {
            return;
        }
        self.check_silence(now);
        if self.admitted && self.connected {
            self.sender.write_due(&mut self.rtc, now);
        }
        self.input(Input::Timeout(now));
        self.drain(now);
        self.ask_for_key_frames(now);
    }

    /// Closes the connection; the datagrams that tell the server must still be polled.
    pub fn close(&mut self, now: Instant) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        // Refused while SCTP is not up: then DTLS alone says it.
        cipher::request_close(self.rtc.close().is_err());
        self.input(Input::Timeout(now));
        self.drain(now);
        cipher::request_close(false);
    }

    pub fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.datagrams.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    pub fn poll_timeout(&self, now: Instant) -> Instant {
        let sending = self.sender.playback.poll_timeout().filter(|_| self.admitted && self.connected);
        let silence = self.silence_deadline();
        [sending, silence, self.receiver.poll_timeout(now)].into_iter().flatten().fold(self.rtc_deadline, Instant::min)
    }

    pub fn report(&self, now: Instant) -> MediaReport {
        MediaReport {
            connected: self.connected && !self.over,
            admitted: self.admitted,
            cipher: self.cipher.map(str::to_owned),
            sent: self.sender.report,
            received: self.receiver.report(now),
            unassigned_packets: self.receiver.unassigned_packets,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        if self.rtc.handle_input(input).is_err() {
            self.lose("the media stack refused an input");
        }
    }

    /// Polls the media stack until it has nothing left; to be called after each change of it.
    fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.rtc_deadline = at;
                    break;
                }
                Ok(Output::Transmit(datagram)) => {
                    self.datagrams.push_back((datagram.destination, datagram.contents.to_vec()));
                }
                Ok(Output::Event(event)) => self.handle_event(event, now),
                Err(_) => {
                    self.lose("the media stack failed");
                    break;
                }
            }
        }
        self.cipher = cipher::take_cipher().or(self.cipher);
        self.give_received(now);
    }

    fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.handle_connected(now),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.lose(if self.connected { "no network path" } else { NO_ANSWER });
            }
            Event::Closed => self.lose("closed by the server"),
            Event::ChannelOpen(id, label) if label == SLOTS_CHANNEL => self.slots_channel = Some(id),
            Event::ChannelData(data) if Some(data.id) == self.slots_channel => {
                if let Ok(map) = serde_json::from_slice::<SlotMap>(&data.data) {
                    self.receiver.handle_slots(&map, now);
                }
            }
            Event::KeyframeRequest(request) if request.mid == self.lines.camera => {
                self.sender.handle_key_frame_request();
            }
            Event::RtpPacket(packet) => self.handle_packet(packet, now),
            _ => {}
        }
    }

    fn handle_connected(&mut self, now: Instant) {
        self.connected = true;
        self.heard = Some(now);
        self.cipher = cipher::take_cipher().or(self.cipher);
        self.sender.playback.start(now);
        self.events.push_back(PeerEvent::Connected { cipher: self.cipher.unwrap_or("unknown") });
    }

    fn handle_packet(&mut self, packet: RtpPacket, now: Instant) {
        let mid = self.rtc.direct_api().stream_rx(&packet.header.ssrc).map(|stream| stream.mid());
        let Some(mid) = mid.filter(|_| !packet.payload.is_empty()) else { return };
        let received = Packet { payload: packet.payload, rtp_time: packet.time.numer(), marker: packet.header.marker };
        self.receiver.handle_packet(&mid.to_string(), *packet.seq_no, received, now);
    }

    fn give_received(&mut self, now: Instant) {
        while let Some(received) = self.receiver.poll_frame(now) {
            if let Some(first) = received.first {
                self.events.push_back(PeerEvent::FirstFrame { source: received.source, first });
            }
            if self.wants_frames {
                self.events.push_back(PeerEvent::Frame(received));
            }
        }
    }

    fn ask_for_key_frames(&mut self, now: Instant) {
        if !self.connected || self.over {
            return;
        }
        for mid in self.receiver.poll_key_frame_requests(now) {
            if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid.as_str().into(), None) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
                self.drain(now);
            }
        }
    }

    fn check_silence(&mut self, now: Instant) {
        let Some(at) = self.silence_deadline().filter(|at| *at <= now) else { return };
        match (self.connected, self.quiet) {
            (false, _) => self.lose(NO_ANSWER),
            (true, true) => self.lose("nothing heard from the server"),
            (true, false) => {
                self.quiet = true;
                tracing::debug!(silent_ms = now.duration_since(at).as_millis() as u64, "media is quiet");
                self.events.push_back(PeerEvent::Quiet);
            }
        }
    }

    fn silence_deadline(&self) -> Option<Instant> {
        match (self.connected, self.quiet) {
            (false, _) => self.started.map(|at| at + CONNECT_MAX),
            (true, false) => self.heard.map(|at| at + QUIET_AFTER),
            (true, true) => self.heard.map(|at| at + LOST_AFTER),
        }
    }

    fn lose(&mut self, why: &'static str) {
        if !std::mem::replace(&mut self.over, true) {
            self.events.push_back(PeerEvent::Lost(why));
        }
    }
}

fn build(now: Instant) -> Rtc {
    let mut config = Rtc::builder()
        .set_crypto_provider(cipher::provider())
        .clear_codecs()
        .enable_opus(true, false)
        .enable_vp8(true)
        .set_rtp_mode(true);
    config.set_max_stun_rto(PATH_CHECK);
    config.build(now)
}
