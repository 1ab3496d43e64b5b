//! One single-node cluster for all tests of a test binary.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cluster::KafkaCluster;
use crate::distribution::Version;
use crate::java::Java;

/// Names a cluster that runs already. Never the variable that users export for real clusters.
const BOOTSTRAP: &str = "CRAFTWIRE_TEST_BOOTSTRAP";

/// The cluster that the tests of one process share. Use topics of your own on it: [`unique_topic`](Self::unique_topic).
#[derive(Debug)]
pub struct Shared {
    bootstrap: String,
    cluster: Option<KafkaCluster>,
}

impl Shared {
    /// The bootstrap list.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Kafka's own tools against it.
    #[must_use]
    pub fn java(&self) -> Java {
        Java::new(self.bootstrap.clone(), Version::default())
    }

    /// The cluster, when it is ours; `None` when `CRAFTWIRE_TEST_BOOTSTRAP` named one.
    #[must_use]
    pub fn cluster(&self) -> Option<&KafkaCluster> {
        self.cluster.as_ref()
    }

    /// A name for a topic or group that no other test has: the prefix, this process, a number.
    #[must_use]
    pub fn unique_topic(&self, prefix: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The shared cluster, started by the first call (about 4 s) and ended with the process.
///
/// # Panics
///
/// When it does not start. Call [`require_kafka!`](crate::require_kafka) first.
pub async fn shared_single() -> &'static Shared {
    // A static is never dropped: the supervising shells end the JVM and remove its files when this process is gone.
    static SHARED: OnceLock<Shared> = OnceLock::new();
    let start = || {
        SHARED.get_or_init(|| match named_bootstrap() {
            Some(bootstrap) => Shared { bootstrap, cluster: None },
            None => {
                let started = KafkaCluster::builder().start_blocking();
                let cluster = started.unwrap_or_else(|error| panic!("Kafka did not start: {error}"));
                Shared { bootstrap: cluster.bootstrap(), cluster: Some(cluster) }
            }
        })
    };
    match tokio::task::spawn_blocking(start).await {
        Ok(shared) => shared,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What `CRAFTWIRE_TEST_BOOTSTRAP` says.
pub(crate) fn named_bootstrap() -> Option<String> {
    std::env::var(BOOTSTRAP).ok().filter(|bootstrap| !bootstrap.is_empty())
}
