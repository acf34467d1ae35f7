//! The receive buffer of a connection: frames are handed out as slices of it, without a copy.
//!
//! A block is zeroed once, and from then on goes round within its executor: a buffer that runs empty
//! gives it back, and one that ran full of frames still in use is looked at again when the frames may be
//! gone, whichever core dropped them. So a busy connection receives into pages that the kernel has
//! mapped long ago and that the cache still holds, and an idle connection holds nothing.
//!
//! A frame larger than a block gets room as its bytes arrive, not as its length claims: four times what
//! is there, or as much as an earlier frame of this connection really had.
//!
//! What a frame is, its caller knows.

#![expect(unsafe_code, reason = "spare capacity of a block is memory that was zeroed when it was made")]

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// The block of a connection with small frames.
const BLOCK_BYTES: usize = 128 << 10;

/// Sizes of recycled blocks: room for a frame of a power of two and its header. Larger ones are made to
/// measure and freed.
const CLASS_BYTES: [usize; 6] = [BLOCK_BYTES, 320 << 10, 576 << 10, 1088 << 10, 2112 << 10, 4160 << 10];

/// Bytes of unused blocks that an executor keeps; more are freed.
const POOL_BYTES_MAX: usize = 6 << 20;

/// Blocks whose frames are still in use and that are looked at again; beyond, the oldest is let go and
/// its memory freed with its last frame.
const LENT_BLOCKS_MAX: usize = 64;

/// Lent blocks looked at when one is needed.
const LENT_SWEEP_MAX: usize = 8;

/// A read offers at least this much room.
const ROOM_BYTES_MIN: usize = 4 << 10;

/// A waiting connection keeps up to this much of an unfinished frame aside and gives its block back.
const PARKED_BYTES_MAX: usize = 4 << 10;

/// A frame from this size on is read to its end and not beyond, so that the next one starts in a block
/// of its own and need not be moved.
const LARGE_FRAME_BYTES: usize = 64 << 10;

/// A connection that has sent a frame of this size gets room for another at once.
const PROVEN_BYTES_MAX: usize = 4 << 20;

/// Received bytes that no frame has taken yet.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    block: Option<Block>,
    /// The unread bytes while there is no block.
    parked: Vec<u8>,
    /// Length of the frame at the front, zero if unknown.
    frame_bytes: usize,
    /// The largest frame so far, up to `PROVEN_BYTES_MAX`.
    proven_bytes: usize,
}

impl ReadBuffer {
    /// An empty buffer, without memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer that goes on with bytes that were received elsewhere.
    pub fn with_unread(unread: Vec<u8>) -> Self {
        let mut buffer = Self::new();
        buffer.parked = unread;
        buffer
    }

    /// The bytes that no frame has taken yet.
    pub fn unread(&self) -> &[u8] {
        match &self.block {
            Some(block) => &block.bytes,
            None => &self.parked,
        }
    }

    /// Says that the frame at the front is `len` bytes long in all. The caller has checked its bound.
    pub fn want(&mut self, len: usize) {
        self.frame_bytes = len;
    }

    /// Takes the first `len` unread bytes, a frame. They keep a whole block from being recycled, so
    /// whoever keeps a few of them for long copies them.
    ///
    /// # Panics
    /// When fewer are there.
    pub fn take(&mut self, len: usize) -> Bytes {
        self.frame_bytes = 0;
        self.proven_bytes = self.proven_bytes.max(len.min(PROVEN_BYTES_MAX));
        match &mut self.block {
            Some(block) => block.bytes.split_to(len).freeze(),
            None => self.parked.drain(..len).collect::<Vec<u8>>().into(),
        }
    }

    /// Drops the first `len` unread bytes: a frame's length, or a frame to ignore.
    ///
    /// # Panics
    /// When fewer are there.
    pub fn skip(&mut self, len: usize) {
        match &mut self.block {
            Some(block) => drop(block.bytes.split_to(len)),
            None => drop(self.parked.drain(..len)),
        }
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        self.parked.capacity() + self.block.as_ref().map_or(0, |block| block.size)
    }

    /// Room to receive into, never empty.
    pub(super) fn unfilled(&mut self) -> &mut [u8] {
        let have = self.unread().len();
        let needed = self.needed_bytes(have);
        let has_room = self.block.as_mut().is_some_and(|block| block.make_room(needed));
        if !has_room {
            let mut block = POOL.with_borrow_mut(|pool| pool.take(needed));
            block.bytes.extend_from_slice(self.unread());
            self.parked = Vec::new();
            if let Some(old) = self.block.replace(block) {
                POOL.with_borrow_mut(|pool| pool.give(old));
            }
        }
        let limit = self.read_limit(have);
        let room = self.block.as_mut().expect("put there above").room();
        let len = room.len().min(limit);
        &mut room[..len]
    }

