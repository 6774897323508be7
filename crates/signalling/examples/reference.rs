//! Prints the reference page: `cargo run -p signalling --example reference > docs/signalling.md`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(signalling::reference::page().as_bytes())
}
