//! A file system in memory that fails by a seed.
//!
//! Every operation takes a seeded number of polls, so that tasks interleave; [`MemoryDisk::crash`] loses
//! what was not synced, tears the writes in flight and starts the next incarnation. The faults of a
//! [`FaultPlan`] come on top. The rules are those that [`crate::disk`] states for every implementation.

mod executor;
mod fault;
mod volume;

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use bytes::{Buf, Bytes};

use super::{
    BLOCK, Blocks, DirEntry, Disk, DiskBuf, DiskError, DiskErrorKind, DiskFile, DiskOp, OpenMode, WriteSync,
};
pub use executor::{SimClock, Simulation, block_on, yield_turns};
pub use fault::{Crash, FaultPlan};
use volume::{InodeId, Volume};

/// See the module. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct MemoryDisk {
    volume: Rc<RefCell<Volume>>,
}

impl MemoryDisk {
    /// An empty disk whose behaviour follows from `seed` and `plan`.
    pub fn new(seed: u64, plan: FaultPlan) -> Self {
        Self { volume: Rc::new(RefCell::new(Volume::new(seed, plan))) }
    }

    /// Changes what goes wrong from now on.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.volume.borrow_mut().plan = plan;
    }

    /// Operations so far; the next one is `ops() + 1` for [`FaultPlan::eio_on_op`].
    pub fn ops(&self) -> u64 {
        self.volume.borrow().ops()
    }

    /// File syncs so far, as [`FaultPlan::sync_failure_on`] counts them.
    pub fn syncs(&self) -> u64 {
        self.volume.borrow().syncs()
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.volume.borrow().used_bytes()
    }

    /// Makes every name durable, so that a test begins with files that are certain.
    pub fn sync_all_names(&self) {
        self.volume.borrow_mut().sync_all_names();
    }

    /// Stops the process or the machine. Open files are dead afterwards; drop their tasks first.
    pub fn crash(&self, crash: Crash) {
        self.volume.borrow_mut().crash(crash);
    }

    /// Flips a bit of a file, as failing hardware does.
    pub fn flip_bit(&self, path: &Path, position: usize, bit: u32) -> Result<(), DiskError> {
        let mut volume = self.volume.borrow_mut();
        let inode = volume.file(DiskOp::Open, path)?;
        volume.flip_bit(inode, position, bit);
        Ok(())
    }

    /// Lets other tasks run, then begins an operation.
    async fn turn(&self, op: DiskOp, path: &Path) -> Result<(), DiskError> {
        let turns = {
            let mut volume = self.volume.borrow_mut();
            let turns_max = volume.plan.turns_max;
            volume.prng.below(turns_max + 1)
        };
        yield_turns(turns).await;
        self.volume.borrow_mut().begin_op(op, path)
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Buf = MemoryBuf;

    fn alloc(&self, len: usize) -> MemoryBuf {
        assert!(len.is_multiple_of(BLOCK), "buffer of {len} bytes");
        // Contents are unspecified: make reliance on zeros visible.
        MemoryBuf::new(len)
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<MemoryFile, DiskError> {
        self.turn(DiskOp::Open, path).await?;
        let mut volume = self.volume.borrow_mut();
        let inode = match mode {
            OpenMode::CreateNew => volume.create(path)?,
            OpenMode::Read | OpenMode::Write => volume.file(DiskOp::Open, path)?,
        };
        let incarnation = volume.incarnation;
        Ok(MemoryFile { disk: self.clone(), inode, path: path.to_owned(), incarnation, mode })
    }

    async fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.turn(DiskOp::List, dir).await?;
        self.volume.borrow().list(dir)
    }

    async fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        self.turn(DiskOp::CreateDir, dir).await?;
        self.volume.borrow_mut().create_dir_all(dir);
        Ok(())
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.turn(DiskOp::Rename, from).await?;
        self.volume.borrow_mut().rename(from, to)
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.turn(DiskOp::Remove, path).await?;
        self.volume.borrow_mut().remove(path)
    }

    async fn remove_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        self.turn(DiskOp::Remove, dir).await?;
        self.volume.borrow_mut().remove(dir)
    }

    async fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.turn(DiskOp::Sync, dir).await?;
        self.volume.borrow_mut().sync_dir(dir);
        Ok(())
    }

    async fn read_file(&self, path: &Path, max: usize) -> Result<Vec<u8>, DiskError> {
        self.turn(DiskOp::Read, path).await?;
        let volume = self.volume.borrow();
        let inode = volume.file(DiskOp::Read, path)?;
        if max < volume.len(inode) {
            return Err(DiskError::new(DiskOp::Read, path, DiskErrorKind::TooLarge));
        }
        Ok(volume.read(inode, 0, max).to_vec())
    }

    async fn replace_file(&self, path: &Path, contents: &[u8]) -> Result<(), DiskError> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        match self.remove_file(&temporary).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let file = self.open(&temporary, OpenMode::CreateNew).await?;
        let mut buf = self.alloc(contents.len().next_multiple_of(BLOCK));
        buf.bytes.fill(0);
        buf.bytes[..contents.len()].copy_from_slice(contents);
        let (buf, mut written) = (buf.freeze(), 0);
        while written < buf.len() {
            written += file.write_at(buf.slice(written..), written as u64, WriteSync::None).await?;
        }
        file.truncate(contents.len() as u64).await?;
        file.sync_data().await?;
        self.rename(&temporary, path).await?;
        self.sync_dir(path.parent().expect("a file has a directory")).await
    }
}

