//! Flushing: staged bytes to the kernel and to the device, rolls, checkpoints, and what a failure means.
//!
//! Order of writes, so that a crash at any point leaves a log that recovers:
//! - a segment's bytes are durable before the next segment's file is created;
//! - a producer snapshot is written after the bytes it stands for are durable, with their file's name:
//!   recovery takes it for the proof that they are;
//! - indexes are hints: recovery checks them against the log.
//!
//! Any failure of a write or sync takes the log offline. It is never repeated as if nothing had happened:
//! after a failed sync the kernel may count lost bytes as clean.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::disk::{BLOCK, Disk, DiskBuf, DiskError, DiskErrorKind, DiskFile, OpenMode, WriteSync};
use crate::record::batch::{BatchHeader, HEADER_LEN};
use crate::types::Offset;

use super::error::LogError;
use super::index::{GrowingIndex, IndexEntry};
use super::log::{Core, State};
use super::segment::{
    ClosedSegment, FileKind, FirstTimestamp, MaxTimestamp, OpenSegment, file_path, padded_buf,
};
use super::tail::FrozenChunk;

/// `leader-epoch-checkpoint`
pub(super) const EPOCHS_NAME: &str = "leader-epoch-checkpoint";

/// Index entries of the active segment that stay in memory once they are on disk.
const INDEX_ENTRIES_KEPT: usize = 512;

/// Where the ends of the log are after a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushOutcome {
    /// Everything below survives the process.
    pub written_end_offset: Offset,
    /// Everything below survives the machine.
    pub synced_end_offset: Offset,
    /// Bytes handed to the kernel, padding included.
    pub written_bytes: u64,
    /// Segments closed.
    pub rolled_segments: usize,
}

/// Marks a flush as under way; one that is dropped before its end leaves a write of unknown outcome.
struct FlushGuard<'a, D: Disk> {
    core: &'a Core<D>,
    has_ended: bool,
}

impl<'a, D: Disk> FlushGuard<'a, D> {
    fn begin(core: &'a Core<D>) -> Result<Self, LogError> {
        assert!(!core.is_flushing.get(), "one flush at a time: {}", core.topic_partition);
        core.check_online()?;
        core.is_flushing.set(true);
        Ok(Self { core, has_ended: false })
    }

    /// The flush has come to its end, good or bad.
    fn end(&mut self) {
        self.has_ended = true;
    }
}

impl<D: Disk> Drop for FlushGuard<'_, D> {
    fn drop(&mut self) {
        self.core.is_flushing.set(false);
        if !self.has_ended {
            self.core.take_offline("a flush was dropped midway".to_owned());
        }
    }
}

/// Does `work` as the one flush that is under way. An error of it takes the log offline.
pub(super) async fn guarded<D: Disk, T>(
    core: &Core<D>,
    work: impl AsyncFnOnce(&mut Flush<'_, D>) -> Result<T, LogError>,
) -> Result<T, LogError> {
    let mut guard = FlushGuard::begin(core)?;
    let result = work(&mut Flush { core, written_bytes: 0, rolled_segments: 0 }).await;
    if let Err(error) = &result {
        give_up(core, error);
    }
    guard.end();
    result
}

/// Writes what is staged; with `checkpoint` also the indexes and the producer state.
pub(super) async fn flush<D: Disk>(
    core: &Core<D>,
    want: WriteSync,
    checkpoint: bool,
) -> Result<FlushOutcome, LogError> {
    guarded(core, async |flush| {
        flush.run(want, checkpoint).await?;
        Ok(flush.outcome())
    })
    .await
}

/// What is written into the segment of what the journal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// What makes long writes, without a sync; see [`Log::full_bytes`](super::Log::full_bytes). The segment
    /// may end within a batch then.
    FullChunks,
    /// All of it, durably.
    Synced,
    /// All of it, durably; and the indexes and the producer state, unless something is gathered behind it.
    Checkpoint,
}

