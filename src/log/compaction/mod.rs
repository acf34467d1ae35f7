//! Compaction: of each key, the last record is kept (`cleanup.policy=compact`).
//!
//! A cleaning goes over the dirty part of a log and notes the last offset of each key (`offset_map`), as
//! far as its memory reaches. Then it writes every segment below that end anew, without the records that
//! a later one with the same key replaces (`filter`), several old segments into one where they have
//! shrunk (`plan`), and swaps each new segment in for its old ones (`swap`). Reads go on meanwhile, on
//! the old segments or the new.
//!
//! Offsets never change. Nothing of the active segment is touched, nor what is not decided yet: the
//! caller says up to which offset the log is stable. Kafka's `Cleaner`, `LogCleaner` and
//! `LogCleanerManager` are the model.
//!
//! Which log to clean when, and how fast, is the caller's: there is no clock and no task here.

mod cleaner;
mod filter;
mod key_hash;
mod offset_map;
mod plan;
mod swap;
mod transactions;
mod writer;

pub use cleaner::{CleanError, CleanReport, CleanerLimits};
pub use plan::Cleanable;

pub(super) use cleaner::{clean, cleanable};
pub(super) use swap::finish_interrupted;

#[cfg(test)]
mod tests;
