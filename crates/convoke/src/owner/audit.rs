//! `convoke audit`: what was changed, by whom and when.

use super::call::{Call, Limit};
use super::table::{Column, moment, text};
use anyhow::Result;
use clap::Subcommand;
use serde_json::{Map, Value};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List changes, the newest first; they are kept for 90 days.
    List {
        /// Changes of such things: group, topic, grant, key, user, device, link, token, dead_letter, queue_topic, queue_group or meeting.
        #[arg(long)]
        kind: Option<String>,
        /// Changes of the thing with this id; of a grant GROUP/TOPIC, user:USER/TOPIC or key:KEY/TOPIC.
        #[arg(long, value_name = "ID")]
        subject: Option<String>,
        /// Changes by these: key:billing, owner, device:…, link:….
        #[arg(long)]
        actor: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// List refused requests of the last hour (401, 403, 429) by key and minute, the newest first.
    Refusals(Limit),
}

const LIST: &[Column] = &[
    Column::new("AT", "at_ms", moment),
    Column::new("BY", "actor", text),
    Column::new("FROM", "address", text),
    Column::new("ACTION", "action", text),
    Column::new("KIND", "kind", text),
    Column::new("SUBJECT", "subject", text),
    Column::new("CHANGE", "", difference),
];
const REFUSALS: &[Column] = &[
    Column::new("MINUTE", "minute_ms", moment),
    Column::new("BY", "actor", who),
    Column::new("401", "unauthorized", text),
    Column::new("403", "forbidden", text),
    Column::new("429", "too_many", text),
];
const NONE_REFUSED: &str = "No request was refused in the last hour.";
const NOTHING: &str = "Nothing of the kind was changed in the last 90 days.";

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List { kind, subject, actor, limit } => {
                let call = Call::list_at("list changes".to_owned(), &["audit"], LIST, limit, NOTHING);
                call.with("kind", kind).with("subject", subject).with("actor", actor)
            }
            Self::Refusals(Limit { limit }) => {
                let path = ["audit", "refusals"];
                Call::list_at("list refused requests".to_owned(), &path, REFUSALS, limit, NONE_REFUSED)
            }
        })
    }
}

fn who(actor: &Value) -> String {
    if actor.is_null() { "(no known key)".to_owned() } else { text(actor) }
}

/// The fields that are different: `rule to_queue → both`. What begins or ends is told by the action alone.
fn difference(change: &Value) -> String {
    let (Value::Object(before), Value::Object(after)) = (&change["before"], &change["after"]) else {
        return String::new();
    };
    // Of other changes than updates the log keeps what they were about, not all of the thing.
    let gone = before.keys().filter(|name| change["action"] == "update" && !after.contains_key(*name));
    let changed = gone.chain(after.keys()).filter(|&name| before.get(name) != after.get(name));
    let told = changed.map(|name| format!("{name} {} → {}", field(before, name), field(after, name)));
    told.collect::<Vec<_>>().join("; ")
}

fn field(fields: &Map<String, Value>, name: &str) -> String {
    let value = fields.get(name).unwrap_or(&Value::Null);
    let shown = if name.ends_with("_ms") { moment(value) } else { text(value) };
    if shown.is_empty() { "-".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_tells_the_fields_that_are_different() {
        let (before, after) =
            (json!({ "a": 1, "rule": "none", "end_ms": 1 }), json!({ "a": 1, "rule": "both", "new": ["x", "y"] }));
        let change = |action: &str| json!({ "action": action, "before": before, "after": after });
        let update = "end_ms 1970-01-01 00:00:00Z → -; new - → x,y; rule none → both";
        assert_eq!(difference(&change("update")), update);
        assert_eq!(difference(&change("rotate")), "new - → x,y; rule none → both");
        assert_eq!(difference(&json!({ "action": "create", "after": after })), "");
    }
}
