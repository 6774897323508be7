//! A request to the API as plain data, and how its answer is shown.

use super::table::Column;
use clap::Args;
use reqwest::{Method, Url};
use serde_json::Value;
use std::path::PathBuf;

/// One command; see [`super::run`].
#[derive(Debug)]
pub(crate) struct Call {
    /// For the words of a failure: "cannot <what>".
    pub(super) what: String,
    pub(super) method: Method,
    /// Segments below `/api/v1`.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    /// Its answer is kept by the server: the request carries an idempotency key, and is sent again if its answer is lost.
    pub(super) is_once: bool,
    /// Asked before it is sent.
    pub(super) confirm: Option<String>,
    /// Takes the answer instead of standard output.
    pub(super) secret_file: Option<PathBuf>,
    pub(super) show: Show,
}

#[derive(Debug)]
pub(super) enum Show {
    Table {
        columns: &'static [Column],
        limit: u32,
        /// Said of an empty list.
        nothing: &'static str,
    },
    Card {
        columns: &'static [Column],
        /// A field that says yes or no, where that is what was asked for.
        verdict: Option<&'static str>,
    },
    Done {
        said: String,
        next: Option<String>,
    },
    /// Lines for people, made of the answer.
    Lines {
        lines: fn(&Value) -> Vec<String>,
    },
    /// The same of those who were named.
    LinesOf {
        of: Vec<String>,
        lines: fn(&Value, &[String]) -> Vec<String>,
    },
    /// The same of a question whose answer may be no: `health.ready`.
    Health {
        lines: fn(&Value) -> Vec<String>,
    },
    /// What was done is in the answer.
    Told {
        say: fn(&Value) -> String,
    },
    /// An answer that is shown this once: its text for people, from the JSON and the server's address.
    Secret {
        said: String,
        next: Option<String>,
        text: fn(&Value, &Url) -> String,
    },
    /// `allowed` and `why`.
    Verdict,
}

/// How much of a list.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) limit: u32,
}

/// What every removal takes.
#[derive(Debug, Args)]
pub(crate) struct Removal {
    /// Do not ask.
    #[arg(long, short)]
    pub(super) yes: bool,
}

/// What the removal of a thing that others use takes.
#[derive(Debug, Args)]
pub(crate) struct RemovalOfAll {
    /// Remove what uses it, too.
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) removal: Removal,
}

/// Where a new secret goes.
#[derive(Debug, Args)]
pub(crate) struct SecretTo {
    /// Write the answer with its secret to this new file (mode 0600) instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,
}

impl Call {
    fn new(what: String, method: Method, path: &[&str], show: Show) -> Self {
        let path = path.iter().map(|&segment| segment.to_owned()).collect();
        Self {
            what,
            method,
            path,
            query: Vec::new(),
            body: None,
            is_once: false,
            confirm: None,
            secret_file: None,
            show,
        }
    }

    pub(super) fn lines(what: String, path: &[&str], lines: fn(&Value) -> Vec<String>) -> Self {
        Self::new(format!("show {what}"), Method::GET, path, Show::Lines { lines })
    }

    pub(super) fn health(lines: fn(&Value) -> Vec<String>) -> Self {
        Self::new("ask how the server is".to_owned(), Method::GET, &["server"], Show::Health { lines })
    }

    /// A change that is answered with what became of it.
    pub(super) fn told(what: String, path: &[&str], body: Value, lines: fn(&Value) -> Vec<String>) -> Self {
        Self { body: Some(body), ..Self::new(what, Method::POST, path, Show::Lines { lines }) }
    }

    /// The same, of those who were named.
    pub(super) fn told_of(
        what: String,
        path: &[&str],
        body: Value,
        of: Vec<String>,
        lines: fn(&Value, &[String]) -> Vec<String>,
    ) -> Self {
        Self { body: Some(body), ..Self::new(what, Method::POST, path, Show::LinesOf { of, lines }) }
    }