    /// The block that holds `have` bytes needs to be at least this large before the next read.
    fn needed_bytes(&self, have: usize) -> usize {
        let least = have + ROOM_BYTES_MIN;
        if self.frame_bytes <= have {
            // The frame's length is not known yet; the next frame may be like the last.
            return if have == 0 { least.max(self.proven_bytes) } else { least };
        }
        let earned = (4 * have).max(self.proven_bytes).max(BLOCK_BYTES);
        self.frame_bytes.min(earned).max(have + 1)
    }

    /// A read takes at most this much.
    fn read_limit(&self, have: usize) -> usize {
        if LARGE_FRAME_BYTES <= self.frame_bytes && have < self.frame_bytes {
            self.frame_bytes - have
        } else if have == 0 && LARGE_FRAME_BYTES <= self.proven_bytes {
            self.proven_bytes
        } else {
            usize::MAX
        }
    }

    /// `count` bytes were received into what [`Self::unfilled`] returned.
    pub(super) fn filled(&mut self, count: usize) {
        if 0 < count {
            self.block.as_mut().expect("unfilled() put it there").extend_filled(count);
        } else {
            self.park();
        }
    }

    /// The connection waits: gives back what it does not need meanwhile.
    pub(super) fn park(&mut self) {
        let unread = self.unread().len();
        if unread <= PARKED_BYTES_MAX
            && let Some(block) = self.block.take()
        {
            self.parked.extend_from_slice(&block.bytes);
            POOL.with_borrow_mut(|pool| pool.give(block));
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            // At the end of the thread the pool may be gone already.
            POOL.try_with(|pool| pool.borrow_mut().give(block)).ok();
        }
    }
}

/// Memory of `size` bytes, all of it initialised, the front of which is handed out to frames.
///
/// Only [`BytesMut`] calls that cannot allocate are made, so that the memory stays the one that
/// [`Block::new`] zeroed.
#[derive(Debug)]
struct Block {
    bytes: BytesMut,
    size: usize,
}

impl Block {
    fn new(size: usize) -> Self {
        let mut bytes = BytesMut::zeroed(size);
        bytes.clear();
        Self { bytes, size }
    }

    /// Whether `needed` bytes fit, if need be after moving the unread ones to the front.
    fn make_room(&mut self, needed: usize) -> bool {
        needed <= self.bytes.capacity()
            || (needed <= self.size && self.bytes.try_reclaim(needed - self.bytes.len()))
    }

    /// Whether no frame is in use any more; then the whole block is free again.
    fn is_free(&mut self) -> bool {
        self.bytes.clear();
        self.make_room(self.size)
    }

    fn room(&mut self) -> &mut [u8] {
        let spare = self.bytes.spare_capacity_mut();
        // SAFETY: the spare capacity is part of the allocation that `new` filled with zeros, nothing
        // made it uninitialised since, and it overlaps no frame that was split off.
        unsafe { &mut *(std::ptr::from_mut(spare) as *mut [u8]) }
    }

    fn extend_filled(&mut self, count: usize) {
        let len = self.bytes.len() + count;
        assert!(len <= self.bytes.capacity(), "filled {len} of {} bytes", self.bytes.capacity());
        // SAFETY: within the capacity, and initialised as `room` argues.
        unsafe { self.bytes.set_len(len) };
    }
}

thread_local! {
    static POOL: RefCell<BlockPool> = const { RefCell::new(BlockPool::new()) };
}

/// The blocks of one executor that no buffer holds.
#[derive(Debug)]
struct BlockPool {
    free: [Vec<Block>; CLASS_BYTES.len()],
    free_bytes: usize,
    lent: VecDeque<Block>,
}

impl BlockPool {
    const fn new() -> Self {
        Self { free: [const { Vec::new() }; CLASS_BYTES.len()], free_bytes: 0, lent: VecDeque::new() }
    }

    /// A block with room for `needed` bytes.
    fn take(&mut self, needed: usize) -> Block {
        let Some(class) = CLASS_BYTES.iter().position(|size| needed <= *size) else {
            return Block::new(needed);
        };
        if self.free[class].is_empty() {
            self.sweep_lent();
        }
        match self.free[class].pop() {
            Some(block) => {
                self.free_bytes -= block.size;
                block
            }
            None => Block::new(CLASS_BYTES[class]),
        }
    }

