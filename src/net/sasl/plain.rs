//! PLAIN (RFC 4616): user and password as they are, in one message that the broker answers with nothing.

use super::secret::Secret;
use zeroize::Zeroizing;

/// The client's message.
pub(crate) fn message(user: &str, password: &Secret) -> Zeroizing<Vec<u8>> {
    let password = password.reveal();
    let mut message = Zeroizing::new(Vec::with_capacity(user.len() + password.len() + 2));
    message.push(0); // acting for nobody else
    message.extend_from_slice(user.as_bytes());
    message.push(0);
    message.extend_from_slice(password.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_that_of_the_rfc() {
        let message = message("tim", &Secret::new("tanstaaftanstaaf".to_owned()));
        assert_eq!(&message[..], b"\0tim\0tanstaaftanstaaf");
    }
}
