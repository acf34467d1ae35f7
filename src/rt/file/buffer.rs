//! Aligned memory for writes, recycled within its executor.
//!
//! A fresh buffer costs 2 us for each 4 KiB page that the kernel has to map, as much as writing it. So
//! memory that was written goes back to a pool when its last view is gone.

#![expect(unsafe_code, reason = "memory is filled while a write of other parts of it is under way")]

use std::cell::{OnceCell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::slice;

use bytes::Bytes;
use glommio::io::{DmaBuffer, ReadResult};

use super::lent::LentTable;
use crate::disk::{BLOCK, Blocks, DiskBuf};

/// Sizes of pooled buffers are `BLOCK` times a power of two up to this one.
const POOLED_BYTES_MAX: usize = 1 << 20;

/// Size classes: 4 KiB, 8 KiB, .. 1 MiB.
const CLASSES: usize = (POOLED_BYTES_MAX / BLOCK).ilog2() as usize + 1;

/// Bytes of unused buffers that an executor keeps; more are freed.
const POOL_BYTES_MAX: usize = 8 << 20;

/// A buffer to fill. Its contents are unspecified at first.
#[derive(Debug)]
pub struct DirectBuf {
    /// Nobody else reads or writes it in this process.
    memory: Rc<Memory>,
    len: usize,
}

/// A part of a buffer that is written, by the kernel's hand alone.
#[derive(Debug, Clone)]
pub struct DirectBlocks {
    memory: Rc<Memory>,
    range: Range<usize>,
}

/// A filled buffer, shared within its executor.
#[derive(Debug, Clone)]
pub struct SharedBuf(Rc<Frozen>);

#[derive(Debug)]
struct Frozen {
    memory: Rc<Memory>,
    len: usize,
    /// The view for other cores, made when first asked for.
    view: OnceCell<Bytes>,
}

impl DirectBuf {
    /// A buffer of `len` bytes from the executor's pool.
    pub(super) fn alloc(len: usize) -> Self {
        assert!(0 < len && len.is_multiple_of(BLOCK), "a buffer of {len} bytes is no whole number of blocks");
        reclaim();
        let dma = POOL.with_borrow_mut(|pool| pool.take(len));
        Self { memory: Rc::new(Memory { dma: Some(dma) }), len }
    }
}

impl DiskBuf for DirectBuf {
    type Shared = SharedBuf;
    type Blocks = DirectBlocks;

    fn as_slice(&self) -> &[u8] {
        &self.memory.bytes()[..self.len]
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        let start = self.memory.dma().as_ptr().cast_mut();
        // SAFETY: the allocation has at least `len` bytes. All slices of it come from this buffer until it is
        // frozen, which ends it, so `&mut self` makes this one the only one. Blocks of it that are being
        // written are read by the kernel, by address; who fills the buffer leaves them alone.
        unsafe { slice::from_raw_parts_mut(start, self.len) }
    }

    fn truncate(&mut self, len: usize) {
        assert!(len <= self.len && len.is_multiple_of(BLOCK), "cut {} bytes to {len}", self.len);
        self.len = len;
    }

    fn blocks(&self, range: Range<usize>) -> DirectBlocks {
        let is_whole = range.start.is_multiple_of(BLOCK) && range.end.is_multiple_of(BLOCK);
        assert!(is_whole && range.start < range.end && range.end <= self.len, "blocks {range:?}");
        DirectBlocks { memory: Rc::clone(&self.memory), range }
    }

    fn freeze(self) -> SharedBuf {
        let Self { memory, len } = self;
        SharedBuf(Rc::new(Frozen { memory, len, view: OnceCell::new() }))
    }

    fn bytes(shared: &SharedBuf) -> Bytes {
        let Frozen { memory, len, view } = &*shared.0;
        view.get_or_init(|| lend(Lent::Written(Rc::clone(memory), *len))).clone()
    }
}

impl SharedBuf {
    /// What is written.
    pub(super) fn blocks(&self) -> DirectBlocks {
        DirectBlocks { memory: Rc::clone(&self.0.memory), range: 0..self.0.len }
    }
}

impl Blocks for DirectBlocks {
    fn byte_count(&self) -> usize {
        self.range.len()
    }

    fn advance(&mut self, bytes: usize) {
        assert!(bytes < self.range.len() && bytes.is_multiple_of(BLOCK), "{bytes} of {:?}", self.range);
        self.range.start += bytes;
    }
}

impl DirectBlocks {
    /// Where they begin. The memory stays there as long as `self` or a clone of it lives.
    pub(super) fn start(&self) -> *const u8 {
        // `blocks` has checked the range; `wrapping` only spares a proof.
        self.memory.dma().as_ptr().wrapping_add(self.range.start)
    }
}

/// An allocation; it goes back to the pool.
#[derive(Debug)]
struct Memory {
    /// Taken out at the end.
    dma: Option<DmaBuffer>,
}

impl Memory {
    fn dma(&self) -> &DmaBuffer {
        self.dma.as_ref().expect("only drop takes it")
    }

    fn bytes(&self) -> &[u8] {
        self.dma().as_bytes()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(dma) = self.dma.take() {
            give_back(dma);
        }
    }
}

/// Memory that other cores may read.
enum Lent {
    /// The first bytes of what was frozen.
    Written(Rc<Memory>, usize),
    Read(ReadResult),
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Written(memory, len) => &memory.bytes()[..*len],
            Self::Read(result) => result,
        }
    }
}

