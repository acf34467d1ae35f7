//! Running a future on an executor of its own.

use std::future::Future;

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
