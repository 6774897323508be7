//! `convoke grants`: which groups may publish to which parent topics, and the question who may do what.

use super::call::{Call, Limit, Removal};
use super::table::{Column, text};
use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List grants.
    List {
        /// Those of this group.
        #[arg(long)]
        group: Option<String>,
        /// Those for this parent topic.
        #[arg(long)]
        topic: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Let the devices of a group publish to a parent topic.
    Create { group: String, topic: String },
    /// Take that right back, at once.
    Remove {
        group: String,
        topic: String,
        #[command(flatten)]
        removal: Removal,
    },
    /// Ask whether a device or a service may publish or subscribe somewhere: exit code 0 if it may, else 1.
    Test {
        /// A client id (GID_phone@@@d1), registered or not; or the id of an access key.
        who: String,
        #[arg(value_enum)]
        action: Action,
        /// A topic, or the filter of a subscription.
        topic: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Action {
    Publish,
    Subscribe,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
        }
    }
}

const LIST: &[Column] = &[Column::new("GROUP", "group", text), Column::new("TOPIC", "topic", text)];
const NOTHING: &str = "There are no such grants. Next: convoke grants create GROUP TOPIC";
/// Of client ids; no key's id has it.
const OF_DEVICE: &str = "@@@";

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List { group, topic, limit } => {
                Call::list("grants", LIST, limit.limit, NOTHING).with("group", group).with("topic", topic)
            }
            Self::Create { group, topic } => {
                let what = format!("grant {topic} to {group}");
                let said = format!("Devices of {group} may publish to {topic}.");
                let next = format!("convoke grants test {group}@@@DEVICE publish {topic}");
                let body = json!({ "group": group, "topic": topic });
                Call::change(what, Method::POST, &["grants"], body, said).once().then(next)
            }
            Self::Remove { group, topic, removal } => {
                let what = format!("the grant {group}/{topic}");
                Call::remove(&what, &["grants", &group, &topic], &removal)
            }
            Self::Test { who, action, topic } => {
                let name = if who.contains(OF_DEVICE) { "client_id" } else { "key" };
                let what = format!("find out whether {who} may {} {topic}", action.name());
                let call = Call::verdict(what, &["grants:test"]).with(name, Some(who));
                call.with("action", Some(action.name())).with("topic", Some(topic))
            }
        })
    }
}
