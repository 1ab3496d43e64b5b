//! The demo.
mod checks;
mod ids;
mod meter;
mod panel;
mod players;
mod random;
mod session;
mod stats;
mod summary;
