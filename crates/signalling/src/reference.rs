//! `docs/signalling.md`, written from the schema and from the table of a ring, so that it cannot differ from them.

use crate::meeting::table::{CALLEE, Event, State, Told, Transition};
use crate::signal::EndReason;
use serde_json::Value;
use std::fmt::Write as _;

const HEAD: &str = "\
# Signalling

How a terminal and the meeting service talk. This page is generated
(`cargo run -p signalling --example reference > docs/signalling.md`): the messages from the types, the states from the
table that the service follows. The exact fields are in `crates/signalling/signalling.schema.json`.

A signal is one flat JSON object: the fields of the envelope (`v`, `id`, `meeting`, `sent_at_ms`, `expires_at_ms`,
`in_reply_to`), `type`, and the fields of that type. Unknown fields are ignored.

| topic | way | while the receiver is off |
|---|---|---|
| `meeting-up/<type>` | terminal → service | – |
| `ring-down/p2p/<clientId>/<type>` | service → terminal: rings and what ends them | kept to the expiry, collapsed by `invitation` and `rev` |
| `meeting-down/p2p/<clientId>/<type>` | service → terminal: everything else | kept 20 s; a `state` request brings it all back |

A request is handled once per `id`, however often it is delivered. What succeeds and has no answer of its own is answered
by a newer `roster`; what fails, by `refused` with a code and words.

";

const RING: &str = "
## The life of one ring

One invitation per callee user and ring. All devices of the callee ring; the first answer wins. The last four states are
final.

";

const RULES: &str = "
What the table does not show:

- The *caller* is the inviter, on the device with which the inviter is in the meeting. The caller of a `create` is told
  `admitted` first, and `waiting` for each callee of whom no device is online. A callee in another call is `busy` at
  once: no device rings, a missed entry is kept.
- When too few are left (a meeting that began by calling somebody needs two who are in, ringing or within reach), it
  ends, and everybody who is in is told `ended` on `meeting-down`, after the message of the table.
- While it goes on, the end of one callee's ring reaches the inviter as `ended` with `user`.
- Every change of the roster goes to all members as `roster`.
- Two people who call each other meet: the second create is the accept of the first.
- A request that comes when all is decided changes nothing; its sender is told how it was decided.
- A missed call is kept until a device of the user has `seen` it.

";

/// The whole page.
pub fn page() -> String {
    let schema: Value = serde_json::from_str(&crate::schema::document()).expect("the schema is JSON");
    let mut page = HEAD.to_owned();
    page.push_str(&messages("## Requests (terminal → service)", &schema["definitions"]["Up"]));
    page.push('\n');
    page.push_str(&messages("## Answers and news (service → terminal)", &schema["definitions"]["Down"]));
    page.push('\n');
    page.push_str(&words("## Codes of `refused`", &schema["definitions"]["RefusalCode"]));
    page.push_str(RING);
    page.push_str(&diagram());
    page.push('\n');
    page.push_str(&table());
    page.push_str(RULES);
    page.push_str(&words("## Reasons of `ended`", &schema["definitions"]["EndReason"]));
    page
}

fn one_line(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

fn messages(title: &str, schema: &Value) -> String {
    let mut out = format!("{title}\n\n| type | fields | |\n|---|---|---|\n");
    for kind in schema["oneOf"].as_array().into_iter().flatten() {
        let name = kind["properties"]["type"]["const"].as_str().unwrap_or_default();
        let own = kind["properties"].as_object().into_iter().flatten().map(|(field, _)| field.as_str());
        let mut fields: Vec<String> = own.filter(|field| *field != "type").map(|field| format!("`{field}`")).collect();
        fields.extend(references(kind));
        let _ = writeln!(out, "| `{name}` | {} | {} |", fields.join(" "), one_line(kind));
    }
    out
}

/// Names of the types whose fields a kind has.
fn references(kind: &Value) -> Vec<String> {
    let all_of = kind["allOf"].as_array().into_iter().flatten();
    let targets = all_of.chain([kind]).filter_map(|part| part["$ref"].as_str());
    targets.filter_map(|target| target.rsplit('/').next()).map(|name| format!("those of `{name}`")).collect()
}

/// The values of an enumeration, with what is said of them.
fn words(title: &str, schema: &Value) -> String {
    let mut out = format!("{title}\n\n");
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
    for last in [State::Answered, State::Declined, State::Busy, State::Ended] {
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

fn event(event: Event) -> &'static str {
    match event {
        Event::Rings => "a device rings",
        Event::Accepts => "a device accepts",
        Event::Rejects => "a device rejects",
        Event::Cancelled => "cancel",
        Event::TimeOver => "the deadline passes",
        Event::CallerGone => "the last member goes without a word",
        Event::Destroyed => "destroy",
        Event::Kicked => "kick",
    }
}

fn told(told: Told) -> String {
    match told {
        Told::Nothing => "–".to_owned(),
        Told::Ringing => "`ringing`".to_owned(),
        Told::Accepted => "`accepted`".to_owned(),
        Told::Rejected => "`rejected`".to_owned(),
        Told::Admitted => "`admitted`".to_owned(),
        Told::Ended(reason) => format!("`ended({})`", word(reason)),
        Told::AsDecided => "as decided before".to_owned(),
    }
}

fn word(reason: EndReason) -> String {
    serde_json::to_value(reason).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
