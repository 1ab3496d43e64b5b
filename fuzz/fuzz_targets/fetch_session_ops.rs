#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| craftwire_fuzz::FETCH_SESSION_OPS.run(data));
