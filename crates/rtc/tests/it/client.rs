//! A terminal for tests: a str0m peer on its own thread and socket. It sends numbered VP8 and Opus packets when told
//! to, and writes down all that it receives.

use signalling::join::SLOTS_CHANNEL;
use signalling::{JoinAnswer, JoinRequest, Profile, Purpose, SlotMap, Source};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelConfig;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpWrite, Vp8Descriptor};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// Long enough for a busy machine; a wait that succeeds takes no longer than what it waits for.
pub const PATIENCE: Duration = Duration::from_secs(20);
const FRAME: Duration = Duration::from_millis(10);
const PAYLOAD_BYTES: usize = 400;
/// At the end of every payload: who, which frame, when.
const TAIL_BYTES: usize = 13;

/// One media packet as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Got {
    pub seq: u64,
    pub time: u32,
    pub picture: Option<u16>,
    pub key_frame: bool,
    /// Who sent it: the number that the sender's payloads carry.
    pub sender: u8,
    pub frame: u32,
    /// From the writing of the packet to its arrival; both ends are in this process.
    pub delay: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub connected: bool,
    /// The data channel of slot maps is open.
    pub listens: bool,
    pub closed: bool,
    pub maps: Vec<SlotMap>,
    /// Key frame requests that came in.
    pub plis: Vec<Instant>,
    /// Datagrams that were thrown away on purpose.
    pub thrown_away: u64,
    by_mid: BTreeMap<String, Vec<Got>>,
}

impl Seen {
    pub fn on(&self, mid: &str) -> &[Got] {
        self.by_mid.get(mid).map_or(&[], Vec::as_slice)
    }

    pub fn from(&self, sender: u8) -> usize {
        self.by_mid.values().flatten().filter(|got| got.sender == sender).count()
    }

    pub fn total(&self) -> usize {
        self.by_mid.values().map(Vec::len).sum()
    }
}

#[derive(Default)]
struct Watched {
    seen: Mutex<Seen>,
    changed: Condvar,
}

pub enum Order {
    Send(Source, bool),
    /// Key frame requests are heard but not obeyed.
    IgnoreKeyFrameRequests(bool),
    /// One of so many RTP packets that arrive is thrown away; 0: none.
    ThrowAwayOneOf(u64),
    /// DTLS application data that arrives is thrown away, so that SCTP never comes up.
    ThrowAwayData,
    /// Neither reads nor sends, as a frozen process.
    Freeze(bool),
    /// From now on from another port, as after a change of network.
    Move,
    /// Opens so many more data channels, all with the name of the one for slot maps.
    OpenChannels(usize),
    /// Sends so many pictures, each from an SSRC of its own.
    ChangeSsrc(usize),
    /// Bytes as they are, from the terminal's own socket.
    Raw(Vec<u8>),
    Hang(bool),
    Quit,
}

/// What a terminal offers, before it is sent anywhere.
pub struct Offer {
    rtc: Rtc,
    socket: UdpSocket,
    pending: SdpPendingOffer,
    pub request: JoinRequest,
    mids: Vec<(Purpose, Mid)>,
}

pub struct Client {
    orders: Sender<Order>,
    watched: Arc<Watched>,
    pub first_map: SlotMap,
    pub answer_sdp: String,
    mids: Vec<(Purpose, Mid)>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Offer {
    pub fn new(profile: Profile) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut rtc = Rtc::builder()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(Instant::now());
        rtc.add_local_candidate(Candidate::host(socket.local_addr().unwrap(), "udp").unwrap());
        let (video, audio) = profile.slots();
        let mut purposes = vec![Purpose::Microphone, Purpose::Camera, Purpose::Screen];
        purposes.extend(vec![Purpose::AudioSlot; audio]);
        purposes.extend(vec![Purpose::VideoSlot; video]);
        let mut changes = rtc.sdp_api();
        let mids: Vec<(Purpose, Mid)> = purposes
            .into_iter()
            .map(|purpose| {
                let (kind, direction) = match purpose {
                    Purpose::Microphone | Purpose::ScreenAudio => (MediaKind::Audio, Direction::SendOnly),
                    Purpose::AudioSlot => (MediaKind::Audio, Direction::RecvOnly),
                    Purpose::Camera | Purpose::Screen => (MediaKind::Video, Direction::SendOnly),
                    Purpose::VideoSlot => (MediaKind::Video, Direction::RecvOnly),
                };
                (purpose, changes.add_media(kind, direction, None, None, None))
            })
            .collect();
        changes.add_channel(SLOTS_CHANNEL.to_owned());
        let (offer, pending) = changes.apply().unwrap();
        let purposes = mids.iter().map(|(purpose, mid)| (mid.to_string(), *purpose)).collect();
        let request = JoinRequest { sdp: offer.to_sdp_string(), profile, purposes };
        Self { rtc, socket, pending, request, mids }
    }

