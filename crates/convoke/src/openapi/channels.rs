//! What the document says of `/api/v1/channels…`.

use super::refusal;
use crate::serve::channel_api::{ChannelList, JoinGrant, PutRequest, TokenRequest};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use signalling::{ChannelDescription, ChannelEvents, Placement};
use std::slice::from_ref;

pub(super) fn paths(schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let channel = json!({ "name": "channel", "in": "path", "required": true, "schema": channel_name() });
    // What cannot be a name is the name of no open channel.
    let any_channel = json!({ "name": "channel", "in": "path", "required": true, "schema": { "type": "string" } });
    let described = json!({ "anyOf": [schema::<ChannelDescription>(schemas), { "type": "null" }] });
    let entries = [
        (
            "/api/v1/channels",
            json!({ "get": operation("list_channels", "The open channels that keys of this instance have put.", &[], None, &schema::<ChannelList>(schemas), "") }),
        ),
        (
            "/api/v1/channels:events",
            json!({ "get": operation("channel_events", "What has happened in the channels behind epoch and sequence, or all that is there; waits until there is something. Whoever asks keeps the channels open: one that nobody asks about for 120 s is closed once it is empty.", &events_query(), None, &schema::<ChannelEvents>(schemas), "invalid_query") }),
        ),
        (
            "/api/v1/channels/{channel}",
            json!({
                "get": operation("describe_channel", "What the RTC server knows of a channel: who is in it, and where their packets go. `null` if no such channel is open. Also of a channel of the built-in meeting service.", &[any_channel], None, &described, ""),
                "put": operation("put_channel", "Makes a channel what is wished, the whole of it; `desired` null ends it. A rev below what was put before, or the same one with another wish, changes nothing: 412 stale, with the present one as ETag.", from_ref(&channel), Some(schema::<PutRequest>(schemas)), &schema::<Placement>(schemas), "invalid_channel, invalid_body"),
            }),
        ),
        (
            "/api/v1/channels/{channel}/tokens",
            json!({ "post": operation("make_join_token", "A token with which a terminal joins as a participation of the wish. It says who, and the wish says what they may do.", &[channel], Some(schema::<TokenRequest>(schemas)), &schema::<JoinGrant>(schemas), "invalid_channel, invalid_body, invalid_token_request") }),
        ),
    ];
    entries.into_iter().map(|(path, item)| (path.to_owned(), item)).collect()
}

fn operation(id: &str, summary: &str, parameters: &[Value], body: Option<Value>, answer: &Value, bad: &str) -> Value {
    let mut operation = json!({
        "tags": ["channels"],
        "operationId": id,
        "summary": summary,
        "security": [{ "api_key": ["channels"] }],
        "parameters": parameters,
        "responses": {
            "200": { "description": "Done.", "content": { "application/json": { "schema": answer } } },
            "401": refusal("api_key_required"),
            "403": refusal("forbidden"),
            "429": refusal("too_many_failures"),
            "503": refusal("unavailable"),
        },
    });
    let responses = &mut operation["responses"];
    if !bad.is_empty() {
        responses["400"] = refusal(bad);
    }
    if let Some(schema) = body {
        responses["413"] = refusal("body_too_large");
        if id == "put_channel" {
            responses["409"] = refusal("limit");
            responses["412"] = refusal("stale");
        }
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

fn channel_name() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" })
}

fn events_query() -> [Value; 3] {
    let query = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema });
    let number = json!({ "type": "integer", "minimum": 0 });
    [
        query("epoch", "Of the cursor of the answer before; with sequence.", number.clone()),
        query("sequence", "Of the cursor of the answer before; with epoch. Without both: all that is there.", number),
        query("wait_s", "Longest wait; 20 without it.", json!({ "type": "integer", "minimum": 0, "maximum": 30 })),
    ]
}