/// A view of what was read, without a copy.
pub(super) fn lend_read(result: ReadResult) -> Bytes {
    lend(Lent::Read(result))
}

fn lend(lent: Lent) -> Bytes {
    reclaim();
    LENT.with_borrow_mut(|table| table.lend(lent, release))
}

/// Drops what other cores have given back.
fn reclaim() {
    let returned = LENT.with_borrow_mut(LentTable::take_returned);
    drop(returned);
}

/// Drops one entry. At the end of the thread the table has forgotten it already.
fn release(number: u32) {
    let entry = LENT.try_with(|table| table.borrow_mut().take(number));
    drop(entry);
}

fn give_back(dma: DmaBuffer) {
    // At the end of the thread the pool may be gone; then the buffer is freed.
    let mut dma = Some(dma);
    POOL.try_with(|pool| {
        if let Some(dma) = dma.take() {
            pool.borrow_mut().give(dma);
        }
    })
    .ok();
}

thread_local! {
    static LENT: RefCell<LentTable<Lent>> = RefCell::new(LentTable::new());
    static POOL: RefCell<BufferPool> = const { RefCell::new(BufferPool::new()) };
}

/// The unused buffers of one executor, by size.
struct BufferPool {
    free: [Vec<DmaBuffer>; CLASSES],
    free_bytes: usize,
}

impl BufferPool {
    const fn new() -> Self {
        Self { free: [const { Vec::new() }; CLASSES], free_bytes: 0 }
    }

    /// A buffer of at least `len` bytes.
    fn take(&mut self, len: usize) -> DmaBuffer {
        let size = len.next_power_of_two();
        if POOLED_BYTES_MAX < size {
            return glommio::allocate_dma_buffer(len);
        }
        match self.free[class(size)].pop() {
            Some(dma) => {
                self.free_bytes -= size;
                dma
            }
            None => glommio::allocate_dma_buffer(size),
        }
    }

    fn give(&mut self, dma: DmaBuffer) {
        let size = dma.len();
        if size <= POOLED_BYTES_MAX && size.is_power_of_two() && self.free_bytes + size <= POOL_BYTES_MAX {
            self.free_bytes += size;
            self.free[class(size)].push(dma);
        }
    }
}

/// The class of a size that is `BLOCK` times a power of two.
fn class(size: usize) -> usize {
    (size / BLOCK).ilog2() as usize
}
