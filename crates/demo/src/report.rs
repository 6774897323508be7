//! Facts, picked out of what parts reported.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The named fields that are there.
pub(super) fn pick(from: &Value, names: &[&str]) -> Value {
    let fields = names.iter().filter(|name| !from[**name].is_null());
    Value::Object(fields.map(|name| ((*name).to_owned(), from[*name].clone())).collect::<Map<_, _>>())
}

pub(super) fn add(to: &mut Value, more: Value) {
    if let (Some(to), Value::Object(more)) = (to.as_object_mut(), more) {
        to.extend(more);
    }
}

/// What the meeting service logged of a request: its message id on the queue, which is its log position in hex.
pub(super) fn queued(log: &Path, signal: &Value) -> Value {
    let line = last_line(log, |line| line["fields"]["signal"] == *signal);
    pick(&line["span"], &["queue_message"])
}

/// What the server logged when it rebuilt its state at its last start.
pub(super) fn recovered(log: &Path) -> Value {
    let of = |message: &str| last_line(log, |line| line["fields"]["message"] == message)["fields"].take();
    let mut facts = pick(&of("log replayed"), &["records", "bytes"]);
    add(&mut facts, pick(&of("meetings taken up"), &["meetings"]));
    facts
}

/// Where the server said that it takes media.
pub(super) fn media_address(log: &Path) -> Value {
    last_line(log, |line| line["fields"]["message"] == "media port open")["fields"]["local_addr"].take()
}

/// Why the program of this log could not go on, as it said itself at the end, remedy included.
pub(super) fn last_words(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let at = text.rfind("convoke: ").filter(|at| text[..*at].is_empty() || text[..*at].ends_with('\n'))?;
    Some(text[at..].trim_start_matches("convoke: ").trim_end().to_owned())
}

/// The last wanted line of a log in JSON; null if there is none.
fn last_line(log: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut lines = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
    lines.find(wanted).unwrap_or_default()
}

/// How often each invitation occurs among events; the same ring that goes on counts once.
pub(super) fn per_invitation(events: &[Value]) -> Vec<usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for event in events.iter().filter(|e| e["resumed"] != true) {
        *counts.entry(event["invitation"].to_string()).or_default() += 1;
    }
    counts.into_values().collect()
}

/// Packets of one source at the RTC server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub received: u64,
    pub forwarded: u64,
    pub dropped_blocked: u64,
}

impl Traffic {
    pub(super) fn of(channel: &Value, user: &str, source: &str) -> Option<Self> {
        let mut participants = channel["participants"].as_array()?.iter();
        let participant = participants.find(|p| p["user"] == user && p["connected"] == true)?;
        let traffic = participant["traffic"].as_array()?.iter().find(|t| t["source"] == source)?;
        let number = |name: &str| traffic[name].as_u64().unwrap_or(0);
        Some(Self {
            received: number("received"),
            forwarded: number("forwarded"),
            dropped_blocked: number("dropped_blocked"),
        })
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            received: self.received.saturating_sub(before.received),
            forwarded: self.forwarded.saturating_sub(before.forwarded),
            dropped_blocked: self.dropped_blocked.saturating_sub(before.dropped_blocked),
        }
    }
}
