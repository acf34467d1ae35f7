//! System calls that have no place on an executor's thread.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use glommio::GlommioError;

use crate::disk::{DiskError, DiskOp};
use crate::rt::executor;
use crate::rt::reactor::through_glommio;

/// Runs `work` on the executor's helper thread. One at a time, in order; about 50 us for the way.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    executor::unless_ending().await;
    // A panic over there would leave the waiter here hanging: it is carried over.
    let work = move || panic::catch_unwind(AssertUnwindSafe(work));
    match through_glommio(glommio::executor().spawn_blocking(work)).await {
        Ok(output) => output,
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// An error of the standard library, by its number.
pub(super) fn os_error(op: DiskOp, path: &Path, error: &io::Error) -> DiskError {
    DiskError::from_errno(op, path, error.raw_os_error().unwrap_or(libc::EIO))
}

/// An error of glommio, by the number it wraps.
pub(super) fn glommio_error(op: DiskOp, path: &Path, error: &GlommioError<()>) -> DiskError {
    match error {
        GlommioError::IoError(source) | GlommioError::EnhancedIoError { source, .. } => {
            os_error(op, path, source)
        }
        _ => DiskError::from_errno(op, path, libc::EIO),
    }
}

#[cfg(test)]
mod tests {
    use super::blocking;
    use crate::rt::executor::{self, ExecutorConfig};

    #[test]
    fn a_panic_over_there_is_a_panic_here() {
        let main = || async { blocking(|| panic!("over there")).await };
        let error = executor::spawn(ExecutorConfig::unpinned("test"), main).unwrap().join();
        assert_eq!(error.unwrap_err().message, "over there");
    }
}
