//! Snappy as Kafka's clients frame it.
//!
//! Java's client writes the framing of xerial's snappy-java: a 16-byte header, then blocks of 32 KiB,
//! each behind its compressed length. Others write one raw block. Both are read.

use std::io::{self, Read};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic, a version and the lowest version that can read it.
const HEADER_LEN: usize = 16;
/// What snappy-java puts into one block (`SnappyOutputStream.DEFAULT_BLOCK_SIZE`).
const BLOCK_BYTES: usize = 32 * 1024;
/// No element of the format unpacks to more bytes for one of its own: a copy of 64 takes three.
const EXPANSION_MAX: usize = 22;

/// Appends `bytes` as snappy-java writes them.
pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(BLOCK_BYTES) {
        let length_at = out.len();
        let data_at = length_at + 4;
        out.resize(data_at + snap::raw::max_compress_len(block.len()), 0);
        let packed_len =
            encoder.compress(block, &mut out[data_at..]).expect("the buffer has the size the codec asks for");
        out.truncate(data_at + packed_len);
        out[length_at..data_at].copy_from_slice(&(packed_len as i32).to_be_bytes());
    }
}

/// Unpacks block by block.
#[derive(Debug)]
pub(super) struct SnappyReader<'a> {
    rest: &'a [u8],
    is_framed: bool,
    /// The block that is being handed out, from `position` on.
    block: Vec<u8>,
    position: usize,
    block_bytes_max: usize,
}

impl<'a> SnappyReader<'a> {
    /// Reads `packed`; no block may unpack to more than `block_bytes_max`.
    pub(super) fn new(packed: &'a [u8], block_bytes_max: usize) -> Self {
        let is_framed = packed.starts_with(&MAGIC);
        Self { rest: packed, is_framed, block: Vec::new(), position: 0, block_bytes_max }
    }

    /// The next compressed block, or `None` at the end.
    fn next_packed(&mut self) -> io::Result<Option<&'a [u8]>> {
        if !self.is_framed {
            let whole = std::mem::take(&mut self.rest);
            return Ok((!whole.is_empty()).then_some(whole));
        }
        // A stream may be several ones, each with its header.
        while self.rest.starts_with(&MAGIC) {
            self.rest = self.rest.get(HEADER_LEN..).ok_or_else(|| broken("the header is cut off"))?;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (len, rest) = self.rest.split_first_chunk::<4>().ok_or_else(|| broken("a length is cut off"))?;
        let len = usize::try_from(i32::from_be_bytes(*len)).map_err(|_| broken("a length is negative"))?;
        let (packed, rest) = rest.split_at_checked(len).ok_or_else(|| broken("a block is cut off"))?;
        self.rest = rest;
        Ok(Some(packed))
    }

    fn unpack(&mut self, packed: &[u8]) -> io::Result<()> {
        let len = snap::raw::decompress_len(packed)?;
        // The claim is checked before memory is taken for it.
        if packed.len().saturating_mul(EXPANSION_MAX) < len || self.block_bytes_max < len {
            return Err(broken("a block claims more bytes than it can hold"));
        }
        self.block.clear();
        self.block.resize(len, 0);
        self.position = 0;
        snap::raw::Decoder::new().decompress(packed, &mut self.block)?;
        Ok(())
    }
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.position == self.block.len() {
            match self.next_packed()? {
                Some(packed) => self.unpack(packed)?,
                None => return Ok(0),
            }
        }
        let len = out.len().min(self.block.len() - self.position);
        out[..len].copy_from_slice(&self.block[self.position..self.position + len]);
        self.position += len;
        Ok(len)
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