/// A buffer on the heap, which sees to it that nobody changes what is being written.
#[derive(Debug)]
pub struct MemoryBuf {
    bytes: Vec<u8>,
    lent: RefCell<Vec<Lent>>,
}

/// Blocks of a [`MemoryBuf`], as they are to be written.
#[derive(Debug, Clone)]
pub struct MemoryBlocks {
    bytes: Bytes,
    _is_written: Rc<()>,
}

impl MemoryBlocks {
    /// What is to be written.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Where blocks were taken from, and what they were.
#[derive(Debug)]
struct Lent {
    start: usize,
    bytes: Bytes,
    is_written: Weak<()>,
}

impl MemoryBuf {
    fn new(len: usize) -> Self {
        Self { bytes: vec![0xa5; len], lent: RefCell::default() }
    }

    fn check_lent(&self) {
        let mut lent = self.lent.borrow_mut();
        lent.retain(|of| 0 < of.is_written.strong_count());
        for Lent { start, bytes, .. } in &*lent {
            let now = &self.bytes[*start..start + bytes.len()];
            assert!(
                now == bytes,
                "{} bytes from {start} on were changed while they are written",
                bytes.len()
            );
        }
    }
}

impl Blocks for MemoryBlocks {
    fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
    }
}

impl DiskBuf for MemoryBuf {
    type Shared = Bytes;
    type Blocks = MemoryBlocks;

    fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        self.check_lent();
        &mut self.bytes
    }

    fn truncate(&mut self, len: usize) {
        assert!(len.is_multiple_of(BLOCK), "buffer of {len} bytes");
        self.check_lent();
        self.lent.get_mut().retain(|of| of.start + of.bytes.len() <= len);
        self.bytes.truncate(len);
    }

    fn blocks(&self, range: Range<usize>) -> MemoryBlocks {
        assert!(range.start.is_multiple_of(BLOCK) && range.end.is_multiple_of(BLOCK), "blocks {range:?}");
        self.check_lent();
        let (start, bytes) = (range.start, Bytes::copy_from_slice(&self.bytes[range]));
        let is_written = Rc::new(());
        let lent = Lent { start, bytes: bytes.clone(), is_written: Rc::downgrade(&is_written) };
        self.lent.borrow_mut().push(lent);
        MemoryBlocks { bytes, _is_written: is_written }
    }

    fn freeze(self) -> Bytes {
        self.check_lent();
        self.bytes.into()
    }

    fn bytes(shared: &Bytes) -> Bytes {
        shared.clone()
    }
}

