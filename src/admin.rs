//! Topics, settings, offsets and lag.
