//! Where the derived document says something else than the server does: bodies that may be left out, numbers that have no
//! sign, the header of answers that are given again, and refusals that a route cannot give.

use serde_json::{Value, json};

/// What the derivation calls `int32` or `int64` and what cannot be below zero is `u32` or `u64`.
const MAX_BY_FORMAT: [(&str, u64); 2] = [("int32", 0xFFFF_FFFF), ("int64", u64::MAX)];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub(super) fn make_exact(document: &mut Value) {
    bound_numbers(document);
    let schemas = document["components"]["schemas"].clone();
    let items = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for item in items {
        for method in METHODS {
            let Some(operation) = item.get_mut(method) else { continue };
            let body = operation.get_mut("requestBody");
            if let Some(body) = body.filter(|body| may_be_empty(body, &schemas)) {
                body["required"] = json!(false);
            }
            tell_of_replays(operation);
            leave_out_what_cannot_be(method, operation);
        }
    }
}

/// No body is read as one without fields, and a form's fields may stand in the query.
fn may_be_empty(body: &Value, schemas: &Value) -> bool {
    let contents = body["content"].as_object().into_iter().flatten();
    contents.into_iter().all(|(media_type, content)| {
        let schema = &content["schema"];
        let named = schema["$ref"].as_str().and_then(|name| schemas.get(name.rsplit('/').next()?));
        let required = named.unwrap_or(schema)["required"].as_array();
        media_type == "application/x-www-form-urlencoded" || required.is_none_or(Vec::is_empty)
    })
}

fn takes_header(operation: &Value, name: &str) -> bool {
    let mut parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.any(|parameter| parameter["in"] == "header" && parameter["name"] == name)
}

/// Refusals are derived by kinds of routes. Who reads only is in nobody's way, without a body there is none too large, and
/// without an expectation none is wrong.
fn leave_out_what_cannot_be(method: &str, operation: &mut Value) {
    let absent = [
        ("409", method == "get"),
        // A put of a channel has its revision in the body.
        ("412", !takes_header(operation, "If-Match") && operation["operationId"] != "put_channel"),
        // The body of what is done once is read, also where it has nothing to say.
        ("413", operation.get("requestBody").is_none() && !takes_header(operation, "Idempotency-Key")),
    ];
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, _) in absent.into_iter().filter(|(_, is_absent)| *is_absent) {
        responses.remove(status);
    }
}

/// Good answers of what is done once say whether they were given before.
fn tell_of_replays(operation: &mut Value) {
    if !takes_header(operation, "Idempotency-Key") {
        return;
    }
    let responses = operation["responses"].as_object_mut().into_iter().flatten();
    for (_, response) in responses.filter(|(status, _)| status.starts_with('2')) {
        response["headers"]["Idempotency-Replayed"] = json!({
            "description": "The request was done before, and this is its answer.",
            "schema": { "type": "string", "const": "true" },
        });
    }
}

fn bound_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let format = fields.get("format").and_then(Value::as_str);
            let bound = MAX_BY_FORMAT.iter().find(|(name, _)| Some(*name) == format);
            if let Some((_, max)) = bound.filter(|_| fields.get("minimum") == Some(&json!(0))) {
                fields.remove("format");
                fields.entry("maximum").or_insert(json!(max));
            }
            fields.values_mut().for_each(bound_numbers);
        }
        Value::Array(values) => values.iter_mut().for_each(bound_numbers),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_body_without_required_fields_may_be_left_out() {
        let body = |schema: Value| json!({ "content": { "application/json": { "schema": schema } } });
        let schemas = json!({ "Free": { "properties": {} }, "Bound": { "required": ["a"] } });
        let is_free = |schema| may_be_empty(&body(schema), &schemas);
        assert!(is_free(json!({ "$ref": "#/components/schemas/Free" })));
        assert!(!is_free(json!({ "$ref": "#/components/schemas/Bound" })));
        assert!(!is_free(json!({ "required": ["a"] })));
    }

    #[test]
    fn a_route_names_only_refusals_that_it_can_give() {
        let all = json!({ "200": {}, "409": {}, "412": {}, "413": {} });
        let statuses = |method, mut operation: Value| {
            operation["responses"] = all.clone();
            leave_out_what_cannot_be(method, &mut operation);
            operation["responses"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(status, _)| status.clone())
                .collect::<Vec<_>>()
        };
        let if_match = json!([{ "in": "header", "name": "If-Match" }]);
        assert_eq!(statuses("get", json!({})), ["200"]);
        assert_eq!(statuses("delete", json!({ "parameters": if_match })), ["200", "409", "412"]);
        assert_eq!(statuses("post", json!({ "requestBody": {} })), ["200", "409", "413"]);
    }

    #[test]
    fn numbers_without_a_sign_reach_as_far_as_the_server_takes_them() {
        let mut document =
            json!({ "items": [{ "type": "integer", "format": "int32", "minimum": 0 }, { "format": "int32" }] });
        bound_numbers(&mut document);
        let wide = json!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32 });
        assert_eq!(document, json!({ "items": [wide, { "format": "int32" }] }));
    }
}
