//! Which executor owns which log directory.
//!
//! A directory belongs to one executor; an executor may own several, so that a broker started with fewer
//! CPUs than before still serves every partition.

use std::collections::HashMap;

use crate::types::{DirectoryId, ShardId};

/// The directories of this broker and their owners; the same on every executor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    owners: HashMap<DirectoryId, ShardId>,
}

impl Placement {
    /// Deals `directories`, in their order, over `shard_count` shards in turn.
    pub fn deal(directories: impl IntoIterator<Item = DirectoryId>, shard_count: usize) -> Self {
        assert!(0 < shard_count, "a broker has at least one shard");
        let owners = directories
            .into_iter()
            .enumerate()
            .map(|(position, id)| (id, ShardId((position % shard_count) as u16)))
            .collect();
        Self { owners }
    }

    /// The shard that owns a directory; `None` for one this broker does not have.
    pub fn owner(&self, directory: DirectoryId) -> Option<ShardId> {
        self.owners.get(&directory).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    #[test]
    fn every_directory_has_an_owner_whatever_the_number_of_shards() {
        let directories = [Uuid(100), Uuid(101), Uuid(102)];
        for (shards, owners) in [(1, [0, 0, 0]), (2, [0, 1, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])] {
            let placement = Placement::deal(directories, shards);
            assert_eq!(directories.map(|id| placement.owner(id).unwrap().0), owners, "{shards} shards");
        }
        assert_eq!(Placement::default().owner(Uuid(100)), None);
    }
}
