//! Settings that all parts share.
