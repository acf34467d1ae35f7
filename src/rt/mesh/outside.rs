//! Messages from plain threads into an executor: main, signals, the admin thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::rt::reactor::{self, Bell};

/// Posts from any thread. Cloning shares the inbox.
#[derive(Debug)]
pub struct Outside<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Clone for Outside<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// The receiving end; it is moved to its executor before it is used.
#[derive(Debug)]
pub struct OutsideInbox<M> {
    shared: Arc<Shared<M>>,
}

#[derive(Debug)]
struct Shared<M>(Mutex<State<M>>);

#[derive(Debug)]
struct State<M> {
    messages: VecDeque<M>,
    /// The receiver's, once it waits.
    bell: Option<Arc<Bell>>,
    receiver_gone: bool,
}

/// Messages that may wait. The senders of this process post one each: a signal, the end of a thread.
const MESSAGES_MAX: usize = 1_000;

/// A way into an executor. For rare messages: it takes a lock, and its few senders bound it.
pub fn outside<M: Send>() -> (Outside<M>, OutsideInbox<M>) {
    let state = State { messages: VecDeque::new(), bell: None, receiver_gone: false };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Outside { shared: Arc::clone(&shared) }, OutsideInbox { shared })
}

impl<M> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Send> Outside<M> {
    /// Sends a message; it is dropped when the receiving end is gone.
    pub fn post(&self, message: M) {
        let mut state = self.shared.lock();
        if state.receiver_gone {
            return;
        }
        let count = state.messages.len();
        assert!(count < MESSAGES_MAX, "{count} messages from outside wait: nobody bounds them");
        state.messages.push_back(message);
        let bell = state.bell.clone();
        drop(state);
        if let Some(bell) = bell {
            bell.ring();
        }
    }
}

impl<M: Send> OutsideInbox<M> {
    /// The next message. Only one task may wait.
    pub async fn recv(&self) -> M {
        loop {
            let next = {
                let mut state = self.shared.lock();
                state.bell.get_or_insert_with(reactor::bell);
                state.messages.pop_front()
            };
            match next {
                Some(message) => return message,
                None => reactor::rung().await,
            }
        }
    }
}

impl<M> Drop for OutsideInbox<M> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receiver_gone = true;
        state.bell = None;
        state.messages.clear();
    }
}
