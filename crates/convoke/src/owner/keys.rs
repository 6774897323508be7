//! `convoke keys`: access keys of services, and API keys of those who administer.

use super::call::{Call, Limit, Removal, SecretTo};
use super::failure::Failure;
use super::table::{Column, end, moment, text, yes_or_no};
use super::time::{Span, from_now, utc};
use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};
use signalling::topics::INSTANCE;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List keys, without their secrets.
    List(Limit),
    /// Show a key, without its secrets, and what hangs on it.
    Show { key: String },
    /// Create a key, and print its secret this once.
    Create(Create),
    /// Change scopes, note or expiry of a key.
    Update(Update),
    /// Give a key a new secret, and print it this once; the one before stays valid for a while.
    Rotate {
        key: String,
        /// For how long the secret of now stays valid (90m, 12h, 7d), up to 30d; a day without it.
        #[arg(long, value_name = "TIME")]
        overlap: Option<Span>,
        #[command(flatten)]
        to: SecretTo,
    },
    /// Let nobody in by a key, until it is enabled again; connections by it end.
    Disable { key: String },
    /// Let a disabled key work again.
    Enable { key: String },
    /// Remove a key for good.
    Remove {
        key: String,
        #[command(flatten)]
        removal: Removal,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// 1 to 64 of A-Z a-z 0-9 _ . -.
    key: String,
    #[arg(long, value_enum)]
    kind: Kind,
    /// What the key may do, with commas.
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
    /// For people; up to 200 characters.
    #[arg(long)]
    note: Option<String>,
    /// After this time (12h, 30d) the key is no longer valid; else it lasts until it is removed.
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
    /// Of an access key the consumer groups by which it receives from the queue, with commas; else any.
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    consumer_groups: Option<Vec<String>>,
    #[command(flatten)]
    to: SecretTo,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    key: String,
    /// What the key may do from now on, with commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    scopes: Option<Vec<Scope>>,
    /// For people; up to 200 characters.
    #[arg(long)]
    note: Option<String>,
    /// After this time from now (12h, 30d) the key is no longer valid.
    #[arg(long, value_name = "TIME", conflicts_with = "lasts")]
    expires: Option<Span>,
    /// It lasts until it is removed.
    #[arg(long)]
    lasts: bool,
    /// The consumer groups by which it receives from the queue from now on, with commas.
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', conflicts_with = "any_group")]
    consumer_groups: Option<Vec<String>>,
    /// It receives by any consumer group.
    #[arg(long)]
    any_group: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Logs a service in on MQTT, by a signature, and opens the API.
    Access,
    /// Opens the API alone.
    Api,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// Parent topics, grants and tokens; to publish and subscribe on MQTT, to send and receive on the queue.
    Topics,
    /// Group IDs.
    Groups,
    /// Users, their devices and login links.
    Devices,
    /// To look at meetings and act in them.
    Meetings,
    /// To look at an open channel.
    Channels,
    /// To say on the queue which terminal has sent a message, and to send online events.
    Stamps,
    /// All of these, and keys and the log of changes.
    Admin,
}

const LIST: &[Column] = &[
    Column::new("KEY", "key", text),
    Column::new("KIND", "kind", text),
    Column::new("SCOPES", "scopes", text),
    Column::new("DISABLED", "disabled", yes_or_no),
    Column::new("EXPIRES", "expires_at_ms", end),
    Column::new("NOTE", "note", text),
];
const CARD: &[Column] = &[
    Column::new("KEY", "key", text),
    Column::new("KIND", "kind", text),
    Column::new("SCOPES", "scopes", text),
    Column::new("DISABLED", "disabled", yes_or_no),
    Column::new("NARROWED", "narrowed", yes_or_no),
    Column::new("GRANTS", "grants", text),
    Column::new("CONSUMER GROUPS", "consumer_groups", any_or),
    Column::new("CONNECTIONS", "connections", text),
    Column::new("CREATED", "created_at_ms", moment),
    Column::new("EXPIRES", "expires_at_ms", end),
    Column::new("SECRETS", "secrets", secrets),
    Column::new("NOTE", "note", text),
];
const NOTHING: &str =
    "There are no keys but the instance's own. Next: convoke keys create billing --kind access --scopes topics";

