//! How much room a file system has.

use std::path::Path;

use super::blocking::{blocking, os_error};
use crate::disk::{DiskError, DiskOp};

/// The size of a file system and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What this process may still write, in bytes.
    pub usable_bytes: u64,
}

/// The room on the file system that holds `path`.
pub async fn disk_space(path: &Path) -> Result<DiskSpace, DiskError> {
    let owned = path.to_owned();
    blocking(move || {
        let stat = rustix::fs::statvfs(&owned)
            .map_err(|errno| os_error(DiskOp::Stat, &owned, &std::io::Error::from(errno)))?;
        Ok(DiskSpace {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            usable_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    })
    .await
}
