//! How generations come about and end, and who is in them.

use super::*;

#[test]
fn a_first_join_is_given_an_id_from_v4_on() {
    let rig = rig();
    let given = answer::<JoinGroupRequest>(9, Player::new(1).join(&rig));
    assert_eq!(ErrorCode(given.error_code), ErrorCode::MEMBER_ID_REQUIRED);
    assert!(given.member_id.starts_with("test-"), "the client's id and a UUID");
    assert_eq!(given.generation_id, -1);
    for version in 0..4 {
        let origin = Origin { broker: 1, connection: 10 + u64::try_from(version).unwrap() };
        assert!(parked(&rig.send_on(origin, version, &Player::new(0).join_request())), "v{version}");
    }
    assert!(parked(&Player::of_instance(2, "i").join(&rig)), "a static member needs none");
}

#[test]
fn an_id_that_was_given_out_is_void_after_the_session() {
    let mut rig = rig();
    let mut player = Player::new(1);
    player.id = answer::<JoinGroupRequest>(9, player.join(&rig)).member_id.to_string();
    rig.after(SESSION);
    assert_eq!(code_of_join(player.join(&rig)), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(code_of_join(Player { id: "x".into(), ..player }.join(&rig)), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn the_first_generation_waits_for_more_members_as_long_as_they_come() {
    let mut rig = rig();
    let (mut one, mut two) = (Player::new(1), Player::new(2));
    assert_eq!(one.come(&rig), Outcome::Park(rig.now + DELAY));
    rig.after(Duration::from_secs(2));
    assert!(parked(&two.come(&rig)));
    rig.after(Duration::from_secs(1));
    assert_eq!(one.resume(&rig), Outcome::Park(rig.now + DELAY), "the second came: 3 s more");
    rig.after(DELAY);
    let (first, second) = (one.hear(&rig), two.hear(&rig));
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(first.leader, second.leader);
    let (of_leader, of_other) =
        if first.leader == first.member_id { (&first, &second) } else { (&second, &first) };
    assert_eq!(
        (of_leader.members.len(), of_other.members.len()),
        (2, 0),
        "the leader alone hears who is there"
    );
    assert_eq!(of_leader.members[0].metadata, "metadata".as_bytes());
    assert_eq!(first.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(first.protocol_name.as_deref(), Some("range"));
}

#[test]
fn without_a_delay_the_first_member_is_answered_at_once() {
    let rig = Rig::new(builder().initial_rebalance_delay(Duration::ZERO));
    let mut player = Player::new(1);
    let outcome = player.come(&rig);
    assert_eq!(player.joined(outcome).generation_id, 1);
}

#[test]
fn sync_waits_for_the_leader() {
    let mut rig = rig();
    let (first, other) = two_joined(&mut rig);
    assert!(parked(&other.sync(&rig, &[])));
    assert_eq!(state(&rig), "CompletingRebalance");
    let own = synced(first.sync(&rig, &[(&first.id, "a"), (&other.id, "b")]));
    assert_eq!((own.error_code, own.assignment.as_ref()), (0, &b"a"[..]));
    let told = synced(other.resume(&rig));
    assert_eq!((told.error_code, told.assignment.as_ref()), (0, &b"b"[..]));
    assert_eq!(told.protocol_name.as_deref(), Some("range"));
    assert_eq!(state(&rig), "Stable");
}

#[test]
fn sync_and_heartbeat_are_fenced_by_member_and_generation() {
    let mut rig = rig();
    let player = stable(&mut rig, vec![Player::new(1)]).remove(0);
    assert_eq!(player.beat(&rig), ErrorCode::NONE);
    let of = |change: fn(&mut Player)| {
        let mut other = player.clone();
        change(&mut other);
        (other.beat(&rig), code_of_sync(other.sync(&rig, &[])))
    };
    let both = |code| (code, code);
    assert_eq!(of(|player| player.generation -= 1), both(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(of(|player| player.generation += 1), both(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(of(|player| player.id = "x".into()), both(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(of(|player| player.instance = Some("i")), both(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn sync_states_the_protocol() {
    let mut rig = rig();
    let player = stable(&mut rig, vec![Player::new(1)]).remove(0);
    let sync = |version, kind: Option<&str>, name: Option<&str>| {
        let request = SyncGroupRequest::default()
            .with_group_id(group())
            .with_generation_id(player.generation)
            .with_member_id(text(&player.id))
            .with_protocol_type(kind.map(text))
            .with_protocol_name(name.map(text));
        ErrorCode(rig.ask(1, version, &request).error_code)
    };
    assert_eq!(sync(5, Some("consumer"), Some("range")), ErrorCode::NONE);
    assert_eq!(sync(5, Some("connect"), Some("range")), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(sync(5, Some("consumer"), Some("sticky")), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(sync(5, None, None), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    for version in 0..5 {
        assert_eq!(sync(version, None, None), ErrorCode::NONE, "v{version}");
    }
}

#[test]
fn a_new_member_calls_the_others_to_a_new_generation() {
    let mut rig = rig();
    let mut one = stable(&mut rig, vec![Player::new(1)]).remove(0);
    let mut two = Player::new(2);
    assert!(parked(&two.come(&rig)), "no delay, but the first must come");
    assert_eq!(one.beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(code_of_sync(one.sync(&rig, &[])), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(one.commit(&rig, 7), ErrorCode::NONE, "commits go on until all have joined");
    let outcome = one.join(&rig);
    assert_eq!(one.joined(outcome).generation_id, 2);
    assert_eq!(one.commit(&rig, 8), ErrorCode::REBALANCE_IN_PROGRESS, "but not before SyncGroup");
    two.hear(&rig);
    settle(&rig, &[one, two]);
    assert_eq!(rig.mock.committed("g", "t", 0), Some(7));
}

#[test]
fn who_does_not_join_within_the_rebalance_timeout_is_taken_out() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    let mut three = Player::new(3);
    assert!(parked(&three.come(&rig)));
    let mut two = players.remove(1);
    assert!(parked(&two.join(&rig)));
    // The first keeps its session up, and never joins.
    for _ in 0..11 {
        rig.after(Duration::from_secs(5));
        assert_eq!(players[0].beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    assert!(parked(&two.resume(&rig)));
    rig.after(REBALANCE - Duration::from_secs(55));
    assert_eq!(two.hear(&rig).generation_id, 2);
    three.hear(&rig);
    assert_eq!(players[0].beat(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
    settle(&rig, &[two, three]);
}

#[test]
fn a_silent_member_is_taken_out_after_its_session_and_the_others_are_called() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    rig.after(SESSION / 2);
    assert_eq!(players[0].beat(&rig), ErrorCode::NONE);
    rig.after(SESSION / 2);
    assert_eq!(players[0].beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
    let outcome = players[0].join(&rig);
    assert_eq!(players[0].joined(outcome).generation_id, 2);
    assert_eq!(players[1].beat(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn members_that_wait_need_no_heartbeat() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    let mut three = Player::new(3);
    assert!(parked(&three.come(&rig)) && parked(&players[1].join(&rig)));
    for _ in 0..4 {
        rig.after(SESSION / 2);
        assert_eq!(players[0].beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    let outcome = players[0].join(&rig);
    assert_eq!(players[0].joined(outcome).generation_id, 2);
    players[1].hear(&rig);
    three.hear(&rig);
    players.push(three);
    settle(&rig, &players);
}

#[test]
fn a_member_that_never_syncs_is_taken_out() {
    let mut rig = rig();
    let (first, other) = two_joined(&mut rig);
    assert_eq!(code_of_sync(first.sync(&rig, &[])), ErrorCode::NONE);
    for _ in 0..11 {
        rig.after(Duration::from_secs(5));
        assert_eq!((first.beat(&rig), other.beat(&rig)), (ErrorCode::NONE, ErrorCode::NONE));
    }
    rig.after(Duration::from_secs(5));
    assert_eq!(other.beat(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(first.beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_member_that_leaves_makes_room_at_once() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    assert_eq!(players.remove(0).leave(&rig), ErrorCode::NONE);
    assert_eq!(players[0].beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
    let outcome = players[0].join(&rig);
    let joined = players[0].joined(outcome);
    assert_eq!((joined.generation_id, joined.leader == joined.member_id), (2, true));
    settle(&rig, &players);
    assert_eq!(players[0].leave(&rig), ErrorCode::NONE);
    assert_eq!((state(&rig), players[0].leave(&rig)), ("Empty", ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn many_members_leave_in_one_request_each_with_its_own_answer() {
    let mut rig = rig();
    let players = stable(&mut rig, vec![Player::new(1), Player::new(2), Player::of_instance(3, "i")]);
    let codes = leave(
        &rig,
        &[(&players[0].id, None), ("x", None), ("", Some("i")), ("", Some("j")), (&players[1].id, Some("i"))],
    );
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    assert_eq!(codes, [ErrorCode::NONE, unknown, ErrorCode::NONE, unknown, unknown]);
    for version in 0..3 {
        let request = LeaveGroupRequest::default().with_group_id(group()).with_member_id(text("x"));
        assert_eq!(ErrorCode(rig.ask(1, version, &request).error_code), unknown, "v{version}");
    }
    assert_eq!(players[1].leave(&rig), ErrorCode::NONE);
    assert_eq!(state(&rig), "Empty");
}

#[test]
fn an_assignment_that_is_being_made_is_void_when_somebody_comes() {
    let mut rig = rig();
    let (first, other) = two_joined(&mut rig);
    assert!(parked(&other.sync(&rig, &[])));
    assert!(parked(&Player::new(3).come(&rig)));
    assert_eq!(code_of_sync(other.resume(&rig)), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(code_of_sync(first.sync(&rig, &[])), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_lost_join_answer_is_given_again_without_a_new_generation() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    let leader = leader(&rig);
    players.sort_by_key(|player| player.id != leader);
    let outcome = players[1].join(&rig);
    assert_eq!(players[1].joined(outcome).generation_id, 1, "a follower whose metadata is the same");
    players[1].protocols = vec![("range", "other topics")];
    assert!(parked(&players[1].join(&rig)), "other metadata need a new generation");
    let outcome = players[0].join(&rig);
    assert_eq!(players[0].joined(outcome).generation_id, 2);
    assert_eq!(players[1].hear(&rig).generation_id, 2);
    let outcome = players[0].join(&rig);
    assert_eq!(players[0].joined(outcome).generation_id, 2, "not yet synced: the same once more");
    settle(&rig, &players);
    assert!(parked(&players[0].join(&rig)), "a leader asks for a new assignment");
    assert_eq!(players[1].beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn all_members_follow_one_protocol_that_all_support() {
    let mut rig = rig();
    let mut one = Player::new(1).protocols(&[("sticky", ""), ("range", "r1")]);
    let mut two = Player::new(2).protocols(&[("range", "r2"), ("robin", "")]);
    assert!(parked(&one.come(&rig)) && parked(&two.come(&rig)));
    rig.after(DELAY * 2);
    let joined = [one.hear(&rig), two.hear(&rig)];
    assert!(joined.iter().all(|joined| joined.protocol_name.as_deref() == Some("range")));
    let members: Vec<_> = joined.iter().flat_map(|joined| joined.members.clone()).collect();
    assert_eq!(members.len(), 2);
    assert!(members.iter().all(|member| member.metadata.starts_with(b"r")));
}

#[test]
fn a_member_that_cannot_follow_is_refused() {
    let mut rig = rig();
    let inconsistent = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
    assert_eq!(code_of_join(Player::new(1).protocols(&[]).join(&rig)), inconsistent, "no protocol at all");
    stable(&mut rig, vec![Player::new(1)]);
    assert_eq!(code_of_join(Player::new(2).protocols(&[("sticky", "")]).join(&rig)), inconsistent);
    let connect = Player::new(2).join_request().with_protocol_type(text("connect"));
    let refused = answer::<JoinGroupRequest>(9, rig.send_on(Player::new(2).origin(), 9, &connect));
    assert_eq!(ErrorCode(refused.error_code), inconsistent);
}

#[test]
fn a_session_timeout_has_its_bounds() {
    let rig = Rig::new(builder().classic_session_timeouts(Duration::from_secs(1), Duration::from_secs(20)));
    let join = |ms| {
        let request = Player::new(1).join_request().with_session_timeout_ms(ms);
        ErrorCode(rig.ask(1, 9, &request).error_code)
    };
    assert_eq!(
        (join(999), join(20_001)),
        (ErrorCode::INVALID_SESSION_TIMEOUT, ErrorCode::INVALID_SESSION_TIMEOUT)
    );
    assert_eq!((join(1000), join(20_000)), (ErrorCode::MEMBER_ID_REQUIRED, ErrorCode::MEMBER_ID_REQUIRED));
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut rig = Rig::new(builder().classic_group_max_size(1));
    let mut one = stable(&mut rig, vec![Player::new(1)]).remove(0);
    assert_eq!(code_of_join(Player::new(2).join(&rig)), ErrorCode::GROUP_MAX_SIZE_REACHED);
    let outcome = one.join(&rig);
    one.joined(outcome);
}
