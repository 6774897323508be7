//! The protocol on virtual time: golden tables, malformed packets, each half alone, pairs, random input.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod bytes;
mod connection;
mod golden;
mod malformed;
mod oracle;
mod pair;
mod random;
mod session;
mod states;

/// The same cases in every run; `PROPTEST_RNG_SEED` tries others.
fn seeded() -> proptest::test_runner::Config {
    use proptest::test_runner::{Config, RngSeed};
    let defaults = Config { failure_persistence: None, ..Config::default() };
    match defaults.rng_seed {
        RngSeed::Random => Config { rng_seed: RngSeed::Fixed(0x4D51_5454), ..defaults },
        RngSeed::Fixed(_) => defaults,
    }
}
