//! The ring: requests that complete once, and sockets that are watched.

#![expect(unsafe_code, reason = "requests name descriptors and memory by number and address")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};

use super::readiness::Readiness;
use super::{try_with_current, with_current};
use crate::rt::sync::Notify;

/// Requests that fit into one submission; each is submitted at once, so that few are enough.
const SUBMISSIONS: u32 = 64;

/// Completions between two looks; the kernel keeps what is beyond, and [`Ring::reap`] asks for it.
const COMPLETIONS: u32 = 4096;

/// Attempts to submit one request. The kernel refuses one for lack of memory only, which passes or ends us.
const SUBMIT_ATTEMPTS_MAX: usize = 100_000;

/// The longest sleep. The kernel takes the end of a much longer one for the past.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Completions of requests that nobody waits for.
const NOBODY: u64 = u64::MAX;

/// What a watched descriptor is asked for.
const WATCHED: u32 = (libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP) as u32;

/// The ring of one executor, used by its thread only.
pub(super) struct Ring {
    uring: RefCell<IoUring>,
    /// As many as there ever were at once: one for each socket, and those that the log and the responses
    /// bound.
    requests: RefCell<Vec<Request>>,
    vacant: RefCell<Vec<usize>>,
    /// Requests whose one result is still to come.
    in_flight: Cell<usize>,
    /// All requests have their result.
    idle: Notify,
    /// Completions that were taken from the ring and not looked at yet.
    taken: RefCell<VecDeque<Taken>>,
}

struct Taken {
    number: u64,
    result: i32,
    flags: u32,
}

