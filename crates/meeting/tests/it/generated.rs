//! The committed reference page: it must be what the tables and the schema generate now.

use std::path::Path;

#[test]
fn the_committed_reference_page_is_the_one_of_the_table() {
    let remedy = "make generate";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/signalling.md");
    assert_eq!(std::fs::read_to_string(path).unwrap(), meeting::reference::page(), "stale: {remedy}");
}
