//! A topic and its partitions as the cluster knows them.

use super::ImageError;
use crate::metadata::records::{
    LEADER_UNCHANGED, MetadataRecord, NO_LEADER, PartitionChangeRecord, PartitionRecord, TopicRecord,
};
use crate::types::{DirectoryId, LeaderEpoch, NodeId, TopicId, TopicName, Uuid};

/// One topic.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicImage {
    id: TopicId,
    name: TopicName,
    /// Ascending by id. Ids are dense in any log that Kafka or Corelog wrote, but nothing here relies on it.
    partitions: Vec<PartitionRegistration>,
}

impl TopicImage {
    pub(super) fn new(id: TopicId, name: TopicName) -> Self {
        Self { id, name, partitions: Vec::new() }
    }

    /// The topic's id, unlike that of any topic before it.
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// The topic's name.
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// The partitions in the order of their ids.
    pub fn partitions(&self) -> &[PartitionRegistration] {
        &self.partitions
    }

    /// One partition.
    pub fn partition(&self, id: i32) -> Option<&PartitionRegistration> {
        self.position(id).ok().map(|position| &self.partitions[position])
    }

    /// Where a partition is, or where it belongs.
    fn position(&self, id: i32) -> Result<usize, usize> {
        match usize::try_from(id) {
            Ok(position) if self.partitions.get(position).is_some_and(|found| found.id == id) => Ok(position),
            _ => self.partitions.binary_search_by_key(&id, |partition| partition.id),
        }
    }

    pub(super) fn put(&mut self, record: &PartitionRecord) -> Result<(), ImageError> {
        let partition = PartitionRegistration::from_record(record)?;
        match self.position(partition.id) {
            Ok(position) => self.partitions[position] = partition,
            Err(position) => self.partitions.insert(position, partition),
        }
        Ok(())
    }

    pub(super) fn change(&mut self, record: &PartitionChangeRecord) -> Result<(), ImageError> {
        let position = self.position(record.partition_id).map_err(|_| ImageError::UnknownPartition {
            topic: record.topic_id,
            partition: record.partition_id,
        })?;
        self.partitions[position].merge(record)
    }

    /// Forgets the eligible leader replicas of every partition that has some; returns which those were.
    pub(super) fn clear_elr(&mut self) -> Vec<i32> {
        let mut cleared = Vec::new();
        for partition in &mut self.partitions {
            if !partition.elr.is_empty() || !partition.last_known_elr.is_empty() {
                partition.elr = Box::default();
                partition.last_known_elr = Box::default();
                partition.partition_epoch += 1;
                cleared.push(partition.id);
            }
        }
        cleared
    }

    pub(super) fn to_records(&self) -> impl Iterator<Item = MetadataRecord> {
        let topic = TopicRecord { name: self.name.to_string(), topic_id: self.id };
        let partitions = self.partitions.iter().map(|partition| partition.to_record(self.id).into());
        std::iter::once(topic.into()).chain(partitions)
    }
}

/// One partition: who holds it, who leads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// The partition's index within the topic.
    pub id: i32,
    /// The replicas, the preferred leader first.
    pub replicas: Box<[NodeId]>,
    /// The log directory of each replica, in the order of `replicas`.
    pub directories: Box<[DirectoryId]>,
    /// The in-sync replicas.
    pub isr: Box<[NodeId]>,
    /// Replicas on their way out.
    pub removing_replicas: Box<[NodeId]>,
    /// Replicas on their way in.
    pub adding_replicas: Box<[NodeId]>,
    /// Eligible leader replicas (KIP-966).
    pub elr: Box<[NodeId]>,
    /// The last known members of the above.
    pub last_known_elr: Box<[NodeId]>,
    /// The leader; `None` while there is none.
    pub leader: Option<NodeId>,
    /// Whether the leader was elected uncleanly and has yet to recover.
    pub recovering: bool,
    /// The reign of the leader (KIP-101).
    pub leader_epoch: LeaderEpoch,
    /// Grows with every change of this partition.
    pub partition_epoch: i32,
}

impl PartitionRegistration {
    /// The log directory of `broker`'s replica; `None` when it has none.
    pub fn directory_of(&self, broker: NodeId) -> Option<DirectoryId> {
        let position = self.replicas.iter().position(|&replica| replica == broker)?;
        self.directories.get(position).copied()
    }

