//! The four codecs of Kafka, each behind one streaming, bounded reader.
//!
//! What Kafka's clients write, this module reads: gzip; snappy in the xerial framing of Java and as one raw
//! block (librdkafka's older versions, sarama); LZ4 frames; zstd frames. What it writes is what Java's
//! client writes.
//!
//! Compressed bytes are hostile until proven otherwise: a megabyte may unpack to gigabytes. Reading goes
//! through [`Decompressor`], which yields as much as its caller asks for and fails past
//! [`DECOMPRESSED_BYTES_MAX`].

use std::fmt;
use std::io::{self, Write};

use super::RecordError;

mod decompressor;
mod snappy;

pub use decompressor::Decompressor;

/// The most that the records of one batch may unpack to.
///
/// Differs from Kafka, which unpacks without a bound: a frame of 100 MiB, the most that a default broker
/// accepts, could keep a core busy for minutes.
pub const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The buffer of [`decompress`] doubles from the one to the other, then grows by the other.
const UNPACK_BYTES_MIN: usize = 16 * 1024;
const UNPACK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Levels of the LZ4 library: it compresses fast at 0 and strongly from 3 on.
const LZ4_LEVEL_FAST: u32 = 0;
const LZ4_LEVEL_STRONG_MIN: u32 = 3;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Snappy, in xerial framing when written here.
    Snappy,
    /// An LZ4 frame.
    Lz4,
    /// A zstd frame.
    Zstd,
}

impl Codec {
    /// Every codec, by id.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec's number in a batch's attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The codec with this number.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// The codec's name in Kafka's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec with this name. `uncompressed`, as the topic config spells it, is [`Codec::None`].
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "uncompressed" {
            return Some(Self::None);
        }
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// The level used without a configured one (`compression.<codec>.level`).
    pub fn default_level(self) -> i32 {
        match self {
            Self::Gzip => -1,
            Self::Lz4 => 9,
            Self::Zstd => 3,
            Self::None | Self::Snappy => 0,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Appends `bytes`, compressed, to `out`. `level` means what the codec's `compression.<codec>.level`
/// means; codecs without levels ignore it.
pub fn compress(codec: Codec, level: i32, bytes: &[u8], out: &mut Vec<u8>) {
    let written = match codec {
        Codec::None => {
            out.extend_from_slice(bytes);
            Ok(())
        }
        Codec::Gzip => compress_gzip(level, bytes, out),
        Codec::Snappy => {
            snappy::compress(bytes, out);
            Ok(())
        }
        Codec::Lz4 => compress_lz4(level, bytes, out),
        Codec::Zstd => compress_zstd(level, bytes, out),
    };
    written.expect("compressing into memory fails only without memory");
}

fn compress_gzip(level: i32, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let level = match u32::try_from(level) {
        Ok(level) => flate2::Compression::new(level.min(9)),
        Err(_) => flate2::Compression::default(),
    };
    let mut encoder = flate2::write::GzEncoder::new(out, level);
    encoder.write_all(bytes)?;
    encoder.finish().map(drop)
}

/// Independent blocks of 64 KiB without checksums, as `Lz4BlockOutputStream` writes them; its reader
/// refuses linked blocks. By its default level it means the fast compressor, by any other the strong one.
fn compress_lz4(level: i32, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let level = match level == Codec::Lz4.default_level() {
        true => LZ4_LEVEL_FAST,
        false => u32::try_from(level).unwrap_or(0).max(LZ4_LEVEL_STRONG_MIN),
    };
    let mut encoder = lz4::EncoderBuilder::new()
        .block_size(lz4::BlockSize::Max64KB)
        .block_mode(lz4::BlockMode::Independent)
        .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
        .checksum(lz4::ContentChecksum::NoChecksum)
        .level(level)
        .build(out)?;
    encoder.write_all(bytes)?;
    encoder.finish().1
}

fn compress_zstd(level: i32, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(out, level)?;
    encoder.write_all(bytes)?;
    encoder.finish().map(drop)
}

/// Appends what `packed` unpacks to, at most `max` bytes, to `out`.
///
/// # Errors
/// `Compression` for bytes the codec did not write, `DecompressedTooLarge` past `max`.
pub fn decompress(codec: Codec, packed: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), RecordError> {
    let mut decompressor = Decompressor::new(codec, packed, max)?;
    let mut filled = out.len();
    loop {
        if filled == out.len() {
            let room = out.len().clamp(UNPACK_BYTES_MIN, UNPACK_BYTES_MAX);
            out.resize(filled + room, 0);
        }
        match decompressor.read(&mut out[filled..])? {
            0 => break,
            len => filled += len,
        }
    }
    out.truncate(filled);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Prng;

    fn packed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        compress(codec, codec.default_level(), bytes, &mut packed);
        packed
    }

    fn unpacked(codec: Codec, packed: &[u8], max: usize) -> Result<Vec<u8>, RecordError> {
        let mut out = Vec::new();
        decompress(codec, packed, max, &mut out).map(|()| out)
    }

    fn samples() -> Vec<Vec<u8>> {
        let mut random = vec![0; 150_000];
        Prng::new(1).fill(&mut random);
        vec![Vec::new(), vec![7], vec![0; 1_000_000], random]
    }

    #[test]
    fn codecs_round_trip_up_to_the_bound() {
        for codec in Codec::ALL {
            for sample in samples() {
                let packed = packed(codec, &sample);
                assert!(unpacked(codec, &packed, sample.len()) == Ok(sample.clone()), "{codec}");
                if let Some(max) = sample.len().checked_sub(1) {
                    assert!(unpacked(codec, &packed, max).is_err(), "{codec} past {max}");
                }
            }
        }
    }

    #[test]
    fn bombs_end_at_the_bound() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let bomb = packed(codec, &vec![0; 64 << 20]);
            let error = unpacked(codec, &bomb, 1 << 20).unwrap_err();
            assert_eq!(error, RecordError::DecompressedTooLarge { max: 1 << 20 }, "{codec}");
        }
    }

