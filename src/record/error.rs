//! What can be wrong with the bytes of a batch.

/// Bytes that are not a batch of magic 2, or not a whole one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end inside a batch.
    #[error("the batch at position {position} needs {expected} bytes, {found} are there")]
    Truncated {
        /// Where the batch starts, in bytes from the start of the input.
        position: usize,
        /// Bytes the batch, or its header, occupies.
        expected: usize,
        /// Bytes from `position` to the end of the input.
        found: usize,
    },
    /// The length field is too small to hold a header.
    #[error("batch length {found} is below the header's {min}")]
    InvalidLength {
        /// The smallest legal value of the length field.
        min: i32,
        /// The length field.
        found: i32,
    },
    /// A format this broker does not store: 0 and 1 are from before Kafka 0.11.
    #[error("batch has magic {found}, expected 2")]
    UnsupportedMagic {
        /// The magic byte.
        found: i8,
    },
    /// The bytes are not those the producer sent.
    #[error("batch has CRC {found:#010x}, its header says {expected:#010x}")]
    CrcMismatch {
        /// The CRC field.
        expected: u32,
        /// The CRC of the bytes.
        found: u32,
    },
    /// The attributes name a codec that does not exist.
    #[error("compression codec {found} does not exist")]
    UnknownCodec {
        /// Bits 0 to 2 of the attributes.
        found: u8,
    },
    /// The compressed records are not what the codec writes.
    #[error("{codec} data is broken: {detail}")]
    Compression {
        /// The codec's name in Kafka's configuration.
        codec: &'static str,
        /// What the decompressor said.
        detail: String,
    },
    /// The records unpack to more than the bound.
    #[error("records decompress to more than {max} bytes")]
    DecompressedTooLarge {
        /// The bound in bytes.
        max: usize,
    },
    /// A record's fields contradict each other or its length.
    #[error("record {index} is malformed: {what}")]
    MalformedRecord {
        /// The record's index in its batch, from zero.
        index: usize,
        /// The rule it breaks.
        what: &'static str,
    },
    /// The header's count is not the number of records inside.
    #[error("batch claims {expected} records, {found}")]
    CountMismatch {
        /// The count field.
        expected: i32,
        /// What the records say instead.
        found: &'static str,
    },
}
