//! Tasks of the current executor.
//!
//! Hidden traps of glommio:
//! - its `spawn_local` polls the new future before it returns, so that a caller that holds a `RefCell`
//!   borrow may meet itself: here a new task waits for its turn;
//! - dropping its task handle cancels the task: here it detaches, as with threads;
//! - a task counts its live wakers in 16 bits and panics at 32,768: wait for few things per task, and
//!   give each member of a large set a task of its own. The waits of [`sync`](super::sync) keep one
//!   waker each however often they are polled;
//! - `yield_if_needed` alone does nothing until the preemption timer has fired: a loop over bytes also
//!   counts its own work and calls [`yield_now`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::executor;

/// A spawned task. Awaiting it yields the output; dropping it lets the task run on.
#[derive(Debug)]
pub struct Task<T>(Option<glommio::Task<T>>);

impl<T> Task<T> {
    /// Lets the task run to its end; its output is dropped.
    pub fn detach(self) {
        drop(self);
    }

    /// Stops the task at its next turn and drops its future; the output if it was done before that.
    pub async fn cancel(mut self) -> Option<T> {
        let task = self.0.take().expect("only cancel and drop take the task");
        task.cancel().await
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(self.0.as_mut().expect("only cancel and drop take the task")).poll(cx)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            drop(task.detach());
        }
    }
}

/// Starts a task in the current queue: foreground from the foreground, background from the background.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    let queue = glommio::executor().current_task_queue();
    spawn_into(future, queue)
}

/// Starts a task whose share of a busy core is bounded to about a twentieth.
pub fn spawn_background<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    spawn_into(future, executor::background_queue())
}

fn spawn_into<T: 'static>(
    future: impl Future<Output = T> + 'static,
    queue: glommio::TaskQueueHandle,
) -> Task<T> {
    let task = glommio::spawn_local_into(future, queue).expect("task queues are never removed");
    Task(Some(task))
}

/// Lets every other runnable task of this queue have a turn.
pub async fn yield_now() {
    glommio::executor().yield_now().await;
}

/// Gives up the core if the preemption timer fired: sockets, files and other queues are looked at.
/// Cheap enough for every round of a loop.
pub async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}
