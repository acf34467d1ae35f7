//! One open file.

#![expect(unsafe_code, reason = "glommio's files lend their descriptor as a number only")]

use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use glommio::io::{BufferedFile, DmaFile};

use super::blocking::{glommio_error, os_error};
use super::buffer::{DirectBlocks, DirectBuf, SharedBuf, lend_read};
use super::page_cache::PageCache;
use crate::disk::{
    BLOCK, Blocks, DiskError, DiskErrorKind, DiskFile, DiskOp, WriteSync, align_down, align_up,
};
use crate::rt::executor;
use crate::rt::reactor::{self, through_glommio};
use crate::types::FileSlice;

/// The most that one request reads; longer reads are split.
const READ_BYTES_MAX: usize = 1 << 20;

/// Attempts to get at least one block out of a write that comes back with less.
const WRITE_ATTEMPTS_MAX: usize = 3;

/// An open file of one executor.
#[derive(Debug)]
pub struct DirectFile {
    handle: Handle,
    left_open: LeftOpen,
    page_cache: PageCache,
    /// As it was opened; for messages.
    path: Box<Path>,
}

/// How the file is open.
#[derive(Debug)]
pub(super) enum Handle {
    Direct(DmaFile),
    Buffered(BufferedFile),
}

/// Goes with a file that nobody closed: glommio closes that when it looks at its rings the next time.
#[derive(Debug)]
struct LeftOpen;

impl Drop for LeftOpen {
    fn drop(&mut self) {
        reactor::want_glommio_pass();
    }
}

impl DirectFile {
    pub(super) fn new(handle: Handle, path: &Path) -> Self {
        Self { handle, left_open: LeftOpen, page_cache: PageCache::default(), path: path.into() }
    }

    /// Whether the file bypasses the page cache.
    pub fn is_direct(&self) -> bool {
        matches!(self.handle, Handle::Direct(_))
    }

    /// As [`DiskFile::page_cached`], if all of it is there already.
    pub fn page_cached_now(&self, position: u64, len: usize) -> Option<FileSlice> {
        self.page_cache.slice(self.descriptor(), position, len)
    }

    fn error(&self, op: DiskOp, error: &glommio::GlommioError<()>) -> DiskError {
        glommio_error(op, &self.path, error)
    }

    /// The length by the descriptor: glommio asks by path, which may have changed.
    fn len_now(&self) -> Result<u64, DiskError> {
        let stat = rustix::fs::fstat(self.descriptor())
            .map_err(|errno| DiskError::from_errno(DiskOp::Stat, &self.path, errno.raw_os_error()))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        let fd = match &self.handle {
            Handle::Direct(file) => file.as_raw_fd(),
            Handle::Buffered(file) => file.as_raw_fd(),
        };
        // SAFETY: the descriptor belongs to `self.handle`, which stays open as long as it is borrowed.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }

    /// One request: the bytes from `position` on, at most `len`, which ends within the file.
    async fn read_piece(&self, position: u64, len: usize) -> Result<Bytes, DiskError> {
        let read = match &self.handle {
            Handle::Direct(file) => {
                let start = align_down(position);
                let end = align_up(position + len as u64);
                let result = through_glommio(file.read_at_aligned(start, (end - start) as usize)).await;
                result.map(|result| (result, (position - start) as usize))
            }
            Handle::Buffered(file) => {
                through_glommio(file.read_at(position, len)).await.map(|result| (result, 0))
            }
        };
        let (result, skip) = read.map_err(|error| self.error(DiskOp::Read, &error))?;
        let end = result.len().min(skip + len);
        if end <= skip {
            return Ok(Bytes::new());
        }
        Ok(lend_read(result).slice(skip..end))
    }

    /// One write, which may be short by any number of bytes.
    async fn write_once(
        &self,
        blocks: &[DirectBlocks],
        position: u64,
        sync: WriteSync,
    ) -> Result<usize, DiskError> {
        executor::unless_ending().await;
        let vector = |of: &DirectBlocks| libc::iovec {
            iov_base: of.start().cast_mut().cast(),
            iov_len: of.byte_count(),
        };
        let (vectors, memory) = (blocks.iter().map(vector).collect(), blocks.to_vec());
        // SAFETY: the blocks keep their memory where it is. The kernel only reads it.
        let written = unsafe { reactor::write(self.descriptor(), vectors, memory, position, sync) }.await;
        written.map_err(|error| os_error(DiskOp::Write, &self.path, &error))
    }
}

impl DiskFile for DirectFile {
    type Buf = DirectBuf;

