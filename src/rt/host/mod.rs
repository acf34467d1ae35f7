//! What the process needs of its host, checked before anything starts: each failure is one line that
//! says what was found, what is needed and what to do.

mod dir_lock;
mod io_uring;
mod limits;

pub use dir_lock::{DirLock, lock_dir};

/// Why this host cannot run a broker.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel has no io_uring, or not for us.
    #[error("io_uring is not available: {cause}; {remedy}")]
    IoUring {
        /// What the kernel said.
        cause: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The limit on locked memory is below what a ring needs.
    #[error(
        "the limit on locked memory is {found} bytes, at least {needed} are needed: \
         set `ulimit -l unlimited`, LimitMEMLOCK=infinity in the systemd unit, \
         or --ulimit memlock=-1 for a container"
    )]
    LockedMemory {
        /// The hard limit.
        found: u64,
        /// The least that works.
        needed: u64,
    },
    /// The affinity mask cannot be read.
    #[error("cannot read the CPU affinity mask of the process: set `corelog.cpus` to a list of CPU numbers")]
    Cpus,
    /// Somebody else serves the log directory.
    #[error(
        "the log directory {dir} is in use by another process, its .lock file is locked: \
         stop that process or change `log.dirs`"
    )]
    DirLocked {
        /// The directory.
        dir: String,
    },
    /// The log directory is missing and cannot be made.
    #[error("cannot create the log directory {dir}: {source}: create it for this user, or change `log.dirs`")]
    DirCreate {
        /// The directory.
        dir: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The lock file cannot be used.
    #[error(
        "cannot lock the log directory {dir}: {source}: make it writable for this user or change `log.dirs`"
    )]
    DirLock {
        /// The directory.
        dir: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostReport {
    /// The CPUs that the process may run on, in ascending order.
    pub cpus: Vec<usize>,
    /// The limit on open files, after it was raised.
    pub open_files: u64,
    /// What works but should be better, one line each.
    pub warnings: Vec<String>,
}

/// Raises the limits of the process as far as they go and checks that executors can start.
pub fn check() -> Result<HostReport, HostError> {
    let mut warnings = Vec::new();
    io_uring::check()?;
    warnings.extend(io_uring::kernel_warning());
    limits::raise_locked_memory()?;
    let open_files = limits::raise_open_files();
    warnings.extend(limits::open_files_warning(open_files));
    Ok(HostReport { cpus: cpus()?, open_files, warnings })
}

/// The CPUs of the process's affinity mask, in ascending order. glommio looks at every CPU of the
/// machine instead.
pub fn cpus() -> Result<Vec<usize>, HostError> {
    let mut cpus: Vec<usize> =
        core_affinity::get_core_ids().ok_or(HostError::Cpus)?.iter().map(|core| core.id).collect();
    cpus.sort_unstable();
    Ok(cpus)
}
