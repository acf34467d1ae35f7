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
use std::fs;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::fs::{Advice, Mode, OFlags, fadvise, fstat, major, minor};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::rt::reactor;
use crate::types::FileSlice;

/// A range counts as cached when the first byte of each piece of this size is, and its last byte. The kernel
/// reads ahead in no smaller strides, and mostly forgets in larger ones; a hole that hides in between costs
/// a wait for the disk, no wrong byte.
const PROBE_STEP: u64 = 128 << 10;

/// The longest stride in which the kernel is told what is wanted.
const STRIDE_MAX: u64 = 8 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    /// On first use; `None` when that failed.
    file: OnceCell<Option<Buffered>>,
}

/// A file that was opened without O_DIRECT.
#[derive(Debug)]
struct Buffered {
    file: Arc<OwnedFd>,
    /// What one advice has the kernel read, at least: it silently stops at its limit for the device.
    stride: u64,
}

impl PageCache {
    /// The `len` bytes from `position` on, if all of them are there. `direct` is any descriptor of the file.
    pub(super) fn slice(&self, direct: BorrowedFd<'_>, position: u64, len: usize) -> Option<FileSlice> {
        let buffered = self.buffered(direct)?;
        probes(position, len).all(|at| buffered.has(at)).then(|| buffered.slice(position, len))
    }

    /// As [`Self::slice`], when the kernel has read what is missing. `None` also when it cannot.
    pub(super) async fn slice_when_read(
        &self,
        direct: BorrowedFd<'_>,
        position: u64,
        len: usize,
    ) -> Option<FileSlice> {
        let buffered = self.buffered(direct)?;
        buffered.will_need(position, len);
        // From the end: what is read in order is there when its last byte is.
        for at in probes(position, len).rev() {
            if !buffered.has(at) && reactor::read_byte(buffered.file.as_fd(), at).await.ok()? != 1 {
                return None;
            }
        }
        Some(buffered.slice(position, len))
    }

    /// A copy of what is there from `position` on, at most `len` bytes.
    pub(super) fn read(&self, direct: BorrowedFd<'_>, position: u64, len: usize) -> Option<Bytes> {
        let mut bytes = BytesMut::zeroed(len);
        let count = self.buffered(direct)?.read_now(position, &mut bytes).filter(|count| 0 < *count)?;
        bytes.truncate(count);
        Some(bytes.freeze())
    }

    /// Starts reading `len` bytes from `position` on into the page cache.
    pub(super) fn read_ahead(&self, direct: BorrowedFd<'_>, position: u64, len: usize) {
        let Some(buffered) = self.buffered(direct) else { return };
        let Some(last) = len.checked_sub(1) else { return };
        // If it is there, from an earlier reader, looking at each page would cost more than this look.
        if !buffered.has(position + last as u64) {
            buffered.will_need(position, len);
        }
    }

    fn buffered(&self, direct: BorrowedFd<'_>) -> Option<&Buffered> {
        self.file.get_or_init(|| Buffered::open(direct)).as_ref()
    }
}

impl Buffered {
    fn open(direct: BorrowedFd<'_>) -> Option<Self> {
        // By descriptor: the path may lead elsewhere by now.
        let path = format!("/proc/self/fd/{}", direct.as_raw_fd());
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        // The kernel's guesses would read beyond what is settled.
        fadvise(&file, 0, None, Advice::Random).ok()?;
        let stride = read_ahead_bytes(file.as_fd()).unwrap_or(0).clamp(PROBE_STEP, STRIDE_MAX);
        Some(Self { file: Arc::new(file), stride })
    }

    fn slice(&self, position: u64, len: usize) -> FileSlice {
        FileSlice::new(Arc::clone(&self.file), position, len)
    }

    fn has(&self, position: u64) -> bool {
        self.read_now(position, &mut [0]) == Some(1)
    }

    /// Reads what is in the page cache; `None` when that would mean waiting. A look at a page that is missing
    /// has the kernel fetch it.
    fn read_now(&self, position: u64, buf: &mut [u8]) -> Option<usize> {
        preadv2(&self.file, &mut [IoSliceMut::new(buf)], position, ReadWriteFlags::NOWAIT).ok()
    }

    /// Has the kernel read what it has not of these bytes.
    fn will_need(&self, position: u64, len: usize) {
        let end = position + len as u64;
        let mut at = position;
        while at < end {
            // What it does not read now is read when it is looked at.
            let _ = fadvise(&self.file, at, NonZeroU64::new(self.stride.min(end - at)), Advice::WillNeed);
            at += self.stride;
        }
    }
}

/// The places that are looked at to know whether the `len` bytes from `position` on are cached.
fn probes(position: u64, len: usize) -> impl DoubleEndedIterator<Item = u64> {
    let last = len.checked_sub(1);
    let steps = (0..last.unwrap_or(0)).step_by(PROBE_STEP as usize);
    steps.chain(last).map(move |at| position + at as u64)
}

/// How far the kernel reads ahead on the device of a file, as the host has set it. It takes advice about at
/// least as many bytes at a time.
fn read_ahead_bytes(file: BorrowedFd<'_>) -> Option<u64> {
    let device = fstat(file).ok()?.st_dev;
    let path = format!("/sys/class/bdi/{}:{}/read_ahead_kb", major(device), minor(device));
    let kib: u64 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
