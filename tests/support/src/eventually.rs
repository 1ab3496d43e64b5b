//! Waiting for what nothing announces.

use std::time::Duration;

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// Asks again and again until the answer is `Some`, and returns that.
///
/// # Panics
///
/// With `what`, when it is not there `within` that time.
pub async fn eventually<T>(what: &str, within: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match tokio::time::timeout(within, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("not within {within:?}: {what}"),
    }
}

/// The length of a fault: something is away, and stays away for so long.
pub async fn lasts(time: Duration) {
    tokio::time::sleep(time).await;
}
