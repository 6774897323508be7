//! Whole calls of headless terminals through a real RTC server; the script plays the service.

use crate::person::{Person, options};
use crate::scripted_broker::{BrokerConnection, ScriptedBroker, Sent, answer, now_ms};
use rtc::token::SigningKey;
use rtc::{Config, Owner, Rtc};
use serde_json::{Value, json};
use signalling::{
    Admission, ChannelId, DesiredChannel, DesiredParticipation, DownBody, EndReason, InvitationId, JoinClaims,
    JoinParameters, Media, MeetingId, Member, MemberState, Muted, ParticipationId, Profile, Rights, Ring, Roster,
    Sources, StandingCall, UserName,
};
use std::net::SocketAddr;
use std::path::Path;
use terminal::Options;
use terminal::files::{ivf, ogg};
use tokio::net::TcpListener;
use uuid::Uuid;

const MEETING: MeetingId = MeetingId(Uuid::from_u128(0x3e));
const INVITATION: InvitationId = InvitationId(Uuid::from_u128(0x1a));
const ALICE: ParticipationId = ParticipationId(Uuid::from_u128(1));
const BOB: ParticipationId = ParticipationId(Uuid::from_u128(2));

/// A real RTC server with its join endpoint, which can be started again on the same ports.
struct Server {
    rtc: Rtc,
    key: SigningKey,
    join_addr: SocketAddr,
    http: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(pem: &str, media: SocketAddr, join_addr: SocketAddr) -> Self {
        let key = SigningKey::from_pem(pem).unwrap();
        let rtc = Rtc::start(Config::new(media, vec![key.public()])).unwrap();
        let listener = TcpListener::bind(join_addr).await.unwrap();
        let join_addr = listener.local_addr().unwrap();
        let router = rtc.http_router();
        let http = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let server = Self { rtc, key, join_addr, http };
        server.put(1, Admission::Waiting, Sources::NONE).await;
        server
    }

    /// Alice is in, and Bob so.
    async fn put(&self, rev: u64, bob: Admission, muted: Sources) {
        let wish = |user: &str, admission, muted| DesiredParticipation {
            user: user.into(),
            client: user.to_owned(),
            admission,
            rights: Rights::ALL,
            muted,
        };
        let alice = (ALICE, wish("alice", Admission::Admitted, Sources::NONE));
        let participations = [alice, (BOB, wish("bob", bob, muted))].into();
        let put = self.rtc.channels(Owner::default()).put(channel(), rev, Some(DesiredChannel { participations }));
        put.await.unwrap();
    }

    async fn new() -> (Self, String) {
        let pem = SigningKey::generate_pem().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        (Self::start(&pem, any, any).await, pem)
    }

    async fn restarted(self, pem: &str) -> Self {
        let (media, join_addr) = (self.rtc.local_addr(), self.join_addr);
        self.http.abort();
        let _ = self.http.await;
        drop(self.rtc);
        let server = Self::start(pem, media, join_addr).await;
        // Both had been admitted, and the service puts again what its record says.
        server.put(2, Admission::Admitted, Sources::NONE).await;
        server
    }

    fn join(&self, user: &str, participation: ParticipationId) -> JoinParameters {
        let claims = JoinClaims {
            iss: "convoke".to_owned(),
            aud: JoinClaims::AUDIENCE.to_owned(),
            jti: Uuid::now_v7().to_string(),
            iat: now_ms() / 1000,
            exp: now_ms() / 1000 + 60,
            channel: channel(),
            participation,
            user: user.into(),
            client: user.to_owned(),
            rev: 1,
        };
        JoinParameters {
            endpoints: vec![format!("http://{}", self.join_addr)],
            app: "convoke".into(),
            channel: channel(),
            user: user.into(),
            participation,
            token: self.key.sign(&claims).unwrap(),
            profile: Profile::Meeting,
            turn: vec![],
        }
    }
}

fn channel() -> ChannelId {
    MEETING.into()
}

fn roster(rev: u64) -> Roster {
    let member = |user: &str, participation| Member {
        user: user.into(),
        name: user.into(),
        participation: Some(participation),
        state: MemberState::In,
        muted: Muted::default(),
        blocked: Muted::default(),
    };
    Roster { rev, host: Some("alice".into()), members: vec![member("alice", ALICE), member("bob", BOB)] }
}

fn with_media(broker: &ScriptedBroker, user: &str, store: &Path) -> Options {
    Options { media: true, ..options(broker, user, store) }
}

