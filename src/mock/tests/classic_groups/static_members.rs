//! Members that keep their place under an instance id.

use super::*;

#[test]
fn a_static_member_that_is_back_keeps_its_assignment_without_a_new_generation() {
    let mut rig = rig();
    let players = stable(&mut rig, vec![Player::of_instance(1, "i"), Player::of_instance(2, "j")]);
    let leader = leader(&rig);
    for (connection, old) in (11..).zip(&players) {
        let mut back = Player::of_instance(connection, old.instance.unwrap());
        let outcome = back.join(&rig);
        let joined = back.joined(outcome);
        assert_ne!(back.id, old.id);
        assert_eq!(joined.generation_id, 1);
        assert_eq!(joined.skip_assignment, old.id == leader, "a leader is told to keep what is assigned");
        assert_eq!(joined.members.len(), if old.id == leader { 2 } else { 0 });
        assert_eq!(synced(back.sync(&rig, &[])).assignment, format!("to-{}", old.connection).as_bytes());
        assert_eq!(old.beat(&rig), ErrorCode::FENCED_INSTANCE_ID);
        assert_eq!(code_of_join(old.join(&rig)), ErrorCode::FENCED_INSTANCE_ID);
        assert_eq!(code_of_sync(old.sync(&rig, &[])), ErrorCode::FENCED_INSTANCE_ID);
        assert_eq!(old.commit(&rig, 5), ErrorCode::FENCED_INSTANCE_ID);
        assert_eq!(old.leave(&rig), ErrorCode::FENCED_INSTANCE_ID);
    }
    assert_eq!(state(&rig), "Stable");
}

#[test]
fn a_static_member_that_is_back_with_other_topics_begins_a_new_generation_only_for_another_protocol() {
    let mut rig = rig();
    stable(&mut rig, vec![Player::of_instance(1, "i")]);
    let mut back = Player::of_instance(2, "i").protocols(&[("range", "other")]);
    let outcome = back.join(&rig);
    assert_eq!(back.joined(outcome).generation_id, 1);
    let mut again = Player::of_instance(3, "i").protocols(&[("range", "other"), ("sticky", "")]);
    let outcome = again.join(&rig);
    assert_eq!(again.joined(outcome).generation_id, 1);
    let mut other = Player::of_instance(4, "i").protocols(&[("sticky", ""), ("range", "other")]);
    let outcome = other.join(&rig);
    assert_eq!(other.joined(outcome).generation_id, 2);
}

#[test]
fn a_static_member_that_waits_is_fenced_by_its_successor() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::of_instance(1, "i"), Player::new(2)]);
    assert!(parked(&Player::new(3).come(&rig)));
    assert!(parked(&players[0].join(&rig)));
    assert!(parked(&Player::of_instance(4, "i").join(&rig)));
    let told = answer::<JoinGroupRequest>(9, players[0].resume(&rig));
    assert_eq!(ErrorCode(told.error_code), ErrorCode::FENCED_INSTANCE_ID);
    let outcome = players[1].join(&rig);
    players[1].joined(outcome);
}

#[test]
fn a_static_member_is_not_taken_out_by_the_rebalance_timeout() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::of_instance(1, "i"), Player::new(2)]);
    assert!(parked(&players[1].clone().protocols(&[("range", "new")]).join(&rig)));
    for _ in 0..12 {
        rig.after(Duration::from_secs(5));
        players[0].beat(&rig);
    }
    assert_eq!(players[1].hear(&rig).generation_id, 2);
    let described = describe(&rig);
    assert_eq!(described.members.len(), 2, "its session decides");
}
