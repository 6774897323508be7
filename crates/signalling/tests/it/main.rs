#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod generated;
mod wire;
