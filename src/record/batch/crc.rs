//! The checksum of a batch, alone and fused with the copy into the log's buffer.

use super::{ATTRIBUTES_AT, CRC_AT};

/// Bytes copied at a time by [`copy_with_crc`]: source and destination of a piece fit a 32 KiB
/// first-level cache together.
const PIECE_BYTES: usize = 8 * 1024;

/// The CRC-32C of a batch's bytes from the attributes on. `batch` is one whole batch.
pub fn compute_crc(batch: &[u8]) -> u32 {
    crc32c::crc32c(&batch[ATTRIBUTES_AT..])
}

/// Whether a batch's CRC field is right. False for bytes too short to have one.
pub fn crc_matches(batch: &[u8]) -> bool {
    let Some(stored) = batch.get(CRC_AT..ATTRIBUTES_AT) else { return false };
    stored == compute_crc(batch).to_be_bytes()
}

/// Copies `src` over `dst`, which must be as long, and returns the CRC-32C of the bytes. They are
/// fetched from memory once: each piece is checksummed, then copied while the first-level cache has it.
///
/// For a batch, pass what the CRC covers: the bytes from [`ATTRIBUTES_AT`] on.
pub fn copy_with_crc(src: &[u8], dst: &mut [u8]) -> u32 {
    assert_eq!(src.len(), dst.len(), "a copy has the length of its source");
    let mut crc = 0;
    for (from, to) in src.chunks(PIECE_BYTES).zip(dst.chunks_mut(PIECE_BYTES)) {
        crc = crc32c::crc32c_append(crc, from);
        to.copy_from_slice(from);
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Prng;

    #[test]
    fn fused_copy_equals_checksum_then_copy() {
        for len in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 17] {
            let mut src = vec![0; len];
            Prng::new(len as u64).fill(&mut src);
            let mut dst = vec![0; len];
            assert_eq!(copy_with_crc(&src, &mut dst), crc32c::crc32c(&src));
            assert!(src == dst);
        }
    }

    #[test]
    fn short_bytes_have_no_crc() {
        assert!(!crc_matches(&[0; ATTRIBUTES_AT - 1]));
    }
}
