//! Task: groups of the classic protocol: JoinGroup (11), Heartbeat (12), LeaveGroup (13), SyncGroup (14),
//! DescribeGroups (15), ListGroups (16), and what OffsetCommit (8) takes from their members.

use crate::{
    case::cases,
    classic_member::{Member, PATIENCE},
    offsets,
    target::{Target, text},
};
use craftwire_test_support::eventually;
use kafka_protocol::messages::{
    DescribeGroupsRequest, LeaveGroupRequest, ListGroupsRequest, SyncGroupRequest,
    join_group_request::JoinGroupRequestProtocol, leave_group_request::MemberIdentity,
};

cases! {
    1 brokers;
    JoinGroup:
        a_member_comes_stays_and_leaves_in_every_version
        refuses_members_that_cannot_join
        calls_all_members_to_a_new_generation
        answers_again_whose_answer_was_lost
        chooses_a_protocol_that_all_support
        lets_a_static_member_come_back_to_what_it_had;
    SyncGroup:
        keeps_members_waiting_for_the_leader
        refuses_to_sync_what_is_not_the_generation;
    Heartbeat:
        forgets_a_silent_member;
    LeaveGroup:
        lets_many_members_leave_at_once;
    OffsetCommit:
        takes_commits_of_the_generation_only;
    DescribeGroups:
        describes_groups_in_every_version
        tells_nothing_of_groups_that_are_not;
    ListGroups:
        lists_groups_in_every_version;
}

async fn a_member_comes_stays_and_leaves_in_every_version(target: &Target) {
    for version in 0..=9 {
        let mut member = Member::new(target, &format!("comes_and_leaves_v{version}")).await;
        let mut joined = member.connection.noted("join", version, &member.join_request()).await;
        if version >= 4 {
            assert_eq!(joined.error_code, 79);
            member.id = joined.member_id.to_string();
            joined = member.connection.noted("join again", version, &member.join_request()).await;
        }
        assert_eq!((joined.error_code, joined.generation_id), (0, 1));
        assert_eq!(joined.leader, joined.member_id);
        member.id = joined.member_id.to_string();
        member.generation = 1;
        let id = member.id.clone();
        let request = member.sync_request(version.min(5), &[(&id, "all")]);
        let synced = member.connection.noted("sync", version.min(5), &request).await;
        assert_eq!((synced.error_code, synced.assignment.as_ref()), (0, "all".as_bytes()));
        let request = member.heartbeat_request();
        assert_eq!(member.connection.noted("beat", version.min(4), &request).await.error_code, 0);
        let leave = LeaveGroupRequest::default().with_group_id(text(&member.group).into());
        let leave = if version < 3 {
            leave.with_member_id(text(&id))
        } else {
            leave.with_members(vec![MemberIdentity::default().with_member_id(text(&id))])
        };
        assert_eq!(member.connection.noted("leave", version.min(5), &leave).await.error_code, 0);
        let request = member.heartbeat_request();
        assert_eq!(member.connection.noted("gone", version.min(4), &request).await.error_code, 25);
    }
}

async fn refuses_members_that_cannot_join(target: &Target) {
    let mut member = Member::new(target, "refuses_members").await;
    let good = member.join_request();
    let requests = [
        ("no group", good.clone().with_group_id(text("").into())),
        ("too short", good.clone().with_session_timeout_ms(999)),
        ("too long", good.clone().with_session_timeout_ms(1_800_001)),
        ("unknown", good.clone().with_member_id(text("x"))),
        ("no protocol", good.clone().with_protocols(vec![])),
        ("no type", good.clone().with_protocol_type(text(""))),
    ];
    for (label, request) in &requests {
        for version in [0, 6, 7, 9] {
            member.connection.noted(label, version, request).await;
        }
    }
    let mut one = Member::stable(target, "refuses_members").await;
    let other = vec![JoinGroupRequestProtocol::default().with_name(text("sticky"))];
    let requests = [
        ("unknown in a group", good.clone().with_member_id(text("x"))),
        ("unknown instance", good.clone().with_member_id(text("x")).with_group_instance_id(Some(text("i")))),
        ("another protocol", good.clone().with_protocols(other)),
        ("another type", good.clone().with_protocol_type(text("connect"))),
    ];
    for (label, request) in &requests {
        assert_ne!(member.connection.noted(label, 9, request).await.error_code, 0, "{label}");
    }
    assert_eq!(one.beat("undisturbed").await, 0);
}