fn any_or(groups: &Value) -> String {
    if groups.is_null() { "any".to_owned() } else { text(groups) }
}

/// `2, 1 until 2026-11-30 10:32:02Z`.
fn secrets(secrets: &Value) -> String {
    let one = |secret: &Value| match secret["valid_until_ms"].as_u64() {
        None => text(&secret["generation"]),
        Some(until_ms) => format!("{} until {}", text(&secret["generation"]), utc(until_ms)),
    };
    secrets.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List(Limit { limit }) => Call::list("keys", LIST, limit, NOTHING),
            Self::Show { key } => Call::show(format!("the key {key}"), &["keys", &key], CARD),
            Self::Create(create) => create.call()?,
            Self::Update(update) => update.call()?,
            Self::Rotate { key, overlap, to } => {
                let body = overlap.map_or_else(|| json!({}), |overlap| json!({ "overlap_s": overlap.seconds }));
                let what = format!("rotate the key {key}");
                let said = format!("The key {key} has a new secret, which is shown this once.");
                Call::change(what, Method::POST, &["keys", &key, "rotate"], body, said)
                    .once()
                    .with_secret(to, secret)
                    .then(format!("convoke keys show {key} says how long the one before is valid"))
            }
            Self::Disable { key } => switch(&key, true),
            Self::Enable { key } => switch(&key, false),
            Self::Remove { key, removal } => Call::remove(&format!("the key {key}"), &["keys", &key], &removal),
        })
    }
}

impl Create {
    fn call(self) -> Result<Call> {
        let Self { key, kind, scopes, note, expires, consumer_groups, to } = self;
        let next = match kind {
            Kind::Access => {
                format!("log in on MQTT with the user name Signature|{key}|{INSTANCE}; see docs/how-to/administer.md")
            }
            Kind::Api => "convoke login URL --key-file FILE, with the secret in the file".to_owned(),
        };
        let (what, said) =
            (format!("create the key {key}"), format!("Created the key {key}; its secret is shown this once."));
        let mut body = json!({ "key": key, "kind": kind, "scopes": scopes, "note": note.unwrap_or_default() });
        if let Some(span) = expires {
            body["expires_at_ms"] = from_now(span)?.into();
        }
        if let Some(groups) = consumer_groups {
            body["consumer_groups"] = groups.into();
        }
        Ok(Call::change(what, Method::POST, &["keys"], body, said).once().with_secret(to, secret).then(next))
    }
}

impl Update {
    fn call(self) -> Result<Call> {
        let Self { key, scopes, note, expires, lasts, consumer_groups, any_group } = self;
        let mut body = Map::new();
        let mut set = |name: &str, value: Option<Value>| body.extend(value.map(|value| (name.to_owned(), value)));
        set("scopes", scopes.map(|scopes| json!(scopes)));
        set("note", note.map(Value::from));
        set("expires_at_ms", expires.map(from_now).transpose()?.map(Value::from));
        set("expires_at_ms", lasts.then_some(Value::Null));
        set("consumer_groups", consumer_groups.map(Value::from));
        set("consumer_groups", any_group.then_some(Value::Null));
        if body.is_empty() {
            let words = "nothing is to be changed\n  remedy: give --scopes, --note, --expires, --lasts, --consumer-groups or --any-group";
            bail!(Failure::Usage(words.to_owned()));
        }
        let said = format!("Changed the key {key}.");
        Ok(Call::change(format!("change the key {key}"), Method::PATCH, &["keys", &key], Value::Object(body), said))
    }
}

fn switch(key: &str, disabled: bool) -> Call {
    let (verb, done) = if disabled { ("disable", "disabled") } else { ("enable", "enabled") };
    let what = format!("{verb} the key {key}");
    let said = format!("The key {key} is {done}.");
    let call = Call::change(what, Method::PATCH, &["keys", key], json!({ "disabled": disabled }), said);
    if disabled { call.then(format!("convoke keys enable {key}, or convoke keys remove {key}")) } else { call }
}

fn secret(answer: &Value, _: &reqwest::Url) -> String {
    text(&answer["secret"])
}