/// Nobody waits for it: what is gathered meanwhile goes to the journal as before. What a flush has to do
/// first, a flush does.
pub(super) async fn store<D: Disk>(core: &Core<D>, what: Store) -> Result<(), LogError> {
    guarded(core, async |flush| {
        let is_plain = {
            let state = core.state.borrow();
            state.open.len() == 1 && state.written_end_offset == state.synced_end_offset
        };
        match is_plain {
            true => flush.store_front(what).await,
            false => flush.run(WriteSync::Data, what == Store::Checkpoint).await,
        }
    })
    .await
}

/// Cuts off what recovery has left behind the end, if it is still there.
pub(super) async fn cut_stray<D: Disk>(core: &Core<D>) -> Result<(), LogError> {
    if core.state.borrow_mut().open_front().stray_end == 0 {
        return Ok(());
    }
    guarded(core, async |flush| flush.front_file(0).await.map(drop)).await
}

/// Whether [`trim`] would change anything: a quiet log whose file goes on with zeros.
pub(super) fn wants_trim<D: Disk>(core: &Core<D>) -> bool {
    let state = core.state.borrow();
    let segment = &state.open[0];
    let is_quiet = segment.written_len == segment.staged_len() && state.open.len() == 1;
    is_quiet && segment.is_padded && state.offline.is_none()
}

/// Cuts the zeros behind the last batch; the next flush puts them there again.
pub(super) async fn trim<D: Disk>(core: &Core<D>) -> Result<(), LogError> {
    guarded(core, async |flush| flush.cut_padding().await).await
}

/// Leaves the log as a clean start wants it; nothing is written afterwards.
pub(super) async fn close_clean<D: Disk>(core: &Core<D>) -> Result<(), LogError> {
    guarded(core, async |flush| {
        flush.run_close().await?;
        core.take_offline("the log was closed".to_owned());
        Ok(())
    })
    .await
}

/// Ends all writing; what was staged is dropped. What is in the journal stays readable from memory.
///
/// What reached the file behind the last promise stays in it, and a start may find it: nobody was promised
/// that it is gone. To cut it off here would be worse. After a start the journal may take what is appended
/// at this place, and a power failure then undoes a cut that nothing made durable: the old bytes would be
/// back and pass for the new ones.
fn give_up<D: Disk>(core: &Core<D>, error: &LogError) {
    core.take_offline(error.to_string());
    let mut state = core.state.borrow_mut();
    state.open.truncate(1);
    let segment = state.open_front();
    segment.tail.cut(segment.readable_len);
    state.staged_end_offset = state.written_end_offset;
}

/// How much of the first open segment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All that is staged.
    Staged,
    /// What may be read: what the journal has. The rest goes on gathering.
    Readable,
    /// The full chunks of what may be read. They may end within a batch.
    Full,
}

/// The state of one flush.
pub(super) struct Flush<'a, D: Disk> {
    core: &'a Core<D>,
    written_bytes: u64,
    rolled_segments: usize,
}

/// What a checkpoint writes, taken at the moment the log's end was frozen.
struct Capture {
    offset: Offset,
    snapshot: Vec<u8>,
    offset_entries: usize,
    time_entries: usize,
}

/// Chunks on their way to the disk, and what is true once they are there.
struct FrontWork<S> {
    chunks: Vec<FrozenChunk<S>>,
    /// The offset at their end; `None` where that may lie within a batch.
    end_offset: Option<Offset>,
    end: u64,
    max_timestamp: MaxTimestamp,
    /// Earlier writes of the segment are not durable.
    had_unsynced: bool,
}

impl<D: Disk> OpenSegment<D> {
    /// How far a write of this extent goes now; a later one goes further.
    fn end_of(&self, extent: Extent) -> u64 {
        match extent {
            Extent::Staged => self.staged_len(),
            Extent::Readable => self.readable_len,
            Extent::Full => self.tail.full_end(self.readable_len).unwrap_or(self.written_len),
        }
    }
}

