//! Contiguous ranges, topic by topic.

use std::collections::BTreeMap;

use super::{Assignment, GroupSpec};
use crate::types::TopicId;

/// What of a topic is still to be handed out.
struct Remaining {
    next: i32,
    /// What each subscriber gets at least.
    quota: i32,
    /// How many subscribers get one more; they are the first.
    extra: i32,
}

impl Remaining {
    fn take(&mut self) -> std::ops::Range<i32> {
        let one_more = i32::from(0 < self.extra);
        self.extra -= one_more;
        let start = self.next;
        self.next += self.quota + one_more;
        start..self.next
    }
}

/// `RangeAssignor`: static members come first and go by their instance ids, so that a bounce, which changes
/// every member id, moves nothing.
pub(super) fn assign(spec: &GroupSpec<'_>) -> Vec<Assignment> {
    let mut order: Vec<usize> = (0..spec.members.len()).collect();
    order.sort_by_key(|&index| {
        let instance = spec.members[index].instance_id;
        (instance.is_none(), instance, index)
    });
    let remaining = |(topic, subscribers): (TopicId, Vec<usize>)| {
        let (partitions, members) = (spec.partition_count(topic), subscribers.len());
        let members = i32::try_from(members).expect("a group has fewer members than i32::MAX");
        (topic, Remaining { next: 0, quota: partitions / members, extra: partitions % members })
    };
    let mut topics: BTreeMap<TopicId, Remaining> = spec.subscribers().into_iter().map(remaining).collect();

    let mut assignments = vec![Assignment::default(); spec.members.len()];
    for index in order {
        for topic in spec.members[index].topics {
            let range = topics.get_mut(topic).expect("a member's topic has a subscriber").take();
            assignments[index].extend(*topic, range);
        }
    }
    assignments
}
