//! Task: transport