impl<D: Disk> Flush<'_, D> {
    async fn run(&mut self, want: WriteSync, checkpoint: bool) -> Result<(), LogError> {
        let want = self.effective_sync(want);
        let closing = self.core.state.borrow().open.len() - 1;
        for _ in 0..closing {
            self.write_front(Extent::Staged, WriteSync::None, false).await?;
            self.close_front().await?;
        }
        if 0 < closing {
            // Retention may delete all that is closed: this file then tells where the log goes on.
            self.front_file(0).await?;
            self.sync_name().await?;
        }
        let capture = self.write_front(Extent::Staged, want, checkpoint).await?;
        self.write_epochs().await?;
        if let Some(capture) = capture {
            self.write_checkpoint(capture).await?;
        }
        Ok(())
    }

    async fn store_front(&mut self, what: Store) -> Result<(), LogError> {
        let (extent, want) = match what {
            // Nobody gains from a partial last block: the next write would repeat it.
            Store::FullChunks => (Extent::Full, WriteSync::None),
            Store::Synced | Store::Checkpoint => (Extent::Readable, WriteSync::Data),
        };
        match self.write_front(extent, want, what == Store::Checkpoint).await? {
            Some(capture) => self.write_checkpoint(capture).await,
            None => Ok(()),
        }
    }

    fn outcome(&self) -> FlushOutcome {
        let state = self.core.state.borrow();
        FlushOutcome {
            written_end_offset: state.written_end_offset,
            synced_end_offset: state.synced_end_offset,
            written_bytes: self.written_bytes,
            rolled_segments: self.rolled_segments,
        }
    }

    /// `flush.messages` turns a plain flush into a sync.
    fn effective_sync(&self, want: WriteSync) -> WriteSync {
        let state = self.core.state.borrow();
        let unsynced = state.staged_end_offset - state.synced_end_offset;
        if state.config.flush_messages <= unsynced { WriteSync::Data } else { want }
    }

    /// Writes what is staged in the first open segment.
    async fn write_front(
        &mut self,
        extent: Extent,
        want: WriteSync,
        checkpoint: bool,
    ) -> Result<Option<Capture>, LogError> {
        if self.is_front_done(want) {
            return Ok(self.capture(extent, checkpoint));
        }
        let end = self.core.state.borrow_mut().open_front().end_of(extent);
        let file = self.front_file(end).await?;
        self.load_first_timestamp(&file).await?;
        self.supply_missing(&file).await?;
        // From here to the end of `freeze`, nothing is awaited: the capture belongs to the frozen end.
        let capture = self.capture(extent, checkpoint);
        let work = self.freeze_front(extent);
        // A single write may carry the sync; several, or earlier ones, need one of the file.
        let is_direct = want == WriteSync::Data && work.chunks.len() == 1 && !work.had_unsynced;
        let sync = if is_direct { WriteSync::Data } else { WriteSync::None };
        for chunk in &work.chunks {
            write_chunk(self.core.env.disk(), &*file, chunk, sync).await?;
            self.written_bytes += chunk.bytes.len().next_multiple_of(BLOCK) as u64;
        }
        if want == WriteSync::Data {
            if !is_direct {
                file.sync_data().await?;
            }
            self.sync_name().await?;
        }
        self.finish_front(work, want == WriteSync::Data);
        Ok(capture)
    }

    /// Whether there is nothing to write and nothing to sync.
    fn is_front_done(&self, want: WriteSync) -> bool {
        let mut state = self.core.state.borrow_mut();
        let segment = state.open_front();
        let (is_written, is_synced) = (segment.tail.is_empty(), !segment.has_unsynced);
        if is_written {
            // A segment that recovery found whole behind one that it closes is news here.
            let end = segment.staged_end_offset;
            state.advance_written(end, is_synced);
        }
        is_written && (is_synced || want != WriteSync::Data)
    }

    fn capture(&self, extent: Extent, checkpoint: bool) -> Option<Capture> {
        let state = self.core.state.borrow();
        let is_whole = extent == Extent::Staged || state.written_end_offset == state.staged_end_offset;
        // With more staged, or a roll staged meanwhile, the producers are ahead of what is written.
        if !checkpoint || !is_whole || 1 < state.open.len() {
            return None;
        }
        let segment = state.open_back();
        Some(Capture {
            offset: segment.staged_end_offset,
            snapshot: state.producers.encode_snapshot(),
            offset_entries: segment.offset_index.count(),
            time_entries: segment.time_index.count(),
        })
    }

    /// The file of the first open segment, opened or created, about to be written up to `end`.
    async fn front_file(&self, end: u64) -> Result<Rc<D::File>, LogError> {
        let (path, exists, cut_to) = {
            let mut state = self.core.state.borrow_mut();
            let dir = state.dir.clone();
            let segment = state.open_front();
            if let Some(file) = &segment.file {
                return Ok(file.clone());
            }
            let path = file_path(&dir, FileKind::Log, segment.base_offset);
            (path, segment.exists, (end < segment.stray_end).then_some(segment.written_len))
        };
        let mode = if exists { OpenMode::Write } else { OpenMode::CreateNew };
        let file = Rc::new(self.core.env.disk().open(&path, mode).await?);
        if let Some(len) = cut_to {
            file.truncate(len).await?;
            file.sync_data().await?;
        }
        let mut state = self.core.state.borrow_mut();
        let segment = state.open_front();
        segment.stray_end = 0;
        segment.file = Some(file.clone());
        segment.exists = true;
        Ok(file)
    }

    async fn load_first_timestamp(&self, file: &D::File) -> Result<(), LogError> {
        if self.core.state.borrow_mut().open_front().first_timestamp != FirstTimestamp::NotLoaded {
            return Ok(());
        }
        let bytes = file.read_at(0, HEADER_LEN).await?;
        if let Ok(header) = BatchHeader::decode(&bytes) {
            let mut state = self.core.state.borrow_mut();
            state.open_front().first_timestamp = FirstTimestamp::Loaded(header.max_timestamp);
        }
        Ok(())
    }

    /// Reads the partial last block when it is not in memory: after a start, or an idle time.
    async fn supply_missing(&self, file: &D::File) -> Result<(), LogError> {
        let missing = self.core.state.borrow_mut().open_front().tail.missing();
        let Some((position, len)) = missing else { return Ok(()) };
        let bytes = file.read_at(position, len).await?;
        let mut state = self.core.state.borrow_mut();
        let base_offset = state.open_front().base_offset;
        if bytes.len() != len {
            let path = state.path_of(FileKind::Log, base_offset);
            let reason = format!("expected {len} bytes of the last block, found {}", bytes.len());
            return Err(LogError::Corrupt { file: path, position, reason });
        }
        state.open_front().tail.supply(&bytes);
        Ok(())
    }

    fn freeze_front(&self, extent: Extent) -> FrontWork<<D::Buf as DiskBuf>::Shared> {
        let mut state = self.core.state.borrow_mut();
        state.is_clean = false;
        let written_end_offset = state.written_end_offset;
        let segment = state.open_front();
        let had_unsynced = std::mem::replace(&mut segment.has_unsynced, true);
        let end = segment.end_of(extent);
        let (end_offset, max_timestamp) = match extent {
            Extent::Staged => (Some(segment.staged_end_offset), segment.max_timestamp),
            Extent::Readable => (Some(written_end_offset), segment.readable_max_timestamp),
            Extent::Full => (None, segment.readable_max_timestamp),
        };
        let chunks = match extent {
            Extent::Readable | Extent::Full if end == segment.written_len => Vec::new(),
            _ => segment.tail.freeze(self.core.env.disk(), end),
        };
        segment.frozen_len = segment.frozen_len.max(end);
        segment.in_flight = chunks.iter().map(|chunk| (chunk.position, chunk.bytes.clone())).collect();
        FrontWork { chunks, end_offset, end, max_timestamp, had_unsynced }
    }

    /// Makes the name of the first open segment's file durable.
    async fn sync_name(&self) -> Result<(), LogError> {
        if self.core.state.borrow_mut().open_front().is_name_synced {
            return Ok(());
        }
        let dir = self.core.dir();
        self.core.env.disk().sync_dir(&dir).await?;
        self.core.state.borrow_mut().open_front().is_name_synced = true;
        Ok(())
    }

    fn finish_front(&self, work: FrontWork<<D::Buf as DiskBuf>::Shared>, synced: bool) {
        let mut state = self.core.state.borrow_mut();
        let segment = state.open_front();
        cache_chunks(self.core, segment, &work);
        let gained = work.end - segment.written_len;
        segment.set_readable(work.end, work.max_timestamp);
        match work.end_offset {
            Some(_) => segment.set_written(work.end),
            None => segment.set_written_in_part(work.end),
        }
        segment.in_flight.clear();
        segment.is_padded |= !work.chunks.is_empty();
        segment.has_unsynced = !synced;
        state.bytes_since_checkpoint += gained;
        if let Some(end_offset) = work.end_offset {
            state.advance_written(end_offset, synced);
        }
    }

    /// Closes the first open segment: exact length, indexes, the producer state at its end. All durable.
    async fn close_front(&mut self) -> Result<(), LogError> {
        let file = self.trim_front().await?;
        let (dir, base_offset, next_base, snapshot) = {
            let mut state = self.core.state.borrow_mut();
            let next = &mut state.open[1];
            let (next_base, snapshot) = (next.base_offset, next.base_snapshot.take());
            (state.dir.clone(), state.open_front().base_offset, next_base, snapshot)
        };
        let snapshot = snapshot.expect("a segment that was rolled has the state at its base");
        // The snapshot proves that the records before it are durable, and so the name that leads to them.
        self.sync_name().await?;
        self.write_snapshot(next_base, &snapshot, WriteSync::Data).await?;
        self.core.env.disk().sync_dir(&dir).await?;
        let mut state = self.core.state.borrow_mut();
        let end = state.open_front().staged_end_offset;
        assert_eq!(end, next_base, "segment {base_offset} ends where the next begins");
        state.advance_written(end, true);
        (state.checkpointed_offset, state.bytes_since_checkpoint) = (end, 0);
        let segment = state.open.pop_front().expect("two segments are open");
        self.core.env.files().borrow_mut().insert(segment.ids.log, file);
        state.closed.push(Rc::new(ClosedSegment::from_open(&segment)));
        self.rolled_segments += 1;
        Ok(())
    }

    /// Cuts the first open segment and its indexes to their exact length, durably but for their names.
    async fn trim_front(&self) -> Result<Rc<D::File>, LogError> {
        let file = self.front_file(0).await?;
        {
            let mut state = self.core.state.borrow_mut();
            let segment = state.open_front();
            assert!(segment.tail.is_empty(), "everything staged was written");
            // `LogSegment.onBecomeInactiveSegment`
            segment.push_max_timestamp();
        }
        self.cut_padding().await?;
        file.sync_data().await?;
        self.core.state.borrow_mut().open_front().has_unsynced = false;
        self.write_indexes(None).await?;
        Ok(file)
    }

    /// Leaves the first open segment with the length Kafka would give it, until it is written again: other
    /// tools take the zeros behind it for a broken batch.
    async fn cut_padding(&self) -> Result<(), LogError> {
        if !self.core.state.borrow_mut().open_front().is_padded {
            return Ok(());
        }
        let file = self.front_file(0).await?;
        let len = self.core.state.borrow_mut().open_front().written_len;
        file.truncate(len).await?;
        let mut state = self.core.state.borrow_mut();
        let segment = state.open_front();
        (segment.is_padded, segment.prepared_end) = (false, 0);
        Ok(())
    }

    /// Writes index entries that are not on disk: up to a capture's counts, or all of them with the exact
    /// length. The time index is durable before the offset index is written: recovery takes an offset entry
    /// for the promise that the time index covers what is before it.
    async fn write_indexes(&self, capture: Option<&Capture>) -> Result<(), LogError> {
        let count = capture.map(|capture| capture.time_entries);
        self.write_index(FileKind::TimeIndex, count, |segment| &mut segment.time_index).await?;
        let count = capture.map(|capture| capture.offset_entries);
        self.write_index(FileKind::OffsetIndex, count, |segment| &mut segment.offset_index).await
    }

    async fn write_index<E: IndexEntry>(
        &self,
        kind: FileKind,
        count: Option<usize>,
        index_of: impl Fn(&mut OpenSegment<D>) -> &mut GrowingIndex<E>,
    ) -> Result<(), LogError> {
        let disk = self.core.env.disk();
        let (path, pending, is_new) = {
            let mut state = self.core.state.borrow_mut();
            let dir = state.dir.clone();
            let segment = state.open_front();
            let path = file_path(&dir, kind, segment.base_offset);
            let index = index_of(segment);
            let pending = index.pending(count.unwrap_or(index.count()), BLOCK);
            (path, pending, index.persisted_len() == 0)
        };
        if pending.is_none() && count.is_some() {
            return Ok(());
        }
        let file = match is_new {
            true => open_or_create(disk, &path).await?,
            false => disk.open(&path, OpenMode::Write).await?,
        };
        if let Some(mut pending) = pending {
            let known = file.read_at(pending.position, pending.missing).await?;
            if known.len() != pending.missing {
                let reason = format!("expected {} bytes, found {}", pending.missing, known.len());
                return Err(LogError::Corrupt { file: path, position: pending.position, reason });
            }
            pending.bytes[..pending.missing].copy_from_slice(&known);
            let sync = if kind == FileKind::TimeIndex { WriteSync::Data } else { WriteSync::None };
            write_padded(disk, &file, pending.position, &pending.bytes, sync).await?;
            let mut state = self.core.state.borrow_mut();
            index_of(state.open_front()).mark_persisted(pending.count, INDEX_ENTRIES_KEPT);
        }
        // While it grows, zeros follow the last entry.
        if count.is_none() {
            let len = index_of(self.core.state.borrow_mut().open_front()).persisted_len();
            file.truncate(len).await?;
            file.sync_data().await?;
        }
        Ok(())
    }

    /// Writes the producer state at `offset`. Without a sync it may be lost, which its checksum shows.
    async fn write_snapshot(&self, offset: Offset, contents: &[u8], sync: WriteSync) -> Result<(), LogError> {
        let path = {
            let state = self.core.state.borrow();
            if state.snapshots.contains(&offset) && sync == WriteSync::None {
                return Ok(());
            }
            file_path(&state.dir, FileKind::Snapshot, offset)
        };
        write_small_file(self.core.env.disk(), &path, contents, sync).await?;
        self.core.state.borrow_mut().snapshots.insert(offset);
        Ok(())
    }

    /// Removes snapshots below `offset` that belong to no segment, but for the newest `kept` of them.
    async fn remove_stray_snapshots(&self, offset: Offset, kept: usize) -> Result<(), LogError> {
        let stray: Vec<_> = {
            let state = self.core.state.borrow();
            let stray = state.snapshots.range(..offset).rev().copied();
            stray.filter(|offset| !state.is_base(*offset)).skip(kept).collect()
        };
        for offset in stray {
            let path = file_path(&self.core.dir(), FileKind::Snapshot, offset);
            remove_if_there(self.core.env.disk(), &path).await?;
            self.core.state.borrow_mut().snapshots.remove(&offset);
        }
        Ok(())
    }

    async fn write_epochs(&self) -> Result<(), LogError> {
        let (path, contents) = {
            let mut state = self.core.state.borrow_mut();
            if !std::mem::take(&mut state.epochs_dirty) {
                return Ok(());
            }
            (state.dir.join(EPOCHS_NAME), state.epochs.format())
        };
        Ok(self.core.env.disk().replace_file(&path, &contents).await?)
    }

    /// What spares a recovery the bytes before `capture.offset`, which are durable.
    async fn write_checkpoint(&self, capture: Capture) -> Result<(), LogError> {
        let offset = capture.offset;
        assert!(offset <= self.core.state.borrow().stored_end_offset, "the state of stored records");
        let has_file = self.core.state.borrow_mut().open_front().exists;
        if has_file {
            self.write_indexes(Some(&capture)).await?;
        }
        self.write_snapshot(offset, &capture.snapshot, WriteSync::None).await?;
        // The new one is not synced: a machine that stops now may be left with the one before.
        self.remove_stray_snapshots(offset, 1).await?;
        let mut state = self.core.state.borrow_mut();
        state.checkpointed_offset = offset;
        state.bytes_since_checkpoint = 0;
        state.is_clean = false;
        Ok(())
    }

    async fn run_close(&mut self) -> Result<(), LogError> {
        self.run(WriteSync::Data, false).await?;
        let (is_clean, has_file, end) = {
            let mut state = self.core.state.borrow_mut();
            (state.is_clean, state.open_front().exists, state.staged_end_offset)
        };
        if is_clean {
            return Ok(());
        }
        if has_file {
            self.trim_front().await?;
        }
        let snapshot = self.core.state.borrow().producers.encode_snapshot();
        self.write_snapshot(end, &snapshot, WriteSync::Data).await?;
        self.remove_stray_snapshots(end, 0).await?;
        self.core.env.disk().sync_dir(&self.core.dir()).await?;
        let mut state = self.core.state.borrow_mut();
        state.checkpointed_offset = end;
        state.bytes_since_checkpoint = 0;
        state.is_clean = true;
        state.open_front().file = None;
        Ok(())
    }
}