async fn calls_all_members_to_a_new_generation(target: &Target) {
    let mut one = Member::stable(target, "calls_all_members").await;
    let mut two = Member { protocols: vec![("range", "second")], ..Member::new(target, &one.group).await };
    two.send_join().await;
    one.called().await;
    assert_eq!(one.sync("no longer", &[]).await.error_code, 27);
    let joined = one.join(target, "joins again").await;
    assert_eq!((joined.generation_id, joined.members.len()), (2, 2));
    assert_eq!(two.joined(target, "joins").await.members.len(), 0);
    assert_eq!(one.beat("on the way").await, 0);
    let (first, second) = (one.id.clone(), two.id.clone());
    one.sync("of the first", &[(&first, "a"), (&second, "b")]).await;
    assert_eq!(two.sync("of the second", &[]).await.assignment, "b".as_bytes());
    two.leave("leaves").await;
    one.called().await;
    assert_eq!(one.join(target, "alone").await.generation_id, 3);
}

async fn answers_again_whose_answer_was_lost(target: &Target) {
    let mut one = Member::stable(target, "answers_again").await;
    let mut two = Member { protocols: vec![("range", "second")], ..Member::new(target, &one.group).await };
    two.send_join().await;
    one.join(target, "joins").await;
    two.joined(target, "the second").await;
    assert_eq!(one.join(target, "the leader once more").await.members.len(), 2);
    assert_eq!(two.join(target, "the second once more").await.generation_id, 2);
    let second = two.id.clone();
    one.sync("syncs", &[(&second, "b")]).await;
    assert_eq!(two.join(target, "in a stable group").await.generation_id, 2);
    assert_eq!(two.sync("keeps it", &[]).await.assignment, "b".as_bytes());
    two.protocols = vec![("range", "other topics")];
    two.send_join().await;
    one.called().await;
    assert_eq!(one.join(target, "for the other metadata").await.generation_id, 3);
    two.joined(target, "with other metadata").await;
}

async fn chooses_a_protocol_that_all_support(target: &Target) {
    let mut one = Member::new(target, "chooses_a_protocol").await;
    one.protocols = vec![("sticky", "s"), ("range", "a")];
    assert_eq!(one.join(target, "alone").await.protocol_name.as_deref(), Some("sticky"));
    let mut two = Member::new(target, "chooses_a_protocol").await;
    two.protocols = vec![("robin", "r"), ("range", "b")];
    two.send_join().await;
    one.called().await;
    assert_eq!(one.join(target, "both").await.protocol_name.as_deref(), Some("range"));
    two.joined(target, "the other").await;
}

async fn lets_a_static_member_come_back_to_what_it_had(target: &Target) {
    let group = "lets_a_static_member_back";
    let mut old = Member::of_instance(target, group, "i").await;
    old.join(target, "comes").await;
    let id = old.id.clone();
    old.sync("syncs", &[(&id, "mine")]).await;
    let mut back = Member::of_instance(target, group, "i").await;
    let joined = back.join(target, "is back").await;
    assert_eq!((joined.generation_id, joined.skip_assignment), (1, true));
    assert_eq!(back.sync("has it still", &[]).await.assignment, "mine".as_bytes());
    assert_eq!(old.beat("fenced").await, 82);
    assert_eq!(old.join(target, "fenced join").await.error_code, 82);
    assert_eq!(old.sync("fenced sync", &[]).await.error_code, 82);
    old.leave("fenced leave").await;
    let mut elder = Member::of_instance(target, group, "i").await;
    let request = elder.join_request();
    let joined = elder.connection.noted("back with v8", 8, &request).await;
    assert!(!joined.skip_assignment && joined.leader != joined.member_id);
    let mut other = Member::of_instance(target, group, "i").await;
    other.protocols = vec![("sticky", "s")];
    other.join(target, "with another protocol").await;
}

async fn keeps_members_waiting_for_the_leader(target: &Target) {
    let mut one = Member::stable(target, "keeps_members_waiting").await;
    let mut two = Member { protocols: vec![("range", "second")], ..Member::new(target, &one.group).await };
    two.send_join().await;
    one.join(target, "joins").await;
    two.joined(target, "the second").await;
    two.connection.send(5, &two.sync_request(5, &[])).await;
    let second = two.id.clone();
    one.sync("the leader", &[(&second, "b")]).await;
    let synced = two.connection.receive::<SyncGroupRequest>(5).await.unwrap();
    target.note("the one that waited", &synced);
    assert_eq!(synced.assignment, "b".as_bytes());
}

