//! Members of the classic protocol in consumer groups, and groups that change their protocol.

use bytes::Bytes;

use super::bench::{Bench, GROUP, consumer_group, join, partitions, stay};
use crate::group::consumer::{Assignment, ConsumerGroupConfig, ConsumerHeartbeat, MigrationPolicy};
use crate::group::kinds::Group;
use crate::group::{
    Heartbeat, JoinGroup, JoinProtocol, JoinedGroup, LeaveGroup, LeavingMember, Request, Response, SyncGroup,
    SyncedGroup,
};
use crate::types::ErrorCode;

/// A subscription of version 1 to `orders`, with what is owned of it.
fn subscription(owned: &[i32]) -> Bytes {
    let mut bytes = b"\0\x01\0\0\0\x01\0\x06orders\xff\xff\xff\xff".to_vec();
    if owned.is_empty() {
        bytes.extend(0_i32.to_be_bytes());
    } else {
        bytes.extend(b"\0\0\0\x01\0\x06orders");
        bytes.extend((owned.len() as i32).to_be_bytes());
        owned.iter().for_each(|index| bytes.extend(index.to_be_bytes()));
    }
    bytes.into()
}

fn classic_join(member_id: &str, owned: &[i32]) -> Request {
    let protocol = JoinProtocol { name: "range".to_owned(), metadata: subscription(owned) };
    Request::Join(JoinGroup {
        group_id: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        client_id: "old".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        requires_known_member_id: true,
        ..JoinGroup::default()
    })
}

fn joined(bench: &mut Bench, member_id: &str, owned: &[i32]) -> JoinedGroup {
    let Response::Join(joined) = bench.ask(classic_join(member_id, owned)) else {
        panic!("a join is answered")
    };
    joined
}

fn synced(bench: &mut Bench, member_id: &str, generation_id: i32) -> SyncedGroup {
    let request = Request::Sync(SyncGroup {
        group_id: GROUP.to_owned(),
        generation_id,
        member_id: member_id.to_owned(),
        ..SyncGroup::default()
    });
    let Response::Sync(synced) = bench.ask(request) else { panic!("a sync is answered") };
    synced
}

fn alive(bench: &mut Bench, member_id: &str, generation_id: i32) -> ErrorCode {
    let request = Request::Heartbeat(Heartbeat {
        group_id: GROUP.to_owned(),
        generation_id,
        member_id: member_id.to_owned(),
        group_instance_id: None,
    });
    let Response::Heartbeat(error) = bench.ask(request) else { panic!("a heartbeat is answered") };
    error
}

/// An assignment of `orders` as a member reads it.
fn assignment(indexes: &[i32]) -> Bytes {
    let mut bytes = b"\0\x01\0\0\0\x01\0\x06orders".to_vec();
    bytes.extend((indexes.len() as i32).to_be_bytes());
    indexes.iter().for_each(|index| bytes.extend(index.to_be_bytes()));
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}

/// A classic group of one member, which has all of `orders`.
fn classic_group(bench: &mut Bench, indexes: &[i32]) -> (String, i32) {
    let member_id = joined(bench, "", &[]).member_id;
    bench.send(classic_join(&member_id, &[]));
    bench.advance(3_000);
    let Some((_, _, Response::Join(first))) = bench.replies.pop() else { panic!("the generation has begun") };
    assert_eq!((first.error, &first.leader), (ErrorCode::None, &member_id));
    let request = Request::Sync(SyncGroup {
        group_id: GROUP.to_owned(),
        generation_id: first.generation_id,
        member_id: member_id.clone(),
        assignments: vec![(member_id.clone(), assignment(indexes))],
        ..SyncGroup::default()
    });
    assert!(matches!(bench.ask(request), Response::Sync(synced) if synced.error == ErrorCode::None));
    (member_id, first.generation_id)
}

