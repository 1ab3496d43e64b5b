//! Groups of KIP-848, through raw heartbeats, and their offsets.

use super::{Rig, text, topic};
use crate::error::ErrorCode;
use crate::mock::MockCluster;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DeleteGroupsRequest,
    FindCoordinatorRequest, GroupId, OffsetCommitRequest, OffsetFetchRequest,
};
use std::collections::BTreeSet;
use std::time::Duration;

const SESSION: Duration = Duration::from_secs(45);

fn rig(partitions: i32) -> Rig {
    Rig::new(MockCluster::builder().topic("t", partitions))
}

fn group() -> GroupId {
    GroupId(text("g"))
}

/// A member that does as it is told: it owns what it is assigned, and gives back what it is not.
struct Player {
    id: &'static str,
    instance: Option<&'static str>,
    epoch: i32,
    owned: BTreeSet<i32>,
}

impl Player {
    fn new(id: &'static str) -> Self {
        Self { id, instance: None, epoch: 0, owned: BTreeSet::new() }
    }

    fn request(&self, rig: &Rig) -> ConsumerGroupHeartbeatRequest {
        let owned = TopicPartitions::default()
            .with_topic_id(rig.core(|core| core.topics.get("t").unwrap().id))
            .with_partitions(self.owned.iter().copied().collect());
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(text(self.id))
            .with_member_epoch(self.epoch)
            .with_instance_id(self.instance.map(text))
            .with_rebalance_timeout_ms(if self.epoch == 0 { 60_000 } else { -1 })
            .with_topic_partitions(Some(if self.owned.is_empty() { vec![] } else { vec![owned] }));
        if self.epoch == 0 {
            request.with_subscribed_topic_names(Some(vec![topic("t")]))
        } else {
            request.with_subscribed_topic_names(None)
        }
    }

    fn send(&self, rig: &Rig) -> ConsumerGroupHeartbeatResponse {
        rig.ask(1, 1, &self.request(rig))
    }

    fn take(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        assert_eq!(response.error_code, 0, "{}: {response:?}", self.id);
        self.epoch = response.member_epoch;
        if let Some(assignment) = &response.assignment {
            self.owned = assignment.topic_partitions.iter().flat_map(|t| t.partitions.clone()).collect();
        }
    }

    fn beat(&mut self, rig: &Rig) {
        let response = self.send(rig);
        self.take(&response);
    }

    fn code(&self, rig: &Rig) -> ErrorCode {
        ErrorCode(self.send(rig).error_code)
    }
}

/// Heartbeats in turn until nothing changes; no partition ever has two owners.
fn settle(rig: &Rig, players: &mut [Player]) {
    for _ in 0..10 {
        for at in 0..players.len() {
            players[at].beat(rig);
            let all: Vec<i32> = players.iter().flat_map(|player| player.owned.clone()).collect();
            let once: BTreeSet<i32> = all.iter().copied().collect();
            assert_eq!(all.len(), once.len(), "two owners: {all:?}");
        }
    }
}

fn shares(players: &[Player]) -> Vec<usize> {
    players.iter().map(|player| player.owned.len()).collect()
}

#[test]
fn four_members_share_evenly_as_they_come_and_go() {
    for partitions in [16, 24] {
        let rig = rig(partitions);
        let each = usize::try_from(partitions).unwrap() / 4;
        let mut players = vec![Player::new("a")];
        settle(&rig, &mut players);
        assert_eq!(shares(&players), [each * 4]);
        players.push(Player::new("b"));
        settle(&rig, &mut players);
        assert_eq!(shares(&players), [each * 2, each * 2]);
        players.extend([Player::new("c"), Player::new("d")]);
        settle(&rig, &mut players);
        assert_eq!(shares(&players), [each; 4]);

        let mut leaving = players.remove(1);
        leaving.epoch = -1;
        let left = leaving.send(&rig);
        assert_eq!((left.error_code, left.member_epoch), (0, -1));
        settle(&rig, &mut players);
        assert_eq!(shares(&players).iter().sum::<usize>(), each * 4);
        assert!(shares(&players).iter().all(|share| (each..=each + each / 2).contains(share)));
    }
}

#[test]
fn a_partition_moves_only_after_the_old_owner_gave_it_back() {
    let rig = rig(2);
    let (mut old, mut new) = (Player::new("old"), Player::new("new"));
    old.beat(&rig);
    assert_eq!(old.owned.len(), 2);
    new.beat(&rig);
    assert!(new.owned.is_empty());
    let (epoch, told) = (old.epoch, old.send(&rig));
    assert_eq!(told.member_epoch, epoch, "the epoch stays until the partition is given back");
    assert_eq!(told.assignment.as_ref().unwrap().topic_partitions[0].partitions.len(), 1);
    new.beat(&rig);
    assert!(new.owned.is_empty(), "not yet given back");
    assert_eq!(old.send(&rig).error_code, 0);
    new.beat(&rig);
    assert!(new.owned.is_empty(), "the old owner still lists it");
    old.take(&told);
    old.beat(&rig);
    assert!(old.epoch > epoch);
    new.beat(&rig);
    assert_eq!(new.owned.len(), 1);
}

