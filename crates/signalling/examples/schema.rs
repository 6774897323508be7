//! Prints the schema: `cargo run -p signalling --example schema > crates/signalling/signalling.schema.json`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(signalling::schema::document().as_bytes())
}
