use super::*;
use proptest::prelude::*;

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn compressed(codec: Compression, plain: &[u8]) -> BytesMut {
    let mut dst = BytesMut::new();
    assert!(Compressor::new().compress(codec, plain, &mut dst));
    dst
}

#[test]
fn names_and_numbers_go_both_ways() {
    for codec in CODECS {
        assert_eq!(codec.to_string().parse(), Ok(codec));
        assert_eq!(Compression::from_id(codec.id()), Some(codec));
    }
    assert_eq!(Compression::from_id(5), None);
    assert_eq!(
        "LZ4".parse::<Compression>().unwrap_err().to_string(),
        "compression \"LZ4\" is not known; use one of none, gzip, snappy, lz4, zstd"
    );
}

#[test]
fn a_bomb_is_refused_with_little_memory_in_every_codec() {
    const LIMIT: usize = 1 << 20;
    let plain = vec![0; 16 << 20];
    for codec in CODECS.into_iter().skip(1) {
        let bomb = compressed(codec, &plain);
        assert!(bomb.len() < plain.len() / 15, "{codec} makes {}", bomb.len());
        let mut decompressor = Decompressor::new();
        let refused = DecodeError::DecompressLimit { codec: codec.name(), limit: LIMIT };
        assert_eq!(decompressor.decompress(codec, &bomb, LIMIT), Err(refused));
        assert!(decompressor.pool.take().capacity() <= 2 * LIMIT);
    }
}

#[test]
fn nothing_is_not_compressed_data() {
    for codec in CODECS.into_iter().skip(1) {
        let nothing = Decompressor::new().decompress(codec, b"", 100);
        assert_eq!(nothing, Err(DecodeError::Decompress { codec: codec.name() }), "{codec}");
    }
}

#[test]
fn scratch_memory_does_not_stay_large() {
    let mut decompressor = Decompressor::new();
    let plain = vec![1; SCRATCH_KEPT_BYTES + 1];
    let bytes = compressed(Compression::Lz4, &plain);
    assert_eq!(decompressor.decompress(Compression::Lz4, &bytes, usize::MAX).unwrap(), plain);
    assert_eq!(decompressor.pool.take().capacity(), 0);
}

/// Data of every kind that matters: random, of few letters, and repeated, from empty to a few blocks.
fn plain() -> impl Strategy<Value = Vec<u8>> {
    let random = prop::collection::vec(any::<u8>(), 0..2000);
    let letters = prop::collection::vec(b'a'..b'e', 0..70_000);
    let repeated =
        (prop::collection::vec(any::<u8>(), 1..50), 1..6000_usize).prop_map(|(unit, n)| unit.repeat(n));
    prop_oneof![random, letters, repeated]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_compressed_comes_back_with_reused_state(plains in prop::collection::vec(plain(), 1..4)) {
        let mut compressor = Compressor::new();
        let mut decompressor = Decompressor::new();
        for codec in CODECS {
            for plain in &plains {
                let mut dst = BytesMut::from("before");
                prop_assert!(compressor.compress(codec, plain, &mut dst));
                prop_assert_eq!(&dst[..6], b"before");
                if plain.is_empty() && codec == Compression::Snappy {
                    continue; // a header and no block
                }
                let back = decompressor.decompress(codec, &dst[6..], plain.len());
                prop_assert_eq!(back.as_deref(), Ok(&plain[..]));
                if let Some(limit) = plain.len().checked_sub(1) {
                    let refused = DecodeError::DecompressLimit { codec: codec.name(), limit };
                    prop_assert_eq!(decompressor.decompress(codec, &dst[6..], limit), Err(refused));
                }
            }
        }
    }

    #[test]
    fn damaged_data_never_panics_nor_passes_the_limit(
        plain in plain(),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut decompressor = Decompressor::new();
        for codec in CODECS {
            let mut bytes = compressed(codec, &plain);
            if bytes.is_empty() {
                continue;
            }
            let at = at.index(bytes.len());
            bytes[at] = with;
            for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
                if let Ok(back) = decompressor.decompress(codec, bytes, 100_000) {
                    prop_assert!(back.len() <= 100_000);
                }
            }
        }
    }
}