/// An open file of a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryFile {
    disk: MemoryDisk,
    inode: InodeId,
    path: PathBuf,
    incarnation: u64,
    mode: OpenMode,
}

impl MemoryFile {
    async fn turn(&self, op: DiskOp) -> Result<(), DiskError> {
        self.disk.turn(op, &self.path).await?;
        self.check_alive(op)
    }

    fn check_alive(&self, op: DiskOp) -> Result<(), DiskError> {
        let alive = self.incarnation == self.disk.volume.borrow().incarnation;
        if alive { Ok(()) } else { Err(DiskError::from_errno(op, &self.path, libc::EIO)) }
    }

    fn assert_writable(&self) {
        assert!(self.mode != OpenMode::Read, "{} was opened for reading", self.path.display());
    }
}

impl DiskFile for MemoryFile {
    type Buf = MemoryBuf;

    async fn read_at(&self, position: u64, len: usize) -> Result<Bytes, DiskError> {
        self.turn(DiskOp::Read).await?;
        let volume = self.disk.volume.borrow();
        Ok(Bytes::copy_from_slice(volume.read(self.inode, position as usize, len)))
    }

    async fn write_at(&self, buf: Bytes, position: u64, sync: WriteSync) -> Result<usize, DiskError> {
        self.assert_writable();
        self.check_alive(DiskOp::Write)?;
        let (id, turns) = {
            let mut volume = self.disk.volume.borrow_mut();
            let turns_max = volume.plan.turns_max;
            (volume.submit_write(self.inode, position as usize, &buf), volume.prng.below(turns_max + 1))
        };
        yield_turns(turns).await;
        self.check_alive(DiskOp::Write)?;
        let durable = sync == WriteSync::Data;
        self.disk.volume.borrow_mut().complete_write(id, &self.path, durable)
    }

    async fn write_blocks_at(
        &self,
        blocks: &[MemoryBlocks],
        position: u64,
        sync: WriteSync,
    ) -> Result<usize, DiskError> {
        let bytes: Vec<u8> = blocks.iter().flat_map(|of| &of.bytes).copied().collect();
        self.write_at(bytes.into(), position, sync).await
    }

    async fn sync_data(&self) -> Result<(), DiskError> {
        self.check_alive(DiskOp::Sync)?;
        let (snapshot, turns) = {
            let mut volume = self.disk.volume.borrow_mut();
            let turns_max = volume.plan.turns_max;
            (volume.sync_snapshot(self.inode), volume.prng.below(turns_max + 1))
        };
        yield_turns(turns).await;
        self.check_alive(DiskOp::Sync)?;
        self.disk.volume.borrow_mut().complete_sync(self.inode, snapshot, &self.path)
    }

