//! One process per log directory.

#![expect(unsafe_code, reason = "locks of an open file have no safe wrapper")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::HostError;

/// Kafka's name of the lock file.
const LOCK_FILE: &str = ".lock";

/// A log directory that is ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Locks a log directory against other processes, and against itself. Creates it where it is missing.
///
/// The lock is one of byte ranges, which Apache Kafka's own lock of the same file respects.
pub fn lock_dir(dir: &Path) -> Result<DirLock, HostError> {
    let name = dir.display().to_string();
    let open = || OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK_FILE));
    fs::create_dir_all(dir).map_err(|source| HostError::DirCreate { dir: name.clone(), source })?;
    match open().and_then(|file| lock(&file).map(|()| file)) {
        Ok(file) => Ok(DirLock { _file: file }),
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Err(HostError::DirLocked { dir: name }),
        Err(source) => Err(HostError::DirLock { dir: name, source }),
    }
}

fn lock(file: &File) -> io::Result<()> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open and the kernel reads one `flock` behind the pointer.
    let locked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const whole) };
    if locked < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
