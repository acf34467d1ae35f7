//! Flushing: staged bytes to the kernel and to the device, rolls, and what a failure means.

use crate::types::Offset;

/// Where the ends of the log are after a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushOutcome {
    /// Everything below survives the process.
    pub written_end_offset: Offset,
    /// Everything below survives the machine.
    pub synced_end_offset: Offset,
    /// Bytes handed to the kernel, padding included.
    pub written_bytes: u64,
    /// Segments closed.
    pub rolled_segments: usize,
}
