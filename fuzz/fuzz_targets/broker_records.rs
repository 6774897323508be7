#![no_main]
use broker::fuzzing::records;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| records(bytes));
