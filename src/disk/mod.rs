//! The one seam between the log and a file system.
//!
//! `rt::file` implements it with direct I/O on glommio; `disk::memory` implements it in memory, loses what
//! was not synced and fails by a seed, so that the log code that runs in production is the code the
//! crash simulation runs.
//!
//! # What an implementation promises, and what it does not
//!
//! - A write may be short, and may have extended the file before it failed: the caller writes the rest,
//!   or truncates.
//! - A completed write survives the death of the process, not of the machine. It survives the latter
//!   once a [`WriteSync::Data`] write that covers it, or a later [`DiskFile::sync_data`], succeeded.
//! - A machine that dies before a write is durable may leave any subset of its sectors written. A sector
//!   is old or new, where one that was never durable counts as zeros or absent; bytes outside of the
//!   written range do not change.
//! - After a sync failed, nothing is known about the bytes it covered; the log directory goes offline.
//! - A created, renamed or removed name is durable after [`Disk::sync_dir`] of its directory.
//!
//! The seam knows nothing of segments, offsets or batches.

mod error;
pub mod memory;

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

use crate::types::FileSlice;

pub use error::{DiskError, DiskErrorKind, DiskOp};

/// Positions, lengths and buffer addresses of direct I/O are multiples of this.
pub const BLOCK: usize = 4096;

/// `value` rounded down to a whole number of blocks.
pub const fn align_down(value: u64) -> u64 {
    value & !(BLOCK as u64 - 1)
}

/// `value` rounded up to a whole number of blocks.
pub const fn align_up(value: u64) -> u64 {
    align_down(value + BLOCK as u64 - 1)
}

/// How [`Disk::open`] treats a file that is there, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Reading only; the file must exist.
    Read,
    /// Reading and writing; the file must exist.
    Write,
    /// Reading and writing; an existing file is an error.
    CreateNew,
}

/// What a completed write guarantees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteSync {
    /// The kernel has the bytes.
    None,
    /// The device has these bytes and what is needed to find them again (`RWF_DSYNC`). Says nothing
    /// about bytes of earlier writes.
    Data,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name within the directory. Names that are not UTF-8 are reported lossily.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_dir: bool,
    /// The file's length in bytes; zero for a directory.
    pub len: u64,
}

/// A buffer for direct I/O: aligned, exclusively owned while it is filled. Blocks of it may be written
/// meanwhile.
pub trait DiskBuf: 'static {
    /// The buffer once it is only read: cheap to clone, shared by reference count.
    type Shared: Clone + 'static;
    /// A part of the buffer on its way to a file.
    type Blocks: Blocks;

    /// The whole buffer.
    fn as_slice(&self) -> &[u8];

    /// The whole buffer, to fill.
    fn as_mut_slice(&mut self) -> &mut [u8];

    /// Shortens the buffer to its first `len` bytes; `len` is a multiple of [`BLOCK`].
    fn truncate(&mut self, len: usize);

    /// The bytes of `range` to be written while the rest of the buffer is filled; both ends are multiples of
    /// [`BLOCK`]. Whoever fills the buffer leaves these bytes as they are until the write is done.
    fn blocks(&self, range: Range<usize>) -> Self::Blocks;

    /// Ends the filling.
    fn freeze(self) -> Self::Shared;

    /// The frozen bytes without a copy. The view keeps the memory alive and may cross cores.
    fn bytes(shared: &Self::Shared) -> Bytes;
}

/// Whole blocks in memory, to be written.
pub trait Blocks: Clone + 'static {
    /// How many bytes they are.
    fn byte_count(&self) -> usize;

    /// Drops the first `bytes`, a multiple of [`BLOCK`].
    fn advance(&mut self, bytes: usize);
}

