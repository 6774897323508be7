//! Generated files that are committed must be what the code generates now.

use std::path::Path;

fn committed(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_committed_schema_is_the_one_of_the_types() {
    let remedy = "cargo run -p signalling --example schema > crates/signalling/signalling.schema.json";
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let (committed, made) = (committed("signalling.schema.json"), signalling::schema::document());
    assert_eq!(parsed(&committed), parsed(&made), "stale: {remedy}");
}

#[test]
fn the_committed_reference_page_is_the_one_of_the_table() {
    let remedy = "cargo run -p signalling --example reference > docs/signalling.md";
    assert_eq!(committed("../../docs/signalling.md"), signalling::reference::page(), "stale: {remedy}");
}
