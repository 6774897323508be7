#![no_main]
use rtc::fuzzing::offer;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| offer(bytes));