#[test]
fn a_silent_member_is_taken_out_after_its_session() {
    let mut rig = rig(4);
    let mut players = vec![Player::new("a"), Player::new("b")];
    settle(&rig, &mut players);
    rig.after(SESSION / 2);
    players[0].beat(&rig);
    rig.after(SESSION / 2);
    let silent = players.pop().unwrap();
    settle(&rig, &mut players);
    assert_eq!(shares(&players), [4]);
    assert_eq!(silent.code(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_member_that_keeps_what_it_must_give_back_is_taken_out() {
    let mut rig = rig(2);
    let (mut old, mut new) = (Player::new("old"), Player::new("new"));
    old.beat(&rig);
    new.beat(&rig);
    for _ in 0..3 {
        old.send(&rig);
        new.beat(&rig);
        rig.after(Duration::from_secs(30));
    }
    assert_eq!(old.code(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
    new.beat(&rig);
    assert_eq!(new.owned.len(), 2);
}

#[test]
fn epochs_fence() {
    let rig = rig(4);
    let mut player = Player::new("a");
    assert_eq!(Player { epoch: 3, ..Player::new("a") }.code(&rig), ErrorCode::GROUP_ID_NOT_FOUND);
    player.beat(&rig);
    let epoch = player.epoch;
    assert_eq!(Player { epoch: epoch + 1, ..Player::new("a") }.code(&rig), ErrorCode::FENCED_MEMBER_EPOCH);
    assert_eq!(Player { epoch, ..Player::new("x") }.code(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
    let again = Player::new("a").send(&rig);
    assert_eq!((again.error_code, again.member_epoch), (0, epoch), "the answer to the join was lost");
    assert!(again.assignment.is_some());
    rig.mock.expel_member("g", "a");
    assert_eq!(player.code(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_static_member_finds_its_place_again() {
    let rig = rig(4);
    let member = |id| Player { instance: Some("i"), ..Player::new(id) };
    let mut players = vec![member("a"), Player::new("b")];
    settle(&rig, &mut players);
    let had = players[0].owned.clone();
    assert_eq!(member("c").code(&rig), ErrorCode::UNRELEASED_INSTANCE_ID);
    let away = Player { epoch: -2, owned: BTreeSet::new(), ..member("a") }.send(&rig);
    assert_eq!((away.error_code, away.member_epoch), (0, -2));
    settle(&rig, &mut players[1..]);
    assert_eq!(shares(&players[1..]), [2]);
    players[0] = member("c");
    settle(&rig, &mut players);
    assert_eq!(players[0].owned, had);
}

#[test]
fn new_partitions_are_given_out() {
    let rig = rig(2);
    let mut players = vec![Player::new("a"), Player::new("b")];
    settle(&rig, &mut players);
    rig.mock.grow_topic("t", 6).unwrap();
    settle(&rig, &mut players);
    assert_eq!(shares(&players), [3, 3]);
}

#[test]
fn commits_need_the_members_epoch() {
    let rig = rig(2);
    let mut player = Player::new("a");
    player.beat(&rig);
    let commit = |version, member: &str, epoch, offset| {
        let partition =
            OffsetCommitRequestPartition::default().with_partition_index(1).with_committed_offset(offset);
        let asked =
            OffsetCommitRequestTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_member_id(text(member))
            .with_generation_id_or_member_epoch(epoch)
            .with_topics(vec![asked]);
        ErrorCode(rig.ask(1, version, &request).topics[0].partitions[0].error_code)
    };
    assert_eq!(commit(9, "a", player.epoch, 10), ErrorCode::NONE);
    assert_eq!(commit(9, "a", player.epoch - 1, 11), ErrorCode::STALE_MEMBER_EPOCH);
    assert_eq!(commit(9, "x", player.epoch, 11), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(commit(9, "", -1, 11), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(rig.mock.committed("g", "t", 1), Some(10));
    let gone = Player { epoch: -1, ..Player::new("a") };
    assert_eq!(gone.code(&rig), ErrorCode::NONE);
    for version in 2..=9 {
        assert_eq!(commit(version, "", -1, 20 + i64::from(version)), ErrorCode::NONE);
    }
    for version in 1..=9 {
        let single =
            OffsetFetchRequestTopic::default().with_name(topic("t")).with_partition_indexes(vec![0, 1]);
        let many =
            OffsetFetchRequestTopics::default().with_name(topic("t")).with_partition_indexes(vec![0, 1]);
        let many = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![many]));
        let request = if version < 8 {
            OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![single]))
        } else {
            OffsetFetchRequest::default().with_groups(vec![many]).with_topics(Some(vec![]))
        };
        let response = rig.ask(1, version, &request);
        let offsets: Vec<i64> = if version < 8 {
            response.topics[0].partitions.iter().map(|p| p.committed_offset).collect()
        } else {
            response.groups[0].topics[0].partitions.iter().map(|p| p.committed_offset).collect()
        };
        assert_eq!(offsets, [-1, 29], "v{version}");
    }
}

#[test]
fn only_the_coordinator_answers_and_only_empty_groups_are_deleted() {
    let rig = Rig::new(MockCluster::builder().brokers(2).topic("t", 2));
    let find = || {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
        rig.ask(1, 6, &request).coordinators[0].node_id.0
    };
    rig.mock.move_coordinator("g", 2);
    assert_eq!(find(), 2);
    assert_eq!(Player::new("a").code(&rig), ErrorCode::NOT_COORDINATOR);
    rig.mock.stop_broker(2);
    assert_eq!(find(), 1);
    let mut player = Player::new("a");
    player.beat(&rig);
    for version in 0..=5 {
        let request = FindCoordinatorRequest::default();
        let request = if version < 4 {
            request.with_key(text("g"))
        } else {
            request.with_coordinator_keys(vec![text("g")])
        };
        let response = rig.ask(1, version, &request);
        assert_eq!((response.error_code, if version < 4 { response.node_id.0 } else { 1 }), (0, 1));
    }
    let delete = |version| {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
        ErrorCode(rig.ask(1, version, &request).results[0].error_code)
    };
    assert_eq!(delete(2), ErrorCode::NON_EMPTY_GROUP);
    player.epoch = -1;
    player.send(&rig);
    assert_eq!((delete(1), delete(0)), (ErrorCode::NONE, ErrorCode::GROUP_ID_NOT_FOUND));
}
