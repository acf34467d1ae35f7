//! Descriptors that are watched for readiness.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::{Reactor, try_with_current, with_current};

const READABLE: u32 = (libc::POLLIN | libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;
const WRITABLE: u32 = (libc::POLLOUT | libc::POLLHUP | libc::POLLERR) as u32;
/// The other side has ended, which it does once: from then on reads are always worth a try.
const ENDED: u32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;

/// One of the two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rt) enum Direction {
    Read,
    Write,
}

/// What is known of a descriptor.
#[derive(Debug)]
pub(super) struct Readiness {
    /// Whether a call is worth a try, by direction; both are at first.
    is_ready: [Cell<bool>; 2],
    has_ended: Cell<bool>,
    wakers: RefCell<[Option<Waker>; 2]>,
    /// The request that watches it.
    number: Cell<Option<usize>>,
}

impl Readiness {
    /// Events that came.
    pub(super) fn note(&self, events: i32) {
        let events = events.cast_unsigned();
        if events & ENDED != 0 {
            self.has_ended.set(true);
        }
        for (direction, mask) in [(Direction::Read, READABLE), (Direction::Write, WRITABLE)] {
            if events & mask != 0 {
                self.set_ready(direction);
            }
        }
    }

    /// The watch has ended by itself. Its last events may have got lost: whoever waits tries, and the next
    /// wait begins another watch.
    pub(super) fn unwatched(&self) {
        self.number.set(None);
        self.set_ready(Direction::Read);
        self.set_ready(Direction::Write);
    }

    fn set_ready(&self, direction: Direction) {
        self.is_ready[direction as usize].set(true);
        let waker = self.wakers.borrow_mut()[direction as usize].take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A descriptor of this executor, closed when dropped. One task may wait in each direction.
#[derive(Debug)]
pub(in crate::rt) struct Source {
    fd: OwnedFd,
    readiness: Rc<Readiness>,
}

impl Source {
    /// A descriptor that does not block.
    pub(in crate::rt) fn new(fd: OwnedFd) -> Self {
        let readiness = Readiness {
            is_ready: [Cell::new(true), Cell::new(true)],
            has_ended: Cell::new(false),
            wakers: RefCell::default(),
            number: Cell::new(None),
        };
        Self { fd, readiness: Rc::new(readiness) }
    }

    /// A call would have blocked: the next [`Self::ready`] waits for an event.
    pub(in crate::rt) fn would_block(&self, direction: Direction) {
        self.readiness.is_ready[direction as usize].set(false);
    }

    /// A read has taken all there was, so that the next one would block, unless the stream has ended: that
    /// is an event which may have come already.
    pub(in crate::rt) fn drained(&self) {
        if !self.readiness.has_ended.get() {
            self.would_block(Direction::Read);
        }
    }

    /// Waits until a call is worth a try.
    pub(in crate::rt) async fn ready(&self, direction: Direction) {
        poll_fn(|cx| {
            let readiness = &self.readiness;
            if readiness.is_ready[direction as usize].get() {
                return Poll::Ready(());
            }
            let before = readiness.wakers.borrow_mut()[direction as usize].replace(cx.waker().clone());
            drop(before);
            with_current(|reactor| self.watch(reactor));
            Poll::Pending
        })
        .await;
    }

    /// Has events noted, unless they are already.
    pub(super) fn watch(&self, reactor: &Reactor) {
        if self.readiness.number.get().is_none() {
            let number = reactor.ring.watch(self.fd.as_raw_fd(), &self.readiness);
            self.readiness.number.set(Some(number));
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(number) = self.readiness.number.take() {
            // A task that outlives its executor is dropped without one.
            try_with_current(|reactor| reactor.ring.unwatch(number));
        }
    }
}
