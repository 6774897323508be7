//! `convoke queue`: topics and consumer groups of the queue.

use super::Options;
use super::call::{Call, Limit};
use super::command::Noun;
use super::failure::Failure;
use super::table::{Column, text};
use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// Topics of the queue, and their types.
    #[command(
        after_help = "Examples:\n  convoke queue topics create orders\n  convoke queue topics create steps --type fifo"
    )]
    Topics(Noun<TopicVerb>),
    /// Consumer groups, and what they have still to consume.
    #[command(
        after_help = "Examples:\n  convoke queue groups create shop --max-attempts 5\n  convoke queue groups create line --fifo\n  convoke queue groups show shop"
    )]
    Groups(Noun<GroupVerb>),
}

impl Queue {
    pub(super) fn into_call(self) -> Result<(Call, Options)> {
        use super::Verb as _;
        Ok(match self {
            Self::Topics(Noun { verb, options }) => (verb.call()?, options),
            Self::Groups(Noun { verb, options }) => (verb.call()?, options),
        })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicVerb {
    /// List the topics of the queue, with what they hold.
    List(Limit),
    /// Show a topic, with what its groups have still to consume.
    Show { topic: String },
    /// Create a topic; the same one again stays as it is.
    Create {
        /// Up to 120 of A-Z a-z 0-9 - _.
        topic: String,
        /// Which messages it takes; it keeps its type.
        #[arg(long = "type", value_enum, value_name = "TYPE", default_value_t)]
        topic_type: TopicType,
    },
}

/// Which messages a topic takes.
#[derive(Clone, Copy, Debug, Default, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TopicType {
    /// Those with neither message group nor delivery time.
    #[default]
    Normal,
    /// Those with a message group, which come in the order of their group.
    Fifo,
    /// Those with a delivery time.
    Delay,
    /// Those of a transaction; no server makes such topics yet.
    Transaction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupVerb {
    /// List consumer groups.
    List(Limit),
    /// Show a consumer group, with what it has still to consume.
    Show { group: String },
    /// Create a consumer group; the same one again stays as it is.
    Create {
        /// Up to 120 of A-Z a-z 0-9 - _.
        group: String,
        /// Hand-outs of one message before it is a dead letter, 1 to 1000.
        #[arg(long, value_name = "NUMBER", default_value_t = 16)]
        max_attempts: u32,
        /// Its push consumers process the messages of a message group one after the other.
        #[arg(long)]
        fifo: bool,
    },
    /// Change a consumer group.
    Update {
        group: String,
        /// Hand-outs of one message before it is a dead letter, 1 to 1000.
        #[arg(long, value_name = "NUMBER")]
        max_attempts: Option<u32>,
        /// Whether its push consumers process the messages of a message group one after the other.
        #[arg(long, value_name = "BOOL")]
        fifo: Option<bool>,
    },
}

const TOPICS: &[Column] = &[
    Column::new("TOPIC", "topic", text),
    Column::new("TYPE", "type", text),
    Column::new("MESSAGES", "messages", text),
    Column::new("DELAYED", "delayed", text),
    Column::new("BYTES", "bytes", text),
    Column::new("GROUPS", "groups", of_groups),
];
const GROUPS: &[Column] = &[
    Column::new("GROUP", "group", text),
    Column::new("MAX ATTEMPTS", "max_attempts", text),
    Column::new("FIFO", "fifo", text),
    Column::new("TOPICS", "topics", of_topics),
];
const NO_TOPICS: &str = "The queue has no topics. Next: convoke queue topics create orders";
const NO_GROUPS: &str = "There are no consumer groups yet. Next: convoke queue groups create shop";

impl super::Verb for TopicVerb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List(Limit { limit }) => {
                Call::list_at("list the topics of the queue".to_owned(), &["queue-topics"], TOPICS, limit, NO_TOPICS)
            }
            Self::Show { topic } => Call::show(format!("the queue topic {topic}"), &["queue-topics", &topic], TOPICS),
            Self::Create { topic, topic_type } => {
                let (what, said) =
                    (format!("create the queue topic {topic}"), format!("There is a queue topic {topic}."));
                let body = json!({ "topic": topic, "type": topic_type });
                Call::change(what, Method::POST, &["queue-topics"], body, said)
            }
        })
    }
}

impl super::Verb for GroupVerb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List(Limit { limit }) => {
                Call::list_at("list the consumer groups".to_owned(), &["queue-groups"], GROUPS, limit, NO_GROUPS)
            }
            Self::Show { group } => {
                Call::show(format!("the consumer group {group}"), &["queue-groups", &group], GROUPS)
            }
            Self::Create { group, max_attempts, fifo } => {
                let what = format!("create the consumer group {group}");
                let said = format!("There is a consumer group {group}.");
                let body = json!({ "group": group, "max_attempts": max_attempts, "fifo": fifo });
                Call::change(what, Method::POST, &["queue-groups"], body, said)
            }
            Self::Update { group, max_attempts, fifo } => {
                let given = [("max_attempts", max_attempts.map(Value::from)), ("fifo", fifo.map(Value::from))];
                let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
                let body: Map<_, _> = given.collect();
                if body.is_empty() {
                    let words = "nothing is to be changed\n  remedy: give --max-attempts or --fifo";
                    bail!(Failure::Usage(words.to_owned()));
                }
                let what = format!("change the consumer group {group}");
                let said = format!("The consumer group {group} is as you wish.");
                Call::change(what, Method::PATCH, &["queue-groups", &group], body.into(), said)
            }
        })
    }
}

/// `shop: 3 waiting, 2 in flight, 1 due again`.
fn of_groups(groups: &Value) -> String {
    lag(groups, "group")
}

fn of_topics(topics: &Value) -> String {
    lag(topics, "topic")
}

fn lag(all: &Value, name: &str) -> String {
    let one = |each: &Value| {
        let [name, waiting, in_flight, due_again] =
            [name, "waiting", "in_flight", "due_again"].map(|field| text(&each[field]));
        format!("{name}: {waiting} waiting, {in_flight} in flight, {due_again} due again")
    };
    all.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_consume_is_said_for_each() {
        let topics = json!([{ "topic": "orders", "waiting": 3, "in_flight": 2, "due_again": 1 }]);
        assert_eq!(of_topics(&topics), "orders: 3 waiting, 2 in flight, 1 due again");
    }
}
