//! The end of a segment that is not yet written: aligned chunks that batches are copied into.
//!
//! ```text
//!            written            frozen, being written              gathering
//!   ----------------------|------------------------------|-------------------------
//!   block | block | block | block | block | block, padded |
//!                                         | block again ..| block | block |
//! ```
//!
//! A flush freezes the chunks there are, or the front of them, pads the last block with zeros and writes
//! them; what is appended meanwhile goes into a new chunk that repeats the partial last block. So no two
//! writes in flight overlap and a block on disk only ever gains bytes. Within one flush, a chunk ends where
//! the next begins, on a block boundary; a batch may lie across.
//!
//! Blocks may also be written elsewhere while they are gathered ([`Tail::lend`]). A block that is lent does
//! not change: a freeze pads the block that it ends in, an append goes on in the last one, so neither is
//! lent. A device or file system with checksums of its own would not bear it either.

use std::collections::VecDeque;
use std::{iter, mem};

use bytes::Bytes;

use crate::disk::{BLOCK, Disk, DiskBuf, align_down, align_up};

/// The smallest chunk: the repeated block and one more.
const CHUNK_MIN: usize = 2 * BLOCK;

/// The largest chunk, and so the largest write.
pub(super) const CHUNK_MAX: usize = 1 << 20;

/// A chunk that is used less than one part in this many is copied to a smaller one before it is kept.
const WASTE_FACTOR: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Tail<B> {
    chunks: VecDeque<Chunk<B>>,
    /// Where the next byte goes, in bytes from the start of the segment.
    end: u64,
    /// The bytes of the last block when it was frozen, if they are in memory: `end % BLOCK` of them at
    /// that time.
    last_block: Vec<u8>,
    /// What one flush wrote lately: the size of the next chunk.
    capacity_hint: usize,
}

#[derive(Debug)]
struct Chunk<B> {
    position: u64,
    buf: B,
    filled: usize,
    /// Bytes at the front that repeat the last block and are on disk only.
    missing: usize,
}

/// A chunk to be written.
#[derive(Debug)]
pub(super) struct FrozenChunk<S> {
    pub(super) position: u64,
    /// The whole blocks to write.
    pub(super) shared: S,
    /// The bytes without the padding.
    pub(super) bytes: Bytes,
    /// Memory that the bytes keep alive.
    pub(super) charge: usize,
}

/// A place to go back to; see [`Tail::rewind`].
#[derive(Debug, Clone, Copy)]
pub(super) struct TailMark {
    chunks: usize,
    filled: usize,
    end: u64,
}

impl<B: DiskBuf> Tail<B> {
    /// The end of a segment of `end` bytes, none of them in memory.
    pub(super) fn new(end: u64) -> Self {
        Self { chunks: VecDeque::new(), end, last_block: Vec::new(), capacity_hint: 0 }
    }