/// A file system as the log needs it. Paths are absolute or relative to the process's directory.
#[expect(async_fn_in_trait, reason = "every future of a shard stays on its core")]
pub trait Disk: Clone + 'static {
    /// An open file.
    type File: DiskFile<Buf = Self::Buf>;
    /// A buffer for writes.
    type Buf: DiskBuf;

    /// A buffer of `len` bytes, a multiple of [`BLOCK`]. Its contents are unspecified.
    fn alloc(&self, len: usize) -> Self::Buf;

    /// Opens a file.
    async fn open(&self, path: &Path, mode: OpenMode) -> Result<Self::File, DiskError>;

    /// The entries of a directory, sorted by name.
    async fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError>;

    /// Creates a directory and its missing parents; an existing directory is no error.
    async fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError>;

    /// Renames a file or directory, replacing an existing file.
    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Removes a file.
    async fn remove_file(&self, path: &Path) -> Result<(), DiskError>;

    /// Removes a directory and everything in it.
    async fn remove_dir_all(&self, dir: &Path) -> Result<(), DiskError>;

    /// Makes the names in `dir` durable.
    async fn sync_dir(&self, dir: &Path) -> Result<(), DiskError>;

    /// Reads a small file whole; more than `max` bytes is an error of kind [`DiskErrorKind::TooLarge`].
    async fn read_file(&self, path: &Path, max: usize) -> Result<Vec<u8>, DiskError>;

    /// Replaces a small file atomically and durably: temporary file, sync, rename, sync of the
    /// directory. After a crash the old or the new contents are there, whole.
    async fn replace_file(&self, path: &Path, contents: &[u8]) -> Result<(), DiskError>;
}

/// An open file. Dropping it closes it.
#[expect(async_fn_in_trait, reason = "every future of a shard stays on its core")]
#[expect(clippy::len_without_is_empty, reason = "a length that costs a system call")]
pub trait DiskFile: 'static {
    /// A buffer for writes.
    type Buf: DiskBuf;

    /// The bytes from `position` on, at most `len`; fewer only at the end of the file. Any alignment.
    async fn read_at(&self, position: u64, len: usize) -> Result<Bytes, DiskError>;

    /// Writes the whole buffer at `position`, a multiple of [`BLOCK`]. Returns how many bytes were
    /// written, a multiple of [`BLOCK`] that may be less than the buffer's length and is never zero.
    async fn write_at(
        &self,
        buf: <Self::Buf as DiskBuf>::Shared,
        position: u64,
        sync: WriteSync,
    ) -> Result<usize, DiskError>;

    /// Writes all of `blocks`, one behind the other, as [`Self::write_at`].
    async fn write_blocks_at(
        &self,
        blocks: &[<Self::Buf as DiskBuf>::Blocks],
        position: u64,
        sync: WriteSync,
    ) -> Result<usize, DiskError>;

    /// Makes every completed write of this file durable (`fdatasync`).
    async fn sync_data(&self) -> Result<(), DiskError>;

    /// Cuts or extends the file to `len` bytes; any alignment.
    async fn truncate(&self, len: u64) -> Result<(), DiskError>;

    /// The file's length in bytes.
    async fn len(&self) -> Result<u64, DiskError>;

    /// The bytes from `position` on in the kernel's page cache, once it has read what is missing there;
    /// `None` when there is no page cache, or the disk fails: a read tells why. Nobody changes these bytes
    /// any more.
    async fn page_cached(&self, position: u64, len: usize) -> Option<FileSlice> {
        let _ = (position, len);
        None
    }

    /// A copy of the bytes that the page cache has from `position` on, at most `len`. Nobody changes these
    /// bytes any more. Does not wait for the disk.
    fn read_page_cached(&self, position: u64, len: usize) -> Option<Bytes> {
        let _ = (position, len);
        None
    }

    /// Has the kernel read bytes into its page cache that somebody will want soon. Does not wait for them.
    fn read_ahead(&self, position: u64, len: usize) {
        let _ = (position, len);
    }

    /// Closes the file and reports what a drop would swallow.
    async fn close(self) -> Result<(), DiskError>;
}
