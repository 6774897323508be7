//! The OpenAPI document of everything under HTTP: what accounts describe of users and logins, the join endpoint, and
//! the channels of a service.

mod channels;
mod exact;
mod reference;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use signalling::{JoinAnswer, JoinRequest};

/// OpenAPI 3.1.
pub fn document() -> Value {
    let mut document = serde_json::to_value(accounts::http::openapi()).expect("the document is plain JSON");
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let [request, answer] = [generator.subschema_for::<JoinRequest>(), generator.subschema_for::<JoinAnswer>()];
    insert(&mut document["paths"], paths(&request.to_value(), &answer.to_value()));
    insert(&mut document["paths"], channels::paths(&mut generator));
    insert(&mut document["components"]["schemas"], generator.take_definitions(true));
    let token = json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The token of an invitation or admission." });
    document["components"]["securitySchemes"]["join_token"] = token;
    document["info"]["description"] =
        json!("Users, devices and logins; groups, topics, grants, keys and tokens; and the way into a channel.");
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.push(json!({ "name": "media", "description": "The RTC server: joining a channel." }));
        tags.push(json!({ "name": "channels", "description": "For a service that runs meetings by itself: channels as it wishes them, what happens in them, tokens." }));
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
    [("/rtc/v1/join".to_owned(), join)].into_iter().collect()
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
