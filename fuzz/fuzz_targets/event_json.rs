//! Event JSON of both topics: see `check_event_json` for what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| craftwire::internals::check_event_json(data));
