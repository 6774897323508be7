//! A second after the kill.

use super::{Opened, archives, payloads};
use anyhow::{Context, Result, ensure};
use mqtt::Version;
use mqtt::client::Event;
use mqtt::codec::Properties;
use scenarios::data_directory::{
    BELL, CONTENT_TYPE, DONE, EXPIRES_AFTER, HELD, HOLDER, LEAVER, NEWS, NOTE, OLD_NEWS, OLD_READER, ORIGIN, READER,
    SETTINGS, SINK, SNAPSHOT, SOON, publish_collapsing, unpack,
};
use scenarios::link::Link;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

fn each(check: impl Fn(&Opened) -> Result<()>) {
    for (name, archive) in archives().expect("archives") {
        let opened = Opened::start(&archive, Duration::from_secs(1), &SETTINGS).and_then(|opened| {
            opened.is_whole()?;
            check(&opened)?;
            opened.is_whole()
        });
        opened.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
}

#[test]
fn what_waited_is_delivered_and_what_was_acknowledged_is_not() {
    each(all_get_what_waited);
}

#[test]
fn what_waited_is_delivered_also_without_the_snapshot() {
    let with_snapshot = archives().expect("archives").into_iter().filter(|(_, archive)| has_snapshot(archive));
    let with_snapshot: Vec<_> = with_snapshot.collect();
    assert!(!with_snapshot.is_empty(), "no archive has a snapshot");
    for (name, archive) in with_snapshot {
        let remove = |folder: &Path| Ok(fs::remove_file(folder.join(SNAPSHOT))?);
        let opened = Opened::start_changed(&archive, Duration::from_secs(1), &SETTINGS, remove);
        let checked = opened.and_then(|opened| all_get_what_waited(&opened));
        checked.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
}

fn has_snapshot(archive: &Path) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    unpack(archive, folder.path()).expect("an archive");
    folder.path().join(SNAPSHOT).exists()
}

fn all_get_what_waited(opened: &Opened) -> Result<()> {
    let mut author = opened.author()?;
    the_readers_get_their_news(opened, &mut author)?;
    the_holder_gets_what_it_has_not_acknowledged(opened, &mut author)?;
    let leaver = opened.service(Version::V5, LEAVER, |_| {})?;
    ensure!(!leaver.session_present(), "an ended session is back");
    the_sink_has_had_all(opened, &mut author)
}

/// What the log was filled with does not come back. Older archives know no such client.
fn the_sink_has_had_all(opened: &Opened, author: &mut Link) -> Result<()> {
    let mut sink = opened.service(Version::V5, SINK, |_| {})?;
    assert_eq!(payloads(&opened.waiting(&mut sink, author, SINK)?), Vec::<String>::new());
    Ok(())
}

fn the_readers_get_their_news(opened: &Opened, author: &mut Link) -> Result<()> {
    let mut reader = opened.service(Version::V5, READER, |options| options.session_expiry_interval = u32::MAX)?;
    ensure!(reader.session_present(), "the reader's session is lost");
    let messages = opened.waiting(&mut reader, author, READER)?;
    let news = NEWS.map(|(_, payload)| payload);
    let last_bell = format!("{} {}", BELL.0, BELL.1[1]);
    assert_eq!(payloads(&messages), [last_bell.as_str(), news[0], news[1], news[2], NOTE]);
    let second = messages[2].properties.view();
    assert_eq!((second.content_type(), second.user_property(ORIGIN.0)), (Some(CONTENT_TYPE), Some(ORIGIN.1)));
    let left_s = messages[3].properties.view().message_expiry_interval().context("the third expires")?;
    ensure!((EXPIRES_AFTER.as_secs() - 600..=EXPIRES_AFTER.as_secs()).contains(&u64::from(left_s)), "{left_s} s");

    let mut old_reader = opened.service(Version::V311, OLD_READER, |_| {})?;
    ensure!(old_reader.session_present(), "the old reader's session is lost");
    assert_eq!(payloads(&opened.waiting(&mut old_reader, author, OLD_READER)?), news);

    for (topic, payload) in [("meeting-down/news/three", "fresh"), (OLD_NEWS, "not subscribed")] {
        author.publish_durably(topic, payload.as_bytes(), Properties::EMPTY)?;
    }
    assert_eq!(payloads(&opened.waiting(&mut reader, author, READER)?), ["fresh"]);
    assert_eq!(payloads(&opened.waiting(&mut old_reader, author, OLD_READER)?), ["fresh"]);
    Ok(())
}

fn the_holder_gets_what_it_has_not_acknowledged(opened: &Opened, author: &mut Link) -> Result<()> {
    for version in [DONE.1 - 1, DONE.1, DONE.1 + 1] {
        publish_collapsing(author, HOLDER, DONE.0, version)?;
    }
    let mut holder = opened.service(Version::V5, HOLDER, |options| options.session_expiry_interval = u32::MAX)?;
    ensure!(holder.session_present(), "the holder's session is lost");
    let messages = opened.waiting(&mut holder, author, HOLDER)?;
    let newer = format!("{} {}", DONE.0, DONE.1 + 1);
    assert_eq!(payloads(&messages), [HELD[1], HELD[2], &newer]);
    ensure!(messages[..2].iter().all(|message| message.dup), "what was in flight comes again without DUP");
    Ok(())
}

#[test]
fn requests_that_were_acknowledged_are_answered() {
    each(|opened| {
        let wanted = opened.manifest["requests"].as_array().context("no requests")?;
        let mut wanted: BTreeSet<&str> = wanted.iter().filter_map(Value::as_str).collect();
        ensure!(!wanted.is_empty(), "there are none");
        let mut alice = opened.phone("alice")?;
        let until = Instant::now() + SOON;
        while !wanted.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let event = alice.next(left)?.with_context(|| format!("{} are not answered", wanted.len()))?;
            let Event::Message(message) = event else { continue };
            let said: Value = serde_json::from_slice(&message.payload)?;
            wanted.remove(said["in_reply_to"].as_str().unwrap_or_default());
            message.ack.into_iter().try_for_each(|ack| alice.acknowledge(ack))?;
        }
        Ok(())
    });
}

