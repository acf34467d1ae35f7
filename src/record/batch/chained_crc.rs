//! The checksum of bytes with batches in them, from the checksums that the batches bring along.
//!
//! A CRC without its inversions is the remainder of the bytes, read as a polynomial, by a fixed one. The
//! remainder of `first ++ second` is that of `first`, multiplied by `x` for each bit of `second`, plus that
//! of `second`; the inversions cancel out. So what is known of `second` need not be computed again.
//!
//! Polynomials over two elements are held in a `u32`, the coefficient of `x^0` in the highest bit.

use super::{ATTRIBUTES_AT, BATCH_LENGTH_AT, CRC_AT, HEADER_LEN, LOG_OVERHEAD, crc_matches};

/// The polynomial of CRC-32C without `x^32`.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const ONE: u32 = 1 << 31;
const X: u32 = 1 << 30;

/// `x^(8 * 2^k)` for each `k`: what shifts a remainder by `2^k` bytes.
const SHIFTS: [u32; 32] = {
    let mut shifts = [0; 32];
    let (mut power, mut doublings) = (X, 0);
    while doublings < 32 + 3 {
        if 3 <= doublings {
            shifts[doublings - 3] = power;
        }
        power = multiply(power, power);
        doublings += 1;
    }
    shifts
};

/// From this length on the multiplications cost less than reading the bytes.
const WORTH_IT: usize = 4 << 10;

const fn multiply(left: u32, mut right: u32) -> u32 {
    let (mut product, mut bit) = (0, ONE);
    while bit != 0 {
        if left & bit != 0 {
            product ^= right;
        }
        right = (right >> 1) ^ if right & 1 == 0 { 0 } else { POLYNOMIAL };
        bit >>= 1;
    }
    product
}

/// The CRC-32C of bytes with the CRC `first`, followed by `len` bytes with the CRC `second`.
pub fn chain_crcs(first: u32, second: u32, len: usize) -> u32 {
    let len = u32::try_from(len).expect("a batch is shorter than 2 GiB");
    let set = (0..32).filter(|bit| len >> bit & 1 == 1);
    set.fold(first, |crc, bit| multiply(SHIFTS[bit], crc)) ^ second
}

/// The CRC-32C of bytes with the CRC `crc`, followed by `bytes`: whole batches with the right checksums, one
/// behind the other. Short batches are read, and whatever is no batch.
pub fn append_batches(mut crc: u32, bytes: &[u8]) -> u32 {
    let (mut done, mut position) = (0, 0);
    while let Some(len) = batch_len(&bytes[position..]) {
        if WORTH_IT <= len {
            let batch = &bytes[position..position + len];
            let stored = u32::from_be_bytes(batch[CRC_AT..ATTRIBUTES_AT].try_into().expect("four bytes"));
            debug_assert!(crc_matches(batch), "a batch whose checksum nobody has checked");
            crc = crc32c::crc32c_append(crc, &bytes[done..position + ATTRIBUTES_AT]);
            crc = chain_crcs(crc, stored, len - ATTRIBUTES_AT);
            done = position + len;
        }
        position += len;
    }
    crc32c::crc32c_append(crc, &bytes[done..])
}

/// The length of the batch at the start of `bytes`; `None` when there is no whole one.
fn batch_len(bytes: &[u8]) -> Option<usize> {
    let field = bytes.get(BATCH_LENGTH_AT..LOG_OVERHEAD)?;
    let len = u32::from_be_bytes(field.try_into().expect("four bytes")) as usize + LOG_OVERHEAD;
    (HEADER_LEN <= len && len <= bytes.len()).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::batch::compute_crc;
    use crate::types::Prng;

    fn random(len: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; len];
        Prng::new(seed).fill(&mut bytes);
        bytes
    }

    /// Bytes with the head of a batch, as far as this module looks.
    fn batch(len: usize, seed: u64) -> Vec<u8> {
        let mut bytes = random(len, seed);
        let rest = (len - LOG_OVERHEAD) as u32;
        bytes[BATCH_LENGTH_AT..LOG_OVERHEAD].copy_from_slice(&rest.to_be_bytes());
        let crc = compute_crc(&bytes);
        bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn chained_checksums_are_those_of_all_bytes() {
        for len in [0, 1, 2, 7, 255, 4096, 65_537, 1_000_003] {
            let (first, second) = (random(100, 1), random(len, 2));
            let chained = chain_crcs(crc32c::crc32c(&first), crc32c::crc32c(&second), len);
            assert_eq!(chained, crc32c::crc32c(&[first, second].concat()), "{len}");
        }
    }

    #[test]
    fn batches_of_all_lengths_are_appended() {
        let lens = [HEADER_LEN, WORTH_IT - 1, WORTH_IT, 70_000, 100, 5_000, 5_001, 61];
        let mut bytes = Vec::new();
        for (seed, len) in lens.into_iter().enumerate() {
            bytes.extend(batch(len, seed as u64));
            let begin = crc32c::crc32c(b"before");
            assert_eq!(append_batches(begin, &bytes), crc32c::crc32c_append(begin, &bytes), "{len}");
        }
    }

    #[test]
    fn what_is_no_batch_is_read() {
        let mut torn = batch(WORTH_IT, 1);
        torn.extend(&batch(2 * WORTH_IT, 2)[..2 * WORTH_IT - 1]);
        let none = [vec![], vec![0; 5_000], vec![0xff; 5_000], random(11, 3), torn];
        for bytes in none {
            assert_eq!(append_batches(7, &bytes), crc32c::crc32c_append(7, &bytes));
        }
    }
}
