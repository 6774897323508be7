//! `convoke links`: links that log a page in as a user.

use super::call::{Call, Limit, Removal, SecretTo};
use super::table::{Column, end, moment, text};
use super::time::{Span, from_now, utc};
use anyhow::Result;
use clap::Subcommand;
use reqwest::{Method, Url};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List login links, without their secrets.
    List {
        /// Those of this user.
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show a login link, without its secret.
    Show {
        /// As the list names it.
        link: String,
    },
    /// Create a link that logs its holder in as the user, and print it this once.
    Create {
        user: String,
        /// For how long it is valid (90m, 12h, 7d); 365d without it.
        #[arg(long, value_name = "TIME")]
        valid: Option<Span>,
        #[command(flatten)]
        to: SecretTo,
    },
    /// Let a login link end at another time. Devices that have logged in by it stay.
    Update {
        /// As the list names it.
        link: String,
        /// For how long it is valid from now on (90m, 12h, 7d).
        #[arg(long, value_name = "TIME")]
        valid: Span,
    },
    /// Remove a login link: nobody logs in by it any more. Devices that have stay.
    Remove {
        /// As the list names it.
        link: String,
        #[command(flatten)]
        removal: Removal,
    },
}

const LIST: &[Column] = &[
    Column::new("LINK", "link", text),
    Column::new("USER", "user", text),
    Column::new("CREATED", "created_at_ms", moment),
    Column::new("EXPIRES", "expires_at_ms", end),
];
const NOTHING: &str = "There are no such login links. Next: convoke links create USER";

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::List { user, limit } => {
                Call { path: vec!["login-links".to_owned()], ..Call::list("links", LIST, limit.limit, NOTHING) }
                    .with("user", user)
            }
            Self::Show { link } => Call::show(format!("the login link {link}"), &["login-links", &link], LIST),
            Self::Update { link, valid } => {
                let what = format!("change the login link {link}");
                let said = format!("The login link {link} ends {}.", utc(from_now(valid)?));
                Call::change(what, Method::PATCH, &["login-links", &link], json!({ "valid_s": valid.seconds }), said)
            }
            Self::Create { user, valid, to } => {
                let body = valid.map_or_else(|| json!({}), |valid| json!({ "valid_s": valid.seconds }));
                let said = format!("Whoever opens this link is {user}; it is shown this once.");
                Call::change(
                    format!("create a login link for {user}"),
                    Method::POST,
                    &["users", &user, "login-links"],
                    body,
                    said,
                )
                .once()
                .with_secret(to, address)
            }
            Self::Remove { link, removal } => {
                Call::remove(&format!("the login link {link}"), &["login-links", &link], &removal)
            }
        })
    }
}

/// Of the page that logs in by it; the secret stands behind `#`, which no server is sent.
fn address(answer: &Value, server: &Url) -> String {
    let mut link = server.clone();
    link.set_fragment(Some(&format!("login={}", text(&answer["secret"]))));
    link.to_string()
}
