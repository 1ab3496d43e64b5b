//! Answers that are not the next one in line: the connection that they came on is given up, and nothing else.

use crate::whole_way::{APIS, PATIENCE, Requests, Run, SECOND, note};
use craftwire::mock::{Hooked, MockCluster, On};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn f46_answers_out_of_step_end_their_connection_and_lose_nothing() {
    type Bend = fn(On<'_>) -> Hooked;
    let bends: [(&str, Bend, Duration); 4] = [
        ("a wrong correlation id", |on| on.misname(), Duration::ZERO),
        ("two answers", |on| on.answer_twice(), Duration::ZERO),
        ("an answer to nobody", |on| on.answer_nobody_first(), Duration::ZERO),
        // Where no next request comes, the answer does not either.
        ("swapped answers", |on| on.swap_with_next(), REQUEST_TIMEOUT),
    ];
    let mut times = 0;
    for api in APIS {
        for (name, bend, noticed_within) in bends {
            for first in [0, 1] {
                let what = format!("{name} of {api:?}, number {first}");
                let bent = Requests::default();
                let begun = Instant::now();
                let hook = |mock: &MockCluster| bend(mock.on(api).skip(first).when(note(&bent)));
                let (run, hook) = Run::with(REQUEST_TIMEOUT, hook).await;
                timeout(PATIENCE, run.whole_way()).await.unwrap_or_else(|_| panic!("{what}: it hangs"));
                assert!(begun.elapsed() < 2 * REQUEST_TIMEOUT + 5 * SECOND, "{what}: {:?}", begun.elapsed());
                // Some are asked but once.
                assert!(hook.hits() == 1 || first == 1, "{what}: it was never asked");
                times += hook.hits();
                // Once it has acted nobody asks it any more.
                let bent = bent.lock().unwrap().last().copied();
                let Some((at, connection)) = bent.filter(|_| hook.hits() == 1) else { continue };
                let later = |&&(when, on): &&(Instant, u64)| on == connection && when > at + noticed_within;
                let later = run.requests.lock().unwrap().iter().filter(later).count();
                assert_eq!(later, 0, "{what}: the connection was used on");
            }
        }
    }
    eprintln!("{times} answers out of step");
}
