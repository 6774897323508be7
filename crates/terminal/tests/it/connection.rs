//! The terminal against a scripted broker, over sockets.

use crate::person::{Person, options};
use crate::scripted_broker::{ScriptedBroker, Sent, answer, now_ms};
use mqtt::ReasonCode;
use mqtt::codec::{Disconnect, Packet};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use signalling::{Down, DownBody, InvitationId, JoinParameters, Media, MeetingId, ParticipationId, Profile, Ring};
use std::sync::Arc;
use terminal::headless::{Answer, HeadlessError};
use uuid::Uuid;

const INVITATION: InvitationId = InvitationId(Uuid::from_u128(0x1a));
const MEETING: MeetingId = MeetingId(Uuid::from_u128(0x3e));

fn ring() -> Ring {
    let join = JoinParameters {
        endpoints: vec![],
        app: "convoke".into(),
        channel: MEETING.into(),
        user: "bob".into(),
        participation: ParticipationId(Uuid::from_u128(2)),
        token: String::new(),
        profile: Profile::Call,
        turn: vec![],
    };
    Ring {
        invitation: INVITATION,
        rev: 1,
        meeting: MEETING,
        from: "alice".into(),
        from_name: "Alice".into(),
        media: Media::Video,
        title: None,
        ring_until_ms: now_ms() + 45_000,
        join,
        ringing: false,
        members: 1,
        names: vec!["Alice".into()],
    }
}

fn invitation() -> Down {
    answer(DownBody::Invitation(Box::new(ring())), Some(MEETING), None)
}

#[tokio::test]
async fn a_session_is_kept_and_its_state_asked_for() {
    let (broker, store) = (ScriptedBroker::open().await, tempfile::tempdir().unwrap());
    let mut bob = Person::start(options(&broker, "bob", store.path()));
    let mut line = broker.accept().await;
    let Sent::Connect { client_id, clean_start, session_expiry } = line.log_in(true).await else { unreachable!() };
    assert_eq!((client_id.as_str(), clean_start, session_expiry), ("GID_dev@@@phone", false, Some(259_200)));
    line.answer_state(|_| {}).await;
    assert_eq!(bob.wait("connected").await["session_present"], true);
    bob.wait("synchronised").await;
    bob.quit().await;
    while !matches!(line.next().await, Sent::Disconnect) {}
}

#[tokio::test]
async fn a_ring_is_on_disk_before_its_puback_and_rings_after_it() {
    let (broker, store) = (ScriptedBroker::open().await, tempfile::tempdir().unwrap());
    let mut bob = Person::start(options(&broker, "bob", store.path()));
    let mut line = broker.welcome().await;
    let delivered = line.deliver(&invitation(), false).await;
    line.puback_of(delivered).await;
    let disk = std::fs::read_to_string(store.path().join("GID_dev@@@phone.rings")).unwrap();
    assert!(disk.contains(&INVITATION.to_string()) && disk.contains("ring"), "{disk}");
    let told = bob.wait("ring").await;
    assert_eq!((&told["from"], &told["resumed"], &told["dup"]), (&json!("alice"), &json!(false), &json!(false)));
    line.request("ringing").await;
    bob.quit().await;
}

#[tokio::test]
async fn a_repeat_is_acknowledged_at_once_and_rings_when_the_state_answer_of_any_connection_confirms_it() {
    let (broker, store) = (ScriptedBroker::open().await, tempfile::tempdir().unwrap());
    let mut bob = Person::start(options(&broker, "bob", store.path()));
    let mut line = broker.accept().await;
    line.log_in(true).await;
    line.request("state").await;
    let delivered = line.deliver(&invitation(), true).await;
    line.puback_of(delivered).await;
    let disk = std::fs::read_to_string(store.path().join("GID_dev@@@phone.rings")).unwrap();
    assert!(disk.contains("held"), "{disk}");
    drop(line);
    bob.wait("disconnected").await;

    let mut line = broker.accept().await;
    line.log_in(true).await;
    line.answer_state(|state| state.rings = vec![ring()]).await;
    assert_eq!(bob.wait("ring").await["dup"], true);
    assert_eq!(bob.count("ring"), 0, "once");
    bob.quit().await;
}

#[tokio::test]
async fn after_a_kill_the_same_ring_goes_on_and_is_accepted() {
    let (broker, store) = (ScriptedBroker::open().await, tempfile::tempdir().unwrap());
    let mut bob = Person::start(options(&broker, "bob", store.path()));
    let mut line = broker.welcome().await;
    line.deliver(&invitation(), false).await;
    bob.wait("ring").await;
    bob.kill().await;
    while let Sent::Puback(_) | Sent::Request { .. } = line.next().await {}
    drop(line);

    let mut bob = Person::start(options(&broker, "bob", store.path()));
    let mut line = broker.accept().await;
    line.log_in(true).await;
    line.answer_state(|state| state.rings = vec![ring()]).await;
    assert_eq!(bob.wait("ring").await["resumed"], true);
    bob.wait("synchronised").await;
    bob.say(json!({ "do": "accept" })).await;
    loop {
        if let Sent::Request { up, .. } = line.next().await
            && up.body.kind() == "accept"
        {
            assert_eq!(up.envelope.meeting, Some(MEETING));
            break;
        }
    }
    bob.quit().await;
}