    async fn read_at(&self, position: u64, len: usize) -> Result<Bytes, DiskError> {
        // Asking for no more than there is keeps a short tail from occupying a long buffer.
        let there = self.len_now()?.saturating_sub(position);
        let len = usize::try_from(there).unwrap_or(usize::MAX).min(len);
        if len == 0 {
            // glommio panics over a buffer of no bytes once its registered ones are used up.
            return Ok(Bytes::new());
        }
        let mut read = self.read_piece(position, len.min(piece_len(position))).await?;
        if read.len() == len || read.is_empty() {
            return Ok(read);
        }
        let mut whole = BytesMut::with_capacity(len);
        while !read.is_empty() {
            whole.extend_from_slice(&read);
            if whole.len() == len {
                break;
            }
            let next = position + whole.len() as u64;
            read = self.read_piece(next, (len - whole.len()).min(piece_len(next))).await?;
        }
        Ok(whole.freeze())
    }

    async fn write_at(&self, buf: SharedBuf, position: u64, sync: WriteSync) -> Result<usize, DiskError> {
        self.write_blocks_at(&[buf.blocks()], position, sync).await
    }

    async fn write_blocks_at(
        &self,
        blocks: &[DirectBlocks],
        position: u64,
        sync: WriteSync,
    ) -> Result<usize, DiskError> {
        assert!(position == align_down(position), "a write at {position} is not aligned");
        for _ in 0..WRITE_ATTEMPTS_MAX {
            let written = self.write_once(blocks, position, sync).await?;
            let whole_bytes = align_down(written as u64) as usize;
            if 0 < whole_bytes {
                return Ok(whole_bytes);
            }
        }
        // Part of a block and no more, again and again: the last block of a full device.
        Err(DiskError::new(DiskOp::Write, &self.path, DiskErrorKind::NoSpace))
    }

    async fn sync_data(&self) -> Result<(), DiskError> {
        executor::unless_ending().await;
        let synced = reactor::sync_data(self.descriptor()).await;
        synced.map(drop).map_err(|error| os_error(DiskOp::Sync, &self.path, &error))
    }

    async fn truncate(&self, len: u64) -> Result<(), DiskError> {
        executor::unless_ending().await;
        let cut = match &self.handle {
            Handle::Direct(file) => through_glommio(file.truncate(len)).await,
            Handle::Buffered(file) => through_glommio(file.truncate(len)).await,
        };
        cut.map_err(|error| self.error(DiskOp::Truncate, &error))
    }

    async fn len(&self) -> Result<u64, DiskError> {
        self.len_now()
    }

    async fn page_cached(&self, position: u64, len: usize) -> Option<FileSlice> {
        let cached = self.page_cached_now(position, len);
        if cached.is_some() {
            return cached;
        }
        executor::unless_ending().await;
        self.page_cache.slice_when_read(self.descriptor(), position, len).await
    }

    fn read_page_cached(&self, position: u64, len: usize) -> Option<Bytes> {
        self.page_cache.read(self.descriptor(), position, len)
    }

    fn read_ahead(&self, position: u64, len: usize) {
        self.page_cache.read_ahead(self.descriptor(), position, len);
    }

    async fn close(self) -> Result<(), DiskError> {
        let Self { handle, left_open, path, .. } = self;
        mem::forget(left_open);
        let closed = match handle {
            Handle::Direct(file) => through_glommio(file.close()).await,
            Handle::Buffered(file) => through_glommio(file.close()).await,
        };
        closed.map_err(|error| glommio_error(DiskOp::Close, &path, &error))
    }
}

/// How much one request may read from `position` on: with the bytes before it in its block, no more
/// than [`READ_BYTES_MAX`].
fn piece_len(position: u64) -> usize {
    READ_BYTES_MAX - (position % BLOCK as u64) as usize
}