/// Keeps written chunks for readers.
fn cache_chunks<D: Disk>(
    core: &Core<D>,
    segment: &OpenSegment<D>,
    work: &FrontWork<<D::Buf as DiskBuf>::Shared>,
) {
    let mut cache = core.env.blocks().borrow_mut();
    for chunk in &work.chunks {
        cache.insert(segment.ids.log, chunk.position, chunk.bytes.clone(), chunk.charge);
    }
}

/// Writes a chunk whole, however short the writes are.
async fn write_chunk<D: Disk>(
    disk: &D,
    file: &D::File,
    chunk: &FrozenChunk<<D::Buf as DiskBuf>::Shared>,
    sync: WriteSync,
) -> Result<(), DiskError> {
    write_shared(disk, file, chunk.shared.clone(), chunk.position, sync).await
}

pub(super) async fn write_shared<D: Disk>(
    disk: &D,
    file: &D::File,
    shared: <D::Buf as DiskBuf>::Shared,
    position: u64,
    sync: WriteSync,
) -> Result<(), DiskError> {
    let bytes = D::Buf::bytes(&shared);
    let mut written = file.write_at(shared, position, sync).await?;
    while written < bytes.len() {
        assert!(0 < written && written.is_multiple_of(BLOCK), "a write of {written} bytes");
        let rest = padded_buf(disk, &bytes[written..]).freeze();
        written += file.write_at(rest, position + written as u64, sync).await?;
    }
    Ok(())
}

