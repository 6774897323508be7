#![no_main]
use mqtt::fuzzing::decoder;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoder(bytes));
