#![no_main]
use mqtt::fuzzing::client;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| client(bytes));
