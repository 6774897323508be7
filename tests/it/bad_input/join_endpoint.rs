//! The join endpoint: tokens and offers that open nothing.

use super::signalling::{ask, now_ms, request};
use super::{Scene, text};
use anyhow::{Context, Result};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use scenarios::wire::{self, HttpAnswer};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A data channel and nothing else.
pub(super) const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
    a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 \
    00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n";

/// What the service gave alice, and the key that it signed with.
pub(super) struct Token {
    pub(super) given: String,
    header: String,
    claims: Value,
    key: Ed25519KeyPair,
}

impl Token {
    /// Alice calls bob and is admitted.
    pub(super) fn of_a_call(scene: &Scene) -> Result<Self> {
        scene.device("bob")?;
        let mut alice = scene.link(&scene.device("alice")?)?;
        let create = request(1, "create", &json!({ "callees": ["bob"], "media": "video" })).to_string();
        let admitted = ask(&mut alice, "create", create.as_bytes(), "admitted")?;
        let given = text(&admitted["join"], "token")?.to_owned();
        let mut parts = given.split('.');
        let (header, claims) = parts.next().zip(parts.next()).context("no JWT")?;
        let pem = std::fs::read_to_string(scene.stage.data().join("keys/join.pem"))?;
        let pkcs8: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        Ok(Self {
            header: header.to_owned(),
            claims: serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?,
            key: Ed25519KeyPair::from_pkcs8_maybe_unchecked(&STANDARD.decode(pkcs8)?)?,
            given,
        })
    }

    /// Signed by the server's own key, with one claim changed.
    fn with(&self, claim: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[claim] = value;
        let text = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.key.sign(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(super) fn join(server: SocketAddr, token: &str, body: &[u8]) -> Result<HttpAnswer> {
    let bearer = format!("authorization: Bearer {token}");
    wire::http(server, "POST /rtc/v1/join", &[&bearer, "content-type: application/json"], body)
}

pub(super) fn offer(sdp: &str) -> Vec<u8> {
    json!({ "sdp": sdp, "profile": "call", "purposes": {} }).to_string().into_bytes()
}

#[test]
fn a_token_that_is_not_right_opens_no_channel() {
    let mut scene = Scene::start().expect("the server starts");
    let token = Token::of_a_call(&scene).expect("alice is admitted");
    let server = scene.addresses().expect("addresses").http;
    let now_s = now_ms() / 1000;
    let (mut cut, mut unsigned) = (token.given.clone(), token.given.clone());
    cut.truncate(token.given.len() - 5);
    unsigned.truncate(token.given.rfind('.').expect("three parts") + 1);
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"), URL_SAFE_NO_PAD.encode("{}"));
    let table = [
        ("nothing", String::new(), 401, "token_invalid"),
        ("garbage", "garbage".into(), 401, "token_invalid"),
        ("a long one", "x".repeat(10_000), 401, "token_invalid"),
        ("an unsigned one", unsigned, 401, "token_invalid"),
        ("one of no algorithm", none, 401, "token_invalid"),
        ("one with a cut signature", cut, 401, "token_invalid"),
        ("one with a claim missing", token.with("participation", Value::Null), 401, "token_invalid"),
        ("an expired one", token.with("exp", json!(now_s - 1)), 401, "token_expired"),
        ("one of another instance", token.with("iss", json!("other")), 403, "token_foreign"),
        ("one for another purpose", token.with("aud", json!("api")), 403, "token_foreign"),
    ];
    let wrong = || {
        for (name, token, status, code) in &table {
            let answer = join(server, token, &offer(OFFER))?;
            assert_eq!(answer.problem().context(*name)?, (*status, (*code).to_owned()), "{name}");
        }
        let bare = wire::http(server, "POST /rtc/v1/join", &[], &offer(OFFER))?;
        assert_eq!(bare.problem()?, (401, "token_invalid".to_owned()));
        Ok(())
    };
    scene.costs_nothing(18, wrong).expect("nobody is harmed");
    let answer = join(server, &token.with("jti", json!("x")), &offer(OFFER)).expect("an answer");
    assert_eq!(answer.status, 200, "the same with nothing wrong is let in: {answer:?}");
    // It waits for a put, so it is asked for once.
    let early = join(server, &token.with("channel", json!("nowhere")), &offer(OFFER)).expect("an answer");
    assert_eq!(early.problem().expect("a refusal"), (503, "retry".to_owned()));
}

#[test]
fn an_offer_that_is_not_right_is_refused_before_anything_is_made_of_it() {
    let mut scene = Scene::start().expect("the server starts");
    let token = Token::of_a_call(&scene).expect("alice is admitted").given;
    let server = scene.addresses().expect("addresses").http;
    let section = &OFFER[OFFER.find("m=").expect("a section")..];
    let many: String = (0..100).map(|mid| section.replace("a=mid:0", &format!("a=mid:{mid}"))).collect();
    let many = format!("{}{many}", &OFFER[..OFFER.find("m=").expect("a section")]);
    let padded = |bytes: usize| format!("{OFFER}{}", "a=x\r\n".repeat(bytes / 5));
    let table = [
        ("over 128 KiB", offer(&padded(128 * 1024)), 413, "offer_too_large"),
        ("over any bound", offer(&padded(4 << 20)), 413, "offer_too_large"),
        ("100 sections", offer(&many), 413, "too_many_media"),
        ("nonsense", offer("nonsense"), 400, "bad_offer"),
        ("nothing", offer(""), 400, "bad_offer"),
        ("zeros", offer(&"\0".repeat(1000)), 400, "bad_offer"),
        ("no fingerprint", offer(&OFFER.replace("a=fingerprint", "a=x")), 400, "bad_offer"),
        ("no ICE", offer(&OFFER.replace("a=ice", "a=x")), 400, "bad_offer"),
        ("no mid", offer(&OFFER.replace("a=mid:0\r\n", "")), 400, "bad_offer"),
        ("the wrong DTLS role", offer(&OFFER.replace("actpass", "passive")), 400, "bad_offer"),
        ("no JSON", b"{".to_vec(), 400, "bad_request"),
        ("bytes", vec![0xFF; 1000], 400, "bad_request"),
        ("no profile", json!({ "sdp": OFFER }).to_string().into_bytes(), 400, "bad_request"),
        (
            "a profile that does not exist",
            json!({ "sdp": OFFER, "profile": "x" }).to_string().into(),
            400,
            "bad_request",
        ),
    ];
    let wrong = || {
        for (name, body, status, code) in &table {
            let answer = join(server, &token, body).context(*name)?;
            assert_eq!(answer.problem().context(*name)?, (*status, (*code).to_owned()), "{name}");
        }
        Ok(())
    };
    scene.costs_nothing(15, wrong).expect("nobody is harmed");
}
