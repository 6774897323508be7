#![no_main]
use signalling::fuzzing::signals;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signals(bytes));
