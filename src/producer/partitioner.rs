//! Which partition a record goes to: Java's murmur2 of its key, or, without a key, the partition whose turn it is.
//!
//! Invariant: a key's partition depends on its bytes and the partition count only, and is the one that Kafka's Java
//! client picks, so that several clients may write to one topic.

/// The partition of `key` among `partitions`.
pub(crate) fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// Kafka's `Utils.murmur2`: MurmurHash 2 with a seed of its own.
pub(crate) fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    // The length goes into the seed as 32 bits, as in Java.
    #[expect(clippy::cast_possible_truncation, reason = "the hash is defined on the low 32 bits")]
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (shift, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * shift);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Picks partitions for records without a key (KIP-794): stays on one until a batch's worth of bytes went there, then
/// moves to another at random, the likelier the less is queued for it.
#[derive(Debug)]
pub(crate) struct StickyPartitioner {
    current: Option<u32>,
    bytes_left: usize,
    batch_bytes: usize,
    random: u64,
}

impl StickyPartitioner {
    /// `batch_bytes`: how much goes to a partition before the next has its turn.
    pub(crate) fn new(batch_bytes: usize, seed: u64) -> Self {
        Self { current: None, bytes_left: 0, batch_bytes, random: seed | 1 }
    }

    /// The partition for a record of `record_bytes`. `queued` gives what waits in each partition, `None` where the
    /// partition has no leader now; it is asked only when a new partition is to be picked.
    pub(crate) fn next(&mut self, record_bytes: usize, queued: impl FnOnce() -> Vec<Option<usize>>) -> u32 {
        if let Some(current) = self.current
            && self.bytes_left > 0
        {
            self.bytes_left = self.bytes_left.saturating_sub(record_bytes);
            return current;
        }
        let chosen = self.choose(&queued());
        self.current = Some(chosen);
        self.bytes_left = self.batch_bytes.saturating_sub(record_bytes);
        chosen
    }

    fn choose(&mut self, queued: &[Option<usize>]) -> u32 {
        let longest = queued.iter().flatten().copied().max();
        // Without any leader each partition is as good as another.
        let weight = |waiting: &Option<usize>| match (waiting, longest) {
            (Some(waiting), Some(longest)) => (longest - waiting) as u64 + 1,
            (None, Some(_)) => 0,
            (_, None) => 1,
        };
        let total: u64 = queued.iter().map(weight).sum();
        let mut point = self.random_below(total.max(1));
        for (partition, waiting) in (0_u32..).zip(queued) {
            let weight = weight(waiting);
            if point < weight {
                return partition;
            }
            point -= weight;
        }
        0
    }

    /// xorshift64*: no more is needed than that partitions are not picked in step by all producers.
    fn random_below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of `UtilsTest.testMurmur2` in Apache Kafka.
    #[test]
    fn murmur2_is_javas() {
        let cases: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur2(key).cast_signed(), expected, "{key:?}");
        }
    }

    #[test]
    fn the_sign_bit_is_dropped_before_the_remainder() {
        // murmur2("21") is negative: 0x7fffffff & -973932308 = 1173551340.
        assert_eq!(partition_for_key(b"21", 16), 1_173_551_340 % 16);
        assert_eq!(partition_for_key(b"foobar", 24), (0x7fff_ffff & (-790_332_482_i32).cast_unsigned()) % 24);
    }

    #[test]
    fn session_ids_spread_over_all_partitions() {
        let mut seen = [0_u32; 24];
        for n in 0..2_400_u128 {
            let key = uuid::Uuid::from_u128(n * 0x9e37_79b9_7f4a_7c15).to_string();
            assert_eq!(key.len(), 36);
            seen[partition_for_key(key.as_bytes(), 24) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (40..200).contains(count)), "{seen:?}");
    }

    #[test]
    fn a_partition_is_kept_for_a_batchs_worth_of_bytes() {
        let mut sticky = StickyPartitioner::new(1_000, 7);
        let mut asked = 0;
        let mut runs: Vec<(u32, usize)> = Vec::new();
        for _ in 0..1_000 {
            let partition = sticky.next(100, || {
                asked += 1;
                vec![Some(0); 6]
            });
            match runs.last_mut() {
                Some((last, count)) if *last == partition => *count += 1,
                _ => runs.push((partition, 1)),
            }
        }
        assert_eq!(asked, 100);
        assert!(runs.iter().all(|(_, count)| count % 10 == 0));
        assert!((0..6).all(|p| runs.iter().any(|(partition, _)| *partition == p)));
    }

    #[test]
    fn partitions_without_a_leader_and_with_long_queues_are_avoided() {
        let mut sticky = StickyPartitioner::new(1, 42);
        let mut counts = [0; 3];
        for _ in 0..1_000 {
            counts[sticky.next(1, || vec![None, Some(99), Some(0)]) as usize] += 1;
        }
        assert_eq!(counts[0], 0);
        assert!(counts[2] > 20 * counts[1], "{counts:?}");
    }

    #[test]
    fn without_any_leader_it_still_picks() {
        let mut sticky = StickyPartitioner::new(1, 3);
        for _ in 0..100 {
            assert!(sticky.next(1, || vec![None, None]) < 2);
        }
    }
}