    #[test]
    fn cut_streams_are_errors_or_short() {
        let sample = &samples()[3];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let packed = packed(codec, sample);
            for cut in [1, packed.len() / 2, packed.len() - 5] {
                let short = unpacked(codec, &packed[..cut], sample.len());
                assert!(
                    short.is_err() || short.is_ok_and(|bytes| bytes.len() < sample.len()),
                    "{codec} {cut}"
                );
            }
        }
    }

    #[test]
    fn raw_snappy_is_read() {
        let sample = b"one raw block, as librdkafka once wrote it".repeat(9);
        let packed = snap::raw::Encoder::new().compress_vec(&sample).unwrap();
        assert_eq!(unpacked(Codec::Snappy, &packed, sample.len()), Ok(sample));
    }

    #[test]
    fn snappy_claims_are_checked_before_memory_is_taken() {
        // A block of five bytes that claims 4 GiB.
        assert!(unpacked(Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f], usize::MAX).is_err());
    }

    #[test]
    fn linked_lz4_blocks_are_refused() {
        let mut encoder =
            lz4::EncoderBuilder::new().block_mode(lz4::BlockMode::Linked).build(Vec::new()).unwrap();
        encoder.write_all(b"linked").unwrap();
        let (packed, result) = encoder.finish();
        result.unwrap();
        assert!(unpacked(Codec::Lz4, &packed, 100).is_err());
    }

    #[test]
    fn checksummed_lz4_frames_are_read() {
        let mut encoder =
            lz4::EncoderBuilder::new().block_mode(lz4::BlockMode::Independent).build(Vec::new()).unwrap();
        encoder.write_all(b"with content and block checksums").unwrap();
        let (packed, result) = encoder.finish();
        result.unwrap();
        assert_eq!(unpacked(Codec::Lz4, &packed, 100).unwrap(), b"with content and block checksums");
    }

    #[test]
    fn names_and_ids_round_trip() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_id(codec.id()), Some(codec));
            assert_eq!(Codec::from_name(codec.name()), Some(codec));
        }
        assert_eq!(Codec::from_name("uncompressed"), Some(Codec::None));
        assert_eq!((Codec::from_id(5), Codec::from_name("producer")), (None, None));
    }
}
