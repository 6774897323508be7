//! `convoke groups`: Group IDs.

use super::call::{Call, Limit, RemovalOfAll};
use super::table::{Column, text};
use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List Group IDs.
    List(Limit),
    /// Show a Group ID, and what hangs on it.
    Show { group: String },
    /// Create a Group ID; one that exists stays as it is.
    Create {
        /// GID_… or GID-…, 7 to 64 characters of A-Z a-z 0-9 - _.
        group: String,
    },
    /// Remove a Group ID; with --force its grants and devices, too.
    Remove {
        group: String,
        #[command(flatten)]
        removal: RemovalOfAll,
    },
}

const LIST: &[Column] = &[Column::new("GROUP", "group", text)];
const CARD: &[Column] = &[
    Column::new("GROUP", "group", text),
    Column::new("GRANTS", "grants", text),
    Column::new("DEVICES", "devices", text),
    Column::new("CONNECTED", "connected", text),
];
const NOTHING: &str = "There are no Group IDs yet. Next: convoke groups create GID_phone";

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List(Limit { limit }) => Call::list("groups", LIST, limit, NOTHING),
            Self::Show { group } => Call::show(format!("the Group ID {group}"), &["groups", &group], CARD),
            Self::Create { group } => {
                let what = format!("create the Group ID {group}");
                let said = format!("There is a Group ID {group}.");
                Call::change(what, Method::POST, &["groups"], json!({ "group": group }), said)
                    .once()
                    .then(format!("convoke topics create TOPIC --rule both && convoke grants create {group} TOPIC"))
            }
            Self::Remove { group, removal } => {
                let what = format!("the Group ID {group}");
                Call::remove_all(&what, &["groups", &group], "its grants and devices", &removal)
            }
        })
    }
}
