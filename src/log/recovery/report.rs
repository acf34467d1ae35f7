//! What opening a log did and found.

use std::path::PathBuf;

use crate::log::journal::RestoreReport;
use crate::types::Offset;

/// What is known about a log before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenWith {
    /// The log directory was shut down cleanly: nothing is scanned.
    pub clean: bool,
    /// Everything below was durable: a scan starts here.
    pub recovery_point: Offset,
    /// Records below were deleted.
    pub log_start_offset: Offset,
    /// The journal has records of this log, which are added next: half a batch at the end is left for them to
    /// write over.
    pub is_journaled: bool,
}

/// The end of a log that was cut off: a write that was torn or whose bytes never reached the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncation {
    /// The segment.
    pub file: PathBuf,
    /// Its new length.
    pub position: u64,
    /// How many bytes were cut off, later segments included.
    pub bytes: u64,
    /// Why the first batch cut off is broken.
    pub cause: String,
}

/// Bytes below the recovery point that are not what was once durable there. They stay where they are,
/// and reads of them fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRange {
    /// The segment.
    pub file: PathBuf,
    /// Where the broken bytes start.
    pub position: u64,
    /// How many bytes until the next batch that is whole, or the end of the segment.
    pub bytes: u64,
    /// The first offset that is lost.
    pub first_offset: Offset,
    /// The offset after the last one that is lost.
    pub end_offset: Offset,
    /// What was expected and what was found.
    pub cause: String,
}

/// What opening a log did and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Bytes that were walked over batch by batch; what is before them was trusted unseen.
    pub walked_bytes: u64,
    /// Bytes of them whose CRCs were checked.
    pub scanned_bytes: u64,
    /// What was cut off at the end.
    pub truncated: Option<Truncation>,
    /// Corruption below the recovery point: the operator must act.
    pub broken: Vec<BrokenRange>,
    /// Segments whose indexes were built anew.
    pub rebuilt_indexes: usize,
    /// Why the file of leader epochs could not be read. They were taken from the batches.
    pub lost_epochs: Option<String>,
    /// What was added from the journal.
    pub restored: RestoreReport,
}

impl RecoveryReport {
    /// Whether the log is whole: at most an unfinished write was cut off.
    pub fn is_intact(&self) -> bool {
        self.broken.is_empty()
    }
}
