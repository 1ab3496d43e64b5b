//! Task: FindCoordinator (10), OffsetCommit (8), OffsetFetch (9) and DeleteGroups (42).

use crate::{
    case::cases,
    checklist::versions_of,
    connection::Connection,
    heartbeat::{join, leave},
    target::{Target, Topic, text},
};
use kafka_protocol::messages::{
    ApiKey, DeleteGroupsRequest, FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics},
};

cases! {
    1 brokers;
    FindCoordinator:
        finds_coordinators_in_every_version
        refuses_keys_of_no_known_type;
    OffsetCommit:
        commits_for_those_outside_of_any_group
        commits_nothing_for_what_is_not_there
        commits_for_members_of_the_present_epoch
        refuses_commits_of_strangers
        commits_for_the_group_without_a_name
        refuses_long_metadata;
    OffsetFetch:
        fetches_what_was_committed
        fetches_for_members_of_the_present_epoch
        fetches_of_several_groups
        fetches_nothing_of_a_group_that_is_not_there;
    DeleteGroups:
        deletes_groups_without_members
        deletes_what_is_no_group_of_members;
}

/// A commit of one partition.
pub(crate) fn commit(
    group: &str,
    member: &str,
    epoch: i32,
    topic: &Topic,
    index: i32,
    offset: i64,
) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(0)
        .with_committed_metadata(Some("of the case".into()));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic.name.clone().into())
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(text(group).into())
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(epoch)
        .with_topics(vec![topic])
}

/// Commits, notes the answer, and gives its one code.
pub(crate) async fn committed(
    connection: &mut Connection<'_>,
    label: &str,
    request: &OffsetCommitRequest,
) -> i16 {
    connection.noted(label, 9, request).await.topics[0].partitions[0].error_code
}

pub(crate) fn offsets(
    group: &str,
    member: Option<&str>,
    epoch: i32,
    topic: &Topic,
    partitions: &[i32],
) -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(topic.name.clone().into())
        .with_partition_indexes(partitions.to_vec());
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(text(group).into())
        .with_member_id(member.map(text))
        .with_member_epoch(epoch)
        .with_topics(Some(vec![topic]));
    OffsetFetchRequest::default().with_groups(vec![group])
}

async fn finds_coordinators_in_every_version(target: &Target) {
    target.coordinator("finds_coordinators").await;
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::FindCoordinator) {
        let keys = ["finds_coordinators", "another group", "finds_coordinators"].map(text).to_vec();
        let request = FindCoordinatorRequest::default().with_coordinator_keys(keys);
        let answer = connection.noted("groups", version, &request).await;
        assert!(answer.coordinators.iter().all(|found| found.error_code == 0 && found.node_id == 1));
        connection.noted("of nothing", version, &FindCoordinatorRequest::default()).await;
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("")]);
        connection.noted("of no name", version, &request).await;
    }
}

async fn refuses_keys_of_no_known_type(target: &Target) {
    let mut connection = target.connect().await;
    for key_type in [9, -1] {
        let keys = ["a", "b"].map(text).to_vec();
        let request = FindCoordinatorRequest::default().with_coordinator_keys(keys).with_key_type(key_type);
        connection.noted("unknown type", 6, &request).await;
    }
}

async fn commits_for_those_outside_of_any_group(target: &Target) {
    let topic = target.topic("commits_for_those_outside", 2, &[]).await;
    target.coordinator("commits_for_those_outside").await;
    let mut connection = target.connect().await;
    let group = "commits_for_those_outside";
    for (index, offset) in [(0, 5), (1, 7), (0, 3)] {
        let request = commit(group, "", -1, &topic, index, offset);
        assert_eq!(committed(&mut connection, "commit", &request).await, 0);
    }
    let request = commit(group, "", -1, &topic, 0, 9);
    let mut without = request.clone();
    without.topics[0].partitions[0].committed_metadata = None;
    without.topics[0].partitions[0].committed_leader_epoch = -1;
    assert_eq!(committed(&mut connection, "without metadata", &without).await, 0);
    let answer = connection.noted("fetch", 9, &offsets(group, None, -1, &topic, &[0, 1, 2])).await;
    let found: Vec<i64> = answer.groups[0].topics[0].partitions.iter().map(|p| p.committed_offset).collect();
    assert_eq!(found, [9, 7, -1]);
    connection.noted("of nothing", 9, &request.with_topics(Vec::new())).await;
}

