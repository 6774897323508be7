//! Any events in any order on one meeting. The world and its checker are those of the random test.

#![no_main]

#[path = "../../crates/meeting/tests/it/machine/followers.rs"]
mod followers;
#[path = "../../crates/meeting/tests/it/machine/play.rs"]
mod play;
#[expect(dead_code, clippy::unwrap_used, reason = "scenarios use the rest; a failed expectation is a finding")]
#[path = "../../crates/meeting/tests/it/machine/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| play::play(&play::acts_of(bytes)));
