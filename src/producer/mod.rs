//! Publishing records. Imports: cluster, wire.
