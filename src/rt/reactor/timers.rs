//! The timers of one executor.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::{try_with_current, with_current};

/// Sleeping tasks by when they are due, and then by number; as many as there are tasks that sleep.
#[derive(Debug, Default)]
pub(super) struct Timers {
    waiting: RefCell<BTreeMap<(Instant, u64), Waker>>,
    next_number: Cell<u64>,
}

impl Timers {
    /// When the first is due.
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.waiting.borrow().first_key_value().map(|((due, _), _)| *due)
    }

    /// Wakes those that are due.
    pub(super) fn fire(&self, now: Instant) {
        loop {
            let mut waiting = self.waiting.borrow_mut();
            let Some(first) = waiting.first_entry().filter(|first| first.key().0 <= now) else { return };
            let waker = first.remove();
            drop(waiting);
            waker.wake();
        }
    }

    fn add(&self, due: Instant, waker: &Waker) -> u64 {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        self.waiting.borrow_mut().insert((due, number), waker.clone());
        number
    }

    /// Ready if the timer has fired.
    fn renew(&self, due: Instant, number: u64, waker: &Waker) -> Poll<()> {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.get_mut(&(due, number)) {
            Some(known) if known.will_wake(waker) => Poll::Pending,
            Some(known) => {
                let before = mem::replace(known, waker.clone());
                // Not while the table is borrowed: it may be the last of a task that has timers.
                drop(waiting);
                drop(before);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    fn remove(&self, due: Instant, number: u64) {
        let waker = self.waiting.borrow_mut().remove(&(due, number));
        drop(waker);
    }
}

/// Waits until `due`.
#[derive(Debug)]
pub(in crate::rt) struct Sleep {
    due: Instant,
    /// In the table, once it was polled.
    number: Option<u64>,
    /// The number means something to its own executor only.
    not_send: PhantomData<Rc<()>>,
}

impl Sleep {
    pub(in crate::rt) fn until(due: Instant) -> Self {
        Self { due, number: None, not_send: PhantomData }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        with_current(|reactor| match self.number {
            // Most polls are of whatever runs beside the timer.
            Some(number) => reactor.timers.renew(self.due, number, cx.waker()),
            None if self.due <= Instant::now() => Poll::Ready(()),
            None => {
                let before = reactor.timers.first_due();
                self.number = Some(reactor.timers.add(self.due, cx.waker()));
                if before.is_none_or(|before| self.due < before) {
                    reactor.first_timer_changed();
                }
                Poll::Pending
            }
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // A task that outlives its executor is dropped without one.
            try_with_current(|reactor| reactor.timers.remove(self.due, number));
        }
    }
}
