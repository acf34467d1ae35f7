//! Who leads when a broker, or one of its directories, comes or goes: the first in-sync replica, in the
//! order of the replicas, whose broker is active and whose directory is online
//! (`PartitionChangeBuilder`).

use super::PreviousStop;
use crate::metadata::records::{NO_LEADER, PartitionChangeRecord};
use crate::metadata::{BrokerRegistration, MetadataImage, MetadataRecord, PartitionRegistration, TopicImage};
use crate::types::NodeId;

/// The changes that follow from a new incarnation of `broker`, which has lost what it had not flushed.
///
/// Where another in-sync replica can lead, the broker leaves the ISR until it has caught up. Where it is the
/// only one, it goes on leading: after an unclean stop in a new leader epoch, so that followers and consumers
/// check how much of what they have is still there (KIP-101, KIP-320).
///
/// Differs from Kafka: where the broker is the only one that can lead, Kafka takes leadership away at
/// registration and gives it back at unfencing, which is two records for each partition at every start.
pub(super) fn plan_new_incarnation(
    image: &MetadataImage,
    broker: &BrokerRegistration,
    previous_stop: PreviousStop,
) -> Vec<MetadataRecord> {
    plan_in_sync(image, broker.id, |topic, partition| {
        plan_departure(image, topic, partition, broker.id).or_else(|| {
            let leads = partition.leader == Some(broker.id);
            let leader = match (is_online(partition, broker), leads) {
                (false, true) => NO_LEADER,
                (true, false) if partition.leader.is_none() => broker.id,
                (true, true) if previous_stop == PreviousStop::Unclean => broker.id,
                _ => return None,
            };
            Some(PartitionChangeRecord { leader, ..change_of(topic, partition) })
        })
    })
}

/// The changes that follow from directories of a running broker going offline; `broker` is its registration
/// without them.
pub(super) fn plan_offline_directories(
    image: &MetadataImage,
    broker: &BrokerRegistration,
) -> Vec<MetadataRecord> {
    plan_in_sync(image, broker.id, |topic, partition| {
        if is_online(partition, broker) {
            return None;
        }
        plan_departure(image, topic, partition, broker.id).or_else(|| {
            let leads = partition.leader == Some(broker.id);
            leads.then(|| PartitionChangeRecord { leader: NO_LEADER, ..change_of(topic, partition) })
        })
    })
}

/// Partitions without a leader that `broker`, now active, can lead.
pub(super) fn plan_arrival(image: &MetadataImage, broker: &BrokerRegistration) -> Vec<MetadataRecord> {
    plan_in_sync(image, broker.id, |topic, partition| {
        let can_lead = partition.leader.is_none() && is_online(partition, broker);
        can_lead.then(|| PartitionChangeRecord { leader: broker.id, ..change_of(topic, partition) })
    })
}

/// Asks `plan` for every partition with `broker` in its ISR.
fn plan_in_sync(
    image: &MetadataImage,
    broker: NodeId,
    plan: impl Fn(&TopicImage, &PartitionRegistration) -> Option<PartitionChangeRecord>,
) -> Vec<MetadataRecord> {
    let partitions = image.topics().flat_map(|topic| topic.partitions().iter().map(move |p| (topic, p)));
    let in_sync = partitions.filter(|(_, partition)| partition.isr.contains(&broker));
    in_sync.filter_map(|(topic, partition)| plan(topic, partition).map(MetadataRecord::from)).collect()
}

/// Takes `broker` out of the ISR and of leadership; `None` when nobody else could lead.
fn plan_departure(
    image: &MetadataImage,
    topic: &TopicImage,
    partition: &PartitionRegistration,
    broker: NodeId,
) -> Option<PartitionChangeRecord> {
    let can_lead = |&id: &NodeId| {
        let registration = image.broker(id).filter(|other| other.is_active() && other.id != broker);
        registration.is_some_and(|other| is_online(partition, other)) && partition.isr.contains(&id)
    };
    let other = *partition.replicas.iter().find(|&id| can_lead(id))?;
    let isr = partition.isr.iter().copied().filter(|&id| id != broker).collect();
    let mut change = PartitionChangeRecord { isr: Some(isr), ..change_of(topic, partition) };
    if partition.leader.is_none() || partition.leader == Some(broker) {
        change.leader = other;
    }
    Some(change)
}

fn is_online(partition: &PartitionRegistration, broker: &BrokerRegistration) -> bool {
    partition.directory_of(broker.id).is_some_and(|directory| broker.has_online(directory))
}

fn change_of(topic: &TopicImage, partition: &PartitionRegistration) -> PartitionChangeRecord {
    PartitionChangeRecord {
        partition_id: partition.id,
        topic_id: topic.id(),
        ..PartitionChangeRecord::default()
    }
}
