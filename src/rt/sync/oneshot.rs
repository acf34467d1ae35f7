//! One value from one task to another.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The other half was dropped before a value was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sender is gone")]
pub struct Closed;

#[derive(Debug)]
enum State<T> {
    Empty(Option<Waker>),
    Full(T),
    SenderGone,
    ReceiverGone,
}

/// Sends the one value.
#[derive(Debug)]
pub struct OneshotSender<T> {
    state: Rc<RefCell<State<T>>>,
}

/// A future of the one value.
#[derive(Debug)]
pub struct OneshotReceiver<T> {
    state: Rc<RefCell<State<T>>>,
}

/// A channel for one value.
pub fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let state = Rc::new(RefCell::new(State::Empty(None)));
    (OneshotSender { state: Rc::clone(&state) }, OneshotReceiver { state })
}

impl<T> OneshotSender<T> {
    /// Hands over the value, or returns it when nobody waits any more.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        let before = self.state.replace(State::Full(value));
        wake(before);
        Ok(())
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::ReceiverGone)
    }
}

impl<T> Drop for OneshotSender<T> {
    fn drop(&mut self) {
        if matches!(*self.state.borrow(), State::Empty(_)) {
            let before = self.state.replace(State::SenderGone);
            wake(before);
        }
    }
}

fn wake<T>(state: State<T>) {
    if let State::Empty(Some(waker)) = state {
        waker.wake();
    }
}

impl<T> Future for OneshotReceiver<T> {
    type Output = Result<T, Closed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.state.borrow_mut();
        match &mut *state {
            State::Empty(Some(waker)) => waker.clone_from(cx.waker()),
            State::Empty(waker) => *waker = Some(cx.waker().clone()),
            State::Full(_) => {
                let State::Full(value) = std::mem::replace(&mut *state, State::SenderGone) else {
                    unreachable!("matched above")
                };
                return Poll::Ready(Ok(value));
            }
            State::SenderGone | State::ReceiverGone => return Poll::Ready(Err(Closed)),
        }
        Poll::Pending
    }
}

impl<T> Drop for OneshotReceiver<T> {
    fn drop(&mut self) {
        let before = self.state.replace(State::ReceiverGone);
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::{Closed, oneshot};

    #[test]
    fn the_value_arrives_whenever_it_was_sent() {
        let (sender, receiver) = oneshot();
        sender.send(7).unwrap();
        assert_eq!(block_on(receiver), Ok(7));

        let (sender, mut receiver) = oneshot();
        block_on(async {
            assert_eq!(poll_once(&mut receiver).await, None);
            sender.send(8).unwrap();
            assert_eq!(receiver.await, Ok(8));
        });
    }

    #[test]
    fn a_dropped_half_is_noticed() {
        let (sender, receiver) = oneshot::<u8>();
        drop(sender);
        assert_eq!(block_on(receiver), Err(Closed));

        let (sender, receiver) = oneshot();
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send(9), Err(9));
    }
}
