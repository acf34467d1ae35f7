//! Resource limits of the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::HostError;

/// What glommio asks for before it starts an executor.
const LOCKED_BYTES_MIN: u64 = 512 << 10;

/// Fewer open files than this are soon used up by connections and segments.
const OPEN_FILES_WARN: u64 = 100_000;

/// Raises a soft limit to the hard one and returns it; `u64::MAX` is no limit.
fn raise(resource: Resource) -> u64 {
    let limit = getrlimit(resource);
    let raised = setrlimit(resource, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let current = if raised.is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

/// Raises the limit on locked memory, which the rings' buffers count against.
pub(super) fn raise_locked_memory() -> Result<(), HostError> {
    let found = raise(Resource::Memlock);
    if found < LOCKED_BYTES_MIN {
        return Err(HostError::LockedMemory { found, needed: LOCKED_BYTES_MIN });
    }
    Ok(())
}

/// Raises the limit on open files and returns it.
pub(super) fn raise_open_files() -> u64 {
    raise(Resource::Nofile)
}

/// A line about a limit that is low.
pub(super) fn open_files_warning(open_files: u64) -> Option<String> {
    (open_files < OPEN_FILES_WARN).then(|| {
        format!(
            "the limit on open files is {open_files}, {OPEN_FILES_WARN} or more are recommended: raise \
             `ulimit -n`, LimitNOFILE in the systemd unit, or --ulimit nofile of a container"
        )
    })
}