async fn commits_nothing_for_what_is_not_there(target: &Target) {
    let topic = target.topic("commits_nothing_for_what_is_not", 1, &[]).await;
    target.coordinator("commits_nothing").await;
    let mut connection = target.connect().await;
    let request = commit("commits_nothing", "", -1, &topic, 4, 5);
    assert_eq!(committed(&mut connection, "unknown partition", &request).await, 3);
    let nowhere = Topic { name: "nobody_created_this".into(), ..topic.clone() };
    let request = commit("commits_nothing", "", -1, &nowhere, 0, 5);
    assert_eq!(committed(&mut connection, "unknown topic", &request).await, 3);
    let request = commit("commits_nothing", "member", 3, &topic, 0, 5);
    committed(&mut connection, "a member of no group", &request).await;
    let request = commit("commits_nothing_at_all", "member", 3, &topic, 0, 5);
    committed(&mut connection, "a member of a group that is not there", &request).await;
    let request = commit("commits_nothing", "", -1, &topic, 0, -5);
    committed(&mut connection, "a negative offset", &request).await;
    // The good partitions of a request are committed.
    let mut mixed = commit("commits_nothing", "", -1, &topic, 0, 5);
    mixed.topics.extend(commit("commits_nothing", "", -1, &nowhere, 0, 5).topics);
    let mut answer = connection.ask(9, &mixed).await;
    answer.topics.sort_by_key(|topic| topic.partitions[0].error_code);
    target.note("mixed", &answer);
    connection.noted("fetch", 9, &offsets("commits_nothing", None, -1, &topic, &[0])).await;
}

async fn commits_for_members_of_the_present_epoch(target: &Target) {
    let topic = target.topic("commits_for_members", 1, &[]).await;
    target.coordinator("commits_for_members").await;
    let mut connection = target.connect().await;
    let group = "commits_for_members";
    let epoch = connection.ask(1, &join(group, "member", &[&topic.name])).await.member_epoch;
    let mut ask = async |label, member, epoch| {
        committed(&mut connection, label, &commit(group, member, epoch, &topic, 0, 5)).await
    };
    assert_eq!(ask("present", "member", epoch).await, 0);
    assert_eq!(ask("past", "member", epoch - 1).await, 113);
    assert_eq!(ask("future", "member", epoch + 1).await, 113);
    assert_eq!(ask("without epoch", "member", -1).await, 113);
    assert_eq!(ask("stranger", "stranger", epoch).await, 25);
    assert_eq!(ask("outside", "", -1).await, 25);
    connection.ask(1, &leave(group, "member")).await;
    let mut ask = async |label, member, epoch| {
        committed(&mut connection, label, &commit(group, member, epoch, &topic, 0, 5)).await
    };
    assert_eq!(ask("left", "member", epoch).await, 25);
    assert_eq!(ask("outside of an empty group", "", -1).await, 0);
}

async fn refuses_commits_of_strangers(target: &Target) {
    let topic = target.topic("refuses_commits_of_strangers", 1, &[]).await;
    target.coordinator("refuses_commits_of_strangers").await;
    let mut connection = target.connect().await;
    let group = "refuses_commits_of_strangers";
    // A group that only holds offsets takes commits from outside, and from nobody who says he is a member.
    assert_eq!(committed(&mut connection, "outside", &commit(group, "", -1, &topic, 0, 5)).await, 0);
    committed(&mut connection, "with a name", &commit(group, "somebody", -1, &topic, 0, 6)).await;
    committed(&mut connection, "with an epoch", &commit(group, "somebody", 0, &topic, 0, 7)).await;
    committed(&mut connection, "with an epoch only", &commit(group, "", 1, &topic, 0, 7)).await;
    connection.noted("what is left", 9, &offsets(group, None, -1, &topic, &[0])).await;
}

/// No other case may touch that group: it is the same on all of a cluster.
async fn commits_for_the_group_without_a_name(target: &Target) {
    let topic = target.topic("commits_for_the_group_without", 1, &[]).await;
    target.coordinator("").await;
    let mut connection = target.connect().await;
    assert_eq!(committed(&mut connection, "commit", &commit("", "", -1, &topic, 0, 5)).await, 0);
    connection.noted("fetch", 9, &offsets("", None, -1, &topic, &[0])).await;
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![text("").into()]);
    for label in ["delete", "delete again"] {
        connection.noted(label, 2, &delete).await;
    }
}

async fn refuses_long_metadata(target: &Target) {
    let topic = target.topic("refuses_long_metadata", 1, &[]).await;
    target.coordinator("refuses_long_metadata").await;
    let mut connection = target.connect().await;
    for (len, code) in [(4096, 0), (4097, 12)] {
        let mut request = commit("refuses_long_metadata", "", -1, &topic, 0, 5);
        request.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(len)));
        assert_eq!(committed(&mut connection, "long", &request).await, code);
    }
}

