//! Walking over the batches of a segment file that is not to be trusted.

use bytes::Bytes;

use crate::disk::{BLOCK, DiskError, DiskFile, align_up};
use crate::record::RecordError;
use crate::record::batch::{ATTRIBUTES_AT, BatchHeader, HEADER_LEN, MAGIC};
use crate::types::Offset;

/// The first read; a log that was closed recently needs no more.
const PIECE_MIN: usize = 4 * BLOCK;

/// The most that is read at once, unless a batch is larger and its CRC is right.
const PIECE_MAX: usize = 1 << 20;

/// What stands at the scanner's position.
#[derive(Debug)]
pub(in crate::log) enum Step {
    /// A batch; the scanner has moved behind it.
    Batch {
        /// Where it starts.
        position: u64,
        header: BatchHeader,
        bytes: Option<Bytes>,
    },
    /// Nothing: the file ends.
    End,
    /// Zeros up to the end of the last block and file, as a flush leaves them.
    Padding,
    /// Zeros for a block and more, as a preparation leaves them; what is behind was not looked at.
    Zeros,
    /// The file ends within a batch; the scanner stays.
    Half { cause: String },
    /// Something that is not the next batch; the scanner stays.
    Broken { cause: String },
}

/// Which batches have their CRC checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum CrcFrom {
    /// Those that hold this offset or a later one.
    Offset(Offset),
    /// None: the bytes are trusted.
    Never,
}

/// See the module.
pub(in crate::log) struct Scanner<'a, F> {
    file: &'a F,
    len: u64,
    position: u64,
    /// The offset that the next batch must not be below.
    expected: Offset,
    base_offset: Offset,
    buffer: Bytes,
    buffer_at: u64,
    piece: usize,
    /// Bytes whose CRC was checked.
    pub(in crate::log) checked_bytes: u64,
}

impl<'a, F: DiskFile> Scanner<'a, F> {
    /// Starts at `position` of a segment file of `len` bytes.
    pub(in crate::log) fn new(file: &'a F, len: u64, base_offset: Offset, position: u64) -> Self {
        Self {
            file,
            len,
            position,
            expected: base_offset,
            base_offset,
            buffer: Bytes::new(),
            buffer_at: 0,
            piece: PIECE_MIN,
            checked_bytes: 0,
        }
    }

    pub(in crate::log) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the file.
    pub(in crate::log) fn len(&self) -> u64 {
        self.len
    }

    pub(in crate::log) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// The offset after the last batch seen.
    pub(in crate::log) fn expected(&self) -> Offset {
        self.expected
    }

    /// The next batch, with its bytes if its CRC was checked or it is a control batch.
    pub(in crate::log) async fn next(&mut self, crc_from: CrcFrom) -> Result<Step, DiskError> {
        if self.len <= self.position {
            return Ok(Step::End);
        }
        let header = match self.decode().await? {
            Ok(header) => header,
            Err(Step::Broken { cause }) => return self.padding_or(cause).await,
            Err(step) => return Ok(step),
        };
        let is_checked = matches!(crc_from, CrcFrom::Offset(from) if from <= header.last_offset());
        if is_checked {
            let Some(found) = self.batch_crc(&header).await? else { return Ok(shorter_than_its_length()) };
            if found != header.crc {
                let error = RecordError::CrcMismatch { expected: header.crc, found };
                return Ok(Step::Broken { cause: error.to_string() });
            }
            self.checked_bytes += header.total_len() as u64;
        }
        let mut bytes = None;
        // A marker is a short batch: without a CRC that bears it out, another length is broken.
        if is_checked || header.attributes.is_control() && header.total_len() <= PIECE_MAX {
            let batch = self.bytes(header.total_len()).await?;
            if batch.len() < header.total_len() {
                return Ok(shorter_than_its_length());
            }
            bytes = Some(batch.slice(..header.total_len()));
        }
        let position = self.position;
        self.position += header.total_len() as u64;
        self.expected = header.next_offset();
        Ok(Step::Batch { position, header, bytes })
    }

