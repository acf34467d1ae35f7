//! Server-side assignors: who of a group gets which partition (KIP-848). Pure functions.
//!
//! Both work on the members in the order of their ids and on the topics in the order of theirs, so that
//! the same input always gives the same target. Kafka goes through hash maps where it need not sort;
//! apart from that order the results are Kafka's (`org.apache.kafka.coordinator.group.assignor` of 4.3).
//!
//! Racks play no part: since 4.1 (KIP-1101) Kafka's assignors leave them alone, and a change of racks only
//! causes a new target.

mod heterogeneous;
mod homogeneous;
mod levels;
mod owners;
mod range;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::assignment::Assignment;
use crate::types::TopicId;

/// How partitions are spread over the members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Evenly, and as few moves as that allows (`UniformAssignor`).
    Uniform,
    /// Topic by topic in contiguous ranges, so that members who share topics with equally many partitions
    /// have the same indexes of each (`RangeAssignor`).
    Range,
}

impl Assignor {
    const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// The assignor of this name, as in `group.consumer.assignors` and in a member's heartbeat.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// The assignor that `group.consumer.assignors` means: Kafka takes names and classes there.
    pub fn from_config(text: &str) -> Option<Self> {
        match text.strip_prefix("org.apache.kafka.coordinator.group.assignor.") {
            Some("UniformAssignor") => Some(Self::Uniform),
            Some("RangeAssignor") => Some(Self::Range),
            Some(_) => None,
            None => Self::from_name(text),
        }
    }

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The new target of each member, by index.
    pub fn assign(self, spec: &GroupSpec<'_>) -> Vec<Assignment> {
        match self {
            Self::Uniform if spec.members.is_empty() => Vec::new(),
            Self::Uniform if spec.is_homogeneous() => homogeneous::assign(spec),
            Self::Uniform => heterogeneous::assign(spec),
            Self::Range => range::assign(spec),
        }
    }
}

/// What an assignor decides on.
#[derive(Debug, Clone)]
pub struct GroupSpec<'a> {
    /// The members in the order of their ids.
    pub members: Vec<MemberSpec<'a>>,
    /// The number of partitions of each topic that a member is subscribed to.
    pub partition_counts: BTreeMap<TopicId, i32>,
}

/// One member as an assignor sees it.
#[derive(Debug, Clone)]
pub struct MemberSpec<'a> {
    /// `group.instance.id` of a static member.
    pub instance_id: Option<&'a str>,
    /// The topics it is subscribed to that exist; each is in [`GroupSpec::partition_counts`].
    pub topics: &'a BTreeSet<TopicId>,
    /// Its part of the target so far.
    pub assigned: &'a Assignment,
}

impl GroupSpec<'_> {
    /// Whether all members are subscribed to the same topics.
    fn is_homogeneous(&self) -> bool {
        self.members.windows(2).all(|pair| {
            let same_set = std::ptr::eq(pair[0].topics, pair[1].topics);
            same_set || pair[0].topics == pair[1].topics
        })
    }

    /// The number of partitions of a topic that a member is subscribed to.
    fn partition_count(&self, topic: TopicId) -> i32 {
        *self.partition_counts.get(&topic).expect("a member's topics have a partition count")
    }

    /// The members subscribed to each topic, ascending.
    fn subscribers(&self) -> BTreeMap<TopicId, Vec<usize>> {
        let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
        for (index, member) in self.members.iter().enumerate() {
            for &topic in member.topics {
                subscribers.entry(topic).or_default().push(index);
            }
        }
        subscribers
    }
}
