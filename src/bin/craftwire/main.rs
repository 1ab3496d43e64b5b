//! The program.
mod args;
mod demo;
mod exit;
mod lines;
mod ndjson;
mod output;
mod span;
mod start;
fn main() {}
