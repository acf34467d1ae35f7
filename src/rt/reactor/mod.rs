//! What wakes the tasks of an executor: sockets, written files, timers, other threads.
//!
//! glommio runs the tasks, opens files and reads them. It looks at its three rings between two rounds of
//! its tasks, which takes four system calls and five submissions (most of them timers that it arms and
//! cancels), and each of its sleeps interrupts the other cores with a memory barrier. With small requests
//! that was a third of a core. So everything that happens all the time goes through a ring of our own:
//! sockets are watched by one request for as long as they live, a file is written by one request, and a
//! task that is always in the run queue, the [driver](drive), looks at its completions between two rounds
//! and sleeps in the kernel when nothing else is runnable.
//!
//! The driver never sleeps while a call of glommio's is under way ([`through_glommio`]): then it leaves the
//! run queue, glommio finds it empty and sleeps itself, and our ring is one of the things that wake it. So
//! what is rare costs what it did, and one of the two sleeps at a time.
//!
//! Sleep, from outside, is [`Bell`]'s.

#![expect(unsafe_code, reason = "descriptors and memory are handed to the kernel")]

mod bell;
mod in_place;
mod readiness;
mod ring;
#[cfg(test)]
mod tests;
mod timers;

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_lite::AsyncRead;
use futures_lite::future::or;
use glommio::TaskQueueHandle;
use glommio::net::TcpStream;
use io_uring::opcode;
use io_uring::types::{Fd, FsyncFlags};
use pin_project_lite::pin_project;

use super::sync::Notify;
use super::task;
use crate::disk::WriteSync;

pub(super) use bell::Bell;
pub(super) use in_place::send_in_place;
pub(super) use readiness::{Direction, Source};
pub(super) use ring::Completion;
pub(super) use timers::Sleep;

/// How long the driver leaves our ring alone while the process has no descriptor to wait for it.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_millis(1);

/// The wait that makes glommio look at everything.
const SHORTEST_TIMER: Duration = Duration::from_micros(1);

/// Pieces of memory that one write may name (`IOV_MAX`).
const VECTORS_MAX: usize = 1024;

/// What belongs to one executor.
pub(super) struct Reactor {
    ring: ring::Ring,
    timers: timers::Timers,
    bell: Arc<Bell>,
    /// The bell's way into the ring.
    bell_event: Source,
    /// Calls of glommio's that are under way.
    glommio_calls: Cell<usize>,
    /// Something waits in glommio's rings that nobody waits for.
    wants_pass: Cell<bool>,
    /// The driver has left sleep to glommio.
    is_passive: Cell<bool>,
    is_ending: Cell<bool>,
    /// No call of glommio's is left, or another timer is the first, or the executor ends.
    passive_changed: Notify,
    /// Everything was looked at.
    looked: Notify,
    /// The bell rang.
    rung: Notify,
    /// How long the driver slept in all.
    slept: Cell<Duration>,
}

thread_local! {
    static CURRENT: OnceCell<Rc<Reactor>> = const { OnceCell::new() };

    /// Polls of this executor's tasks, the driver's left out.
    static POLLS: Cell<u64> = const { Cell::new(0) };
}

fn try_with_current<T>(use_it: impl FnOnce(&Reactor) -> T) -> Option<T> {
    CURRENT.try_with(|current| current.get().map(|reactor| use_it(reactor))).ok().flatten()
}

fn with_current<T>(use_it: impl FnOnce(&Reactor) -> T) -> T {
    try_with_current(use_it).expect("waits are polled on an executor of rt::executor")
}

fn current() -> Rc<Reactor> {
    let current = CURRENT.with(|current| current.get().map(Rc::clone));
    current.expect("waits are polled on an executor of rt::executor")
}

/// Makes the reactor of the executor on this thread and starts its driver; once, before any other task.
pub(super) fn start(background: TaskQueueHandle) -> io::Result<()> {
    let bell = Bell::new()?;
    let bell_event = Source::new(bell.event().try_clone_to_owned()?);
    let reactor = Rc::new(Reactor {
        ring: ring::Ring::new()?,
        timers: timers::Timers::default(),
        bell,
        bell_event,
        glommio_calls: Cell::new(0),
        wants_pass: Cell::new(false),
        is_passive: Cell::new(false),
        is_ending: Cell::new(false),
        passive_changed: Notify::new(),
        looked: Notify::new(),
        rung: Notify::new(),
        slept: Cell::new(Duration::ZERO),
    });
    CURRENT.with(|current| assert!(current.set(Rc::clone(&reactor)).is_ok(), "an executor is started once"));
    let driver = drive(reactor, background);
    glommio::spawn_local_into(driver, TaskQueueHandle::default()).expect("it is always there").detach();
    Ok(())
}

