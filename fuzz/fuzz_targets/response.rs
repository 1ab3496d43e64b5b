//! Answers of every API in every version: see `check_response` for how the input is split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| craftwire::internals::check_response(data));
