//! What the join endpoint refuses, and how.

use crate::client::Offer;
use crate::stage::{Stage, claims, now_s};
use rtc::token::SigningKey;
use signalling::{ChannelId, JoinClaims, JoinRequest, Profile, Purpose};

fn refused(stage: &Stage, claims: &JoinClaims, request: &JoinRequest) -> (u16, String) {
    let refusal = stage.try_join(claims, request).unwrap_err();
    assert_eq!(refusal.content_type, "application/problem+json");
    assert_eq!(refusal.cors, "*");
    // What is wrong, and what to do; nothing of the inside.
    assert!(refusal.detail.contains(": ") && refusal.detail.len() > 30, "{}", refusal.detail);
    assert!(!["0x", "Parse", "Offset"].iter().any(|word| refusal.detail.contains(word)), "{}", refusal.detail);
    (refusal.status, refusal.code)
}

#[test]
fn stale_foreign_and_forged_tokens_open_nothing() {
    let stage = Stage::new();
    let request = Offer::new(Profile::Call).request;
    let (good, forger) = (claims("alice"), SigningKey::from_pem(&SigningKey::generate_pem().unwrap()).unwrap());
    let expired = JoinClaims { exp: now_s() - 1, ..good.clone() };
    assert_eq!(refused(&stage, &expired, &request), (401, "token_expired".to_owned()));
    let elsewhere = JoinClaims { iss: "another instance".to_owned(), ..good.clone() };
    assert_eq!(refused(&stage, &elsewhere, &request), (403, "token_foreign".to_owned()));
    let unopened = JoinClaims { channel: ChannelId::from("never opened"), ..good.clone() };
    assert_eq!(refused(&stage, &unopened, &request), (503, "retry".to_owned()));
    let endless = JoinClaims { exp: now_s() + 86_400, ..good.clone() };
    assert_eq!(refused(&stage, &endless, &request), (401, "token_invalid".to_owned()));
    let body = serde_json::to_vec(&request).unwrap();
    for token in [forger.sign(&good).unwrap(), String::new(), "x.y.z".to_owned()] {
        let refusal = stage.post(&token, body.clone()).unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str()), (401, "token_invalid"));
    }
    assert_eq!(stage.rtc.stats().peers, 0);
}

#[test]
fn the_scheme_of_the_token_is_read_in_any_case_and_no_other_scheme_is_taken() {
    let stage = Stage::new();
    let url = format!("http://{}/rtc/v1/join", stage.http);
    let body = serde_json::to_vec(&Offer::new(Profile::Call).request).unwrap();
    for (scheme, status) in [("Bearer", 200), ("bearer", 200), ("BEARER", 200), ("Basic", 401), ("Bearerx", 401)] {
        let authorization = format!("{scheme} {}", stage.token(&claims("alice")));
        let request = reqwest::Client::new().post(&url).header("authorization", authorization).body(body.clone());
        assert_eq!(stage.runtime.block_on(request.send()).unwrap().status(), status, "{scheme}");
    }
}

#[test]
fn offers_that_are_too_large_or_have_too_many_media_are_413() {
    let stage = Stage::new();
    let request = Offer::new(Profile::Call).request;
    let padding = "a=x-padding:abcdefghijklmnopqrstuvwxyz\r\n".repeat(200 * 1024 / 40);
    let large = JoinRequest { sdp: format!("{}{padding}", request.sdp), ..request.clone() };
    assert_eq!(refused(&stage, &claims("alice"), &large), (413, "offer_too_large".to_owned()));
    let huge = JoinRequest { sdp: padding.repeat(8), ..request.clone() };
    assert_eq!(refused(&stage, &claims("alice"), &huge), (413, "offer_too_large".to_owned()));
    let section = |index: usize| format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:x{index}\r\n");
    let many: String = (0..100).map(section).collect();
    let many = JoinRequest { sdp: format!("{}{many}", request.sdp), ..request.clone() };
    assert_eq!(refused(&stage, &claims("alice"), &many), (413, "too_many_media".to_owned()));
    stage.try_join(&claims("alice"), &request).unwrap();
}

