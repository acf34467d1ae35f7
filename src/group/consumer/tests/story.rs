//! What members see, one story at a time.

use super::bench::{Bench, GROUP, join, partitions, stay};
use crate::group::consumer::member::MemberState;
use crate::group::consumer::{Assignment, Assignor, ConsumerGroupConfig, ConsumerHeartbeat};
use crate::group::events::{CommitOffsets, FetchOffsets, ListGroups, OffsetToCommit};
use crate::group::{Request, Response};
use crate::types::{ErrorCode, Offset, TopicName};

fn error_of(bench: &mut Bench, request: ConsumerHeartbeat) -> ErrorCode {
    let refusal = bench.heartbeat(request).unwrap_err();
    assert!(!refusal.message.is_empty());
    refusal.error
}

fn owning(request: ConsumerHeartbeat, owned: &Assignment) -> ConsumerHeartbeat {
    ConsumerHeartbeat { owned: Some(owned.clone()), ..request }
}

fn instance(request: ConsumerHeartbeat, instance_id: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat { instance_id: Some(instance_id.to_owned()), ..request }
}

#[test]
fn partitions_move_when_they_were_given_up_and_not_before() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 3);
    let all = partitions(topic, &[0, 1, 2]);
    let first = bench.heartbeat(join("a", &["orders"])).unwrap();
    // A group begins at epoch 1, the first member makes it 2.
    assert_eq!((first.member_epoch, first.heartbeat_interval_ms), (2, 5_000));
    assert_eq!(first.assignment, Some(all.clone()));
    assert_eq!(bench.heartbeat(stay("a", 2)).unwrap().assignment, None);

    // The newcomer is in, but its partition is still another's.
    let second = bench.heartbeat(join("b", &["orders"])).unwrap();
    assert_eq!((second.member_epoch, second.assignment), (3, Some(Assignment::default())));
    assert_eq!(bench.group().members["b"].state, MemberState::UnreleasedPartitions);
    let told = bench.heartbeat(owning(stay("a", 2), &all)).unwrap();
    let kept = partitions(topic, &[0, 1]);
    assert_eq!((told.member_epoch, told.assignment), (2, Some(kept.clone())));
    assert_eq!(bench.group().members["a"].state, MemberState::UnrevokedPartitions);
    assert_eq!(bench.heartbeat(stay("b", 3)).unwrap().assignment, None);

    // Once it is given up, its owner goes on to the new epoch and the newcomer gets it.
    let done = bench.heartbeat(owning(stay("a", 2), &kept)).unwrap();
    assert_eq!((done.member_epoch, done.assignment), (3, None));
    let got = bench.heartbeat(stay("b", 3)).unwrap();
    assert_eq!((got.member_epoch, got.assignment), (3, Some(partitions(topic, &[2]))));
    assert_eq!(bench.group().state().name(), "Stable");
    bench.check_replay();
}

#[test]
fn a_member_without_news_is_told_nothing_and_writes_nothing() {
    let mut bench = Bench::eager();
    bench.add_partitions("orders", 1);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    bench.heartbeat(stay("a", 2)).unwrap();
    let written = bench.log.len();
    for _ in 0..10 {
        bench.advance(5_000);
        assert_eq!(bench.heartbeat(stay("a", 2)).unwrap().assignment, None);
    }
    assert_eq!(bench.log.len(), written);
}

#[test]
fn answers_leave_after_their_records() {
    let mut bench = Bench::eager();
    bench.add_partitions("orders", 1);
    bench.send(Request::ConsumerHeartbeat(join("a", &["orders"])));
    let (_, after, _) = bench.replies[0];
    assert_eq!(after, Offset(bench.log.len() as i64));
    assert!(4 <= bench.log.len());
}

