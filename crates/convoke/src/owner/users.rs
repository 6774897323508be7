//! `convoke users`: people who can be called.

use super::call::{Call, Limit, RemovalOfAll};
use super::table::{Column, text};
use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List users.
    List {
        /// Those whose id or name contains this.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show a user, and what hangs on it.
    Show { user: String },
    /// Create a user, or rename the one that is there (also `update`).
    #[command(alias = "update")]
    Create {
        /// The application's id of the user: 1 to 64 of A-Z a-z 0-9 - _ . @ +.
        user: String,
        /// As shown to others; 1 to 64 characters.
        #[arg(long)]
        name: String,
    },
    /// Remove a user; with --force devices, login links, grants, missed and past calls, too.
    Remove {
        user: String,
        #[command(flatten)]
        removal: RemovalOfAll,
    },
}

const COLUMNS: &[Column] = &[Column::new("USER", "user", text), Column::new("NAME", "name", text)];
const CARD: &[Column] = &[
    Column::new("USER", "user", text),
    Column::new("NAME", "name", text),
    Column::new("DEVICES", "devices", text),
    Column::new("CONNECTED", "connected", text),
    Column::new("LINKS", "links", text),
    Column::new("GRANTS", "grants", text),
];
const NOTHING: &str = "There are no such users. Next: convoke users create ann --name Ann";

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List { search, limit } => Call::list("users", COLUMNS, limit.limit, NOTHING).with("search", search),
            Self::Show { user } => Call::show(format!("the user {user}"), &["users", &user], CARD),
            Self::Create { user, name } => {
                let what = format!("create the user {user}");
                let said = format!("There is a user {user}, shown as {name}.");
                Call::change(what, Method::PUT, &["users", &user], json!({ "name": name }), said)
                    .then(format!("convoke links create {user}, or convoke devices create {user}"))
            }
            Self::Remove { user, removal } => {
                let uses = "all devices, login links, grants and calls";
                Call::remove_all(&format!("the user {user}"), &["users", &user], uses, &removal)
            }
        })
    }
}
