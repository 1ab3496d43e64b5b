//! A group in use goes over to KIP-848 and back on the mock, in virtual time, as its members are replaced one by one.

use crate::classic::{ALL, Fixture, Member, PATIENCE, Seen};
use craftwire::{
    consumer::{Assignor, GroupProtocol},
    mock::{Api, MockCluster},
};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::{advance, timeout};

/// Waits until they have all of the six partitions between them, each as many.
async fn share(members: &VecDeque<Member>) {
    let each = 6 / members.len();
    let settled = async {
        loop {
            let shares: Vec<BTreeSet<i32>> = members.iter().map(Member::has).collect();
            let distinct: BTreeSet<i32> = shares.iter().flatten().copied().collect();
            if distinct.len() == 6 && shares.iter().all(|share| share.len() == each) {
                return;
            }
            advance(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, settled).await.expect("the group settles");
}

async fn rolled(assignor: Assignor, instances: Option<[&str; 3]>) {
    let mut fixture = Fixture::with(MockCluster::builder().brokers(3)).await;
    let seen = Seen::default();
    let builder = fixture.member().assignors([assignor]);
    let member = async |protocol, at: usize| {
        let mut builder = builder.clone().group_protocol(protocol);
        if let Some(instances) = instances {
            builder = builder.group_instance_id(instances[at]);
        }
        Member::start(builder.build().await.unwrap(), &seen)
    };
    let mut members = VecDeque::new();
    for at in 0..3 {
        members.push_back(member(GroupProtocol::Classic, at).await);
    }
    share(&members).await;
    for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
        let asked = fixture.mock.request_count(Api::ConsumerGroupHeartbeat);
        for at in 0..3 {
            fixture.write(5);
            // A static member's place is free for another only once it has gone.
            if instances.is_some() {
                members.pop_front().unwrap().close().await;
                members.push_back(member(protocol, at).await);
            } else {
                members.push_back(member(protocol, at).await);
                advance(Duration::from_millis(700)).await;
                members.pop_front().unwrap().close().await;
            }
            fixture.write(5);
            share(&members).await;
            fixture.all_committed().await;
        }
        assert!(fixture.mock.request_count(Api::ConsumerGroupHeartbeat) > asked);
    }
    // All speak the classic protocol again.
    advance(Duration::from_secs(60)).await;
    let asked = fixture.mock.request_count(Api::ConsumerGroupHeartbeat);
    fixture.write(5);
    fixture.all_committed().await;
    share(&members).await;
    assert_eq!(fixture.mock.request_count(Api::ConsumerGroupHeartbeat), asked);
    for one in members {
        one.close().await;
    }
    let seen = seen.lock().unwrap();
    assert_eq!(i64::try_from(seen.len()).unwrap(), fixture.written.values().sum::<i64>());
    // A classic member that the last one of KIP-848 leaves behind in an older epoch has to begin anew.
    assert!(instances.is_none() || seen.values().all(|times| *times == 1), "something came twice");
}

#[tokio::test(start_paused = true)]
async fn members_are_replaced_one_by_one_while_the_group_is_read() {
    for assignor in ALL {
        rolled(assignor, None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn static_members_keep_their_partitions_from_one_protocol_to_the_other() {
    rolled(Assignor::CooperativeSticky, Some(["one", "two", "three"])).await;
}
