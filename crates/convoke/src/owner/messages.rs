//! `convoke messages`: publish one, look at those of the queue, try dead letters again or drop them.

use super::call::{Call, Limit, Removal};
use super::table::{Column, moment, text};
use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// As much as a server takes that is not configured otherwise.
const PAYLOAD_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Publish a message with the rights of the key, and say where it went.
    Publish {
        /// A topic, or `<parent>/p2p/<client id>` for one client.
        topic: String,
        /// The payload, as text.
        #[arg(conflicts_with = "payload_file")]
        payload: Option<String>,
        /// Its bytes; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        payload_file: Option<PathBuf>,
        /// 1 is kept for receivers that are away.
        #[arg(long, value_name = "0|1", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
        qos: u8,
        /// For how many seconds it waits for a receiver that is away.
        #[arg(long, value_name = "SECONDS")]
        expiry: Option<u32>,
    },
    /// List messages that a queue topic holds, the newest first.
    List {
        topic: String,
        #[command(flatten)]
        part: Part,
    },
    /// List the dead letters of a consumer group, the newest first.
    DeadLetters {
        /// That of the broker is convoke-broker.
        group: String,
        #[command(flatten)]
        part: Part,
    },
    /// List the topics of the queue, with what their groups have still to consume.
    Topics(Limit),
    /// Show a dead letter with its payload.
    Show { group: String, message_id: String },
    /// Try a dead letter again: it becomes a new message, for all groups of its topic.
    Redrive {
        group: String,
        message_id: String,
        /// To this queue topic instead of the one that it came from.
        #[arg(long, value_name = "TOPIC")]
        to: Option<String>,
    },
    /// Drop a dead letter, for good.
    Drop {
        group: String,
        message_id: String,
        #[command(flatten)]
        removal: Removal,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Part {
    /// The oldest first.
    #[arg(long)]
    oldest: bool,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

const COLUMNS: &[Column] = &[
    Column::new("MESSAGE", "message_id", text),
    Column::new("STORED", "stored_at_ms", moment),
    Column::new("TAG", "tag", text),
    Column::new("BYTES", "payload_bytes", text),
    Column::new("CLIENT ID", "properties.clientId", text),
    Column::new("PAYLOAD", "", payload_of),
];
const LETTERS: &[Column] = &[
    Column::new("MESSAGE", "message_id", text),
    Column::new("STORED", "stored_at_ms", moment),
    Column::new("BYTES", "payload_bytes", text),
    Column::new("FROM TOPIC", "properties.deadLetterTopic", text),
    Column::new("REASON", "properties.deadLetterReason", text),
    Column::new("PAYLOAD", "", payload_of),
];
const LETTER: &[Column] = &[
    Column::new("MESSAGE", "message_id", text),
    Column::new("STORED", "stored_at_ms", moment),
    Column::new("FROM TOPIC", "properties.deadLetterTopic", text),
    Column::new("REASON", "properties.deadLetterReason", text),
    Column::new("TAG", "tag", text),
    Column::new("KEYS", "keys", text),
    Column::new("CLIENT ID", "properties.clientId", text),
    Column::new("BYTES", "payload_bytes", text),
    Column::new("PAYLOAD", "payload", text),
    Column::new("BASE64", "payload_base64", text),
];
const TOPICS: &[Column] = &[
    Column::new("TOPIC", "topic", text),
    Column::new("MESSAGES", "messages", text),
    Column::new("BYTES", "bytes", text),
    Column::new("GROUPS", "groups", groups),
];
const NO_TOPICS: &str = "The queue has no topics.";
const NO_MESSAGES: &str = "The topic holds no messages: each was consumed by all of its groups, or is too old.";
const NO_LETTERS: &str = "No message of this group is dead.";
/// Of a payload, in a table.
const SHOWN_CHARS: usize = 60;

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::Publish { topic, payload, payload_file, qos, expiry } => {
                let mut body = json!({ "topic": topic, "qos": qos });
                if let Some(seconds) = expiry {
                    body["expiry_s"] = seconds.into();
                }
                match payload_file {
                    Some(file) => body["payload_base64"] = STANDARD.encode(read(&file)?).into(),
                    None => body["payload"] = payload.unwrap_or_default().into(),
                }
                Call::told(format!("publish to {topic}"), &["messages"], body, places)
            }
            Self::List { topic, part } => {
                let path = ["queue-topics", &topic, "messages"];
                part.of(format!("list the messages of {topic}"), &path, COLUMNS, NO_MESSAGES)
            }
            Self::DeadLetters { group, part } => {
                let path = ["queue-groups", &group, "dead-letters"];
                part.of(format!("list the dead letters of {group}"), &path, LETTERS, NO_LETTERS)
            }
            Self::Topics(Limit { limit }) => {
                Call::list_at("list the topics of the queue".to_owned(), &["queue-topics"], TOPICS, limit, NO_TOPICS)
            }
            Self::Show { group, message_id } => {
                let path = ["queue-groups", &group, "dead-letters", &message_id];
                Call::show(format!("the dead letter {message_id} of {group}"), &path, LETTER)
            }
            Self::Redrive { group, message_id, to } => {
                let path = ["queue-groups", &group, "dead-letters", &message_id, "redrive"];
                let body = to.map_or_else(|| json!({}), |topic| json!({ "topic": topic }));
                Call::told(format!("try the dead letter {message_id} of {group} again"), &path, body, redriven)
            }
            Self::Drop { group, message_id, removal } => {
                let path = ["queue-groups", &group, "dead-letters", &message_id];
                Call::remove(&format!("the dead letter {message_id} of {group}"), &path, &removal)
            }
        })
    }
}

