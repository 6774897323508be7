#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod channel;
mod conference;
mod generated;
mod play;
mod random;
mod ring;
mod rows;
mod wire;
mod world;
