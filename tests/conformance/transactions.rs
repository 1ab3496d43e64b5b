//! Task: what readers see of transactions: aborted lists, the last stable offset.

use crate::{
    case::cases,
    checklist::versions_of,
    fetch::{fetch, note, partition},
    list_offsets::list,
    produce::produce,
    records::Batch,
    target::Target,
};
use kafka_protocol::messages::ApiKey;

cases! {
    1 brokers;
    Fetch:
        tells_which_transactions_were_aborted;
    ListOffsets:
        stops_at_open_transactions;
}

async fn tells_which_transactions_were_aborted(target: &Target) {
    let topic = target.topic("tells_which_were_aborted", 1, ONE_SEGMENT).await;
    let mut connection = target.connect().await;
    target.transact(&topic, 2, Some(false)).await; // 0, 1, and the marker at 2
    connection.ask(12, &produce(&topic, 0, Batch::of(1).bytes())).await; // 3
    target.transact(&topic, 1, Some(true)).await; // 4, and the marker at 5
    target.transact(&topic, 1, Some(false)).await; // 6, and the marker at 7
    target.transact(&topic, 1, None).await; // 8, open
    for version in versions_of(ApiKey::Fetch) {
        for (offset, aborted) in [(0, 2), (1, 2), (2, 2), (3, 1), (6, 1), (7, 1), (8, 0)] {
            let request = fetch(&topic, vec![partition(0, offset)]).with_isolation_level(1);
            let answer = connection.ask(version, &request).await;
            note(target, &format!("from {offset} v{version}"), &answer);
            let answer = &answer.responses[0].partitions[0];
            assert_eq!((answer.high_watermark, answer.last_stable_offset), (9, 8));
            assert_eq!(answer.aborted_transactions.as_ref().map(Vec::len), Some(aborted), "from {offset}");
        }
        // Who reads all is told of no transactions.
        let answer = connection.ask(version, &fetch(&topic, vec![partition(0, 0)])).await;
        note(target, &format!("uncommitted v{version}"), &answer);
        assert_eq!(answer.responses[0].partitions[0].aborted_transactions, None);
    }
    // Only the transactions that reach into what is read are told of.
    let first = partition(0, 0).with_partition_max_bytes(1);
    let answer = connection.ask(17, &fetch(&topic, vec![first]).with_isolation_level(1)).await;
    note(target, "one batch", &answer);
}

async fn stops_at_open_transactions(target: &Target) {
    let topic = target.topic("stops_at_open_transactions", 1, ONE_SEGMENT).await;
    let mut connection = target.connect().await;
    connection.ask(12, &produce(&topic, 0, Batch::of(2).bytes())).await;
    target.transact(&topic, 1, None).await;
    connection.ask(12, &produce(&topic, 0, Batch::of(2).bytes())).await;
    for (isolation, offset) in [(0, 5), (1, 2)] {
        let answer =
            connection.noted("latest", 9, &list(&topic, 0, -1, -1).with_isolation_level(isolation)).await;
        assert_eq!(answer.topics[0].partitions[0].offset, offset);
        connection.noted("earliest", 9, &list(&topic, 0, -2, -1).with_isolation_level(isolation)).await;
    }
}

/// Records of a case and markers of now are years apart, and an answer ends with a segment of the log.
const ONE_SEGMENT: &[(&str, &str)] = &[("segment.ms", "999999999999")];
