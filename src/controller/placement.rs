//! Where the replicas of new partitions go: which brokers, which of their log directories.
//!
//! Differs from Kafka: the controller names the directory itself. Kafka leaves it to the broker, which
//! reports its choice later (AssignReplicasToDirs). Here a directory is a core's, so that where
//! partitions go is how load is spread over cores.

use std::collections::BTreeMap;

use super::events::ApiError;
use crate::metadata::{BrokerRegistration, MetadataImage, TopicImage};
use crate::types::{DirectoryId, ErrorCode, NodeId, Prng, Uuid};

/// Goes round the brokers, so that the leaders and the replicas of a topic spread evenly. Racks are not
/// looked at.
#[derive(Debug)]
pub(super) struct ReplicaStripe {
    /// Brokers that may lead; the next partition's leader is at `next`.
    unfenced: Vec<NodeId>,
    fenced: Vec<NodeId>,
    next: usize,
}

impl ReplicaStripe {
    /// Over all brokers with a directory for new partitions, from a random one on.
    pub(super) fn new(image: &MetadataImage, prng: &mut Prng) -> Self {
        let usable = image.brokers().filter(|broker| takes_partitions(broker));
        let (unfenced, fenced): (Vec<_>, Vec<_>) = usable.partition(|broker| broker.is_active());
        let ids = |brokers: Vec<&BrokerRegistration>| -> Vec<_> { brokers.iter().map(|b| b.id).collect() };
        let next = prng.below(unfenced.len().max(1) as u64) as usize;
        Self { unfenced: ids(unfenced), fenced: ids(fenced), next }
    }

    /// The replicas of the next partition, the leader first. Fenced brokers only when there are too few
    /// others.
    pub(super) fn place(&mut self, replication_factor: usize) -> Result<Vec<NodeId>, ApiError> {
        let usable = self.unfenced.len() + self.fenced.len();
        let refuse = |why: String| {
            let message = format!("Unable to replicate the partition {replication_factor} time(s): {why}");
            Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message))
        };
        if usable < replication_factor {
            return refuse(format!(
                "The target replication factor of {replication_factor} cannot be reached because only \
                 {usable} broker(s) are registered or some brokers have all their log directories cordoned."
            ));
        }
        if self.unfenced.is_empty() {
            let why = "All brokers are currently fenced, or have all their log directories cordoned.";
            return refuse(why.to_owned());
        }
        let position = self.next % self.unfenced.len();
        self.next += 1;
        let (before, from) = self.unfenced.split_at(position);
        Ok(from.iter().chain(before).chain(&self.fenced).take(replication_factor).copied().collect())
    }
}

/// Whether new replicas can go to a broker. One that never named its directories chooses for itself.
pub(super) fn takes_partitions(broker: &BrokerRegistration) -> bool {
    broker.directories.is_empty() || broker.usable_directories().next().is_some()
}

/// How many replicas each directory holds, counted on from one image.
#[derive(Debug, Default)]
pub(super) struct DirectoryLoads {
    replicas: BTreeMap<DirectoryId, u32>,
    /// Of these, replicas of the topic being placed.
    of_topic: BTreeMap<DirectoryId, u32>,
}

impl DirectoryLoads {
    /// Counts the replicas of all partitions. One pass over the image for each request costs less than
    /// keeping counts in step with it.
    pub(super) fn of(image: &MetadataImage) -> Self {
        let mut loads = Self::default();
        for topic in image.topics() {
            for &directory in topic.partitions().iter().flat_map(|partition| &partition.directories) {
                *loads.replicas.entry(directory).or_default() += 1;
            }
        }
        loads
    }

    /// Begins with another topic.
    pub(super) fn start_topic(&mut self) {
        self.of_topic.clear();
    }

    /// Goes on with a topic that has partitions already.
    pub(super) fn continue_topic(&mut self, topic: &TopicImage) {
        self.of_topic.clear();
        for &directory in topic.partitions().iter().flat_map(|partition| &partition.directories) {
            *self.of_topic.entry(directory).or_default() += 1;
        }
    }

    /// Chooses a directory of `broker` for one more replica of the topic: the one with the fewest replicas of
    /// the topic, since a topic's partitions share its load; then the one with the fewest of all; then the
    /// first.
    pub(super) fn place(&mut self, broker: &BrokerRegistration) -> DirectoryId {
        let count =
            |counts: &BTreeMap<DirectoryId, u32>, id: &DirectoryId| counts.get(id).copied().unwrap_or(0);
        let load = |id: &DirectoryId| (count(&self.of_topic, id), count(&self.replicas, id));
        let Some(directory) = broker.usable_directories().min_by_key(load) else {
            return Uuid::DIRECTORY_UNASSIGNED;
        };
        *self.of_topic.entry(directory).or_default() += 1;
        *self.replicas.entry(directory).or_default() += 1;
        directory
    }
}
