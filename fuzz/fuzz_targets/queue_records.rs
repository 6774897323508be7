#![no_main]
use queue::fuzzing::records;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| records(bytes));
