//! `convoke audit`: what was changed, by whom and when.

use super::call::Call;
use super::table::{Column, moment, text};
use anyhow::Result;
use clap::Subcommand;
use serde_json::{Map, Value};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List changes, the newest first; they are kept for 90 days.
    List {
        /// Changes of such things: group, topic, grant, key, user, device, link, token, dead_letter or meeting.
        #[arg(long)]
        kind: Option<String>,
        /// Changes of the thing with this id; of a grant GROUP/TOPIC.
        #[arg(long, value_name = "ID")]
        subject: Option<String>,
        /// Changes by these: key:billing, owner, device:…, link:….
        #[arg(long)]
        actor: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
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
const NOTHING: &str = "Nothing of the kind was changed in the last 90 days.";

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        let Self::List { kind, subject, actor, limit } = self;
        let call = Call::list("audit", LIST, limit, NOTHING);
        let call = Call { what: "list changes".to_owned(), ..call };
        Ok(call.with("kind", kind).with("subject", subject).with("actor", actor))
    }
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
