//! Task: the sessions of Fetch (KIP-227).

use crate::{
    case::cases,
    fetch::{fetch, note, partition},
    produce::produce,
    records::Batch,
    target::{Target, Topic},
};
use kafka_protocol::messages::{
    FetchRequest,
    fetch_request::{FetchPartition, ForgottenTopic},
};
use uuid::Uuid;

cases! {
    1 brokers;
    Fetch:
        a_session_names_only_what_changed
        a_session_forgets_partitions
        a_session_takes_partitions_in
        a_session_moves_on_by_new_offsets
        a_session_repeats_errors
        sessions_out_of_step_are_refused
        a_session_is_closed_by_the_last_epoch
        a_session_remembers_topics_that_are_gone;
}

/// A fetch in a session.
fn in_session(topic: &Topic, id: i32, epoch: i32, partitions: Vec<FetchPartition>) -> FetchRequest {
    let mut request = fetch(topic, partitions).with_session_id(id).with_session_epoch(epoch);
    request.topics.retain(|topic| !topic.partitions.is_empty());
    request
}

async fn open(target: &Target, name: &str) -> (Topic, i32) {
    let topic = target.topic(name, 3, &[]).await;
    let mut connection = target.connect().await;
    connection.ask(12, &produce(&topic, 0, Batch::of(2).bytes())).await;
    let all = vec![partition(0, 0), partition(1, 0)];
    let answer = connection.ask(17, &in_session(&topic, 0, 0, all)).await;
    note(target, "opened", &answer);
    assert!(answer.error_code == 0 && answer.session_id != 0, "{answer:?}");
    (topic, answer.session_id)
}

async fn a_session_names_only_what_changed(target: &Target) {
    let (topic, id) = open(target, "a_session_names_only_what_changed").await;
    let mut connection = target.connect().await;
    let ask = async |connection: &mut crate::connection::Connection<'_>, label, epoch, partitions| {
        let answer = connection.ask(17, &in_session(&topic, id, epoch, partitions)).await;
        note(target, label, &answer);
        answer
    };
    // Records that were not fetched past come again.
    ask(&mut connection, "again", 1, vec![]).await;
    let quiet = ask(&mut connection, "past them", 2, vec![partition(0, 2)]).await;
    assert_eq!(quiet.responses.len(), 0);
    connection.ask(12, &produce(&topic, 1, Batch::of(1).bytes())).await;
    let changed = ask(&mut connection, "one has more", 3, vec![]).await;
    assert_eq!(changed.responses[0].partitions.len(), 1);
    connection.ask(12, &produce(&topic, 2, Batch::of(1).bytes())).await;
    ask(&mut connection, "another topic's matter", 4, vec![partition(1, 1)]).await;
    ask(&mut connection, "quiet", 5, vec![]).await;
}

async fn a_session_forgets_partitions(target: &Target) {
    let (topic, id) = open(target, "a_session_forgets_partitions").await;
    let mut connection = target.connect().await;
    let forget = |partitions: Vec<i32>| {
        vec![ForgottenTopic::default().with_topic_id(topic.id).with_partitions(partitions)]
    };
    let request = in_session(&topic, id, 1, vec![]).with_forgotten_topics_data(forget(vec![0]));
    note(target, "one forgotten", &connection.ask(17, &request).await);
    connection.ask(12, &produce(&topic, 0, Batch::of(1).bytes())).await;
    connection.ask(12, &produce(&topic, 1, Batch::of(1).bytes())).await;
    let answer = connection.ask(17, &in_session(&topic, id, 2, vec![])).await;
    note(target, "the other is left", &answer);
    assert_eq!(answer.responses[0].partitions[0].partition_index, 1);
    // Forgotten and asked for at once: added.
    let request =
        in_session(&topic, id, 3, vec![partition(0, 0)]).with_forgotten_topics_data(forget(vec![0]));
    note(target, "forgotten and added", &connection.ask(17, &request).await);
    let request = in_session(&topic, id, 4, vec![]).with_forgotten_topics_data(forget(vec![0, 1]));
    note(target, "all forgotten", &connection.ask(17, &request).await);
    note(target, "after that", &connection.ask(17, &in_session(&topic, id, 5, vec![partition(0, 0)])).await);
}

async fn a_session_takes_partitions_in(target: &Target) {
    let (topic, id) = open(target, "a_session_takes_partitions_in").await;
    let mut connection = target.connect().await;
    let request = in_session(&topic, id, 1, vec![partition(0, 2), partition(2, 0)]);
    note(target, "a new one is named", &connection.ask(17, &request).await);
    note(target, "then it is quiet", &connection.ask(17, &in_session(&topic, id, 2, vec![])).await);
}

