//! Preparing: zeros written ahead of a segment that is busy with synced appends.
//!
//! A synced write that extends a file makes the file system write its own metadata as well, and wait for it:
//! measured on ext4, twice the CPU of a synced write over blocks that are there. So a segment that is
//! written with syncs is extended ahead in steps, off the way of acknowledgements. What this costs is device
//! writes: such bytes are written twice, first as zeros. Beside a journal it does not pay: few writes of a
//! segment are synced then.
//!
//! Nothing depends on it: a synced write is durable with or without prepared blocks. A close or roll cuts
//! the file to its exact length, and recovery takes zeros behind the last batch for the end of the log.

use crate::disk::{BLOCK, Disk, DiskBuf, DiskErrorKind, DiskFile, WriteSync, align_up};

use super::config::{AcksDurability, LogConfig};
use super::error::LogError;
use super::flush::guarded;
use super::log::Core;

/// The largest step.
const STEP_MAX: u64 = 8 << 20;
/// A step is this part of what the segment has: zeros stay a small part of many small partitions.
const SHARE_OF_WRITTEN: u64 = 8;
/// A step is at most this part of a full segment.
const STEPS_PER_SEGMENT: u64 = 64;
/// A segment counts as busy once it has this part of its largest step.
const BUSY_SHARE: u64 = 8;
/// Zeros are written in pieces of this size.
const PIECE: u64 = 1 << 20;

fn step_max(config: &LogConfig) -> u64 {
    align_up(u64::from(config.segment_bytes) / STEPS_PER_SEGMENT).clamp(BLOCK as u64, STEP_MAX)
}

fn step(config: &LogConfig, written_len: u64) -> u64 {
    align_up(written_len / SHARE_OF_WRITTEN).clamp(BLOCK as u64, step_max(config))
}

/// Whether the active segment is busy and less than half a step is left of what was prepared.
pub(super) fn wants_preparation<D: Disk>(core: &Core<D>) -> bool {
    let state = core.state.borrow();
    let config = &state.config;
    if state.open.len() != 1 {
        return false;
    }
    let segment = &state.open[0];
    let step = step(config, segment.written_len);
    config.durability == AcksDurability::Synced
        && step_max(config) / BUSY_SHARE <= segment.written_len
        && segment.prepared_end < segment.written_len + step / 2
        && segment.prepared_end < u64::from(config.segment_bytes)
        && segment.file.is_some()
}

/// Extends the active segment by a step of zeros, durably. Counts as a flush.
pub(super) async fn prepare<D: Disk>(core: &Core<D>) -> Result<(), LogError> {
    guarded(core, async |_| extend(core).await).await
}

async fn extend<D: Disk>(core: &Core<D>) -> Result<(), LogError> {
    let (file, from, to) = {
        let mut state = core.state.borrow_mut();
        let config = state.config.clone();
        let segment_end = align_up(u64::from(config.segment_bytes));
        let segment = state.open_front();
        let step = step(&config, segment.written_len);
        let Some(file) = segment.file.clone() else { return Ok(()) };
        let written_end = align_up(segment.written_len);
        let to = (written_end + step).min(segment_end);
        let from = segment.prepared_end.max(written_end);
        segment.is_padded = true;
        segment.prepared_end = to;
        (file, from, to)
    };
    if to <= from {
        return Ok(());
    }
    let mut zeros = core.env.disk().alloc(PIECE.min(to - from) as usize);
    zeros.as_mut_slice().fill(0);
    let zeros = zeros.freeze();
    let mut position = from;
    while position < to {
        let piece = if to - position < D::Buf::bytes(&zeros).len() as u64 {
            super::segment::padded_buf(core.env.disk(), &[0]).freeze()
        } else {
            zeros.clone()
        };
        match file.write_at(piece, position, WriteSync::None).await {
            Ok(written) => position += written as u64,
            // An append that needs the space will say so; nothing was promised about this.
            Err(error) if error.kind == DiskErrorKind::NoSpace => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    file.sync_data().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::{FaultPlan, MemoryDisk, block_on};
    use crate::log::tests::{append, batch, create, small};
    use crate::record::builder::BatchFields;
    use crate::types::Offset;

    #[test]
    fn a_preparation_that_fails_drops_what_was_staged_meanwhile() {
        let disk = MemoryDisk::new(1, FaultPlan::default());
        let log = create(&disk, LogConfig { segment_bytes: 1 << 20, ..small() });
        let batch = batch(1, 10_000, BatchFields::default());
        append(&log, &batch).unwrap();
        block_on(log.flush(WriteSync::Data)).unwrap();
        append(&log, &batch).unwrap();
        disk.set_plan(FaultPlan { eio_on_op: Some(disk.ops() + 1), ..FaultPlan::default() });
        assert!(log.wants_preparation() && block_on(log.prepare()).is_err());
        assert!(log.offline_cause().is_some());
        assert_eq!((log.written_end_offset(), log.staged_end_offset()), (Offset(1), Offset(1)));
        assert_eq!(log.staged_bytes(), 0);
    }
}