#[test]
fn two_targets_are_apart_by_the_assignment_interval() {
    let mut bench = Bench::new(ConsumerGroupConfig::default());
    let topic = bench.add_partitions("orders", 2);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    bench.advance(300);
    let early = bench.heartbeat(join("b", &["orders"])).unwrap();
    assert_eq!((early.member_epoch, bench.group().epoch, bench.group().target_epoch), (2, 3, 2));
    assert_eq!(bench.group().state().name(), "Assigning");
    bench.advance(700);
    bench.heartbeat(owning(stay("a", 2), &partitions(topic, &[0, 1]))).unwrap();
    assert_eq!(bench.group().target_epoch, 3);
}

#[test]
fn a_lost_answer_is_made_good() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 2);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    let all = partitions(topic, &[0, 1]);
    bench.heartbeat(join("b", &["orders"])).unwrap();
    bench.heartbeat(owning(stay("a", 2), &all)).unwrap();
    let kept = partitions(topic, &[0]);
    bench.heartbeat(owning(stay("a", 2), &kept)).unwrap();
    // "a" is at 3 now and does not know.
    let again = ConsumerHeartbeat { member_epoch: 2, ..owning(join("a", &["orders"]), &kept) };
    let told = bench.heartbeat(again).unwrap();
    assert_eq!((told.member_epoch, told.assignment), (3, Some(kept)));
    let too_much = owning(stay("a", 2), &all);
    assert_eq!(error_of(&mut bench, too_much), ErrorCode::FencedMemberEpoch);
    assert_eq!(error_of(&mut bench, stay("a", 2)), ErrorCode::FencedMemberEpoch);
    assert_eq!(error_of(&mut bench, stay("a", 1)), ErrorCode::FencedMemberEpoch);
    assert_eq!(error_of(&mut bench, stay("a", 4)), ErrorCode::FencedMemberEpoch);
}

#[test]
fn who_is_silent_is_out() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 2);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    bench.heartbeat(join("b", &["orders"])).unwrap();
    bench.advance(30_000);
    let all = partitions(topic, &[0, 1]);
    bench.heartbeat(owning(stay("a", 2), &all)).unwrap();
    bench.heartbeat(owning(stay("a", 2), &partitions(topic, &[0]))).unwrap();
    bench.advance(15_000);
    assert!(!bench.group().members.contains_key("b"));
    assert_eq!(error_of(&mut bench, stay("b", 3)), ErrorCode::UnknownMemberId);
    assert_eq!(bench.heartbeat(stay("a", 3)).unwrap().assignment, Some(all));
    bench.advance(45_000);
    assert_eq!(bench.group().state().name(), "Empty");
    bench.check_replay();
}

#[test]
fn who_does_not_give_up_partitions_in_time_is_out() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 2);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    bench.heartbeat(join("b", &["orders"])).unwrap();
    let all = partitions(topic, &[0, 1]);
    for _ in 0..5 {
        bench.heartbeat(owning(stay("a", 2), &all)).unwrap();
        bench.heartbeat(stay("b", 3)).unwrap();
        bench.advance(5_999);
    }
    bench.heartbeat(owning(stay("a", 2), &all)).unwrap();
    bench.advance(5);
    assert!(!bench.group().members.contains_key("a"));
    assert_eq!(bench.heartbeat(stay("b", 3)).unwrap().assignment, Some(all));
}

#[test]
fn leaving_frees_partitions_at_once() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 2);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    bench.heartbeat(join("b", &["orders"])).unwrap();
    let left = bench.heartbeat(stay("a", -1)).unwrap();
    assert_eq!((left.member_epoch, left.heartbeat_interval_ms, left.assignment), (-1, 0, None));
    let got = bench.heartbeat(stay("b", 3)).unwrap();
    assert_eq!((got.member_epoch, got.assignment), (4, Some(partitions(topic, &[0, 1]))));
    assert_eq!(error_of(&mut bench, stay("a", -1)), ErrorCode::UnknownMemberId);
    bench.check_replay();
}