/// What a completion's number stands for. A number is vacant again after its last completion.
enum Request {
    Vacant,
    /// Has one result. `keeps` is what the kernel reads or writes meanwhile.
    Once {
        waker: Option<Waker>,
        keeps: Option<Rc<dyn Any>>,
    },
    /// The result is there. If it `keeps` something, the kernel still reads, and completes once more.
    Done {
        result: i32,
        keeps: Option<Rc<dyn Any>>,
    },
    /// Nobody waits any more.
    Abandoned {
        keeps: Option<Rc<dyn Any>>,
    },
    /// Completes at each event.
    Watch(Rc<Readiness>),
    /// Until its last completion.
    Unwatched,
}

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(COMPLETIONS);
        let plain = builder.clone();
        // Completions wait for this thread to come by the kernel, and interrupt nobody.
        builder.setup_coop_taskrun().setup_taskrun_flag().setup_single_issuer();
        // Kernels before 6.0 do not know these.
        let uring = builder.build(SUBMISSIONS).or_else(|_| plain.build(SUBMISSIONS))?;
        Ok(Self {
            uring: RefCell::new(uring),
            requests: RefCell::default(),
            vacant: RefCell::default(),
            in_flight: Cell::new(0),
            idle: Notify::new(),
            taken: RefCell::default(),
        })
    }

    pub(super) fn as_raw_fd(&self) -> RawFd {
        self.uring.borrow().as_raw_fd()
    }

    /// Waits until all requests have their result.
    pub(super) async fn idle(&self) {
        while 0 < self.in_flight.get() {
            self.idle.wait().await;
        }
    }

    /// Hands a request to the kernel at once: a descriptor that is closed after this does no harm.
    ///
    /// # Safety
    /// The memory that `entry` names stays as it is until the request's completion.
    unsafe fn submit(&self, entry: &Entry) {
        // SAFETY: the caller vouches for the memory.
        let pushed = unsafe { self.uring.borrow_mut().submission().push(entry) };
        pushed.expect("all before it were submitted");
        let mut errno = None;
        for _ in 0..SUBMIT_ATTEMPTS_MAX {
            let submitted = self.uring.borrow().submit();
            match submitted.map_err(|error| error.raw_os_error()) {
                Ok(_) => return,
                // It has no memory for a request, or for more completions: these are not looked at before
                // whoever submits is done.
                Err(error @ Some(libc::EAGAIN | libc::EBUSY | libc::EINTR)) => errno = error,
                Err(error) => panic!("the kernel takes no requests any more: errno {error:?}"),
            }
            self.take();
        }
        panic!("the kernel took no request in {SUBMIT_ATTEMPTS_MAX} attempts: errno {errno:?}");
    }

    fn add(&self, request: Request) -> usize {
        match self.vacant.borrow_mut().pop() {
            Some(number) => {
                self.swap(number, request);
                number
            }
            None => {
                let mut requests = self.requests.borrow_mut();
                requests.push(request);
                requests.len() - 1
            }
        }
    }

    fn swap(&self, number: usize, request: Request) -> Request {
        mem::replace(&mut self.requests.borrow_mut()[number], request)
    }

    /// The number stands for nothing any more.
    fn free(&self, number: usize) {
        self.swap(number, Request::Vacant);
        self.vacant.borrow_mut().push(number);
    }

    /// Looks at the completions that are there.
    pub(super) fn reap(&self) {
        loop {
            let is_overflown = self.run_deferred();
            self.take();
            // Not borrowed while it is looked at: that may bring requests, and they completions.
            while let Some(taken) = self.pop_taken() {
                if taken.number != NOBODY {
                    self.complete(taken);
                }
            }
            // What the kernel kept beyond the ring has its place there now.
            if !is_overflown {
                return;
            }
        }
    }

    /// Runs what the kernel has put off until this thread comes by. Whether there are more completions than
    /// the ring holds.
    fn run_deferred(&self) -> bool {
        let (has_work, is_overflown) = {
            let mut uring = self.uring.borrow_mut();
            let submission = uring.submission();
            (submission.taskrun(), submission.cq_overflow())
        };
        if has_work || is_overflown {
            // Interrupted or busy: the next look finds it.
            self.uring.borrow().submit_and_wait(0).ok();
        }
        is_overflown
    }

    fn take(&self) {
        let mut uring = self.uring.borrow_mut();
        let taken = uring.completion().map(|entry| Taken {
            number: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        });
        self.taken.borrow_mut().extend(taken);
    }

    fn pop_taken(&self) -> Option<Taken> {
        self.taken.borrow_mut().pop_front()
    }

    fn complete(&self, Taken { number, result, flags }: Taken) {
        let (has_more, is_result) = (cqueue::more(flags), !cqueue::notif(flags));
        let number = usize::try_from(number).expect("ours are places in a table");
        // Nothing is borrowed while wakers and memory are dropped: they may bring requests of their own.
        match self.swap(number, Request::Vacant) {
            Request::Watch(readiness) => {
                if has_more {
                    self.swap(number, Request::Watch(Rc::clone(&readiness)));
                    readiness.note(result);
                } else {
                    self.free(number);
                    readiness.unwatched();
                }
            }
            Request::Unwatched if has_more => drop(self.swap(number, Request::Unwatched)),
            Request::Unwatched => self.free(number),
            Request::Once { waker, keeps } => {
                self.has_result();
                let (keeps, released) = if has_more { (keeps, None) } else { (None, keeps) };
                self.swap(number, Request::Done { result, keeps });
                drop(released);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Request::Done { result, keeps } => {
                self.swap(number, Request::Done { result, keeps: None });
                drop(keeps);
            }
            Request::Abandoned { keeps } => {
                if is_result {
                    self.has_result();
                }
                if has_more {
                    self.swap(number, Request::Abandoned { keeps });
                } else {
                    self.free(number);
                    drop(keeps);
                }
            }
            Request::Vacant => unreachable!("a number is vacant after its last completion"),
        }
    }

    fn has_result(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        if self.in_flight.get() == 0 {
            self.idle.notify_all();
        }
    }

    /// Sleeps until there is a completion, or for as long as `longest`.
    pub(super) fn wait(&self, longest: Option<Duration>) {
        let uring = self.uring.borrow();
        let longest = Timespec::from(longest.unwrap_or(SLEEP_MAX).min(SLEEP_MAX));
        let waited = uring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&longest));
        match waited.map_err(|error| error.raw_os_error()) {
            Ok(_) | Err(Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
            Err(error) => panic!("cannot wait for the kernel: errno {error:?}"),
        }
    }

    /// Begins to note the events of a descriptor.
    pub(super) fn watch(&self, fd: RawFd, readiness: &Rc<Readiness>) -> usize {
        let number = self.add(Request::Watch(Rc::clone(readiness)));
        let entry = opcode::PollAdd::new(Fd(fd), WATCHED).multi(true).build().user_data(number as u64);
        // SAFETY: the request names no memory.
        unsafe { self.submit(&entry) };
        number
    }

    /// Ends a watch that has not ended by itself.
    pub(super) fn unwatch(&self, number: usize) {
        drop(self.swap(number, Request::Unwatched));
        // Removing the poll would fail while an event is on its way; cancelling it does not.
        let entry = opcode::AsyncCancel::new(number as u64).build().user_data(NOBODY);
        // SAFETY: the request names no memory.
        unsafe { self.submit(&entry) };
    }

    /// Begins a request that has one result.
    ///
    /// # Safety
    /// What the kernel reads or writes for it belongs to `keeps`, and nobody else changes it as long as that
    /// lives.
    pub(super) unsafe fn begin(&self, entry: Entry, keeps: Option<Rc<dyn Any>>) -> Completion {
        let number = self.add(Request::Once { waker: None, keeps });
        self.in_flight.set(self.in_flight.get() + 1);
        // SAFETY: the table keeps `keeps` until the completion.
        unsafe { self.submit(&entry.user_data(number as u64)) };
        Completion { number: Some(number), not_send: PhantomData }
    }

    /// Descriptors that the kernel still watches.
    #[cfg(test)]
    pub(super) fn watched(&self) -> usize {
        let is_watch = |request: &&Request| matches!(request, Request::Watch(_) | Request::Unwatched);
        self.requests.borrow().iter().filter(is_watch).count()
    }

    fn poll_once(&self, number: usize, cx: &mut Context<'_>) -> Poll<i32> {
        match self.swap(number, Request::Vacant) {
            Request::Done { result, keeps: None } => {
                self.free(number);
                Poll::Ready(result)
            }
            Request::Done { result, keeps } => {
                self.swap(number, Request::Abandoned { keeps });
                Poll::Ready(result)
            }
            Request::Once { waker: before, keeps } => {
                self.swap(number, Request::Once { waker: Some(cx.waker().clone()), keeps });
                drop(before);
                Poll::Pending
            }
            _ => unreachable!("the number belongs to whoever polls"),
        }
    }

    fn abandon(&self, number: usize) {
        match self.swap(number, Request::Vacant) {
            Request::Once { waker, keeps } => {
                self.swap(number, Request::Abandoned { keeps });
                drop(waker);
            }
            Request::Done { keeps: Some(keeps), .. } => {
                self.swap(number, Request::Abandoned { keeps: Some(keeps) });
            }
            _ => self.free(number),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel may still read what these keep.
        for request in self.requests.take() {
            match request {
                Request::Once { keeps, .. } | Request::Done { keeps, .. } | Request::Abandoned { keeps } => {
                    mem::forget(keeps);
                }
                Request::Vacant | Request::Watch(_) | Request::Unwatched => {}
            }
        }
    }
}

/// The result of a request: what the system call would return, or its error. Dropping it leaves the request
/// running.
pub(in crate::rt) struct Completion {
    number: Option<usize>,
    /// The number means something to its own executor only.
    not_send: PhantomData<Rc<()>>,
}

impl Future for Completion {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let number = self.number.expect("a completion is polled until it is ready");
        with_current(|reactor| reactor.ring.poll_once(number, cx)).map(|result| {
            self.number = None;
            usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
        })
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // A task that outlives its executor is dropped without one.
            try_with_current(|reactor| reactor.ring.abandon(number));
        }
    }
}
