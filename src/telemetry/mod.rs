//! Log output, per-shard counters and histograms.
//!
//! A shard owns its counters and histograms as plain integers; whoever wants to see them gets a copy by
//! message and merges the copies of all shards.

mod counters;
mod latency;
pub mod log;

pub use counters::ShardCounters;
pub use latency::Latency;
