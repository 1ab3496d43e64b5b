//! A door for the project's own tests, benches and fuzz targets. Outside semver.

pub use crate::wire::api::fuzz::check_response;