    async fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.assert_writable();
        self.turn(DiskOp::Truncate).await?;
        self.disk.volume.borrow_mut().truncate(self.inode, len as usize);
        Ok(())
    }

    async fn len(&self) -> Result<u64, DiskError> {
        self.turn(DiskOp::Stat).await?;
        Ok(self.disk.volume.borrow().len(self.inode) as u64)
    }

    async fn close(self) -> Result<(), DiskError> {
        self.turn(DiskOp::Close).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(disk: &MemoryDisk, value: u8, blocks: usize) -> Bytes {
        let mut buf = disk.alloc(blocks * BLOCK);
        buf.as_mut_slice().fill(value);
        buf.freeze()
    }

    fn contents(disk: &MemoryDisk, path: &str) -> Option<Vec<u8>> {
        block_on(disk.read_file(Path::new(path), 1 << 20)).ok()
    }

    #[test]
    fn only_synced_bytes_are_certain_to_survive_the_machine() {
        let mut lost = 0;
        for seed in 0..200 {
            let disk = MemoryDisk::new(seed, FaultPlan { turns_max: 3, ..FaultPlan::default() });
            block_on(async {
                disk.create_dir_all(Path::new("/d")).await.unwrap();
                disk.sync_dir(Path::new("/")).await.unwrap();
                let file = disk.open(Path::new("/d/f"), OpenMode::CreateNew).await.unwrap();
                disk.sync_dir(Path::new("/d")).await.unwrap();
                file.write_at(block(&disk, 1, 1), 0, WriteSync::Data).await.unwrap();
                file.write_at(block(&disk, 2, 1), BLOCK as u64, WriteSync::None).await.unwrap();
            });
            disk.crash(Crash::Machine);
            let bytes = contents(&disk, "/d/f").unwrap();
            assert!(bytes[..BLOCK].iter().all(|byte| *byte == 1));
            assert!(bytes[BLOCK..].iter().all(|byte| [0, 2].contains(byte)));
            lost += usize::from(bytes.len() < 2 * BLOCK || bytes[BLOCK..].contains(&0));
        }
        assert!((20..180).contains(&lost), "{lost} of 200 lost the unsynced block");
    }

    #[test]
    fn a_killed_process_loses_nothing_that_completed() {
        let disk = MemoryDisk::new(1, FaultPlan::default());
        block_on(async {
            let file = disk.open(Path::new("/f"), OpenMode::CreateNew).await.unwrap();
            file.write_at(block(&disk, 1, 1), 0, WriteSync::None).await.unwrap();
            disk.crash(Crash::Process);
            assert!(file.len().await.is_err());
        });
        assert_eq!(contents(&disk, "/f").unwrap().len(), BLOCK);
    }

    #[test]
    fn names_need_a_sync_of_their_directory() {
        let mut lost = 0;
        for seed in 0..100 {
            let disk = MemoryDisk::new(seed, FaultPlan::default());
            block_on(async {
                disk.open(Path::new("/kept"), OpenMode::CreateNew).await.unwrap();
                disk.sync_dir(Path::new("/")).await.unwrap();
                disk.open(Path::new("/maybe"), OpenMode::CreateNew).await.unwrap();
            });
            disk.crash(Crash::Machine);
            assert!(contents(&disk, "/kept").is_some());
            lost += usize::from(contents(&disk, "/maybe").is_none());
        }
        assert!((10..90).contains(&lost), "{lost} of 100 lost the name");
    }

    #[test]
    fn replaced_files_are_old_or_new() {
        let path = Path::new("/checkpoint");
        for seed in 0..300 {
            let disk = MemoryDisk::new(seed, FaultPlan { turns_max: 4, ..FaultPlan::default() });
            block_on(disk.replace_file(path, b"old")).unwrap();
            let mut simulation = Simulation::new(seed, crate::types::Timestamp(0));
            let task_disk = disk.clone();
            simulation.spawn(async move { task_disk.replace_file(path, b"new").await.unwrap() });
            simulation.run(seed % 40);
            drop(simulation);
            disk.crash(Crash::Machine);
            let found = contents(&disk, "/checkpoint").unwrap();
            assert!(found == b"old" || found == b"new", "seed {seed}: {found:?}");
        }
    }

    #[test]
    fn a_full_disk_refuses_and_a_failed_sync_is_not_made_up_for() {
        let disk = MemoryDisk::new(1, FaultPlan { space_bytes: Some(BLOCK as u64), ..FaultPlan::default() });
        block_on(async {
            let file = disk.open(Path::new("/f"), OpenMode::CreateNew).await.unwrap();
            file.write_at(block(&disk, 1, 1), 0, WriteSync::None).await.unwrap();
            let error = file.write_at(block(&disk, 1, 1), BLOCK as u64, WriteSync::None).await.unwrap_err();
            assert_eq!(error.kind, DiskErrorKind::NoSpace);
            disk.set_plan(FaultPlan { sync_failure_on: Some(1), ..FaultPlan::default() });
            assert!(file.sync_data().await.is_err());
        });
    }
}
