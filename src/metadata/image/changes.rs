//! What travels from the metadata log to the shards, and what it changed there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{ConfigResource, TopicImage};
use crate::metadata::records::MetadataRecord;
use crate::types::{LeaderEpoch, NodeId, Offset, TopicId};

/// One committed batch of the metadata log. Crosses cores by reference count.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataDelta {
    /// The offset of the first record.
    pub first_offset: Offset,
    /// The offset of the last record, inclusive.
    pub last_offset: Offset,
    /// The epoch of the batch.
    pub epoch: LeaderEpoch,
    /// The records of the offsets from `first_offset` on; empty for a control batch, which only moves the
    /// end.
    pub records: Arc<[MetadataRecord]>,
}

impl MetadataDelta {
    /// A batch of at least one record.
    pub fn new(first_offset: Offset, epoch: LeaderEpoch, records: Arc<[MetadataRecord]>) -> Self {
        assert!(!records.is_empty(), "a batch without records at offset {first_offset}");
        Self { first_offset, last_offset: first_offset + (records.len() as i64 - 1), epoch, records }
    }

    /// A batch whose records are for the log itself, such as a leader change.
    pub fn control(first_offset: Offset, last_offset: Offset, epoch: LeaderEpoch) -> Self {
        assert!(first_offset <= last_offset, "a control batch from {first_offset} to {last_offset}");
        Self { first_offset, last_offset, epoch, records: Arc::new([]) }
    }

    /// The offset after the last record.
    pub fn end_offset(&self) -> Offset {
        self.last_offset + 1
    }
}

/// The difference between an image before and after some records.
///
/// What was created and deleted by the same records leaves no trace: every topic and partition named
/// here, other than the deleted topics, is in the image afterwards.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImageChanges {
    /// Topics that are new.
    pub topics_created: BTreeSet<TopicId>,
    /// Topics that are gone, as they were before.
    pub topics_deleted: Vec<Arc<TopicImage>>,
    /// Partitions that are new or differ, by topic and index.
    pub partitions_changed: BTreeSet<(TopicId, i32)>,
    /// Resources of which a config was set or removed; not those of deleted topics.
    pub configs_changed: BTreeSet<ConfigResource>,
    /// Brokers that (un)registered or changed.
    pub brokers_changed: BTreeSet<NodeId>,
    /// Whether a feature's level changed.
    pub features_changed: bool,
    /// Whether an ACL, credential, token or quota changed.
    pub access_changed: bool,
}

impl ImageChanges {
    /// Whether nothing that anyone looks at changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn topic_deleted(&mut self, topic: Arc<TopicImage>) {
        let id = topic.id();
        let partitions = (id, i32::MIN)..=(id, i32::MAX);
        while let Some(&partition) = self.partitions_changed.range(partitions.clone()).next() {
            self.partitions_changed.remove(&partition);
        }
        self.configs_changed.remove(&ConfigResource::topic(topic.name().as_str()));
        if !self.topics_created.remove(&id) {
            self.topics_deleted.push(topic);
        }
    }
}
