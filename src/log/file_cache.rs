//! A bounded number of open files, so that a shard may have more segments than the process may have files.
//!
//! A file in use stays open through its reference count, even when the cache has let go of it.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::block_cache::FileId;

/// See the module. `F` is the disk's file.
#[derive(Debug)]
pub struct FileCache<F> {
    capacity: usize,
    files: HashMap<FileId, Slot<F>>,
    queue: VecDeque<FileId>,
}

#[derive(Debug)]
struct Slot<F> {
    file: Rc<F>,
    touched: bool,
}

impl<F> FileCache<F> {
    /// A cache of at most `capacity` files, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), files: HashMap::new(), queue: VecDeque::new() }
    }

    /// The open file, if it is one of those kept.
    pub fn lookup(&mut self, id: FileId) -> Option<Rc<F>> {
        let slot = self.files.get_mut(&id)?;
        slot.touched = true;
        Some(slot.file.clone())
    }

    /// Keeps an opened file.
    pub fn insert(&mut self, id: FileId, file: Rc<F>) {
        if self.files.insert(id, Slot { file, touched: false }).is_none() {
            self.queue.push_back(id);
        }
        while self.capacity < self.files.len() {
            let oldest = self.queue.pop_front().expect("every file is queued");
            let slot = self.files.get_mut(&oldest).expect("every queued file is there");
            if std::mem::take(&mut slot.touched) {
                self.queue.push_back(oldest);
            } else {
                self.files.remove(&oldest);
            }
        }
    }

    /// Lets go of a file that was deleted.
    pub fn forget(&mut self, id: FileId) {
        if self.files.remove(&id).is_some() {
            self.queue.retain(|queued| *queued != id);
        }
    }

    /// How many files the cache keeps open.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether the cache keeps no file open.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_file_is_closed() {
        let mut cache = FileCache::new(2);
        cache.insert(FileId(1), Rc::new("one"));
        cache.insert(FileId(2), Rc::new("two"));
        assert!(cache.lookup(FileId(1)).is_some());
        cache.insert(FileId(3), Rc::new("three"));
        assert!(cache.lookup(FileId(1)).is_some());
        assert!(cache.lookup(FileId(2)).is_none());
        cache.forget(FileId(1));
        assert_eq!(cache.len(), 1);
        cache.insert(FileId(4), Rc::new("four"));
        assert_eq!(cache.len(), 2);
    }
}
