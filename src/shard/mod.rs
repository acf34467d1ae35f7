//! One core's world: its partitions, purgatory, fetch sessions and background work.
