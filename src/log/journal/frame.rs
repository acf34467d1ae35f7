//! A frame: what one write puts into the journal, for many logs.
//!
//! The writer fills a frame in place, in the buffer that goes to the device; the reader takes it apart
//! without a copy. Batches are stored as they will be in the segment: short runs of them behind the header
//! of their entry, long ones in blocks of their own behind all entries, where they are written from the
//! memory they were gathered in. Such blocks begin and end with what else those of the segment hold.

use bytes::Bytes;

use super::LogKey;
use super::file_header::{u32_at, u64_at};
use crate::disk::{BLOCK, align_up};
use crate::record::batch::{append_batches, chain_crcs};
use crate::types::{Offset, Uuid};

const LENGTH_AT: usize = 4;
const GENERATION_AT: usize = 8;
const SEQUENCE_AT: usize = 16;
const ENTRIES_AT: usize = 20;
const ENTRIES_END_AT: usize = 24;
/// Bytes before the first entry.
pub(super) const FRAME_HEADER_LEN: usize = 28;

const TOPIC_ID_AT: usize = 1;
const PARTITION_AT: usize = 17;
const SEGMENT_BASE_AT: usize = 21;
const BASE_OFFSET_AT: usize = 29;
const NEXT_OFFSET_AT: usize = 37;
const BYTES_AT: usize = 45;
const SKIPPED_AT: usize = 49;
/// Bytes of an entry before its batches.
pub(super) const ENTRY_HEADER_LEN: usize = 53;

const KIND_BATCHES: u8 = 1;
const KIND_VOID: u8 = 2;
const KIND_BATCHES_IN_BLOCKS: u8 = 3;

/// The longest frame: one write of the journal, and the most that is read before a checksum is known.
pub(super) const FRAME_BYTES_MAX: usize = 1 << 20;

/// Which frame stands where: the place of a frame in the order of all frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameId {
    /// That of the file's header.
    pub(super) generation: u64,
    /// Frames before this one in the file.
    pub(super) sequence: u32,
}

/// What an entry says of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchesHeader {
    pub(super) key: LogKey,
    /// The base offset of the segment that the batches belong to.
    pub(super) segment_base: Offset,
    /// Of the first batch.
    pub(super) base_offset: Offset,
    /// The offset after the last record.
    pub(super) next_offset: Offset,
}

/// One entry of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// Whole batches of one log, one behind the other.
    Batches(BatchesHeader, Bytes),
    /// All entries of this log so far are void: it was created anew.
    Void(LogKey),
}

/// Why bytes are not the next frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of {found} bytes in {room}")]
    Length { found: usize, room: usize },
    #[error("frame {found:?}, expected {expected:?}")]
    Other { expected: FrameId, found: FrameId },
    #[error("frame checksum {found:08x}, expected {expected:08x}")]
    WrongCrc { expected: u32, found: u32 },
    #[error("entry {index} of {count} is malformed")]
    MalformedEntry { index: u32, count: u32 },
}

/// What a frame is made of, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameSize {
    /// The header and the entries.
    pub(super) entries: usize,
    /// The blocks behind them.
    pub(super) blocks: usize,
}

impl FrameSize {
    /// A frame without entries.
    pub(super) const EMPTY: Self = Self { entries: FRAME_HEADER_LEN, blocks: 0 };

    /// With one more entry for `bytes` bytes of batches.
    pub(super) fn with_batches(self, bytes: usize) -> Self {
        Self { entries: self.entries + ENTRY_HEADER_LEN + bytes, ..self }
    }

    /// With one more entry for batches in blocks of their own.
    pub(super) fn with_in_blocks(self, batches: &InBlocks) -> Self {
        Self { entries: self.entries + ENTRY_HEADER_LEN, blocks: self.blocks + batches.block_bytes() }
    }

    /// The frame's length.
    pub(super) fn frame_len(self) -> usize {
        if self.blocks == 0 { self.entries } else { align_up(self.entries as u64) as usize + self.blocks }
    }
}

/// Batches in blocks of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct InBlocks {
    /// Bytes of the first block before them.
    pub(super) skipped: usize,
    /// Bytes of them.
    pub(super) bytes: usize,
}

