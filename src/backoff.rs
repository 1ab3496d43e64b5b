//! Waits between attempts: exponential, with jitter.
