//! Group membership and committed offsets.
