//! A door for the project's own tests, benches and fuzz targets. Outside semver.

pub use crate::wire::{api::fuzz::check_response, record_batch::fuzz::check_record_batch};

/// Reads any bytes as an event of either topic: no panic, small errors, and what was read reads the same after it was
/// written.
pub fn check_event_json(data: &[u8]) {
    crate::crafting::check_event_json(data);
}
