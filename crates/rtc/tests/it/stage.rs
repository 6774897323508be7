//! A server with its join endpoint on loopback, and the steps of the scenarios.

use crate::client::{Client, Offer, PATIENCE};
use rtc::token::SigningKey;
use rtc::{
    ChannelApi, ChannelEvent, ChannelEventKind, Config, DesiredChannel, EventCursor, LeftReason, Owner, Participant,
    Rtc, SourceTraffic,
};
use signalling::{Admission, ChannelId, DesiredParticipation, JoinAnswer, JoinClaims, JoinRequest, ParticipationId};
use signalling::{Profile, Rights, Source, Sources, UserName};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use uuid::Uuid;

pub struct Stage {
    pub runtime: Runtime,
    pub rtc: Rtc,
    pub key: SigningKey,
    pub channels: ChannelApi,
    desired: std::sync::Mutex<(u64, DesiredChannel)>,
    events: VecDeque<ChannelEvent>,
    cursor: Option<EventCursor>,
    pub http: SocketAddr,
}

#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub detail: String,
    pub content_type: String,
    pub cors: String,
    pub retry_after_s: Option<u64>,
}

pub fn id(name: &str) -> ParticipationId {
    ParticipationId(Uuid::from_u128(name.bytes().fold(0, |sum, byte| sum * 256 + u128::from(byte))))
}

pub fn the_channel() -> ChannelId {
    ChannelId::from("call")
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn claims(name: &str) -> JoinClaims {
    JoinClaims {
        iss: "convoke".to_owned(),
        aud: JoinClaims::AUDIENCE.to_owned(),
        jti: name.to_owned(),
        iat: now_s(),
        exp: now_s() + 60,
        channel: the_channel(),
        participation: id(name),
        user: UserName::from(name),
        client: name.to_owned(),
        rev: 0,
    }
}

pub fn wish(name: &str) -> DesiredParticipation {
    DesiredParticipation {
        user: UserName::from(name),
        client: name.to_owned(),
        admission: Admission::Admitted,
        rights: Rights::ALL,
        muted: Sources::NONE,
    }
}

/// All that the scenarios call somebody, and may join.
const EVERYBODY: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "eve"];