impl InBlocks {
    /// Bytes of their blocks.
    pub(super) fn block_bytes(&self) -> usize {
        align_up((self.skipped + self.bytes) as u64) as usize
    }
}

/// Fills a buffer with a frame, as far as its entries go. Its blocks are written behind the buffer.
pub(super) struct FrameBuilder<'a> {
    buf: &'a mut [u8],
    entries_end: usize,
    entries: u32,
    /// Each with the checksum of its batches.
    in_blocks: Vec<(InBlocks, u32)>,
}

impl<'a> FrameBuilder<'a> {
    /// A frame without entries at the start of `buf`.
    pub(super) fn new(buf: &'a mut [u8], id: FrameId) -> Self {
        buf[GENERATION_AT..SEQUENCE_AT].copy_from_slice(&id.generation.to_be_bytes());
        buf[SEQUENCE_AT..ENTRIES_AT].copy_from_slice(&id.sequence.to_be_bytes());
        Self { buf, entries_end: FRAME_HEADER_LEN, entries: 0, in_blocks: Vec::new() }
    }

    /// Adds an entry for `bytes` bytes of batches, which the caller copies into the room returned.
    pub(super) fn add_batches(&mut self, header: &BatchesHeader, bytes: usize) -> &mut [u8] {
        let entry = self.add(KIND_BATCHES, &header.key, bytes, bytes);
        put_offsets(entry, header);
        &mut entry[ENTRY_HEADER_LEN..]
    }

    /// Adds an entry for batches in blocks of their own.
    pub(super) fn add_in_blocks(&mut self, header: &BatchesHeader, batches: InBlocks, crc: u32) {
        let entry = self.add(KIND_BATCHES_IN_BLOCKS, &header.key, batches.bytes, 0);
        put_offsets(entry, header);
        entry[SKIPPED_AT..ENTRY_HEADER_LEN].copy_from_slice(&(batches.skipped as u32).to_be_bytes());
        self.in_blocks.push((batches, crc));
    }

    /// Adds an entry that voids what was journaled of a log before.
    pub(super) fn add_void(&mut self, key: &LogKey) {
        self.add(KIND_VOID, key, 0, 0);
    }

    fn add(&mut self, kind: u8, key: &LogKey, bytes: usize, room: usize) -> &mut [u8] {
        let start = self.entries_end;
        self.entries_end += ENTRY_HEADER_LEN + room;
        self.entries += 1;
        let entry = &mut self.buf[start..self.entries_end];
        entry[..ENTRY_HEADER_LEN].fill(0);
        entry[0] = kind;
        entry[TOPIC_ID_AT..PARTITION_AT].copy_from_slice(&key.topic_id.0.to_be_bytes());
        entry[PARTITION_AT..SEGMENT_BASE_AT].copy_from_slice(&key.partition.to_be_bytes());
        let bytes = u32::try_from(bytes).expect("a frame is at most a megabyte long");
        entry[BYTES_AT..SKIPPED_AT].copy_from_slice(&bytes.to_be_bytes());
        entry
    }

    /// Ends the frame: lengths, checksum, zeros up to the end of the buffer. Returns the frame's length.
    pub(super) fn finish(self) -> usize {
        let Self { buf, entries_end, entries, in_blocks } = self;
        let blocks = in_blocks.iter().map(|(batches, _)| batches.block_bytes()).sum();
        let len = FrameSize { entries: entries_end, blocks }.frame_len();
        assert!(len <= FRAME_BYTES_MAX, "a frame of {len} bytes, at most {FRAME_BYTES_MAX}");
        buf[LENGTH_AT..GENERATION_AT].copy_from_slice(&(len as u32).to_be_bytes());
        buf[ENTRIES_AT..ENTRIES_END_AT].copy_from_slice(&entries.to_be_bytes());
        buf[ENTRIES_END_AT..FRAME_HEADER_LEN].copy_from_slice(&(entries_end as u32).to_be_bytes());
        let crc = checksum(&buf[LENGTH_AT..entries_end]);
        let chained =
            |crc, (batches, of_batches): &(InBlocks, u32)| chain_crcs(crc, *of_batches, batches.bytes);
        let crc = in_blocks.iter().fold(crc, chained);
        buf[..LENGTH_AT].copy_from_slice(&crc.to_be_bytes());
        buf[entries_end..].fill(0);
        len
    }
}

