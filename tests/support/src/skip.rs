//! Whether a real Kafka can be had here, and what a test does when it cannot.

use std::fmt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::distribution::Version;

/// Set to `1`, a missing Kafka fails the test instead of skipping it.
const REQUIRE: &str = "CRAFTWIRE_REQUIRE_KAFKA";

/// Why no real Kafka can be started here.
#[derive(Debug, Clone)]
pub struct Skip {
    reason: String,
}

impl Skip {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Skip {}

/// Whether a cluster can be started: Java runs, and the jars of the default version are there. Fetches them first
/// where they are not; the answer is kept for the life of the process.
///
/// # Errors
///
/// [`Skip`] with the reason, when there is no `java`, no `mvn`, or the jars cannot be fetched.
pub fn available() -> Result<(), Skip> {
    static ANSWER: OnceLock<Result<(), Skip>> = OnceLock::new();
    ANSWER.get_or_init(|| java_runs().and_then(|()| Version::default().libs().map(drop))).clone()
}

/// True when the test should return because there is no Kafka; it has said so on stderr. [`require_kafka!`](crate::require_kafka) calls it.
///
/// # Panics
///
/// When there is no Kafka and `CRAFTWIRE_REQUIRE_KAFKA=1`.
pub fn skipped() -> bool {
    match available() {
        Ok(()) => false,
        Err(skip) if std::env::var(REQUIRE).is_ok_and(|value| value == "1") => {
            panic!("{REQUIRE}=1, and no Kafka can be started: {skip}")
        }
        Err(skip) => {
            eprintln!("skipped: {skip}");
            true
        }
    }
}

/// As [`skipped`], but false also where `CRAFTWIRE_TEST_BOOTSTRAP` names a cluster: [`shared_single`](crate::shared_single)
/// is there, and Java may not be. [`require_shared_kafka!`](crate::require_shared_kafka) calls it.
///
/// # Panics
///
/// When there is no Kafka and `CRAFTWIRE_REQUIRE_KAFKA=1`.
pub fn shared_skipped() -> bool {
    crate::shared::named_bootstrap().is_none() && skipped()
}

/// Returns from the calling test, with the value given, where no real Kafka can be started.
#[macro_export]
macro_rules! require_kafka {
    ($($value:expr)?) => {
        if $crate::skipped() {
            return $($value)?;
        }
    };
}

/// Returns from the calling test, with the value given, where [`shared_single`](crate::shared_single) cannot be had.
#[macro_export]
macro_rules! require_shared_kafka {
    ($($value:expr)?) => {
        if $crate::shared_skipped() {
            return $($value)?;
        }
    };
}

fn java_runs() -> Result<(), Skip> {
    let status = Command::new("java").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Skip::new(format!("`java -version` ended with {status}; install a JDK 17"))),
        Err(error) => Err(Skip::new(format!("`java` does not run ({error}); install a JDK 17"))),
    }
}
