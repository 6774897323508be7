#![no_main]
use mqtt::fuzzing::topics;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| topics(bytes));
