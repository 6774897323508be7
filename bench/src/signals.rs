//! Signals as JSON, so that the same program measures any version of the service.

use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

const LIFE_MS: u64 = 30_000;

/// A request with the fields of its type; its topic is `meeting-up/<kind>`.
pub(crate) fn request(kind: &str, meeting: Option<Uuid>, fields: Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    let mut request = json!({
        "v": 1, "id": Uuid::now_v7(), "type": kind, "sent_at_ms": now, "expires_at_ms": now + LIFE_MS,
    });
    let Some(all) = request.as_object_mut() else { return request };
    if let Some(meeting) = meeting {
        all.insert("meeting".into(), json!(meeting));
    }
    if let Value::Object(fields) = fields {
        all.extend(fields);
    }
    request
}
