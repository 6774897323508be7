//! Tables and cards for people. What the server says is shown as text: nothing in it reaches the terminal as a command.

use super::time::utc;
use serde_json::Value;
use std::io::IsTerminal;

/// One field of a JSON object, as people read it.
#[derive(Debug)]
pub(super) struct Column {
    head: &'static str,
    /// Empty: the whole object. `outer.inner` is a field of a field.
    key: &'static str,
    cell: fn(&Value) -> String,
}

impl Column {
    pub(super) const fn new(head: &'static str, key: &'static str, cell: fn(&Value) -> String) -> Self {
        Self { head, key, cell }
    }

    fn of(&self, item: &Value) -> String {
        let names = self.key.split('.').filter(|name| !name.is_empty());
        let field = names.fold(item, |field, name| &field[name]);
        match (self.cell)(field) {
            text if text.is_empty() => "-".to_owned(),
            text => text,
        }
    }
}

/// Text and numbers; a list with commas.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.chars().map(shown).collect(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Neither a command of the terminal nor one that turns the writing round.
fn shown(c: char) -> char {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { char::REPLACEMENT_CHARACTER } else { c }
}

/// Milliseconds since 1970; 0 for one that nobody knows.
pub(super) fn moment(value: &Value) -> String {
    value.as_u64().filter(|at_ms| *at_ms != 0).map(utc).unwrap_or_default()
}

/// The same, of an end that need not come.
pub(super) fn end(value: &Value) -> String {
    value.as_u64().map_or_else(|| "never".to_owned(), utc)
}

pub(super) fn yes_or_no(value: &Value) -> String {
    if value == &Value::Bool(true) { "yes" } else { "no" }.to_owned()
}

/// Heads and rows, aligned; nothing for an empty list.
pub(super) fn table(columns: &[Column], items: &[Value]) -> Vec<String> {
    let mut rows = vec![columns.iter().map(|column| column.head.to_owned()).collect::<Vec<_>>()];
    rows.extend(items.iter().map(|item| columns.iter().map(|column| column.of(item)).collect()));
    let widths: Vec<usize> =
        (0..columns.len()).map(|at| rows.iter().map(|row| width(&row[at])).max().unwrap_or(0)).collect();
    let lines = rows.iter().map(|row| line(row, &widths));
    if items.is_empty() { Vec::new() } else { lines.collect() }
}

/// One field a line.
pub(super) fn card(columns: &[Column], item: &Value) -> Vec<String> {
    let heads = columns.iter().map(|column| column.head.to_lowercase());
    let rows: Vec<_> = heads.zip(columns).map(|(head, column)| [head, column.of(item)]).collect();
    let longest = rows.iter().map(|[head, _]| width(head)).max().unwrap_or(0);
    rows.iter().map(|row| line(row, &[longest])).collect()
}

/// Cells, filled up to the widths; the last one is not.
fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (at, cell) in cells.iter().enumerate() {
        line.push_str(cell);
        if at + 1 < cells.len() {
            let fill = widths.get(at).map_or(0, |width_of_all| width_of_all - width(cell));
            line.extend(std::iter::repeat_n(' ', fill + 2));
        }
    }
    line
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// The heads stand out on a terminal.
pub(super) fn print(lines: &[String]) {
    let styled = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    for (at, line) in lines.iter().enumerate() {
        match at {
            0 if styled => convoke::print_line(format_args!("\x1b[1m{line}\x1b[0m")),
            _ => convoke::print_line(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: &[Column] = &[
        Column::new("KEY", "key", text),
        Column::new("SCOPES", "scopes", text),
        Column::new("EXPIRES", "expires_at_ms", end),
        Column::new("NOTE", "note", text),
    ];

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let items = [
            json!({ "key": "billing", "scopes": ["topics", "devices"], "note": "für Ann" }),
            json!({ "key": "ö", "scopes": [], "expires_at_ms": 0, "note": "" }),
        ];
        let expected = [
            "KEY      SCOPES          EXPIRES               NOTE",
            "billing  topics,devices  never                 für Ann",
            "ö        -               1970-01-01 00:00:00Z  -",
        ];
        assert_eq!(table(COLUMNS, &items), expected);
        assert_eq!(table(COLUMNS, &[]), [] as [&str; 0]);
    }

    #[test]
    fn a_field_of_a_field_is_shown_where_there_is_one() {
        const COLUMNS: &[Column] = &[Column::new("ADDRESS", "connection.address", text)];
        assert_eq!(card(COLUMNS, &json!({ "connection": { "address": "192.0.2.7:1" } })), ["address  192.0.2.7:1"]);
        assert_eq!(card(COLUMNS, &json!({})), ["address  -"]);
    }

    #[test]
    fn a_card_has_a_field_a_line() {
        let lines = card(&COLUMNS[..2], &json!({ "key": "billing", "scopes": ["topics"] }));
        assert_eq!(lines, ["key     billing", "scopes  topics"]);
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(text(&json!("\x1b[2Jann\u{202e}\n")), "\u{fffd}[2Jann\u{fffd}\u{fffd}");
    }
}