#[test]
fn the_call_stands_the_phone_rings_on_and_can_be_answered() {
    each(|opened| {
        let (meeting, missed) = (opened.told("meeting")?, opened.told("missed")?);
        let [mut alice, mut bob, mut carol, mut dora] =
            ["alice", "bob", "carol", "dora"].map(|user| opened.phone(user).expect("a phone logs in"));
        for (link, who) in [(&mut alice, "alice"), (&mut dora, "dora")] {
            let state = opened.ask(link, "state", meeting, &json!({}))?;
            ensure!(state["call"]["meeting"] == meeting, "{who} is not in the call: {state}");
            let members = state["call"]["roster"]["members"].as_array().context("no roster")?;
            let dora = members.iter().find(|member| member["user"] == "dora").context("no Dora")?;
            ensure!(dora["blocked"]["audio"] == true && dora["name"] == "Dora", "{dora}");
        }
        let state = opened.ask(&mut bob, "state", meeting, &json!({}))?;
        let ring = &state["rings"][0];
        ensure!(ring["meeting"] == meeting && ring["invitation"] == opened.manifest["invitation"], "{state}");
        ensure!(ring["title"] == "Standing" && ring["from_name"] == "Alice" && ring["media"] == "video", "{ring}");
        let accepted = opened.ask(&mut bob, "accept", meeting, &json!({ "invitation": ring["invitation"] }))?;
        ensure!(accepted["type"] == "admitted", "{accepted}");

        let first = [carol.message(SOON)?, carol.message(SOON)?].map(|message| message.payload);
        let told = first.map(|payload| serde_json::from_slice::<Value>(&payload).unwrap_or_default());
        let told: BTreeSet<_> = told.iter().map(|said| (said["type"].as_str(), said["meeting"].as_str())).collect();
        assert_eq!(told, BTreeSet::from([(Some("ended"), Some(missed)), (Some("invitation"), Some(meeting))]));
        let state = opened.ask(&mut carol, "state", meeting, &json!({}))?;
        ensure!(state["rings"][0]["meeting"] == meeting && state["outcomes"][0]["meeting"] == missed, "{state}");
        let declined = json!({ "invitation": state["rings"][0]["invitation"], "reason": "declined" });
        let ended = opened.ask(&mut carol, "reject", meeting, &declined)?;
        ensure!(ended["type"] == "ended", "{ended}");
        Ok(())
    });
}

#[test]
fn calls_that_were_over_are_in_the_history_of_every_version_that_kept_one() {
    each(|opened| {
        let mut alice = opened.phone("alice")?;
        let history = opened.ask(&mut alice, "history", opened.told("meeting")?, &json!({}))?;
        let calls: Vec<_> = history["calls"]
            .as_array()
            .context("no calls")?
            .iter()
            .map(|call| (&call["meeting"], &call["result"]))
            .collect();
        let results = [("missed", json!("cancelled")), ("answered", json!("answered"))];
        let expected: Vec<_> = results.iter().map(|(call, result)| (&opened.manifest[*call], result)).collect();
        if opened.manifest["keeps_history"] == true {
            assert_eq!(calls, expected);
        } else {
            ensure!(calls.is_empty(), "{history}");
        }
        Ok(())
    });
}
