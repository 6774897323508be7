#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

mod answers;
mod calls;
mod crashes;
mod directory;
mod doubt;
mod followed;
mod gaps;
mod generated;
mod held;
mod history;
mod logs;
mod machine;
mod operator;
mod outages;
mod presence;
mod races;
mod reads;
mod refusals;
mod rosters;
mod rtc;
mod set_aside;
mod topics;
mod world;
