//! The stories of groups, each as a sequence of requests and what comes of them.

mod beginnings;
mod simulation;
mod testing;

use std::time::Duration;

use self::testing::{Fixture, GROUP, REBALANCE_MS, SESSION_MS, durable, join, offset_commit, protocol};
use crate::group::consumer::Refusal;
use crate::group::{
    CommitOffsets, DeleteOffsets, FetchOffsets, GroupConfig, JoinGroup, Lag, ListGroups, MeasuredLag,
    Request, Response, partition_of,
};
use crate::types::{ErrorCode, Offset, Timestamp, TopicName, Uuid};

fn fixture() -> Fixture {
    Fixture::new(GroupConfig::default(), 1)
}

/// Computed with Java: `Math.abs("…".hashCode()) % 50`, and the one hash that has no positive counterpart.
#[test]
fn a_group_has_the_partition_that_java_gives_it() {
    for (group_id, expected) in [
        ("", 0),
        ("g", 3),
        ("test", 48),
        ("my-group", 12),
        ("consumer-group-1", 20),
        ("grüße", 23),
        ("polygenelubricants", 0),
    ] {
        assert_eq!(partition_of(group_id, 50), expected, "{group_id}");
    }
}

#[test]
fn a_new_group_waits_for_more_members_and_then_begins() {
    let mut fixture = fixture();
    let (first, first_token) = fixture.join_new();
    fixture.advance_ms(2_000);
    let (second, second_token) = fixture.join_new();
    fixture.advance_ms(1_000);
    fixture.commit();
    assert_eq!(fixture.answer(first_token), None, "a second member came: another delay");
    fixture.advance_ms(3_000);
    fixture.commit();
    let (to_first, to_second) = (fixture.joined(first_token), fixture.joined(second_token));
    assert_eq!((to_first.error, to_first.generation_id), (ErrorCode::None, 1));
    assert_eq!((to_second.error, to_second.generation_id), (ErrorCode::None, 1));
    assert_eq!(to_first.leader, first);
    assert_eq!(to_first.protocol_name.as_deref(), Some("range"));
    assert_eq!(
        (to_first.members.len(), to_second.members.len()),
        (2, 0),
        "the leader alone sees the members"
    );
    assert_eq!(fixture.state(), Some("CompletingRebalance"));

    let waiting = fixture.sync(&second, 1, &[]);
    fixture.commit();
    assert_eq!(fixture.answer(waiting), None, "the leader has not assigned yet");
    let leading = fixture.sync(&first, 1, &[(&first, "a"), (&second, "b")]);
    assert_eq!(fixture.answer(waiting), None, "the assignment is not durable yet");
    fixture.commit();
    assert_eq!(fixture.synced(waiting).assignment, "b");
    assert_eq!(fixture.synced(leading).assignment, "a");
    assert_eq!(fixture.state(), Some("Stable"));
    assert_eq!(fixture.heartbeat(&first, 1), ErrorCode::None);
    fixture.check_replay();
}

#[test]
fn a_lonely_member_does_not_wait_without_a_delay() {
    let config = GroupConfig { initial_rebalance_delay: Duration::ZERO, ..GroupConfig::default() };
    let mut fixture = Fixture::new(config, 1);
    let (member, token) = fixture.join_new();
    fixture.advance_ms(0);
    fixture.commit();
    assert_eq!(fixture.joined(token).leader, member);
}

#[test]
fn a_member_that_comes_or_goes_has_the_others_join_again() {
    let mut fixture = fixture();
    let (members, generation) = fixture.stable_group(2);
    let (third, third_token) = fixture.join_new();
    assert_eq!(fixture.state(), Some("PreparingRebalance"));
    assert_eq!(fixture.heartbeat(&members[0], generation), ErrorCode::RebalanceInProgress);
    let tokens: Vec<_> = members.iter().map(|id| fixture.join(id, None)).collect();
    fixture.commit();
    assert_eq!(fixture.joined(tokens[0]).generation_id, generation + 1, "all have joined: no wait");
    assert_eq!(fixture.joined(third_token).error, ErrorCode::None);
    assert_eq!(fixture.leave(&third, None), ErrorCode::None);
    assert_eq!(fixture.heartbeat(&members[1], generation + 1), ErrorCode::RebalanceInProgress);
    assert_eq!(fixture.leave(&third, None), ErrorCode::UnknownMemberId);
}

