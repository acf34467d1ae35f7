//! One executor: a thread with its own io_uring, pinned to a core or not.
//!
//! Hidden traps of glommio:
//! - when its preemption timer fires between the arming and the first look at the run queue, the
//!   executor goes to sleep with runnable tasks, until something else happens, perhaps never; with the
//!   default of 100 ms a busy machine meets this rarely, with the 0.5 ms that sockets would need, all
//!   the time. So the timer never fires, and tasks that run on let the executor look at its sockets by
//!   themselves: [`task::yield_now`](super::task::yield_now);
//! - an executor that cannot start says so only when joined: [`spawn`] waits for its first turn;
//! - the helper thread for blocking calls would be pinned beside the executor: it is left unpinned;
//! - the first sleep of the first executor registers the process for `membarrier`, which takes 30 to
//!   50 ms once there are several threads: [`spawn`] registers before it starts the first one;
//! - its buffers for reads come from the allocator once the registered ones are used up, and glibc gives
//!   freed memory back to the kernel so eagerly that each read pays 2 us per page to get it again (0.47
//!   against 0.16 CPU-s/GB): [`spawn`] tells it to keep more;
//! - its helper thread panics when it comes back with the result of a blocking call and the executor is
//!   gone: an executor ends after the last call, and none begins once its main future is done;
//! - tasks that are still there when the main future returns are never dropped: whoever needs a
//!   destructor to run has to end its tasks first, see [`Shutdown`](super::sync::Shutdown).

#![expect(unsafe_code, reason = "membarrier and mallopt have no safe wrappers")]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Once;
use std::sync::mpsc;
use std::time::Duration;

use glommio::{
    BuilderErrorKind, ExecutorJoinHandle, GlommioError, Latency, LocalExecutorBuilder, Placement,
    PoolPlacement, Shares, TaskQueueHandle,
};

use super::{offload, reactor};

/// As good as never, see above.
const PREEMPT_TIMER: Duration = Duration::from_secs(3600);

/// Requests that fit into one submission to the kernel.
const RING_DEPTH: usize = 256;

/// Freed memory at the end of an executor's heap that is not given back to the kernel.
#[cfg(target_env = "gnu")]
const FREED_BYTES_KEPT: libc::c_int = 32 << 20;

/// Allocations from this size on are mapped for themselves and given back when they are freed.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES_MIN: libc::c_int = 8 << 20;

/// How to start an executor.
#[derive(Debug, Clone)]
pub struct ExecutorConfig {
    /// Name of the thread and of the executor in messages.
    pub name: String,
    /// The CPU to pin to, one of [`host::cpus`](super::host::cpus); `None` leaves it to the kernel.
    pub cpu: Option<usize>,
    /// Bytes of memory registered with the rings for direct I/O; resident from the start.
    pub io_memory_bytes: usize,
}

impl ExecutorConfig {
    /// Registered memory of an executor that serves data.
    pub const IO_MEMORY_BYTES: usize = 2 << 20;

    /// Registered memory of an executor that reads and writes little.
    pub const IO_MEMORY_BYTES_SMALL: usize = 64 << 10;

    /// An executor on a CPU of its own.
    pub fn pinned(name: impl Into<String>, cpu: usize) -> Self {
        Self { name: name.into(), cpu: Some(cpu), io_memory_bytes: Self::IO_MEMORY_BYTES }
    }

    /// An executor that the kernel places: control, tests, more shards than CPUs.
    pub fn unpinned(name: impl Into<String>) -> Self {
        Self { name: name.into(), cpu: None, io_memory_bytes: Self::IO_MEMORY_BYTES_SMALL }
    }
}

/// Why an executor did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the executor {name}: {reason}")]
pub struct StartError {
    /// The executor's name.
    pub name: String,
    /// What glommio or the kernel said.
    pub reason: String,
}

/// The executor ended by a panic.
#[derive(Debug, thiserror::Error)]
#[error("the executor {name} panicked: {message}")]
pub struct JoinError {
    /// The executor's name.
    pub name: String,
    /// The panic's message.
    pub message: String,
}

/// A running executor. Dropping the handle leaves it running.
#[must_use = "an executor that is not joined may be cut off at the end of the process"]
pub struct ExecutorHandle<T: Send + 'static> {
    name: String,
    /// Nothing if it did not start.
    thread: ExecutorJoinHandle<Option<T>>,
}

impl<T: Send + 'static> ExecutorHandle<T> {
    /// Blocks the calling thread until the executor's main future is done.
    pub fn join(self) -> Result<T, JoinError> {
        let Self { name, thread } = self;
        let output = thread.join().map_err(|error| JoinError { name, message: panic_message(error) })?;
        Ok(output.expect("there is no handle on an executor that did not start"))
    }

    /// The executor's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T: Send + 'static> fmt::Debug for ExecutorHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutorHandle").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Starts an executor that runs the future made by `main` and ends when it is done.
