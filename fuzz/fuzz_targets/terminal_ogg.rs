#![no_main]
use terminal::fuzzing::read_ogg;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| read_ogg(bytes));