/// The checksum of a header and entries that were just built. What the batches bring along is not computed
/// again.
fn checksum(covered: &[u8]) -> u32 {
    let (header, mut rest) = covered.split_at(FRAME_HEADER_LEN - LENGTH_AT);
    let mut crc = crc32c::crc32c(header);
    while !rest.is_empty() {
        let (entry, behind) = rest.split_at(ENTRY_HEADER_LEN);
        let bytes = if entry[0] == KIND_BATCHES { u32_at(entry, BYTES_AT) as usize } else { 0 };
        let (batches, next) = behind.split_at(bytes);
        crc = append_batches(crc32c::crc32c_append(crc, entry), batches);
        rest = next;
    }
    crc
}

fn put_offsets(entry: &mut [u8], header: &BatchesHeader) {
    let offsets = [header.segment_base, header.base_offset, header.next_offset];
    for (at, offset) in [SEGMENT_BASE_AT, BASE_OFFSET_AT, NEXT_OFFSET_AT].into_iter().zip(offsets) {
        entry[at..at + 8].copy_from_slice(&offset.0.to_be_bytes());
    }
}

/// A frame that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) entries: Vec<Entry>,
    /// Its length in bytes; the next frame begins at the next block.
    pub(super) len: usize,
}

/// Which frame the one at the start of `bytes` says it is, whole or not.
pub(super) fn claimed_id(bytes: &[u8]) -> Option<FrameId> {
    let header = bytes.get(..FRAME_HEADER_LEN)?;
    Some(FrameId { generation: u64_at(header, GENERATION_AT), sequence: u32_at(header, SEQUENCE_AT) })
}

/// Takes apart the frame at the start of `bytes`, which must be `expected`.
pub(super) fn decode_frame(bytes: &Bytes, expected: FrameId) -> Result<Frame, FrameError> {
    let room = bytes.len().min(FRAME_BYTES_MAX);
    if room < FRAME_HEADER_LEN {
        return Err(FrameError::Length { found: room, room });
    }
    let len = u32_at(bytes, LENGTH_AT) as usize;
    if len < FRAME_HEADER_LEN || room < len {
        return Err(FrameError::Length { found: len, room });
    }
    let found = claimed_id(bytes).expect("a header was seen");
    if found != expected {
        return Err(FrameError::Other { expected, found });
    }
    let entries_end = u32_at(bytes, ENTRIES_END_AT) as usize;
    if entries_end < FRAME_HEADER_LEN || len < entries_end {
        return Err(FrameError::Length { found: entries_end, room: len });
    }
    let count = u32_at(bytes, ENTRIES_AT);
    let blocks_at = (align_up(entries_end as u64) as usize).min(len);
    let mut parts = Parts {
        entries: bytes.slice(FRAME_HEADER_LEN..entries_end),
        blocks: bytes.slice(blocks_at..len),
        crc: crc32c::crc32c(&bytes[LENGTH_AT..entries_end]),
    };
    let mut entries = Vec::new();
    for index in 0..count {
        entries.push(parts.take_entry().ok_or(FrameError::MalformedEntry { index, count })?);
    }
    let (found, expected) = (u32_at(bytes, 0), parts.crc);
    if found != expected {
        return Err(FrameError::WrongCrc { expected, found });
    }
    if !parts.entries.is_empty() || !parts.blocks.is_empty() {
        return Err(FrameError::MalformedEntry { index: count, count });
    }
    Ok(Frame { entries, len })
}

/// What is left of a frame, and the checksum of what was taken from its blocks.
struct Parts {
    entries: Bytes,
    blocks: Bytes,
    crc: u32,
}