/// Alice and Bob, in a call with each other.
struct Call {
    server: Server,
    pem: String,
    alice: Person,
    bob: Person,
    alices: BrokerConnection,
    bobs: BrokerConnection,
    brokers: (ScriptedBroker, ScriptedBroker),
    folder: tempfile::TempDir,
}

impl Call {
    /// Alice calls; Bob's terminal warms while it rings, answers, and is admitted.
    async fn new() -> Self {
        let (server, pem) = Server::new().await;
        let brokers = (ScriptedBroker::open().await, ScriptedBroker::open().await);
        let folder = tempfile::tempdir().unwrap();
        let record = Some(folder.path().join("recorded"));
        let mut alice = Person::start(with_media(&brokers.0, "alice", &folder.path().join("alice")));
        let mut bob = Person::start(Options { record, ..with_media(&brokers.1, "bob", &folder.path().join("bob")) });
        let (mut alices, mut bobs) = (brokers.0.welcome().await, brokers.1.welcome().await);
        alice.wait("synchronised").await;
        alice.say(json!({ "do": "call", "user": "bob" })).await;
        let create = loop {
            if let Sent::Request { up, packet_id, .. } = alices.next().await {
                alices.puback(packet_id).await;
                break up;
            }
        };
        let admitted = DownBody::Admitted { join: server.join("alice", ALICE), roster: roster(1) };
        alices.deliver(&answer(admitted, Some(MEETING), Some(create.envelope.id)), false).await;
        alice.wait("media_joined").await;

        bobs.deliver(&answer(invitation(&server), Some(MEETING), None), false).await;
        bob.wait("ring").await;
        assert_eq!(bob.wait("media_joined").await["waiting"], true);
        bob.say(json!({ "do": "accept" })).await;
        server.put(2, Admission::Admitted, Sources::NONE).await;
        let admitted = DownBody::Admitted { join: server.join("bob", BOB), roster: roster(2) };
        bobs.deliver(&answer(admitted, Some(MEETING), None), false).await;
        bob.wait("admitted").await;
        alices.deliver(&answer(DownBody::Roster(roster(2)), Some(MEETING), None), false).await;
        Self { server, pem, alice, bob, alices, bobs, brokers, folder }
    }

    async fn end(mut self) -> tempfile::TempDir {
        let ended = || DownBody::Ended {
            invitation: None,
            user: None,
            rev: 9,
            reason: EndReason::Destroyed,
            by: Some(UserName::from("alice")),
            outcome: None,
        };
        self.alices.deliver(&answer(ended(), Some(MEETING), None), false).await;
        self.bobs.deliver(&answer(ended(), Some(MEETING), None), false).await;
        assert_eq!(self.bob.wait("ended").await["reason"], "destroyed");
        self.alice.wait("ended").await;
        self.alice.quit().await;
        self.bob.quit().await;
        self.folder
    }
}

fn invitation(server: &Server) -> DownBody {
    DownBody::Invitation(Box::new(Ring {
        invitation: INVITATION,
        rev: 1,
        meeting: MEETING,
        from: "alice".into(),
        from_name: "Alice".into(),
        media: Media::Video,
        title: None,
        ring_until_ms: now_ms() + 45_000,
        join: server.join("bob", BOB),
        ringing: false,
        members: 1,
        names: vec!["Alice".into()],
    }))
}

fn source<'a>(media: &'a Value, user: &str, source: &str) -> &'a Value {
    let mut sources = media["sources"].as_array().unwrap().iter();
    sources.find(|s| s["user"] == user && s["source"] == source).unwrap_or(&Value::Null)
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