/// A request, of any kind that names a member, as others than the generation's members would send it; and the codes.
macro_rules! of_others {
    ($good:expr) => {
        [
            ("no group", 24, $good.clone().with_group_id(text("").into())),
            ("another group", 25, $good.clone().with_group_id(text("nobody_is_here").into())),
            ("unknown", 25, $good.clone().with_member_id(text("x"))),
            ("unknown instance", 25, $good.clone().with_group_instance_id(Some(text("i")))),
            ("older", 22, $good.clone().with_generation_id(0)),
            ("newer", 22, $good.clone().with_generation_id(2)),
        ]
    };
}

async fn refuses_to_sync_what_is_not_the_generation(target: &Target) {
    let mut member = Member::stable(target, "refuses_to_sync").await;
    let good = member.sync_request(5, &[]);
    let of_the_generation = [
        ("another type", 23, good.clone().with_protocol_type(Some(text("connect")))),
        ("another protocol", 23, good.clone().with_protocol_name(Some(text("sticky")))),
        ("no type", 23, good.clone().with_protocol_type(None)),
        ("as it is", 0, good.clone()),
    ];
    let requests = of_others!(good).into_iter().chain(of_the_generation);
    for (label, code, request) in requests {
        assert_eq!(member.connection.noted(label, 5, &request).await.error_code, code, "{label}");
    }
    let good = member.heartbeat_request();
    for (label, code, request) in of_others!(good) {
        assert_eq!(member.connection.noted(label, 4, &request).await.error_code, code, "{label}");
    }
}

async fn forgets_a_silent_member(target: &Target) {
    let mut member = Member::new(target, "forgets_a_silent_member").await;
    let short = member.join_request().with_session_timeout_ms(1000);
    member.id = member.connection.ask(9, &short).await.member_id.to_string();
    let short = member.join_request().with_session_timeout_ms(1000);
    assert_eq!(member.connection.ask(9, &short).await.generation_id, 1);
    member.generation = 1;
    let describe = DescribeGroupsRequest::default().with_groups(vec![text(&member.group).into()]);
    eventually("the member is forgotten", PATIENCE, async || {
        let described = member.connection.ask(6, &describe).await;
        (described.groups[0].group_state.as_str() == "Empty").then_some(())
    })
    .await;
    assert_eq!(member.beat("forgotten").await, 25);
    let joined = member.join(target, "forgotten join").await;
    assert_eq!(joined.error_code, 25);
    member.id = String::new();
    assert_eq!(member.join(target, "anew").await.generation_id, 3, "the empty group was a generation too");
}

async fn lets_many_members_leave_at_once(target: &Target) {
    let mut one = Member::stable(target, "lets_many_leave").await;
    let mut two = Member::of_instance(target, &one.group, "i").await;
    two.protocols = vec![("range", "second")];
    two.send_join().await;
    one.called().await;
    one.join(target, "joins").await;
    two.joined(target, "the second").await;
    let member = |id: &str, instance: Option<&str>| {
        MemberIdentity::default().with_member_id(text(id)).with_group_instance_id(instance.map(text))
    };
    let leave = |members| {
        LeaveGroupRequest::default().with_group_id(text("lets_many_leave").into()).with_members(members)
    };
    let pending = Member::new(target, &one.group)
        .await
        .connection
        .ask(9, &one.join_request().with_member_id(text("")))
        .await;
    assert_eq!(pending.error_code, 79);
    let all = leave(vec![
        member("x", None),
        member("", Some("j")),
        member(&one.id, Some("i")),
        member("", Some("i")),
        member(&pending.member_id, None),
        member(&one.id, None),
    ]);
    let left = one.connection.noted("all", 5, &all).await;
    let codes: Vec<i16> = left.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [25, 25, 82, 0, 0, 0]);
    one.connection.noted("nobody is left", 5, &leave(vec![member(&one.id, None)])).await;
    let nowhere = all.clone().with_group_id(text("nobody_is_here").into());
    one.connection.noted("another group", 5, &nowhere).await;
    one.connection.noted("no group", 5, &all.with_group_id(text("").into())).await;
    for version in 0..3 {
        let request = LeaveGroupRequest::default()
            .with_group_id(text("lets_many_leave").into())
            .with_member_id(text("x"));
        assert_eq!(one.connection.noted("unknown", version, &request).await.error_code, 25);
    }
}