/// Waits until the kernel works on nothing of ours any more, and ends the driver.
pub(super) async fn end() {
    let reactor = current();
    reactor.ring.idle().await;
    reactor.bell.end();
    reactor.is_ending.set(true);
    reactor.passive_changed.notify_all();
}

pin_project! {
    /// A future whose polls the driver counts: whatever is spawned is one.
    pub(super) struct Counted<F> {
        #[pin]
        future: F,
    }
}

/// `future`, so that the driver knows when it had a turn.
pub(super) fn counted<F: Future>(future: F) -> Counted<F> {
    Counted { future }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        POLLS.set(POLLS.get() + 1);
        self.project().future.poll(cx)
    }
}

pin_project! {
    /// A call of glommio's other than its yields and spawns.
    pub(super) struct ThroughGlommio<F> {
        #[pin]
        call: F,
        under_way: GlommioCall,
    }
}

/// `call`, which waits for glommio to look at its rings.
pub(super) fn through_glommio<F: Future>(call: F) -> ThroughGlommio<F> {
    ThroughGlommio { call, under_way: GlommioCall::begin() }
}

impl<F: Future> Future for ThroughGlommio<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().call.poll(cx)
    }
}

struct GlommioCall;

impl GlommioCall {
    fn begin() -> Self {
        with_current(|reactor| reactor.glommio_calls.set(reactor.glommio_calls.get() + 1));
        Self
    }
}

impl Drop for GlommioCall {
    fn drop(&mut self) {
        try_with_current(|reactor| {
            reactor.glommio_calls.set(reactor.glommio_calls.get() - 1);
            if reactor.glommio_calls.get() == 0 {
                reactor.passive_changed.notify_all();
            }
        });
    }
}

/// Has glommio look at its rings soon: something waits there that nobody waits for.
pub(super) fn want_glommio_pass() {
    try_with_current(|reactor| reactor.wants_pass.set(true));
}

/// Leaves the run queue until glommio has looked at everything.
async fn glommio_pass() {
    let mut wait = SHORTEST_TIMER;
    // A timer that was due when it was first polled, on a busy machine, has not left the queue at all.
    while !has_left_queue(glommio::timer::sleep(wait)).await {
        wait *= 2;
    }
}

/// Waits for `wait`; whether the task left the run queue for it, and did not find it over at once.
async fn has_left_queue(wait: impl Future<Output = ()>) -> bool {
    let mut wait = pin!(wait);
    let mut has_left = false;
    poll_fn(|cx| {
        let waited = wait.as_mut().poll(cx);
        has_left |= waited.is_pending();
        waited
    })
    .await;
    has_left
}

/// Waits until everything was looked at once more, by the driver or, while it is passive, by glommio.
pub(super) async fn look() {
    let reactor = current();
    if !reactor.is_passive.get() {
        reactor.looked.wait().await;
    }
    // The driver may have become passive instead.
    if reactor.is_passive.get() {
        through_glommio(glommio_pass()).await;
    }
}

/// The bell of this executor.
pub(super) fn bell() -> Arc<Bell> {
    with_current(|reactor| Arc::clone(&reactor.bell))
}

/// Waits until the bell rings.
pub(super) async fn rung() {
    current().rung.wait().await;
}

/// Whether glommio sleeps for this executor at the moment, so that only its passes look at anything.
pub(super) fn is_passive() -> bool {
    with_current(|reactor| reactor.is_passive.get())
}

/// How long the executor slept in the driver, which is a task to glommio.
pub(super) fn slept() -> Duration {
    with_current(|reactor| reactor.slept.get())
}

/// Begins to write the bytes that `vectors` name, one behind the other, to `position` of a file.
///
/// # Safety
/// As long as `memory` lives, the bytes stay where they are and as they are.
pub(super) unsafe fn write(
    file: BorrowedFd<'_>,
    vectors: Vec<libc::iovec>,
    memory: impl Any,
    position: u64,
    sync: WriteSync,
) -> Completion {
    let flags = match sync {
        WriteSync::None => 0,
        WriteSync::Data => libc::RWF_DSYNC,
    };
    let file = Fd(file.as_raw_fd());
    let entry = match &vectors[..] {
        [one] => {
            let len = u32::try_from(one.iov_len).expect("buffers are far below 4 GiB");
            opcode::Write::new(file, one.iov_base.cast(), len).offset(position).rw_flags(flags).build()
        }
        all => {
            assert!(all.len() <= VECTORS_MAX, "a write of {} pieces", all.len());
            opcode::Writev::new(file, all.as_ptr(), all.len() as u32).offset(position).rw_flags(flags).build()
        }
    };
    // SAFETY: the caller vouches for the bytes, and the ring keeps the memory and the vectors, which lie on
    // the heap, until the kernel is done.
    with_current(|reactor| unsafe { reactor.ring.begin(entry, Some(Rc::new((vectors, memory)))) })
}

