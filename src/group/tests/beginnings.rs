//! How a generation begins: who is in it, and when its assignment counts.

use std::time::{Duration, Instant};

use super::testing::{Fixture, join, protocol};
use crate::group::{GroupConfig, JoinGroup, Request, Token};
use crate::types::{ErrorCode, Offset};

fn fixture_without_delay() -> Fixture {
    Fixture::new(GroupConfig { initial_rebalance_delay: Duration::ZERO, ..GroupConfig::default() }, 1)
}

/// `GroupMetadataManager.prepareRebalance`: a delay of zero is a timer like any other. Who asks before it is
/// served is in the first generation.
#[test]
fn a_delay_of_zero_lets_in_whoever_is_already_there() {
    let mut fixture = fixture_without_delay();
    let tokens = [fixture.join("", Some("first")), fixture.join("", Some("second"))];
    fixture.commit();
    assert!(tokens.iter().all(|token| !fixture.is_answered(*token)));
    fixture.advance_ms(0);
    fixture.commit();
    let [first, second] = tokens.map(|token| fixture.joined(token));
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(first.leader, second.leader);
}

/// A group whose members come one by one, without a delay: the first leads generation 1 alone and has
/// brought its assignment, which is not durable yet. Its id, and the SyncGroup that waits.
fn group_with_uncommitted_assignment() -> (Fixture, String, Token) {
    let mut fixture = fixture_without_delay();
    let token = fixture.join("", Some("first"));
    fixture.advance_ms(0);
    fixture.commit();
    let leader = fixture.joined(token).leader;
    let leading = fixture.sync(&leader, 1, &[(&leader, "all")]);
    assert_eq!(fixture.state(), Some("CompletingRebalance"));
    (fixture, leader, leading)
}

/// `GroupMetadataManager.classicGroupSyncToClassicGroup`: nobody is told an assignment that somebody else's
/// coming has made void before it was durable. A consumer that was told would have to give it up again.
#[test]
fn a_member_that_comes_before_the_assignment_is_durable_has_the_others_join_again() {
    let (mut fixture, first, leading) = group_with_uncommitted_assignment();
    let second_token = fixture.join("", Some("second"));
    assert_eq!(fixture.state(), Some("PreparingRebalance"));
    fixture.commit();
    let refused = fixture.synced(leading);
    assert_eq!((refused.error, refused.assignment.len()), (ErrorCode::RebalanceInProgress, 0));
    let first_token = fixture.join(&first, Some("first"));
    fixture.commit();
    let (to_first, to_second) = (fixture.joined(first_token), fixture.joined(second_token));
    assert_eq!((to_first.generation_id, to_second.generation_id), (2, 2));
    let leading = fixture.sync(&first, 2, &[(&first, "a"), (&to_second.member_id, "b")]);
    fixture.commit();
    assert_eq!(fixture.synced(leading).assignment, "a");
    assert_eq!(fixture.state(), Some("Stable"));
    fixture.check_replay();
}

#[test]
fn an_assignment_that_is_durable_too_late_is_not_that_of_the_next_generation() {
    let (mut fixture, first, leading) = group_with_uncommitted_assignment();
    let end_of_first = Offset(fixture.log.len() as i64);
    let second_token = fixture.join("", Some("second"));
    let first_token = fixture.join(&first, Some("first"));
    let again = fixture.sync(&first, 2, &[(&first, "a")]);
    fixture.commit_up_to(end_of_first);
    assert_eq!(fixture.synced(leading).error, ErrorCode::RebalanceInProgress);
    assert_eq!(fixture.state(), Some("CompletingRebalance"));
    assert_eq!(fixture.answer(again), None);
    fixture.commit();
    assert_eq!(fixture.synced(again).assignment, "a");
    assert_eq!(fixture.joined(first_token).generation_id, 2);
    assert_eq!(fixture.joined(second_token).error, ErrorCode::None);
}

#[test]
fn a_leader_that_assigns_twice_is_held_to_what_the_log_ends_with() {
    let (mut fixture, leader, first) = group_with_uncommitted_assignment();
    let end_of_first = Offset(fixture.log.len() as i64);
    let second = fixture.sync(&leader, 1, &[(&leader, "less")]);
    fixture.commit_up_to(end_of_first);
    assert_eq!(fixture.state(), Some("CompletingRebalance"));
    fixture.commit();
    assert_eq!(fixture.synced(first).error, ErrorCode::RebalanceInProgress);
    assert_eq!(fixture.synced(second).assignment, "less");
    fixture.restart();
    let asked_again = fixture.sync(&leader, 1, &[]);
    fixture.commit();
    assert_eq!(fixture.synced(asked_again).assignment, "less");
}

/// A frame has room for a million names. Compared each with each, they would hold up the shard for minutes.
#[test]
fn members_that_name_many_protocols_are_told_apart_at_once() {
    const PROTOCOLS: usize = 100_000;
    let mut fixture = fixture_without_delay();
    let member = |prefix: &str| {
        let protocols = (0..PROTOCOLS).map(|index| protocol(&format!("{prefix}-{index}"))).collect();
        Request::Join(JoinGroup { protocols, ..join("", Some(prefix)) })
    };
    let first = fixture.send(member("first"));
    fixture.advance_ms(0);
    fixture.commit();
    assert_eq!(fixture.joined(first).error, ErrorCode::None);
    let request = member("second");
    let began = Instant::now();
    let second = fixture.send(request);
    fixture.commit();
    assert_eq!(fixture.joined(second).error, ErrorCode::InconsistentGroupProtocol);
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}
