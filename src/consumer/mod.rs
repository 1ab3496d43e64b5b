//! Reading records. Imports: cluster, wire.