/// Begins to read one byte of a file, only to have it read. The result is 0 behind its end.
pub(super) fn read_byte(file: BorrowedFd<'_>, position: u64) -> Completion {
    let byte = Rc::new(Cell::new(0_u8));
    let entry = opcode::Read::new(Fd(file.as_raw_fd()), byte.as_ptr(), 1).offset(position);
    // SAFETY: the byte is on the heap, and the ring keeps it there until the kernel is done. Nobody else has
    // it.
    with_current(|reactor| unsafe { reactor.ring.begin(entry.build(), Some(byte)) })
}

/// Begins to make the contents of a file durable.
pub(super) fn sync_data(file: BorrowedFd<'_>) -> Completion {
    let entry = opcode::Fsync::new(Fd(file.as_raw_fd())).flags(FsyncFlags::DATASYNC);
    // SAFETY: the request names no memory.
    with_current(|reactor| unsafe { reactor.ring.begin(entry.build(), None) })
}

/// Looks at everything between two rounds of the tasks, and sleeps when none is runnable.
async fn drive(reactor: Rc<Reactor>, background: TaskQueueHandle) {
    while !reactor.is_ending.get() {
        reactor.look();
        let polls = POLLS.get();
        // Behind everything in the foreground that is runnable. The background would wait for ever if the
        // foreground's queue were not left.
        glommio::executor().yield_task_queue_now().await;
        if reactor.is_glommio_needed() {
            reactor.leave_to_glommio().await;
        } else if polls == POLLS.get() {
            // The foreground had nothing to do. The background's turn comes before this one ends.
            glommio::spawn_local_into(async {}, background).expect("task queues are never removed").await;
            if polls == POLLS.get() && !reactor.is_glommio_needed() {
                reactor.sleep();
            }
        }
    }
}

impl Reactor {
    fn look(&self) {
        self.ring.reap();
        let now = Instant::now();
        task::note_look(now);
        self.timers.fire(now);
        if self.bell.take() {
            self.rung.notify_all();
        }
        if 0 < self.looked.waiting() {
            self.looked.notify_all();
        }
        self.bell_event.watch(self);
    }

    fn is_glommio_needed(&self) -> bool {
        0 < self.glommio_calls.get() || self.wants_pass.get()
    }

    fn sleep(&self) {
        let now = Instant::now();
        let longest = self.timers.first_due().map(|due| due.saturating_duration_since(now));
        if longest == Some(Duration::ZERO) || !self.bell.fall_asleep() {
            return;
        }
        self.ring.wait(longest);
        self.bell.wake_up();
        self.slept.set(self.slept.get() + now.elapsed());
    }

    /// Lets glommio submit what it has and sleep, until something comes that is ours or no call of
    /// glommio's is left. glommio looks at its rings at least once meanwhile.
    async fn leave_to_glommio(&self) {
        self.is_passive.set(true);
        self.looked.notify_all();
        let mut has_left = false;
        if !self.wants_pass.replace(false) && self.bell.fall_asleep() {
            let ours = or(self.timer_due(), self.no_calls());
            has_left = has_left_queue(or(ring_is_readable(self.ring.as_raw_fd()), ours)).await;
            self.bell.wake_up();
        }
        if !has_left {
            glommio_pass().await;
        }
        self.is_passive.set(false);
    }

    async fn timer_due(&self) {
        while self.timers.first_due().is_none_or(|due| Instant::now() < due) {
            let changed = self.passive_changed.wait();
            match self.timers.first_due() {
                None => changed.await,
                Some(due) => {
                    or(glommio::timer::sleep(due.saturating_duration_since(Instant::now())), changed).await;
                }
            }
        }
    }

    async fn no_calls(&self) {
        while 0 < self.glommio_calls.get() && !self.is_ending.get() {
            self.passive_changed.wait().await;
        }
    }

    fn first_timer_changed(&self) {
        if self.is_passive.get() {
            self.passive_changed.notify_all();
        }
    }
}

/// Waits in glommio until our ring has completions.
async fn ring_is_readable(ring: RawFd) {
    // SAFETY: the descriptor belongs to a ring that lives as long as its executor.
    let copy = unsafe { BorrowedFd::borrow_raw(ring) }.try_clone_to_owned();
    let Ok(copy) = copy else {
        // Out of descriptors: glommio's timer looks after it meanwhile.
        return glommio::timer::sleep(NO_DESCRIPTOR_PAUSE).await;
    };
    // SAFETY: the descriptor is a fresh duplicate that nothing else owns.
    let mut poller = unsafe { TcpStream::from_raw_fd(copy.into_raw_fd()) };
    // A stream starts with a poll for readability. Reading from a ring fails, but only once that poll has
    // completed, which is all that is wanted.
    poll_fn(|cx| Pin::new(&mut poller).poll_read(cx, &mut [0])).await.ok();
}
