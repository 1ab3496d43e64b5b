//! Many brokers: who leads what, and a connection to each. Imports: net, wire.
