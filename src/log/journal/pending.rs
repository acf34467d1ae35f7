//! What the journal held when it was opened: entries by log, waiting for their logs to be opened.

use std::collections::HashMap;

use bytes::Bytes;

use super::LogKey;
use super::frame::{BatchesHeader, Entry};
use crate::types::Offset;

/// Batches of one log that may not have reached its segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::log) struct PendingEntry {
    pub(in crate::log) segment_base: Offset,
    pub(in crate::log) base_offset: Offset,
    pub(in crate::log) next_offset: Offset,
    /// Whole batches, as the segment has them.
    pub(in crate::log) bytes: Bytes,
}

/// See the module.
#[derive(Debug, Default)]
pub(in crate::log) struct PendingEntries {
    by_log: HashMap<LogKey, Vec<PendingEntry>>,
}

impl PendingEntries {
    /// Adds the next entry in the order in which they were written.
    pub(super) fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Batches(BatchesHeader { key, segment_base, base_offset, next_offset }, bytes) => {
                let entry = PendingEntry { segment_base, base_offset, next_offset, bytes };
                self.by_log.entry(key).or_default().push(entry);
            }
            Entry::Void(key) => drop(self.by_log.remove(&key)),
        }
    }

    /// The entries of a log, in order.
    pub(in crate::log) fn of(&self, key: &LogKey) -> Vec<PendingEntry> {
        self.by_log.get(key).cloned().unwrap_or_default()
    }

    /// The entries of a log are in its segments.
    pub(in crate::log) fn forget(&mut self, key: &LogKey) {
        self.by_log.remove(key);
    }

    /// Logs that have entries.
    pub(in crate::log) fn log_count(&self) -> usize {
        self.by_log.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    #[test]
    fn a_void_entry_hides_what_came_before_it_only() {
        let key = |partition| LogKey { topic_id: Uuid(1), partition };
        let batches = |partition, base: i64| {
            let header = BatchesHeader {
                key: key(partition),
                segment_base: Offset(0),
                base_offset: Offset(base),
                next_offset: Offset(base + 1),
            };
            Entry::Batches(header, Bytes::from_static(b"batch"))
        };
        let mut pending = PendingEntries::default();
        for entry in [batches(1, 5), batches(2, 9), Entry::Void(key(1)), batches(1, 0), batches(1, 1)] {
            pending.add(entry);
        }
        let bases: Vec<_> = pending.of(&key(1)).iter().map(|entry| entry.base_offset.0).collect();
        assert_eq!(bases, [0, 1]);
        pending.forget(&key(1));
        assert!(pending.of(&key(1)).is_empty());
        assert_eq!(pending.log_count(), 1);
    }
}