#[test]
fn a_static_member_keeps_its_partitions_while_it_restarts() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 2);
    bench.heartbeat(instance(join("a", &["orders"]), "one")).unwrap();
    let other = instance(join("x", &["orders"]), "one");
    assert_eq!(error_of(&mut bench, other.clone()), ErrorCode::UnreleasedInstanceId);
    bench.heartbeat(join("b", &["orders"])).unwrap();
    let away = bench.heartbeat(instance(stay("a", -2), "one")).unwrap();
    assert_eq!(away.member_epoch, -2);
    // Nobody gets its partitions meanwhile.
    assert_eq!(bench.heartbeat(stay("b", 3)).unwrap().assignment, None);
    let back = bench.heartbeat(other).unwrap();
    assert_eq!((back.member_epoch, back.assignment), (3, Some(partitions(topic, &[0]))));
    assert!(!bench.group().members.contains_key("a"));
    assert_eq!(bench.group().static_members["one"], "x");
    let fenced = instance(stay("a", 3), "one");
    assert_eq!(error_of(&mut bench, fenced), ErrorCode::FencedInstanceId);
    let unknown = instance(stay("a", 3), "two");
    assert_eq!(error_of(&mut bench, unknown), ErrorCode::UnknownMemberId);
    bench.check_replay();
    // One that does not come back is out.
    bench.heartbeat(instance(stay("x", -2), "one")).unwrap();
    bench.advance(45_000);
    assert!(bench.group().static_members.is_empty());
}

#[test]
fn more_partitions_begin_a_new_epoch() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 1);
    bench.heartbeat(join("a", &["orders", "refunds"])).unwrap();
    bench.add_partitions("unrelated", 1);
    assert_eq!(bench.heartbeat(stay("a", 2)).unwrap().member_epoch, 2);
    bench.add_partitions("orders", 1);
    let told = bench.heartbeat(stay("a", 2)).unwrap();
    assert_eq!((told.member_epoch, told.assignment), (3, Some(partitions(topic, &[0, 1]))));
    let refunds = bench.add_partitions("refunds", 1);
    let told = bench.heartbeat(stay("a", 3)).unwrap();
    let all: Assignment = partitions(topic, &[0, 1]).iter().chain([(refunds, 0)]).collect();
    assert_eq!((told.member_epoch, told.assignment), (4, Some(all)));
    bench.remove_topic("orders");
    let told = bench.heartbeat(owning(stay("a", 4), &partitions(refunds, &[0]))).unwrap();
    assert_eq!((told.member_epoch, told.assignment), (5, Some(partitions(refunds, &[0]))));
}

#[test]
fn a_changed_subscription_takes_effect_at_once() {
    let mut bench = Bench::new(ConsumerGroupConfig::default());
    let orders = bench.add_partitions("orders", 1);
    let refunds = bench.add_partitions("refunds", 1);
    bench.heartbeat(join("a", &["orders", "refunds"])).unwrap();
    // The next target has to wait, but what is not subscribed to any more must go now.
    let names = Some(vec!["refunds".to_owned()]);
    let both: Assignment = [(orders, 0), (refunds, 0)].into_iter().collect();
    let change = ConsumerHeartbeat { topic_names: names, ..owning(stay("a", 2), &both) };
    let told = bench.heartbeat(change).unwrap();
    assert_eq!((told.member_epoch, told.assignment), (2, Some(partitions(refunds, &[0]))));
    bench.advance(1_000);
    let told = bench.heartbeat(owning(stay("a", 2), &partitions(refunds, &[0]))).unwrap();
    assert_eq!(told.member_epoch, 3);
}

