//! Task: what must be covered: every API of the client in its lowest and highest version, and the codes it acts on.

use crate::{
    case::{Case, run},
    target::{Answered, Target},
};
use craftwire::error::ErrorCode;
use kafka_protocol::messages::ApiKey;
use std::{collections::BTreeSet, fmt::Write as _, ops::RangeInclusive};

/// All cases.
fn cases() -> impl Iterator<Item = &'static Case> {
    [
        crate::classic_groups::CASES,
        crate::configs::CASES,
        crate::conversion::CASES,
        crate::epoch_ends::CASES,
        crate::fetch::CASES,
        crate::fetch_sessions::CASES,
        crate::group_epochs::CASES,
        crate::handshake::CASES,
        crate::heartbeat::CASES,
        crate::list_offsets::CASES,
        crate::metadata::CASES,
        crate::offsets::CASES,
        crate::produce::CASES,
        crate::replication::CASES,
        crate::topics::CASES,
        crate::transactions::CASES,
    ]
    .into_iter()
    .flatten()
}

/// The codes that the client acts on by name, by API, as far as a broker can be brought to give them.
///
/// Not among them, because a plain cluster does not give them when asked: refusals of authorization (29, 30, 31, 53);
/// what passes within milliseconds after a start or a move (14, 15 and 78); 20, which takes a replica that dies between
/// the check and the append; and those that 4.1 has no more (46, 49, 59) or keeps for versions that this client does not
/// speak (43, 76). The mock's hooks give them.
const ACTED_ON: &[(ApiKey, &[ErrorCode])] = &[
    (
        ApiKey::Produce,
        &[
            ErrorCode::CORRUPT_MESSAGE,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::REQUEST_TIMED_OUT,
            ErrorCode::MESSAGE_TOO_LARGE,
            ErrorCode::NOT_ENOUGH_REPLICAS,
            ErrorCode::INVALID_REQUIRED_ACKS,
            ErrorCode::INVALID_TIMESTAMP,
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
            ErrorCode::INVALID_PRODUCER_EPOCH,
            ErrorCode::INVALID_RECORD,
        ],
    ),
    (
        ApiKey::Fetch,
        &[
            ErrorCode::OFFSET_OUT_OF_RANGE,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
            ErrorCode::INVALID_FETCH_SESSION_EPOCH,
            ErrorCode::FENCED_LEADER_EPOCH,
            ErrorCode::UNKNOWN_LEADER_EPOCH,
            ErrorCode::UNKNOWN_TOPIC_ID,
            ErrorCode::INCONSISTENT_TOPIC_ID,
        ],
    ),
    (
        ApiKey::ListOffsets,
        &[
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::FENCED_LEADER_EPOCH,
            ErrorCode::UNKNOWN_LEADER_EPOCH,
        ],
    ),
    (
        ApiKey::OffsetForLeaderEpoch,
        &[
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::FENCED_LEADER_EPOCH,
            ErrorCode::UNKNOWN_LEADER_EPOCH,
        ],
    ),
    (
        ApiKey::Metadata,
        &[
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::LEADER_NOT_AVAILABLE,
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            ErrorCode::UNKNOWN_TOPIC_ID,
        ],
    ),
    (
        ApiKey::OffsetCommit,
        &[
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::OFFSET_METADATA_TOO_LARGE,
            ErrorCode::NOT_COORDINATOR,
            ErrorCode::UNKNOWN_MEMBER_ID,
            ErrorCode::GROUP_ID_NOT_FOUND,
            ErrorCode::STALE_MEMBER_EPOCH,
        ],
    ),
    (
        ApiKey::OffsetFetch,
        &[ErrorCode::NOT_COORDINATOR, ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::STALE_MEMBER_EPOCH],
    ),
    (ApiKey::FindCoordinator, &[ErrorCode::INVALID_REQUEST]),
    (ApiKey::ApiVersions, &[ErrorCode::UNSUPPORTED_VERSION]),
    (
        ApiKey::CreateTopics,
        &[
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            ErrorCode::TOPIC_ALREADY_EXISTS,
            ErrorCode::INVALID_PARTITIONS,
            ErrorCode::INVALID_REPLICATION_FACTOR,
            ErrorCode::INVALID_CONFIG,
            ErrorCode::INVALID_REQUEST,
        ],
    ),
    (ApiKey::DeleteTopics, &[ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]),
    (ApiKey::DescribeConfigs, &[ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::INVALID_REQUEST]),
    (
        ApiKey::DeleteGroups,
        &[ErrorCode::NOT_COORDINATOR, ErrorCode::NON_EMPTY_GROUP, ErrorCode::GROUP_ID_NOT_FOUND],
    ),
    (
        ApiKey::IncrementalAlterConfigs,
        &[ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::INVALID_CONFIG, ErrorCode::INVALID_REQUEST],
    ),
    (
        ApiKey::ConsumerGroupHeartbeat,
        &[
            ErrorCode::NOT_COORDINATOR,
            ErrorCode::UNKNOWN_MEMBER_ID,
            ErrorCode::INVALID_REQUEST,
            ErrorCode::GROUP_ID_NOT_FOUND,
            ErrorCode::FENCED_MEMBER_EPOCH,
            ErrorCode::UNSUPPORTED_ASSIGNOR,
        ],
    ),
];

/// The versions of an API that the client speaks.
pub(crate) fn versions_of(api: ApiKey) -> RangeInclusive<i16> {
    let spoken = craftwire::internals::spoken_apis();
    let (_, _, min, max) =
        spoken.into_iter().find(|spoken| spoken.0 == api as i16).expect("the client speaks it");
    min..=max
}

/// All cases run on the mock, which [`crate::case::conform`] holds to what Kafka answers; this looks at what they cover.
#[tokio::test]
async fn every_api_is_covered_in_its_lowest_and_highest_version_and_with_its_errors() {
    let mut answered = Answered::new();
    for case in cases() {
        let target = Target::mock(case.brokers).await;
        // Whether it holds is another test's matter.
        let _ = run(case, &target).await;
        for (key, mut codes) in target.take_answered() {
            answered.entry(key).or_default().append(&mut codes);
        }
    }
    // Logins succeed on listeners of their own only: see the tests of security.
    let spoken =
        craftwire::internals::spoken_apis().into_iter().filter(|(_, name, ..)| !name.starts_with("Sasl"));
    let mut missing = String::new();
    let mut table = String::from("API | cases | versions | codes\n");
    for (number, name, min, max) in spoken {
        let about = cases().filter(|case| case.about as i16 == number).count();
        let of_api = || answered.iter().filter(|((api, _), _)| *api == number);
        let is_success = |codes: &BTreeSet<i16>| codes.iter().all(|code| *code == 0);
        let succeeded: BTreeSet<i16> = of_api()
            .filter(|(_, all)| all.iter().any(is_success))
            .map(|((_, version), _)| *version)
            .collect();
        let codes: BTreeSet<i16> = of_api().flat_map(|(_, all)| all.iter().flatten().copied()).collect();
        let _ = writeln!(table, "{name} | {about} | {succeeded:?} | {codes:?}");
        for version in [min, max] {
            if !succeeded.contains(&version) {
                let _ = writeln!(missing, "{name} v{version} has no success");
            }
        }
        let acted_on = ACTED_ON.iter().filter(|(api, _)| *api as i16 == number).flat_map(|(_, codes)| *codes);
        for code in acted_on.filter(|code| !codes.contains(&code.0)) {
            let _ = writeln!(missing, "{name} has no answer with {code}");
        }
    }
    println!("{table}");
    assert!(missing.is_empty(), "{missing}");
}
