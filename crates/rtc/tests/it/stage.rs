//! A server with its join endpoint on loopback, and the steps of the scenarios.

use crate::client::{Client, Offer, PATIENCE};
use rtc::token::SigningKey;
use rtc::{ChannelApi, ChannelEvent, ChannelEventKind, Config, LeftReason, Participant, Rtc, SourceTraffic};
use signalling::{ChannelId, JoinAnswer, JoinClaims, JoinRequest, ParticipationId, Profile, Rights, Source, UserName};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use uuid::Uuid;

pub struct Stage {
    pub runtime: Runtime,
    pub rtc: Rtc,
    pub key: SigningKey,
    pub channels: ChannelApi,
    events: mpsc::Receiver<ChannelEvent>,
    pub http: SocketAddr,
}

#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub detail: String,
    pub content_type: String,
    pub cors: String,
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
        rights: Rights::ALL,
        waiting: false,
    }
}

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
        let stage = Self { runtime, channels: rtc.channels(), events: rtc.events(), rtc, key, http };
        stage.runtime.block_on(stage.channels.open(the_channel())).unwrap();
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

    pub fn begin_join(&self, claims: &JoinClaims, profile: Profile, number: u8) -> Client {
        let offer = Offer::new(profile);
        let answer = self.try_join(claims, &offer.request).unwrap();
        offer.go(answer, number)
    }

    pub fn join(&self, name: &str, number: u8) -> Client {
        self.join_as(&claims(name), Profile::Call, number)
    }

    pub fn admit(&self, name: &str) {
        self.runtime.block_on(self.channels.admit(the_channel(), id(name))).unwrap();
    }

    pub fn rights(&self, name: &str, rights: Rights) {
        self.runtime.block_on(self.channels.update_rights(the_channel(), id(name), rights)).unwrap();
    }

    pub fn mute(&self, name: &str, source: Source, muted: bool) {
        self.runtime.block_on(self.channels.mute(the_channel(), id(name), source, muted)).unwrap();
    }

    pub fn remove(&self, name: &str) {
        self.runtime.block_on(self.channels.remove(the_channel(), id(name))).unwrap();
    }

    pub fn close(&self) {
        self.runtime.block_on(self.channels.close(the_channel())).unwrap();
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

    /// The next event that is neither about quality nor about speakers.
    #[track_caller]
    pub fn next_event(&mut self) -> (ParticipationId, ChannelEventKind) {
        let events = &mut self.events;
        let next = async {
            loop {
                let event = events.recv().await.unwrap();
                if !matches!(event.kind, ChannelEventKind::Quality { .. } | ChannelEventKind::Speaker { .. }) {
                    return (event.participation, event.kind);
                }
            }
        };
        let next = async { tokio::time::timeout(PATIENCE, next).await };
        self.runtime.block_on(next).expect("an event")
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
        self.expect(name, ChannelEventKind::Left(reason));
    }

    /// Whether the first receiver of events has been cut off.
    pub fn is_deaf(&mut self) -> bool {
        self.events.try_recv() == Err(mpsc::error::TryRecvError::Disconnected)
    }
}
