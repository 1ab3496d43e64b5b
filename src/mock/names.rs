//! Which names a topic can have.

/// Kafka's rule: 1 to 249 of `[a-zA-Z0-9._-]`, and neither `.` nor `..`.
pub(crate) fn is_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(legal) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::is_topic_name;

    #[test]
    fn names_are_checked() {
        for name in ["a", "game.crafting.events", "x_y-2", &"a".repeat(249)] {
            assert!(is_topic_name(name), "{name}");
        }
        for name in ["", ".", "..", "a b", "ä", &"a".repeat(250)] {
            assert!(!is_topic_name(name), "{name}");
        }
    }
}
