//! Bugs put in by hand, outside of the production code.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use corelog::disk::memory::{MemoryBuf, MemoryDisk, MemoryFile};
use corelog::disk::{DirEntry, Disk, DiskBuf, DiskError, DiskFile, OpenMode, WriteSync};

/// Which bug a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The code as it is.
    None,
    /// `acks=all` is answered after the write.
    AcknowledgeBeforeSync,
    /// Recovery leaves a torn batch in the file.
    SkipTruncation,
    /// Recovery does not rebuild the producer state.
    ForgetProducers,
    /// A producer snapshot is written before the records it stands for are synced.
    SnapshotBeforeSync,
    /// A start throws compacted segments away whose swap was under way, whatever became of the old ones.
    LoseSwaps,
}

/// A disk that can be told to forget truncations.
#[derive(Clone)]
pub(crate) struct SabotagedDisk {
    pub(crate) inner: MemoryDisk,
    skips_truncation: Rc<Cell<bool>>,
}

impl SabotagedDisk {
    pub(crate) fn new(inner: MemoryDisk) -> Self {
        Self { inner, skips_truncation: Rc::default() }
    }

    /// Truncations do nothing from now on, or do again.
    pub(crate) fn skip_truncation(&self, skips: bool) {
        self.skips_truncation.set(skips);
    }
}

impl Disk for SabotagedDisk {
    type File = SabotagedFile;
    type Buf = MemoryBuf;

    fn alloc(&self, len: usize) -> MemoryBuf {
        self.inner.alloc(len)
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<SabotagedFile, DiskError> {
        let inner = self.inner.open(path, mode).await?;
        Ok(SabotagedFile { inner, skips_truncation: self.skips_truncation.clone() })
    }

    async fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.inner.list(dir).await
    }

    async fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        self.inner.create_dir_all(dir).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.inner.rename(from, to).await
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.inner.remove_file(path).await
    }

    async fn remove_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        self.inner.remove_dir_all(dir).await
    }

    async fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.inner.sync_dir(dir).await
    }

    async fn read_file(&self, path: &Path, max: usize) -> Result<Vec<u8>, DiskError> {
        self.inner.read_file(path, max).await
    }

    async fn replace_file(&self, path: &Path, contents: &[u8]) -> Result<(), DiskError> {
        self.inner.replace_file(path, contents).await
    }
}

/// A file of a [`SabotagedDisk`].
pub(crate) struct SabotagedFile {
    inner: MemoryFile,
    skips_truncation: Rc<Cell<bool>>,
}

impl DiskFile for SabotagedFile {
    type Buf = MemoryBuf;

    async fn read_at(&self, position: u64, len: usize) -> Result<Bytes, DiskError> {
        self.inner.read_at(position, len).await
    }

    async fn write_at(
        &self,
        buf: <MemoryBuf as DiskBuf>::Shared,
        position: u64,
        sync: WriteSync,
    ) -> Result<usize, DiskError> {
        self.inner.write_at(buf, position, sync).await
    }

    async fn write_blocks_at(
        &self,
        blocks: &[<MemoryBuf as DiskBuf>::Blocks],
        position: u64,
        sync: WriteSync,
    ) -> Result<usize, DiskError> {
        self.inner.write_blocks_at(blocks, position, sync).await
    }

    async fn sync_data(&self) -> Result<(), DiskError> {
        self.inner.sync_data().await
    }

    async fn truncate(&self, len: u64) -> Result<(), DiskError> {
        if self.skips_truncation.get() {
            return Ok(());
        }
        self.inner.truncate(len).await
    }

    async fn len(&self) -> Result<u64, DiskError> {
        self.inner.len().await
    }

    async fn close(self) -> Result<(), DiskError> {
        self.inner.close().await
    }
}