async fn fetches_what_was_committed(target: &Target) {
    let topic = target.topic("fetches_what_was_committed", 2, &[]).await;
    target.coordinator("fetches_what_was_committed").await;
    let mut connection = target.connect().await;
    let group = "fetches_what_was_committed";
    for index in [0, 1] {
        committed(&mut connection, "commit", &commit(group, "", -1, &topic, index, 5)).await;
    }
    connection.noted("one", 9, &offsets(group, None, -1, &topic, &[1])).await;
    connection.noted("stable", 9, &offsets(group, None, -1, &topic, &[0]).with_require_stable(true)).await;
    let nowhere = Topic { name: "nobody_created_this".into(), ..topic.clone() };
    connection.noted("unknown topic", 9, &offsets(group, None, -1, &nowhere, &[0])).await;
    connection.noted("unknown partition", 9, &offsets(group, None, -1, &topic, &[7])).await;
    connection.noted("no partition", 9, &offsets(group, None, -1, &topic, &[])).await;
    let mut all = offsets(group, None, -1, &topic, &[]);
    all.groups[0].topics = None;
    let mut answer = connection.ask(9, &all).await;
    answer.groups[0].topics[0].partitions.sort_by_key(|partition| partition.partition_index);
    target.note("all", &answer);
    assert_eq!(answer.groups[0].topics[0].partitions.len(), 2);
    let mut none = offsets(group, None, -1, &topic, &[]);
    none.groups[0].topics = Some(Vec::new());
    connection.noted("none", 9, &none).await;
    connection
        .noted("a name outside of any group", 9, &offsets(group, Some("somebody"), -1, &topic, &[0]))
        .await;
    connection.noted("an empty name", 9, &offsets(group, Some(""), -1, &topic, &[0])).await;
    // What was committed for a topic that is gone goes with it.
    target.delete_topic(&topic).await;
    connection.noted("gone", 9, &offsets("no such group at all", None, -1, &topic, &[0])).await;
}

async fn fetches_for_members_of_the_present_epoch(target: &Target) {
    let topic = target.topic("fetches_for_members", 1, &[]).await;
    target.coordinator("fetches_for_members").await;
    let mut connection = target.connect().await;
    let group = "fetches_for_members";
    let epoch = connection.ask(1, &join(group, "member", &[&topic.name])).await.member_epoch;
    let mut ask = async |label, member, epoch| {
        let request = offsets(group, member, epoch, &topic, &[0]);
        connection.noted(label, 9, &request).await.groups[0].error_code
    };
    assert_eq!(ask("present", Some("member"), epoch).await, 0);
    assert_eq!(ask("past", Some("member"), epoch - 1).await, 113);
    assert_eq!(ask("future", Some("member"), epoch + 1).await, 113);
    assert_eq!(ask("stranger", Some("stranger"), epoch).await, 25);
    assert_eq!(ask("outside", None, -1).await, 0);
    ask("member without epoch", Some("member"), -1).await;
}

async fn fetches_of_several_groups(target: &Target) {
    let topic = target.topic("fetches_of_several_groups", 1, &[]).await;
    let mut connection = target.connect().await;
    for (group, offset) in [("several_groups_1", 1), ("several_groups_2", 2)] {
        target.coordinator(group).await;
        committed(&mut connection, "commit", &commit(group, "", -1, &topic, 0, offset)).await;
    }
    let mut request = offsets("several_groups_1", None, -1, &topic, &[0]);
    request.groups.extend(offsets("several_groups_2", None, -1, &topic, &[0]).groups);
    request.groups.extend(offsets("several_groups_2", Some("member"), 3, &topic, &[0]).groups);
    let mut answer = connection.ask(9, &request).await;
    answer.groups.sort_by_key(|group| (group.group_id.to_string(), group.error_code));
    target.note("several", &answer);
}

async fn fetches_nothing_of_a_group_that_is_not_there(target: &Target) {
    let topic = target.topic("fetches_nothing", 1, &[]).await;
    target.coordinator("fetches_nothing").await;
    let mut connection = target.connect().await;
    connection.noted("not there", 9, &offsets("fetches_nothing", None, -1, &topic, &[0])).await;
    let mut all = offsets("fetches_nothing", None, -1, &topic, &[]);
    all.groups[0].topics = None;
    connection.noted("all", 9, &all).await;
    connection.noted("member", 9, &offsets("fetches_nothing", Some("member"), 1, &topic, &[0])).await;
}

async fn deletes_groups_without_members(target: &Target) {
    let topic = target.topic("deletes_groups", 1, &[]).await;
    let group = "deletes_groups";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    let delete = |group: &str| DeleteGroupsRequest::default().with_groups_names(vec![text(group).into()]);
    connection.ask(1, &join(group, "member", &[&topic.name])).await;
    let answer = connection.noted("with a member", 2, &delete(group)).await;
    assert_eq!(answer.results[0].error_code, 68);
    connection.ask(1, &leave(group, "member")).await;
    let answer = connection.noted("without", 2, &delete(group)).await;
    assert_eq!(answer.results[0].error_code, 0);
    let answer = connection.noted("not there", 2, &delete(group)).await;
    assert_eq!(answer.results[0].error_code, 69);
}

async fn deletes_what_is_no_group_of_members(target: &Target) {
    let topic = target.topic("deletes_what_is_no_group", 1, &[]).await;
    let group = "deletes_what_is_no_group";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    committed(&mut connection, "commit", &commit(group, "", -1, &topic, 0, 5)).await;
    let names = [group, "never there"].map(|name| text(name).into()).to_vec();
    let mut answer = connection.ask(2, &DeleteGroupsRequest::default().with_groups_names(names)).await;
    answer.results.sort_by_key(|result| result.error_code);
    target.note("one of two", &answer);
    connection.noted("what is left", 9, &offsets(group, None, -1, &topic, &[0])).await;
}