#[test]
fn a_silent_member_is_removed_and_its_late_requests_are_refused() {
    let mut fixture = fixture();
    let (members, generation) = fixture.stable_group(2);
    let (alive, silent) = (&members[0], &members[1]);
    fixture.advance_ms(SESSION_MS - 1_000);
    assert_eq!(fixture.heartbeat(alive, generation), ErrorCode::None);
    fixture.advance_ms(2_000);
    assert_eq!(fixture.state(), Some("PreparingRebalance"));
    assert_eq!(fixture.heartbeat(silent, generation), ErrorCode::UnknownMemberId);
    assert_eq!(fixture.commit_offset(silent, generation, 5), ErrorCode::UnknownMemberId);
    assert_eq!(fixture.commit_offset(alive, generation, 6), ErrorCode::None, "until it joins again");
    let token = fixture.join(alive, None);
    fixture.commit();
    assert_eq!(fixture.joined(token).generation_id, generation + 1);
    assert_eq!(fixture.commit_offset(alive, generation, 7), ErrorCode::IllegalGeneration);
    assert_eq!(fixture.commit_offset(alive, generation + 1, 7), ErrorCode::RebalanceInProgress);
    assert_eq!(fixture.fetch_offset(), 6);
}

#[test]
fn members_that_do_not_join_or_sync_in_time_are_out() {
    let mut fixture = fixture();
    let (members, generation) = fixture.stable_group(3);
    let token = fixture.join(&members[0], None);
    // The others go on with their heartbeats and never join.
    for _ in 0..REBALANCE_MS / 5_000 {
        fixture.advance_ms(5_000);
        for member in &members[1..] {
            fixture.heartbeat(member, generation);
        }
    }
    fixture.commit();
    assert_eq!(fixture.joined(token).members.len(), 1, "only who has joined is in");
    assert_eq!(fixture.heartbeat(&members[1], generation), ErrorCode::UnknownMemberId);
    for _ in 0..REBALANCE_MS / 5_000 {
        fixture.heartbeat(&members[0], generation + 1);
        fixture.advance_ms(5_000);
    }
    assert_eq!(fixture.state(), Some("Empty"), "the last member never asked for its assignment");
    fixture.check_replay();
}

#[test]
fn an_id_that_is_not_used_is_forgotten() {
    let mut fixture = fixture();
    let (members, generation) = fixture.stable_group(1);
    let token = fixture.join("", None);
    fixture.commit();
    let given = fixture.joined(token).member_id;
    assert_eq!(fixture.state(), Some("Stable"), "an id alone moves nobody");
    for _ in 0..4 {
        fixture.advance_ms(SESSION_MS / 3);
        assert_eq!(fixture.heartbeat(&members[0], generation), ErrorCode::None);
    }
    let token = fixture.join(&given, None);
    fixture.commit();
    assert_eq!(fixture.joined(token).error, ErrorCode::UnknownMemberId);
}

