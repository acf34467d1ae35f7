//! The journal of a log directory: one synced write for the small appends of many partitions.
//!
//! A synced write costs a flush of the device whatever its size, and on most file systems a commit of their
//! own journal when it extends a file. With a thousand partitions of a kilobyte each that is a thousand of
//! both. So small appends of all partitions of a directory are written together, as a *frame*, into files
//! that were filled with zeros before and are used again and again; they count as synced from then on.
//! Their segments are written later, in large runs, from the tail buffers, and synced later still, when the
//! journal needs its space back: until then a run that a crash destroys is in the journal as well.
//!
//! ```text
//!   append -> tail buffer --(frame, synced)--> journal file       acknowledged
//!                  \------(large runs, then a sync)--> segment    stored: the frame may go
//! ```
//!
//! Invariants:
//! - A frame holds, for each log in it, exactly what comes after the log's synced end at that moment. So a
//!   record that is synced, in a segment or in the journal, never lies behind one that is not.
//! - A journal file is *retired* only when everything in its frames is durable in segments, or its log is
//!   gone. Retiring writes a new generation into the file's header: its frames are dead from then on.
//! - A start applies what the journal has beyond the end of each log, and retires all files before
//!   anything is appended.
//! - What is not yet in segments is in the journal: the journal's size bounds the memory it takes.
//!
//! The journal knows no clock and has no task of its own: the caller drives [`Journal::commit`] and
//! [`Journal::maintain`], and has [`Log::store`](super::Log::store) write what the journal has: long runs,
//! and durably the logs that [`Journal::pressing`] names.
//! Byte tables: `docs/storage_format.md`.
//!
//! Reading order: `file_header`, `frame` (formats), `pending` (what a start finds), `reader`, `space` (which
//! file is used, pinned, free), `restore` (applying), `writer`.

mod file_header;
mod frame;
mod offer;
mod pending;
mod reader;
mod restore;
mod space;
mod turnstile;
mod writer;

pub(super) use pending::PendingEntry;
pub use reader::BrokenFrames;
pub(super) use reader::JournalContents;
pub use restore::RestoreReport;
pub use writer::{Fate, Journal, JournalConfig};

use crate::types::TopicId;

#[cfg(test)]
mod tests;

/// A log as the journal names it: a name may pass to another topic, an id does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LogKey {
    pub(super) topic_id: TopicId,
    pub(super) partition: i32,
}
