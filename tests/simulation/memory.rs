//! What a consumer that nobody asks for records holds at most, seen from the network.

use crate::{network::Net, world::pause};
use craftwire::{Client, consumer::Consumer, mock::MockCluster};

const PARTITIONS: i32 = 3;
const AHEAD_BYTES: usize = 16 << 10;
const RECORDS: usize = 3_000;

/// A consumer of a topic with much more than it may hold.
async fn consumer(net: &Net, mock: &MockCluster, group: Option<&str>) -> Consumer {
    let client = Client::builder(&mock.bootstrap()).network(net.wire(0, 0)).seed(7).build().await.unwrap();
    let builder = client
        .consumer()
        .topics(["t"])
        .partition_buffer_bytes(AHEAD_BYTES)
        .partition_fetch_bytes(AHEAD_BYTES);
    let builder = match group {
        Some(group) => builder.group(group),
        None => builder,
    };
    builder.build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_not_asked_for_records_fetches_no_more_than_it_may_hold() {
    for group in [None, Some("g")] {
        let mock = MockCluster::builder().brokers(3).topic("t", PARTITIONS).start_in_memory().unwrap();
        let net = Net::new(7, mock.clone());
        let value = vec![b'v'; 200];
        for number in 0..RECORDS {
            let partition = i32::try_from(number).unwrap() % PARTITIONS;
            mock.append("t", partition, None, Some(&value)).unwrap();
        }
        let mut consumer = consumer(&net, &mock, group).await;
        pause(60_000).await;
        let fetched = net.with_trace(|trace| trace.answered(0));
        // For each partition what it may hold, and one answer that came when it held a little less; and some that were empty.
        let most = 3 * 2 * AHEAD_BYTES + (64 << 10);
        assert!(fetched < u64::try_from(most).unwrap(), "{fetched} of {most} bytes");
        assert!(fetched > u64::try_from(3 * AHEAD_BYTES).unwrap(), "{fetched} bytes: nothing to see");
        for _ in 0..RECORDS {
            consumer.recv().await.unwrap().unwrap();
        }
    }
}