#[test]
fn the_assignor_is_what_most_members_ask_for() {
    let mut bench = Bench::eager();
    bench.add_partitions("orders", 4);
    let asking = |id: &str, assignor: &str| ConsumerHeartbeat {
        server_assignor: Some(assignor.to_owned()),
        ..join(id, &["orders"])
    };
    let unknown = bench.heartbeat(asking("a", "sticky")).unwrap_err();
    assert_eq!(unknown.error, ErrorCode::UnsupportedAssignor);
    assert!(unknown.message.contains("uniform, range"), "{unknown}");
    bench.heartbeat(asking("a", "range")).unwrap();
    bench.heartbeat(asking("b", "uniform")).unwrap();
    bench.heartbeat(asking("c", "range")).unwrap();
    let Response::DescribeConsumer(Ok(described)) = bench.ask(Request::DescribeConsumer(GROUP.to_owned()))
    else {
        panic!("there is a description")
    };
    assert_eq!(described.assignor, Assignor::Range.name());
    assert_eq!((described.state, described.epoch, described.assignment_epoch), ("Reconciling", 4, 4));
    assert_eq!(described.members.len(), 3);
    assert_eq!(described.members[0].assignment[0].partitions, [0, 1, 2, 3]);
    assert_eq!(described.members[0].target_assignment[0].partitions, [0, 1]);
}

#[test]
fn a_full_group_takes_nobody_but_a_static_member_that_returns() {
    let mut bench = Bench::new(ConsumerGroupConfig { size_max: 1, ..ConsumerGroupConfig::default() });
    bench.add_partitions("orders", 1);
    bench.heartbeat(instance(join("a", &["orders"]), "one")).unwrap();
    let refusal = bench.heartbeat(join("b", &["orders"])).unwrap_err();
    assert_eq!(refusal.error, ErrorCode::GroupMaxSizeReached);
    assert!(refusal.message.contains("maximum capacity of 1"), "{refusal}");
    bench.heartbeat(instance(stay("a", -2), "one")).unwrap();
    assert!(bench.heartbeat(instance(join("c", &["orders"]), "one")).is_ok());
}

#[test]
fn only_join_creates_a_group() {
    let mut bench = Bench::eager();
    for epoch in [-1, 5] {
        assert_eq!(error_of(&mut bench, stay("a", epoch)), ErrorCode::GroupIdNotFound);
    }
    let Response::DescribeConsumer(described) = bench.ask(Request::DescribeConsumer(GROUP.to_owned())) else {
        panic!("there is an answer")
    };
    assert_eq!(described.unwrap_err().error, ErrorCode::GroupIdNotFound);
    assert!(bench.log.is_empty());
}

#[test]
fn an_id_is_given_to_whoever_has_none() {
    let mut bench = Bench::eager();
    bench.add_partitions("orders", 1);
    let request = ConsumerHeartbeat { requires_member_id: false, ..join("", &["orders"]) };
    let told = bench.heartbeat(request).unwrap();
    assert_eq!(told.member_id.len(), 22);
    assert_eq!(bench.heartbeat(stay(&told.member_id, 2)).unwrap().member_id, told.member_id);
}

fn commit(member_id: &str, epoch: i32, partitions: &[i32]) -> Request {
    let offset = |&partition: &i32| OffsetToCommit {
        topic: TopicName::new("orders").unwrap(),
        topic_id: crate::types::Uuid::ZERO,
        partition,
        offset: Offset(5),
        leader_epoch: -1,
        metadata: String::new(),
    };
    Request::CommitOffsets(CommitOffsets {
        group_id: GROUP.to_owned(),
        generation_id: epoch,
        member_id: member_id.to_owned(),
        retention_time_ms: -1,
        knows_group_not_found: true,
        offsets: partitions.iter().map(offset).collect(),
        ..CommitOffsets::default()
    })
}

