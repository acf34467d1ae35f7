//! The disk seam over a real file system.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use glommio::io::OpenOptions;

use super::blocking::{blocking, glommio_error, os_error};
use super::buffer::DirectBuf;
use super::device::{self, DirectIo};
use super::direct_file::{DirectFile, Handle};
use super::names;
use crate::disk::{DirEntry, Disk, DiskError, DiskErrorKind, DiskOp, OpenMode};
use crate::rt::reactor::through_glommio;

/// Files of one executor: direct I/O where the file system has it, the page cache elsewhere.
///
/// Names are changed on the executor's helper thread, one at a time.
#[derive(Debug, Clone, Default)]
pub struct DirectDisk {
    buffered: bool,
}

impl DirectDisk {
    /// Finds out per device whether direct I/O works.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses the page cache everywhere, as on a file system without direct I/O.
    pub fn buffered() -> Self {
        Self { buffered: true }
    }

    async fn direct_io(&self, path: &Path) -> Result<DirectIo, DiskError> {
        match path.parent() {
            _ if self.buffered => Ok(DirectIo::Unsupported),
            dir => device::direct_io(named(dir.unwrap_or(path))).await,
        }
    }
}

impl Disk for DirectDisk {
    type File = DirectFile;
    type Buf = DirectBuf;

    fn alloc(&self, len: usize) -> DirectBuf {
        DirectBuf::alloc(len)
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<DirectFile, DiskError> {
        let _opening = names::opening(path).await;
        let direct_io = self.direct_io(path).await?;
        let mut options = OpenOptions::new();
        options.mode(0o644).read(true).write(mode != OpenMode::Read).create_new(mode == OpenMode::CreateNew);
        let handle = match direct_io {
            DirectIo::Supported => through_glommio(options.dma_open(path)).await.map(Handle::Direct),
            DirectIo::Unsupported => through_glommio(options.buffered_open(path)).await.map(Handle::Buffered),
        };
        let handle = handle.map_err(|error| glommio_error(DiskOp::Open, path, &error))?;
        Ok(DirectFile::new(handle, path))
    }

    async fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        on_helper(DiskOp::List, dir, list_dir).await
    }

    async fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        on_helper(DiskOp::CreateDir, dir, |dir| fs::create_dir_all(dir)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let _changing = names::changing(from).await;
        let _replacing = names::changing(to).await;
        let to = to.to_owned();
        on_helper(DiskOp::Rename, from, move |from| fs::rename(from, to)).await
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        let _changing = names::changing(path).await;
        on_helper(DiskOp::Remove, path, |path| fs::remove_file(path)).await
    }

    async fn remove_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        let _changing = names::changing(dir).await;
        on_helper(DiskOp::Remove, dir, |dir| fs::remove_dir_all(dir)).await
    }

    async fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        on_helper(DiskOp::Sync, dir, sync_dir).await
    }

    async fn read_file(&self, path: &Path, max: usize) -> Result<Vec<u8>, DiskError> {
        let contents = on_helper(DiskOp::Read, path, move |path| read_at_most(path, max)).await?;
        if max < contents.len() {
            return Err(DiskError::new(DiskOp::Read, path, DiskErrorKind::TooLarge));
        }
        Ok(contents)
    }

    async fn replace_file(&self, path: &Path, contents: &[u8]) -> Result<(), DiskError> {
        let _replacing = names::changing(path).await;
        let contents = contents.to_vec();
        on_helper(DiskOp::Write, path, move |path| replace_file(path, &contents)).await
    }
}

/// Runs a call on `path` on the helper thread.
async fn on_helper<T: Send + 'static>(
    op: DiskOp,
    path: &Path,
    call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, DiskError> {
    let path: PathBuf = path.to_owned();
    blocking(move || call(&path).map_err(|error| os_error(op, &path, &error))).await
}

fn list_dir(dir: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // It was removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let is_dir = metadata.is_dir();
        let len = if is_dir { 0 } else { metadata.len() };
        entries.push(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), is_dir, len });
    }
    entries.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    Ok(entries)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(named(dir))?.sync_all()
}

/// A directory by a name that the kernel takes: the parent of a relative name of one part has none.
fn named(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

/// The file, or one byte more than `max` of it.
fn read_at_most(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(max as u64 + 1).read_to_end(&mut contents)?;
    Ok(contents)
}

fn replace_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let replaced = write_synced(&temporary, contents).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = replaced {
        fs::remove_file(&temporary).ok();
        return Err(error);
    }
    sync_dir(path.parent().unwrap_or(path))
}

fn write_synced(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents)?;
    file.sync_all()
}
