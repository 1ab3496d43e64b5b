//! Brokers that ask for a pause, in sense and nonsense, in every answer that can (KIP-219).

use crate::whole_way::{APIS, PATIENCE, Requests, Run, SECOND, SESSION, note};
use craftwire::mock::{Api, MockCluster};
use std::time::Duration;
use tokio::time::{Instant, timeout};

#[tokio::test(start_paused = true)]
async fn f39_throttle_times_are_kept_within_bounds() {
    let (plain, _) = Run::with(40 * SECOND, |mock| mock.on(Api::Fetch).times(0).drop_before()).await;
    let begun = Instant::now();
    plain.whole_way().await;
    let (usual, usual_time) = (plain.count(), begun.elapsed());
    for (throttle_time_ms, pause) in [(5_000, 5), (i32::MAX, 30), (-1, 0), (i32::MIN, 0)] {
        let pause = pause * SECOND;
        for api in APIS {
            let what = format!("{api:?} {throttle_time_ms}");
            let orders = Requests::default();
            let begun = Instant::now();
            let (run, hook) = Run::with(40 * SECOND, |mock| {
                mock.on(api).times(2).when(note(&orders)).throttle(throttle_time_ms)
            })
            .await;
            timeout(PATIENCE, run.whole_way()).await.unwrap_or_else(|_| panic!("{what}: it hangs"));
            let took = begun.elapsed();
            assert!(hook.hits() > 0, "{what}");
            // Some are asked twice on one connection, and a member that cannot leave stays for a session.
            let session = if pause.is_zero() { Duration::ZERO } else { SESSION };
            assert!(took <= usual_time + 4 * pause + session + SECOND, "{what}: {took:?}");
            let seconds = usize::try_from(took.as_secs()).unwrap();
            assert!(run.count() < 2 * usual + 30 * seconds, "{what}: {} requests", run.count());
            for &(at, connection) in &*orders.lock().unwrap() {
                let meanwhile =
                    |&&(when, on): &&(Instant, u64)| on == connection && at < when && when < at + pause;
                let early = run.requests.lock().unwrap().iter().filter(meanwhile).count();
                assert_eq!(early, 0, "{what}: {early} requests into the pause");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f39_a_call_that_cannot_wait_out_the_pause_is_told_in_time() {
    let hook = |mock: &MockCluster| mock.on(Api::DescribeCluster).throttle(i32::MAX);
    let (run, _hook) = Run::with(2 * SECOND, hook).await;
    run.client.admin().registered_brokers().await.unwrap();
    let begun = Instant::now();
    let error = run.client.admin().registered_brokers().await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    assert!(begun.elapsed() < 10 * SECOND, "{:?}", begun.elapsed());
    assert!(run.count() < 30, "{} requests", run.count());
    tokio::time::advance(30 * SECOND).await;
    assert_eq!(run.client.admin().registered_brokers().await.unwrap(), 2);
}
