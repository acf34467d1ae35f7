//! How much of one batch is unpacked, and packed anew, at a stretch.

use super::RecordError;
use super::compression::DECOMPRESSED_BYTES_MAX;

/// What is unpacked in the turn of a request: 1 ms of zstd's time, 6 ms of gzip's.
pub const UNPACKED_IN_TURN_MAX: usize = 2 * 1024 * 1024;

/// Packing takes thirty times as long as unpacking.
const REPACKED_IN_TURN_MAX: usize = UNPACKED_IN_TURN_MAX / 32;

/// How much work there may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes that compressed records may unpack to.
    pub unpacked_max: usize,
    /// Bytes of unpacked records that may be packed.
    pub repacked_max: usize,
}

impl Bounds {
    /// What keeps a core from its other work for no longer than they can bear.
    pub const IN_TURN: Self = Self { unpacked_max: UNPACKED_IN_TURN_MAX, repacked_max: REPACKED_IN_TURN_MAX };

    /// All that any batch may take: to be done where nobody waits for the core.
    pub const WHOLE: Self = Self { unpacked_max: DECOMPRESSED_BYTES_MAX, repacked_max: usize::MAX };

    /// Whether an error may come of these bounds, and not of the batch. A codec may say in words of its own
    /// that there is too much.
    pub fn may_have_caused(self, error: &RecordError) -> bool {
        let of_unpacking =
            matches!(error, RecordError::DecompressedTooLarge { .. } | RecordError::Compression { .. });
        of_unpacking && self.unpacked_max < DECOMPRESSED_BYTES_MAX
    }
}
