//! A condition that tasks wait for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Wakes tasks that wait.
///
/// A wait counts from the call of [`Notify::wait`], not from its first poll. [`Notify::notify_one`]
/// with nobody waiting is remembered, once, for the next wait; [`Notify::notify_all`] is not.
#[derive(Debug, Default)]
pub struct Notify {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Waits by number, so that the first is the oldest. One waker each, however often it is polled.
    waiting: BTreeMap<u64, Option<Waker>>,
    /// Waits that `notify_one` chose and that have not been polled since.
    chosen: BTreeSet<u64>,
    next: u64,
    permit: bool,
}

impl Notify {
    /// Nobody waits, nothing is remembered.
    pub fn new() -> Self {
        Self::default()
    }

    /// A future that is ready once this was notified.
    pub fn wait(&self) -> Wait<'_> {
        let mut state = self.state.borrow_mut();
        let number = state.next;
        state.next += 1;
        if std::mem::take(&mut state.permit) {
            state.chosen.insert(number);
        } else {
            state.waiting.insert(number, None);
        }
        Wait { notify: self, number, done: false }
    }

    /// Wakes everybody who waits now.
    pub fn notify_all(&self) {
        // Taken out first: a waker must not find the state borrowed.
        let waiting = std::mem::take(&mut self.state.borrow_mut().waiting);
        waiting.into_values().flatten().for_each(Waker::wake);
    }

    /// Wakes who waits longest, or remembers this for the next wait.
    pub fn notify_one(&self) {
        let mut state = self.state.borrow_mut();
        match state.waiting.pop_first() {
            Some((number, waker)) => {
                state.chosen.insert(number);
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            None => state.permit = true,
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.state.borrow().waiting.len()
    }
}

/// The future of [`Notify::wait`].
#[derive(Debug)]
pub struct Wait<'a> {
    notify: &'a Notify,
    number: u64,
    done: bool,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.notify.state.borrow_mut();
        match state.waiting.get_mut(&self.number) {
            Some(Some(waker)) => waker.clone_from(cx.waker()),
            Some(waker) => *waker = Some(cx.waker().clone()),
            None => {
                state.chosen.remove(&self.number);
                drop(state);
                self.done = true;
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.notify.state.borrow_mut();
        let was_waiting = state.waiting.remove(&self.number).is_some();
        if !was_waiting && state.chosen.remove(&self.number) {
            drop(state);
            // It was chosen and goes away unpolled: the next one must not wait for ever.
            self.notify.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::Notify;

    #[test]
    fn one_is_remembered_all_is_not() {
        block_on(async {
            let notify = Notify::new();
            notify.notify_one();
            notify.notify_one();
            notify.wait().await;
            assert_eq!(poll_once(notify.wait()).await, None);
            notify.notify_all();
            assert_eq!(poll_once(notify.wait()).await, None);
        });
    }

    #[test]
    fn waits_are_served_in_order_and_handed_on_when_dropped() {
        block_on(async {
            let notify = Notify::new();
            let (first, mut second, mut third) = (notify.wait(), notify.wait(), notify.wait());
            notify.notify_one();
            drop(first);
            assert_eq!(poll_once(&mut third).await, None);
            assert_eq!(poll_once(&mut second).await, Some(()));
            notify.notify_all();
            assert_eq!(poll_once(&mut third).await, Some(()));
            assert_eq!(notify.waiting(), 0);
        });
    }

    #[test]
    fn a_wait_keeps_one_waker_however_often_it_is_polled() {
        block_on(async {
            let notify = Notify::new();
            let mut wait = notify.wait();
            for _ in 0..100 {
                assert_eq!(poll_once(&mut wait).await, None);
            }
            assert_eq!(notify.waiting(), 1);
        });
    }
}