#[test]
fn a_classic_group_goes_over_with_its_members_one_by_one() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 2);
    let (old, generation) = classic_group(&mut bench, &[0, 1]);

    // The first of the new protocol: the group is a consumer group now, and nobody has lost anything.
    let new = bench.heartbeat(join("new", &["orders"])).unwrap();
    assert_eq!((new.member_epoch, new.assignment), (generation + 1, Some(Assignment::default())));
    bench.check_replay();
    assert_eq!(alive(&mut bench, &old, generation), ErrorCode::RebalanceInProgress);

    // The old one joins, is told what it keeps, stops reading the rest and joins again to say so.
    let first = joined(&mut bench, &old, &[0, 1]);
    assert_eq!((first.error, first.generation_id), (ErrorCode::None, generation));
    assert_eq!((first.protocol_name.as_deref(), first.leader.as_str()), (Some("range"), ""));
    assert_eq!(synced(&mut bench, &old, generation).assignment, assignment(&[0]));
    assert_eq!(bench.heartbeat(stay("new", generation + 1)).unwrap().assignment, None);
    assert_eq!(alive(&mut bench, &old, generation), ErrorCode::RebalanceInProgress);
    let second = joined(&mut bench, &old, &[0]);
    assert_eq!(second.generation_id, generation + 1);
    assert_eq!(synced(&mut bench, &old, generation + 1).assignment, assignment(&[0]));
    assert_eq!(alive(&mut bench, &old, generation + 1), ErrorCode::None);
    let got = bench.heartbeat(stay("new", generation + 1)).unwrap();
    assert_eq!(got.assignment, Some(partitions(topic, &[1])));
    assert_eq!(bench.group().state().name(), "Stable");
    bench.check_replay();

    assert_eq!(alive(&mut bench, &old, generation), ErrorCode::IllegalGeneration);
    assert_eq!(alive(&mut bench, "new", generation + 1), ErrorCode::UnknownMemberId);
    assert_eq!(synced(&mut bench, "other", 1).error, ErrorCode::UnknownMemberId);

    // The last of the new protocol goes: what is left is a classic group, which rebalances.
    bench.heartbeat(stay("new", -1)).unwrap();
    assert!(matches!(bench.coordinator.groups[GROUP], Group::Classic(_)));
    assert!(matches!(bench.replayed().groups[GROUP], Group::Classic(_)));
    assert_eq!(alive(&mut bench, &old, generation + 2), ErrorCode::IllegalGeneration);
    assert_eq!(alive(&mut bench, &old, generation + 1), ErrorCode::RebalanceInProgress);
    let last = joined(&mut bench, &old, &[0]);
    assert_eq!((last.error, last.generation_id, &last.leader), (ErrorCode::None, generation + 2, &old));
}

#[test]
fn a_classic_member_that_does_not_follow_is_out() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 2);
    let (old, generation) = classic_group(&mut bench, &[0, 1]);
    bench.heartbeat(join("new", &["orders"])).unwrap();
    for _ in 0..3 {
        assert_eq!(alive(&mut bench, &old, generation), ErrorCode::RebalanceInProgress);
        bench.advance(6_000);
    }
    bench.advance(2_001);
    assert_eq!(alive(&mut bench, &old, generation), ErrorCode::UnknownMemberId);
    let all = Some(partitions(topic, &[0, 1]));
    assert_eq!(bench.heartbeat(stay("new", generation + 1)).unwrap().assignment, all);
}

#[test]
fn a_classic_member_that_never_syncs_or_is_silent_is_out() {
    let mut bench = Bench::eager();
    bench.add_partitions("orders", 2);
    bench.heartbeat(join("new", &["orders"])).unwrap();
    let given = joined(&mut bench, "", &[]);
    assert_eq!(given.error, ErrorCode::MemberIdRequired);
    let first = joined(&mut bench, &given.member_id, &[]);
    assert_eq!(first.error, ErrorCode::None);
    for _ in 0..3 {
        bench.advance(6_000);
        let _ = alive(&mut bench, &given.member_id, first.generation_id);
    }
    bench.advance(2_001);
    assert_eq!(bench.group().members.keys().collect::<Vec<_>>(), ["new"]);

    let first = joined(&mut bench, &given.member_id, &[]);
    assert_eq!(synced(&mut bench, &given.member_id, first.generation_id).error, ErrorCode::None);
    bench.advance(10_001);
    assert_eq!(bench.group().members.keys().collect::<Vec<_>>(), ["new"]);
}

