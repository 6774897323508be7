//! The JSON Schema of everything that crosses a wire here, as one document.
//!
//! `signalling.schema.json` is this document, committed; the TypeScript types are generated from it.

use crate::{Down, JoinAnswer, JoinRequest, SlotMap, Up};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

/// Holds one of each root, so that one document defines them all. It never travels itself.
#[derive(JsonSchema)]
#[schemars(rename = "Signalling")]
#[expect(dead_code, reason = "only its schema is used")]
struct Signalling {
    up: Up,
    down: Down,
    join_request: JoinRequest,
    join_answer: JoinAnswer,
    slot_map: SlotMap,
}

/// The document, pretty-printed, with a line feed at its end (JSON Schema draft 7, which every generator reads).
pub fn document() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Signalling>();
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}
