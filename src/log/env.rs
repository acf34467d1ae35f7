//! What the logs of one shard share: the disk, the caches, a source of jitter and of file ids.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::disk::Disk;
use crate::types::Prng;

use super::block_cache::{BlockCache, FileId};
use super::file_cache::FileCache;

/// Bounds of what the logs of one shard keep in memory.
#[derive(Debug, Clone, Copy)]
pub struct EnvConfig {
    /// Memory of the block cache in bytes.
    pub cache_bytes: usize,
    /// Files kept open for reading.
    pub open_files: usize,
    /// Whether what the page cache holds is sent from there; otherwise it is read into the block cache.
    pub sends_files: bool,
    /// Seed of the roll jitter.
    pub seed: u64,
}

/// A cheap handle on what the logs of one shard share.
pub struct LogEnv<D: Disk> {
    disk: D,
    shared: Rc<Shared<D>>,
}

struct Shared<D: Disk> {
    blocks: RefCell<BlockCache>,
    files: RefCell<FileCache<D::File>>,
    prng: RefCell<Prng>,
    next_file_id: Cell<u64>,
    sends_files: bool,
}

impl<D: Disk> Clone for LogEnv<D> {
    fn clone(&self) -> Self {
        Self { disk: self.disk.clone(), shared: self.shared.clone() }
    }
}

impl<D: Disk> LogEnv<D> {
    /// An environment with empty caches.
    pub fn new(disk: D, config: EnvConfig) -> Self {
        let shared = Shared {
            blocks: RefCell::new(BlockCache::new(config.cache_bytes)),
            files: RefCell::new(FileCache::new(config.open_files)),
            prng: RefCell::new(Prng::new(config.seed)),
            next_file_id: Cell::new(0),
            sends_files: config.sends_files,
        };
        Self { disk, shared: Rc::new(shared) }
    }

    /// The disk all logs of the shard are on.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Memory the block cache keeps alive, in bytes.
    pub fn cached_bytes(&self) -> usize {
        self.shared.blocks.borrow().used_bytes()
    }

    /// The block cache; not to be borrowed across an await.
    pub(super) fn blocks(&self) -> &RefCell<BlockCache> {
        &self.shared.blocks
    }

    /// The open files; not to be borrowed across an await.
    pub(super) fn files(&self) -> &RefCell<FileCache<D::File>> {
        &self.shared.files
    }

    /// Whether what the page cache holds is sent from there.
    pub(super) fn sends_files(&self) -> bool {
        self.shared.sends_files
    }

    /// A file id that was never used in this environment.
    pub(super) fn new_file_id(&self) -> FileId {
        let id = self.shared.next_file_id.get();
        self.shared.next_file_id.set(id + 1);
        FileId(id)
    }

    /// A random number in `0..bound_ms`, or zero for a bound that is not positive.
    pub(super) fn jitter_ms(&self, bound_ms: i64) -> i64 {
        match u64::try_from(bound_ms) {
            Ok(bound) if 0 < bound => self.shared.prng.borrow_mut().below(bound) as i64,
            _ => 0,
        }
    }

    /// 128 random bits for the name of a deleted directory.
    pub(super) fn random_u128(&self) -> u128 {
        let mut prng = self.shared.prng.borrow_mut();
        u128::from(prng.next_u64()) << 64 | u128::from(prng.next_u64())
    }
}