    /// Takes the join endpoint's answer.
    pub fn go(self, answer: JoinAnswer, number: u8) -> Client {
        self.go_with(answer, number, Vec::new())
    }

    /// Goes on with orders that hold from the first packet.
    pub fn go_with(mut self, answer: JoinAnswer, number: u8, first: Vec<Order>) -> Client {
        let sdp = SdpAnswer::from_sdp_string(&answer.sdp).unwrap();
        self.rtc.sdp_api().accept_answer(self.pending, sdp).unwrap();
        let (orders, inbox) = channel();
        for order in first {
            orders.send(order).unwrap();
        }
        let watched = Arc::new(Watched::default());
        let worker = Worker::new(self.rtc, self.socket, self.mids.clone(), watched.clone(), inbox, number);
        let thread = Some(std::thread::spawn(move || worker.run()));
        let (first_map, answer_sdp) = (answer.slots, answer.sdp);
        Client { orders, watched, first_map, answer_sdp, mids: self.mids, thread }
    }
}

impl Client {
    pub fn order(&self, order: Order) -> &Self {
        self.orders.send(order).unwrap();
        self
    }

    pub fn sends(&self, source: Source) -> &Self {
        self.order(Order::Send(source, true))
    }

    /// Waits until what was seen fits; what was seen then.
    #[track_caller]
    pub fn until(&self, what: &str, fits: impl Fn(&Seen) -> bool) -> Seen {
        let seen = self.watched.seen.lock().unwrap();
        let (seen, waited) = self.watched.changed.wait_timeout_while(seen, PATIENCE, |seen| !fits(seen)).unwrap();
        assert!(!waited.timed_out(), "waited in vain: {what}; maps {:?}, {} packets", seen.maps, seen.total());
        seen.clone()
    }

    pub fn seen(&self) -> Seen {
        self.watched.seen.lock().unwrap().clone()
    }

    /// The mid of the `index`th slot or source of a purpose.
    pub fn mid(&self, purpose: Purpose, index: usize) -> String {
        self.mids.iter().filter(|(of, _)| *of == purpose).nth(index).unwrap().1.to_string()
    }

    pub fn video(&self) -> String {
        self.mid(Purpose::VideoSlot, 0)
    }

    pub fn audio(&self) -> String {
        self.mid(Purpose::AudioSlot, 0)
    }

    /// Waits until so many more packets of a sender have arrived.
    #[track_caller]
    pub fn gets_more_from(&self, sender: u8, count: usize) {
        let before = self.seen().from(sender);
        self.until(&format!("{count} more packets of {sender}"), |seen| seen.from(sender) >= before + count);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A worker that is gone already has nothing to be told.
        let _ = self.orders.send(Order::Quit);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the client's thread had panicked");
        }
    }
}

struct Worker {
    rtc: Rtc,
    socket: UdpSocket,
    inbox: Receiver<Order>,
    watched: Arc<Watched>,
    number: u8,
    mids: Vec<(Purpose, Mid)>,
    sending: BTreeSet<Source>,
    numbers: HashMap<Source, Numbers>,
    next_frame: Instant,
    ignore_requests: bool,
    throw_away_one_of: u64,
    throw_away_data: bool,
    arrived: u64,
    frozen: bool,
    known_addr: SocketAddr,
    server: Option<SocketAddr>,
}

#[derive(Clone, Copy)]
struct Numbers {
    seq: u64,
    frame: u32,
    time: u32,
    key_frame: bool,
}

impl Worker {
    fn new(
        rtc: Rtc,
        socket: UdpSocket,
        mids: Vec<(Purpose, Mid)>,
        watched: Arc<Watched>,
        inbox: Receiver<Order>,
        number: u8,
    ) -> Self {
        let known_addr = socket.local_addr().unwrap();
        Self {
            rtc,
            socket,
            inbox,
            watched,
            number,
            mids,
            sending: BTreeSet::new(),
            numbers: HashMap::new(),
            next_frame: Instant::now(),
            ignore_requests: false,
            throw_away_one_of: 0,
            throw_away_data: false,
            arrived: 0,
            frozen: false,
            known_addr,
            server: None,
        }
    }