    fn from_record(record: &PartitionRecord) -> Result<Self, ImageError> {
        let partition = Self {
            id: record.partition_id,
            replicas: record.replicas.as_slice().into(),
            directories: known_directories(&record.directories, record.replicas.len()),
            isr: record.isr.as_slice().into(),
            removing_replicas: record.removing_replicas.as_slice().into(),
            adding_replicas: record.adding_replicas.as_slice().into(),
            elr: record.eligible_leader_replicas.as_deref().unwrap_or_default().into(),
            last_known_elr: record.last_known_elr.as_deref().unwrap_or_default().into(),
            leader: leader_from(record.leader),
            recovering: recovering_from("PartitionRecord", record.leader_recovery_state)?,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        };
        partition.check_directories(record.topic_id)?;
        Ok(partition)
    }

    /// `PartitionRegistration.merge`: only a named leader, even the same one, raises the leader epoch.
    fn merge(&mut self, change: &PartitionChangeRecord) -> Result<(), ImageError> {
        let replace = |nodes: &mut Box<[NodeId]>, changed: &Option<Vec<NodeId>>| {
            if let Some(changed) = changed {
                *nodes = changed.as_slice().into();
            }
        };
        replace(&mut self.replicas, &change.replicas);
        replace(&mut self.isr, &change.isr);
        replace(&mut self.removing_replicas, &change.removing_replicas);
        replace(&mut self.adding_replicas, &change.adding_replicas);
        replace(&mut self.elr, &change.eligible_leader_replicas);
        replace(&mut self.last_known_elr, &change.last_known_elr);
        let directories = change.directories.as_deref().unwrap_or(&self.directories);
        self.directories = known_directories(directories, self.replicas.len());
        self.check_directories(change.topic_id)?;

        if change.leader != LEADER_UNCHANGED {
            self.leader = leader_from(change.leader);
            self.leader_epoch = LeaderEpoch(self.leader_epoch.0.saturating_add(1));
        }
        if change.leader_recovery_state != -1 {
            self.recovering = recovering_from("PartitionChangeRecord", change.leader_recovery_state)?;
        }
        self.partition_epoch = self.partition_epoch.saturating_add(1);
        Ok(())
    }

    fn check_directories(&self, topic: TopicId) -> Result<(), ImageError> {
        if self.replicas.len() == self.directories.len() {
            return Ok(());
        }
        Err(ImageError::DirectoryCount {
            topic,
            partition: self.id,
            replicas: self.replicas.len(),
            directories: self.directories.len(),
        })
    }

    /// The whole state as a record.
    pub fn to_record(&self, topic_id: TopicId) -> PartitionRecord {
        let unless_empty = |nodes: &[NodeId]| (!nodes.is_empty()).then(|| nodes.to_vec());
        PartitionRecord {
            partition_id: self.id,
            topic_id,
            replicas: self.replicas.to_vec(),
            isr: self.isr.to_vec(),
            removing_replicas: self.removing_replicas.to_vec(),
            adding_replicas: self.adding_replicas.to_vec(),
            leader: self.leader.unwrap_or(NO_LEADER),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: self.directories.to_vec(),
            leader_recovery_state: i8::from(self.recovering),
            eligible_leader_replicas: unless_empty(&self.elr),
            last_known_elr: unless_empty(&self.last_known_elr),
        }
    }
}

/// Partitions from before directories had ids have none, whatever the number of their replicas
/// (`PartitionRegistration.defaultToMigrating`).
fn known_directories(directories: &[DirectoryId], replicas: usize) -> Box<[DirectoryId]> {
    if directories.iter().all(|&directory| directory == Uuid::DIRECTORY_MIGRATING) {
        return vec![Uuid::DIRECTORY_MIGRATING; replicas].into();
    }
    directories.into()
}

fn leader_from(leader: NodeId) -> Option<NodeId> {
    (NO_LEADER < leader).then_some(leader)
}

fn recovering_from(record: &'static str, state: i8) -> Result<bool, ImageError> {
    match state {
        0 => Ok(false),
        1 => Ok(true),
        value => {
            Err(ImageError::UnknownValue { record, field: "leader_recovery_state", value: value.into() })
        }
    }
}
