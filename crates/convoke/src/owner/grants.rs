//! `convoke grants`: who may publish and subscribe where, and the question who may do what.

use super::call::{Call, Limit, Removal};
use super::failure::Failure;
use super::table::{Column, text};
use anyhow::{Result, bail};
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List grants.
    List {
        /// Those of this group.
        #[arg(long)]
        group: Option<String>,
        /// Those of this user.
        #[arg(long, conflicts_with = "group")]
        user: Option<String>,
        /// Those of this access key.
        #[arg(long, conflicts_with_all = ["group", "user"])]
        key: Option<String>,
        /// Those for this parent topic.
        #[arg(long)]
        topic: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show a grant.
    #[command(allow_missing_positional = true)]
    Show {
        #[command(flatten)]
        who: Who,
        topic: String,
    },
    /// Grant rights at a parent topic to the devices of a group or a user, or to an access key; to publish, if none is named.
    ///
    /// The first grant of an access key narrows the key for good: from then on it may do what its grants name, and nothing else.
    #[command(allow_missing_positional = true)]
    Create {
        #[command(flatten)]
        who: Who,
        topic: String,
        #[command(flatten)]
        rights: Rights,
        #[command(flatten)]
        unasked: Removal,
    },
    /// Change the rights of a grant to these and no others, at once.
    #[command(allow_missing_positional = true)]
    Update {
        #[command(flatten)]
        who: Who,
        topic: String,
        #[command(flatten)]
        rights: Rights,
    },
    /// Take all rights of a grant back, at once.
    #[command(allow_missing_positional = true)]
    Remove {
        #[command(flatten)]
        who: Who,
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

/// Whose grant it is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Who {
    /// A Group ID, as with --group.
    #[arg(value_name = "GROUP")]
    first: Option<String>,
    /// Of the devices of this group.
    #[arg(long)]
    group: Option<String>,
    /// Of the devices of this user.
    #[arg(long)]
    user: Option<String>,
    /// Of this access key.
    #[arg(long)]
    key: Option<String>,
}

impl Who {
    /// The field of a body that names it.
    fn named(self) -> (&'static str, String) {
        let named = [("group", self.first.or(self.group)), ("user", self.user), ("key", self.key)];
        let named = named.into_iter().find_map(|(field, name)| Some((field, name?)));
        named.unwrap_or_default()
    }
}

/// As paths and the log of changes name it.
fn grantee((field, name): &(&'static str, String)) -> String {
    if *field == "group" { name.clone() } else { format!("{field}:{name}") }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Rights")]
pub(crate) struct Rights {
    /// To publish to the topics of the parent.
    #[arg(long, action = ArgAction::SetTrue)]
    publish: bool,
    /// To subscribe to filters inside the parent.
    #[arg(long, action = ArgAction::SetTrue)]
    subscribe: bool,
    /// To publish to one client: TOPIC/p2p/CLIENT_ID.
    #[arg(long, action = ArgAction::SetTrue)]
    p2p: bool,
}

impl Rights {
    fn named(&self) -> Vec<&'static str> {
        let named = [("publish", self.publish), ("subscribe", self.subscribe), ("p2p", self.p2p)];
        named.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect()
    }

    fn or_to_publish(&self) -> Vec<&'static str> {
        let named = self.named();
        if named.is_empty() { vec!["publish"] } else { named }
    }
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

const COLUMNS: &[Column] =
    &[Column::new("WHO", "", who_of), Column::new("TOPIC", "topic", text), Column::new("RIGHTS", "rights", text)];
const NOTHING: &str = "There are no such grants. Next: convoke grants create GROUP TOPIC";
/// Of client ids; no key's id has it.
const OF_DEVICE: &str = "@@@";

fn who_of(grant: &Value) -> String {
    let named = ["user", "key"].into_iter().find(|field| grant[*field].is_string());
    match named {
        Some(field) => format!("{field}:{}", text(&grant[field])),
        None => text(&grant["group"]),
    }
}

fn said(whose: &str, topic: &str, rights: &[&str]) -> String {
    format!("{whose} has at {topic} now: {}.", rights.join(", "))
}

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List { group, user, key, topic, limit } => {
                let call = Call::list("grants", COLUMNS, limit.limit, NOTHING);
                call.with("group", group).with("user", user).with("key", key).with("topic", topic)
            }
            Self::Show { who, topic } => {
                let whose = grantee(&who.named());
                Call::show(format!("the grant {whose}/{topic}"), &["grants", &whose, &topic], COLUMNS)
            }
            Self::Create { who, topic, rights, unasked } => {
                let (who, rights) = (who.named(), rights.or_to_publish());
                let whose = grantee(&who);
                let next = next_test(&who, &topic, &rights);
                let mut body = Map::from_iter([(who.0.to_owned(), who.1.clone().into())]);
                body.insert("topic".to_owned(), topic.clone().into());
                body.insert("rights".to_owned(), json!(rights));
                let what = format!("grant {topic} to {whose}");
                let said = said(&whose, &topic, &rights);
                let narrows = who.0 == "key" && !unasked.yes;
                let confirm = narrows.then(|| {
                    format!(
                        "The first grant of the key {} narrows it for good to what its grants name, ends its connections and \
                         voids its tokens. Grant it?",
                        who.1
                    )
                });
                let call = Call::change(what, Method::POST, &["grants"], body.into(), said).once().then(next);
                Call { confirm, ..call }
            }
            Self::Update { who, topic, rights } => {
                let (whose, rights) = (grantee(&who.named()), rights.named());
                if rights.is_empty() {
                    let words = "a grant without rights gives nothing\n  remedy: give --publish, --subscribe or --p2p, or \
                                 remove the grant";
                    bail!(Failure::Usage(words.to_owned()));
                }
                let (what, said) = (format!("change the grant {whose}/{topic}"), said(&whose, &topic, &rights));
                let body = json!({ "rights": rights });
                Call::change(what, Method::PATCH, &["grants", &whose, &topic], body, said)
            }
            Self::Remove { who, topic, removal } => {
                let whose = grantee(&who.named());
                let what = format!("the grant {whose}/{topic}");
                Call::remove(&what, &["grants", &whose, &topic], &removal)
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

/// The question that the new grant answers.
fn next_test((field, name): &(&'static str, String), topic: &str, rights: &[&str]) -> String {
    let who = match *field {
        "group" => format!("{name}@@@DEVICE"),
        "user" => "CLIENT_ID".to_owned(),
        _ => name.clone(),
    };
    match rights.first() {
        Some(&"subscribe") => format!("convoke grants test {who} subscribe {topic}"),
        Some(&"p2p") => format!("convoke grants test {who} publish {topic}/p2p/CLIENT_ID"),
        _ => format!("convoke grants test {who} publish {topic}"),
    }
}