/// Writes `bytes` and zeros up to the end of the block.
async fn write_padded<D: Disk>(
    disk: &D,
    file: &D::File,
    position: u64,
    bytes: &[u8],
    sync: WriteSync,
) -> Result<(), DiskError> {
    write_shared(disk, file, padded_buf(disk, bytes).freeze(), position, sync).await
}

async fn open_or_create<D: Disk>(disk: &D, path: &Path) -> Result<D::File, DiskError> {
    match disk.open(path, OpenMode::CreateNew).await {
        Err(error) if error.kind == DiskErrorKind::AlreadyExists => disk.open(path, OpenMode::Write).await,
        other => other,
    }
}

/// Writes a small file anew, under its own name: what is in it must show whether it is whole.
pub(super) async fn write_small_file<D: Disk>(
    disk: &D,
    path: &Path,
    contents: &[u8],
    sync: WriteSync,
) -> Result<(), DiskError> {
    let file = open_or_create(disk, path).await?;
    if !contents.is_empty() {
        write_padded(disk, &file, 0, contents, WriteSync::None).await?;
    }
    file.truncate(contents.len() as u64).await?;
    if sync == WriteSync::Data {
        file.sync_data().await?;
    }
    Ok(())
}

/// Removes a file that may be gone already.
pub(super) async fn remove_if_there<D: Disk>(disk: &D, path: &Path) -> Result<(), DiskError> {
    match disk.remove_file(path).await {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

impl<D: Disk> State<D> {
    /// Whether a segment begins at `offset`.
    pub(super) fn is_base(&self, offset: Offset) -> bool {
        let in_closed = self.closed.binary_search_by_key(&offset, |segment| segment.view.base_offset);
        in_closed.is_ok() || self.open.iter().any(|segment| segment.base_offset == offset)
    }

    /// The path of a file of the segment that begins at `base_offset`.
    pub(super) fn path_of(&self, kind: FileKind, base_offset: Offset) -> PathBuf {
        file_path(&self.dir, kind, base_offset)
    }
}