#[test]
fn members_of_both_protocols_leave_by_leave_group() {
    let mut bench = Bench::eager();
    bench.add_partitions("orders", 2);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    bench.heartbeat(join("b", &["orders"])).unwrap();
    let leaving = |id: &str| LeavingMember { member_id: id.to_owned(), group_instance_id: None };
    let request = LeaveGroup { group_id: GROUP.to_owned(), members: vec![leaving("a"), leaving("x")] };
    let Response::Leave(Ok(left)) = bench.ask(Request::Leave(request)) else { panic!("it is answered") };
    let errors: Vec<_> = left.iter().map(|left| left.error).collect();
    assert_eq!(errors, [ErrorCode::None, ErrorCode::UnknownMemberId]);
    assert_eq!(bench.group().members.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn an_empty_group_takes_whatever_comes() {
    let mut bench = Bench::eager();
    bench.add_partitions("orders", 1);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    bench.heartbeat(stay("a", -1)).unwrap();
    let given = joined(&mut bench, "", &[]);
    assert_eq!(given.error, ErrorCode::MemberIdRequired);
    assert!(matches!(bench.coordinator.groups[GROUP], Group::Classic(_)));
    assert!(consumer_group(&bench.replayed()).is_none());
    // The id that was given out is forgotten with the group.
    bench.heartbeat(join("a", &["orders"])).unwrap();
    assert!(consumer_group(&bench.replayed()).is_some());
    bench.advance(44_999);
    assert_eq!(bench.group().members.len(), 1);
}

#[test]
fn the_policy_decides_which_ways_are_open() {
    for (policy, goes_over, comes_back) in [
        (MigrationPolicy::Bidirectional, true, true),
        (MigrationPolicy::Upgrade, true, false),
        (MigrationPolicy::Downgrade, false, true),
        (MigrationPolicy::Disabled, false, false),
    ] {
        let config = ConsumerGroupConfig { migration_policy: policy, ..ConsumerGroupConfig::default() };
        let mut bench = Bench::new(config);
        bench.add_partitions("orders", 2);
        classic_group(&mut bench, &[0, 1]);
        let outcome = bench.heartbeat(join("new", &["orders"]));
        assert_eq!(outcome.is_ok(), goes_over, "{policy:?}");
        if let Err(refusal) = outcome {
            assert_eq!(refusal.error, ErrorCode::GroupIdNotFound);
            assert!(refusal.message.contains("online upgrade is disabled"));
        } else {
            bench.heartbeat(stay("new", -1)).unwrap();
            assert_eq!(consumer_group(&bench.coordinator).is_none(), comes_back, "{policy:?}");
        }
    }
}

#[test]
fn a_group_that_is_not_of_consumers_stays_classic() {
    let mut bench = Bench::eager();
    let Request::Join(mut request) = classic_join("", &[]) else { panic!("a join") };
    request.protocol_type = "connect".to_owned();
    request.requires_known_member_id = false;
    bench.send(Request::Join(request));
    let refusal = bench.heartbeat(join("new", &["orders"])).unwrap_err();
    assert_eq!(refusal.error, ErrorCode::GroupIdNotFound);
    assert!(refusal.message.contains("does not use the consumer embedded protocol"), "{refusal}");
    assert_eq!(bench.heartbeat(stay("new", 1)).unwrap_err().error, ErrorCode::GroupIdNotFound);
}

#[test]
fn a_static_member_comes_back_with_the_other_protocol() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 2);
    let with_instance = |request| ConsumerHeartbeat { instance_id: Some("one".to_owned()), ..request };
    bench.heartbeat(with_instance(join("a", &["orders"]))).unwrap();
    bench.heartbeat(with_instance(stay("a", -2))).unwrap();
    // It is the only member, so that the group changes with it, and nothing moves.
    let Request::Join(request) = classic_join("", &[]) else { panic!("a join") };
    let request = JoinGroup { group_instance_id: Some("one".to_owned()), ..request };
    let Response::Join(old) = bench.ask(Request::Join(request)) else { panic!("a join is answered") };
    assert_eq!((old.error, old.generation_id), (ErrorCode::None, 2));
    assert!(matches!(bench.coordinator.groups[GROUP], Group::Classic(_)));
    let request = Request::Sync(SyncGroup {
        group_id: GROUP.to_owned(),
        generation_id: 2,
        member_id: old.member_id.clone(),
        group_instance_id: Some("one".to_owned()),
        ..SyncGroup::default()
    });
    let Response::Sync(synced) = bench.ask(request) else { panic!("a sync is answered") };
    assert_eq!((synced.error, synced.assignment), (ErrorCode::None, assignment(&[0, 1])));
    // And back again.
    let back = bench.heartbeat(with_instance(join("b", &["orders"]))).unwrap();
    assert_eq!(back.assignment, Some(partitions(topic, &[0, 1])));
    assert_eq!(bench.group().census.classic_members, 0);
    bench.check_replay();
}