#[test]
fn a_static_member_restarts_without_a_rebalance_and_fences_its_earlier_self() {
    let mut fixture = fixture();
    let token = fixture.join("", Some("instance"));
    fixture.advance_ms(3_000);
    fixture.commit();
    let first = fixture.joined(token);
    assert!(first.member_id.starts_with("instance-"), "{}", first.member_id);
    let token = fixture.sync(&first.member_id, 1, &[(&first.member_id, "all")]);
    fixture.commit();
    assert_eq!(fixture.synced(token).assignment, "all");

    let token = fixture.join("", Some("instance"));
    assert_eq!(fixture.answer(token), None, "the new id is not durable yet");
    fixture.commit();
    let second = fixture.joined(token);
    assert_eq!((second.error, second.generation_id), (ErrorCode::None, 1), "nobody rebalances");
    assert!(second.skip_assignment, "the leader keeps the assignment");
    assert_eq!(second.members.len(), 1);
    assert_eq!(fixture.state(), Some("Stable"));
    let token = fixture.sync(&second.member_id, 1, &[]);
    fixture.commit();
    assert_eq!(fixture.synced(token).assignment, "all");

    let mut stale = offset_commit(&first.member_id, 1, 3);
    stale.group_instance_id = Some("instance".to_owned());
    let fenced = fixture.ask(Request::CommitOffsets(stale));
    assert_eq!(fenced, Response::CommitOffsets(Err(ErrorCode::FencedInstanceId)));
    let token = fixture.join(&first.member_id, Some("instance"));
    fixture.commit();
    assert_eq!(fixture.joined(token).error, ErrorCode::FencedInstanceId);
    assert_eq!(
        fixture.leave("", Some("instance")),
        ErrorCode::None,
        "an administrator removes it by instance"
    );
    assert_eq!(fixture.state(), Some("Empty"));
    fixture.check_replay();
}

#[test]
fn a_static_member_that_waits_is_fenced_by_its_later_self() {
    let mut fixture = fixture();
    let earlier = fixture.join("", Some("instance"));
    let later = fixture.join("", Some("instance"));
    fixture.commit();
    assert_eq!(fixture.joined(earlier).error, ErrorCode::FencedInstanceId);
    fixture.advance_ms(3_000);
    fixture.commit();
    assert_eq!(fixture.joined(later).error, ErrorCode::None);
}

#[test]
fn a_request_that_is_repeated_answers_its_earlier_copy() {
    let mut fixture = fixture();
    let (member, first) = fixture.join_new();
    let second = fixture.join(&member, None);
    fixture.commit();
    assert_eq!(fixture.joined(first).error, ErrorCode::RebalanceInProgress);
    fixture.advance_ms(3_000);
    fixture.commit();
    assert_eq!(fixture.joined(second).error, ErrorCode::None);
    let (follower, token) = fixture.join_new();
    let leader = fixture.join(&member, None);
    fixture.commit();
    assert_eq!((fixture.joined(token).error, fixture.joined(leader).generation_id), (ErrorCode::None, 2));
    let (first, second) = (fixture.sync(&follower, 2, &[]), fixture.sync(&follower, 2, &[]));
    fixture.commit();
    assert_eq!(fixture.synced(first).error, ErrorCode::RebalanceInProgress);
    assert_eq!(fixture.answer(second), None);
    // The answer to a join was lost: the member asks again and gets the same one.
    let again = fixture.join(&follower, None);
    fixture.commit();
    assert_eq!(fixture.joined(again).generation_id, 2);
}

#[test]
fn joins_that_cannot_be_are_refused() {
    let config = GroupConfig { size_max: 1, ..GroupConfig::default() };
    let mut fixture = Fixture::new(config, 1);
    let _ = fixture.stable_group(1);
    let refused = |fixture: &mut Fixture, request: JoinGroup| match fixture.ask(Request::Join(request)) {
        Response::Join(joined) => joined.error,
        other => panic!("{other:?}"),
    };
    let base = || join("", None);
    for (expected, request) in [
        (ErrorCode::GroupMaxSizeReached, base()),
        (ErrorCode::UnknownMemberId, JoinGroup { group_id: "other".to_owned(), ..join("someone", None) }),
        (ErrorCode::InvalidGroupId, JoinGroup { group_id: String::new(), ..base() }),
        (ErrorCode::InvalidGroupId, JoinGroup { group_id: "x".repeat(40_000), ..base() }),
        (ErrorCode::InvalidSessionTimeout, JoinGroup { session_timeout_ms: 5_999, ..base() }),
        (ErrorCode::InvalidSessionTimeout, JoinGroup { session_timeout_ms: 1_800_001, ..base() }),
        (ErrorCode::InvalidRequest, JoinGroup { group_instance_id: Some("x".repeat(40_000)), ..base() }),
        (
            ErrorCode::InconsistentGroupProtocol,
            JoinGroup { group_id: "other".to_owned(), protocol_type: String::new(), ..base() },
        ),
        (
            ErrorCode::InconsistentGroupProtocol,
            JoinGroup { group_id: "other".to_owned(), protocols: Vec::new(), ..base() },
        ),
    ] {
        assert_eq!(refused(&mut fixture, request.clone()), expected, "{request:?}");
    }
    assert_eq!(fixture.coordinator.groups.len(), 1, "what was refused left nothing behind");
    let mut roomy = Fixture::new(GroupConfig::default(), 1);
    let _ = roomy.stable_group(1);
    for request in [
        JoinGroup { protocol_type: "connect".to_owned(), ..base() },
        JoinGroup { protocols: vec![protocol("other")], ..base() },
    ] {
        assert_eq!(refused(&mut roomy, request), ErrorCode::InconsistentGroupProtocol);
    }
}

