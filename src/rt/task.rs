//! Tasks of the current executor.
//!
//! Hidden traps of glommio:
//! - its `spawn_local` polls the new future before it returns, so that a caller that holds a `RefCell`
//!   borrow may meet itself: here a new task waits for its turn;
//! - dropping its task handle cancels the task: here it detaches, as with threads;
//! - a task counts its live wakers in 16 bits and panics at 32,768: wait for few things per task, and
//!   give each member of a large set a task of its own. The waits of [`sync`](super::sync) keep one
//!   waker each however often they are polled;
//! - its own yields only go round the run queue, and what it waits for itself is looked at when the queue
//!   is empty: [`yield_now`] and [`yield_if_needed`] wait for a look once a slice is over, and a loop whose
//!   waits may all be ready at once has to call one of them in each round;
//! - its shares are kept among tasks that are runnable all the time, which ours are not: background
//!   tasks are paced here.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use glommio::TaskQueueHandle;

use super::sync::{OneshotSender, oneshot};
use super::time::sleep;
use super::{executor, reactor};

/// How long the tasks of an executor may keep it from looking at sockets, files, timers and the mesh.
pub const SLICE: Duration = Duration::from_micros(500);

/// The part of the core that the background gets beside a foreground that would take all of it.
const BACKGROUND_SHARE_MIN: f64 = 0.05;

/// The part of what the foreground leaves idle that the background takes: a request that comes meanwhile
/// waits for a slice at most, and most requests shall not wait.
const BACKGROUND_SHARE_OF_IDLE: f64 = 0.5;

/// A foreground that ran for no longer than this between two background slices has nothing to do.
const FOREGROUND_IDLE: Duration = Duration::from_micros(50);

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

/// Starts a task that takes about a twentieth of the core while the foreground is busy, and what is
/// left while it is not. It has to call [`yield_if_needed`] at least once in each [`SLICE`].
pub fn spawn_background<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    spawn_into(future, executor::background_queue())
}

fn spawn_into<T: 'static>(future: impl Future<Output = T> + 'static, queue: TaskQueueHandle) -> Task<T> {
    let future = reactor::counted(future);
    let task = glommio::spawn_local_into(future, queue).expect("task queues are never removed");
    Task(Some(task))
}

thread_local! {
    /// When the executor last looked at everything, as far as its tasks know.
    static TURNED: Cell<Option<Instant>> = const { Cell::new(None) };

    /// Foreground tasks that wait for a turn, in order; each is one of the executor's tasks.
    static WAITING: RefCell<VecDeque<OneshotSender<()>>> = const { RefCell::new(VecDeque::new()) };

    /// When the background last asked how busy the foreground is.
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };

    /// How long the executor had slept by then.
    static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) };

    /// Whether the task that gives turns runs.
    static IS_PACED: Cell<bool> = const { Cell::new(false) };
}

/// Notes that the executor has looked at everything.
pub(super) fn note_look(now: Instant) {
    TURNED.set(Some(now));
}

/// Whether the tasks have had the executor for a slice without a look at everything else.
fn is_slice_over() -> bool {
    let now = Instant::now();
    // While glommio sleeps for the executor: it adds up the time that the tasks took, and here it is taken
    // away, each time it has run them all.
    if reactor::is_passive() && !glommio::executor().executor_stats().total_runtime().is_zero() {
        TURNED.set(Some(now));
        return false;
    }
    TURNED.get().is_none_or(|turned| SLICE <= now - turned)
}

/// Lets every other runnable task have a turn; the executor looks at everything if the slice is over.
pub async fn yield_now() {
    if is_slice_over() {
        turn().await;
    } else {
        glommio::executor().yield_now().await;
    }
}

/// Gives up the core if the slice is over. Cheap enough (50 ns) for every round of a loop.
pub async fn yield_if_needed() {
    if is_slice_over() {
        turn().await;
    }
}

/// Waits for this task's part of a slice.
async fn turn() {
    if glommio::executor().current_task_queue() == executor::background_queue() {
        reactor::look().await;
        let (runtime, elapsed) = foreground_since_last_asked();
        let rest = background_rest(runtime, elapsed);
        if !rest.is_zero() {
            sleep(rest).await;
        }
        TURNED.set(Some(Instant::now()));
        return;
    }
    let (grant, granted) = oneshot();
    let needs_pacer = WAITING.with_borrow_mut(|waiting| {
        waiting.push_back(grant);
        waiting.len() == 1
    });
    if needs_pacer && !IS_PACED.replace(true) {
        spawn_into(pace(), TaskQueueHandle::default()).detach();
    }
    // Nobody drops the other end but an executor that ends.
    let _ = granted.await;
}

/// Gives those who wait for a turn one slice between two looks, in order. All at once they would each add
/// their work to the time that sockets wait.
async fn pace() {
    while WAITING.with_borrow(|waiting| !waiting.is_empty()) {
        reactor::look().await;
        TURNED.set(Some(Instant::now()));
        while !is_slice_over()
            && let Some(grant) = WAITING.with_borrow_mut(VecDeque::pop_front)
        {
            if grant.send(()).is_ok() {
                glommio::executor().yield_now().await;
            }
        }
    }
    IS_PACED.set(false);
}

/// How long the foreground ran since the last call, and how long ago that is.
fn foreground_since_last_asked() -> (Duration, Duration) {
    let now = Instant::now();
    let elapsed = ASKED.replace(Some(now)).map_or(SLICE, |asked| now - asked);
    let stats = glommio::executor().task_queue_stats(TaskQueueHandle::default());
    let runtime = stats.map_or(Duration::ZERO, |stats| stats.runtime());
    // To glommio the driver's sleep is work of the foreground.
    let slept = reactor::slept();
    let slept_meanwhile = slept - SLEPT.replace(slept);
    (runtime.saturating_sub(slept_meanwhile), elapsed)
}

/// How long the background rests after a slice, beside a foreground that ran for `runtime` of `elapsed`.
fn background_rest(runtime: Duration, elapsed: Duration) -> Duration {
    if runtime <= FOREGROUND_IDLE {
        return Duration::ZERO;
    }
    let idle = 1.0 - (runtime.as_secs_f64() / elapsed.as_secs_f64()).min(1.0);
    let share = (idle * BACKGROUND_SHARE_OF_IDLE).max(BACKGROUND_SHARE_MIN);
    SLICE.mul_f64(1.0 / share - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the part of the core, in per cent, of a background that always works.
    fn check(foreground_micros: u64, elapsed_micros: u64, expected: u32) {
        let micros = Duration::from_micros;
        let rest = background_rest(micros(foreground_micros), micros(elapsed_micros));
        let share = SLICE.as_secs_f64() / (SLICE + rest).as_secs_f64();
        assert_eq!((100.0 * share).round() as u32, expected, "{foreground_micros} of {elapsed_micros} us");
    }

    #[test]
    fn the_background_takes_half_of_what_is_idle_and_never_nothing() {
        check(0, 1_000, 100);
        check(50, 1_000, 100);
        check(100, 1_000, 45);
        check(500, 1_000, 25);
        check(900, 1_000, 5);
        check(1_000, 1_000, 5);
        check(2_000, 1_000, 5);
    }
}
