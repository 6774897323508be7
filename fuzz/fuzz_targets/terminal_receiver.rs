#![no_main]
use terminal::fuzzing::receiver;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| receiver(bytes));
