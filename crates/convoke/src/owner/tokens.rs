//! `convoke tokens`: what services hand to their users, so that they may publish and subscribe for a while.

use super::call::{Call, Removal, SecretTo};
use super::failure::Failure;
use super::table::{Column, moment, text, yes_or_no};
use super::time::{Span, from_now};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

/// Of a file with a token, or with the answer that has one.
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Apply for a token, and print it this once.
    Apply(Apply),
    /// Say whether a token or a login is valid, and what it is good for, or why it is not.
    Query(Question),
    /// Void a token before its time; connections by it end.
    Revoke {
        #[command(flatten)]
        token: Shown,
        #[command(flatten)]
        removal: Removal,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[arg(value_enum, ignore_case = true)]
    actions: Actions,
    /// Topics, or filters for many of them: orders-down/#.
    #[arg(required = true)]
    topics: Vec<String>,
    /// For how long it is valid (90m, 12h, 7d): 60s to 30d.
    #[arg(long, value_name = "TIME", default_value = "12h")]
    valid: Span,
    /// The only client id that it is good for; else every one that no user owns.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    #[command(flatten)]
    to: SecretTo,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
pub(crate) enum Actions {
    /// To subscribe.
    R,
    /// To publish.
    W,
    /// Both.
    #[value(name = "rw")]
    RW,
}

impl Actions {
    const fn name(self) -> &'static str {
        match self {
            Self::R => "R",
            Self::W => "W",
            Self::RW => "RW",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// A file with the token, or with what `convoke tokens apply --secret-file` wrote; `-` for standard input.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Question {
    /// A file with the token, or with what `convoke tokens apply` or `convoke devices create` wrote by `--secret-file`; with
    /// `--username` one with the password; `-` for standard input.
    #[arg(required_unless_present = "username")]
    file: Option<PathBuf>,
    /// The user name of a login: Signature|KEY|convoke, or so with Token, DeviceCredential or JWT.
    #[arg(long, value_name = "NAME", requires = "client_id")]
    username: Option<String>,
    /// The password of the login. Others on this machine can see it: name a file instead.
    #[arg(long, value_name = "PASSWORD", requires = "username", conflicts_with = "file")]
    password: Option<String>,
    /// The client id of the login.
    #[arg(long, value_name = "ID", requires = "username")]
    client_id: Option<String>,
}

const CARD: &[Column] = &[
    Column::new("VALID", "valid", yes_or_no),
    Column::new("WHY NOT", "why", text),
    Column::new("LOGIN", "login", text),
    Column::new("ISSUER", "issuer", text),
    Column::new("KEY", "key", text),
    Column::new("ACTIONS", "actions", text),
    Column::new("TOPICS", "resources", text),
    Column::new("CLIENT ID", "client_id", text),
    Column::new("USER", "user", text),
    Column::new("EXPIRES", "expires_at_ms", moment),
    Column::new("ID", "id", text),
];

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::Apply(apply) => apply.call()?,
            Self::Query(question) => {
                let (what, path) = ("query a token".to_owned(), &["tokens:query"]);
                Call::card_with_verdict(what, path, question.body()?, CARD, "valid")
            }
            Self::Revoke { token, removal } => {
                let said = "The token is void.".to_owned();
                let what = "revoke a token".to_owned();
                let call = Call::change(what, Method::POST, &["tokens:revoke"], token.body()?, said);
                Call { confirm: (!removal.yes).then(|| "Revoke this token?".to_owned()), ..call }
            }
        })
    }
}

impl Apply {
    fn call(self) -> Result<Call> {
        let Self { actions, topics, valid, client_id, to } = self;
        let mut body = json!({ "actions": actions, "resources": topics, "expires_at_ms": from_now(valid)? });
        if let Some(client_id) = client_id {
            body["client_id"] = client_id.into();
        }
        let said = "The token is shown this once; convoke keeps none.".to_owned();
        let next = format!(
            "log in on MQTT with the password {}|TOKEN and the user name Token|KEY|convoke, where KEY is the key that applied \
             for it, or owner; see docs/how-to/administer.md",
            actions.name()
        );
        let call = Call::change("apply for a token".to_owned(), Method::POST, &["tokens"], body, said);
        Ok(call.with_secret(to, |answer, _| text(&answer["token"])).then(next))
    }
}

impl Shown {
    /// Not from the command line, where others on this machine can see it.
    fn body(&self) -> Result<Value> {
        self.body_of(&read_whole(&self.file, "token")?)
    }

    fn body_of(&self, read: &str) -> Result<Value> {
        let token = match serde_json::from_str::<Value>(read) {
            Ok(answer) => answer["token"].as_str().unwrap_or_default().to_owned(),
            Err(_) => read.trim().to_owned(),
        };
        if token.is_empty() {
            let words = format!("there is no token in {}\n  remedy: name the file that has it", self.file.display());
            bail!(Failure::Usage(words));
        }
        Ok(json!({ "token": token }))
    }
}

impl Question {
    fn body(self) -> Result<Value> {
        let Self { file, username, password, client_id } = self;
        let Some(username) = username else {
            let file = file.unwrap_or_default();
            let read = read_whole(&file, "token")?;
            let login = serde_json::from_str::<Value>(&read).ok().as_ref().and_then(login_of);
            return login.map_or_else(|| Shown { file }.body_of(&read), Ok);
        };
        let password = match (password, file) {
            (Some(password), _) => password,
            (None, Some(file)) => read_whole(&file, "password")?.trim_end_matches(['\r', '\n']).to_owned(),
            (None, None) => bail!(Failure::Usage(
                "there is no password\n  remedy: name the file that has it, or - for standard input".to_owned()
            )),
        };
        Ok(json!({ "username": username, "password": password, "client_id": client_id }))
    }
}

/// Of the answer that a new device got.
fn login_of(answer: &Value) -> Option<Value> {
    let [username, password, client_id] =
        ["username", "password", "client_id"].map(|name| answer[name].as_str().filter(|_| answer["token"].is_null()));
    Some(json!({ "username": username?, "password": password?, "client_id": client_id? }))
}

fn read_whole(file: &Path, what: &str) -> Result<String> {
    read(file).with_context(|| {
        let remedy = format!("remedy: name a file with the {what}, or - for standard input");
        format!("cannot read the {what} from {}\n  {remedy}", file.display())
    })
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        File::open(file)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    }
    Ok(text)
}