#[tokio::test]
async fn a_request_that_was_not_acknowledged_goes_out_again() {
    let (broker, store) = (ScriptedBroker::open().await, tempfile::tempdir().unwrap());
    let mut alice = Person::start(options(&broker, "alice", store.path()));
    let mut line = broker.welcome().await;
    alice.wait("synchronised").await;
    alice.say(json!({ "do": "call", "user": "bob", "media": "audio" })).await;
    let requested = alice.wait("requested").await;
    let create = loop {
        if let Sent::Request { up, dup, .. } = line.next().await {
            assert!(!dup);
            break up;
        }
    };
    assert_eq!(json!(create.envelope.id), requested["signal"]);
    drop(line);

    let mut line = broker.accept().await;
    line.log_in(true).await;
    let (again, packet_id, dup) = line.unacknowledged("create").await;
    assert_eq!((&again, dup), (&*create, true));
    line.puback(packet_id).await;
    let told = alice.wait("publish_acknowledged").await;
    assert_eq!((&told["signal"], &told["type"]), (&requested["signal"], &json!("create")));
    assert_eq!(told["meeting"], json!(create.envelope.meeting));
    alice.quit().await;
}

#[tokio::test]
async fn a_refused_login_is_named_and_tried_again() {
    let (broker, store) = (ScriptedBroker::open().await, tempfile::tempdir().unwrap());
    let mut bob = Person::start(options(&broker, "bob", store.path()));
    let mut line = broker.accept().await;
    line.next().await;
    line.connack(false, ReasonCode::BAD_USER_NAME_OR_PASSWORD).await;
    let told = bob.wait("disconnected").await;
    assert!(told["reason"].as_str().unwrap().contains("credentials"), "{told}");
    assert!(told["retry_ms"].as_u64().unwrap() >= 7000);
    bob.quit().await;
}

#[tokio::test]
async fn who_is_taken_over_says_so_and_ends() {
    let (broker, store) = (ScriptedBroker::open().await, tempfile::tempdir().unwrap());
    let mut bob = Person::start(options(&broker, "bob", store.path()));
    let mut line = broker.welcome().await;
    bob.wait("synchronised").await;
    line.send(&Packet::Disconnect(Disconnect::new(ReasonCode::SESSION_TAKEN_OVER))).await;
    assert!(bob.wait("failed").await["reason"].as_str().unwrap().contains("elsewhere"));
    assert!(matches!(bob.ended().await, Err(HeadlessError::Failed(_))));
}

#[tokio::test]
async fn what_is_no_signal_is_acknowledged_and_harms_nobody() {
    let (broker, store) = (ScriptedBroker::open().await, tempfile::tempdir().unwrap());
    let mut bob = Person::start(options(&broker, "bob", store.path()));
    let mut line = broker.welcome().await;
    let mut unknown = answer(DownBody::Ringing { user: "x".into() }, Some(MEETING), None);
    unknown.envelope.v = 7;
    let delivered = line.deliver(&unknown, false).await;
    line.puback_of(delivered).await;
    bob.say(json!({ "do": "dance" })).await;
    assert!(bob.wait("command_failed").await["reason"].as_str().unwrap().contains("dance"));
    for command in ["leave", "accept"] {
        bob.say(json!({ "do": command })).await;
        bob.wait("command_failed").await;
    }
    bob.quit().await;
}

#[tokio::test]
async fn it_answers_by_itself_if_told_so() {
    let (broker, store) = (ScriptedBroker::open().await, tempfile::tempdir().unwrap());
    let accept = Answer::AcceptAfter(std::time::Duration::ZERO);
    let bob = Person::start_answering(options(&broker, "bob", store.path()), accept);
    let mut line = broker.welcome().await;
    line.deliver(&invitation(), false).await;
    loop {
        if let Sent::Request { up, .. } = line.next().await
            && up.body.kind() == "accept"
        {
            break;
        }
    }
    bob.quit().await;
}

#[tokio::test]
async fn tls_trusts_the_given_authority_and_no_other() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let stranger = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
        .unwrap();
    let (broker, store) = (ScriptedBroker::open_tls(config).await, tempfile::tempdir().unwrap());
    let with_ca = |pem: String| {
        let mut options = options(&broker, "bob", store.path());
        options.ca = Some(pem.into_bytes());
        options
    };

    let mut bob = Person::start(with_ca(stranger.cert.pem()));
    let refused = async { bob.wait("disconnected").await };
    let (told, _) = tokio::join!(refused, async {
        let accepted = tokio::time::timeout(std::time::Duration::from_millis(500), broker.accept()).await;
        assert!(accepted.is_err(), "nobody gets through");
    });
    assert!(told["reason"].as_str().unwrap().contains("certificate"), "{told}");
    bob.quit().await;

    let mut bob = Person::start(with_ca(cert.pem()));
    broker.welcome().await;
    assert_eq!(bob.wait("connected").await["tls"], "TLSv1_3");
    bob.quit().await;
}
