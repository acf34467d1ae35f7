//! The record batch format (magic 2): header view, in-place patches, builder, iterator, compression,
//! validation.
//!
//! A batch is the unit of everything: producers send batches, the log stores their bytes unchanged but for
//! the base offset and the leader epoch, fetches hand the same bytes out. This module reads and writes
//! them; it knows nothing of files, requests or partitions.
//!
//! Reading order: [`batch`] (the 61-byte header), [`records`] and [`raw`] (what is inside),
//! [`compression`],
//! [`builder`], [`validate`] (what a leader accepts from a producer), [`search`] (by timestamp).

pub mod batch;
pub mod bounds;
pub mod builder;
pub mod compression;
pub mod control;
mod error;
pub mod raw;
pub mod records;
pub mod search;
mod skim;
pub mod validate;
mod varint;

pub use error::RecordError;
