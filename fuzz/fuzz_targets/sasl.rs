#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| craftwire_fuzz::SASL.run(data));
