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
        crate::fetch::CASES,
        crate::fetch_sessions::CASES,
        crate::group_epochs::CASES,
        crate::handshake::CASES,
        crate::heartbeat::CASES,
        crate::list_offsets::CASES,
        crate::metadata::CASES,
        crate::offsets::CASES,
        crate::produce::CASES,
        crate::topics::CASES,
    ]
    .into_iter()
    .flatten()
}

/// The codes that the client acts on, by API, and that a broker gives to who knows how to ask for them.
const ACTED_ON: &[(ApiKey, &[ErrorCode])] = &[];

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
    let spoken = craftwire::internals::spoken_apis();
    let mut missing = String::new();
    let mut table = String::from("API | cases | versions | codes\n");
    for (number, name, min, max) in &spoken {
        let about = cases().filter(|case| case.about as i16 == *number).count();
        let of_api = || answered.iter().filter(|((api, _), _)| api == number);
        let is_success = |codes: &BTreeSet<i16>| codes.iter().all(|code| *code == 0);
        let succeeded: BTreeSet<i16> = of_api()
            .filter(|(_, all)| all.iter().any(is_success))
            .map(|((_, version), _)| *version)
            .collect();
        let codes: BTreeSet<i16> = of_api().flat_map(|(_, all)| all.iter().flatten().copied()).collect();
        let _ = writeln!(table, "{name} | {about} | {succeeded:?} | {codes:?}");
        for version in [min, max] {
            if !succeeded.contains(version) {
                let _ = writeln!(missing, "{name} v{version} has no success");
            }
        }
        let acted_on =
            ACTED_ON.iter().filter(|(api, _)| *api as i16 == *number).flat_map(|(_, codes)| *codes);
        for code in acted_on.filter(|code| !codes.contains(&code.0)) {
            let _ = writeln!(missing, "{name} has no answer with {code}");
        }
    }
    println!("{table}");
    assert!(missing.is_empty(), "{missing}");
}
