//! The committed schema must be what the types generate now.

use std::path::Path;

#[test]
fn the_committed_schema_is_the_one_of_the_types() {
    let remedy = "make generate";
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("signalling.schema.json");
    let (committed, made) = (std::fs::read_to_string(path).unwrap(), signalling::schema::document());
    assert_eq!(parsed(&committed), parsed(&made), "stale: {remedy}");
}