impl Parts {
    fn take_entry(&mut self) -> Option<Entry> {
        if self.entries.len() < ENTRY_HEADER_LEN {
            return None;
        }
        let header = self.entries.split_to(ENTRY_HEADER_LEN);
        let bytes = u32_at(&header, BYTES_AT) as usize;
        let topic_id = u128::from_be_bytes(header[TOPIC_ID_AT..PARTITION_AT].try_into().ok()?);
        let partition = i32::from_be_bytes(header[PARTITION_AT..SEGMENT_BASE_AT].try_into().ok()?);
        let key = LogKey { topic_id: Uuid(topic_id), partition };
        let offset_at = |at| Offset(i64::from_be_bytes(header[at..at + 8].try_into().expect("eight bytes")));
        let batches = BatchesHeader {
            key,
            segment_base: offset_at(SEGMENT_BASE_AT),
            base_offset: offset_at(BASE_OFFSET_AT),
            next_offset: offset_at(NEXT_OFFSET_AT),
        };
        match header[0] {
            KIND_BATCHES if 0 < bytes && bytes <= self.entries.len() && batches.is_ordered() => {
                Some(Entry::Batches(batches, self.entries.split_to(bytes)))
            }
            KIND_BATCHES_IN_BLOCKS if 0 < bytes && batches.is_ordered() => {
                let skipped = u32_at(&header, SKIPPED_AT) as usize;
                Some(Entry::Batches(batches, self.take_blocks(skipped, bytes)?))
            }
            KIND_VOID if bytes == 0 => Some(Entry::Void(key)),
            _ => None,
        }
    }

    /// The `bytes` bytes of the next blocks behind `skipped`.
    fn take_blocks(&mut self, skipped: usize, bytes: usize) -> Option<Bytes> {
        let block_bytes = InBlocks { skipped, bytes }.block_bytes();
        if BLOCK <= skipped || self.blocks.len() < block_bytes {
            return None;
        }
        let batches = self.blocks.split_to(block_bytes).slice(skipped..skipped + bytes);
        self.crc = crc32c::crc32c_append(self.crc, &batches);
        Some(batches)
    }
}

