//! The files of a partition's directory, sorted by what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::disk::{Disk, DiskError};
use crate::log::flush::remove_if_there;
use crate::log::retention::DELETED_SUFFIX;
use crate::log::segment::{FileKind, file_path};
use crate::types::Offset;

/// What a replaced file's new contents are called until they are whole.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// The lengths of a segment's files; `None` for one that is missing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SegmentFiles {
    pub(super) log_len: u64,
    pub(super) offset_index_len: Option<u64>,
    pub(super) time_index_len: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PartitionFiles {
    /// By base offset.
    pub(super) segments: BTreeMap<Offset, SegmentFiles>,
    pub(super) snapshots: BTreeSet<Offset>,
    pub(super) has_epochs: bool,
}

impl PartitionFiles {
    /// Lists `dir` and removes what an earlier start or run left unfinished.
    pub(super) async fn load<D: Disk>(disk: &D, dir: &Path) -> Result<Self, DiskError> {
        let mut entries = disk.list(dir).await?;
        if crate::log::compaction::finish_interrupted(disk, dir, &entries).await? {
            entries = disk.list(dir).await?;
        }
        let mut files = Self::default();
        let mut indexes = Vec::new();
        for entry in entries {
            let is_leftover = [DELETED_SUFFIX, TEMPORARY_SUFFIX].iter().any(|end| entry.name.ends_with(end));
            if is_leftover && !entry.is_dir {
                remove_if_there(disk, &dir.join(&entry.name)).await?;
                continue;
            }
            files.has_epochs |= entry.name == crate::log::flush::EPOCHS_NAME;
            match FileKind::parse(&entry.name) {
                Some((FileKind::Log, base)) => {
                    files.segments.insert(base, SegmentFiles { log_len: entry.len, ..Default::default() });
                }
                Some((FileKind::Snapshot, offset)) => {
                    files.snapshots.insert(offset);
                }
                Some((kind, base)) => indexes.push((kind, base, entry.len)),
                None => {}
            }
        }
        for (kind, base, len) in indexes {
            let Some(segment) = files.segments.get_mut(&base) else {
                // Its segment is gone: it would be taken for the index of a later one.
                remove_if_there(disk, &file_path(dir, kind, base)).await?;
                continue;
            };
            match kind {
                FileKind::OffsetIndex => segment.offset_index_len = Some(len),
                FileKind::TimeIndex => segment.time_index_len = Some(len),
                FileKind::Log | FileKind::TxnIndex | FileKind::Snapshot => {}
            }
        }
        Ok(files)
    }

    /// Removes all files of the segment that begins at `base`.
    pub(super) async fn remove_segment<D: Disk>(
        &mut self,
        disk: &D,
        dir: &Path,
        base: Offset,
    ) -> Result<u64, DiskError> {
        let files = self.segments.remove(&base).unwrap_or_default();
        for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TxnIndex] {
            remove_if_there(disk, &file_path(dir, kind, base)).await?;
        }
        Ok(files.log_len)
    }

    /// Removes the snapshots above `end`: they stand for records that are not in the log.
    pub(super) async fn remove_snapshots_above<D: Disk>(
        &mut self,
        disk: &D,
        dir: &Path,
        end: Offset,
    ) -> Result<bool, DiskError> {
        let above = self.snapshots.split_off(&(end + 1));
        for offset in &above {
            remove_if_there(disk, &file_path(dir, FileKind::Snapshot, *offset)).await?;
        }
        Ok(!above.is_empty())
    }
}
