//! What a log gives to the journal, and what it knows afterwards.
//!
//! `stored_end <= synced_end <= written_end <= staged_end`: records below the stored end are durable in
//! segments, those from there to the synced end may be in the journal and in memory only.

use crate::disk::{Disk, DiskBuf};
use crate::log::Log;
use crate::log::log::{FlushMark, State};
use crate::log::segment::MaxTimestamp;
use crate::record::batch::append_batches;
use crate::types::Offset;

use super::LogKey;
use super::frame::BatchesHeader;

/// Blocks of a disk's buffers.
pub(super) type BlocksOf<D> = <<D as Disk>::Buf as DiskBuf>::Blocks;

/// What a log has for the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Nothing is staged beyond what was written, or nothing may be written any more.
    Nothing,
    /// What is staged has to go into the segment: it is long, or follows something that is not durable.
    Direct,
    /// These bytes.
    Staged(Offered),
}

/// Staged batches that directly follow what is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) header: BatchesHeader,
    /// Where they begin in the segment.
    pub(super) position: u64,
    pub(super) len: usize,
    /// The highest timestamp of the segment up to their end.
    max_timestamp: MaxTimestamp,
}

impl<D: Disk> State<D> {
    fn offer(&self, key: LogKey, bypass_bytes: usize) -> Offer {
        let (synced, written, staged) =
            (self.synced_end_offset, self.written_end_offset, self.staged_end_offset);
        if self.offline.is_some() || written == staged {
            return Offer::Nothing;
        }
        let segment = self.open_back();
        // A segment that waits for the one before it, records that are written but not durable, or some
        // that a flush under way may still lose: what follows them must not be durable before they are.
        let follows_synced = self.open.len() == 1 && synced == written && segment.is_gathering();
        let len = segment.staged_len() - segment.readable_len;
        if !follows_synced || self.epochs_dirty || (bypass_bytes as u64) < len {
            return Offer::Direct;
        }
        let header = BatchesHeader {
            key,
            segment_base: segment.base_offset,
            base_offset: written,
            next_offset: staged,
        };
        Offer::Staged(Offered {
            header,
            position: segment.readable_len,
            len: len as usize,
            max_timestamp: segment.max_timestamp,
        })
    }

    /// What was offered is durable in the journal.
    fn finish_journaled(&mut self, offered: &Offered) {
        let end = offered.header.next_offset;
        let position = offered.position + offered.len as u64;
        if self.offline.is_some() {
            // Whoever waits was told so; a start finds the records, in their place.
            return;
        }
        if self.written_end_offset < end {
            assert!(offered.header.base_offset <= self.written_end_offset, "no hole before {end}");
            self.written_end_offset = end;
            self.push_mark(FlushMark { offset: end, segment_base: offered.header.segment_base, position });
        }
        self.synced_end_offset = self.synced_end_offset.max(end);
        if self.synced_end_offset == self.staged_end_offset {
            self.unsynced_since = None;
        }
        // Otherwise a roll came between and its flush has written the segment whole.
        let front = self.open_front();
        if front.base_offset == offered.header.segment_base {
            front.set_readable(position, offered.max_timestamp);
        }
    }
}

impl<D: Disk> Log<D> {
    fn journal_key(&self) -> LogKey {
        LogKey { topic_id: self.topic_id(), partition: self.topic_partition().partition }
    }

    /// What the journal may take; runs longer than `bypass_bytes` go into the segment.
    pub(super) fn offer(&self, bypass_bytes: usize) -> Offer {
        self.core.state.borrow().offer(self.journal_key(), bypass_bytes)
    }

    /// Copies what was just offered.
    pub(super) fn copy_offered(&self, offered: &Offered, room: &mut [u8]) {
        assert_eq!(room.len(), offered.len, "room for what was offered");
        self.core.state.borrow().open_back().tail.copy(offered.position, room);
    }

    /// The blocks that what was just offered lies in, from byte `position % BLOCK` on, and its checksum.
    pub(super) fn lend_offered(&self, offered: &Offered) -> (Vec<BlocksOf<D>>, u32) {
        let state = self.core.state.borrow();
        let tail = &state.open_back().tail;
        let mut pieces = tail.pieces(offered.position, offered.len);
        // A chunk may end within a batch: only the first piece begins with one.
        let first = pieces.next().map_or(0, |piece| append_batches(0, piece));
        let crc = pieces.fold(first, crc32c::crc32c_append);
        (tail.lend(self.core.env.disk(), offered.position, offered.len), crc)
    }

    /// What was offered is durable in the journal.
    pub(super) fn finish_journaled(&self, offered: &Offered) {
        self.core.state.borrow_mut().finish_journaled(offered);
    }

    /// Everything below is durable in segments: where a recovery of the segments begins.
    pub fn stored_end_offset(&self) -> Offset {
        self.core.state.borrow().stored_end_offset
    }

    /// Whether acknowledged records are not in segments yet. A flush with a sync stores them.
    pub fn has_unstored(&self) -> bool {
        let state = self.core.state.borrow();
        state.offline.is_none() && state.stored_end_offset < state.synced_end_offset
    }

    /// The log was deleted.
    pub(super) fn is_deleted(&self) -> bool {
        self.core.state.borrow().is_deleted
    }
}
