//! The body of the fuzz target `response`, and of the test that replays its corpus.

use super::spoken::{read, spoken};
use crate::wire::reader::Reader;
use bytes::Bytes;

/// Reads an answer's body as this client would: the first byte is the API's number, the second its version, the rest
/// the body. Whatever the bytes are, this returns.
pub fn check_response(data: &[u8]) {
    let &[number, version, ref body @ ..] = data else { return };
    let named = spoken().map(|(key, _)| key).find(|key| *key as i16 == i16::from(number));
    let Some(key) = named else { return };
    // The answer or the error is of no interest here: what it says is the tests' matter.
    let _ = read(key, i16::from(version), &mut Reader::new(Bytes::copy_from_slice(body)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::versions;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            for (key, range) in spoken() {
                for version in versions(range) {
                    let mut data = vec![u8::try_from(key as i16).unwrap(), u8::try_from(version).unwrap()];
                    data.extend_from_slice(&body);
                    check_response(&data);
                }
            }
        }
    }
}
