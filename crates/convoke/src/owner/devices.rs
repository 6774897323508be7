//! `convoke devices`: devices of users, with their logins.

use super::call::{Call, Limit, Removal, SecretTo};
use super::table::{Column, end, moment, text, yes_or_no};
use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value};

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
        #[command(flatten)]
        limit: Limit,
    },
    /// Show a device.
    Show { client_id: String },
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
    /// Remove a device with its login, its session and what waits for it; its connection ends.
    Remove {
        client_id: String,
        #[command(flatten)]
        removal: Removal,
    },
}

const LIST: &[Column] = &[
    Column::new("CLIENT ID", "client_id", text),
    Column::new("USER", "user", text),
    Column::new("ONLINE", "online", yes_or_no),
    Column::new("SINCE", "since_ms", moment),
    Column::new("EXPIRES", "expires_at_ms", end),
];
const CARD: &[Column] = &[
    Column::new("CLIENT ID", "client_id", text),
    Column::new("USER", "user", text),
    Column::new("GROUP", "group", text),
    Column::new("ONLINE", "online", yes_or_no),
    Column::new("SINCE", "since_ms", moment),
    Column::new("KEY", "key_id", text),
    Column::new("EXPIRES", "expires_at_ms", end),
];
const NOTHING: &str = "There are no such devices. Next: convoke devices create USER";

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List { user, group, limit } => {
                Call::list("devices", LIST, limit.limit, NOTHING).with("user", user).with("group", group)
            }
            Self::Show { client_id } => Call::show(format!("the device {client_id}"), &["devices", &client_id], CARD),
            Self::Create { user, group, device, name, to } => {
                let fields = [("group", group), ("device", device), ("name", name)];
                let given = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
                let body = Value::Object(given.collect::<Map<_, _>>());
                let what = format!("give {user} a device");
                let said = format!("A device of {user} has a login, which is shown this once.");
                Call::change(what, Method::POST, &["users", &user, "devices"], body, said)
                    .with_secret(to, whole)
                    .then("convoke terminal --credentials FILE, with this JSON in the file".to_owned())
            }
            Self::Remove { client_id, removal } => {
                Call::remove(&format!("the device {client_id}"), &["devices", &client_id], &removal)
            }
        })
    }
}

/// A program reads it: terminals take it as it is.
fn whole(answer: &Value, _: &reqwest::Url) -> String {
    format!("{answer:#}")
}
