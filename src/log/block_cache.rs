//! A shard's cache of log bytes: written tail chunks and blocks read ahead, under one byte budget.
//!
//! Entries are views of frozen buffers, handed out without a copy; a reader keeps its bytes alive even
//! when the entry is evicted. Eviction gives every entry that was read since the last look a second
//! chance (clock). The cache knows files by [`FileId`], never reused within an environment, so bytes of
//! a deleted or truncated file cannot come back.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;

/// A file within one environment; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId(pub(super) u64);

/// See the module.
#[derive(Debug)]
pub struct BlockCache {
    budget_bytes: usize,
    used_bytes: usize,
    files: HashMap<FileId, BTreeMap<u64, Entry>>,
    /// Entries of all files.
    count: usize,
    /// Every entry once, in the order in which it is looked at for eviction. Stale elements are skipped.
    queue: VecDeque<(FileId, u64, u64)>,
    generation: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: Bytes,
    /// Memory the entry keeps alive, which may exceed its bytes.
    charge: usize,
    generation: u64,
    touched: bool,
}

impl BlockCache {
    /// A cache that keeps at most `budget_bytes` of memory alive.
    pub fn new(budget_bytes: usize) -> Self {
        Self {
            budget_bytes,
            used_bytes: 0,
            files: HashMap::new(),
            count: 0,
            queue: VecDeque::new(),
            generation: 0,
        }
    }

    /// Memory kept alive by the cache.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Adds `bytes`, which stand at `position` of the file and keep `charge` bytes of memory alive. An
    /// entry at the same position is replaced.
    pub fn insert(&mut self, file: FileId, position: u64, bytes: Bytes, charge: usize) {
        if bytes.is_empty() || self.budget_bytes < charge {
            return;
        }
        self.generation += 1;
        let entry = Entry { bytes, charge, generation: self.generation, touched: false };
        self.used_bytes += charge;
        match self.files.entry(file).or_default().insert(position, entry) {
            Some(replaced) => self.used_bytes -= replaced.charge,
            None => self.count += 1,
        }
        self.queue.push_back((file, position, self.generation));
        self.evict();
    }

    /// The cached bytes from `position` on, as far as one entry has them.
    pub fn lookup(&mut self, file: FileId, position: u64) -> Option<Bytes> {
        // A long entry may be hidden behind the start of one that was added later.
        const CANDIDATES: usize = 2;
        let entries = self.files.get_mut(&file)?;
        for (&start, entry) in entries.range_mut(..=position).rev().take(CANDIDATES) {
            let skip = (position - start) as usize;
            if skip < entry.bytes.len() {
                entry.touched = true;
                return Some(entry.bytes.slice(skip..));
            }
        }
        None
    }

    /// Drops everything of a file that was deleted or truncated.
    pub fn forget(&mut self, file: FileId) {
        let Some(entries) = self.files.remove(&file) else { return };
        self.count -= entries.len();
        self.used_bytes -= entries.values().map(|entry| entry.charge).sum::<usize>();
    }

    fn evict(&mut self) {
        while self.budget_bytes < self.used_bytes {
            let (file, position, generation) =
                self.queue.pop_front().expect("every entry that is charged for is queued");
            let Some(entries) = self.files.get_mut(&file) else { continue };
            let Some(entry) = entries.get_mut(&position) else { continue };
            if entry.generation != generation {
                continue;
            }
            if std::mem::take(&mut entry.touched) {
                self.queue.push_back((file, position, generation));
                continue;
            }
            self.used_bytes -= entry.charge;
            self.count -= 1;
            entries.remove(&position);
            if entries.is_empty() {
                self.files.remove(&file);
            }
        }
        self.compact_queue();
    }

    /// Keeps the stale elements of the queue from outnumbering the live ones.
    fn compact_queue(&mut self) {
        const SLACK: usize = 64;
        if self.queue.len() <= 2 * self.count + SLACK {
            return;
        }
        let files = &self.files;
        self.queue.retain(|(file, position, generation)| {
            let entry = files.get(file).and_then(|entries| entries.get(position));
            entry.is_some_and(|entry| entry.generation == *generation)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Prng;

    const FILE: FileId = FileId(1);

    fn bytes(len: usize, value: u8) -> Bytes {
        Bytes::from(vec![value; len])
    }

    #[test]
    fn lookup_continues_inside_an_entry() {
        let mut cache = BlockCache::new(1 << 20);
        cache.insert(FILE, 4096, bytes(100, 7), 4096);
        assert_eq!(cache.lookup(FILE, 4096), Some(bytes(100, 7)));
        assert_eq!(cache.lookup(FILE, 4195), Some(bytes(1, 7)));
        assert_eq!(cache.lookup(FILE, 4196), None);
        assert_eq!(cache.lookup(FILE, 0), None);
        assert_eq!(cache.lookup(FileId(2), 4096), None);
    }

    #[test]
    fn a_longer_tail_block_replaces_the_shorter_one() {
        let mut cache = BlockCache::new(1 << 20);
        cache.insert(FILE, 0, bytes(100, 1), 8192);
        cache.insert(FILE, 0, bytes(300, 1), 8192);
        assert_eq!(cache.used_bytes(), 8192);
        assert_eq!(cache.lookup(FILE, 0).map(|found| found.len()), Some(300));
    }

    #[test]
    fn entries_read_since_the_last_look_outlive_others() {
        let mut cache = BlockCache::new(3 * 4096);
        for block in 0..3 {
            cache.insert(FILE, block * 4096, bytes(4096, 0), 4096);
        }
        assert!(cache.lookup(FILE, 0).is_some());
        cache.insert(FILE, 3 * 4096, bytes(4096, 0), 4096);
        assert!(cache.lookup(FILE, 0).is_some());
        assert!(cache.lookup(FILE, 4096).is_none());
        assert_eq!(cache.used_bytes(), 3 * 4096);
    }

    /// What an insertion costs must not grow with the files: it goes by counts, which have to be right.
    #[test]
    fn counts_are_those_of_the_entries() {
        for seed in 0..20 {
            let mut prng = Prng::new(seed);
            let mut cache = BlockCache::new(50 * 4096);
            for _ in 0..2_000 {
                let (file, position) = (FileId(prng.below(30)), prng.below(8) * 4096);
                match prng.below(10) {
                    0 => cache.forget(file),
                    1..4 => drop(cache.lookup(file, position)),
                    _ => cache.insert(file, position, bytes(10, 0), 4096),
                }
                let entries = || cache.files.values().flat_map(BTreeMap::values);
                assert_eq!(cache.count, entries().count(), "seed {seed}");
                assert_eq!(
                    cache.used_bytes,
                    entries().map(|entry| entry.charge).sum::<usize>(),
                    "seed {seed}"
                );
                assert!(cache.count <= cache.queue.len() && cache.queue.len() <= 2 * 50 + 65);
            }
        }
    }

    #[test]
    fn a_forgotten_file_frees_its_memory() {
        let mut cache = BlockCache::new(1 << 20);
        cache.insert(FILE, 0, bytes(4096, 0), 4096);
        cache.forget(FILE);
        assert_eq!((cache.used_bytes(), cache.lookup(FILE, 0)), (0, None));
        for _ in 0..1_000 {
            cache.insert(FILE, 0, bytes(10, 0), 4096);
        }
        assert!(cache.queue.len() < 100);
    }
}
