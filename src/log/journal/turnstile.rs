//! One at a time, in any order: frames are written one by one, and whoever else wants to waits.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Turnstile {
    is_taken: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

/// The turn; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turnstile);

impl Turnstile {
    /// Waits until nobody else has the turn.
    pub(super) async fn enter(&self) -> Turn<'_> {
        poll_fn(|context| {
            if self.is_taken.replace(true) {
                self.waiting.borrow_mut().push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.is_taken.set(false);
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::{Simulation, yield_turns};
    use crate::types::Timestamp;
    use std::rc::Rc;

    #[test]
    fn turns_never_overlap_and_everybody_gets_one() {
        for seed in 0..50 {
            let (turnstile, inside) = (Rc::new(Turnstile::default()), Rc::new(Cell::new(0)));
            let mut simulation = Simulation::new(seed, Timestamp(0));
            for _ in 0..4 {
                let (turnstile, inside) = (turnstile.clone(), inside.clone());
                simulation.spawn(async move {
                    for _ in 0..5 {
                        let _turn = turnstile.enter().await;
                        assert_eq!(inside.replace(1), 0);
                        yield_turns(3).await;
                        inside.set(0);
                    }
                });
            }
            assert!(simulation.run(100_000));
        }
    }
}
