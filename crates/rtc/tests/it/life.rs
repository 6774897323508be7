//! Joining, being lost, coming back, leaving.

use crate::client::{Offer, Order};
use crate::stage::{Stage, claims, id, the_channel, wish};
use rtc::ChannelEventKind::{Back, Lost};
use rtc::{ChannelError, DesiredChannel, LeftReason};
use signalling::{JoinClaims, Profile, Source};
use std::time::Duration;

#[test]
fn a_removed_participation_is_told_and_its_token_joins_no_more() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.join("alice", 1), stage.join("bob", 2));
    stage.expect_joined("alice");
    stage.expect_joined("bob");
    stage.remove("bob");
    stage.expect_left("bob", LeftReason::Removed);
    bob.until("the end", |seen| seen.closed);
    let offer = Offer::new(Profile::Call);
    let refusal = stage.try_join(&claims("bob"), &offer.request).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (410, "removed"));
    assert_eq!(stage.participants().len(), 1);
    assert!(!alice.seen().closed);
}

#[test]
fn a_newer_participation_of_the_same_client_replaces_the_older() {
    let mut stage = Stage::new();
    let alice = stage.join("alice", 1);
    let bob = stage.join("bob", 2);
    bob.sends(Source::Camera);
    alice.gets_more_from(2, 10);
    stage.wish("bob2", wish("bob"));
    let newer = stage.join_as(&JoinClaims { participation: id("bob2"), ..claims("bob") }, Profile::Call, 3);
    newer.sends(Source::Camera);
    bob.until("the end", |seen| seen.closed);
    alice.gets_more_from(3, 10);
    stage.expect_joined("alice");
    stage.expect_joined("bob");
    stage.expect_left("bob", LeftReason::Replaced);
    stage.expect_joined("bob2");
}

#[test]
fn the_same_participation_joins_again_after_a_crash_and_the_other_sees_it_again() {
    let mut stage = Stage::new();
    let alice = stage.join("alice", 1);
    let bob = stage.join("bob", 2);
    bob.sends(Source::Camera);
    alice.gets_more_from(2, 10);
    bob.order(Order::Hang(false));
    let again = stage.join("bob", 3);
    again.sends(Source::Camera);
    alice.gets_more_from(3, 10);
    stage.expect_joined("alice");
    stage.expect_joined("bob");
    stage.expect_joined("bob");
    assert_eq!(stage.participants().len(), 2);
}

#[test]
fn a_frozen_terminal_is_lost_and_back_and_one_that_stays_away_has_left() {
    let mut stage = Stage::with(|config| {
        config.lost_after = Duration::from_millis(1_500);
        config.gone_after = Duration::from_millis(3_500);
    });
    let (alice, bob) = (stage.join("alice", 1), stage.join("bob", 2));
    alice.sends(Source::Microphone);
    bob.sends(Source::Microphone);
    stage.expect_joined("alice");
    stage.expect_joined("bob");
    bob.gets_more_from(1, 10);
    bob.order(Order::Freeze(true));
    stage.expect("bob", Lost);
    bob.order(Order::Freeze(false));
    stage.expect("bob", Back);
    bob.order(Order::Freeze(true));
    stage.expect("bob", Lost);
    let waited = stage.expect("bob", rtc::ChannelEventKind::Left { reason: LeftReason::TimedOut });
    assert!(waited >= Duration::from_millis(1_000), "{waited:?}");
    assert_eq!(stage.participants().len(), 1);
}

#[test]
fn a_listener_that_only_sends_reports_is_not_lost() {
    let mut stage = Stage::with(|config| config.lost_after = Duration::from_millis(2_000));
    let (alice, bob) = (stage.join("alice", 1), stage.join("bob", 2));
    alice.sends(Source::Camera);
    stage.expect_joined("alice");
    stage.expect_joined("bob");
    bob.until("about four seconds of pictures", |seen| seen.total() >= 400);
    stage.remove("bob");
    stage.expect_left("bob", LeftReason::Removed);
}

#[test]
fn who_is_removed_before_its_data_channels_are_up_is_told_too() {
    let mut stage = Stage::new();
    let offer = Offer::new(Profile::Call);
    let answer = stage.try_join(&claims("bob"), &offer.request).unwrap();
    let bob = offer.go_with(answer, 2, vec![Order::ThrowAwayData]);
    stage.expect_joined("bob");
    bob.until("the server's half of the SCTP handshake", |seen| seen.thrown_away > 0);
    stage.remove("bob");
    stage.expect_left("bob", LeftReason::Removed);
    let seen = bob.until("the end", |seen| seen.closed);
    assert!(!seen.listens);
}

#[test]
fn a_terminal_that_neither_sends_nor_receives_media_is_not_lost() {
    let mut stage = Stage::with(|config| config.lost_after = Duration::from_millis(1_500));
    let alice = stage.join("alice", 1);
    stage.expect_joined("alice");
    alice.until("five signs of life that were asked for", |seen| seen.maps.len() >= 5);
    stage.remove("alice");
    stage.expect_left("alice", LeftReason::Removed);
}

