//! What the kernel's page cache knows of a file that is otherwise read and written directly.
//!
//! Bytes that lie in the page cache go to a socket without a copy in this process, and without one in the
//! kernel: `sendfile` passes the pages on. Direct writes leave nothing there, so a reader asks for what it
//! will want with [`PageCache::read_ahead`], and waits with [`PageCache::slice_when_read`] for what is
//! missing.
//!
//! Only for bytes that do not change any more: a direct write drops the pages it overlaps, but a page that
//! is being read at that moment would be a matter of luck.

use std::cell::OnceCell;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::fs::{Advice, Mode, OFlags, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::rt::reactor;
use crate::types::FileSlice;

/// A range counts as cached when the first byte of each piece of this size is, and its last byte. The
/// kernel reads ahead and forgets in larger strides; a hole that hides in between costs a wait for the
/// disk, no wrong byte.
const PROBE_STEP: usize = 128 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    /// The file opened without O_DIRECT, on first use; `None` when that failed.
    file: OnceCell<Option<Arc<OwnedFd>>>,
}

impl PageCache {
    /// The `len` bytes from `position` on, if all of them are there. `direct` is any descriptor of the file.
    pub(super) fn slice(&self, direct: BorrowedFd<'_>, position: u64, len: usize) -> Option<FileSlice> {
        let file = self.file(direct)?;
        let mut probes = probes(position, len);
        probes.all(|at| is_cached(file, at)).then(|| FileSlice::new(Arc::clone(file), position, len))
    }

    /// As [`Self::slice`], when the kernel has read what is missing. `None` also when it cannot.
    pub(super) async fn slice_when_read(
        &self,
        direct: BorrowedFd<'_>,
        position: u64,
        len: usize,
    ) -> Option<FileSlice> {
        let file = self.file(direct)?;
        fadvise(file, position, NonZeroU64::new(len as u64), Advice::WillNeed).ok()?;
        // From the end: what is read in order is there when its last byte is.
        for at in probes(position, len).rev() {
            if !is_cached(file, at) && reactor::read_byte(file.as_fd(), at).await.ok()? != 1 {
                return None;
            }
        }
        Some(FileSlice::new(Arc::clone(file), position, len))
    }

    /// A copy of what is there from `position` on, at most `len` bytes.
    pub(super) fn read(&self, direct: BorrowedFd<'_>, position: u64, len: usize) -> Option<Bytes> {
        let mut bytes = BytesMut::zeroed(len);
        let count = read_now(self.file(direct)?, position, &mut bytes).filter(|count| 0 < *count)?;
        bytes.truncate(count);
        Some(bytes.freeze())
    }

    /// Starts reading `len` bytes from `position` on into the page cache.
    pub(super) fn read_ahead(&self, direct: BorrowedFd<'_>, position: u64, len: usize) {
        let Some(file) = self.file(direct) else { return };
        let Some(last) = len.checked_sub(1) else { return };
        if is_cached(file, position + last as u64) {
            // It is there, from an earlier reader: looking at each page would cost more than this look.
            return;
        }
        // What is not read ahead is waited for when its time comes.
        let _ = fadvise(file, position, NonZeroU64::new(len as u64), Advice::WillNeed);
    }

    fn file(&self, direct: BorrowedFd<'_>) -> Option<&Arc<OwnedFd>> {
        self.file.get_or_init(|| open_buffered(direct)).as_ref()
    }
}

/// The places that are looked at to know whether the `len` bytes from `position` on are cached.
fn probes(position: u64, len: usize) -> impl DoubleEndedIterator<Item = u64> {
    let last = len.checked_sub(1);
    let steps = (0..last.unwrap_or(0)).step_by(PROBE_STEP);
    steps.chain(last).map(move |at| position + at as u64)
}

fn is_cached(file: &OwnedFd, position: u64) -> bool {
    read_now(file, position, &mut [0]) == Some(1)
}

fn open_buffered(direct: BorrowedFd<'_>) -> Option<Arc<OwnedFd>> {
    use std::os::fd::AsRawFd;
    // By descriptor: the path may lead elsewhere by now.
    let path = format!("/proc/self/fd/{}", direct.as_raw_fd());
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // The kernel's guesses would read beyond what is settled.
    fadvise(&file, 0, None, Advice::Random).ok()?;
    Some(Arc::new(file))
}

/// Reads what is in the page cache; `None` when that would mean waiting. A look at a page that is missing
/// has the kernel fetch it.
fn read_now(file: &OwnedFd, position: u64, buf: &mut [u8]) -> Option<usize> {
    preadv2(file, &mut [IoSliceMut::new(buf)], position, ReadWriteFlags::NOWAIT).ok()
}
