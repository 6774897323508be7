//! The OpenAPI document of everything under HTTP: what accounts describe of users and logins, the join endpoint, and
//! the view of a channel.

mod exact;
mod reference;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use signalling::{JoinAnswer, JoinRequest};

/// OpenAPI 3.1.
pub fn document() -> Value {
    let mut document = serde_json::to_value(accounts::http::openapi()).expect("the document is plain JSON");
    let (request, answer, schemas) = join_schemas();
    insert(&mut document["components"]["schemas"], schemas);
    insert(&mut document["paths"], paths(&request, &answer));
    let token = json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The token of an invitation or admission." });
    document["components"]["securitySchemes"]["join_token"] = token;
    document["info"]["description"] =
        json!("Users, devices and logins; groups, topics, grants, keys and tokens; and the way into a channel.");
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.push(json!({ "name": "media", "description": "The RTC server: joining a channel, and looking at one." }));
    }
    exact::make_exact(&mut document);
    document
}

/// The same for reading.
pub fn page() -> String {
    reference::markdown(&document())
}

fn insert(into: &mut Value, entries: impl IntoIterator<Item = (String, Value)>) {
    into.as_object_mut().expect("the accounts' document has paths and schemas").extend(entries);
}

/// References to request and answer of a join, and the schemas that they need.
fn join_schemas() -> (Value, Value, Map<String, Value>) {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let request = generator.subschema_for::<JoinRequest>().to_value();
    let answer = generator.subschema_for::<JoinAnswer>().to_value();
    (request, answer, generator.take_definitions(true))
}

fn paths(request: &Value, answer: &Value) -> Map<String, Value> {
    let join = json!({ "post": {
        "tags": ["media"],
        "operationId": "join",
        "summary": "Joins a channel: one SDP offer in, one answer out. From any origin.",
        "security": [{ "join_token": [] }],
        "requestBody": { "required": true, "content": { "application/json": { "schema": request } } },
        "responses": {
            "200": { "description": "The answer and the first slot map.",
                     "content": { "application/json": { "schema": answer } } },
            "400": refusal("bad_request, bad_offer"),
            "401": refusal("token_invalid, token_expired"),
            "403": refusal("token_foreign"),
            "408": refusal("slow_body"),
            "410": refusal("channel_closed, removed"),
            "413": refusal("offer_too_large, too_many_media"),
            "503": refusal("channel_full, retry, unavailable"),
        },
    } });
    let channel = json!({ "get": {
        "tags": ["media"],
        "operationId": "describe_channel",
        "summary": "What the RTC server knows of a channel: who is in it, and where their packets go.",
        "security": [{ "api_key": ["channels"] }],
        "parameters": [{ "name": "channel", "in": "path", "required": true, "schema": { "type": "string" } }],
        "responses": {
            "200": { "description": "`null` if no such channel is open.",
                     "content": { "application/json": { "schema": channel_schema() } } },
            "401": refusal("api_key_required"),
            "403": refusal("forbidden"),
            "429": refusal("too_many_failures"),
            "503": refusal("unavailable"),
        },
    } });
    let entries = [("/rtc/v1/join", join), ("/api/v1/channels/{channel}", channel)];
    entries.into_iter().map(|(path, item)| (path.to_owned(), item)).collect()
}

fn refusal(codes: &str) -> Value {
    let text = json!({ "type": "string" });
    let body = object(&[
        ("status", json!({ "type": "integer" })),
        ("code", text.clone()),
        ("title", text.clone()),
        ("detail", text),
    ]);
    json!({ "description": codes, "content": { "application/problem+json": { "schema": body } } })
}

fn channel_schema() -> Value {
    let (text, flag, count) = (json!({ "type": "string" }), json!({ "type": "boolean" }), json!({ "type": "integer" }));
    let traffic = object(&[
        ("source", text.clone()),
        ("received", count.clone()),
        ("forwarded", count.clone()),
        ("dropped_muted", count.clone()),
        ("dropped_blocked", count.clone()),
        ("dropped_waiting", count),
    ]);
    let participant = object(&[
        ("participation", json!({ "type": "string", "format": "uuid" })),
        ("user", text),
        ("waiting", flag.clone()),
        ("connected", flag),
        ("cipher", json!({ "type": ["string", "null"] })),
        ("traffic", list_of(&traffic)),
    ]);
    let mut channel = object(&[("participants", list_of(&participant))]);
    channel["type"] = json!(["object", "null"]);
    channel
}

fn list_of(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// With all of its properties required.
fn object(properties: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` and every security scheme of the document.
    fn names(of: &Value, found: &mut Vec<String>) {
        match of {
            Value::Object(fields) => {
                found
                    .extend(fields.get("$ref").and_then(Value::as_str).map(|at| at.trim_start_matches('#').to_owned()));
                let schemes = fields.get("security").and_then(Value::as_array).into_iter().flatten();
                let schemes = schemes.filter_map(Value::as_object).flat_map(Map::keys);
                found.extend(schemes.map(|name| format!("/components/securitySchemes/{name}")));
                fields.values().for_each(|value| names(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }

    #[test]
    fn whatever_the_document_names_is_in_it() {
        let document = document();
        let mut found = Vec::new();
        names(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        let missing: Vec<_> = found.iter().filter(|name| document.pointer(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