/// A good run of both sources of one user.
fn flows(media: &Value, user: &str) -> bool {
    number(source(media, user, "camera"), "frames_ok") >= 30
        && number(source(media, user, "microphone"), "packets") >= 100
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_terminals_exchange_every_frame_unchanged_and_encrypted() {
    let mut call = Call::new().await;
    for (person, other) in [(&mut call.alice, "bob"), (&mut call.bob, "alice")] {
        let first = person.wait_for("first_frame", |e| e["source"] == "camera").await;
        assert_eq!((&first["user"], &first["key_frame"]), (&json!(other), &json!(true)));
        let media = person.wait_for("media", |media| flows(media, other)).await;
        assert_eq!(media["cipher"], "AEAD_AES_256_GCM");
        let (camera, microphone) = (source(&media, other, "camera"), source(&media, other, "microphone"));
        for flow in [camera, microphone] {
            assert_eq!((number(flow, "frames_bad"), number(flow, "lost")), (0, 0), "{flow}");
            assert_eq!(number(flow, "skips"), 0, "{flow}");
        }
    }
    let folder = call.end().await;
    let recorded = |name: &str| std::fs::read(folder.path().join("recorded").join(name)).unwrap();
    assert!(ivf::read(&recorded("alice-camera.ivf")).unwrap().1.len() >= 30);
    assert!(ogg::read(&recorded("alice-microphone.ogg")).unwrap().len() >= 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_mutes_stops_although_the_terminal_goes_on_sending() {
    let mut call = Call::new().await;
    call.alice.wait_for("media", |media| flows(media, "bob")).await;
    call.server.put(3, Admission::Admitted, Sources::AUDIO).await;
    let quiet = |media: &Value| number(source(media, "bob", "microphone"), "quiet_ms") > 900;
    let media = call.alice.wait_for("media", quiet).await;
    assert!(number(source(&media, "bob", "camera"), "quiet_ms") < 900, "pictures go on: {media}");
    let sent = |media: &Value| media["sent"]["speech_packets"].as_u64().unwrap();
    let before = sent(&call.bob.wait("media").await);
    call.bob.wait_for("media", |media| sent(media) > before + 20).await;

    call.server.put(4, Admission::Admitted, Sources::NONE).await;
    let heard = |media: &Value| number(source(media, "bob", "microphone"), "quiet_ms") < 500;
    call.alice.wait_for("media", heard).await;

    call.bob.say(json!({ "do": "mute", "track": "video" })).await;
    let dark = |media: &Value| number(source(media, "bob", "camera"), "quiet_ms") > 900;
    call.alice.wait_for("media", dark).await;
    call.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_whose_rtc_server_restarts_rejoins_by_itself() {
    let mut call = Call::new().await;
    call.alice.wait_for("media", |media| flows(media, "bob")).await;
    call.server = call.server.restarted(&call.pem).await;
    let standing = |user: &str, participation| StandingCall {
        meeting: MEETING,
        media: Media::Video,
        here: true,
        join: Some(call.server.join(user, participation)),
        roster: roster(3),
    };
    let (alices, bobs) = (standing("alice", ALICE), standing("bob", BOB));
    // What was a doubt or a loss becomes a state request; a fresh connection asks for it in any case.
    drop((call.alices, call.bobs));
    for (broker, standing) in [(&call.brokers.0, alices), (&call.brokers.1, bobs)] {
        let mut line = broker.accept().await;
        line.log_in(true).await;
        tokio::spawn(async move { line.keep_answering(standing).await });
    }
    for person in [&mut call.alice, &mut call.bob] {
        assert_eq!(person.wait_for("admitted", |e| e["rejoined"] == true).await["meeting"], json!(MEETING));
        person.wait("media_joined").await;
        person.wait("first_frame").await;
    }
    call.alice.wait_for("media", |media| flows(media, "bob")).await;
    call.alice.quit().await;
    call.bob.quit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusing_door_is_named_and_fresh_parameters_are_asked_for() {
    let (server, _) = Server::new().await;
    let (broker, store) = (ScriptedBroker::open().await, tempfile::tempdir().unwrap());
    let mut alice = Person::start(with_media(&broker, "alice", store.path()));
    let mut line = broker.accept().await;
    line.log_in(true).await;
    let stale = JoinParameters { token: "stale".into(), ..server.join("alice", ALICE) };
    let standing =
        StandingCall { meeting: MEETING, media: Media::Video, here: true, join: Some(stale), roster: roster(1) };
    line.answer_state(|state| state.call = Some(standing)).await;
    assert!(alice.wait("media_lost").await["reason"].as_str().unwrap().contains("401"), "{:?}", alice.passed);
    let asked = loop {
        if let Sent::Request { up, packet_id, .. } = line.next().await {
            line.puback(packet_id).await;
            break up;
        }
    };
    assert_eq!(asked.body.kind(), "join");
    let admitted = DownBody::Admitted { join: server.join("alice", ALICE), roster: roster(2) };
    line.deliver(&answer(admitted, Some(MEETING), Some(asked.envelope.id)), false).await;
    alice.wait("media_joined").await;
    alice.quit().await;
}