    pub(super) fn list_at(
        what: String,
        path: &[&str],
        columns: &'static [Column],
        limit: u32,
        nothing: &'static str,
    ) -> Self {
        Self::new(what, Method::GET, path, Show::Table { columns, limit, nothing })
    }

    pub(super) fn list(path: &'static str, columns: &'static [Column], limit: u32, nothing: &'static str) -> Self {
        Self::new(format!("list {path}"), Method::GET, &[path], Show::Table { columns, limit, nothing })
    }

    pub(super) fn show(what: String, path: &[&str], columns: &'static [Column]) -> Self {
        Self::new(format!("show {what}"), Method::GET, path, Show::Card { columns, verdict: None })
    }

    /// A question by POST, with a yes or a no in one field of its answer.
    pub(super) fn card_with_verdict(
        what: String,
        path: &[&str],
        body: Value,
        columns: &'static [Column],
        verdict: &'static str,
    ) -> Self {
        let show = Show::Card { columns, verdict: Some(verdict) };
        Self { body: Some(body), ..Self::new(what, Method::POST, path, show) }
    }

    pub(super) fn verdict(what: String, path: &[&str]) -> Self {
        Self::new(what, Method::GET, path, Show::Verdict)
    }

    /// A change, and what is said when it is made.
    pub(super) fn change(what: String, method: Method, path: &[&str], body: Value, said: String) -> Self {
        let show = Show::Done { said, next: None };
        Self { body: Some(body), ..Self::new(what, method, path, show) }
    }

    /// A question with a body that is answered with a list.
    pub(super) fn question(what: &str, path: &[&str], body: Value, columns: &'static [Column]) -> Self {
        let show = Show::Table { columns, limit: u32::MAX, nothing: "" };
        Self { body: Some(body), ..Self::new(what.to_owned(), Method::POST, path, show) }
    }

    /// An order that cannot be taken back; `what` reads as a question.
    pub(super) fn order(what: &str, path: &[&str], removal: &Removal, say: fn(&Value) -> String) -> Self {
        let (confirm, show) = ((!removal.yes).then(|| format!("{what}?")), Show::Told { say });
        let mut words = what.chars();
        let what = words.next().into_iter().flat_map(char::to_lowercase).chain(words).collect();
        Self { confirm, ..Self::new(what, Method::POST, path, show) }
    }

    pub(super) fn remove(what: &str, path: &[&str], removal: &Removal) -> Self {
        let show = Show::Done { said: format!("Removed {what}."), next: None };
        let confirm = (!removal.yes).then(|| format!("Remove {what}?"));
        Self { confirm, ..Self::new(format!("remove {what}"), Method::DELETE, path, show) }
    }

    pub(super) fn remove_all(what: &str, path: &[&str], uses: &str, removal: &RemovalOfAll) -> Self {
        let with = if removal.force { format!("{what} with {uses}") } else { what.to_owned() };
        let call = Self::remove(&with, path, &removal.removal);
        call.with("force", removal.force.then_some("true"))
    }

    /// Of a route whose answers the server keeps.
    pub(super) fn once(self) -> Self {
        Self { is_once: true, ..self }
    }

    /// The answer holds a secret.
    pub(super) fn with_secret(mut self, to: SecretTo, text: fn(&Value, &Url) -> String) -> Self {
        self.secret_file = to.secret_file;
        if let Show::Done { said, next } = self.show {
            self.show = Show::Secret { said, next, text };
        }
        self
    }

    /// A field of the query, if there is one.
    pub(super) fn with(mut self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        self.query.extend(value.map(|value| (name, value.into())));
        self
    }

    /// Says this, whatever the answer is.
    pub(super) fn done(self, said: String) -> Self {
        Self { show: Show::Done { said, next: None }, ..self }
    }

    /// What to do next.
    pub(super) fn then(mut self, words: String) -> Self {
        if let Show::Done { next, .. } | Show::Secret { next, .. } = &mut self.show {
            *next = Some(words);
        }
        self
    }
}
