//! The lines that a person sees, or one JSON object a line.

use crate::say;
use serde_json::{Map, Value, json};
use std::time::Instant;

pub struct Timeline {
    began: Instant,
    form: Form,
    count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Silent,
}

/// Width of the column of parts.
const PART_WIDTH: usize = 8;

impl Timeline {
    pub fn text() -> Self {
        Self::new(Form::Text)
    }

    pub fn json() -> Self {
        Self::new(Form::Json)
    }

    pub fn silent() -> Self {
        Self::new(Form::Silent)
    }

    fn new(form: Form) -> Self {
        Self { began: Instant::now(), form, count: 0 }
    }

    /// Lines so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// `part` did what `words` say; `facts` are what it reported.
    pub fn line(&mut self, part: &str, words: &str, facts: Value) {
        self.count += 1;
        let at_ms = self.began.elapsed().as_millis();
        match self.form {
            Form::Text => {
                say(format_args!("{at_ms:>7} ms  {part:<PART_WIDTH$} {words}{}", facts_text(&facts)));
            }
            Form::Json => {
                say(json!({ "step": self.count, "at_ms": at_ms, "part": part, "words": words, "facts": facts }));
            }
            Form::Silent => {}
        }
    }

    pub fn end(&self) {
        match self.form {
            Form::Text => say(
                "\n`make run` starts a server with the web terminal and prints a link for each of Alice, Bob and Carol:\n\
                 open two of them in two tabs and call.\n\ndemo: ok",
            ),
            Form::Json => say(json!({ "demo": "ok", "steps": self.count })),
            Form::Silent => {}
        }
    }
}

fn facts_text(facts: &Value) -> String {
    let Some(facts) = facts.as_object().filter(|f| !f.is_empty()) else { return String::new() };
    let indent = " ".repeat(12 + PART_WIDTH);
    format!("\n{indent}{}", join(facts))
}

fn join(facts: &Map<String, Value>) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    facts.iter().map(|(key, value)| format!("{key} {}", text(value))).collect::<Vec<_>>().join(" · ")
}
