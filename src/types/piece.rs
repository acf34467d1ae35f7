//! Bytes on their way to a socket: in memory, or still in a file.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;

/// A stretch of bytes to be sent, shared by reference count and never copied on the way.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes in memory of this process.
    Memory(Bytes),
    /// Bytes that the kernel sends from its page cache.
    File(FileSlice),
}

impl Piece {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(slice) => slice.len,
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self::Memory(bytes)
    }
}

/// Bytes of a file that change no more for as long as somebody may send them. Keeps the file open, also
/// once its name is gone.
#[derive(Clone)]
pub struct FileSlice {
    file: Arc<OwnedFd>,
    position: u64,
    len: usize,
}

impl FileSlice {
    /// `len` bytes from `position` on.
    pub fn new(file: Arc<OwnedFd>, position: u64, len: usize) -> Self {
        Self { file, position, len }
    }

    /// The open file.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where the bytes start in the file.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Drops the first `count` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len, "advance by {count} of {} bytes", self.len);
        self.position += count as u64;
        self.len -= count;
    }
}

impl fmt::Debug for FileSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSlice").field("position", &self.position).field("len", &self.len).finish()
    }
}