#[test]
fn the_protocol_that_most_members_prefer_wins() {
    for (preferences, expected) in [
        ([["a", "b", "c"], ["b", "c", "a"], ["b", "a", "x"]], "b"),
        // Named twice by one member is not known to two.
        ([["x", "x", "a"], ["a", "b", "c"], ["x", "a", "b"]], "a"),
    ] {
        let mut fixture = fixture();
        let mut tokens = Vec::new();
        for names in preferences {
            let protocols = names.iter().map(|name| protocol(name)).collect();
            let request = JoinGroup { protocols, requires_known_member_id: false, ..join("", None) };
            tokens.push(fixture.send(Request::Join(request)));
        }
        fixture.advance_ms(REBALANCE_MS);
        fixture.commit();
        assert_eq!(fixture.joined(tokens[0]).protocol_name.as_deref(), Some(expected), "{preferences:?}");
    }
}

#[test]
fn a_group_goes_on_after_the_coordinator_has_restarted() {
    let mut fixture = fixture();
    let (members, generation) = fixture.stable_group(2);
    assert_eq!(fixture.commit_offset(&members[0], generation, 41), ErrorCode::None);
    fixture.restart();
    assert_eq!(fixture.state(), Some("Stable"));
    assert_eq!(fixture.heartbeat(&members[0], generation), ErrorCode::None);
    assert_eq!(fixture.commit_offset(&members[0], generation, 42), ErrorCode::None);
    assert_eq!(fixture.fetch_offset(), 42);
    fixture.advance_ms(SESSION_MS + 1);
    assert_eq!(fixture.state(), Some("Empty"), "sessions run after a restart, too");
    fixture.commit();
    fixture.restart();
    assert_eq!((fixture.state(), fixture.fetch_offset()), (Some("Empty"), 42));
    fixture.check_replay();
}

#[test]
fn what_was_not_durable_is_forgotten_with_the_restart() {
    let mut fixture = fixture();
    let (members, generation) = fixture.stable_group(1);
    assert_eq!(fixture.commit_offset(&members[0], generation, 1), ErrorCode::None);
    let token = fixture.send(Request::CommitOffsets(offset_commit(&members[0], generation, 2)));
    assert_eq!(fixture.answer(token), None);
    fixture.restart();
    assert_eq!(fixture.answer(token), None, "nobody was promised anything");
    assert_eq!(fixture.fetch_offset(), 1);
}

