#![no_main]
use terminal::fuzzing::ring_store;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ring_store(bytes));
