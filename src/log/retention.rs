//! Retention: which segments go, and how their files go.
//!
//! A deleted segment's files are renamed at once and removed after `file.delete.delay.ms`, so that reads
//! that have them open end undisturbed. A start removes what an earlier one left renamed.

use std::path::PathBuf;

use crate::disk::Disk;
use crate::types::{Offset, Timestamp};

use super::error::{LogError, ReadError};
use super::flush::remove_if_there;
use super::log::Core;
use super::segment::{FileKind, SegmentView, file_path};
use super::time_lookup::load_max_timestamp;

/// What the name of a deleted file ends with (`LogFileUtils.DELETED_FILE_SUFFIX`).
pub(super) const DELETED_SUFFIX: &str = ".deleted";

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
    core.check_online()?;
    let mut deleted = 0;
    while let Some(view) = plan_deletion(core, now, upto).await? {
        delete_first(core, &view, now).await?;
        deleted += 1;
    }
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
        let open: u64 = state.open.iter().map(|segment| segment.staged_len()).sum();
        let size = open + state.closed.iter().map(|segment| segment.view.len).sum::<u64>();
        (first, end, state.config.clone(), size, state.log_start_offset)
    };
    let view = first.view;
    if upto < end {
        return Ok(None);
    }
    if end <= log_start {
        return Ok(Some(view));
    }
    if !config.cleanup_policy.delete {
        return Ok(None);
    }
    if config.retention_bytes.is_some_and(|bytes| bytes + view.len <= size) {
        return Ok(Some(view));
    }
    let Some(retention_ms) = config.retention_ms else { return Ok(None) };
    let max = match first.max_timestamp.get() {
        Some(max) => max,
        None => load_max_timestamp(core, &first).await.map_err(log_error)?,
    };
    // Differs from Kafka: without timestamps it goes by the file's modification time, we keep the segment.
    let is_old = Timestamp::NONE < max.timestamp && retention_ms < now.ms_since(max.timestamp);
    Ok(is_old.then_some(view))
}

fn log_error(error: ReadError) -> LogError {
    match error {
        ReadError::Disk(error) => LogError::Disk(error),
        ReadError::Corrupt { file, position, reason } => LogError::Corrupt { file, position, reason },
        ReadError::Offline { cause } => LogError::Offline { cause },
        ReadError::OutOfRange { .. } => unreachable!("an index has no offsets out of range"),
    }
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
    let mut files = Vec::new();
    for kind in FileKind::ALL {
        let from = file_path(&dir, kind, view.base_offset);
        let mut to = from.clone().into_os_string();
        to.push(DELETED_SUFFIX);
        let to = PathBuf::from(to);
        match core.env.disk().rename(&from, &to).await {
            Err(error) if error.is_not_found() => continue,
            other => other?,
        }
        files.push(to);
    }
    core.state.borrow_mut().deleted.push(DeletedSegment { due, files });
    Ok(())
}

/// See [`super::Log::remove_deleted`].
pub(super) async fn remove_deleted<D: Disk>(core: &Core<D>, now: Timestamp) -> Result<usize, LogError> {
    let (due, later) = {
        let mut state = core.state.borrow_mut();
        std::mem::take(&mut state.deleted).into_iter().partition(|segment| segment.due <= now)
    };
    let due: Vec<DeletedSegment> = due;
    core.state.borrow_mut().deleted.extend::<Vec<_>>(later);
    let mut removed = 0;
    for file in due.into_iter().flat_map(|segment| segment.files) {
        remove_if_there(core.env.disk(), &file).await?;
        removed += 1;
    }
    Ok(removed)
}
