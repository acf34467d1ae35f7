//! What can go wrong between the log and a file system.

use std::fmt;
use std::path::{Path, PathBuf};

/// The operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskOp {
    /// Opening or creating a file.
    Open,
    /// Reading a file's bytes.
    Read,
    /// Writing a file's bytes.
    Write,
    /// Making bytes or names durable.
    Sync,
    /// Changing a file's length.
    Truncate,
    /// Asking for a file's length.
    Stat,
    /// Listing a directory.
    List,
    /// Creating a directory.
    CreateDir,
    /// Renaming a file or directory.
    Rename,
    /// Removing a file or directory.
    Remove,
    /// Closing a file.
    Close,
}

impl fmt::Display for DiskOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Truncate => "truncate",
            Self::Stat => "stat",
            Self::List => "list",
            Self::CreateDir => "create the directory",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Close => "close",
        })
    }
}

/// Why an operation failed, as far as a caller acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// No such file or directory (`ENOENT`).
    NotFound,
    /// The file exists already (`EEXIST`).
    AlreadyExists,
    /// The file system is full or the quota used up (`ENOSPC`, `EDQUOT`).
    NoSpace,
    /// A small file is larger than the caller accepts.
    TooLarge,
    /// Any other error, by its number; `EIO` among them.
    Os(i32),
}

/// A failed operation on a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskError {
    /// What was tried.
    pub op: DiskOp,
    /// On which file or directory.
    pub path: PathBuf,
    /// Why it failed.
    pub kind: DiskErrorKind,
}

impl DiskError {
    /// The error of an operation on `path`.
    pub fn new(op: DiskOp, path: &Path, kind: DiskErrorKind) -> Self {
        Self { op, path: path.to_owned(), kind }
    }

    /// Sorts an operating system's error number.
    pub fn from_errno(op: DiskOp, path: &Path, errno: i32) -> Self {
        let kind = match errno {
            libc::ENOENT => DiskErrorKind::NotFound,
            libc::EEXIST => DiskErrorKind::AlreadyExists,
            libc::ENOSPC | libc::EDQUOT => DiskErrorKind::NoSpace,
            other => DiskErrorKind::Os(other),
        };
        Self::new(op, path, kind)
    }

    /// Whether the device or the file system itself is broken: other files there fare no better. Being full,
    /// or short of what the process may use, is none of that.
    pub fn is_of_the_device(&self) -> bool {
        match self.kind {
            DiskErrorKind::Os(errno) => ![libc::EMFILE, libc::ENFILE, libc::ENOMEM].contains(&errno),
            DiskErrorKind::NotFound
            | DiskErrorKind::AlreadyExists
            | DiskErrorKind::NoSpace
            | DiskErrorKind::TooLarge => false,
        }
    }

    /// Whether the path was not there.
    pub fn is_not_found(&self) -> bool {
        self.kind == DiskErrorKind::NotFound
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: ", self.op, self.path.display())?;
        match self.kind {
            DiskErrorKind::NotFound => f.write_str("no such file or directory"),
            DiskErrorKind::AlreadyExists => f.write_str("it exists already"),
            DiskErrorKind::NoSpace => f.write_str("no space left on the device"),
            DiskErrorKind::TooLarge => f.write_str("it is larger than expected"),
            DiskErrorKind::Os(errno) => std::io::Error::from_raw_os_error(errno).fmt(f),
        }
    }
}

impl std::error::Error for DiskError {}