#[test]
fn commits_from_outside_of_a_group_need_it_empty() {
    let mut fixture = fixture();
    assert_eq!(fixture.commit_offset("", -1, 5), ErrorCode::None, "a simple consumer");
    assert_eq!((fixture.state(), fixture.fetch_offset()), (Some("Empty"), 5));
    assert_eq!(fixture.commit_offset("someone", 3, 6), ErrorCode::UnknownMemberId);
    let _ = fixture.stable_group(1);
    assert_eq!(fixture.commit_offset("", -1, 7), ErrorCode::UnknownMemberId);
    assert_eq!(fixture.fetch_offset(), 5);
    let mut unknown = offset_commit("m", 1, 1);
    unknown.group_id = "nowhere".to_owned();
    for (knows, expected) in [(true, ErrorCode::GroupIdNotFound), (false, ErrorCode::IllegalGeneration)] {
        let request = CommitOffsets { knows_group_not_found: knows, ..unknown.clone() };
        assert_eq!(fixture.ask(Request::CommitOffsets(request)), Response::CommitOffsets(Err(expected)));
    }
    let mut long_note = offset_commit("", -1, 9);
    long_note.group_id = "other".to_owned();
    long_note.offsets[0].metadata = "x".repeat(4_097);
    let refused = Response::CommitOffsets(Ok(vec![ErrorCode::OffsetMetadataTooLarge]));
    assert_eq!(fixture.ask(Request::CommitOffsets(long_note)), refused);
    fixture.check_replay();
}

#[test]
fn a_commit_that_no_batch_holds_is_refused_whole() {
    let config = GroupConfig { batch_bytes_max: 1_000, ..GroupConfig::default() };
    let mut fixture = Fixture::new(config, 1);
    let mut commit = offset_commit("", -1, 1);
    commit.offsets = (0..100)
        .map(|partition| {
            let mut offset = commit.offsets[0].clone();
            offset.partition = partition;
            offset
        })
        .collect();
    let refused = Response::CommitOffsets(Err(ErrorCode::InvalidCommitOffsetSize));
    assert_eq!(fixture.ask(Request::CommitOffsets(commit)), refused);
    assert!(fixture.log.is_empty());
}

#[test]
fn an_assignment_that_no_batch_holds_has_the_group_rebalance() {
    let config = GroupConfig { batch_bytes_max: 2_000, ..GroupConfig::default() };
    let mut fixture = Fixture::new(config, 1);
    let (member, token) = fixture.join_new();
    fixture.advance_ms(3_000);
    fixture.commit();
    assert_eq!(fixture.joined(token).error, ErrorCode::None);
    let token = fixture.sync(&member, 1, &[(&member, &"x".repeat(3_000))]);
    fixture.commit();
    assert_eq!(fixture.synced(token).error, ErrorCode::UnknownServerError);
    assert_eq!(fixture.state(), Some("PreparingRebalance"));
}

#[test]
fn offsets_are_deleted_where_nobody_reads_and_groups_where_nobody_is() {
    let mut fixture = fixture();
    let (members, generation) = fixture.stable_group(1);
    assert_eq!(fixture.commit_offset(&members[0], generation, 5), ErrorCode::None);
    let delete = |partition| DeleteOffsets {
        group_id: GROUP.to_owned(),
        partitions: vec![("orders".to_owned(), partition)],
    };
    let subscribed = Response::DeleteOffsets(Ok(vec![ErrorCode::GroupSubscribedToTopic]));
    assert_eq!(fixture.ask(Request::DeleteOffsets(delete(0))), subscribed);
    assert_eq!(fixture.ask(Request::Delete(GROUP.to_owned())), Response::Delete(ErrorCode::NonEmptyGroup));
    assert_eq!(fixture.leave(&members[0], None), ErrorCode::None);
    let deleted = Response::DeleteOffsets(Ok(vec![ErrorCode::None]));
    assert_eq!(fixture.ask(Request::DeleteOffsets(delete(0))), deleted);
    assert_eq!(fixture.fetch_offset(), -1);
    assert_eq!(fixture.ask(Request::DeleteOffsets(delete(9))), deleted, "none there is none deleted");
    assert_eq!(fixture.ask(Request::Delete(GROUP.to_owned())), Response::Delete(ErrorCode::None));
    assert_eq!(fixture.ask(Request::Delete(GROUP.to_owned())), Response::Delete(ErrorCode::GroupIdNotFound));
    fixture.check_replay();
    fixture.restart();
    assert_eq!(fixture.state(), None);
}

