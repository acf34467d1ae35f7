//! Retention: which segments go, and how their files go.
//!
//! A deleted segment's files are renamed at once and removed after `file.delete.delay.ms`, so that reads
//! that have them open end undisturbed. A start removes what an earlier one left renamed.

use std::path::PathBuf;
use std::rc::Rc;

use crate::disk::Disk;
use crate::types::{Offset, Timestamp};

use super::config::LogConfig;
use super::error::{LogError, ReadError};
use super::flush::remove_if_there;
use super::log::{Core, MaintenanceGuard};
use super::segment::{ClosedSegment, FileKind, SegmentView, file_path, suffixed};
use super::time_lookup::load_max_timestamp;

/// What the name of a deleted file ends with (`LogFileUtils.DELETED_FILE_SUFFIX`).
pub(super) const DELETED_SUFFIX: &str = ".deleted";

/// After how long what could not be removed is tried again.
pub(super) const RETRY_REMOVAL_MS: i64 = 60_000;

/// Renamed files of one segment, and when they are to be removed.
#[derive(Debug, Clone)]
pub(super) struct DeletedSegment {
    pub(super) due: Timestamp,
    pub(super) files: Vec<PathBuf>,
}

/// See [`super::Log::enforce_retention`].
pub(super) async fn enforce<D: Disk>(
    core: &Core<D>,
    now: Timestamp,
    upto: Offset,
) -> Result<usize, LogError> {
    let Some(_guard) = MaintenanceGuard::begin(core) else { return Ok(0) };
    core.check_online()?;
    let mut deleted = 0;
    while let Some(view) = plan_deletion(core, now, upto).await? {
        delete_first(core, &view, now).await?;
        deleted += 1;
    }
    roll_if_expired(core, now, upto);
    Ok(deleted)
}

/// The oldest segment if it is to be deleted now.
async fn plan_deletion<D: Disk>(
    core: &Core<D>,
    now: Timestamp,
    upto: Offset,
) -> Result<Option<SegmentView>, LogError> {
    let (first, end, config, size, log_start) = {
        let state = core.state.borrow();
        let Some(first) = state.closed.first().cloned() else { return Ok(None) };
        let next = state.closed.get(1).map(|segment| segment.view.base_offset);
        let end = next.unwrap_or_else(|| state.open.front().expect("never empty").base_offset);
        (first, end, state.config.clone(), state.staged_len(), state.log_start_offset)
    };
    let view = first.view;
    if upto < end {
        return Ok(None);
    }
    if end <= log_start || is_too_much(&config, view.len, size) {
        return Ok(Some(view));
    }
    if !config.cleanup_policy.delete || config.retention_ms.is_none() {
        return Ok(None);
    }
    // What compaction emptied holds nobody up, and holds nothing.
    let is_expired = view.len == 0 || is_expired(&config, largest_timestamp(core, &first).await?, now);
    Ok(is_expired.then_some(view))
}

/// Stages a roll of the active segment once it is all that is left and past the limits too: only closed
/// segments are deleted (`UnifiedLog.deleteSegments`).
fn roll_if_expired<D: Disk>(core: &Core<D>, now: Timestamp, upto: Offset) {
    let mut state = core.state.borrow_mut();
    let size = state.staged_len();
    let is_last = state.closed.is_empty() && state.open.len() == 1 && 0 < size;
    if !is_last || upto < state.staged_end_offset || state.offline.is_some() {
        return;
    }
    let largest = state.open[0].max_timestamp.timestamp;
    if is_too_much(&state.config, size, size) || is_expired(&state.config, largest, now) {
        state.stage_roll(&core.env, now);
    }
}

/// `deleteRetentionSizeBreachedSegments`: whether the log is large enough without a segment of `len` bytes.
fn is_too_much(config: &LogConfig, len: u64, size: u64) -> bool {
    config.cleanup_policy.delete && config.retention_bytes.is_some_and(|bytes| bytes + len <= size)
}

/// `deleteRetentionMsBreachedSegments`
///
/// Differs from Kafka: without timestamps it goes by the file's modification time, we keep the segment.
fn is_expired(config: &LogConfig, largest: Timestamp, now: Timestamp) -> bool {
    let retention_ms = config.retention_ms.filter(|_| config.cleanup_policy.delete);
    Timestamp::NONE < largest && retention_ms.is_some_and(|retention_ms| retention_ms < now.ms_since(largest))
}

async fn largest_timestamp<D: Disk>(
    core: &Core<D>,
    segment: &Rc<ClosedSegment>,
) -> Result<Timestamp, LogError> {
    let max = match segment.max_timestamp.get() {
        Some(max) => max,
        None => load_max_timestamp(core, segment).await.map_err(ReadError::into_log_error)?,
    };
    Ok(max.timestamp)
}

