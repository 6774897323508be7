//! `convoke topics`: parent topics and their rules.

use super::call::{Call, Limit, RemovalOfAll};
use super::failure::Failure;
use super::table::{Column, text};
use super::time::Span;
use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List parent topics.
    List(Limit),
    /// Show a parent topic, and what hangs on it.
    Show { topic: String },
    /// Create a parent topic; the same one again stays as it is.
    ///
    /// Messages from devices and messages to them get parent topics of their own; so do messages of another priority or size.
    Create {
        /// 3 to 64 characters of A-Z a-z 0-9 - _; unique without regard to case.
        topic: String,
        #[arg(long, value_enum)]
        rule: Rule,
        /// How long messages wait for who is off, at most (45s, 12h; 0s: not at all); else three days, like any.
        #[arg(long, value_name = "TIME")]
        kept: Option<Span>,
    },
    /// Change the rule of a parent topic, or how long its messages wait for who is off.
    Update {
        topic: String,
        #[arg(long, value_enum)]
        rule: Option<Rule>,
        /// How long messages wait for who is off, at most (45s, 12h; 0s: not at all).
        #[arg(long, value_name = "TIME")]
        kept: Option<Span>,
        /// Messages wait as long as any: three days.
        #[arg(long, conflicts_with = "kept")]
        kept_like_any: bool,
    },
    /// Remove a parent topic; with --force its grants, too.
    Remove {
        topic: String,
        #[command(flatten)]
        removal: RemovalOfAll,
    },
}

/// What happens between MQTT and the queue.
#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[value(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    /// Messages stay inside the broker.
    None,
    /// What is published goes to the queue topic of the same name.
    ToQueue,
    /// What is in the queue topic is delivered.
    FromQueue,
    /// Both of these.
    Both,
}

const LIST: &[Column] = &[
    Column::new("TOPIC", "topic", text),
    Column::new("RULE", "rule", text),
    Column::new("KEPT", "kept_s", kept),
    Column::new("WARNINGS", "warnings", warnings),
];
const CARD: &[Column] = &[
    Column::new("TOPIC", "topic", text),
    Column::new("RULE", "rule", text),
    Column::new("KEPT", "kept_s", kept),
    Column::new("GRANTS", "grants", text),
    Column::new("WARNINGS", "warnings", words_of_warnings),
];
const NOTHING: &str = "There are no parent topics yet. Next: convoke topics create orders-up --rule to_queue";

fn kept(kept_s: &Value) -> String {
    match kept_s.as_u64() {
        None => "like any".to_owned(),
        Some(0) => "not".to_owned(),
        Some(seconds) => format!("{seconds} s"),
    }
}

fn each(warnings: &Value, field: &str) -> Vec<String> {
    warnings.as_array().into_iter().flatten().map(|warning| text(&warning[field])).collect()
}

fn warnings(warnings: &Value) -> String {
    each(warnings, "warning").join(",")
}

fn words_of_warnings(warnings: &Value) -> String {
    each(warnings, "words").join("; ")
}

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List(Limit { limit }) => Call::list("topics", LIST, limit, NOTHING),
            Self::Show { topic } => Call::show(format!("the parent topic {topic}"), &["topics", &topic], CARD),
            Self::Create { topic, rule, kept } => {
                let what = format!("create the parent topic {topic}");
                let said = format!("There is a parent topic {topic}.");
                let mut body = json!({ "topic": topic, "rule": rule });
                if let Some(kept) = kept {
                    body["kept_s"] = kept.seconds.into();
                }
                Call::change(what, Method::POST, &["topics"], body, said)
                    .once()
                    .then(format!("convoke grants create GROUP {topic}"))
            }
            Self::Update { topic, rule, kept, kept_like_any } => {
                let mut body = Map::new();
                let mut set =
                    |name: &str, value: Option<Value>| body.extend(value.map(|value| (name.to_owned(), value)));
                set("rule", rule.map(|rule| json!(rule)));
                set("kept_s", kept.map(|kept| kept.seconds.into()));
                set("kept_s", kept_like_any.then_some(Value::Null));
                if body.is_empty() {
                    let words = "nothing is to be changed\n  remedy: give --rule, --kept or --kept-like-any";
                    bail!(Failure::Usage(words.to_owned()));
                }
                let (what, said) =
                    (format!("change the parent topic {topic}"), format!("Changed the parent topic {topic}."));
                Call::change(what, Method::PATCH, &["topics", &topic], Value::Object(body), said)
            }
            Self::Remove { topic, removal } => {
                let what = format!("the parent topic {topic}");
                Call::remove_all(&what, &["topics", &topic], "its grants", &removal)
            }
        })
    }
}
