//! Crafting events of both topics, as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| craftwire::internals::check_event_json(data));