    /// Takes a block back, now or when its last frame is gone.
    fn give(&mut self, mut block: Block) {
        if block.is_free() {
            self.keep(block);
            return;
        }
        if self.lent.len() == LENT_BLOCKS_MAX {
            self.lent.pop_front();
        }
        self.lent.push_back(block);
    }

    fn keep(&mut self, block: Block) {
        let class = CLASS_BYTES.iter().position(|size| block.size == *size);
        if let Some(class) = class
            && self.free_bytes + block.size <= POOL_BYTES_MAX
        {
            self.free_bytes += block.size;
            self.free[class].push(block);
        }
    }

    fn sweep_lent(&mut self) {
        for _ in 0..self.lent.len().min(LENT_SWEEP_MAX) {
            let Some(mut block) = self.lent.pop_front() else { return };
            if block.is_free() {
                self.keep(block);
            } else {
                self.lent.push_back(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, POOL, PROVEN_BYTES_MAX, ReadBuffer};

    /// Receives as much of `stream` as there is room for.
    fn receive(buffer: &mut ReadBuffer, stream: &mut &[u8]) -> usize {
        let room = buffer.unfilled();
        assert!(!room.is_empty());
        let count = room.len().min(stream.len());
        room[..count].copy_from_slice(&stream[..count]);
        *stream = &stream[count..];
        buffer.filled(count);
        count
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index % 251) as u8).collect()
    }

    #[test]
    fn frames_come_out_as_they_went_in_at_every_size() {
        let mut buffer = ReadBuffer::new();
        for len in [1, 5_000, 70_000, 131_072, 400_000, 1_048_700, 3_000_000, 9_000_000, 20] {
            for _ in 0..3 {
                let sent = pattern(len);
                let mut stream = &sent[..];
                while buffer.unread().len() < len {
                    assert_ne!(receive(&mut buffer, &mut stream), 0);
                    buffer.want(len);
                }
                assert_eq!(buffer.take(len), sent);
            }
        }
    }

    #[test]
    fn frames_in_use_survive_what_comes_after() {
        let mut buffer = ReadBuffer::new();
        let sent = pattern(50_000);
        let frames: Vec<_> = (0..20)
            .map(|_| {
                let mut stream = &sent[..];
                while !stream.is_empty() {
                    receive(&mut buffer, &mut stream);
                    buffer.want(sent.len());
                }
                buffer.take(sent.len())
            })
            .collect();
        assert!(frames.iter().all(|frame| *frame == sent));
    }

    #[test]
    fn an_idle_buffer_holds_nothing_and_an_unfinished_frame_little() {
        let mut buffer = ReadBuffer::new();
        assert!(!buffer.unfilled().is_empty());
        buffer.park();
        assert_eq!(buffer.held_bytes(), 0);

        receive(&mut buffer, &mut &b"head"[..]);
        buffer.want(100 << 20);
        buffer.unfilled();
        assert!(buffer.held_bytes() <= BLOCK_BYTES + 8, "a claim of 100 MiB costs one block");
        buffer.park();
        assert!(buffer.held_bytes() <= 8);
        assert_eq!(buffer.unread(), b"head");
        receive(&mut buffer, &mut &b"tail"[..]);
        assert_eq!(buffer.take(8), &b"headtail"[..]);
    }

    #[test]
    fn room_grows_with_what_arrives() {
        let mut buffer = ReadBuffer::new();
        let sent = pattern(64 << 20);
        let mut stream = &sent[..];
        receive(&mut buffer, &mut stream);
        buffer.want(sent.len());
        while !stream.is_empty() {
            receive(&mut buffer, &mut stream);
            let have = buffer.unread().len();
            assert!(buffer.held_bytes() <= (4 * have).max(PROVEN_BYTES_MAX) + (64 << 10));
        }
        assert_eq!(buffer.take(sent.len()), sent);
    }

    #[test]
    fn blocks_go_round_also_when_another_thread_drops_the_last_frame() {
        let mut buffer = ReadBuffer::new();
        receive(&mut buffer, &mut &pattern(BLOCK_BYTES)[..]);
        let frame = buffer.take(BLOCK_BYTES);
        let address = frame.as_ptr();
        buffer.park();
        assert_eq!(POOL.with_borrow(|pool| (pool.free_bytes, pool.lent.len())), (0, 1));
        std::thread::spawn(move || drop(frame)).join().unwrap();
        assert_eq!(buffer.unfilled().as_ptr(), address);
    }
}
