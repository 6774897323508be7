//! A year after the kill.

use super::{Opened, archives, payloads};
use anyhow::{Result, ensure};
use mqtt::Version;
use scenarios::data_directory::{PEOPLE, READER, SOON};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Members were online when the server was killed: that they are gone is counted from the start.
const GONE_SOON: [&str; 1] = ["meeting.gone_s=1"];
/// From a start on: the broker looks for sessions that have had their time twice a second.
const SESSIONS_END_WITHIN: Duration = Duration::from_secs(2);
/// A boot so long after the last run may be one with a wrong clock: until then nothing is over by it.
const IN_DOUBT: Duration = Duration::from_secs(11 * 60);
const POLL: Duration = Duration::from_millis(50);

#[test]
fn what_has_had_its_time_is_over_and_nothing_else_is_lost() {
    for (name, archive) in archives().expect("archives") {
        let opened = Opened::start(&archive, YEAR, &GONE_SOON).and_then(|mut opened| {
            opened.is_whole()?;
            opened.pass(IN_DOUBT)?;
            users_keys_and_missed_calls_are_there(&opened)?;
            sessions_and_their_messages_are_gone(&opened)?;
            opened.is_whole()
        });
        opened.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
}

fn sessions_and_their_messages_are_gone(opened: &Opened) -> Result<()> {
    std::thread::sleep(SESSIONS_END_WITHIN);
    let mut author = opened.author()?;
    let mut reader = opened.service(Version::V5, READER, |_| {})?;
    ensure!(!reader.session_present(), "a session lives longer than 30 days");
    assert_eq!(payloads(&opened.waiting(&mut reader, &mut author, READER)?), Vec::<String>::new());
    Ok(())
}

fn users_keys_and_missed_calls_are_there(opened: &Opened) -> Result<()> {
    let (meeting, missed) = (opened.told("meeting")?, opened.told("missed")?);
    for (user, name) in PEOPLE {
        let mut desk = opened.desk(user)?;
        let expected = match user {
            "bob" => BTreeSet::from([meeting]),
            "carol" => BTreeSet::from([meeting, missed]),
            _ => BTreeSet::new(),
        };
        let until = Instant::now() + SOON;
        // The deadlines of a year ago are kept after the start.
        let state = loop {
            let state = opened.ask(&mut desk, "state", meeting, &json!({}))?;
            let is_over = state["call"].is_null() && state["rings"].as_array().is_none_or(Vec::is_empty);
            if is_over && missed_meetings(&state) == expected {
                break state;
            }
            ensure!(Instant::now() < until, "{user}: {state}");
            std::thread::sleep(POLL);
        };
        ensure!(state["name"] == name && state["user"] == user, "{state}");
    }
    Ok(())
}

fn missed_meetings(state: &Value) -> BTreeSet<&str> {
    let outcomes = state["outcomes"].as_array().into_iter().flatten();
    outcomes.filter_map(|outcome| outcome["meeting"].as_str()).collect()
}
