//! An in-process cluster that speaks the real protocol, for tests.
