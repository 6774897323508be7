//! Scenarios of the whole system. Each starts real processes on free loopback ports.
#![expect(clippy::panic, reason = "a failed expectation is the test's failure")]

mod bad_input;
mod channels_contract;
mod channels_over_http;
mod clock_steps;
mod data_directories;
mod dependency_rule;
mod descriptors;
mod documents;
mod full_disk;
mod full_file_system;
mod gaps;
mod idempotency;
mod kill_under_load;
mod login;
mod metrics;
mod owner_command_line;
mod owner_devices;
mod owner_meetings;
mod owner_messages;
mod owner_server;
mod property_names;
mod revocation;
mod seeds;
mod serve;
mod set_clock;
mod soak;
mod support;
mod terminal;
mod walk;
