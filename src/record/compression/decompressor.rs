//! One reader for all codecs, with the bound.

use std::fmt;
use std::io::{self, Read};

use crate::record::RecordError;

use super::Codec;
use super::snappy::SnappyReader;

/// The largest window a zstd frame may ask for: 128 MiB, the codec's own default and what its highest
/// level writes. Memory is taken for at most this much, and only for the part that is used.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Bit 5 of an LZ4 frame's flags: the blocks do not refer to each other.
const LZ4_BLOCKS_INDEPENDENT: u8 = 1 << 5;
const LZ4_FLAGS_AT: usize = 4;

/// Unpacks compressed records piece by piece.
pub struct Decompressor<'a> {
    codec: Codec,
    reader: Reader<'a>,
    left: usize,
    max: usize,
}

enum Reader<'a> {
    Plain(&'a [u8]),
    Gzip(Box<flate2::bufread::MultiGzDecoder<&'a [u8]>>),
    Snappy(SnappyReader<'a>),
    Lz4(lz4::Decoder<&'a [u8]>),
    Zstd(zstd::stream::read::Decoder<'static, &'a [u8]>),
}

impl<'a> Decompressor<'a> {
    /// Reads `packed`, whose contents may unpack to `max` bytes.
    pub fn new(codec: Codec, packed: &'a [u8], max: usize) -> Result<Self, RecordError> {
        let reader = open(codec, packed, max).map_err(|error| broken(codec, &error))?;
        Ok(Self { codec, reader, left: max, max })
    }

    /// Fills the front of `out` and returns how many bytes that was; zero at the end.
    ///
    /// # Errors
    /// `Compression` for bytes the codec did not write, `DecompressedTooLarge` past the bound.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, RecordError> {
        let len = match &mut self.reader {
            Reader::Plain(reader) => reader.read(out),
            Reader::Gzip(reader) => reader.read(out),
            Reader::Snappy(reader) => reader.read(out),
            Reader::Lz4(reader) => reader.read(out),
            Reader::Zstd(reader) => reader.read(out),
        };
        let len = len.map_err(|error| broken(self.codec, &error))?;
        self.left = self.left.checked_sub(len).ok_or(RecordError::DecompressedTooLarge { max: self.max })?;
        Ok(len)
    }
}

fn open(codec: Codec, packed: &[u8], max: usize) -> io::Result<Reader<'_>> {
    Ok(match codec {
        Codec::None => Reader::Plain(packed),
        Codec::Gzip => Reader::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(packed))),
        Codec::Snappy => Reader::Snappy(SnappyReader::new(packed, max)),
        Codec::Lz4 => {
            // Java's reader knows no linked blocks: a batch with them could be stored, never consumed.
            if packed.get(LZ4_FLAGS_AT).is_some_and(|flags| flags & LZ4_BLOCKS_INDEPENDENT == 0) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame's blocks are linked"));
            }
            Reader::Lz4(lz4::Decoder::new(packed)?)
        }
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Reader::Zstd(decoder)
        }
    })
}

fn broken(codec: Codec, error: &io::Error) -> RecordError {
    RecordError::Compression { codec: codec.name(), detail: error.to_string() }
}

impl fmt::Debug for Decompressor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor")
            .field("codec", &self.codec)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
