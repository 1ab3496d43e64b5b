//! What brokers of a Kafka release tell in ApiVersions, read off real ones (3.9.1 and 4.1.1, KRaft, default settings).

use super::api::Api;

/// A release of Kafka that a mock's broker can tell the versions of.
///
/// # Examples
///
/// A rolling upgrade:
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use craftwire::mock::{Api, KafkaVersion, MockCluster};
///
/// let mock = MockCluster::builder().brokers(3).kafka_version(KafkaVersion::V3_9).start_in_memory()?;
/// for broker in mock.broker_ids() {
///     mock.stop_broker(broker);
///     mock.set_kafka_version(broker, KafkaVersion::V4_1);
///     mock.start_broker(broker)?;
/// }
/// assert_eq!(KafkaVersion::V4_1.versions(Api::Produce), Some((0, 13)));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KafkaVersion {
    /// Kafka 3.9: no KIP-848 groups, and topics by name only in Produce.
    V3_9,
    /// Kafka 4.1, the mock's default.
    V4_1,
}

/// A feature and its levels, lowest and highest.
pub(crate) type Feature = (&'static str, i16, i16);

impl KafkaVersion {
    /// The versions that a broker of this release tells of an API, lowest and highest; `None` where it has none.
    pub fn versions(self, api: Api) -> Option<(i16, i16)> {
        let found = self.apis().iter().find(|(key, _, _)| *key == api.number());
        found.map(|(_, min, max)| (*min, *max))
    }

    /// All APIs by Kafka's number, with their lowest and highest versions.
    pub(crate) const fn apis(self) -> &'static [(i16, i16, i16)] {
        match self {
            Self::V3_9 => APIS_3_9,
            Self::V4_1 => APIS_4_1,
        }
    }

    pub(crate) const fn supported_features(self) -> &'static [Feature] {
        match self {
            Self::V3_9 => &[("kraft.version", 0, 1), ("metadata.version", 1, 21)],
            Self::V4_1 => &[
                ("eligible.leader.replicas.version", 0, 1),
                (GROUP_VERSION, 0, 1),
                ("kraft.version", 0, 1),
                ("metadata.version", 7, 27),
                ("share.version", 0, 1),
                ("transaction.version", 0, 2),
            ],
        }
    }

    /// Features and levels of a cluster that was set up with this release, or upgraded to it.
    pub(crate) const fn finalized_features(self) -> &'static [(&'static str, i16)] {
        match self {
            Self::V3_9 => &[("metadata.version", 21)],
            Self::V4_1 => &[
                ("eligible.leader.replicas.version", 1),
                (GROUP_VERSION, 1),
                ("metadata.version", 27),
                ("transaction.version", 2),
            ],
        }
    }
}

/// The feature that switches KIP-848 groups on.
pub(crate) const GROUP_VERSION: &str = "group.version";

#[rustfmt::skip]
const APIS_3_9: &[(i16, i16, i16)] = &[
    (0, 0, 11), (1, 0, 17), (2, 0, 9), (3, 0, 12), (8, 0, 9), (9, 0, 9), (10, 0, 6), (11, 0, 9), (12, 0, 4),
    (13, 0, 5), (14, 0, 5), (15, 0, 5), (16, 0, 5), (17, 0, 1), (18, 0, 4), (19, 0, 7), (20, 0, 6), (21, 0, 2),
    (22, 0, 5), (23, 0, 4), (24, 0, 5), (25, 0, 4), (26, 0, 4), (27, 0, 1), (28, 0, 4), (29, 0, 3), (30, 0, 3),
    (31, 0, 3), (32, 0, 4), (33, 0, 2), (34, 0, 2), (35, 0, 4), (36, 0, 2), (37, 0, 3), (38, 0, 3), (39, 0, 2),
    (40, 0, 2), (41, 0, 3), (42, 0, 2), (43, 0, 2), (44, 0, 1), (45, 0, 0), (46, 0, 0), (47, 0, 0), (48, 0, 1),
    (49, 0, 1), (50, 0, 0), (51, 0, 0), (55, 0, 2), (57, 0, 1), (60, 0, 1), (61, 0, 0), (64, 0, 0), (65, 0, 0),
    (66, 0, 1), (68, 0, 0), (69, 0, 0), (74, 0, 0), (75, 0, 0), (80, 0, 0), (81, 0, 0),
];

// 4.x tells Produce from 0 on although it takes 3 and more only: librdkafka judges compression by it (KAFKA-18659).
#[rustfmt::skip]
const APIS_4_1: &[(i16, i16, i16)] = &[
    (0, 0, 13), (1, 4, 18), (2, 1, 10), (3, 0, 13), (8, 2, 9), (9, 1, 9), (10, 0, 6), (11, 0, 9), (12, 0, 4),
    (13, 0, 5), (14, 0, 5), (15, 0, 6), (16, 0, 5), (17, 0, 1), (18, 0, 4), (19, 2, 7), (20, 1, 6), (21, 0, 2),
    (22, 0, 5), (23, 2, 4), (24, 0, 5), (25, 0, 4), (26, 0, 5), (27, 1, 1), (28, 0, 5), (29, 1, 3), (30, 1, 3),
    (31, 1, 3), (32, 1, 4), (33, 0, 2), (34, 1, 2), (35, 1, 4), (36, 0, 2), (37, 0, 3), (38, 1, 3), (39, 1, 2),
    (40, 1, 2), (41, 1, 3), (42, 0, 2), (43, 0, 2), (44, 0, 1), (45, 0, 1), (46, 0, 0), (47, 0, 0), (48, 0, 1),
    (49, 0, 1), (50, 0, 0), (51, 0, 0), (55, 0, 2), (57, 0, 2), (60, 0, 2), (61, 0, 0), (64, 0, 0), (65, 0, 0),
    (66, 0, 2), (68, 0, 1), (69, 0, 1), (74, 0, 1), (75, 0, 0), (76, 1, 1), (77, 1, 1), (78, 1, 1), (79, 1, 1),
    (80, 0, 0), (81, 0, 0), (83, 0, 0), (84, 0, 0), (85, 0, 0), (86, 0, 0), (87, 0, 0), (90, 0, 0), (91, 0, 0),
    (92, 0, 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mock_answers_all_that_a_client_asks_of_either_release() {
        for api in Api::ALL {
            assert_eq!(KafkaVersion::V4_1.versions(*api), Some(api.versions()), "{api:?}");
            let (_, max) = KafkaVersion::V3_9.versions(*api).unwrap();
            assert!(max <= api.versions().1, "{api:?}");
        }
    }
}