    fn run(mut self) {
        let mut buffer = vec![0; 2_000];
        loop {
            while let Ok(order) = self.inbox.try_recv() {
                if !self.obey(order) {
                    return;
                }
            }
            let wait = Duration::from_millis(2);
            self.socket.set_read_timeout(Some(wait)).unwrap();
            let received = self.socket.recv_from(&mut buffer);
            if self.frozen {
                continue;
            }
            let now = Instant::now();
            match received {
                Ok((len, source)) => self.receive(source, &buffer[..len], now),
                Err(_) => self.input(Input::Timeout(now)),
            }
            if now >= self.next_frame {
                self.next_frame = now + FRAME;
                self.send_frames(now);
            }
        }
    }

    fn obey(&mut self, order: Order) -> bool {
        match order {
            Order::Send(source, true) => {
                self.sending.insert(source);
            }
            Order::Send(source, false) => {
                self.sending.remove(&source);
            }
            Order::IgnoreKeyFrameRequests(ignore) => self.ignore_requests = ignore,
            Order::ThrowAwayOneOf(n) => self.throw_away_one_of = n,
            Order::ThrowAwayData => self.throw_away_data = true,
            Order::Freeze(frozen) => self.frozen = frozen,
            Order::Move => self.socket = UdpSocket::bind("127.0.0.1:0").unwrap(),
            Order::OpenChannels(count) => {
                for _ in 0..count {
                    let config = ChannelConfig { label: SLOTS_CHANNEL.to_owned(), ..ChannelConfig::default() };
                    self.rtc.direct_api().create_data_channel(config);
                }
                self.input(Input::Timeout(Instant::now()));
            }
            Order::ChangeSsrc(times) => (0..times).for_each(|_| self.send_from_another_ssrc()),
            Order::Raw(bytes) => {
                self.socket.send_to(&bytes, self.server.unwrap()).unwrap();
            }
            Order::Hang(gently) => {
                if gently {
                    self.rtc.close().unwrap();
                    self.input(Input::Timeout(Instant::now()));
                }
                return false;
            }
            Order::Quit => return false,
        }
        true
    }

    fn receive(&mut self, source: SocketAddr, bytes: &[u8], now: Instant) {
        self.server = Some(source);
        const DTLS_APPLICATION_DATA: u8 = 23;
        if self.throw_away_data && bytes[0] == DTLS_APPLICATION_DATA {
            return self.tell(|seen| seen.thrown_away += 1);
        }
        let is_rtp = (128..192).contains(&bytes[0]) && !(64..96).contains(&(bytes[1] & 0x7f));
        if is_rtp && self.throw_away_one_of > 0 {
            self.arrived += 1;
            if self.arrived.is_multiple_of(self.throw_away_one_of) {
                self.tell(|seen| seen.thrown_away += 1);
                return;
            }
        }
        // The stack thinks that it is where it was, as behind a NAT that changed its mind.
        if let Ok(receive) = Receive::new(Protocol::Udp, source, self.known_addr, bytes) {
            self.input(Input::Receive(now, receive));
        }
    }

