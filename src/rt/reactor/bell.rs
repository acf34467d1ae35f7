//! How other threads wake an executor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// The bell of one executor. Whoever has left something for it rings; that costs a system call only while
/// the executor sleeps.
///
/// The ringer stores `has_rung` and then reads `is_asleep`, the executor stores `is_asleep` and then reads
/// `has_rung`, all in one order (SeqCst): one of the two sees the other.
#[derive(Debug)]
pub(in crate::rt) struct Bell {
    has_rung: AtomicBool,
    is_asleep: AtomicBool,
    has_ended: AtomicBool,
    event: OwnedFd,
}

impl Bell {
    pub(super) fn new() -> io::Result<Arc<Self>> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let no = || AtomicBool::new(false);
        Ok(Arc::new(Self { has_rung: no(), is_asleep: no(), has_ended: no(), event }))
    }

    /// Has the executor look at what was left for it. From any thread, after leaving it.
    pub(in crate::rt) fn ring(&self) {
        self.has_rung.store(true, Ordering::SeqCst);
        if self.is_asleep.load(Ordering::SeqCst) && self.is_asleep.swap(false, Ordering::SeqCst) {
            // The counter is never read: it would take 2^64 rings to fill it.
            rustix::io::write(&self.event, &1_u64.to_ne_bytes()).ok();
        }
    }

    /// Whether the executor has ended: nobody looks any more.
    pub(in crate::rt) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Becomes readable when it rings during sleep.
    pub(super) fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// Whether it rang since the last call.
    pub(super) fn take(&self) -> bool {
        self.has_rung.load(Ordering::Relaxed) && self.has_rung.swap(false, Ordering::SeqCst)
    }

    /// Before sleep; `false` when it has rung, then the executor stays awake.
    pub(super) fn fall_asleep(&self) -> bool {
        self.is_asleep.store(true, Ordering::SeqCst);
        let is_quiet = !self.has_rung.load(Ordering::SeqCst);
        if !is_quiet {
            self.wake_up();
        }
        is_quiet
    }

    /// After sleep.
    pub(super) fn wake_up(&self) {
        self.is_asleep.store(false, Ordering::Relaxed);
    }
}