    /// Bytes of the segment, staged ones included.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn mark(&self) -> TailMark {
        let filled = self.chunks.back().map_or(0, |chunk| chunk.filled);
        TailMark { chunks: self.chunks.len(), filled, end: self.end }
    }

    /// Forgets what was appended since `mark`; nothing was frozen in between.
    pub(super) fn rewind(&mut self, mark: TailMark) {
        assert!(mark.chunks <= self.chunks.len() && mark.end <= self.end, "a mark is in the past");
        self.chunks.truncate(mark.chunks);
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.filled = mark.filled;
        }
        self.end = mark.end;
    }

    /// Drops everything behind `end` after a failure.
    pub(super) fn cut(&mut self, end: u64) {
        while self.chunks.back().is_some_and(|chunk| end <= chunk.position) {
            self.chunks.pop_back();
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.filled = chunk.filled.min((end - chunk.position) as usize);
        }
        self.end = end;
        self.last_block = Vec::new();
    }

    /// The bytes from `position` on, as far as one chunk has them in memory.
    pub(super) fn bytes_at(&self, position: u64) -> Option<&[u8]> {
        let chunk = self.chunk_at(position)?;
        let start = (position - chunk.position) as usize;
        let is_known = chunk.missing <= start && start < chunk.filled;
        is_known.then(|| &chunk.buf.as_slice()[start..chunk.filled])
    }

    /// The last chunk that begins at `position` or before.
    fn chunk_at(&self, position: u64) -> Option<&Chunk<B>> {
        let after = self.chunks.partition_point(|chunk| chunk.position <= position);
        self.chunks.get(after.checked_sub(1)?)
    }

    /// The `len` bytes from `position` on, all of which are in memory, as the chunks have them.
    pub(super) fn pieces(&self, mut position: u64, len: usize) -> impl Iterator<Item = &[u8]> {
        let end = position + len as u64;
        iter::from_fn(move || {
            let left = end.checked_sub(position).filter(|left| 0 < *left)? as usize;
            let bytes = self.bytes_at(position).expect("the bytes are gathered here");
            let piece = &bytes[..bytes.len().min(left)];
            position += piece.len() as u64;
            Some(piece)
        })
    }

    /// Copies the bytes from `position` on, all of which are in memory.
    pub(super) fn copy(&self, position: u64, mut room: &mut [u8]) {
        for piece in self.pieces(position, room.len()) {
            let (now, later) = mem::take(&mut room).split_at_mut(piece.len());
            now.copy_from_slice(piece);
            room = later;
        }
    }

    /// The blocks that the `len` bytes from `position` on lie in, all of which are in memory, to be written
    /// elsewhere; nothing before `position` is frozen meanwhile, but all of it may be. What else the first
    /// and the last block have is zeros: these are copies if they are not full of these bytes.
    pub(super) fn lend<D: Disk<Buf = B>>(&self, disk: &D, position: u64, len: usize) -> Vec<B::Blocks> {
        let (mut at, end) = (align_down(position), position + len as u64);
        let mut lent = Vec::new();
        while at < end {
            let from = at.max(position);
            let bytes = self.bytes_at(from).expect("the bytes are gathered here");
            let bytes = &bytes[..bytes.len().min((end - from) as usize)];
            let full = align_down(bytes.len() as u64) as usize;
            if at == from && 0 < full {
                let chunk = self.chunk_at(at).expect("it has these bytes");
                let start = (at - chunk.position) as usize;
                lent.push(chunk.buf.blocks(start..start + full));
                at += full as u64;
            } else {
                let start = (from - at) as usize;
                let upto = (start + bytes.len()).min(BLOCK);
                let mut copy = disk.alloc(BLOCK);
                let room = copy.as_mut_slice();
                room[..start].fill(0);
                room[start..upto].copy_from_slice(&bytes[..upto - start]);
                room[upto..].fill(0);
                lent.push(copy.blocks(0..BLOCK));
                at += BLOCK as u64;
            }
        }
        lent
    }

    /// Room for `len` bytes at the end, appended by this call and filled by the caller; `None` when they
    /// do not fit one chunk. Then use [`Self::put`].
    pub(super) fn reserve<D: Disk<Buf = B>>(&mut self, disk: &D, len: usize) -> Option<&mut [u8]> {
        if self.room() == 0 {
            self.open_chunk(disk, len);
        }
        if self.room() < len {
            return None;
        }
        self.end += len as u64;
        let chunk = self.chunks.back_mut().expect("one was opened");
        let start = chunk.filled;
        chunk.filled += len;
        Some(&mut chunk.buf.as_mut_slice()[start..start + len])
    }

    /// Appends `bytes`, across chunks if need be.
    pub(super) fn put<D: Disk<Buf = B>>(&mut self, disk: &D, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.room() == 0 {
                self.open_chunk(disk, bytes.len());
            }
            let (piece, rest) = bytes.split_at(bytes.len().min(self.room()));
            self.reserve(disk, piece.len()).expect("the piece fits").copy_from_slice(piece);
            bytes = rest;
        }
    }

    fn room(&self) -> usize {
        self.chunks.back().map_or(0, |chunk| chunk.buf.as_slice().len() - chunk.filled)
    }

    fn open_chunk<D: Disk<Buf = B>>(&mut self, disk: &D, needed: usize) {
        let position = align_down(self.end);
        let repeated = (self.end - position) as usize;
        let doubled = self.chunks.back().map_or(0, |chunk| 2 * chunk.buf.as_slice().len());
        let wanted = (repeated + needed).max(self.capacity_hint).max(doubled);
        let capacity = wanted.clamp(CHUNK_MIN, CHUNK_MAX).next_power_of_two();
        let mut buf = disk.alloc(capacity);
        let known = self.last_block.len() == repeated;
        if known {
            buf.as_mut_slice()[..repeated].copy_from_slice(&self.last_block);
        }
        let missing = if known { 0 } else { repeated };
        self.chunks.push_back(Chunk { position, buf, filled: repeated, missing });
    }

    /// The bytes on disk that the first chunk repeats and that have to be read before a freeze: position
    /// and length.
    pub(super) fn missing(&self) -> Option<(u64, usize)> {
        let chunk = self.chunks.front()?;
        (0 < chunk.missing).then_some((chunk.position, chunk.missing))
    }

    /// Fills in what [`Self::missing`] asked for.
    pub(super) fn supply(&mut self, bytes: &[u8]) {
        let chunk = self.chunks.front_mut().expect("it asked for bytes");
        assert_eq!(chunk.missing, bytes.len(), "the whole of the repeated bytes");
        chunk.buf.as_mut_slice()[..bytes.len()].copy_from_slice(bytes);
        chunk.missing = 0;
    }

    /// Where the last chunk ends that is full and not beyond `upto`: a freeze up to there repeats no block.
    pub(super) fn full_end(&self, upto: u64) -> Option<u64> {
        let is_full = |chunk: &&Chunk<B>| chunk.filled == chunk.buf.as_slice().len() && chunk.end() <= upto;
        self.chunks.iter().take_while(is_full).last().map(Chunk::end)
    }

    /// Ends the gathering of the bytes before `upto`: what is to be written, in order.
    pub(super) fn freeze<D: Disk<Buf = B>>(&mut self, disk: &D, upto: u64) -> Vec<FrozenChunk<B::Shared>> {
        assert!(upto <= self.end, "bytes up to {upto} of {}", self.end);
        assert!(self.missing().is_none(), "the repeated bytes were supplied");
        let whole = self.chunks.partition_point(|chunk| chunk.end() <= upto);
        let mut front: Vec<_> = self.chunks.drain(..whole).collect();
        if self.chunks.front().is_some_and(|chunk| chunk.position < upto) {
            front.extend(self.split_first(disk, upto));
        }
        let staged: usize = front.iter().map(|chunk| chunk.filled).sum();
        self.capacity_hint = staged.min(CHUNK_MAX);
        self.last_block.clear();
        if let Some(last) = front.last().filter(|_| self.chunks.is_empty()) {
            let partial = (self.end - align_down(self.end)) as usize;
            self.last_block.extend_from_slice(&last.buf.as_slice()[last.filled - partial..last.filled]);
        }
        let frozen: Vec<_> = front.into_iter().map(|chunk| chunk.freeze(disk)).collect();
        for pair in frozen.windows(2) {
            assert_eq!(pair[0].position + pair[0].bytes.len() as u64, pair[1].position, "chunks adjoin");
        }
        frozen
    }

    /// Takes the front of the first chunk, up to `upto`. What stays repeats the block that `upto` is in.
    fn split_first<D: Disk<Buf = B>>(&mut self, disk: &D, upto: u64) -> Option<Chunk<B>> {
        let mut first = self.chunks.pop_front()?;
        let position = align_down(upto);
        let kept = (position - first.position) as usize;
        let filled = first.filled - kept;
        // As large as before if it is the one that is filled, or else appends would find it full.
        let capacity = if self.chunks.is_empty() { first.buf.as_slice().len() } else { filled };
        let mut buf = disk.alloc(align_up(capacity as u64) as usize);
        buf.as_mut_slice()[..filled].copy_from_slice(&first.buf.as_slice()[kept..first.filled]);
        self.chunks.push_front(Chunk { position, buf, filled, missing: 0 });
        first.filled = (upto - first.position) as usize;
        Some(first)
    }

    /// Lets go of the copy of the last block.
    pub(super) fn release(&mut self) {
        if self.chunks.is_empty() {
            self.last_block = Vec::new();
            self.capacity_hint = 0;
        }
    }
}