#[test]
fn a_terminal_that_closes_has_left_at_once() {
    let mut stage = Stage::new();
    let (_alice, bob) = (stage.join("alice", 1), stage.join("bob", 2));
    stage.expect_joined("alice");
    stage.expect_joined("bob");
    // str0m closes nothing before its data channels are up.
    bob.until("the data channel", |seen| seen.listens);
    bob.order(Order::Hang(true));
    stage.expect_left("bob", LeftReason::Gone);
}

#[test]
fn a_join_that_never_connects_has_failed() {
    let mut stage = Stage::with(|config| config.join_timeout = Duration::from_millis(300));
    let offer = Offer::new(Profile::Call);
    stage.try_join(&claims("alice"), &offer.request).unwrap();
    stage.expect_left("alice", LeftReason::Failed);
    assert_eq!(stage.rtc.stats().peers, 0);
}

#[test]
fn a_closed_channel_ends_everybody_and_its_tokens_open_nothing() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.join("alice", 1), stage.join("bob", 2));
    stage.expect_joined("alice");
    stage.expect_joined("bob");
    stage.close();
    stage.close();
    stage.expect_left("alice", LeftReason::Closed);
    stage.expect_left("bob", LeftReason::Closed);
    for client in [&alice, &bob] {
        client.until("the end", |seen| seen.closed);
    }
    let offer = Offer::new(Profile::Call);
    assert_eq!(stage.try_join(&claims("alice"), &offer.request).unwrap_err().code, "channel_closed");
    assert_eq!(stage.rtc.stats().peers, 0);
}

#[test]
fn a_put_is_answered_by_where_the_channel_is_and_again_the_same() {
    let stage = Stage::with(|config| {
        config.limits.channels = 1;
        config.node = "node-7".to_owned();
    });
    stage.rtc.set_endpoints(vec!["https://media.example:8443".to_owned()]);
    let put = |name: &str, rev, desired| stage.runtime.block_on(stage.channels.put(name.into(), rev, desired));
    let open = || Some(DesiredChannel::default());
    let placed = put("call", 7, open()).unwrap();
    assert_eq!((placed.node.as_str(), placed.endpoints.len()), ("node-7", 1));
    assert_eq!(put("call", 7, open()), Ok(placed));
    assert_eq!(put("call", 6, open()), Err(ChannelError::Stale { present: 7 }));
    assert!(matches!(put("other", 1, open()), Err(ChannelError::Limit(_))));
    assert_eq!(stage.runtime.block_on(stage.channels.describe("other".into())), Ok(None));
    assert_eq!(stage.runtime.block_on(stage.channels.list()).unwrap().len(), 1);
}

#[test]
fn a_join_before_its_put_waits_for_it_and_one_that_no_put_follows_is_told_to_come_again() {
    let stage = Stage::with(|config| config.join_wait = Duration::from_secs(10));
    let early = JoinClaims { rev: 9, ..claims("zoe") };
    let offer = Offer::new(Profile::Call);
    std::thread::scope(|scope| {
        let joining = scope.spawn(|| stage.try_join(&early, &offer.request));
        while stage.rtc.stats().joins_waiting == 0 {
            std::thread::yield_now();
        }
        stage.wish("zoe", wish("zoe"));
        assert!(joining.join().unwrap().is_ok());
    });
    let stage = Stage::with(|config| config.join_wait = Duration::from_millis(100));
    let refusal = stage.try_join(&early, &offer.request).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str(), refusal.retry_after_s), (503, "retry", Some(1)));
    let unopened = JoinClaims { channel: "nowhere".into(), ..claims("zoe") };
    assert_eq!(stage.try_join(&unopened, &offer.request).unwrap_err().status, 503);
}

#[test]
fn channels_close_when_their_owner_is_gone_and_nobody_is_in_them() {
    let stage = Stage::with(|config| config.lease = Duration::from_millis(400));
    let alice = stage.join("alice", 1);
    let rev = |stage: &Stage| stage.runtime.block_on(stage.channels.describe(the_channel())).unwrap().map(|of| of.rev);
    stage.runtime.block_on(stage.channels.put("empty".into(), 1, Some(DesiredChannel::default()))).unwrap();
    let empty = |stage: &Stage| stage.runtime.block_on(stage.channels.describe("empty".into())).unwrap();
    stage.until("the empty one to close", empty, |found| found.is_none());
    assert_eq!(rev(&stage), Some(1), "somebody is in");
    alice.until("the data channel", |seen| seen.listens);
    alice.order(Order::Hang(true));
    stage.until("the other to close", rev, |rev| rev.is_none());
}

#[test]
fn a_stopped_server_closes_every_peer_and_refuses_joins() {
    let stage = Stage::new();
    let alice = stage.join("alice", 1);
    stage.rtc.shutdown();
    alice.until("the end", |seen| seen.closed);
    let answer = stage.runtime.block_on(stage.channels.put(the_channel(), 9, None));
    assert!(matches!(answer, Err(ChannelError::Unavailable(_))));
}

#[test]
fn a_media_port_in_use_is_named_with_cause_and_remedy() {
    let stage = Stage::new();
    let config = rtc::Config::new(stage.rtc.local_addr(), vec![stage.key.public()]);
    let error = rtc::Rtc::start(config).err().unwrap().to_string();
    assert!(error.contains(&stage.rtc.local_addr().to_string()) && error.contains("Stop the process"), "{error}");
}
