//! The four codecs, all pure Rust, every decompression capped.