impl Part {
    fn of(self, what: String, path: &[&str], columns: &'static [Column], nothing: &'static str) -> Call {
        let from = if self.oldest { "oldest" } else { "newest" };
        Call::list_at(what, path, columns, self.limit, nothing).with("from", Some(from))
    }
}

/// # Errors
/// It cannot be read, or is too long.
fn read(file: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = PAYLOAD_BYTES_MAX + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(
        bytes.len() as u64 <= PAYLOAD_BYTES_MAX,
        "{} has more than {PAYLOAD_BYTES_MAX} bytes, which is more than the API takes\n  remedy: publish it over MQTT, where the server is configured for more",
        file.display()
    );
    Ok(bytes)
}

fn payload_of(message: &Value) -> String {
    if message["withheld"] == true {
        return "(for one client: shown to keys with the scope admin)".to_owned();
    }
    let payload = if message["payload"].is_string() { &message["payload"] } else { &message["payload_base64"] };
    let whole = text(payload);
    match whole.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &whole[..at]),
        None => whole,
    }
}

/// `workers: 3 waiting, 2 in flight, 1 due again`.
fn groups(groups: &Value) -> String {
    let one = |group: &Value| {
        let [name, waiting, in_flight, due_again] =
            ["group", "waiting", "in_flight", "due_again"].map(|field| text(&group[field]));
        format!("{name}: {waiting} waiting, {in_flight} in flight, {due_again} due again")
    };
    groups.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join("; ")
}

fn redriven(answer: &Value) -> Vec<String> {
    vec![format!("queue topic {}: message {}", text(&answer["topic"]), text(&answer["message_id"]))]
}

/// One line a place.
fn places(answer: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let [queue, receiver, subscribers] = ["queue", "receiver", "subscribers"].map(|place| &answer[place]);
    if queue.is_object() {
        lines.push(format!("queue topic {}: message {}", text(&queue["topic"]), text(&queue["message_id"])));
    }
    if receiver.is_object() {
        let online = if receiver["online"] == true { "connected" } else { "away" };
        lines.push(format!("{} ({online}): {}", text(&receiver["client_id"]), text(&receiver["outcome"])));
    }
    if subscribers.is_object() {
        let [online, inboxes] = ["online", "inboxes"].map(|field| text(&subscribers[field]));
        let outcome = text(&subscribers["outcome"]);
        lines.push(format!("subscribers: {online} connected, {inboxes} with inboxes: {outcome}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_of_a_message_is_a_line() {
        let answer = json!({
            "queue": { "topic": "orders", "message_id": "40" },
            "receiver": { "client_id": "GID_phone@@@d1", "online": false, "outcome": "stored" },
            "subscribers": { "online": 2, "inboxes": 1, "outcome": "stored" }
        });
        let expected = [
            "queue topic orders: message 40",
            "GID_phone@@@d1 (away): stored",
            "subscribers: 2 connected, 1 with inboxes: stored",
        ];
        assert_eq!(places(&answer), expected);
    }

    #[test]
    fn a_long_payload_is_cut_in_a_table() {
        let shown = payload_of(&json!({ "payload": "ö".repeat(100) }));
        assert_eq!(shown.chars().count(), SHOWN_CHARS + 1);
        assert_eq!(payload_of(&json!({ "payload_base64": "/w==" })), "/w==");
    }
}
