//! Record batches of one partition, as a Fetch answer brings them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| craftwire::internals::check_record_batch(data));
