//! The page `docs/signalling.md`, generated from the schema and from the tables of the machine, so that it cannot
//! differ from them.

use crate::machine::answer_table::{ANSWERS, Answer, RequestKind};
use crate::machine::ring_table::{CALLEE, Notification, RingEvent, RingState, Transition};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

const HEAD: &str = "\
# Signalling

How a terminal and the meeting service talk, with all that a terminal's author needs. This page is generated
(`scripts/generate`): the messages from the types, the states from the table that the service follows. The same as a
schema for programs: `crates/signalling/signalling.schema.json`.

| topic | way | while the receiver is off |
|---|---|---|
| `meeting-up/<type>` | terminal → service | – |
| `ring-down/p2p/<clientId>/<type>` | service → terminal: rings and what ends them | kept to the expiry, collapsed by `invitation` and `rev` |
| `meeting-down/p2p/<clientId>/<type>` | service → terminal: everything else | kept 20 s; a `state` request brings it all back |

Signals are published and received with QoS 1. Nothing has to be subscribed to: what goes to `…/p2p/<clientId>/…`
reaches that client by itself. The broker stamps the sender; no field says who sent a signal.

A signal is one flat JSON object: the fields of the envelope, `type`, and the fields of that type. Unknown fields are
ignored. A field that is *optional* may be absent, or `null`, which is the same. Fields that end in `_ms` are
milliseconds, those in `_s` seconds. Other types than text, numbers and truth values are described [below](#types).

A request is handled once per `id`, however often it is delivered, and answered once, on the device that sent it, with
its `id` in `in_reply_to`: [what answers what](#what-answers-what). (`state`, `contacts`, `history` and `roster` are
answered as often as they are delivered.)

";

const WHAT_ANSWERS: &str = "
## What answers what

One answer to each request. It comes to the device that sent it, also where its user is in the meeting on another one;
what other devices and members are told besides names no request. *About a meeting* are all requests but `create`, those
that name an invitation, and `state`, `contacts`, `history` and `seen`.

";

const RING: &str = "
## The life of one ring

One invitation per callee user and ring. All devices of the callee ring; the first answer wins. The last four states are
final.

";

const RULES: &str = "
What the table does not show:

- The *caller* is the inviter, on the device with which the inviter is in the meeting. The caller of a `create` is told
  `admitted` first, then `waiting` for each callee of whom no device is online. A callee in another call is `busy` at
  once: no device rings, each is told `ended(no_answer)` with the outcome `missed_busy`, and the entry is kept until it
  is seen. If so nobody rings, there is no admission: `busy`, then `ended`.
- When too few are left, it ends, and everybody who is in is told `ended` on `meeting-down`, after the message of the
  table. A call needs two who are in, ringing or within reach. A meeting in which three have been at once, or that began
  with nobody called, ends when nobody is in.
- Who has left, or was gone for too long, may `join` again while the meeting goes on; who was taken out may not. The
  host's role passes to who has been in longest when the host goes, and does not come back with it.
- A client that ends its connection by itself (DISCONNECT) and has no media has left after 4 s, one that is lost after
  20 s. Media that the terminal closes is shown as there for 4 s more: a page that loads anew in that time changes nothing.
- While it goes on, the end of one callee's ring reaches the inviter as `ended` with `user`.
- A change of the roster goes to all members as `roster_changed`, to each at most once in 200 ms: what changed
  meanwhile comes together. `base` is the revision of the roster that the service told this member last (or an older
  one); a terminal that knows less has missed something, and asks for the `roster`. After a start of the service each
  member gets one whole `roster`.
- Two people who call each other meet: the second create is the accept of the first. An `accept` of that ring besides,
  from the same device, is answered by `admitted` again; after it a `cancel` or `leave` that names that create
  leaves nothing.
- A request that comes when all is decided changes nothing; its sender is told how it was decided, on `meeting-down`:
  on `ring-down` the inbox drops what is not newer than the end of the ring.
- A missed call is kept until a device of the user has `seen` it.
- A call that is over for a user is in its `history`, one entry for each meeting, for 90 days from its start. A call that
  was answered lasts from when the user was first in with somebody; who came back has one entry, with the times of all
  stays. Who was alone in a meeting and has called nobody has made no call.

";

/// What signals and each other's fields are made of, in the order in which a reader meets them.
const TYPES: [&str; 24] = [
    "Ring",
    "Roster",
    "RosterChange",
    "Member",
    "MemberState",
    "Muted",
    "Track",
    "Media",
    "RejectReason",
    "State",
    "StandingCall",
    "Joinable",
    "Outcome",
    "OutcomeKind",
    "PastCall",
    "Direction",
    "CallResult",
    "Person",
    "Contact",
    "Presence",
    "JoinParameters",
    "Profile",
    "TurnServer",
    "Source",
];

/// Bodies at the join endpoint and on the data channel.
const JOIN: [&str; 5] = ["JoinRequest", "Purpose", "JoinAnswer", "SlotMap", "Slot"];

const TYPES_HEAD: &str = "## Types

Ids and names are text:

";

const JOIN_HEAD: &str = "
## The way into the channel

A terminal posts a `JoinRequest` to `<endpoint>/rtc/v1/join`, with the token of its `JoinParameters` as
`Authorization: Bearer <token>`, and gets a `JoinAnswer`. There is one offer and one answer for the whole stay. Who is in
which slot changes by `SlotMap`s, which come as JSON on the data channel `slots`; the terminal opens it. Refusals of the
endpoint are in [wire.md](wire.md).
";

/// The whole page.
pub fn page() -> String {
    let schema: Value = serde_json::from_str(&signalling::schema::document()).expect("the schema is JSON");
    let types = &schema["definitions"];
    let mut page = HEAD.to_owned();
    page.push_str("## The envelope\n\n");
    page.push_str(&fields(&types["Up"]));
    page.push_str(&messages("\n## Requests (terminal → service)\n", &types["Up"]));
    page.push_str(&messages("\n## Answers and news (service → terminal)\n", &types["Down"]));
    page.push_str("\n## Codes of `refused`\n\n");
    page.push_str(&values(&types["RefusalCode"]));
    page.push_str("\n## Reasons of `ended`\n\n");
    page.push_str(&values(&types["EndReason"]));
    page.push_str(WHAT_ANSWERS);
    page.push_str(&answers());
    page.push_str(RING);
    page.push_str(&diagram());
    page.push('\n');
    page.push_str(&table());
    page.push_str(RULES);
    page.push_str(TYPES_HEAD);
    page.push_str(&texts(types));
    page.extend(TYPES.iter().map(|name| definition(name, &types[name])));
    page.push_str(JOIN_HEAD);
    page.extend(JOIN.iter().map(|name| definition(name, &types[name])));
    page
}

fn one_line(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

fn messages(title: &str, schema: &Value) -> String {
    let mut out = title.to_owned();
    for kind in schema["oneOf"].as_array().into_iter().flatten() {
        let name = kind["properties"]["type"]["const"].as_str().unwrap_or_default();
        let _ = write!(out, "\n### `{name}`\n\n{}\n", one_line(kind));
        let own = fields(kind);
        if !own.is_empty() {
            let _ = write!(out, "\n{own}");
        }
        if let Some(whole) = whole(kind) {
            let _ = write!(out, "\nFields: those of {}.\n", link(whole));
        }
    }
    out
}

/// The type whose fields are all that a kind has.
fn whole(kind: &Value) -> Option<&str> {
    let all_of = kind["allOf"].as_array().into_iter().flatten();
    all_of.chain([kind]).find_map(|part| part["$ref"].as_str()).and_then(name_of)
}

fn name_of(target: &str) -> Option<&str> {
    target.rsplit('/').next()
}

/// A table of the fields that a type has; empty if there are none.
fn fields(schema: &Value) -> String {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let own: Vec<_> = properties.filter(|(name, field)| *name != "type" || field["const"].is_null()).collect();
    if own.is_empty() {
        return String::new();
    }
    let mut out = "| field | type | |\n|---|---|---|\n".to_owned();
    let is_required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    for (name, field) in own {
        let optional = if is_required(name) { "" } else { ", optional" };
        let _ = writeln!(out, "| `{name}` | {}{optional} | {} |", type_of(field), one_line(field));
    }
    out
}

fn type_of(field: &Value) -> String {
    let named = field["$ref"].as_str().and_then(name_of).map(link);
    let parts = ["anyOf", "allOf"].into_iter().filter_map(|way| field[way].as_array()).flatten();
    let one_of = || parts.filter(|part| part["type"] != "null").map(type_of).next();
    named.or_else(one_of).unwrap_or_else(|| plain_type(field))
}

fn plain_type(field: &Value) -> String {
    let names = field["type"].as_array().map_or(std::slice::from_ref(&field["type"]), Vec::as_slice);
    match names.iter().filter_map(Value::as_str).find(|name| *name != "null") {
        Some("string") => "text".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("array") => format!("list of {}", type_of(&field["items"])),
        Some("object") => format!("object: text → {}", type_of(&field["additionalProperties"])),
        other => other.unwrap_or("anything").to_owned(),
    }
}

fn link(name: &str) -> String {
    match name {
        "RefusalCode" => "[code](#codes-of-refused)".to_owned(),
        "EndReason" => "[reason](#reasons-of-ended)".to_owned(),
        name if TYPES.contains(&name) || JOIN.contains(&name) => format!("[{name}](#type-{})", name.to_lowercase()),
        name => format!("[{name}](#types)"),
    }
}

/// The types that are text, each in a line.
fn texts(types: &Value) -> String {
    let all = types.as_object().into_iter().flatten();
    let texts = all.filter(|(_, schema)| schema["type"] == "string" && schema["enum"].is_null());
    texts.map(|(name, schema)| format!("- `{name}`: {}\n", one_line(schema))).collect()
}

fn definition(name: &str, schema: &Value) -> String {
    let own = fields(schema);
    let content = if own.is_empty() { values(schema) } else { own };
    format!("\n### Type {name}\n\n{}\n\n{content}", one_line(schema))
}

/// The values of an enumeration, with what is said of them.
fn values(schema: &Value) -> String {
    let mut out = String::new();
    for value in schema["oneOf"].as_array().into_iter().flatten() {
        let said = one_line(value);
        for word in value["const"].as_str().into_iter().chain(enumerated(value)) {
            let _ = writeln!(out, "- `{word}`{}", if said.is_empty() { String::new() } else { format!(": {said}") });
        }
    }
    for word in enumerated(schema) {
        let _ = writeln!(out, "- `{word}`");
    }
    out
}

fn enumerated(schema: &Value) -> impl Iterator<Item = &str> {
    schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn diagram() -> String {
    let mut out =
        "```mermaid\nstateDiagram-v2\n    [*] --> Invited: create, invite\n    [*] --> Busy: create, invite\n"
            .to_owned();
    for row in CALLEE.iter().filter(|row| row.from != row.to) {
        let _ = writeln!(out, "    {:?} --> {:?}: {}", row.from, row.to, event(row.event));
    }
    for last in [RingState::Answered, RingState::Declined, RingState::Busy, RingState::Ended] {
        let _ = writeln!(out, "    {last:?} --> [*]");
    }
    out.push_str("```\n");
    out
}

fn table() -> String {
    let mut out =
        "| callee is | event | becomes | caller is told | acting device | the callee's other devices | missed |\n\
                   |---|---|---|---|---|---|---|\n"
            .to_owned();
    for row in &CALLEE {
        let Transition { from, to, caller, acting, others, missed, .. } = row;
        let missed = if *missed { "yes" } else { "" };
        let (event, caller, acting, others) = (event(row.event), told(*caller), told(*acting), told(*others));
        let _ = writeln!(out, "| {from:?} | {event} | {to:?} | {caller} | {acting} | {others} | {missed} |");
    }
    out
}

fn answers() -> String {
    let mut out = "| request | when | answer |\n|---|---|---|\n".to_owned();
    for row in &ANSWERS {
        let request = match row.request {
            RequestKind::Any => "any".to_owned(),
            RequestKind::AboutMeeting => "about a meeting".to_owned(),
            RequestKind::Of(kinds) => kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" "),
        };
        let _ = writeln!(out, "| {request} | {} | {} |", row.when, answer(row.answer));
    }
    out
}

fn answer(answer: Answer) -> String {
    match answer {
        Answer::Admitted => "`admitted`".to_owned(),
        Answer::Ended(reason) => format!("`ended({})`", word(reason)),
        Answer::EndedAsDecided => "`ended`, as decided before".to_owned(),
        Answer::Refused(code) => format!("`refused({})`", word(code)),
        Answer::Ringing => "`ringing`".to_owned(),
        Answer::Roster => "`roster`".to_owned(),
        Answer::WhatChanged => "`roster_changed`, or a `roster` where the sender may have missed a change".to_owned(),
        Answer::Seen => "`seen`".to_owned(),
        Answer::State => "`state`".to_owned(),
        Answer::Contacts => "`contacts`".to_owned(),
        Answer::History => "`history`".to_owned(),
    }
}

fn event(event: RingEvent) -> &'static str {
    match event {
        RingEvent::Rings => "a device rings",
        RingEvent::Accepts => "a device accepts",
        RingEvent::Rejects => "a device rejects",
        RingEvent::Cancelled => "cancel",
        RingEvent::TimeOver => "the deadline passes",
        RingEvent::CallerGone => "the last member goes without a word",
        RingEvent::Destroyed => "destroy",
        RingEvent::Kicked => "kick",
    }
}

fn told(told: Notification) -> String {
    match told {
        Notification::Nothing => "–".to_owned(),
        Notification::Ringing => "`ringing`".to_owned(),
        Notification::Accepted => "`accepted`".to_owned(),
        Notification::Rejected => "`rejected`".to_owned(),
        Notification::Admitted => "`admitted`".to_owned(),
        Notification::Ended(reason) => format!("`ended({})`", word(reason)),
        Notification::AsDecided => "as decided before".to_owned(),
    }
}

fn word(word: impl Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
