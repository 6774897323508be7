#![no_main]
use broker::fuzzing::websocket;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| websocket(bytes));
