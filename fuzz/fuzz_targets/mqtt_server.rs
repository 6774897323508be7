#![no_main]
use mqtt::fuzzing::server;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| server(bytes));
