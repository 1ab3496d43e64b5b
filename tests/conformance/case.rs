//! Task: what a case is, and how it runs on both clusters.

use crate::{target::Target, transcript::differences};
use futures_util::FutureExt;
use kafka_protocol::messages::ApiKey;
use std::{any::Any, future::Future, panic::AssertUnwindSafe, pin::Pin, time::Duration};

/// One thing that both clusters must do alike.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The API that it is about.
    pub(crate) about: ApiKey,
    /// How many brokers it needs, 1 or 3.
    pub(crate) brokers: u8,
    pub(crate) run: for<'a> fn(&'a Target) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

/// Lists the cases of a file, and makes a test of each.
macro_rules! cases {
    ($brokers:literal brokers; $($about:ident: $($(#[$meta:meta])* $name:ident)+;)+) => {
        pub(crate) const CASES: &[$crate::case::Case] = &[$($($crate::case::Case {
            name: stringify!($name),
            about: kafka_protocol::messages::ApiKey::$about,
            brokers: $brokers,
            run: |target| Box::pin($name(target)),
        }),+),+];

        mod conforms {
            $($(
                $(#[$meta])*
                #[tokio::test]
                async fn $name() {
                    let case = super::CASES.iter().find(|case| case.name == stringify!($name)).unwrap();
                    $crate::case::conform(case).await;
                }
            )+)+
        }
    };
}
pub(crate) use cases;

/// Runs a case on the mock and on real Kafka, and fails if either fails or the answers differ.
pub(crate) async fn conform(case: &Case) {
    let mock = Target::mock(case.brokers).await;
    let on_mock = run(case, &mock).await;
    if craftwire_test_support::skipped() {
        return on_mock.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    let kafka = Target::kafka(case.brokers).await;
    let on_kafka = run(case, &kafka).await;
    let differences = differences(&mock.transcript(), &kafka.transcript());
    let failed: Vec<&str> = [("the mock", on_mock.is_err()), ("Kafka", on_kafka.is_err())]
        .into_iter()
        .filter_map(|(name, is_failed)| is_failed.then_some(name))
        .collect();
    assert!(
        differences.is_empty() && failed.is_empty(),
        "{}: failed on {failed:?}\n- the mock\n+ Kafka\n{differences}",
        case.name
    );
}

/// Runs a case on one cluster; its panic, if it fails.
pub(crate) async fn run(case: &Case, target: &Target) -> Result<(), Box<dyn Any + Send>> {
    let run = AssertUnwindSafe(tokio::time::timeout(PATIENCE, (case.run)(target))).catch_unwind().await;
    run.map(|in_time| in_time.expect("the case ends in time"))
}

/// Far longer than any case takes.
const PATIENCE: Duration = Duration::from_secs(90);
