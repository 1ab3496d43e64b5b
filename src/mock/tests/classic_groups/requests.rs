//! What touches a group besides its generations: commits, coordinators, connections, hooks.

use super::*;

#[test]
fn commits_are_fenced_by_generation_unless_the_group_is_empty() {
    let mut rig = rig();
    let alone = Player::new(9);
    assert_eq!(alone.commit(&rig, 1), ErrorCode::NONE, "a consumer without a group makes it");
    assert_eq!((state(&rig), rig.mock.committed("g", "t", 0)), ("Empty", Some(1)));
    let player = stable(&mut rig, vec![Player::new(1)]).remove(0);
    assert_eq!(rig.mock.committed("g", "t", 0), Some(1));
    assert_eq!(player.commit(&rig, 2), ErrorCode::NONE);
    assert_eq!(alone.commit(&rig, 3), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(Player { generation: 9, ..player.clone() }.commit(&rig, 3), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(Player { id: "x".into(), ..player.clone() }.commit(&rig, 3), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(rig.mock.committed("g", "t", 0), Some(2));
    player.leave(&rig);
    assert_eq!(player.commit(&rig, 4), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(alone.commit(&rig, 4), ErrorCode::NONE);
}

#[test]
fn a_parked_member_hears_that_its_coordinator_moved() {
    let mut rig = Rig::new(builder().brokers(2));
    rig.mock.move_coordinator("g", 1);
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    let mut three = Player::new(3);
    assert!(parked(&three.come(&rig)));
    assert!(parked(&players[0].join(&rig)));
    rig.mock.move_coordinator("g", 2);
    assert_eq!(code_of_join(players[0].resume(&rig)), ErrorCode::NOT_COORDINATOR);
    assert_eq!(code_of_join(three.resume(&rig)), ErrorCode::NOT_COORDINATOR);
    assert_eq!(players[1].beat(&rig), ErrorCode::NOT_COORDINATOR);
    rig.mock.move_coordinator("g", 1);
    assert_eq!(players[1].beat(&rig), ErrorCode::NONE, "what was written down is the generation before");
    assert_eq!((players[0].beat(&rig), three.beat(&rig)), (ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID));
    rig.after(SESSION);
    assert_eq!(players.remove(0).beat(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_connection_that_closes_leaves_its_member_waiting() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    let mut three = Player::new(3);
    assert!(parked(&three.come(&rig)));
    rig.core(|core| core.disconnected(3));
    for player in &mut players {
        let _ = player.join(&rig);
    }
    assert_eq!(players[0].hear(&rig).generation_id, 2);
    assert_eq!(describe(&rig).members.len(), 3, "nobody has told the coordinator");
}

#[test]
fn hooks_reach_every_request_of_a_member() {
    let mut rig = rig();
    for api in [Api::JoinGroup, Api::SyncGroup, Api::Heartbeat] {
        rig.mock.on(api).fail(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    }
    let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
    let player = Player { id: "x".into(), ..Player::new(1) };
    assert_eq!((code_of_join(player.join(&rig)), player.beat(&rig)), (loading, loading));
    assert_eq!(code_of_sync(player.sync(&rig, &[])), loading);
    rig.mock.on(Api::JoinGroup).skip(1).fail_after(ErrorCode::NOT_COORDINATOR);
    let mut one = Player::new(1);
    assert!(parked(&one.come(&rig)));
    rig.after(DELAY);
    assert_eq!(code_of_join(one.resume(&rig)), ErrorCode::NOT_COORDINATOR);
    assert_eq!(state(&rig), "CompletingRebalance", "it took effect");
}