#[test]
fn offers_that_make_no_sense_are_400_and_cost_nothing() {
    let stage = Stage::new();
    let request = Offer::new(Profile::Call).request;
    let with = |sdp: String| JoinRequest { sdp, ..request.clone() };
    for bad in [
        with(String::new()),
        with(request.sdp.replacen("t=0 0", "t=", 1)),
        with(request.sdp.replacen("s=", "\u{0}=", 1)),
        with(request.sdp.replace("a=group:BUNDLE", "a=x-group:BUNDLE")),
        with("v=0\r\nm=audio".to_owned()),
        with(request.sdp.replace("actpass", "passive")),
        with(request.sdp.replace("a=fingerprint:", "a=x-fingerprint:")),
        with(request.sdp.replace("a=ice-ufrag:", "a=x-ufrag:")),
        with(request.sdp.replace("VP8", "XYZ")),
        JoinRequest { purposes: [("nowhere".to_owned(), Purpose::Camera)].into(), ..request.clone() },
    ] {
        assert_eq!(refused(&stage, &claims("alice"), &bad), (400, "bad_offer".to_owned()), "{}", bad.sdp);
    }
    let too_many_slots = Offer::new(Profile::Meeting).request;
    let as_call = JoinRequest { profile: Profile::Call, ..too_many_slots };
    assert_eq!(refused(&stage, &claims("alice"), &as_call), (400, "bad_offer".to_owned()));
    let refusal = stage.post(&stage.token(&claims("alice")), b"{".to_vec()).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "bad_request"));
    assert_eq!(stage.rtc.stats().peers, 0);
}

#[test]
fn the_answer_makes_the_server_the_lite_passive_side_with_its_candidate() {
    let stage = Stage::new();
    let answer = stage.try_join(&claims("alice"), &Offer::new(Profile::Meeting).request).unwrap();
    assert!(answer.sdp.contains("a=ice-lite"));
    assert!(answer.sdp.contains("a=setup:passive") && !answer.sdp.contains("a=setup:active"));
    let port = stage.rtc.local_addr().port();
    assert!(answer.sdp.contains(&format!("127.0.0.1 {port} typ host")), "{}", answer.sdp);
    assert_eq!(answer.slots.epoch, 1);
}

#[test]
fn advertised_addresses_are_the_candidates() {
    let stage = Stage::with(|config| config.advertised = vec!["192.0.2.7".parse().unwrap()]);
    let answer = stage.try_join(&claims("alice"), &Offer::new(Profile::Call).request).unwrap();
    assert!(answer.sdp.contains("192.0.2.7") && !answer.sdp.contains("127.0.0.1 "));
}

#[test]
fn an_unspecified_media_address_is_told_as_those_of_the_interfaces() {
    let stage = Stage::with(|config| config.media_addr = "0.0.0.0:0".parse().unwrap());
    let answer = stage.try_join(&claims("alice"), &Offer::new(Profile::Call).request).unwrap();
    let candidates: Vec<&str> = answer.sdp.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert!(!candidates.is_empty() && candidates.iter().all(|line| !line.contains(" 0.0.0.0 ")), "{candidates:?}");
}

#[test]
fn offered_simulcast_is_answered_with_one_layer() {
    let stage = Stage::new();
    let mut request = Offer::new(Profile::Call).request;
    let camera = request.purposes.iter().find(|(_, purpose)| **purpose == Purpose::Camera).unwrap().0;
    let layers = "a=rid:l send\r\na=rid:h send\r\na=simulcast:send l;h\r\n";
    request.sdp = request.sdp.replace(&format!("a=mid:{camera}\r\n"), &format!("a=mid:{camera}\r\n{layers}"));
    let answer = stage.try_join(&claims("alice"), &request).unwrap();
    assert!(request.sdp.contains("simulcast") && !answer.sdp.contains("simulcast") && !answer.sdp.contains("a=rid:"));
}

#[test]
fn any_page_may_ask_beforehand() {
    let stage = Stage::new();
    let url = format!("http://{}/rtc/v1/join", stage.http);
    let response = stage
        .runtime
        .block_on(reqwest::Client::new().request(reqwest::Method::OPTIONS, url).header("origin", "https://app").send())
        .unwrap();
    assert_eq!(response.status(), 204);
    let header = |name| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("access-control-allow-origin"), "*");
    assert!(header("access-control-allow-headers").contains("authorization"));
}
