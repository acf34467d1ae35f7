//! Walking over the batches of a segment file that is not to be trusted.

use bytes::Bytes;

use crate::disk::{BLOCK, DiskError, DiskFile, align_up};
use crate::record::RecordError;
use crate::record::batch::{BatchHeader, HEADER_LEN, MAGIC, compute_crc};
use crate::types::Offset;

/// The first read; a log that was closed recently needs no more.
const PIECE_MIN: usize = 4 * BLOCK;

/// The most that is read at once, unless a batch is larger.
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

    /// The next batch. `with_bytes` also returns control batches' bytes.
    pub(in crate::log) async fn next(&mut self, crc_from: CrcFrom) -> Result<Step, DiskError> {
        if self.len <= self.position {
            return Ok(Step::End);
        }
        let header = match self.decode().await? {
            Ok(header) => header,
            Err(cause) => return self.padding_or(cause).await,
        };
        let needs_crc = matches!(crc_from, CrcFrom::Offset(from) if from <= header.last_offset());
        let mut bytes = None;
        if needs_crc || header.attributes.is_control() {
            let batch = self.bytes(header.total_len()).await?;
            if batch.len() < header.total_len() {
                return Ok(Step::Broken { cause: "the file is shorter than its length".to_owned() });
            }
            let batch = batch.slice(..header.total_len());
            if needs_crc {
                let found = compute_crc(&batch);
                if found != header.crc {
                    let error = RecordError::CrcMismatch { expected: header.crc, found };
                    return Ok(Step::Broken { cause: error.to_string() });
                }
                self.checked_bytes += batch.len() as u64;
            }
            bytes = Some(batch);
        }
        let position = self.position;
        self.position += header.total_len() as u64;
        self.expected = header.next_offset();
        Ok(Step::Batch { position, header, bytes })
    }

    async fn decode(&mut self) -> Result<Result<BatchHeader, String>, DiskError> {
        let bytes = self.bytes(HEADER_LEN).await?;
        let header = match BatchHeader::decode(&bytes) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let rest = self.len - self.position;
        if rest < header.total_len() as u64 {
            let found = rest as usize;
            let error = RecordError::Truncated { position: 0, expected: header.total_len(), found };
            return Ok(Err(error.to_string()));
        }
        let relative = header.last_offset() - self.base_offset;
        let is_in_order = self.expected <= header.base_offset && 0 <= header.last_offset_delta;
        if !is_in_order || i64::from(i32::MAX) < relative {
            let (base, last) = (header.base_offset, header.last_offset());
            return Ok(Err(format!("expected offsets from {} on, found {base} to {last}", self.expected)));
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

    /// Moves behind broken bytes to the next batch that is whole; false when there is none.
    pub(in crate::log) async fn resynchronize(&mut self) -> Result<bool, DiskError> {
        let (start, expected) = (self.position, self.expected);
        for position in start + 1..self.len.saturating_sub(HEADER_LEN as u64 - 1) {
            self.position = position;
            let bytes = self.bytes(HEADER_LEN).await?;
            if !looks_like_batch(&bytes) {
                continue;
            }
            if let Ok(header) = self.decode().await? {
                let batch = self.bytes(header.total_len()).await?;
                let batch = batch.get(..header.total_len());
                if batch.is_some_and(|batch| compute_crc(batch) == header.crc) {
                    return Ok(true);
                }
            }
        }
        (self.position, self.expected) = (self.len, expected);
        Ok(false)
    }
}

/// A cheap look at the bytes that are the same in every batch of a log: the upper half of the base offset
/// of a log below 2^40, and the magic.
fn looks_like_batch(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, 0, _, _, _, _, _, _, _, _, _, _, _, _, _, magic, ..] if *magic as i8 == MAGIC)
}
