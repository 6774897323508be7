#![no_main]
use signalling::fuzzing::document;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| document(bytes));
