#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod answering;
mod channel;
mod coming_back;
mod conference;
mod generated;
mod going;
mod no_media;
mod past;
mod play;
mod random;
mod ring;
mod rosters;
mod rows;
mod wire;
mod world;
