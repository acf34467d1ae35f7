//! Running a future on an executor of its own, and a test in a process of its own.

use std::future::Future;
use std::process::{Command, Output};
use std::time::Duration;

use corelog::rt::executor::{self, ExecutorConfig};

/// Runs the future that `main` makes on a fresh, unpinned executor.
pub(crate) fn run<Main, Fut, T>(main: Main) -> T
where
    Main: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    executor::spawn(ExecutorConfig::unpinned("test"), main).unwrap().join().unwrap()
}

/// The variable that tells a test that it runs in a process of its own.
const CHILD: &str = "CORELOG_TEST_CHILD";

/// Whether this is the process that [`child`] started.
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// This test alone in a process of its own, started through `wrapper` if that is not empty.
pub(crate) fn child(test: &str, wrapper: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match wrapper.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(["--exact", test, "--nocapture"]).env(CHILD, "1").env("RUST_BACKTRACE", "0");
    command
}

/// What a child wrote, both streams together.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The time that this thread has run.
pub(crate) fn core_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the timespec it is given.
    #[expect(unsafe_code, reason = "the standard library has no clock of a thread")]
    unsafe {
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time)
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
