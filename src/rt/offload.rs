//! Work that would keep a core for too long: it runs on a thread of its own, wherever the kernel finds room,
//! at the lowest priority.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::OnceLock;
use std::thread;

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::mesh::outside;

/// The niceness of the thread: the executor on the same core gets nearly all of it.
const LOWEST_PRIORITY: i32 = 19;

/// Where the process may run, from before any thread was pinned.
static AFFINITY: OnceLock<Option<CpuSet>> = OnceLock::new();

/// Notes where the process may run; threads that are pinned hand their own place on.
pub(super) fn note_affinity() {
    AFFINITY.get_or_init(|| sched_getaffinity(None).ok());
}

/// Runs `work` on a new thread, which costs about 50 us; whoever calls it bounds how many there are.
/// A panic over there is a panic here.
///
/// # Errors
/// The system has no thread to give.
pub async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (finished, inbox) = outside();
    thread::Builder::new().name("offload".to_owned()).spawn(move || {
        step_aside();
        finished.post(panic::catch_unwind(AssertUnwindSafe(work)));
    })?;
    match inbox.recv().await {
        Ok(output) => Ok(output),
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// Leaves the core of the executor that started this thread. Where the kernel refuses, the work is done all
/// the same.
fn step_aside() {
    if let Some(Some(everywhere)) = AFFINITY.get() {
        sched_setaffinity(None, everywhere).ok();
    }
    setpriority_process(None, LOWEST_PRIORITY).ok();
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::offload;
    use crate::rt::executor::{self, ExecutorConfig};
    use crate::rt::{host, time};

    #[test]
    fn the_executor_goes_on_and_the_work_may_run_anywhere() {
        let cpus = host::cpus().unwrap();
        let config = ExecutorConfig::pinned("test", cpus[0]);
        let main = || async {
            let begin = Instant::now();
            let spinning = crate::rt::task::spawn(offload(move || {
                while begin.elapsed() < Duration::from_millis(100) {}
                host::cpus().unwrap()
            }));
            let mut turns = 0;
            while begin.elapsed() < Duration::from_millis(80) {
                time::sleep(Duration::from_millis(1)).await;
                turns += 1;
            }
            (turns, spinning.await.unwrap())
        };
        let (turns, found) = executor::spawn(config, main).unwrap().join().unwrap();
        assert!(10 < turns, "the executor had {turns} turns beside the work");
        assert_eq!(found, cpus);
    }

    #[test]
    fn a_panic_over_there_is_a_panic_here() {
        let main = || async { offload(|| panic!("over there")).await };
        let error = executor::spawn(ExecutorConfig::unpinned("test"), main).unwrap().join();
        assert_eq!(error.unwrap_err().message, "over there");
    }
}
