//! The crafting domain: typed events in, typed events out.