async fn takes_commits_of_the_generation_only(target: &Target) {
    let topic = target.topic("takes_commits_of_the_generation", 1, &[]).await;
    let group = "takes_commits_of_the_generation";
    let commit = |member: &str, instance: Option<&str>, generation| {
        offsets::commit(group, member, generation, &topic, 0, 1).with_group_instance_id(instance.map(text))
    };
    let mut member = Member::new(target, group).await;
    for version in [2, 6, 8, 9] {
        member.connection.noted("of nobody before", version, &commit("", None, 3)).await;
    }
    let answer = member.connection.noted("of nobody", 9, &commit("", None, -1)).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    member.connection.noted("of a member of a simple group", 9, &commit("x", None, 1)).await;
    let mut member = Member::stable(target, group).await;
    let id = member.id.clone();
    let requests = [
        ("nobody", 25, commit("", None, -1)),
        ("unknown", 25, commit("x", None, 1)),
        ("unknown instance", 25, commit(&id, Some("i"), 1)),
        ("no generation", 22, commit(&id, None, -1)),
        ("older", 22, commit(&id, None, 0)),
        ("newer", 22, commit(&id, None, 2)),
        ("the member", 0, commit(&id, None, 1)),
    ];
    for (label, code, request) in &requests {
        for version in [7, 8, 9] {
            let answer = member.connection.noted(label, version, request).await;
            assert_eq!(answer.topics[0].partitions[0].error_code, *code, "{label} v{version}");
        }
    }
    member.join(target, "a new generation").await;
    let answer = member.connection.noted("before it is complete", 9, &commit(&id, None, 2)).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 27);
    member.leave("leaves").await;
    member.connection.noted("it left", 9, &commit(&id, None, 2)).await;
    let answer = member.connection.noted("nobody once more", 9, &commit("", None, -1)).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

async fn describes_groups_in_every_version(target: &Target) {
    let group = "describes_groups";
    let mut member = Member::of_instance(target, group, "i").await;
    let describe = DescribeGroupsRequest::default().with_groups(vec![text(group).into()]);
    member.connection.noted("not there", 6, &describe).await;
    member.join(target, "joins").await;
    let id = member.id.clone();
    member.sync("syncs", &[(&id, "all")]).await;
    for version in 0..=6 {
        let described = member.connection.noted("stable", version, &describe).await;
        assert_eq!(described.groups[0].group_state.as_str(), "Stable");
    }
    let mut two = Member { protocols: vec![("range", "second")], ..Member::new(target, group).await };
    two.send_join().await;
    member.called().await;
    member.join(target, "the leader joins").await;
    two.joined(target, "the second").await;
    member.leave("leaves").await;
    two.leave("leaves too").await;
    member.connection.noted("empty", 6, &describe).await;
}

async fn tells_nothing_of_groups_that_are_not(target: &Target) {
    let mut member = Member::new(target, "tells_nothing").await;
    let describe = DescribeGroupsRequest::default().with_groups(vec![text("nobody_is_here").into()]);
    for version in 0..=6 {
        member.connection.noted("not there", version, &describe).await;
    }
    let unnamed = DescribeGroupsRequest::default().with_groups(vec![text("").into()]);
    member.connection.noted("without a name", 6, &unnamed).await;
}

async fn lists_groups_in_every_version(target: &Target) {
    let group = "lists_groups";
    let mut member = Member::stable(target, group).await;
    for version in 0..=5 {
        let all = member.connection.ask(version, &ListGroupsRequest::default()).await;
        let own = all.groups.iter().find(|listed| listed.group_id.as_str() == group).expect("it is listed");
        target.note(&format!("listed v{version}"), own);
    }
    let filters: &[(&[&str], &[&str], bool)] = &[
        (&["Stable"], &[], true),
        (&["stable", "Empty"], &["classic"], true),
        (&[], &["Classic"], true),
        (&["Empty"], &[], false),
        (&[], &["consumer"], false),
        (&["NoSuchState"], &[], false),
        (&[], &["nosuchtype"], false),
    ];
    for (states, types, is_listed) in filters {
        let request = ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
            .with_types_filter(types.iter().map(|kind| text(kind)).collect());
        let all = member.connection.ask(5, &request).await;
        let found = all.groups.iter().any(|listed| listed.group_id.as_str() == group);
        assert_eq!((all.error_code, found), (0, *is_listed), "{states:?} {types:?}");
    }
}