impl<B: DiskBuf> Chunk<B> {
    /// Where its bytes end in the segment.
    fn end(&self) -> u64 {
        self.position + self.filled as u64
    }

    fn freeze<D: Disk<Buf = B>>(mut self, disk: &D) -> FrozenChunk<B::Shared> {
        let padded = align_up(self.filled as u64) as usize;
        let mut charge = self.buf.as_slice().len();
        if WASTE_FACTOR * padded <= charge {
            let mut smaller = disk.alloc(padded);
            smaller.as_mut_slice()[..self.filled].copy_from_slice(&self.buf.as_slice()[..self.filled]);
            (self.buf, charge) = (smaller, padded);
        }
        self.buf.as_mut_slice()[self.filled..padded].fill(0);
        self.buf.truncate(padded);
        let shared = self.buf.freeze();
        let bytes = B::bytes(&shared).slice(..self.filled);
        FrozenChunk { position: self.position, shared, bytes, charge }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::{FaultPlan, MemoryDisk};
    use crate::types::Prng;

    /// Appends in random pieces with freezes in between; the frozen chunks written one over the other
    /// must be the bytes, padded.
    #[test]
    fn chunks_make_up_the_file() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let disk = MemoryDisk::new(seed, FaultPlan::default());
            let mut tail = Tail::new(0);
            let (mut expected, mut file, mut written) = (Vec::new(), Vec::new(), 0);
            // Blocks stay lent until others are, over a freeze and the next append.
            let mut held = Vec::new();
            for _ in 0..20 {
                let bound = [10, 5_000, 40_000][prng.below(3) as usize];
                let mut piece = vec![0; prng.below(bound) as usize];
                prng.fill(&mut piece);
                let mark = tail.mark();
                tail.put(&disk, &[1; 5_000]);
                tail.rewind(mark);
                match tail.reserve(&disk, piece.len()) {
                    Some(room) => room.copy_from_slice(&piece),
                    None => tail.put(&disk, &piece),
                }
                expected.extend_from_slice(&piece);
                assert_eq!(tail.end(), expected.len() as u64);
                let start = prng.below(piece.len() as u64 + 1) as usize;
                let mut copy = vec![0; piece.len() - start];
                tail.copy(tail.end() - copy.len() as u64, &mut copy);
                assert!(copy == piece[start..]);
                let position = tail.end() - copy.len() as u64;
                held.clear();
                if !copy.is_empty() {
                    held.extend(tail.lend(&disk, position, copy.len()));
                }
                let lent: Vec<u8> = held.iter().flat_map(|of| of.bytes()).copied().collect();
                let skipped = (position % BLOCK as u64) as usize;
                assert!(copy.is_empty() || lent[skipped..skipped + copy.len()] == copy);
                assert!(lent.is_empty() || lent.len() == align_up((skipped + copy.len()) as u64) as usize);
                if prng.chance(1, 2) {
                    let left = tail.end() - written;
                    let upto = match prng.below(3) {
                        0 => tail.end(),
                        1 => written + prng.below(left + 1),
                        _ => position.max(written),
                    };
                    if position < upto && upto < tail.end() {
                        // What is lent is frozen as a whole or not at all.
                        held.clear();
                    }
                    write(&mut file, &mut tail, &disk, upto);
                    let len = upto as usize;
                    assert!(file.len() <= align_up(upto) as usize);
                    assert!(file[..len] == expected[..len]);
                    assert!(file[len..].iter().all(|byte| *byte == 0));
                    written = upto;
                }
                if prng.chance(1, 5) {
                    tail.release();
                }
            }
        }
    }

    fn write(
        file: &mut Vec<u8>,
        tail: &mut Tail<crate::disk::memory::MemoryBuf>,
        disk: &MemoryDisk,
        upto: u64,
    ) {
        if let Some((position, len)) = tail.missing() {
            let known = file[position as usize..position as usize + len].to_vec();
            tail.supply(&known);
        }
        for chunk in tail.freeze(disk, upto) {
            let position = chunk.position as usize;
            file.resize(file.len().max(position + chunk.shared.len()), 0);
            file[position..position + chunk.shared.len()].copy_from_slice(&chunk.shared);
            assert!(chunk.shared.len() <= chunk.charge && chunk.bytes.len() <= chunk.shared.len());
        }
    }
}
