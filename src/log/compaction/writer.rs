//! The segment that a cleaning writes, with its indexes, under names that a start throws away.

use std::path::PathBuf;
use std::rc::Rc;

use crate::disk::{BLOCK, Disk, DiskBuf, DiskError, DiskFile, OpenMode, WriteSync, align_up};
use crate::log::error::LogError;
use crate::log::flush::{write_shared, write_small_file};
use crate::log::index::{GrowingIndex, IndexEntry};
use crate::log::log::Core;
use crate::log::segment::{ClosedSegment, FileKind, OpenSegment, file_path, suffixed};
use crate::log::tail::Tail;
use crate::log::txn_index::AbortedTxn;
use crate::record::batch::BatchHeader;
use crate::types::Offset;

use super::swap::CLEANED_SUFFIX;

/// Bytes of one write.
const CHUNK_BYTES: usize = 512 * 1024;

/// What a segment is made of, in the order in which the files are written and renamed.
pub(super) const FILE_KINDS: [FileKind; 4] =
    [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TxnIndex];

/// See the module.
pub(super) struct CleanedWriter<'a, D: Disk> {
    core: &'a Core<D>,
    /// Accounts for the batches as an append does; nothing is ever staged in it.
    segment: OpenSegment<D>,
    index_interval_bytes: u32,
    file: D::File,
    chunk: D::Buf,
    /// Bytes in the chunk.
    filled: usize,
    /// Where the chunk goes.
    position: u64,
}

/// A whole segment on disk, to be swapped in.
pub(super) struct CleanedSegment<D: Disk> {
    pub(super) segment: Rc<ClosedSegment>,
    pub(super) file: Rc<D::File>,
    pub(super) has_txn_index: bool,
}

impl<'a, D: Disk> CleanedWriter<'a, D> {
    /// Begins the segment that will begin at `base_offset`.
    pub(super) async fn create(core: &'a Core<D>, base_offset: Offset) -> Result<Self, LogError> {
        let config = core.state.borrow().config.clone();
        let disk = core.env.disk();
        let path = cleaned_path(core, FileKind::Log, base_offset);
        let file = disk.open(&path, OpenMode::CreateNew).await?;
        Ok(Self {
            core,
            segment: OpenSegment::new(&core.env, base_offset, &config, crate::types::Timestamp::NONE),
            index_interval_bytes: config.index_interval_bytes,
            file,
            chunk: disk.alloc(CHUNK_BYTES),
            filled: 0,
            position: 0,
        })
    }

    /// Bytes of the segment so far.
    pub(super) fn len(&self) -> u64 {
        self.position + self.filled as u64
    }

    /// Appends one batch, whose offsets stay.
    ///
    /// # Errors
    /// `Corrupt` when the segment would be longer than an index can tell, which takes batches that grow when
    /// they lose records.
    pub(super) async fn append(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), LogError> {
        assert_eq!(batch.len(), header.total_len(), "one whole batch");
        if i32::MAX as u64 <= self.len() + batch.len() as u64 {
            let file = cleaned_path(self.core, FileKind::Log, self.segment.base_offset);
            let reason = "the cleaned segment would exceed 2 GiB; lower segment.bytes".to_owned();
            return Err(LogError::Corrupt { file, position: self.len(), reason });
        }
        self.segment.add_batch(header, self.len(), self.index_interval_bytes);
        let mut rest = batch;
        while !rest.is_empty() {
            let len = rest.len().min(CHUNK_BYTES - self.filled);
            let (now, later) = rest.split_at(len);
            self.chunk.as_mut_slice()[self.filled..][..len].copy_from_slice(now);
            self.filled += len;
            rest = later;
            if self.filled == CHUNK_BYTES {
                self.write_chunk().await?;
            }
        }
        Ok(())
    }

    async fn write_chunk(&mut self) -> Result<(), DiskError> {
        let disk = self.core.env.disk();
        let mut chunk = std::mem::replace(&mut self.chunk, disk.alloc(CHUNK_BYTES));
        let padded = align_up(self.filled as u64) as usize;
        chunk.as_mut_slice()[self.filled..padded].fill(0);
        chunk.truncate(padded);
        write_shared(disk, &self.file, chunk.freeze(), self.position, WriteSync::None).await?;
        self.position += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    /// Ends the segment: its exact length and its indexes, all of it durable but for the names.
    pub(super) async fn finish(mut self, aborted: &[AbortedTxn]) -> Result<CleanedSegment<D>, LogError> {
        let len = self.len();
        if 0 < self.filled {
            self.write_chunk().await?;
        }
        self.file.truncate(len).await?;
        self.file.sync_data().await?;
        // `LogSegment.onBecomeInactiveSegment`
        self.segment.push_max_timestamp();
        write_index(
            self.core,
            FileKind::OffsetIndex,
            self.segment.base_offset,
            &mut self.segment.offset_index,
        )
        .await?;
        write_index(self.core, FileKind::TimeIndex, self.segment.base_offset, &mut self.segment.time_index)
            .await?;
        self.write_txn_index(aborted).await?;
        self.segment.tail = Tail::new(len);
        self.segment.set_written(len);
        Ok(CleanedSegment {
            segment: Rc::new(ClosedSegment::from_open(&self.segment)),
            file: Rc::new(self.file),
            has_txn_index: !aborted.is_empty(),
        })
    }

    async fn write_txn_index(&self, aborted: &[AbortedTxn]) -> Result<(), LogError> {
        if aborted.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        aborted.iter().for_each(|transaction| transaction.encode(&mut bytes));
        let path = cleaned_path(self.core, FileKind::TxnIndex, self.segment.base_offset);
        Ok(write_small_file(self.core.env.disk(), &path, &bytes, WriteSync::Data).await?)
    }
}

async fn write_index<D: Disk, E: IndexEntry>(
    core: &Core<D>,
    kind: FileKind,
    base_offset: Offset,
    index: &mut GrowingIndex<E>,
) -> Result<(), LogError> {
    let count = index.count();
    let bytes = index.pending(count, BLOCK).map_or(Vec::new(), |pending| pending.bytes);
    let path = cleaned_path(core, kind, base_offset);
    write_small_file(core.env.disk(), &path, &bytes, WriteSync::Data).await?;
    index.mark_persisted(count, 0);
    Ok(())
}

fn cleaned_path<D: Disk>(core: &Core<D>, kind: FileKind, base_offset: Offset) -> PathBuf {
    suffixed(&file_path(&core.dir(), kind, base_offset), CLEANED_SUFFIX)
}