    /// The header of a whole batch, or what stands there instead.
    async fn decode(&mut self) -> Result<Result<BatchHeader, Step>, DiskError> {
        let bytes = self.bytes(HEADER_LEN).await?;
        let header = match BatchHeader::decode(&bytes) {
            Ok(header) => header,
            Err(error) => return Ok(Err(Step::Broken { cause: error.to_string() })),
        };
        let rest = self.len - self.position;
        if rest < header.total_len() as u64 {
            let found = rest as usize;
            let error = RecordError::Truncated { position: 0, expected: header.total_len(), found };
            return Ok(Err(Step::Half { cause: error.to_string() }));
        }
        let relative = header.last_offset() - self.base_offset;
        let is_in_order = self.expected <= header.base_offset && 0 <= header.last_offset_delta;
        if !is_in_order || i64::from(i32::MAX) < relative {
            let (base, last) = (header.base_offset, header.last_offset());
            let cause = format!("expected offsets from {} on, found {base} to {last}", self.expected);
            return Ok(Err(Step::Broken { cause }));
        }
        Ok(Ok(header))
    }

    /// What follows a batch that is not there. Only the rest of the block and the next one are looked at:
    /// the caller cuts off what is behind.
    async fn padding_or(&mut self, cause: String) -> Result<Step, DiskError> {
        let is_whole = self.len.is_multiple_of(BLOCK as u64);
        let rest = (align_up(self.position + 1) - self.position) as usize;
        let bytes = self.bytes((rest + BLOCK).min((self.len - self.position) as usize)).await?;
        let looked_at = &bytes[..bytes.len().min(rest + BLOCK)];
        if !is_whole || looked_at.is_empty() || looked_at.iter().any(|byte| *byte != 0) {
            return Ok(Step::Broken { cause });
        }
        Ok(if self.len == align_up(self.position) { Step::Padding } else { Step::Zeros })
    }

    /// The CRC of the batch at the position, read in pieces: its length may be what is broken. `None` where
    /// the file ends before the batch.
    async fn batch_crc(&mut self, header: &BatchHeader) -> Result<Option<u32>, DiskError> {
        let start = self.position;
        let end = start + header.total_len() as u64;
        let mut crc = 0;
        // In one piece if it is not longer: the caller may want it whole.
        self.bytes(header.total_len().min(PIECE_MAX)).await?;
        self.position += ATTRIBUTES_AT as u64;
        while self.position < end {
            let bytes = self.bytes(1).await?;
            let piece = &bytes[..bytes.len().min((end - self.position) as usize)];
            if piece.is_empty() {
                break;
            }
            crc = crc32c::crc32c_append(crc, piece);
            self.position += piece.len() as u64;
        }
        let is_whole = self.position == end;
        self.position = start;
        Ok(is_whole.then_some(crc))
    }

    /// At least `want` bytes from the position on, as far as the file has them.
    async fn bytes(&mut self, want: usize) -> Result<Bytes, DiskError> {
        let start = self.position.wrapping_sub(self.buffer_at) as usize;
        if self.buffer_at <= self.position
            && let Some(bytes) = self.buffer.get(start..)
            && want <= bytes.len()
        {
            return Ok(self.buffer.slice(start..));
        }
        let rest = (self.len - self.position) as usize;
        let len = want.max(self.piece).min(rest);
        self.piece = (2 * self.piece).min(PIECE_MAX);
        self.buffer = self.file.read_at(self.position, len).await?;
        self.buffer_at = self.position;
        Ok(self.buffer.clone())
    }

    /// The base offset of the batch at the position, which is whole.
    pub(in crate::log) async fn peek_base_offset(&mut self) -> Result<Offset, DiskError> {
        Ok(self.decode().await?.map_or(self.expected, |header| header.base_offset))
    }

    /// Moves behind broken bytes to the next batch that is whole; false when there is none. Waits for a read
    /// at least once in [`PIECE_MAX`].
    pub(in crate::log) async fn resynchronize(&mut self) -> Result<bool, DiskError> {
        self.position += 1;
        while self.position + HEADER_LEN as u64 <= self.len {
            let bytes = self.bytes(HEADER_LEN).await?;
            if bytes.len() < HEADER_LEN {
                break;
            }
            let Some(distance) = bytes.windows(HEADER_LEN).position(looks_like_batch) else {
                self.position += (bytes.len() - HEADER_LEN + 1) as u64;
                continue;
            };
            self.position += distance as u64;
            if let Ok(header) = self.decode().await?
                && self.batch_crc(&header).await? == Some(header.crc)
            {
                return Ok(true);
            }
            self.position += 1;
        }
        self.position = self.len;
        Ok(false)
    }
}