#[test]
fn offsets_of_a_deleted_topic_are_forgotten() {
    let mut fixture = fixture();
    assert_eq!(fixture.commit_offset("", -1, 5), ErrorCode::None);
    let now = fixture.now();
    let of = |id: u128| move |name: &TopicName, found: Uuid| name.as_str() == "orders" && found == Uuid(id);
    fixture.coordinator.handle_topics_changed(now, of(7));
    assert_eq!(fixture.fetch_offset(), 5, "the topic is there");
    fixture.coordinator.handle_topics_changed(now, of(8));
    assert_eq!(fixture.fetch_offset(), -1, "another topic of the same name");
    fixture.check_replay();
}

#[test]
fn old_offsets_of_an_empty_group_go_and_the_group_with_them() {
    let config = GroupConfig { offsets_retention_ms: 3_600_000, ..GroupConfig::default() };
    let mut fixture = Fixture::new(config, 1);
    let (members, generation) = fixture.stable_group(1);
    assert_eq!(fixture.commit_offset(&members[0], generation, 5), ErrorCode::None);
    for _ in 0..2 * 3_600_000 / SESSION_MS * 2 {
        fixture.advance_ms(SESSION_MS / 2);
        assert_eq!(fixture.heartbeat(&members[0], generation), ErrorCode::None);
    }
    assert_eq!(fixture.fetch_offset(), 5, "in use");
    assert_eq!(fixture.leave(&members[0], None), ErrorCode::None);
    fixture.advance(Duration::from_secs(3_000));
    assert_eq!(fixture.fetch_offset(), 5, "the retention begins when the group is empty");
    fixture.advance(Duration::from_secs(1_300));
    assert_eq!((fixture.state(), fixture.fetch_offset()), (None, -1));
    fixture.check_replay();
    assert_eq!(fixture.coordinator.timer_count(), 1, "only the next check is left");
}

#[test]
fn an_expiry_that_the_client_chose_counts() {
    let mut fixture = fixture();
    let commit = CommitOffsets { retention_time_ms: 60_000, ..offset_commit("", -1, 5) };
    let _ = fixture.ask(Request::CommitOffsets(commit));
    fixture.restart();
    assert_eq!(fixture.fetch_offset(), 5);
    fixture.advance(Duration::from_secs(601));
    assert_eq!(fixture.fetch_offset(), -1);
}

