//! `convoke server`: what the server is, what it uses, what it was told, and how it is.

use super::call::Call;
use super::table::{self, Column, moment, text, yes_or_no};
use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show version, disk, listeners, certificates, limits with what is used of them, and what waits in the queue.
    Show,
    /// Show each value of the configuration, and by what it was given.
    Config,
    /// Say whether the server serves all that it is asked; the exit code is 0 if it does.
    Health,
}

impl super::Verb for Verb {
    fn call(self) -> Result<Call> {
        Ok(match self {
            Self::Show => Call::lines("the server".to_owned(), &["server"], whole),
            Self::Config => Call::lines("the configuration".to_owned(), &["server", "configuration"], configuration),
            Self::Health => Call::health(health),
        })
    }
}

const SERVER: &[Column] = &[
    Column::new("VERSION", "version", text),
    Column::new("STARTED", "started_at_ms", moment),
    Column::new("UPTIME", "uptime_s", span),
    Column::new("TRIAL", "dev", yes_or_no),
    Column::new("READY", "health.ready", yes_or_no),
    Column::new("DATA", "data.path", text),
    Column::new("DATA BYTES", "data.used_bytes", text),
    Column::new("DISK FREE", "data.free_bytes", text),
    Column::new("LOG BYTES", "log.bytes", text),
    Column::new("LOG SEGMENTS", "log.segments", text),
];
const LISTENERS: &[Column] = &[
    Column::new("LISTENER", "name", text),
    Column::new("ADDRESS", "address", text),
    Column::new("TLS", "tls", yes_or_no),
];
const CERTIFICATES: &[Column] = &[
    Column::new("CERTIFICATE", "of", text),
    Column::new("SUBJECT", "subject", text),
    Column::new("NAMES", "names", text),
    Column::new("UNTIL", "valid_until_ms", moment),
];
const LIMITS: &[Column] =
    &[Column::new("LIMIT", "name", text), Column::new("USED", "used", text), Column::new("OF", "max", text)];
const QUEUE: &[Column] = &[
    Column::new("QUEUE TOPIC", "topic", text),
    Column::new("MESSAGES", "messages", text),
    Column::new("GROUPS", "groups", lag),
];
const HEALTH: &[Column] =
    &[Column::new("PART", "part", text), Column::new("FINE", "ok", yes_or_no), Column::new("DETAIL", "detail", text)];
const CONFIGURATION: &[Column] = &[
    Column::new("KEY", "key", text),
    Column::new("VALUE", "value", text),
    Column::new("ORIGIN", "origin", text),
    Column::new("FROM", "from", text),
];

fn whole(server: &Value) -> Vec<String> {
    let mut lines = table::card(SERVER, server);
    let tables = [(LISTENERS, "listeners"), (CERTIFICATES, "certificates"), (LIMITS, "limits"), (QUEUE, "queue")];
    for (columns, field) in tables {
        let rows = table::table(columns, items(&server[field]));
        if !rows.is_empty() {
            lines.push(String::new());
            lines.extend(rows);
        }
    }
    lines
}

fn health(server: &Value) -> Vec<String> {
    let verdict = if server["health"]["ready"] == true { "ready" } else { "not ready" };
    let parts = table::table(HEALTH, items(&server["health"]["parts"]));
    [verdict.to_owned()].into_iter().chain(parts).collect()
}

fn configuration(answer: &Value) -> Vec<String> {
    table::table(CONFIGURATION, items(&answer["items"]))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What each group has still to consume.
fn lag(groups: &Value) -> String {
    let of = |group: &Value| {
        let [waiting, in_flight, due_again] =
            ["waiting", "in_flight", "due_again"].map(|field| group[field].as_u64().unwrap_or_default());
        format!("{} {}", text(&group["group"]), waiting + in_flight + due_again)
    };
    items(groups).iter().map(of).collect::<Vec<_>>().join(", ")
}

fn span(seconds: &Value) -> String {
    let Some(seconds) = seconds.as_u64() else { return String::new() };
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_span_is_said_with_its_two_largest_units() {
        let said = [61, 3_661, 90_061].map(|seconds| span(&json!(seconds)));
        assert_eq!(said, ["1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn what_waits_is_said_for_each_group() {
        let group = json!({ "group": "workers", "waiting": 2, "in_flight": 1, "due_again": 4 });
        assert_eq!(lag(&json!([group, group])), "workers 7, workers 7");
    }
}