#[test]
fn offsets_are_committed_by_whoever_has_the_partition() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 2);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    bench.heartbeat(join("b", &["orders"])).unwrap();
    let check = |bench: &mut Bench, request, expected: Result<Vec<ErrorCode>, ErrorCode>| {
        assert_eq!(bench.ask(request), Response::CommitOffsets(expected));
    };
    let fine = || Ok(vec![ErrorCode::None]);
    let stale = || Err(ErrorCode::StaleMemberEpoch);
    check(&mut bench, commit("a", 2, &[1]), fine());
    check(&mut bench, commit("a", 3, &[1]), stale());
    check(&mut bench, commit("", -1, &[1]), Err(ErrorCode::UnknownMemberId));
    check(&mut bench, commit("x", 2, &[1]), Err(ErrorCode::UnknownMemberId));
    // While it is to give up partition 1 it still may; once it has moved on it may with the old epoch,
    // but only for what it kept.
    bench.heartbeat(owning(stay("a", 2), &partitions(topic, &[0, 1]))).unwrap();
    check(&mut bench, commit("a", 2, &[1]), fine());
    bench.heartbeat(owning(stay("a", 2), &partitions(topic, &[0]))).unwrap();
    check(&mut bench, commit("a", 2, &[0]), fine());
    check(&mut bench, commit("a", 2, &[1]), stale());
    check(&mut bench, commit("a", 2, &[0, 1]), stale());
    check(&mut bench, commit("a", 1, &[0]), stale());
    let Request::CommitOffsets(old) = commit("a", 3, &[0]) else { panic!("a commit") };
    let old = Request::CommitOffsets(CommitOffsets { knows_group_not_found: false, ..old });
    check(&mut bench, old, Err(ErrorCode::UnsupportedVersion));

    let fetch = |member_id: Option<&str>, member_epoch| {
        Request::FetchOffsets(FetchOffsets {
            group_id: GROUP.to_owned(),
            member_id: member_id.map(str::to_owned),
            member_epoch,
            ..FetchOffsets::default()
        })
    };
    for (member_id, epoch, error) in
        [(Some("a"), 2, ErrorCode::StaleMemberEpoch), (Some("x"), 3, ErrorCode::UnknownMemberId)]
    {
        assert_eq!(bench.ask(fetch(member_id, epoch)), Response::FetchOffsets(Err(error)));
    }
    for (member_id, epoch) in [(Some("a"), 3), (None, -1)] {
        assert!(matches!(bench.ask(fetch(member_id, epoch)), Response::FetchOffsets(Ok(_))));
    }
}

#[test]
fn groups_are_listed_deleted_and_their_old_offsets_expire() {
    let mut bench = Bench::eager();
    bench.add_partitions("orders", 1);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    let Response::List(listed) = bench.ask(Request::List(ListGroups {
        types: vec!["Consumer".to_owned()],
        states: vec!["stable".to_owned()],
    })) else {
        panic!("there is a list")
    };
    assert_eq!((listed[0].group_id.as_str(), listed[0].group_type), (GROUP, "consumer"));
    assert_eq!(listed[0].protocol_type, "consumer");
    let delete = || Request::Delete(GROUP.to_owned());
    assert_eq!(bench.ask(delete()), Response::Delete(ErrorCode::NonEmptyGroup));
    bench.ask(commit("a", 2, &[0]));
    bench.heartbeat(stay("a", -1)).unwrap();
    assert_eq!(bench.ask(delete()), Response::Delete(ErrorCode::None));
    assert!(bench.coordinator.groups.is_empty() && bench.replayed().groups.is_empty());

    bench.heartbeat(join("a", &["orders"])).unwrap();
    bench.ask(commit("a", 2, &[0]));
    bench.heartbeat(stay("a", -1)).unwrap();
    bench.advance(8 * 24 * 60 * 60 * 1_000);
    assert!(bench.coordinator.groups.is_empty() && bench.replayed().groups.is_empty());
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut bench = Bench::eager();
    let topic = bench.add_partitions("orders", 2);
    bench.heartbeat(join("a", &["orders"])).unwrap();
    bench.heartbeat(join("b", &["orders"])).unwrap();
    let all = partitions(topic, &[0, 1]);
    bench.heartbeat(owning(stay("a", 2), &all)).unwrap();
    bench.advance(20_000);
    bench.restart(bench.log.len());
    // Sessions and the time to give up partitions begin anew.
    bench.advance(29_999);
    assert_eq!(bench.group().members.len(), 2);
    bench.heartbeat(stay("b", 3)).unwrap();
    bench.advance(1);
    assert_eq!(bench.group().members.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(bench.heartbeat(stay("b", 3)).unwrap().assignment, Some(all));
}
