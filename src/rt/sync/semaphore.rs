//! A bound on how much goes on at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A count of permits, given out in the order of asking. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Semaphore {
    state: Rc<RefCell<State>>,
}

#[derive(Debug)]
struct State {
    available: usize,
    /// Those who ask, by number, so that the first is the oldest.
    asking: BTreeMap<u64, Asking>,
    next: u64,
}

#[derive(Debug)]
struct Asking {
    permits: usize,
    waker: Option<Waker>,
}

/// Permits in use; dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    semaphore: Semaphore,
    permits: usize,
}

impl Semaphore {
    /// A semaphore with `permits` to give.
    pub fn new(permits: usize) -> Self {
        Self { state: Rc::new(RefCell::new(State { available: permits, asking: BTreeMap::new(), next: 0 })) }
    }

    /// Permits that are not in use.
    pub fn available(&self) -> usize {
        self.state.borrow().available
    }

    /// `permits` at once if they are there and nobody asked before.
    pub fn try_acquire(&self, permits: usize) -> Option<Permit> {
        let mut state = self.state.borrow_mut();
        if !state.asking.is_empty() || state.available < permits {
            return None;
        }
        state.available -= permits;
        Some(Permit { semaphore: self.clone(), permits })
    }

    /// Waits for `permits`. Asking for more than there are in all waits for ever.
    pub fn acquire(&self, permits: usize) -> impl Future<Output = Permit> + 'static {
        let semaphore = self.clone();
        async move {
            if let Some(permit) = semaphore.try_acquire(permits) {
                return permit;
            }
            let place = Place::new(&semaphore, permits);
            poll_fn(|cx| {
                let mut state = semaphore.state.borrow_mut();
                let first = state.asking.first_key_value().map(|(number, _)| *number);
                if first == Some(place.number) && permits <= state.available {
                    state.available -= permits;
                    return Poll::Ready(());
                }
                let asking = state.asking.get_mut(&place.number).expect("the place is held until dropped");
                asking.waker = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            let permit = Permit { semaphore: semaphore.clone(), permits };
            drop(place);
            permit
        }
    }

    /// Wakes the oldest asker if it can go on.
    fn wake_first(&self) {
        let mut state = self.state.borrow_mut();
        let available = state.available;
        let waker = match state.asking.first_entry() {
            Some(mut first) if first.get().permits <= available => first.get_mut().waker.take(),
            _ => None,
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.semaphore.state.borrow_mut().available += self.permits;
        self.semaphore.wake_first();
    }
}

/// A place among those who ask; given up when dropped.
struct Place<'a> {
    semaphore: &'a Semaphore,
    number: u64,
}

impl<'a> Place<'a> {
    fn new(semaphore: &'a Semaphore, permits: usize) -> Self {
        let mut state = semaphore.state.borrow_mut();
        let number = state.next;
        state.next += 1;
        state.asking.insert(number, Asking { permits, waker: None });
        Self { semaphore, number }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.semaphore.state.borrow_mut().asking.remove(&self.number);
        self.semaphore.wake_first();
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::Semaphore;

    #[test]
    fn permits_are_given_in_order_and_come_back() {
        block_on(async {
            let semaphore = Semaphore::new(2);
            let held = semaphore.acquire(2).await;
            let mut large = Box::pin(semaphore.acquire(2));
            let mut small = Box::pin(semaphore.acquire(1));
            assert!(poll_once(&mut large).await.is_none());
            assert!(poll_once(&mut small).await.is_none());
            drop(held);
            assert!(poll_once(&mut small).await.is_none(), "the older one goes first");
            let large = large.await;
            assert!(semaphore.try_acquire(1).is_none());
            drop(large);
            drop(small.await);
            assert_eq!(semaphore.available(), 2);
        });
    }

    #[test]
    fn a_dropped_wait_gives_up_its_place() {
        block_on(async {
            let semaphore = Semaphore::new(1);
            let held = semaphore.acquire(1).await;
            let mut first = Box::pin(semaphore.acquire(1));
            let mut second = Box::pin(semaphore.acquire(1));
            assert!(poll_once(&mut first).await.is_none());
            assert!(poll_once(&mut second).await.is_none());
            drop(held);
            drop(first);
            drop(second.await);
            assert_eq!(semaphore.available(), 1);
        });
    }
}