impl BatchesHeader {
    fn is_ordered(&self) -> bool {
        Offset::ZERO <= self.segment_base
            && self.segment_base <= self.base_offset
            && self.base_offset < self.next_offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Prng;

    const ID: FrameId = FrameId { generation: 9, sequence: 4 };

    fn key(partition: i32) -> LogKey {
        LogKey { topic_id: Uuid(0xabcd << 64), partition }
    }

    fn header(partition: i32, base: i64, next: i64) -> BatchesHeader {
        let key = key(partition);
        BatchesHeader { key, segment_base: Offset(0), base_offset: Offset(base), next_offset: Offset(next) }
    }

    fn encode(entries: &[Entry], buf_len: usize) -> Bytes {
        let mut buf = vec![0xa5; buf_len];
        let mut builder = FrameBuilder::new(&mut buf, ID);
        for entry in entries {
            match entry {
                Entry::Batches(header, bytes) => {
                    builder.add_batches(header, bytes.len()).copy_from_slice(bytes);
                }
                Entry::Void(key) => builder.add_void(key),
            }
        }
        let len = builder.finish();
        assert!(buf[len..].iter().all(|byte| *byte == 0), "padded with zeros");
        buf.into()
    }

    /// As [`encode`], with all batches in blocks of their own.
    fn encode_in_blocks(entries: &[Entry]) -> Bytes {
        let (mut buf, mut blocks) = (vec![0xa5; BLOCK], Vec::new());
        let mut builder = FrameBuilder::new(&mut buf, ID);
        for entry in entries {
            match entry {
                Entry::Batches(header, bytes) => {
                    let (skipped, crc) = (BLOCK - 5, crc32c::crc32c(bytes));
                    let batches = InBlocks { skipped, bytes: bytes.len() };
                    builder.add_in_blocks(header, batches, crc);
                    let start = blocks.len() + skipped;
                    blocks.resize(blocks.len() + batches.block_bytes(), 0xee);
                    blocks[start..start + bytes.len()].copy_from_slice(bytes);
                }
                Entry::Void(key) => builder.add_void(key),
            }
        }
        assert_eq!(builder.finish(), BLOCK + blocks.len());
        [buf, blocks].concat().into()
    }

    fn entries() -> Vec<Entry> {
        vec![
            Entry::Batches(header(0, 5, 7), Bytes::from_static(b"some batches")),
            Entry::Void(key(3)),
            Entry::Batches(header(-1, 0, i64::MAX), Bytes::from_static(b"x")),
        ]
    }

    #[test]
    fn frames_are_read_back() {
        for entries in [Vec::new(), entries(), entries()[..1].to_vec()] {
            let frame = decode_frame(&encode(&entries, 4096), ID).unwrap();
            assert_eq!(frame.entries, entries);
        }
        let bytes = encode_in_blocks(&entries());
        assert_eq!(bytes.len(), 4 * BLOCK, "one for the entries, two for some batches, one for x");
        let frame = decode_frame(&bytes, ID).unwrap();
        assert_eq!((frame.entries, frame.len), (entries(), bytes.len()));
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let bytes = encode(&entries(), 4096);
        let len = decode_frame(&bytes, ID).unwrap().len;
        for bit in 0..8 * len {
            let mut broken = bytes.to_vec();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_frame(&broken.into(), ID).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn any_flipped_bit_of_batches_in_blocks_is_seen() {
        let bytes = encode_in_blocks(&entries());
        let whole = decode_frame(&bytes, ID).unwrap();
        let mut harmless = 0;
        for bit in 0..8 * bytes.len() {
            let mut broken = bytes.to_vec();
            broken[bit / 8] ^= 1 << (bit % 8);
            let Ok(frame) = decode_frame(&broken.into(), ID) else { continue };
            assert_eq!(frame, whole, "bit {bit}");
            harmless += 1;
        }
        let covered = FRAME_HEADER_LEN + 3 * ENTRY_HEADER_LEN + b"some batches".len() + 1;
        assert_eq!(harmless, 8 * (bytes.len() - covered), "the rest of the blocks is not looked at");
    }

    #[test]
    fn frames_of_another_place_are_refused() {
        let bytes = encode(&entries(), 4096);
        for other in [FrameId { generation: 8, ..ID }, FrameId { sequence: 5, ..ID }] {
            let error = decode_frame(&bytes, other);
            assert_eq!(error, Err(FrameError::Other { expected: other, found: ID }));
        }
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let mut prng = Prng::new(1);
        for _ in 0..2_000 {
            let mut bytes = vec![0; prng.below(200) as usize];
            prng.fill(&mut bytes);
            assert!(decode_frame(&bytes.into(), ID).is_err());
        }
        assert!(decode_frame(&vec![0; 4096].into(), ID).is_err(), "zeros");
        // Whole frames whose entries do not add up.
        for at in [ENTRIES_AT + 3, FRAME_HEADER_LEN, FRAME_HEADER_LEN + BYTES_AT + 3] {
            let mut bytes = encode(&entries()[..1], 4096).to_vec();
            bytes[at] ^= 3;
            let len = u32_at(&bytes, LENGTH_AT) as usize;
            let crc = crc32c::crc32c(&bytes[LENGTH_AT..len]);
            bytes[..LENGTH_AT].copy_from_slice(&crc.to_be_bytes());
            let error = decode_frame(&bytes.into(), ID);
            assert!(matches!(error, Err(FrameError::MalformedEntry { .. })), "byte {at}: {error:?}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_documented_table() {
        let bytes = encode(&entries()[..1], 4096);
        let (frame, entry) = bytes.split_at(FRAME_HEADER_LEN);
        assert_eq!(frame[4..24], [0, 0, 0, 93, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, 1]);
        assert_eq!(frame[24..], [0, 0, 0, 93]);
        assert_eq!(entry[0], 1);
        assert_eq!(entry[1..17], (0xabcd_u128 << 64).to_be_bytes());
        assert_eq!(entry[17..29], [0; 12]);
        assert_eq!(entry[29..49], [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 12]);
        assert_eq!(entry[49..53], [0; 4]);
        assert_eq!(entry[53..65], *b"some batches");
        let bytes = encode_in_blocks(&entries()[..1]);
        assert_eq!(bytes[4..8], (3 * BLOCK as u32).to_be_bytes());
        let entry = &bytes[FRAME_HEADER_LEN..];
        assert_eq!((entry[0], &entry[49..53]), (3, &[0, 0, 15, 251][..]));
    }
}
