//! What a device can do, found out once per executor and device.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::blocking::{blocking, glommio_error, os_error};
use crate::disk::{DiskError, DiskOp};
use crate::rt::reactor::through_glommio;

/// Whether a directory's file system accepts O_DIRECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectIo {
    /// Files bypass the page cache.
    Supported,
    /// Files go through the page cache.
    Unsupported,
}

thread_local! {
    /// By device number. Per thread, as glommio's own table of devices is.
    static DEVICES: RefCell<BTreeMap<u64, DirectIo>> = const { RefCell::new(BTreeMap::new()) };
}

/// Tries direct I/O in `dir` with a file that leaves no trace. Blocks; for the start of the process.
pub fn probe(dir: &Path) -> io::Result<DirectIo> {
    match open_unnamed(dir, libc::O_DIRECT) {
        Ok(_) => Ok(DirectIo::Supported),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(DirectIo::Unsupported),
        Err(error) => Err(error),
    }
}

/// Opens a write-only file in `dir` that nobody else ever sees.
fn open_unnamed(dir: &Path, flags: libc::c_int) -> io::Result<File> {
    let unnamed =
        OpenOptions::new().write(true).custom_flags(flags | libc::O_TMPFILE | libc::O_EXCL).open(dir);
    match unnamed {
        // The file system has no unnamed files; and where it has no direct I/O either, the answer to
        // the named file says so.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) =>
        {
            let path = probe_path(dir);
            let file =
                OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(&path);
            fs::remove_file(&path).ok();
            file
        }
        other => other,
    }
}

fn probe_path(dir: &Path) -> PathBuf {
    dir.join(format!(".corelog-probe-{:?}", std::thread::current().id()))
}

/// How files in `dir` are opened on this executor. The first call for a device keeps glommio from its
/// own, wrong probe of busy-polling.
pub(super) async fn direct_io(dir: &Path) -> Result<DirectIo, DiskError> {
    let device = fs::metadata(dir).map_err(|error| os_error(DiskOp::Open, dir, &error))?.dev();
    if let Some(known) = DEVICES.with_borrow(|devices| devices.get(&device).copied()) {
        return Ok(known);
    }
    let found = {
        let dir = dir.to_owned();
        blocking(move || probe(&dir).map_err(|error| os_error(DiskOp::Open, &dir, &error))).await?
    };
    if found == DirectIo::Supported {
        settle_polling(dir).await?;
    }
    DEVICES.with_borrow_mut(|devices| devices.insert(device, found));
    Ok(found)
}

/// Lets glommio probe a write-only file, whose read fails: it then never busy-polls on this device.
async fn settle_polling(dir: &Path) -> Result<(), DiskError> {
    let mut options = glommio::io::OpenOptions::new();
    options.write(true).tmpfile(true);
    let opened = match through_glommio(options.dma_open(dir)).await {
        Ok(file) => Ok((file, None)),
        Err(_) => {
            let path = probe_path(dir);
            through_glommio(glommio::io::DmaFile::create(&path)).await.map(|file| (file, Some(path)))
        }
    };
    let (file, path) = opened.map_err(|error| glommio_error(DiskOp::Open, dir, &error))?;
    if let Some(path) = path {
        blocking(move || fs::remove_file(path).ok()).await;
    }
    through_glommio(file.close()).await.map_err(|error| glommio_error(DiskOp::Close, dir, &error))
}
