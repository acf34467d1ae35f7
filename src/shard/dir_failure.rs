//! A log directory that fails while the broker runs.
//!
//! The shard that owns it takes its partitions offline: whatever is asked of them answers
//! `KAFKA_STORAGE_ERROR`, and nothing in the directory is written any more. Control learns of it, so that the
//! partitions lose their leader in the metadata; the other directories go on. The next start finds out
//! whether the directory is healthy again (`ReplicaManager.handleLogDirFailure`, KIP-112, KIP-858).
//!
//! Differs from Kafka: a file system that is full refuses the writes of the partition that hit its limit,
//! and the directory stays, so that what is in it can be read.

use std::rc::Rc;

use super::control::{ControlRequest, FailedDirectory};
use super::message::PartitionError;
use super::partition::Partition;
use super::{OwnDir, Shard};
use crate::disk::DiskError;
use crate::log::{LogError, ReadError};
use crate::rt::task;

impl OwnDir {
    /// Whether the directory has failed.
    pub(super) fn is_offline(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Refuses what needs a directory that has failed.
    pub(super) fn check_online(&self) -> Result<(), PartitionError> {
        match self.failure.get() {
            None => Ok(()),
            Some(cause) => Err(PartitionError::Storage(cause.clone())),
        }
    }
}

impl Shard {
    /// Takes a directory offline if an error says that its device or file system is broken.
    pub(super) fn note_failure(self: &Rc<Self>, own: &Rc<OwnDir>, error: &LogError) {
        match error {
            LogError::Disk(error) => self.note_disk_error(own, error),
            // What led to it was noted, or concerns one file.
            LogError::Offline { .. } | LogError::Corrupt { .. } => {}
        }
    }

    /// The same for an error of a read.
    pub(super) fn note_read_failure(self: &Rc<Self>, partition: &Partition, error: &ReadError) {
        if let ReadError::Disk(error) = error {
            self.note_disk_error(&partition.dir, error);
        }
    }

    fn note_disk_error(self: &Rc<Self>, own: &Rc<OwnDir>, error: &DiskError) {
        if error.is_of_the_device() {
            self.fail_directory(own, &error.to_string());
        }
    }

    /// Takes a partition offline whose directory has failed.
    pub(super) fn fail_partition(self: &Rc<Self>, partition: &Rc<Partition>, cause: &str) {
        partition.log.take_offline(cause);
        partition.fail(cause);
        self.end_coordinator(partition.id);
        self.wake_watchers(partition);
    }

    /// Takes a directory offline with all its partitions, and tells control; once.
    pub(super) fn fail_directory(self: &Rc<Self>, own: &Rc<OwnDir>, cause: &str) {
        if own.failure.set(cause.to_owned()).is_err() {
            return;
        }
        tracing::error!(target: "log", dir = %own.path.display(), cause, "log directory offline");
        for partition in self.snapshot_partitions() {
            if partition.dir.id == own.id {
                self.fail_partition(&partition, cause);
            }
        }
        let failed = FailedDirectory { id: own.id, path: own.path.clone(), cause: cause.to_owned() };
        let shard = Rc::clone(self);
        // Control answers when the metadata says so; a broker that is stopping need not know.
        task::spawn(async move { drop(shard.ask_control(ControlRequest::FailDirectory(failed)).await) })
            .detach();
    }
}
