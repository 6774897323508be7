//! A second media stack that plays the server: it answers the offer and sends everything it gets back into the slots.

use signalling::{JoinAnswer, JoinRequest, ParticipationId, Purpose, Slot, SlotMap, Source};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;
use str0m::change::SdpOffer;
use str0m::channel::ChannelId;
use str0m::media::{KeyframeRequestKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};

pub(crate) struct Mirror {
    rtc: Rtc,
    local: SocketAddr,
    slot_by_source: HashMap<Mid, Mid>,
    channel: Option<ChannelId>,
    pub(crate) deadline: Instant,
    pub(crate) datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub(crate) packets_from: HashMap<Source, u64>,
    source_by_mid: HashMap<Mid, Source>,
}

impl Mirror {
    /// Answers the offer; what comes from microphone and camera is shown as `participation`'s.
    pub(crate) fn answer(
        request: &JoinRequest,
        local: SocketAddr,
        participation: ParticipationId,
        now: Instant,
    ) -> (Self, JoinAnswer) {
        let mut rtc = Rtc::builder().set_ice_lite(true).set_rtp_mode(true).build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(&request.sdp).unwrap()).unwrap();
        let mid = |purpose: Purpose| request.purposes.iter().find(|(_, p)| **p == purpose).unwrap().0.clone();
        let pairs = [
            (Purpose::Microphone, Purpose::AudioSlot, Source::Microphone),
            (Purpose::Camera, Purpose::VideoSlot, Source::Camera),
        ];
        let slots = pairs.iter().map(|(_, slot, source)| Slot { mid: mid(*slot), participation, source: *source });
        let slots = SlotMap { epoch: 1, slots: slots.collect() };
        let as_mid = |purpose: Purpose| Mid::from(mid(purpose).as_str());
        let mut mirror = Self {
            rtc,
            local,
            slot_by_source: pairs.iter().map(|(from, to, _)| (as_mid(*from), as_mid(*to))).collect(),
            source_by_mid: pairs.iter().map(|(from, _, source)| (as_mid(*from), *source)).collect(),
            channel: None,
            deadline: now,
            datagrams: Vec::new(),
            packets_from: HashMap::new(),
        };
        mirror.drain(now);
        (mirror, JoinAnswer { sdp: answer.to_sdp_string(), slots })
    }

    pub(crate) fn handle_datagram(&mut self, source: SocketAddr, bytes: &[u8], now: Instant) {
        let contents = bytes.try_into().unwrap();
        let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
        self.rtc.handle_input(Input::Receive(now, receive)).unwrap();
        self.drain(now);
        self.handle_timeout(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.drain(now);
    }

    pub(crate) fn ask_for_key_frame(&mut self, now: Instant) {
        let camera = *self.source_by_mid.iter().find(|(_, source)| **source == Source::Camera).unwrap().0;
        let mut api = self.rtc.direct_api();
        api.stream_rx_by_mid(camera, None).unwrap().request_keyframe(KeyframeRequestKind::Pli);
        self.handle_timeout(now);
    }

    pub(crate) fn send_slots(&mut self, map: &SlotMap, now: Instant) {
        let channel = self.channel.unwrap();
        self.rtc.channel(channel).unwrap().write(false, &serde_json::to_vec(map).unwrap()).unwrap();
        self.handle_timeout(now);
    }

    pub(crate) fn slot_of(&self, source: Source) -> Mid {
        let from = self.source_by_mid.iter().find(|(_, s)| **s == source).unwrap().0;
        self.slot_by_source[from]
    }

    pub(crate) fn channel_is_open(&self) -> bool {
        self.channel.is_some()
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => {
                    self.deadline = at.max(now + std::time::Duration::from_millis(1));
                    return;
                }
                Output::Transmit(datagram) => self.datagrams.push((datagram.destination, datagram.contents.to_vec())),
                Output::Event(Event::ChannelOpen(id, label)) => {
                    assert_eq!(label, "slots");
                    self.channel = Some(id);
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    let mid = self.rtc.direct_api().stream_rx(&packet.header.ssrc).unwrap().mid();
                    *self.packets_from.entry(self.source_by_mid[&mid]).or_default() += 1;
                    let header = packet.header;
                    let write =
                        RtpWrite::new(header.payload_type, packet.seq_no, header.timestamp, now, packet.payload)
                            .marker(header.marker)
                            .nackable(true);
                    let mut api = self.rtc.direct_api();
                    api.stream_tx_by_mid(self.slot_by_source[&mid], None).unwrap().write_rtp(write);
                }
                Output::Event(_) => {}
            }
        }
    }
}
