#![no_main]
use meeting::fuzzing::document;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| document(bytes));
