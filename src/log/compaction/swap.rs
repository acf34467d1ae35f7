//! Swapping a cleaned segment in for the segments it was made of, so that a crash at any point leaves the old
//! contents or the new (`LocalLog.replaceSegments`).
//!
//! 1. The new files are written and synced as `.cleaned`. A start removes them.
//! 2. They are renamed to `.swap`, durably. From the moment the last one has that name, a start finishes the
//!    swap; with a `.cleaned` beside them, it takes the swap back.
//! 3. Readers are given the new segment. Its file is pinned: no name leads to it yet.
//! 4. The old files are renamed to `.deleted`, to be removed after `file.delete.delay.ms`.
//! 5. The new files get their names, durably.
//!
//! A start that finds `.swap` files removes the old segments whose offsets the new one covers and does
//! step 5. Old segments behind the last batch that was kept may come back: the next cleaning does them
//! again, since the checkpoint of the cleaner moves only after the whole cleaning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::disk::{DirEntry, Disk, DiskError, OpenMode};
use crate::log::error::LogError;
use crate::log::flush::remove_if_there;
use crate::log::log::Core;
use crate::log::recovery::scanner::{CrcFrom, Scanner, Step};
use crate::log::retention::{DELETED_SUFFIX, DeletedSegment};
use crate::log::segment::{ClosedSegment, FileKind, file_path, suffixed};
use crate::types::{Offset, Timestamp};

use super::writer::{CleanedSegment, FILE_KINDS};

/// `LogFileUtils.CLEANED_FILE_SUFFIX`
pub(in crate::log) const CLEANED_SUFFIX: &str = ".cleaned";

/// `LogFileUtils.SWAP_FILE_SUFFIX`
const SWAP_SUFFIX: &str = ".swap";

/// Puts `cleaned` in the place of `old`, neighbours in the log; the first of them begins where it begins.
///
/// # Errors
/// Up to step 2, the log is as before, and `.cleaned` or `.swap` files are left to [`take_back`]. Later the
/// log goes offline, and a start ends the swap.
pub(super) async fn swap<D: Disk>(
    core: &Core<D>,
    cleaned: CleanedSegment<D>,
    old: &[Rc<ClosedSegment>],
    now: Timestamp,
) -> Result<(), LogError> {
    let kinds = &FILE_KINDS[..if cleaned.has_txn_index { 4 } else { 3 }];
    let base_offset = cleaned.segment.view.base_offset;
    core.env.disk().sync_dir(&core.dir()).await?;
    rename_all(core, base_offset, kinds, CLEANED_SUFFIX, SWAP_SUFFIX).await?;
    core.env.disk().sync_dir(&core.dir()).await?;
    install(core, cleaned, old);
    let result = finish(core, base_offset, kinds, old, now).await;
    match &result {
        Ok(()) => core.unpin(),
        // The pinned file goes on to be read.
        Err(error) => core.take_offline(error.to_string()),
    }
    result
}

/// Steps 4 and 5.
async fn finish<D: Disk>(
    core: &Core<D>,
    base_offset: Offset,
    kinds: &[FileKind],
    old: &[Rc<ClosedSegment>],
    now: Timestamp,
) -> Result<(), LogError> {
    let disk = core.env.disk();
    for segment in old {
        set_aside(core, segment.view.base_offset, base_offset, now).await?;
    }
    disk.sync_dir(&core.dir()).await?;
    rename_all(core, base_offset, kinds, SWAP_SUFFIX, "").await?;
    Ok(disk.sync_dir(&core.dir()).await?)
}

/// Gives the new segment to readers and forgets the old ones.
fn install<D: Disk>(core: &Core<D>, cleaned: CleanedSegment<D>, old: &[Rc<ClosedSegment>]) {
    let view = cleaned.segment.view;
    core.pin(view.ids, cleaned.file);
    let mut state = core.state.borrow_mut();
    let first = state.closed.iter().position(|segment| segment.view.base_offset == view.base_offset);
    let first = first.expect("what is cleaned stays in the log until it is replaced");
    let replaced = state.closed.splice(first..first + old.len(), [cleaned.segment]);
    let is_same = replaced.zip(old).all(|(replaced, old)| replaced.view.ids.log == old.view.ids.log);
    assert!(is_same, "the segments from {} on are those that were cleaned", view.base_offset);
    // Positions in the old segments mean nothing in the new one.
    let bases: Vec<_> = old.iter().map(|segment| segment.view.base_offset).collect();
    state.marks.retain(|mark| !bases.contains(&mark.segment_base));
    drop(state);
    for id in old.iter().flat_map(|segment| segment.view.ids.all()) {
        core.env.blocks().borrow_mut().forget(id);
        core.env.files().borrow_mut().forget(id);
    }
}

/// Renames the files of an old segment for their removal. The producer snapshot at the base of the new one
/// stays.
async fn set_aside<D: Disk>(
    core: &Core<D>,
    old_base: Offset,
    new_base: Offset,
    now: Timestamp,
) -> Result<(), LogError> {
    let (dir, due) = {
        let state = core.state.borrow();
        (state.dir.clone(), now.saturating_add_ms(state.config.file_delete_delay_ms))
    };
    let mut files = Vec::new();
    for kind in FileKind::ALL {
        if kind == FileKind::Snapshot && old_base == new_base {
            continue;
        }
        let from = file_path(&dir, kind, old_base);
        let to = suffixed(&from, DELETED_SUFFIX);
        match core.env.disk().rename(&from, &to).await {
            Err(error) if error.is_not_found() => continue,
            other => other?,
        }
        files.push(to);
    }
    let mut state = core.state.borrow_mut();
    if old_base != new_base {
        state.snapshots.remove(&old_base);
    }
    state.deleted.push(DeletedSegment { due, files });
    Ok(())
}