async fn a_session_moves_on_by_new_offsets(target: &Target) {
    let (topic, id) = open(target, "a_session_moves_on").await;
    let mut connection = target.connect().await;
    for (epoch, offset) in [(1, 1), (2, 2), (3, 0), (4, 2)] {
        let request = in_session(&topic, id, epoch, vec![partition(0, offset)]);
        note(target, "moved", &connection.ask(17, &request).await);
    }
}

async fn a_session_repeats_errors(target: &Target) {
    let (topic, id) = open(target, "a_session_repeats_errors").await;
    let mut connection = target.connect().await;
    let request = in_session(&topic, id, 1, vec![partition(0, 99)]);
    note(target, "out of range", &connection.ask(17, &request).await);
    note(target, "still", &connection.ask(17, &in_session(&topic, id, 2, vec![])).await);
    let request = in_session(&topic, id, 3, vec![partition(0, 2), partition(9, 0)]);
    note(target, "another error", &connection.ask(17, &request).await);
    note(target, "still another", &connection.ask(17, &in_session(&topic, id, 4, vec![])).await);
    let nowhere = Topic { id: Uuid::from_u128(0x77), ..topic.clone() };
    let request = in_session(&nowhere, id, 5, vec![partition(0, 0)]);
    note(target, "unknown topic", &connection.ask(17, &request).await);
    note(target, "still unknown", &connection.ask(17, &in_session(&topic, id, 6, vec![])).await);
}

async fn sessions_out_of_step_are_refused(target: &Target) {
    let (topic, id) = open(target, "sessions_out_of_step").await;
    let mut connection = target.connect().await;
    let answer = connection.noted("too far", 17, &in_session(&topic, id, 2, vec![])).await;
    assert_eq!(answer.error_code, 71);
    let answer = connection.noted("in step", 17, &in_session(&topic, id, 1, vec![partition(0, 2)])).await;
    assert_eq!(answer.error_code, 0);
    let answer = connection.noted("once more", 17, &in_session(&topic, id, 1, vec![])).await;
    assert_eq!(answer.error_code, 71);
    let other = if id == 1 { 2 } else { id - 1 };
    let answer = connection.noted("unknown", 17, &in_session(&topic, other, 1, vec![])).await;
    assert_eq!(answer.error_code, 70);
    let answer = connection.noted("no session", 17, &in_session(&topic, 0, 1, vec![])).await;
    assert_eq!(answer.error_code, 70);
    // Another connection may go on with it: it is the broker's, not the connection's.
    let mut other = target.connect().await;
    let answer = other.noted("elsewhere", 17, &in_session(&topic, id, 2, vec![])).await;
    assert_eq!(answer.error_code, 0);
}

async fn a_session_is_closed_by_the_last_epoch(target: &Target) {
    let (topic, id) = open(target, "a_session_is_closed").await;
    let mut connection = target.connect().await;
    note(target, "last", &connection.ask(17, &in_session(&topic, id, -1, vec![partition(0, 0)])).await);
    let answer = connection.noted("gone", 17, &in_session(&topic, id, 1, vec![])).await;
    assert_eq!(answer.error_code, 70);
    // Epoch 0 under an old id opens another one.
    let answer = connection.ask(17, &in_session(&topic, id, 0, vec![partition(0, 0)])).await;
    note(target, "opened again", &answer);
    assert!(answer.session_id != 0 && answer.session_id != id);
    // Nothing to read, no session.
    note(target, "of nothing", &connection.ask(17, &in_session(&topic, 0, 0, vec![])).await);
}

async fn a_session_remembers_topics_that_are_gone(target: &Target) {
    let (topic, id) = open(target, "a_session_remembers_topics").await;
    let mut connection = target.connect().await;
    note(target, "quiet", &connection.ask(17, &in_session(&topic, id, 1, vec![partition(0, 2)])).await);
    target.delete_topic(&topic).await;
    let answer = connection.ask(17, &in_session(&topic, id, 2, vec![])).await;
    note(target, "deleted", &answer);
    assert_eq!(answer.responses[0].partitions[0].error_code, 3);
    note(target, "still deleted", &connection.ask(17, &in_session(&topic, id, 3, vec![])).await);
    target.topic(&topic.name, 3, &[]).await;
    let answer = connection.ask(17, &in_session(&topic, id, 4, vec![])).await;
    note(target, "another one of that name", &answer);
    assert_eq!(answer.responses[0].partitions[0].error_code, 103);
    let request = in_session(&topic, id, 5, vec![partition(1, 0), partition(2, 0)]);
    note(target, "asked for by the old id", &connection.ask(17, &request).await);
}
