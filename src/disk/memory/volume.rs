//! The state of a simulated file system: what a reader sees now, and what would survive the machine.
//!
//! Assumptions about the device, as in `docs/storage_format.md`: a sector that is rewritten holds the old
//! or the new bytes after a crash, never anything else; a sector that was never durable holds the new
//! bytes or zeros. Sectors are kept or lost one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::disk::{BLOCK, DirEntry, DiskError, DiskErrorKind, DiskOp};
use crate::types::Prng;

use super::fault::{Crash, FaultPlan};

/// What a device writes as a whole.
const SECTOR: usize = 512;

pub(super) type InodeId = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Dir,
    File(InodeId),
}

#[derive(Debug, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Blocks whose sync failed: clean for the kernel, lost for the device until written again.
    poisoned: BTreeSet<usize>,
}

/// A change of a name and whether a sync of its directory made it durable.
#[derive(Debug, Clone)]
struct NameChange {
    kind: NameChangeKind,
    synced: bool,
}

#[derive(Debug, Clone)]
enum NameChangeKind {
    Link(PathBuf, InodeId),
    MakeDir(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// A write that was submitted and has not completed.
#[derive(Debug)]
struct InFlight {
    id: u64,
    inode: InodeId,
    position: usize,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Volume {
    pub(super) plan: FaultPlan,
    pub(super) prng: Prng,
    /// Grows with every crash; open files of an earlier incarnation are dead.
    pub(super) incarnation: u64,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    name_changes: Vec<NameChange>,
    in_flight: Vec<InFlight>,
    next_write: u64,
    ops: u64,
    syncs: u64,
}

impl Volume {
    pub(super) fn new(seed: u64, plan: FaultPlan) -> Self {
        Self {
            plan,
            prng: Prng::new(seed),
            incarnation: 0,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            in_flight: Vec::new(),
            next_write: 0,
            ops: 0,
            syncs: 0,
        }
    }

    /// Counts an operation and fails the one the plan names.
    pub(super) fn begin_op(&mut self, op: DiskOp, path: &Path) -> Result<(), DiskError> {
        self.ops += 1;
        if self.plan.eio_on_op == Some(self.ops) {
            return Err(DiskError::from_errno(op, path, libc::EIO));
        }
        Ok(())
    }

    pub(super) fn ops(&self) -> u64 {
        self.ops
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs
    }

    fn node(&self, path: &Path) -> Option<Node> {
        let is_root = path.as_os_str().is_empty() || path == Path::new("/");
        if is_root { Some(Node::Dir) } else { self.names.get(path).copied() }
    }

    pub(super) fn file(&self, op: DiskOp, path: &Path) -> Result<InodeId, DiskError> {
        match self.node(path) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Dir) => Err(DiskError::from_errno(op, path, libc::EISDIR)),
            None => Err(DiskError::new(op, path, DiskErrorKind::NotFound)),
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> Result<InodeId, DiskError> {
        if self.names.contains_key(path) {
            return Err(DiskError::new(DiskOp::Open, path, DiskErrorKind::AlreadyExists));
        }
        if path.parent().and_then(|parent| self.node(parent)) != Some(Node::Dir) {
            return Err(DiskError::new(DiskOp::Open, path, DiskErrorKind::NotFound));
        }
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        self.change_name(NameChangeKind::Link(path.to_owned(), inode));
        Ok(inode)
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) {
        let missing: Vec<_> = dir.ancestors().take_while(|dir| self.node(dir).is_none()).collect();
        for dir in missing.into_iter().rev() {
            self.change_name(NameChangeKind::MakeDir(dir.to_owned()));
        }
    }

    pub(super) fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        if self.node(dir) != Some(Node::Dir) {
            return Err(DiskError::new(DiskOp::List, dir, DiskErrorKind::NotFound));
        }
        let children = self.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(children
            .map(|(path, node)| DirEntry {
                name: path.file_name().expect("a child has a name").to_string_lossy().into_owned(),
                is_dir: *node == Node::Dir,
                len: match node {
                    Node::Dir => 0,
                    Node::File(inode) => self.inodes[*inode].current.len() as u64,
                },
            })
            .collect())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError> {
        if self.node(from).is_none() {
            return Err(DiskError::new(DiskOp::Rename, from, DiskErrorKind::NotFound));
        }
        if self.node(to) == Some(Node::Dir) {
            return Err(DiskError::new(DiskOp::Rename, to, DiskErrorKind::AlreadyExists));
        }
        self.change_name(NameChangeKind::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> Result<(), DiskError> {
        if self.node(path).is_none() {
            return Err(DiskError::new(DiskOp::Remove, path, DiskErrorKind::NotFound));
        }
        self.change_name(NameChangeKind::Remove(path.to_owned()));
        Ok(())
    }

    fn change_name(&mut self, kind: NameChangeKind) {
        apply_name_change(&mut self.names, &kind);
        self.name_changes.push(NameChange { kind, synced: false });
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let is_child = |path: &Path| path.parent() == Some(dir);
        for change in &mut self.name_changes {
            change.synced |= match &change.kind {
                NameChangeKind::Rename(from, to) => is_child(from) || is_child(to),
                NameChangeKind::Link(path, _)
                | NameChangeKind::MakeDir(path)
                | NameChangeKind::Remove(path) => is_child(path),
            };
        }
        let synced = self.name_changes.iter().take_while(|change| change.synced).count();
        for change in self.name_changes.drain(..synced) {
            apply_name_change(&mut self.durable_names, &change.kind);
        }
    }

    pub(super) fn sync_all_names(&mut self) {
        self.name_changes.clear();
        self.durable_names = self.names.clone();
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.inodes.iter().map(|inode| inode.current.len() as u64).sum()
    }

    pub(super) fn read(&self, inode: InodeId, position: usize, len: usize) -> &[u8] {
        let bytes = &self.inodes[inode].current;
        let start = position.min(bytes.len());
        &bytes[start..start.saturating_add(len).min(bytes.len())]
    }

    pub(super) fn len(&self, inode: InodeId) -> usize {
        self.inodes[inode].current.len()
    }

    /// Takes a write in flight; two that overlap are a bug of the log.
    pub(super) fn submit_write(&mut self, inode: InodeId, position: usize, bytes: &[u8]) -> u64 {
        assert!(position.is_multiple_of(BLOCK), "write position {position} is not a multiple of {BLOCK}");
        assert!(!bytes.is_empty() && bytes.len().is_multiple_of(BLOCK), "write of {} bytes", bytes.len());
        for other in self.in_flight.iter().filter(|other| other.inode == inode) {
            let overlaps =
                position < other.position + other.bytes.len() && other.position < position + bytes.len();
            assert!(!overlaps, "two writes at {position} and {} overlap in flight", other.position);
        }
        self.next_write += 1;
        let id = self.next_write;
        self.in_flight.push(InFlight { id, inode, position, bytes: bytes.to_vec() });
        id
    }

    /// Completes a write: how many bytes were written.
    pub(super) fn complete_write(&mut self, id: u64, path: &Path, durable: bool) -> Result<usize, DiskError> {
        let index = self.in_flight.iter().position(|write| write.id == id).expect("completed once");
        let InFlight { inode, position, mut bytes, .. } = self.in_flight.swap_remove(index);
        if let Err(error) = self.begin_op(DiskOp::Write, path) {
            self.write_partly(inode, position, &bytes);
            return Err(error);
        }
        let short = 0 < self.plan.short_write_in && self.prng.chance(1, self.plan.short_write_in);
        if short && BLOCK < bytes.len() {
            let blocks = 1 + self.prng.below((bytes.len() / BLOCK - 1) as u64) as usize;
            bytes.truncate(blocks * BLOCK);
        }
        let fits = self.fitting_len(inode, position, bytes.len());
        if fits < bytes.len() {
            bytes.truncate(fits);
            if fits == 0 || self.prng.chance(1, 2) {
                // The file system may have extended the file before it found no room.
                self.write_partly(inode, position, &bytes);
                return Err(DiskError::new(DiskOp::Write, path, DiskErrorKind::NoSpace));
            }
        }
        self.write_current(inode, position, &bytes);
        if durable {
            write_over(&mut self.inodes[inode].durable, position, &bytes);
        }
        Ok(bytes.len())
    }

    /// How many of `len` bytes at `position` fit the disk, in whole blocks.
    fn fitting_len(&self, inode: InodeId, position: usize, len: usize) -> usize {
        let Some(space) = self.plan.space_bytes else { return len };
        let free = space.saturating_sub(self.used_bytes()) as usize;
        let end_max = self.len(inode) + free;
        end_max.saturating_sub(position).min(len) / BLOCK * BLOCK
    }

    fn write_current(&mut self, inode: InodeId, position: usize, bytes: &[u8]) {
        let inode = &mut self.inodes[inode];
        write_over(&mut inode.current, position, bytes);
        let blocks = position / BLOCK..(position + bytes.len()).div_ceil(BLOCK);
        inode.poisoned.retain(|block| !blocks.contains(block));
    }

    /// A random subset of the sectors of a write.
    fn write_partly(&mut self, inode: InodeId, position: usize, bytes: &[u8]) {
        for (index, sector) in bytes.chunks(SECTOR).enumerate() {
            if self.prng.chance(1, 2) {
                self.write_current(inode, position + index * SECTOR, sector);
            }
        }
    }

    /// What a sync submitted now would make durable.
    pub(super) fn sync_snapshot(&self, inode: InodeId) -> Vec<u8> {
        self.inodes[inode].current.clone()
    }

    pub(super) fn complete_sync(
        &mut self,
        inode: InodeId,
        snapshot: Vec<u8>,
        path: &Path,
    ) -> Result<(), DiskError> {
        self.syncs += 1;
        let failure = match self.begin_op(DiskOp::Sync, path) {
            Ok(()) if self.plan.sync_failure_on == Some(self.syncs) => {
                Err(DiskError::from_errno(DiskOp::Sync, path, libc::EIO))
            }
            other => other,
        };
        let prng = &mut self.prng;
        let target = &mut self.inodes[inode];
        if failure.is_err() {
            let blocks = snapshot.len().div_ceil(BLOCK);
            target.poisoned.extend((0..blocks).filter(|_| prng.chance(1, 2)));
        }
        let mut durable = snapshot;
        for block in &target.poisoned {
            let range = block * BLOCK..((block + 1) * BLOCK).min(durable.len());
            for at in range {
                durable[at] = target.durable.get(at).copied().unwrap_or(0);
            }
        }
        target.durable = durable;
        failure
    }

    pub(super) fn truncate(&mut self, inode: InodeId, len: usize) {
        self.inodes[inode].current.resize(len, 0);
    }

    /// Stops the machine or the process and starts the next incarnation with what is left.
    pub(super) fn crash(&mut self, crash: Crash) {
        self.incarnation += 1;
        for write in std::mem::take(&mut self.in_flight) {
            match self.prng.below(3) {
                0 => {}
                1 => self.write_current(write.inode, write.position, &write.bytes),
                _ => self.write_partly(write.inode, write.position, &write.bytes),
            }
        }
        // What a failed sync left in the device's cache is covered by the next one that succeeds.
        self.inodes.iter_mut().for_each(|inode| inode.poisoned.clear());
        if crash == Crash::Machine {
            self.lose_unsynced_names();
            self.lose_unsynced_bytes();
        }
    }

    fn lose_unsynced_names(&mut self) {
        let changes = std::mem::take(&mut self.name_changes);
        // A journal keeps the order of the changes it keeps.
        let kept = self.prng.below(changes.len() as u64 + 1) as usize;
        for (index, change) in changes.into_iter().enumerate() {
            if change.synced || index < kept {
                apply_name_change(&mut self.durable_names, &change.kind);
            }
        }
        self.names = self.durable_names.clone();
    }

    fn lose_unsynced_bytes(&mut self) {
        let Self { inodes, prng, .. } = self;
        for inode in inodes {
            let fate = prng.below(4);
            let survived = survivor(prng, fate, &inode.durable, &inode.current);
            inode.durable = survived.clone();
            inode.current = survived;
        }
    }

    /// Flips one bit of a file, now and on the device.
    pub(super) fn flip_bit(&mut self, inode: InodeId, position: usize, bit: u32) {
        let inode = &mut self.inodes[inode];
        inode.current[position] ^= 1 << bit;
        if let Some(byte) = inode.durable.get_mut(position) {
            *byte ^= 1 << bit;
        }
    }
}

/// What is left of a file whose unsynced sectors are lost (fate 0), kept (1) or either, one by one.
fn survivor(prng: &mut Prng, fate: u64, durable: &[u8], current: &[u8]) -> Vec<u8> {
    if durable == current || fate == 0 {
        return durable.to_vec();
    }
    if fate == 1 {
        return current.to_vec();
    }
    let (short, long) = (durable.len().min(current.len()), durable.len().max(current.len()));
    let len = match prng.below(3) {
        0 => durable.len(),
        1 => current.len(),
        _ => (short + prng.below((long - short) as u64 + 1) as usize).next_multiple_of(SECTOR).min(long),
    };
    let mut bytes = vec![0; len];
    for start in (0..len).step_by(SECTOR) {
        let source = if prng.chance(1, 2) { durable } else { current };
        let range = start..(start + SECTOR).min(len);
        for at in range {
            bytes[at] = source.get(at).copied().unwrap_or(0);
        }
    }
    bytes
}

fn write_over(target: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[position..end].copy_from_slice(bytes);
}

fn apply_name_change(names: &mut BTreeMap<PathBuf, Node>, change: &NameChangeKind) {
    let has_parent = |names: &BTreeMap<PathBuf, Node>, path: &Path| {
        path.parent().is_none_or(|parent| {
            parent.as_os_str().is_empty() || parent == Path::new("/") || names.contains_key(parent)
        })
    };
    match change {
        NameChangeKind::Link(path, inode) if has_parent(names, path) => {
            names.insert(path.clone(), Node::File(*inode));
        }
        NameChangeKind::MakeDir(path) if has_parent(names, path) => {
            names.insert(path.clone(), Node::Dir);
        }
        NameChangeKind::Link(..) | NameChangeKind::MakeDir(_) => {}
        NameChangeKind::Remove(path) => names.retain(|name, _| !name.starts_with(path)),
        NameChangeKind::Rename(from, to) if names.contains_key(from) => {
            let moved: Vec<_> = names.keys().filter(|name| name.starts_with(from)).cloned().collect();
            for name in moved {
                let node = names.remove(&name).expect("it was just listed");
                let rest = name.strip_prefix(from).expect("it starts with the prefix");
                let name = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                names.insert(name, node);
            }
        }
        NameChangeKind::Rename(..) => {}
    }
}
