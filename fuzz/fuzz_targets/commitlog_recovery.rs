#![no_main]
use commitlog::fuzzing::recovery;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| recovery(bytes));
