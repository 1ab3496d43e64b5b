//! What graviola's cryptography needs of the processor. It panics without; so it is asked only after this was.

/// What is needed and missing.
pub(super) fn missing_feature() -> Option<&'static str> {
    needed().into_iter().find_map(|(name, is_there)| (!is_there).then_some(name))
}

#[cfg(target_arch = "x86_64")]
fn needed() -> [(&'static str, bool); 6] {
    use std::arch::is_x86_feature_detected as has;
    [
        ("aes", has!("aes")),
        ("pclmulqdq", has!("pclmulqdq")),
        ("bmi1", has!("bmi1")),
        ("adx", has!("adx")),
        ("avx", has!("avx")),
        ("avx2", has!("avx2")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn needed() -> [(&'static str, bool); 4] {
    use std::arch::is_aarch64_feature_detected as has;
    [("neon", has!("neon")), ("aes", has!("aes")), ("pmull", has!("pmull")), ("sha2", has!("sha2"))]
}