async fn rename_all<D: Disk>(
    core: &Core<D>,
    base_offset: Offset,
    kinds: &[FileKind],
    from: &str,
    to: &str,
) -> Result<(), DiskError> {
    for kind in kinds {
        let path = file_path(&core.dir(), *kind, base_offset);
        core.env.disk().rename(&suffixed(&path, from), &suffixed(&path, to)).await?;
    }
    Ok(())
}

/// What an interrupted cleaning left in a directory, by base offset.
#[derive(Debug, Default)]
struct Leftovers {
    cleaned: BTreeMap<Offset, Vec<FileKind>>,
    swaps: BTreeMap<Offset, Vec<FileKind>>,
    /// The whole segments beside them.
    files: Vec<(FileKind, Offset)>,
}

/// Removes what a cleaning that failed before step 3 has left beside the old segments, which are whole.
pub(super) async fn take_back<D: Disk>(core: &Core<D>) -> Result<(), DiskError> {
    let (disk, dir) = (core.env.disk(), core.dir());
    let left = Leftovers::of(&disk.list(&dir).await?);
    for (base, kinds) in &left.swaps {
        remove_all(disk, &dir, *base, kinds, SWAP_SUFFIX).await?;
    }
    for (base, kinds) in &left.cleaned {
        remove_all(disk, &dir, *base, kinds, CLEANED_SUFFIX).await?;
    }
    Ok(())
}

/// Ends or takes back what a cleaning was doing when the process ended (`LogLoader.load`). `entries` are
/// those of the directory; whether they are others by now.
pub(in crate::log) async fn finish_interrupted<D: Disk>(
    disk: &D,
    dir: &Path,
    entries: &[DirEntry],
) -> Result<bool, DiskError> {
    let left = Leftovers::of(entries);
    if left.cleaned.is_empty() && left.swaps.is_empty() {
        return Ok(false);
    }
    let first_cleaned = left.cleaned.keys().next().copied().unwrap_or(Offset(i64::MAX));
    // Swaps first: without the `.cleaned` file beside it, an unfinished one would pass for a whole one.
    for (base, kinds) in left.swaps.range(first_cleaned..) {
        remove_all(disk, dir, *base, kinds, SWAP_SUFFIX).await?;
    }
    disk.sync_dir(dir).await?;
    for (base, kinds) in &left.cleaned {
        remove_all(disk, dir, *base, kinds, CLEANED_SUFFIX).await?;
    }
    for (base, kinds) in left.swaps.range(..first_cleaned) {
        if kinds.contains(&FileKind::Log) {
            let end = end_of_swap(disk, dir, *base).await?;
            remove_covered(disk, dir, &left.files, *base, end.max(*base + 1)).await?;
        }
        disk.sync_dir(dir).await?;
        for kind in kinds {
            let path = file_path(dir, *kind, *base);
            disk.rename(&suffixed(&path, SWAP_SUFFIX), &path).await?;
        }
    }
    disk.sync_dir(dir).await?;
    Ok(true)
}

impl Leftovers {
    fn of(entries: &[DirEntry]) -> Self {
        let mut left = Self::default();
        for entry in entries.iter().filter(|entry| !entry.is_dir) {
            let parsed = |suffix| entry.name.strip_suffix(suffix).and_then(FileKind::parse);
            if let Some((kind, base)) = parsed(CLEANED_SUFFIX) {
                left.cleaned.entry(base).or_default().push(kind);
            } else if let Some((kind, base)) = parsed(SWAP_SUFFIX) {
                left.swaps.entry(base).or_default().push(kind);
            } else if let Some(file) = FileKind::parse(&entry.name) {
                left.files.push(file);
            }
        }
        for kinds in left.swaps.values_mut() {
            // The log first, as in a swap: an index without its log's `.swap` belongs to a log that has its
            // name.
            kinds.sort_by_key(|kind| FILE_KINDS.iter().position(|other| other == kind));
        }
        left
    }
}

async fn remove_all<D: Disk>(
    disk: &D,
    dir: &Path,
    base: Offset,
    kinds: &[FileKind],
    suffix: &str,
) -> Result<(), DiskError> {
    for kind in kinds {
        remove_if_there(disk, &suffixed(&file_path(dir, *kind, base), suffix)).await?;
    }
    Ok(())
}

/// The offset after the last batch of a segment that is to be swapped in.
async fn end_of_swap<D: Disk>(disk: &D, dir: &Path, base: Offset) -> Result<Offset, DiskError> {
    let path: PathBuf = suffixed(&file_path(dir, FileKind::Log, base), SWAP_SUFFIX);
    let file = disk.open(&path, OpenMode::Read).await?;
    let len = crate::disk::DiskFile::len(&file).await?;
    let mut scanner = Scanner::new(&file, len, base, 0);
    // What is broken in it is found, and reported, when the log is opened.
    while let Step::Batch { .. } = scanner.next(CrcFrom::Never).await? {}
    Ok(scanner.expected())
}

/// Removes the files of the old segments from `base` to `end`, but for producer snapshots.
async fn remove_covered<D: Disk>(
    disk: &D,
    dir: &Path,
    files: &[(FileKind, Offset)],
    base: Offset,
    end: Offset,
) -> Result<(), DiskError> {
    let covered =
        files.iter().filter(|(kind, offset)| *kind != FileKind::Snapshot && base <= *offset && *offset < end);
    for (kind, offset) in covered {
        remove_if_there(disk, &file_path(dir, *kind, *offset)).await?;
    }
    Ok(())
}
