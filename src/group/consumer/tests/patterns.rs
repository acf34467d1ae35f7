//! Subscriptions by pattern.

use super::bench::{Bench, join, stay};
use crate::group::consumer::{Assignment, ConsumerHeartbeat};
use crate::types::ErrorCode;

fn by_pattern(member_id: &str, pattern: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat { topic_names: None, topic_regex: Some(pattern.to_owned()), ..join(member_id, &[]) }
}

#[test]
fn a_pattern_stands_for_the_topics_there_are_and_those_to_come() {
    let mut bench = Bench::eager();
    let orders = bench.add_partitions("orders", 1);
    bench.add_partitions("returns", 1);
    // The target has to wait for the search.
    let joined = bench.heartbeat(by_pattern("a", "or.*")).unwrap();
    assert_eq!((joined.member_epoch, joined.assignment), (1, Some(Assignment::default())));
    bench.heartbeat(stay("a", 1)).unwrap();
    assert_eq!(bench.searches.len(), 1, "one search at a time");
    bench.search();
    let told = bench.heartbeat(stay("a", 1)).unwrap();
    assert_eq!((told.member_epoch, told.assignment), (2, Some([(orders, 0)].into_iter().collect())));

    let organs = bench.add_partitions("organs", 1);
    bench.advance(5_000);
    bench.heartbeat(stay("a", 2)).unwrap();
    assert!(bench.searches.is_empty(), "not so soon after the last one");
    bench.advance(5_001);
    bench.heartbeat(stay("a", 2)).unwrap();
    bench.search();
    let told = bench.heartbeat(stay("a", 2)).unwrap();
    assert_eq!(told.assignment, Some([(orders, 0), (organs, 0)].into_iter().collect()));
    bench.check_replay();

    // The last one who was subscribed to a pattern takes it along.
    bench.heartbeat(stay("a", -1)).unwrap();
    assert!(bench.group().resolved.is_empty());
    assert!(!bench.group().is_subscribed_to("orders"));
    bench.check_replay();
}

#[test]
fn a_pattern_that_is_none_is_refused_before_it_is_kept() {
    let mut bench = Bench::eager();
    let refusal = bench.heartbeat(by_pattern("a", "or(")).unwrap_err();
    assert_eq!(refusal.error, ErrorCode::InvalidRegularExpression);
    assert!(bench.log.is_empty() && bench.coordinator.groups.is_empty());
}

#[test]
fn members_with_one_pattern_share_its_topics_at_once() {
    let mut bench = Bench::eager();
    bench.add_partitions("orders", 2);
    bench.heartbeat(by_pattern("a", "or.*")).unwrap();
    bench.search();
    let told = bench.heartbeat(stay("a", 1)).unwrap();
    assert_eq!(told.assignment.unwrap().partition_count(), 2);
    // The second one changes to names and back.
    bench.heartbeat(by_pattern("b", "or.*")).unwrap();
    assert!(bench.searches.is_empty());
    let epoch = bench.group().epoch;
    let names = Some(vec!["orders".to_owned()]);
    let change = ConsumerHeartbeat {
        topic_names: names,
        topic_regex: Some(String::new()),
        ..stay("b", bench.group().members["b"].epoch)
    };
    bench.heartbeat(change).unwrap();
    assert!(epoch < bench.group().epoch);
    assert_eq!(bench.group().census.regexes.count("or.*"), 1);
    bench.check_replay();
}
