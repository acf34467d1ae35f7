//! The log of a partition: segments of record batches with their indexes, in Kafka's files.
//!
//! A [`Log`] belongs to one shard, is a cheap handle and uses no lock. It has three end offsets,
//! `log_start <= synced_end <= written_end <= staged_end`:
//! - [`Log::append`] assigns offsets and copies batches into an aligned buffer: *staged*;
//! - [`Log::flush`] hands everything staged to the kernel in large aligned writes: *written*;
//! - and, where asked, makes it durable: *synced*.
//!
//! Whoever acknowledges, replicates or serves records looks at the written and synced ends only. Flushes
//! run one at a time per log and what is staged meanwhile gathers for the next: group commit without a
//! timer. The caller drives them.
//!
//! The log knows nothing of requests, replication, high watermarks or topic lists, has no clock and no
//! task of its own. On-disk formats: `docs/storage_format.md`.
//!
//! Reading order: [`config`], `tail` (the aligned buffer), `append`, `flush`, `read`, the indexes,
//! `producer_state`, `recovery`, `journal`, `retention`, `compaction`, `log_dir`.

mod append;
mod block_cache;
mod checkpoint;
mod compaction;
mod config;
mod env;
mod epoch_cache;
mod error;
mod file_cache;
mod flush;
mod index;
mod journal;
#[expect(clippy::module_inception, reason = "the main type of the module, in the file of its name")]
mod log;
mod log_dir;
mod long_work;
mod meta_properties;
mod partition_metadata;
mod prepare;
mod producer_state;
mod read;
mod read_ahead;
mod recovery;
mod retention;
mod segment;
mod segment_reader;
mod tail;
mod time_lookup;
mod txn_index;
mod verify;

pub use append::{AppendContext, AppendInfo, AppendOrigin, BatchToAppend};
pub use block_cache::BlockCache;
pub use compaction::{CleanError, CleanReport, Cleanable, CleanerLimits};
pub use config::{AcksDurability, CleanupPolicy, LogConfig};
pub use env::{EnvConfig, LogEnv};
pub use error::{AppendError, LogError, ReadError};
pub use file_cache::FileCache;
pub use flush::{FlushOutcome, Store};
pub use journal::{BrokenFrames, Fate, Journal, JournalConfig, RestoreReport};
pub use log::Log;
pub use log_dir::{CheckpointedLog, JournalStart, LogDir};
pub use long_work::{LongWork, NoThread};
pub use meta_properties::MetaProperties;
pub use producer_state::ProducerSummary;
pub use read::{OutcomeToSend, ReadOutcome, TimestampOffset};
pub use recovery::{BrokenRange, OpenWith, RecoveryReport, Truncation};
pub use verify::VerifyReport;

#[cfg(test)]
mod tests;
