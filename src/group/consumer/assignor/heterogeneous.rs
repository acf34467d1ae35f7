//! The uniform assignor where members are subscribed to different topics.
//!
//! Members keep what they have, vacant partitions go to the least loaded subscriber, and then partitions move
//! from the most to the least loaded subscriber of each topic until no move helps. Load is the number of
//! partitions over all topics. Balance comes before stickiness.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::levels::Levels;
use super::owners::Owners;
use super::{Assignment, GroupSpec};
use crate::types::TopicId;

/// Rounds over all topics. One round balances topics whose subscribers are all alike; where subscriptions
/// overlap in part, a round about halves what is left, and this many are enough (`MAX_ITERATION_COUNT`).
const ROUNDS_MAX: usize = 16;

/// `UniformHeterogeneousAssignmentBuilder`
pub(super) fn assign(spec: &GroupSpec<'_>) -> Vec<Assignment> {
    let owners = Owners::of_previous_target(spec);
    let mut loads = vec![0; spec.members.len()];
    for owner in owners.iter().filter_map(|(.., owner)| owner) {
        loads[owner] += 1;
    }
    let mut balance = Balance { spec, subscribers: spec.subscribers(), owners, loads };
    balance.fill_vacant();
    balance.even_out();
    balance.owners.into_assignments(spec.members.len())
}

struct Balance<'a> {
    spec: &'a GroupSpec<'a>,
    subscribers: BTreeMap<TopicId, Vec<usize>>,
    owners: Owners,
    /// Partitions of each member, over all topics.
    loads: Vec<usize>,
}

impl Balance<'_> {
    /// First the topics with the most partitions for each subscriber: what is left can then make up for them.
    fn topic_order(&self, left: TopicId, right: TopicId) -> Ordering {
        let facts = |topic| {
            let partitions = i64::from(self.spec.partition_count(topic));
            (partitions, self.subscribers[&topic].len() as i64)
        };
        let ((left_partitions, left_members), (right_partitions, right_members)) =
            (facts(left), facts(right));
        (right_partitions * left_members)
            .cmp(&(left_partitions * right_members))
            .then(left_members.cmp(&right_members))
            .then(left.cmp(&right))
    }

    fn sorted(&self, mut topics: Vec<TopicId>) -> Vec<TopicId> {
        topics.sort_by(|&left, &right| self.topic_order(left, right));
        topics
    }

    fn fill_vacant(&mut self) {
        let mut vacant: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in self.owners.vacant() {
            vacant.entry(topic).or_default().push(partition);
        }
        for topic in self.sorted(vacant.keys().copied().collect()) {
            let mut levels = Levels::new(&self.subscribers[&topic], &self.loads);
            for &partition in &vacant[&topic] {
                let member = levels.next_least_loaded(&self.loads);
                self.owners.put(topic, partition, Some(member));
                self.loads[member] += 1;
            }
        }
    }

    /// Goes over the topics until a whole round moved nothing.
    fn even_out(&mut self) {
        let shared = self.subscribers.iter().filter(|(_, members)| 2 <= members.len());
        let topics = self.sorted(shared.map(|(&topic, _)| topic).collect());
        let mut last_moved = None;
        for _ in 0..ROUNDS_MAX {
            for &topic in &topics {
                if last_moved == Some(topic) {
                    return;
                }
                if self.even_out_topic(topic) || last_moved.is_none() {
                    last_moved = Some(topic);
                }
            }
        }
    }

    /// Moves partitions of one topic between its subscribers; whether any did.
    fn even_out_topic(&mut self, topic: TopicId) -> bool {
        let mut levels = Levels::new(&self.subscribers[&topic], &self.loads);
        if levels.spread() <= 1 {
            return false;
        }
        let mut held = self.held_by_owner(topic);
        let mut moved = false;
        while let Some(giver) = levels.next_most_loaded(&self.loads) {
            let Some(partition) = held.get_mut(&giver).and_then(Vec::pop) else {
                levels.exclude_most_loaded();
                continue;
            };
            let taker = levels.next_least_loaded(&self.loads);
            if levels.is_even() {
                break;
            }
            self.owners.put(topic, partition, Some(taker));
            self.loads[giver] -= 1;
            self.loads[taker] += 1;
            moved = true;
        }
        moved
    }

    /// What each member owns of a topic, ascending.
    fn held_by_owner(&self, topic: TopicId) -> BTreeMap<usize, Vec<i32>> {
        let mut held: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
        for (partition, owner) in (0..).zip(self.owners.of_topic(topic)) {
            let owner = owner.expect("every partition has an owner once the vacant ones are handed out");
            held.entry(owner).or_default().push(partition);
        }
        held
    }
}
