//! `convoke devices`: devices of users, with their logins.

use super::call::{Call, Limit, Removal, SecretTo};
use super::table::{Column, end, moment, text, yes_or_no};
use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List devices.
    List {
        /// Those of this user.
        #[arg(long)]
        user: Option<String>,
        /// Those of this group.
        #[arg(long)]
        group: Option<String>,
        /// Those whose client id, name or user contains this.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show a device, or the client id of a service: whether it is connected, how, and what waits for it.
    Show { client_id: String },
    /// Which of these client ids are connected at this moment.
    Query {
        /// Up to 100.
        #[arg(required = true, num_args = 1..=100, value_name = "CLIENT_ID")]
        client_ids: Vec<String>,
    },
    /// End the connection of a device or service; it may come back at once.
    Kick {
        client_id: String,
        #[command(flatten)]
        removal: Removal,
    },
    /// Drop what waits for a device or service, for good.
    Purge {
        client_id: String,
        #[command(flatten)]
        removal: Removal,
    },
    /// Make the login of a device void; it stays registered, and needs a new one.
    Revoke {
        client_id: String,
        #[command(flatten)]
        removal: Removal,
    },
    /// Give a device of a user a login for 30 days, and print it this once; creates the user if it is new.
    Create {
        user: String,
        /// A Group ID; else that of the instance.
        #[arg(long)]
        group: Option<String>,
        /// The part behind @@@ of the client id; else a new one. The same one again replaces the login.
        #[arg(long)]
        device: Option<String>,
        /// The user's shown name; else it stays as it is.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        to: SecretTo,
    },
    /// Name a device, for those who administer.
    Update {
        client_id: String,
        /// 1 to 64 characters; '' takes the name away.
        #[arg(long)]
        name: String,
    },
    /// Remove a device with its login, its session and what waits for it; its connection ends.
    Remove {
        client_id: String,
        #[command(flatten)]
        removal: Removal,
    },
}

const LIST: &[Column] = &[
    Column::new("CLIENT ID", "client_id", text),
    Column::new("NAME", "name", text),
    Column::new("USER", "user", text),
    Column::new("ONLINE", "online", yes_or_no),
    Column::new("SINCE", "since_ms", moment),
    Column::new("EXPIRES", "expires_at_ms", end),
];
const CARD: &[Column] = &[
    Column::new("CLIENT ID", "client_id", text),
    Column::new("NAME", "name", text),
    Column::new("USER", "user", text),
    Column::new("GROUP", "group", text),
    Column::new("KEY", "key_id", text),
    Column::new("EXPIRES", "", expiry),
    Column::new("ONLINE", "online", yes_or_no),
    Column::new("SINCE", "since_ms", moment),
    Column::new("LAST SEEN", "last_seen_ms", moment),
    Column::new("ADDRESS", "connection.address", text),
    Column::new("PROTOCOL", "connection", protocol),
    Column::new("KEEP ALIVE", "connection.keep_alive_s", seconds),
    Column::new("ACCOUNT", "session.account", text),
    Column::new("SESSION", "session", session),
    Column::new("SUBSCRIPTIONS", "session.subscriptions", text),
    Column::new("INBOX", "inbox", inbox),
];
const PRESENCE: &[Column] = &[
    Column::new("CLIENT ID", "client_id", text),
    Column::new("ONLINE", "online", yes_or_no),
    Column::new("SINCE", "since_ms", moment),
];
const NOTHING: &str = "There are no such devices. Next: convoke devices create USER";

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List { user, group, search, limit } => {
                let list = Call::list("devices", LIST, limit.limit, NOTHING);
                list.with("user", user).with("group", group).with("search", search)
            }
            Self::Update { client_id, name } => {
                let what = format!("name the device {client_id}");
                // Nothing stands for no name.
                let name = Some(name).filter(|name| !name.is_empty());
                let said = match &name {
                    Some(name) => format!("The device {client_id} is called {name}."),
                    None => format!("The device {client_id} has no name."),
                };
                Call::change(what, Method::PATCH, &["devices", &client_id], json!({ "name": name }), said)
            }
            Self::Show { client_id } => Call::show(format!("the device {client_id}"), &["devices", &client_id], CARD),
            Self::Query { client_ids } => {
                let body = json!({ "client_ids": client_ids });
                Call::question("ask who is connected", &["devices:query"], body, PRESENCE)
            }
            Self::Kick { client_id, removal } => {
                let what = format!("End the connection of {client_id}");
                Call::order(&what, &["devices", &client_id, "kick"], &removal, kicked)
            }
            Self::Purge { client_id, removal } => {
                let what = format!("Drop what waits for {client_id}");
                Call::order(&what, &["devices", &client_id, "purge"], &removal, purged)
            }
            Self::Revoke { client_id, removal } => {
                let what = format!("Make the login of {client_id} void");
                let said = "Its login is void; if it was connected by it, that has ended.".to_owned();
                let (group, device) = client_id.split_once("@@@").unwrap_or(("GROUP", "NAME"));
                let again = format!("convoke devices create USER --group {group} --device {device}");
                Call::order(&what, &["devices", &client_id, "revoke"], &removal, text)
                    .once()
                    .done(said)
                    .then(format!("{again}, which gives it a new login"))
            }
            Self::Create { user, group, device, name, to } => {
                let fields = [("group", group), ("device", device), ("name", name)];
                let given = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
                let body = Value::Object(given.collect::<Map<_, _>>());
                let what = format!("give {user} a device");
                let said = format!("A device of {user} has a login, which is shown this once.");
                Call::change(what, Method::POST, &["users", &user, "devices"], body, said)
                    .once()
                    .with_secret(to, whole)
                    .then("convoke terminal --credentials FILE, with this JSON in the file".to_owned())
            }
            Self::Remove { client_id, removal } => {
                Call::remove(&format!("the device {client_id}"), &["devices", &client_id], &removal)
            }
        })
    }
}

