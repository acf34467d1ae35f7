//! Log output, per-shard counters and histograms.
