//! Prints the reference page: `cargo run -p meeting --example reference > docs/signalling.md`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(meeting::reference::page().as_bytes())
}