    fn input(&mut self, input: Input<'_>) {
        if !self.rtc.is_alive() {
            return self.tell(|seen| seen.closed = true);
        }
        if self.rtc.handle_input(input).is_err() {
            return self.tell(|seen| seen.closed = true);
        }
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(_)) => return,
                Ok(Output::Transmit(out)) => {
                    self.socket.send_to(&out.contents, out.destination).unwrap();
                }
                Ok(Output::Event(event)) => self.note(event),
                Err(_) => return self.tell(|seen| seen.closed = true),
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected => self.tell(|seen| seen.connected = true),
            Event::Closed => self.tell(|seen| seen.closed = true),
            Event::ChannelOpen(..) => self.tell(|seen| seen.listens = true),
            Event::ChannelData(data) => {
                let map = serde_json::from_slice(&data.data).unwrap();
                self.tell(|seen| seen.maps.push(map));
            }
            Event::KeyframeRequest(request) => {
                self.tell(|seen| seen.plis.push(Instant::now()));
                if !self.ignore_requests {
                    let source = self.source_of(request.mid);
                    self.numbers.entry(source).or_insert_with(Numbers::new).key_frame = true;
                }
            }
            Event::RtpPacket(packet) => {
                let mid = self.rtc.direct_api().stream_rx(&packet.header.ssrc).unwrap().mid();
                let tail = &packet.payload[packet.payload.len() - TAIL_BYTES..];
                let sent_us = u64::from_be_bytes(tail[5..].try_into().unwrap());
                let video = Vp8Descriptor::parse(&packet.payload).ok().filter(|_| packet.payload[0] == 0x90);
                let got = Got {
                    seq: *packet.seq_no,
                    time: packet.header.timestamp,
                    picture: video.and_then(|descriptor| descriptor.picture_id()),
                    key_frame: video.is_some_and(|descriptor| descriptor.starts_keyframe(&packet.payload)),
                    sender: tail[0],
                    frame: u32::from_be_bytes(tail[1..5].try_into().unwrap()),
                    delay: since_epoch().saturating_sub(Duration::from_micros(sent_us)),
                };
                self.tell(|seen| seen.by_mid.entry(mid.to_string()).or_default().push(got));
            }
            _ => {}
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.watched.seen.lock().unwrap());
        self.watched.changed.notify_all();
    }

    fn source_of(&self, mid: Mid) -> Source {
        match self.mids.iter().find(|(_, of)| *of == mid).unwrap().0 {
            Purpose::Camera => Source::Camera,
            Purpose::Screen => Source::Screen,
            _ => Source::Microphone,
        }
    }

    fn send_frames(&mut self, now: Instant) {
        if !self.rtc.is_connected() {
            return;
        }
        for source in self.sending.clone() {
            self.send_frame(source, now);
        }
        self.input(Input::Timeout(now));
    }

    fn send_from_another_ssrc(&mut self) {
        let mid = self.mids.iter().find(|(of, _)| *of == Purpose::Camera).unwrap().1;
        let mut api = self.rtc.direct_api();
        let before = api.stream_tx_by_mid(mid, None).unwrap().ssrc();
        let next = api.new_ssrc();
        api.remove_stream_tx(before);
        api.declare_stream_tx(next, None, mid, None);
        let now = Instant::now();
        self.send_frame(Source::Camera, now);
        self.input(Input::Timeout(now));
    }

    fn send_frame(&mut self, source: Source, now: Instant) {
        let (purpose, codec, ticks) = match source {
            Source::Microphone => (Purpose::Microphone, Codec::Opus, 480),
            Source::Camera => (Purpose::Camera, Codec::Vp8, 900),
            Source::Screen => (Purpose::Screen, Codec::Vp8, 900),
            Source::ScreenAudio => (Purpose::ScreenAudio, Codec::Opus, 480),
        };
        let mid = self.mids.iter().find(|(of, _)| *of == purpose).unwrap().1;
        let pt: Pt = self.rtc.codec_config().find(|params| params.spec().codec == codec).unwrap().pt();
        let numbers = self.numbers.entry(source).or_insert_with(Numbers::new);
        let payload = payload(source, numbers, self.number);
        let packet = RtpWrite::new(pt, numbers.seq.into(), numbers.time, now, payload)
            .marker(true)
            .nackable(source != Source::Microphone);
        *numbers = Numbers {
            seq: numbers.seq + 1,
            frame: numbers.frame + 1,
            time: numbers.time.wrapping_add(ticks),
            key_frame: false,
        };
        self.rtc.direct_api().stream_tx_by_mid(mid, None).unwrap().write_rtp(packet);
    }
}

impl Numbers {
    /// The first frame of a source is a key frame.
    fn new() -> Self {
        Self { seq: 60_000, frame: 0, time: 4_294_900_000, key_frame: true }
    }
}

/// One frame is one packet: a VP8 descriptor with a 15-bit picture id, or something like Opus; then who and which.
fn payload(source: Source, numbers: &Numbers, number: u8) -> Vec<u8> {
    let picture = 0x8000 | (numbers.frame as u16 & 0x7fff);
    let mut bytes = match source {
        Source::Microphone => vec![0x78; 60],
        _ => {
            let header = [0x90, 0x80, (picture >> 8) as u8, picture as u8, u8::from(!numbers.key_frame)];
            [header.as_slice(), &[0xaa; PAYLOAD_BYTES]].concat()
        }
    };
    bytes.push(number);
    bytes.extend(numbers.frame.to_be_bytes());
    bytes.extend((since_epoch().as_micros() as u64).to_be_bytes());
    bytes
}

/// Time that all clients of this process share.
fn since_epoch() -> Duration {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    EPOCH.get_or_init(Instant::now).elapsed()
}
