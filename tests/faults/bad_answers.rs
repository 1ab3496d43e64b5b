//! One answer of any kind that does not come, or is none.

use crate::whole_way::{RECORDS, read_all};
use craftwire::{
    Client, ProducerRecord,
    mock::{Api, Hooked, MockCluster, On},
};
use std::time::Duration;

/// Publishes, and reads all of it as a member of a group, to the end.
async fn whole_way(client: &Client) {
    let producer = client.producer().build().await.unwrap();
    for number in 0..RECORDS {
        let record = ProducerRecord::new("t", number.to_string()).key(number.to_string());
        producer.send(record).await.unwrap().await.unwrap();
    }
    read_all(client).await.close().await.unwrap();
}

/// In virtual time, so that what is waited for is what the client's own clocks say.
#[tokio::test(start_paused = true)]
async fn one_bad_answer_of_any_kind_costs_seconds_at_most() {
    const APIS: [Api; 9] = [
        Api::Metadata,
        Api::InitProducerId,
        Api::Produce,
        Api::FindCoordinator,
        Api::ConsumerGroupHeartbeat,
        Api::OffsetFetch,
        Api::ListOffsets,
        Api::Fetch,
        Api::OffsetCommit,
    ];
    type Hook = fn(On<'_>) -> Hooked;
    let mischiefs: [(&str, Hook); 4] = [
        ("lost with the request", |on| on.disconnect_before()),
        ("lost after the deed", |on| on.disconnect_after()),
        ("garbled", |on| on.answer(vec![0xff; 100])),
        ("empty", |on| on.answer(Vec::new())),
    ];
    for api in APIS {
        for (name, mischief) in mischiefs {
            for first in [0, 1] {
                let mock = MockCluster::builder().brokers(3).topic("t", 4).start_in_memory().unwrap();
                let builder = Client::builder(&mock.bootstrap()).memory(mock.connector());
                let hook = mischief(mock.on(api).skip(first));
                let client = builder.build().await.unwrap();
                let done = tokio::time::timeout(Duration::from_secs(10), whole_way(&client)).await;
                assert!(done.is_ok(), "{api:?} {name}, number {first}: no end in sight");
                // Some are asked but once.
                assert!(hook.hits() == 1 || first == 1, "{api:?} {name}: it was never asked");
                let records = (0..4).map(|partition| mock.records("t", partition).len()).sum::<usize>();
                assert_eq!(records, RECORDS, "{api:?} {name}, number {first}");
            }
        }
    }
}
