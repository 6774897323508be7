#![no_main]
use terminal::fuzzing::read_ivf;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| read_ivf(bytes));