fn shorter_than_its_length() -> Step {
    Step::Broken { cause: "the file is shorter than its length".to_owned() }
}

/// A cheap look at the bytes that are the same in every batch of a log: the upper half of the base offset
/// of a log below 2^40, and the magic.
fn looks_like_batch(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, 0, _, _, _, _, _, _, _, _, _, _, _, _, _, magic, ..] if *magic as i8 == MAGIC)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;

    use super::*;
    use crate::disk::memory::{FaultPlan, MemoryBuf, MemoryDisk, MemoryFile, block_on};
    use crate::disk::{Disk, DiskBuf, OpenMode, WriteSync};
    use crate::log::tests::batch;
    use crate::record::builder::BatchFields;

    /// A file that remembers the longest read.
    struct Watched {
        inner: MemoryFile,
        longest_read: Cell<usize>,
    }

    impl DiskFile for Watched {
        type Buf = MemoryBuf;

        async fn read_at(&self, position: u64, len: usize) -> Result<Bytes, DiskError> {
            self.longest_read.set(self.longest_read.get().max(len));
            self.inner.read_at(position, len).await
        }

        async fn write_at(
            &self,
            buf: <MemoryBuf as DiskBuf>::Shared,
            position: u64,
            sync: WriteSync,
        ) -> Result<usize, DiskError> {
            self.inner.write_at(buf, position, sync).await
        }

        async fn write_blocks_at(
            &self,
            blocks: &[<MemoryBuf as DiskBuf>::Blocks],
            position: u64,
            sync: WriteSync,
        ) -> Result<usize, DiskError> {
            self.inner.write_blocks_at(blocks, position, sync).await
        }

        async fn sync_data(&self) -> Result<(), DiskError> {
            self.inner.sync_data().await
        }

        async fn truncate(&self, len: u64) -> Result<(), DiskError> {
            self.inner.truncate(len).await
        }

        async fn len(&self) -> Result<u64, DiskError> {
            self.inner.len().await
        }

        async fn close(self) -> Result<(), DiskError> {
            self.inner.close().await
        }
    }

    #[test]
    fn no_length_that_is_broken_is_read_at_once() {
        let good = batch(2, 100, BatchFields::default());
        let mut long = good.to_vec();
        long[8..12].copy_from_slice(&(3_i32 << 20).to_be_bytes());
        let mut control = long.clone();
        control[ATTRIBUTES_AT + 1] |= 1 << 5;
        let mut contents = control;
        contents.resize(1 << 20, 0);
        contents.extend(long);
        contents.resize((2 << 20) + 7, 0xa5);
        let good_at = contents.len() as u64;
        contents.extend(&good);
        contents.resize(5 << 20, 0);
        let disk = MemoryDisk::new(1, FaultPlan::default());
        block_on(async {
            let path = Path::new("/00000000000000000000.log");
            disk.replace_file(path, &contents).await.unwrap();
            let inner = disk.open(path, OpenMode::Read).await.unwrap();
            let file = Watched { inner, longest_read: Cell::new(0) };
            let mut scanner = Scanner::new(&file, contents.len() as u64, Offset::ZERO, 0);
            let trusted = scanner.next(CrcFrom::Never).await.unwrap();
            assert!(matches!(trusted, Step::Batch { bytes: None, .. }), "{trusted:?}");

            let mut scanner = Scanner::new(&file, contents.len() as u64, Offset::ZERO, 0);
            let broken = scanner.next(CrcFrom::Offset(Offset::ZERO)).await.unwrap();
            assert!(matches!(&broken, Step::Broken { cause } if cause.contains("CRC")), "{broken:?}");
            assert_eq!(scanner.resynchronize().await, Ok(true));
            assert_eq!(scanner.position(), good_at);
            let found = scanner.next(CrcFrom::Offset(Offset::ZERO)).await.unwrap();
            assert!(matches!(found, Step::Batch { position, .. } if position == good_at), "{found:?}");
            assert!(file.longest_read.get() <= PIECE_MAX, "{} bytes at once", file.longest_read.get());
        });
    }
}
