//! The reference of the API, in Markdown, from its document.

use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write;

const HEAD: &str = "# API

What `/api/v1` and the doors of terminals take and answer, for reading; for programs there is [openapi.json](openapi.json), which
a server also serves. Requests carry `Authorization: Bearer KEY`, where a scope is named; refusals are `application/problem+json`
with a stable `code`. How it is used, with `curl`: [administer.md](how-to/administer.md). This page is generated.
";

/// Members of a path that are requests.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub(super) fn markdown(document: &Value) -> String {
    let mut text = String::from(HEAD);
    for tag in list(&document["tags"]) {
        let name = words(&tag["name"]);
        let _ = writeln!(text, "\n## {name}\n\n{}", words(&tag["description"]));
        for (path, methods) in map(&document["paths"]) {
            let of_tag = |request: &&Value| list(&request["tags"]).any(|tag| tag == name.as_str());
            for method in METHODS {
                if let Some(request) = methods.get(method).filter(of_tag) {
                    request_of(&mut text, method, path, request);
                }
            }
        }
    }
    text.push_str("\n## Refusals\n\n| status | codes, and when |\n|---|---|\n");
    for (status, says) in refusals(document) {
        let _ = writeln!(text, "| {status} | {says} |");
    }
    text.push_str("\n## Shapes\n");
    for (name, shape) in map(&document["components"]["schemas"]) {
        let _ = writeln!(text, "\n### {name}\n\n{}", words(&shape["description"]));
        fields(&mut text, shape);
    }
    tidy(&text)
}

/// Without what an empty description leaves.
fn tidy(text: &str) -> String {
    let mut tidied = String::new();
    for line in text.lines().map(str::trim_end) {
        if !(line.is_empty() && tidied.ends_with("\n\n")) {
            tidied.extend([line, "\n"]);
        }
    }
    tidied
}

/// Each once, with its words.
fn refusals(document: &Value) -> BTreeSet<(String, String)> {
    let methods = map(&document["paths"]).flat_map(|(_, methods)| map(methods));
    let answers = methods.flat_map(|(_, request)| map(&request["responses"]));
    let refused = answers.filter(|(status, _)| !status.starts_with('2'));
    refused.map(|(status, answer)| (status.clone(), words(&answer["description"]).replace('|', "\\|"))).collect()
}

fn request_of(text: &mut String, method: &str, path: &str, request: &Value) {
    let _ = writeln!(text, "\n### `{} {path}`\n", method.to_uppercase());
    let _ = writeln!(text, "{} {}\n", words(&request["summary"]), words(&request["description"]));
    let scopes: Vec<_> = list(&request["security"]).flat_map(|one| list(&one["api_key"])).map(words).collect();
    if !scopes.is_empty() {
        let _ = writeln!(text, "- Scope: `{}`", scopes.join("`, `"));
    }
    let parameters = list(&request["parameters"]).filter(|parameter| parameter["in"] != "path");
    for parameter in parameters {
        let (place, name) = (words(&parameter["in"]), words(&parameter["name"]));
        let needed = if parameter["required"] == true { ", needed" } else { "" };
        let (kind, says) = (kind_of(&parameter["schema"]), words(&parameter["description"]));
        // What every list or change has is said once, where it is defined.
        let says = says.split(". ").next().unwrap_or_default().to_owned();
        let _ = writeln!(text, "- `{name}` ({place}, {kind}{needed}): {says}");
    }
    if let Some(body) = content(&request["requestBody"]) {
        let _ = writeln!(text, "- Body: {}", kind_of(body));
    }
    let (done, refused): (Vec<_>, Vec<_>) = map(&request["responses"]).partition(|(status, _)| status.starts_with('2'));
    for (status, answer) in done {
        let shape = content(answer).map(|shape| format!(" {}", kind_of(shape))).unwrap_or_default();
        let _ = writeln!(text, "- {status}{shape} {}", words(&answer["description"]));
    }
    let refused: Vec<_> = refused.into_iter().map(|(status, _)| status.as_str()).collect();
    if !refused.is_empty() {
        let _ = writeln!(text, "- [Refusals](#refusals): {}", refused.join(", "));
    }
}

/// The shape of a body, whatever its type.
fn content(of: &Value) -> Option<&Value> {
    map(&of["content"]).next().map(|(_, content)| &content["schema"])
}

fn fields(text: &mut String, shape: &Value) {
    if let Some(values) = shape["enum"].as_array() {
        let values: Vec<_> = values.iter().map(|value| format!("`{}`", words(value))).collect();
        let _ = writeln!(text, "One of {}.", values.join(", "));
    }
    for part in ["oneOf", "anyOf", "allOf"] {
        let parts: Vec<_> = list(&shape[part]).map(kind_of).collect();
        if !parts.is_empty() {
            let _ = writeln!(text, "{}", parts.join(if part == "allOf" { " with " } else { " or " }));
        }
        list(&shape[part]).for_each(|part| fields(text, part));
    }
    let needed: Vec<_> = list(&shape["required"]).map(words).collect();
    let rows: Vec<_> = map(&shape["properties"]).collect();
    if rows.is_empty() {
        return;
    }
    text.push_str("\n| field | | |\n|---|---|---|\n");
    for (name, field) in rows {
        let needed = if needed.contains(name) { "" } else { ", may be left out" };
        let says = words(&field["description"]).replace('|', "\\|");
        let _ = writeln!(text, "| `{name}` | {}{needed} | {says} |", kind_of(field).replace('|', "\\|"));
    }
}

/// A type, or the link to a shape.
fn kind_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for part in ["oneOf", "anyOf", "allOf"] {
        let parts: Vec<_> = list(&schema[part]).filter(|part| part["type"] != "null").map(kind_of).collect();
        if !parts.is_empty() {
            return parts.join(" or ");
        }
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(words).filter(|kind| kind != "null").collect::<Vec<_>>().join(" or "),
        kind => words(kind),
    };
    match kinds.as_str() {
        "array" => format!("list of {}", kind_of(&schema["items"])),
        "" => "value".to_owned(),
        _ => kinds,
    }
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('\n', " ")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn map(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_told_with_its_scope_its_query_its_body_and_its_answers() {
        let shape = |name: &str| json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{name}") } } });
        let document = json!({
            "tags": [{ "name": "keys", "description": "Keys." }],
            "paths": { "/api/v1/keys": { "post": {
                "tags": ["keys"], "summary": "Creates a key.", "security": [{ "api_key": ["admin"] }],
                "parameters": [{ "in": "query", "name": "limit", "schema": { "type": ["integer", "null"] }, "description": "At most. More." }],
                "requestBody": { "content": shape("Key") },
                "responses": { "200": { "content": shape("Key") }, "409": { "description": "exists" } },
            } } },
            "components": { "schemas": { "Key": {
                "properties": { "note": { "type": "string", "description": "For\\npeople." }, "tags": { "type": "array", "items": { "type": "string" } } },
                "required": ["note"],
            } } },
        });
        let text = markdown(&document);
        for line in [
            "## keys",
            "### `POST /api/v1/keys`",
            "- Scope: `admin`",
            "- `limit` (query, integer): At most",
            "- Body: [Key](#key)",
            "- 200 [Key](#key)",
            "- [Refusals](#refusals): 409",
            "| 409 | exists |",
            "| `tags` | list of string, may be left out |  |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}
