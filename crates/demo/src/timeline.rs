//! The printed timeline: lines for a person, or one JSON object a line.

use serde_json::{Map, Value, json};
use std::time::Instant;

pub struct Timeline {
    began: Instant,
    form: Form,
    count: usize,
}

/// Prints one line on standard output.
pub type Print = fn(&str);

#[derive(Clone, Copy)]
enum Form {
    Text(Print),
    Json(Print),
    Silent,
}

/// Width of the column of parts.
const PART_WIDTH: usize = 8;

impl Timeline {
    pub fn text(print: Print) -> Self {
        Self::new(Form::Text(print))
    }

    pub fn json(print: Print) -> Self {
        Self::new(Form::Json(print))
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
            Form::Text(print) => {
                print(&format!("{at_ms:>7} ms  {part:<PART_WIDTH$} {words}{}", facts_text(&facts)));
            }
            Form::Json(print) => print(
                &json!({ "step": self.count, "at_ms": at_ms, "part": part, "words": words, "facts": facts })
                    .to_string(),
            ),
            Form::Silent => {}
        }
    }

    /// The last object of `--json`; for people the program's own error says it.
    pub fn fail(&self, why: &str) {
        if let Form::Json(print) = self.form {
            print(&json!({ "demo": "failed", "steps": self.count, "cause": why }).to_string());
        }
    }

    pub fn end(&self) {
        match self.form {
            Form::Text(print) => print(
                "\n`make run` starts a server with the web terminal and prints a link for each of Alice, Bob and Carol:\n\
                 open two of them in two tabs and call.\n\ndemo: ok",
            ),
            Form::Json(print) => print(&json!({ "demo": "ok", "steps": self.count }).to_string()),
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
    facts.iter().map(|(name, value)| fact(name, value)).collect::<Vec<_>>().join(" · ")
}

/// For people: a name in words, times with their unit, a moment as time of day.
fn fact(name: &str, value: &Value) -> String {
    let words = |name: &str| name.replace('_', " ");
    match (name.strip_suffix("_ms"), value) {
        (Some("until"), Value::Number(at)) => format!("until {}", time_of_day(at.as_u64().unwrap_or_default())),
        (Some(name), value) => format!("{} {} ms", words(name), text(value)),
        (None, value) => format!("{} {}", words(name), text(value)),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn time_of_day(at_ms: u64) -> String {
    const DAY_S: u64 = 24 * 60 * 60;
    let s = at_ms / 1_000 % DAY_S;
    format!("{:02}:{:02}:{:02} UTC", s / 3_600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_read_as_words_with_units() {
        let facts =
            json!({ "after_start_ms": 76, "dup": true, "roster": ["alice", "bob"], "until_ms": 1_795_507_905_557_u64 });
        let facts = facts.as_object().expect("an object");
        assert_eq!(join(facts), "after start 76 ms · dup true · roster alice, bob · until 08:11:45 UTC");
    }
}
