//! Picks facts out of what parts reported.

use serde_json::{Map, Value, json};
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
    let Ok(text) = std::fs::read_to_string(log) else { return json!({}) };
    let mut lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["fields"]["signal"] == *signal);
    line.map_or(json!({}), |line| pick(&line["span"], &["queue_message"]))
}

pub(super) fn names(roster: &Value) -> Vec<String> {
    let members = roster["members"].as_array().into_iter().flatten();
    members.filter_map(|m| m["user"].as_str().map(str::to_owned)).collect()
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

/// Whether a media report shows a good run of both of `user`'s sources, every frame as it was sent.
pub(super) fn is_flowing(media: &Value, user: &str) -> bool {
    const FRAMES: u64 = 30;
    const PACKETS: u64 = 50;
    let matched = |source: &str| source_of(media, user, source).map_or(0, |s| number(s, "frames_ok"));
    matched("camera") >= FRAMES && matched("microphone") >= PACKETS
}

/// What was received of `user`, by source.
pub(super) fn received(media: &Value, user: &str) -> Value {
    let (camera, microphone) = (source_of(media, user, "camera"), source_of(media, user, "microphone"));
    let of = |source: Option<&Value>, name: &str| source.map_or(0, |s| number(s, name));
    json!({
        "pictures": of(camera, "frames_ok"), "altered": of(camera, "frames_bad") + of(microphone, "frames_bad"),
        "packets": of(camera, "packets") + of(microphone, "packets"),
        "lost": of(camera, "lost") + of(microphone, "lost"),
        "speech": of(microphone, "frames_ok"), "cipher": media["cipher"],
    })
}

fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or(0)
}

fn source_of<'a>(media: &'a Value, user: &str, source: &str) -> Option<&'a Value> {
    media["sources"].as_array()?.iter().find(|s| s["user"] == user && s["source"] == source)
}