impl Stage {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With one open channel, and the configuration changed.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        // RTC_LOG=debug shows what the server says.
        let filter = tracing_subscriber::EnvFilter::from_env("RTC_LOG");
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        // The HTTP client wants one even for plain HTTP; another test of this process may have installed it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let key = SigningKey::from_pem(&SigningKey::generate_pem().unwrap()).unwrap();
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), vec![key.public()]);
        change(&mut config);
        let rtc = Rtc::start(config).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let http = listener.local_addr().unwrap();
        let router = rtc.http_router();
        runtime.spawn(async move { axum::serve(listener, router).await });
        let channels = rtc.channels(Owner::default());
        let participations: BTreeMap<_, _> = EVERYBODY.iter().map(|name| (id(name), wish(name))).collect();
        let desired = std::sync::Mutex::new((0, DesiredChannel { participations }));
        let mut stage = Self { runtime, channels, desired, events: VecDeque::new(), cursor: None, rtc, key, http };
        stage.put(|_| {});
        stage.cursor = Some(stage.runtime.block_on(stage.channels.events(None)).unwrap().cursor);
        stage
    }

    pub fn token(&self, claims: &JoinClaims) -> String {
        self.key.sign(claims).unwrap()
    }

    pub fn post(&self, token: &str, body: Vec<u8>) -> Result<JoinAnswer, Refusal> {
        let url = format!("http://{}/rtc/v1/join", self.http);
        self.runtime.block_on(async {
            let request = reqwest::Client::new().post(url).bearer_auth(token).body(body);
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
            let bytes = response.bytes().await.unwrap();
            if status == 200 {
                return Ok(serde_json::from_slice(&bytes).unwrap());
            }
            let problem: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
            Err(Refusal {
                status,
                code: text("code"),
                detail: text("detail"),
                content_type: header("content-type"),
                cors: header("access-control-allow-origin"),
                retry_after_s: header("retry-after").parse().ok(),
            })
        })
    }

    pub fn try_join(&self, claims: &JoinClaims, request: &JoinRequest) -> Result<JoinAnswer, Refusal> {
        self.post(&self.token(claims), serde_json::to_vec(request).unwrap())
    }

    /// Joins and waits for the connection. `number` marks what the client sends.
    pub fn join_as(&self, claims: &JoinClaims, profile: Profile, number: u8) -> Client {
        let client = self.begin_join(claims, profile, number);
        client.until("the connection", |seen| seen.connected);
        client
    }

    /// Who is not wished for yet is from now on.
    pub fn begin_join(&self, claims: &JoinClaims, profile: Profile, number: u8) -> Client {
        if claims.channel == the_channel() && !self.is_wished(claims.participation) {
            self.wish(claims.user.as_str(), wish(claims.user.as_str()));
        }
        let offer = Offer::new(profile);
        let answer = self.try_join(claims, &offer.request).unwrap();
        offer.go(answer, number)
    }

    pub fn join(&self, name: &str, number: u8) -> Client {
        self.join_as(&claims(name), Profile::Call, number)
    }

    /// Puts what is wished, changed so, with the next revision.
    pub fn put(&self, change: impl FnOnce(&mut DesiredChannel)) {
        let mut desired = self.desired.lock().unwrap();
        desired.0 += 1;
        change(&mut desired.1);
        let put = self.channels.put(the_channel(), desired.0, Some(desired.1.clone()));
        self.runtime.block_on(put).unwrap();
    }

    pub fn wish(&self, name: &str, wish: DesiredParticipation) {
        self.put(|desired| drop(desired.participations.insert(id(name), wish)));
    }

    fn is_wished(&self, who: ParticipationId) -> bool {
        self.desired.lock().unwrap().1.participations.contains_key(&who)
    }

    /// The same people in another channel.
    pub fn open_another(&self, channel: &ChannelId) {
        let desired = self.desired.lock().unwrap().1.clone();
        self.runtime.block_on(self.channels.put(channel.clone(), 1, Some(desired))).unwrap();
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut DesiredParticipation)) {
        self.put(|desired| change(desired.participations.get_mut(&id(name)).unwrap()));
    }

    /// It waits, from now on.
    pub fn hold(&self, name: &str) {
        self.change(name, |wish| wish.admission = Admission::Waiting);
    }

    pub fn admit(&self, name: &str) {
        self.change(name, |wish| wish.admission = Admission::Admitted);
    }

    pub fn rights(&self, name: &str, rights: Rights) {
        self.change(name, |wish| wish.rights = rights);
    }

    pub fn mute(&self, name: &str, source: Source, muted: bool) {
        let only = Sources::from(source);
        self.change(name, |wish| wish.muted = if muted { wish.muted.with(only) } else { wish.muted.without(only) });
    }

    pub fn remove(&self, name: &str) {
        self.put(|desired| drop(desired.participations.remove(&id(name))));
    }

    pub fn close(&self) {
        let rev = self.desired.lock().unwrap().0 + 1;
        self.runtime.block_on(self.channels.put(the_channel(), rev, None)).unwrap();
    }

    pub fn participants(&self) -> Vec<Participant> {
        let described = self.runtime.block_on(self.channels.describe(the_channel())).unwrap();
        described.map(|description| description.participants).unwrap_or_default()
    }

    pub fn participant(&self, name: &str) -> Participant {
        self.participants().into_iter().find(|of| of.participation == id(name)).unwrap()
    }

    pub fn traffic(&self, name: &str, source: Source) -> SourceTraffic {
        self.participant(name).traffic.into_iter().find(|traffic| traffic.source == source).unwrap()
    }

    /// Asks again until the server's answer fits.
    #[track_caller]
    pub fn until<T>(&self, what: &str, ask: impl Fn(&Self) -> T, fits: impl Fn(&T) -> bool) -> T {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let answer = ask(self);
            if fits(&answer) {
                return answer;
            }
            assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
            std::thread::yield_now();
        }
    }

    /// The next event that is neither about quality nor about speakers nor about first packets.
    #[track_caller]
    pub fn next_event(&mut self) -> (ParticipationId, ChannelEventKind) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            while let Some(event) = self.events.pop_front() {
                if !event.kind.is_minor() && !matches!(event.kind, ChannelEventKind::FirstPacket { .. }) {
                    return (event.participation, event.kind);
                }
            }
            assert!(std::time::Instant::now() < deadline, "an event");
            let next = self.runtime.block_on(self.channels.events_within(self.cursor, PATIENCE)).unwrap();
            self.cursor = Some(next.cursor);
            self.events.extend(next.events);
        }
    }

    #[track_caller]
    pub fn expect_joined(&mut self, name: &str) {
        let (who, kind) = self.next_event();
        assert_eq!((who, kind), (id(name), ChannelEventKind::Joined { cipher: "AEAD_AES_256_GCM".to_owned() }));
    }

    #[track_caller]
    pub fn expect(&mut self, name: &str, kind: ChannelEventKind) -> Duration {
        let began = std::time::Instant::now();
        let of_name = |stage: &mut Self| loop {
            let (who, kind) = stage.next_event();
            if who == id(name) {
                return kind;
            }
        };
        assert_eq!(of_name(self), kind);
        began.elapsed()
    }

    #[track_caller]
    pub fn expect_left(&mut self, name: &str, reason: LeftReason) {
        self.expect(name, ChannelEventKind::Left { reason });
    }
}