///
/// Returns once the executor has had its first turn, so that a missing io_uring or a locked-memory limit
/// shows here.
pub fn spawn<Main, Fut, T>(config: ExecutorConfig, main: Main) -> Result<ExecutorHandle<T>, StartError>
where
    Main: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    settle_process();
    let name = config.name.clone();
    let failed = |reason: String| StartError { name: name.clone(), reason };
    let (started, has_started) = mpsc::channel();
    let context_name = config.name.clone();
    let thread = builder(&config)
        .spawn(move || async move {
            let begun = Context::enter(context_name);
            let has_begun = begun.is_ok();
            started.send(begun.map_err(|error| error.to_string())).ok();
            if !has_begun {
                return None;
            }
            let output = reactor::counted(main()).await;
            reactor::counted(end()).await;
            Some(output)
        })
        .map_err(|error| failed(error.to_string()))?;
    match has_started.recv() {
        Ok(Ok(())) => Ok(ExecutorHandle { name, thread }),
        Ok(Err(reason)) => Err(failed(reason)),
        Err(mpsc::RecvError) => Err(failed(match thread.join() {
            Err(error) => error.to_string(),
            Ok(_) => "it ended before its first turn".to_owned(),
        })),
    }
}

/// Waits for the blocking calls and the writes that tasks have begun. Calls that tasks would begin from now
/// on stay pending.
async fn end() {
    IS_ENDING.set(true);
    // One helper thread, in order: when this call is back, all before it are.
    reactor::through_glommio(glommio::executor().spawn_blocking(|| ())).await;
    reactor::end().await;
}

/// Resolves unless the executor is ending, then never: to be awaited before each call for the helper thread.
pub(super) async fn unless_ending() {
    if IS_ENDING.get() {
        std::future::pending::<()>().await;
    }
}

/// The message of a panic, of which glommio only says that there was one.
fn panic_message(error: GlommioError<()>) -> String {
    let GlommioError::BuilderError(BuilderErrorKind::ThreadPanic(payload)) = error else {
        return error.to_string();
    };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => match payload.downcast::<&str>() {
            Ok(message) => message.to_string(),
            Err(_) => "a panic without a message".to_owned(),
        },
    }
}

fn builder(config: &ExecutorConfig) -> LocalExecutorBuilder {
    let placement = config.cpu.map_or(Placement::Unbound, Placement::Fixed);
    LocalExecutorBuilder::new(placement)
        .name(&config.name)
        .io_memory(config.io_memory_bytes)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT_TIMER)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
}

/// What has to be done once, and best before there are threads.
fn settle_process() {
    static SETTLED: Once = Once::new();
    SETTLED.call_once(|| {
        offload::note_affinity();
        register_membarrier();
        keep_freed_memory();
    });
}

/// Makes the registration that glommio would make when its first executor goes to sleep.
fn register_membarrier() {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    // SAFETY: the call takes two integers and touches no memory of ours. A kernel that refuses it
    // changes nothing: glommio asks again and has a fallback.
    unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0) };
}

/// Lets the allocator keep what is freed, up to a bound for each executor.
#[cfg(target_env = "gnu")]
fn keep_freed_memory() {
    // SAFETY: the calls take integers and change how the allocator behaves from now on. The environment
    // (MALLOC_TRIM_THRESHOLD_) does the same for whoever wants other values; then the calls are left out.
    unsafe {
        if std::env::var_os("MALLOC_TRIM_THRESHOLD_").is_none() {
            libc::mallopt(libc::M_TRIM_THRESHOLD, FREED_BYTES_KEPT);
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
        }
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_freed_memory() {}

/// What belongs to the executor of the current thread.
struct Context {
    name: String,
    background: TaskQueueHandle,
}

thread_local! {
    static IS_ENDING: Cell<bool> = const { Cell::new(false) };
    static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

impl Context {
    fn enter(name: String) -> io::Result<()> {
        let background =
            glommio::executor().create_task_queue(Shares::default(), Latency::NotImportant, "background");
        CONTEXT.with_borrow_mut(|context| *context = Some(Self { name, background }));
        reactor::start(background)
    }
}

/// The name of the executor on this thread, if there is one.
pub fn current_name() -> Option<String> {
    // The panic hook calls this, perhaps while the context is borrowed or gone.
    CONTEXT
        .try_with(|context| {
            context.try_borrow().ok().and_then(|context| context.as_ref().map(|context| context.name.clone()))
        })
        .ok()
        .flatten()
}

/// The queue of background work on this executor.
pub(super) fn background_queue() -> TaskQueueHandle {
    CONTEXT.with_borrow(|context| {
        context.as_ref().expect("background work is spawned on an executor of rt::executor").background
    })
}
