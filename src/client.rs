//! The entry to a cluster.