#[test]
fn groups_are_listed_and_described() {
    let mut fixture = fixture();
    let (members, _) = fixture.stable_group(2);
    let mut simple = offset_commit("", -1, 1);
    simple.group_id = "simple".to_owned();
    let _ = fixture.ask(Request::CommitOffsets(simple));
    let mut list = |states: &[&str], types: &[&str]| {
        let texts = |filter: &[&str]| filter.iter().map(|&text| text.to_owned()).collect();
        let filters = ListGroups { states: texts(states), types: texts(types) };
        match fixture.ask(Request::List(filters)) {
            Response::List(groups) => groups.into_iter().map(|group| group.group_id).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list(&[], &[]), ["billing", "simple"]);
    assert_eq!(list(&["stable"], &[]), ["billing"]);
    assert_eq!(list(&["Empty", "Dead"], &["Classic"]), ["simple"]);
    assert!(list(&[], &["consumer"]).is_empty());
    let Response::Describe(Ok(described)) = fixture.ask(Request::Describe(GROUP.to_owned())) else {
        panic!("the group is there");
    };
    assert_eq!((described.state, described.protocol_name.as_str()), ("Stable", "range"));
    let ids: Vec<_> = described.members.iter().map(|member| &member.member_id).collect();
    assert!(members.iter().all(|member| ids.contains(&member)), "{ids:?}");
    assert!(described.members.iter().all(|member| !member.metadata.is_empty()));
    let unknown = fixture.ask(Request::Describe("nowhere".to_owned()));
    let refusal = Refusal::new(ErrorCode::GroupIdNotFound, "Group nowhere not found.");
    assert_eq!(unknown, Response::Describe(Err(refusal)));
}

#[test]
fn a_running_coordinator_takes_up_another_configuration() {
    let mut fixture = fixture();
    let _ = fixture.stable_group(1);
    let refused = |fixture: &mut Fixture, timeout_ms| {
        let request = JoinGroup { session_timeout_ms: timeout_ms, ..join("", None) };
        match fixture.ask(Request::Join(request)) {
            Response::Join(joined) => joined.error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&mut fixture, 5_000), ErrorCode::InvalidSessionTimeout);
    let config = GroupConfig { session_timeout_min_ms: 1_000, ..GroupConfig::default() };
    fixture.coordinator.handle_config_changed(config);
    assert_eq!(refused(&mut fixture, 5_000), ErrorCode::MemberIdRequired);
}

#[test]
fn lag_is_what_was_measured_for_the_offset_that_is_committed() {
    let mut fixture = fixture();
    let orders = TopicName::new("orders").unwrap();
    let lag = |fixture: &mut Fixture, wants_lag| {
        let fetch = FetchOffsets { group_id: GROUP.to_owned(), wants_lag, ..FetchOffsets::default() };
        match fixture.ask(Request::FetchOffsets(fetch)) {
            Response::FetchOffsets(Ok(topics)) => topics[0].partitions[0].lag,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fixture.commit_offset("", -1, 4), ErrorCode::None);
    assert_eq!(fixture.coordinator.groups_to_measure(), [GROUP]);
    let wanted = fixture.coordinator.offsets_to_measure(GROUP);
    assert_eq!((wanted.len(), wanted[0].offset, wanted[0].oldest_unread), (1, Offset(4), Timestamp::NONE));
    assert_eq!(lag(&mut fixture, true), None, "nobody has looked yet");

    let oldest_unread = Timestamp(fixture.now().wall.0 - 500);
    let measured = MeasuredLag { offset: Offset(4), end: Offset(10), oldest_unread };
    fixture.coordinator.handle_lag_measured(GROUP.to_owned(), [(orders.clone(), 0, measured)]);
    assert_eq!(lag(&mut fixture, false), None, "nobody has asked");
    assert_eq!(lag(&mut fixture, true), Some(Lag { offsets: 6, oldest_unread_ms: Some(500) }));
    assert_eq!(fixture.coordinator.offsets_to_measure(GROUP)[0].oldest_unread, oldest_unread);
    fixture.advance_ms(1_000);
    assert_eq!(lag(&mut fixture, true), Some(Lag { offsets: 6, oldest_unread_ms: Some(1_500) }));

    // A later commit has another oldest record, and none when everything was read.
    assert_eq!(fixture.commit_offset("", -1, 7), ErrorCode::None);
    assert_eq!(lag(&mut fixture, true), Some(Lag { offsets: 3, oldest_unread_ms: None }));
    assert_eq!(fixture.coordinator.offsets_to_measure(GROUP)[0].oldest_unread, Timestamp::NONE);
    assert_eq!(fixture.commit_offset("", -1, 12), ErrorCode::None);
    assert_eq!(lag(&mut fixture, true), Some(Lag { offsets: 0, oldest_unread_ms: Some(0) }));

    // What is deleted is not measured any more, and a late measurement does not bring it back.
    assert_eq!(fixture.ask(Request::Delete(GROUP.to_owned())), Response::Delete(ErrorCode::None));
    assert!(fixture.coordinator.groups_to_measure().is_empty());
    fixture.coordinator.handle_lag_measured(GROUP.to_owned(), [(orders, 0, measured)]);
    assert_eq!(fixture.commit_offset("", -1, 4), ErrorCode::None);
    assert_eq!(lag(&mut fixture, true), None);
}

#[test]
fn a_group_that_waits_is_not_in_the_way_of_a_restart() {
    let mut fixture = fixture();
    let (_, token) = fixture.join_new();
    fixture.restart();
    fixture.advance_ms(REBALANCE_MS);
    fixture.commit();
    assert_eq!(fixture.answer(token), None);
    assert_eq!(fixture.state(), Some("Empty"));
    assert_eq!(durable(&fixture.coordinator).groups.len(), 1);
}