/// Takes the oldest segment out of the log and renames its files.
async fn delete_first<D: Disk>(core: &Core<D>, view: &SegmentView, now: Timestamp) -> Result<(), LogError> {
    let (dir, due) = {
        let mut state = core.state.borrow_mut();
        let segment = state.closed.remove(0);
        assert_eq!(segment.view.base_offset, view.base_offset, "the oldest segment");
        let first = state.closed.first().map(|segment| segment.view.base_offset);
        let start = first.unwrap_or_else(|| state.open.front().expect("never empty").base_offset);
        if state.log_start_offset < start {
            state.log_start_offset = start;
            state.epochs_dirty |= state.epochs.truncate_from_start(start);
        }
        state.snapshots.remove(&view.base_offset);
        (state.dir.clone(), now.saturating_add_ms(state.config.file_delete_delay_ms))
    };
    for id in view.ids.all() {
        core.env.blocks().borrow_mut().forget(id);
        core.env.files().borrow_mut().forget(id);
    }
    let (mut files, mut outcome) = (Vec::new(), Ok(()));
    for kind in FileKind::ALL {
        let from = file_path(&dir, kind, view.base_offset);
        let to = suffixed(&from, DELETED_SUFFIX);
        match core.env.disk().rename(&from, &to).await {
            Ok(()) => files.push(to),
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                // It goes under the name it has.
                files.push(from);
                outcome = outcome.and(Err(error.into()));
            }
        }
    }
    core.state.borrow_mut().deleted.push(DeletedSegment { due, files });
    outcome
}

/// See [`super::Log::remove_deleted`].
pub(super) async fn remove_deleted<D: Disk>(core: &Core<D>, now: Timestamp) -> Result<usize, LogError> {
    let due: Vec<_> = core.state.borrow_mut().deleted.extract_if(.., |segment| segment.due <= now).collect();
    let (mut removed, mut outcome) = (0, Ok(()));
    for DeletedSegment { files, .. } in due {
        let mut left = Vec::new();
        for file in files {
            match remove_if_there(core.env.disk(), &file).await {
                Ok(()) => removed += 1,
                Err(error) => {
                    left.push(file);
                    outcome = outcome.and(Err(error.into()));
                }
            }
        }
        if !left.is_empty() {
            let due = now.saturating_add_ms(RETRY_REMOVAL_MS);
            core.state.borrow_mut().deleted.push(DeletedSegment { due, files: left });
        }
    }
    outcome.map(|()| removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::WriteSync;
    use crate::disk::memory::{FaultPlan, MemoryDisk, block_on};
    use crate::log::tests::{NOW, PARENT, append, batch, create, read_all};
    use crate::record::builder::BatchFields;

    /// The files of segments, renamed or not, below offset 3.
    async fn old_files(disk: &MemoryDisk) -> Vec<String> {
        let names = disk.list(&std::path::Path::new(PARENT).join("orders-3")).await.unwrap();
        let names = names.into_iter().map(|entry| entry.name);
        names.filter(|name| name.starts_with("00000000000000000000.")).collect()
    }

    #[test]
    fn files_that_could_not_be_renamed_or_removed_are_removed_later() {
        for failing_op in 1..=8 {
            let disk = MemoryDisk::new(1, FaultPlan::default());
            let retention = LogConfig { retention_ms: Some(1_000), ..LogConfig::default() };
            let log = create(&disk, LogConfig { file_delete_delay_ms: 0, ..retention });
            let now = NOW.saturating_add_ms(60_000);
            block_on(async {
                append(&log, &batch(3, 10, BatchFields::default())).unwrap();
                log.roll(NOW);
                append(&log, &batch(2, 10, BatchFields::default())).unwrap();
                log.flush(WriteSync::Data).await.unwrap();
                assert!(3 <= old_files(&disk).await.len());
                disk.set_plan(FaultPlan { eio_on_op: Some(disk.ops() + failing_op), ..FaultPlan::default() });
                let _ = log.enforce_retention(now, Offset(3)).await;
                let _ = log.remove_deleted(now).await;
                disk.set_plan(FaultPlan::default());
                log.enforce_retention(now, Offset(3)).await.unwrap();
                assert_eq!(log.log_start_offset(), Offset(3));
                log.remove_deleted(now.saturating_add_ms(RETRY_REMOVAL_MS)).await.unwrap();
                assert_eq!(old_files(&disk).await, [""; 0], "operation {failing_op} fails");
            });
            assert_eq!(read_all(&log, Offset(3), 1 << 20), [(3, 2)]);
        }
    }
}