/// Of a service there is no login that could expire.
fn expiry(device: &Value) -> String {
    if device["key_id"].is_string() { end(&device["expires_at_ms"]) } else { String::new() }
}

fn protocol(connection: &Value) -> String {
    if connection.is_null() {
        return String::new();
    }
    let layers = [("tls", "TLS"), ("websocket", "WebSocket")];
    let layers = layers.into_iter().filter(|(field, _)| connection[*field] == true).map(|(_, name)| name);
    let layers: Vec<_> = layers.collect();
    let over = if layers.is_empty() { "TCP".to_owned() } else { layers.join(" and ") };
    format!("MQTT {} over {over}", text(&connection["protocol"]))
}

fn seconds(value: &Value) -> String {
    match value.as_u64() {
        Some(0) => "none".to_owned(),
        Some(seconds) => format!("{seconds} s"),
        None => String::new(),
    }
}

fn session(session: &Value) -> String {
    match (session["ends_at_ms"].is_u64(), session["expiry_s"].as_u64()) {
        _ if session.is_null() => "none".to_owned(),
        (true, _) => format!("ends {}", moment(&session["ends_at_ms"])),
        (false, Some(0)) => "ends with its connection".to_owned(),
        (false, Some(expiry_s)) => format!("outlives its connection by {expiry_s} s"),
        (false, None) => "never ends".to_owned(),
    }
}

fn inbox(inbox: &Value) -> String {
    let [messages, bytes, in_flight] = ["messages", "bytes", "in_flight"].map(|field| text(&inbox[field]));
    format!("{messages} messages, {bytes} bytes, {in_flight} in flight")
}

fn kicked(answer: &Value) -> String {
    let words = if answer["was_connected"] == true { "Its connection has ended." } else { "It was not connected." };
    words.to_owned()
}

fn purged(answer: &Value) -> String {
    let dropped = format!("Messages dropped: {}.", text(&answer["purged"]));
    match answer["in_flight"].as_u64() {
        Some(1..) => format!("{dropped} It has been sent {} more, and is to acknowledge them.", answer["in_flight"]),
        _ => dropped,
    }
}

/// A program reads it: terminals take it as it is.
fn whole(answer: &Value, _: &reqwest::Url) -> String {
    format!("{answer:#}")
}
