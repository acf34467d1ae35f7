//! The orderly end of a set of tasks.

use std::cell::Cell;
use std::rc::Rc;

use super::notify::Notify;

/// Tells tasks to end and waits until they have. Cloning shares it.
///
/// glommio never drops the tasks that are left when an executor ends, so that a task with something to
/// flush or to close holds a [`Guard`] and ends by itself once [`Shutdown::cancelled`] is ready.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    state: Rc<State>,
}

#[derive(Debug, Default)]
struct State {
    cancelled: Cell<bool>,
    guards: Cell<usize>,
    on_cancel: Notify,
    on_drained: Notify,
}

/// Counts as unfinished work while it exists.
#[derive(Debug)]
pub struct Guard {
    state: Rc<State>,
}

impl Shutdown {
    /// Nothing was cancelled, nothing is going on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every task to end. Again is no different from once.
    pub fn cancel(&self) {
        if !self.state.cancelled.replace(true) {
            self.state.on_cancel.notify_all();
        }
    }

    /// Whether [`Shutdown::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.get()
    }

    /// Waits until [`Shutdown::cancel`] is called.
    pub async fn cancelled(&self) {
        while !self.is_cancelled() {
            self.state.on_cancel.wait().await;
        }
    }

    /// Counts work that [`Shutdown::drained`] has to wait for.
    pub fn guard(&self) -> Guard {
        self.state.guards.set(self.state.guards.get() + 1);
        Guard { state: Rc::clone(&self.state) }
    }

    /// How many guards there are.
    pub fn guards(&self) -> usize {
        self.state.guards.get()
    }

    /// Waits until there is no guard left.
    pub async fn drained(&self) {
        while self.guards() != 0 {
            self.state.on_drained.wait().await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let left = self.state.guards.get() - 1;
        self.state.guards.set(left);
        if left == 0 {
            self.state.on_drained.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::Shutdown;

    #[test]
    fn cancel_wakes_and_guards_hold() {
        block_on(async {
            let shutdown = Shutdown::new();
            let guard = shutdown.guard();
            let mut cancelled = Box::pin(shutdown.cancelled());
            let mut drained = Box::pin(shutdown.drained());
            assert_eq!(poll_once(&mut cancelled).await, None);
            assert_eq!(poll_once(&mut drained).await, None);
            shutdown.cancel();
            cancelled.await;
            shutdown.cancelled().await;
            assert_eq!(poll_once(&mut drained).await, None);
            drop(guard);
            drained.await;
        });
    }
}
