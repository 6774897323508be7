//! An answer of the server: data for standard output, and words for people.

use super::call::{Call, Show};
use super::profile::Target;
use super::table;
use convoke::print_line;
use serde_json::Value;
use std::process::ExitCode;

/// The JSON of the API, or what people read instead; nothing where nothing but success was answered.
pub(super) fn data(call: &Call, answer: &Value, target: &Target, json: bool) {
    if json {
        if !answer.is_null() {
            print_line(format_args!("{answer:#}"));
        }
        return;
    }
    match &call.show {
        Show::Table { columns, .. } => table::print(&table::table(columns, items(answer))),
        Show::Card { columns, .. } => table::card(columns, answer).iter().for_each(print_line),
        Show::LinesOf { of, lines } => lines(answer, of).iter().for_each(print_line),
        Show::Lines { lines } | Show::Health { lines } => lines(answer).iter().for_each(print_line),
        Show::Secret { text, .. } => print_line(text(answer, &target.url)),
        Show::Verdict => {
            let verdict = if is_allowed(answer) { "allowed" } else { "refused" };
            print_line(format_args!("{verdict}: {}", table::text(&answer["why"])));
        }
        Show::Done { .. } | Show::Told { .. } => {}
    }
}

/// What was done, and what to do next.
pub(super) fn words(call: &Call, answer: &Value) -> Vec<String> {
    match &call.show {
        Show::Table { limit, .. } if answer["next"].is_string() => {
            vec![format!("These are the first {limit}; there are more: see --limit.")]
        }
        Show::Table { nothing, .. } if items(answer).is_empty() => vec![(*nothing).to_owned()],
        Show::Done { said, next } | Show::Secret { said, next, .. } => {
            let warnings = answer["warnings"].as_array().into_iter().flatten();
            let warnings = warnings.map(|warning| format!("Not advised: {}.", table::text(&warning["words"])));
            let next = next.iter().map(|next| format!("Next: {next}"));
            [said.clone()].into_iter().chain(warnings).chain(next).collect()
        }
        Show::Told { say } => vec![say(answer)],
        Show::Table { .. } | Show::Card { .. } | Show::Lines { .. } | Show::LinesOf { .. } => Vec::new(),
        Show::Health { .. } | Show::Verdict => Vec::new(),
    }
}

pub(super) fn verdict(call: &Call, answer: &Value) -> ExitCode {
    let is_no = match call.show {
        Show::Verdict => !is_allowed(answer),
        Show::Health { .. } => answer["health"]["ready"] != true,
        Show::Card { verdict: Some(verdict), .. } => answer[verdict] != true,
        _ => false,
    };
    if is_no { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn items(answer: &Value) -> &[Value] {
    answer["items"].as_array().map_or(&[], Vec::as_slice)
}

fn is_allowed(answer: &Value) -> bool {
    answer["allowed"] == true
}
