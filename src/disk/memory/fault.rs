//! What goes wrong on a [`MemoryDisk`](super::MemoryDisk), and when.

/// The faults of a disk. The default has none.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultPlan {
    /// One in this many writes is short; zero for never.
    pub short_write_in: u64,
    /// Bytes that fit the disk. Writes beyond fail with `NoSpace`, maybe after they extended the file.
    pub space_bytes: Option<u64>,
    /// The operation, counted from 1, that fails with `EIO`.
    pub eio_on_op: Option<u64>,
    /// The sync of a file, counted from 1, that fails. What it should have made durable is lost in part,
    /// and no later sync brings it back.
    pub sync_failure_on: Option<u64>,
    /// How often an operation is polled at most before it completes.
    pub turns_max: u64,
}

/// How a simulated machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: completed operations stay, those in flight happen in part.
    Process,
    /// The machine stops: only what was synced is certain.
    Machine,
}
