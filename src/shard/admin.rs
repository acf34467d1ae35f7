//! What administrators ask of a shard: deleting records, sizes of log directories, active producers.

use std::path::PathBuf;
use std::rc::Rc;

use super::Shard;
use super::message::{PartitionError, PartitionId};
use super::partition::Partition;
use crate::log::{LogError, ProducerSummary};
use crate::rt::file::{DiskSpace, disk_space};
use crate::types::{Offset, TopicPartition};

/// Records to delete from one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteRecordsPart {
    /// The partition.
    pub id: PartitionId,
    /// Records below go; `None` for all below the high watermark.
    pub before: Option<Offset>,
}

/// A log directory and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedLogDir {
    /// Where it is.
    pub path: PathBuf,
    /// The room on its file system, or why that is not known.
    pub space: Result<DiskSpace, String>,
    /// Its logs, by topic and partition.
    pub logs: Vec<DescribedLog>,
}

/// The log of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedLog {
    /// The partition.
    pub name: TopicPartition,
    /// Bytes of its segments.
    pub size_bytes: u64,
}

impl Shard {
    /// Moves log starts forward, durably; returns each log's start. The records' segments go with the next
    /// run of retention (`Partition.deleteRecordsOnLeader`).
    pub(super) async fn delete_records(
        self: &Rc<Self>,
        parts: &[DeleteRecordsPart],
    ) -> Vec<Result<Offset, PartitionError>> {
        let mut answers: Vec<_> = parts.iter().map(|part| self.raise_log_start(part)).collect();
        let raised: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).cloned().collect();
        let stored = self.store_log_starts(&raised).await;
        answers
            .drain(..)
            .map(|answer| {
                let partition = answer?;
                match &stored {
                    Ok(()) => Ok(partition.log.log_start_offset()),
                    Err(error) => Err(PartitionError::Storage(error.to_string())),
                }
            })
            .collect()
    }

    fn raise_log_start(self: &Rc<Self>, part: &DeleteRecordsPart) -> Result<Rc<Partition>, PartitionError> {
        let partition = self.partition(part.id)?;
        partition.check_online()?;
        let policy = partition.log.config().cleanup_policy;
        if policy.compact && !policy.delete {
            return Err(PartitionError::Policy(format!(
                "Records of partition {} can not be deleted due to the configured policy",
                partition.name
            )));
        }
        let high_watermark = partition.high_watermark();
        let offset = part.before.unwrap_or(high_watermark);
        if offset < Offset::ZERO || high_watermark < offset {
            let log_start_offset = partition.log.log_start_offset();
            return Err(PartitionError::OffsetOutOfRange { offset, log_start_offset, high_watermark });
        }
        if partition.log.raise_log_start(offset) {
            // The leader epochs changed with it; a flush writes them.
            self.ensure_flushing(&partition);
        }
        Ok(partition)
    }

    /// One write per directory, however many of its logs have moved.
    async fn store_log_starts(self: &Rc<Self>, raised: &[Rc<Partition>]) -> Result<(), LogError> {
        let dirs: Vec<_> = self.dirs.borrow().clone();
        for own in dirs {
            // A topic that was deleted meanwhile may be there again, and begins at zero.
            let is_there = |of: &&Rc<Partition>| self.open_partitions().contains_key(&of.id);
            let in_dir = raised.iter().filter(|of| of.dir.id == own.id).filter(is_there);
            let logs: Vec<_> = in_dir.map(|partition| &partition.log).collect();
            if !logs.is_empty() {
                let written = own.dir.write_log_starts(&logs).await;
                written.inspect_err(|error| self.note_failure(&own, error))?;
            }
        }
        Ok(())
    }

    /// The shard's directories with the sizes of their logs.
    pub(super) async fn describe_log_dirs(&self) -> Vec<DescribedLogDir> {
        let dirs: Vec<_> = self.dirs.borrow().clone();
        let mut described = Vec::with_capacity(dirs.len());
        for own in dirs {
            let space = match own.failure.get() {
                Some(cause) => Err(cause.clone()),
                None => disk_space(&own.path).await.map_err(|error| error.to_string()),
            };
            let mut logs: Vec<_> = self
                .open_partitions()
                .values()
                .filter(|partition| partition.dir.id == own.id)
                .map(|partition| DescribedLog {
                    name: partition.name.clone(),
                    size_bytes: partition.log.size_bytes(),
                })
                .collect();
            logs.sort_unstable_by(|left, right| left.name.cmp(&right.name));
            described.push(DescribedLogDir { path: own.path.clone(), space, logs });
        }
        described
    }

    /// The producers that each partition remembers.
    pub(super) fn describe_producers(
        &self,
        parts: &[PartitionId],
    ) -> Vec<Result<Vec<ProducerSummary>, PartitionError>> {
        parts.iter().map(|&id| Ok(self.partition(id)?.log.producers())).collect()
    }
}
