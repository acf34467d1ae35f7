//! One Kafka log directory: identity, checkpoints, the clean-shutdown marker and the partitions in it.

use std::marker::PhantomData;
use std::path::PathBuf;

use crate::disk::Disk;
use crate::types::{DirectoryId, NodeId, Offset, Timestamp, TopicId, TopicPartition};

use super::config::LogConfig;
use super::env::LogEnv;
use super::error::LogError;
use super::log::Log;
use super::recovery::RecoveryReport;

/// `meta.properties`, version 1: who a log directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster's id.
    pub cluster_id: String,
    /// The broker's id.
    pub node_id: NodeId,
    /// The directory's own id (KIP-858).
    pub directory_id: DirectoryId,
}

/// A log directory, owned by one shard.
pub struct LogDir<D: Disk> {
    disk: PhantomData<D>,
}

#[expect(clippy::unimplemented, unused_variables, reason = "signatures land first")]
impl<D: Disk> LogDir<D> {
    /// Opens a log directory, creating it where it is missing, and takes the clean-shutdown marker away.
    pub async fn open(env: LogEnv<D>, path: PathBuf) -> Result<Self, LogError> {
        unimplemented!()
    }

    /// `meta.properties`; `None` when the directory was never formatted.
    pub async fn read_meta(&self) -> Result<Option<MetaProperties>, LogError> {
        unimplemented!()
    }

    /// Writes `meta.properties`, durably.
    pub async fn write_meta(&self, meta: &MetaProperties) -> Result<(), LogError> {
        unimplemented!()
    }

    /// Whether the directory was shut down cleanly, and by which broker epoch.
    pub fn clean_shutdown(&self) -> Option<i64> {
        unimplemented!()
    }

    /// The partitions in the directory, with the bytes of their files.
    pub async fn partitions(&self) -> Result<Vec<(TopicPartition, u64)>, LogError> {
        unimplemented!()
    }

    /// Creates the log of a new partition.
    pub async fn create_log(
        &self,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        now: Timestamp,
    ) -> Result<Log<D>, LogError> {
        unimplemented!()
    }

    /// Opens the log of a partition that is there.
    pub async fn load_log(
        &self,
        topic_partition: TopicPartition,
        config: LogConfig,
        now: Timestamp,
    ) -> Result<(Log<D>, RecoveryReport), LogError> {
        unimplemented!()
    }

    /// The high watermark last checkpointed for a partition.
    pub fn checkpointed_high_watermark(&self, topic_partition: &TopicPartition) -> Option<Offset> {
        unimplemented!()
    }

    /// Renames the directory of a partition for deletion; its log takes no more reads and writes.
    pub async fn delete_log(&self, log: &Log<D>, now: Timestamp) -> Result<(), LogError> {
        unimplemented!()
    }

    /// Removes directories that were deleted `file.delete.delay.ms` ago.
    pub async fn remove_deleted(&self, now: Timestamp) -> Result<usize, LogError> {
        unimplemented!()
    }

    /// Whether so much was written since the last checkpoint that a recovery would take long.
    pub fn is_checkpoint_due(&self) -> bool {
        unimplemented!()
    }

    /// Writes the recovery-point, log-start and replication-offset checkpoints.
    pub async fn write_checkpoints(&self, logs: &[(Log<D>, Offset)]) -> Result<(), LogError> {
        unimplemented!()
    }

    /// Writes the checkpoints and the clean-shutdown marker, after all logs were closed cleanly.
    pub async fn close_clean(&self, logs: &[(Log<D>, Offset)], broker_epoch: i64) -> Result<(), LogError> {
        unimplemented!()
    }
}
