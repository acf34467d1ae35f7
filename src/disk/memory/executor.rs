//! A deterministic executor with virtual time: which task runs next follows from a seed.
//!
//! Tasks are polled without wakers: a task that is not done may be polled at any time. That costs some
//! polls and finds every dependence on the order of wake-ups.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::types::{Prng, Timestamp};

/// Polls after which a future that is still pending counts as stuck.
const POLLS_MAX: u64 = 50_000_000;

/// Runs one future to its end.
///
/// # Panics
/// If the future waits for something that never comes.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the future is stuck");
}

/// Gives other tasks a turn, `turns` times.
pub async fn yield_turns(mut turns: u64) {
    std::future::poll_fn(|_| {
        if turns == 0 {
            return Poll::Ready(());
        }
        turns -= 1;
        Poll::Pending
    })
    .await;
}

/// Virtual time, shared by the tasks of a simulation.
#[derive(Debug, Clone)]
pub struct SimClock(Rc<Cell<i64>>);

impl SimClock {
    /// The current time.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.get())
    }

    /// Waits for `ms` of virtual time.
    pub async fn sleep_ms(&self, ms: i64) {
        let due = self.0.get() + ms;
        std::future::poll_fn(|_| if due <= self.0.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// A set of tasks that interleave by a seed.
pub struct Simulation {
    prng: Prng,
    clock: SimClock,
    tasks: Vec<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Simulation {
    /// A simulation without tasks that starts at `now`.
    pub fn new(seed: u64, now: Timestamp) -> Self {
        Self { prng: Prng::new(seed), clock: SimClock(Rc::new(Cell::new(now.0))), tasks: Vec::new() }
    }

    /// The simulation's clock.
    pub fn clock(&self) -> SimClock {
        self.clock.clone()
    }

    /// Adds a task.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks.push(Box::pin(task));
    }

    /// Polls one random task and lets some time pass. False when no task is left.
    pub fn step(&mut self) -> bool {
        if self.tasks.is_empty() {
            return false;
        }
        if self.prng.chance(1, 4) {
            let now = &self.clock.0;
            now.set(now.get() + 1 + self.prng.below(3) as i64);
        }
        let index = self.prng.below(self.tasks.len() as u64) as usize;
        let mut context = Context::from_waker(Waker::noop());
        if self.tasks[index].as_mut().poll(&mut context).is_ready() {
            drop(self.tasks.swap_remove(index));
        }
        true
    }

    /// Runs until no task is left, at most `steps` steps; whether all tasks ended.
    pub fn run(&mut self, steps: u64) -> bool {
        for _ in 0..steps {
            if !self.step() {
                return true;
            }
        }
        self.tasks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn trace(seed: u64) -> Vec<u64> {
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut simulation = Simulation::new(seed, Timestamp(0));
        for task in 0..3 {
            let (order, clock) = (order.clone(), simulation.clock());
            simulation.spawn(async move {
                for round in 0..5 {
                    order.borrow_mut().push(task);
                    yield_turns(2).await;
                    clock.sleep_ms(round).await;
                }
            });
        }
        assert!(simulation.run(100_000));
        order.take()
    }

    #[test]
    fn same_seed_same_interleaving() {
        assert_eq!(trace(1), trace(1));
        assert!((2..20).any(|seed| trace(seed) != trace(1)));
    }
}
