//! A guard between hostile bytes and the generated decoders.
//!
//! The decoders of `kafka-protocol` allocate for as many elements as an array claims before they read the
//! first one: four bytes would make them reserve gigabytes, which aborts the process. They read through a
//! trait, so the guard reads for them and never lets an array's claim through that is above [`claim_max`].
//!
//! It cannot see which integers are lengths. Two facts replace that knowledge:
//!
//! - Of a string or of bytes the decoder reads the length, then asks for exactly that many bytes. So in
//!   place of an integer above the bound it is given [`STAND_IN`]; if it then asks for that many bytes, it
//!   gets as many as were claimed.
//! - The value of a number does not change what the decoder reads next. So a number may be replaced to see
//!   whether the message decodes, and an array may be told from a number by -2, which no array accepts.
//!
//! A compact length that turns out not to be that of bytes is an array's, and finds the buffer empty from
//! then on. A four-byte integer may also be a number, hence the three passes of [`Pass`].

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

use super::WireError;
use super::primitives::{ARRAY_ELEMENTS_MAX, peek_uvarint};

/// Claims up to this are let through whatever the bytes: tags are such integers too.
const CLAIM_MIN: usize = 1024;

/// What the decoder sees in place of a length above the bound.
const STAND_IN: u8 = 0x7f;

/// Four-byte integers above the bound that one message may hold; far more than any client sends.
const WIDE_INTEGERS_MAX: usize = 1 << 16;

/// The largest claim that is let through to a decoder with this many bytes left.
fn claim_max(remaining: usize) -> usize {
    remaining.clamp(CLAIM_MIN, ARRAY_ELEMENTS_MAX)
}

/// Decodes a message of hostile bytes.
pub(super) fn decode<T: Decodable>(bytes: &Bytes, version: i16) -> Result<T, WireError> {
    let run = |pass, wide| {
        let mut guarded =
            GuardedBytes { bytes: bytes.clone(), pass, compact_claim: None, wide, wide_count: 0 };
        let result = T::decode(&mut guarded, version);
        (result.map_err(|error| WireError::malformed(format!("{error:#}"))), guarded.wide)
    };
    let (probed, wide) = run(Pass::Probe, Vec::new());
    let message = probed?;
    if wide.iter().all(|integer| integer.is_bytes_len) {
        return Ok(message);
    }
    drop(message);
    let (checked, wide) = run(Pass::Check, wide);
    drop(checked?);
    run(Pass::Read, wide).0
}

/// What is done with a four-byte integer above the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Replaced by the stand-in. Tells which ones are the length of bytes, unless one is an array's: the
    /// decoder then takes 127 elements and whatever follows for something else.
    Probe,
    /// Replaced by the stand-in if it was the length of bytes, else by -2. Refuses arrays, so a message
    /// that gets through has none whose claim is above the bound.
    Check,
    /// Replaced by the stand-in if it was the length of bytes, else left as it is.
    Read,
}

/// A four-byte integer above the bound.
#[derive(Debug, Clone, Copy)]
struct WideInteger {
    value: usize,
    /// Bytes behind it.
    remaining: usize,
    is_bytes_len: bool,
}

/// Bytes that a generated decoder may read.
#[derive(Debug)]
struct GuardedBytes {
    bytes: Bytes,
    pass: Pass,
    /// A compact length for which the stand-in was given.
    compact_claim: Option<usize>,
    /// Filled by the probe, followed by the other passes.
    wide: Vec<WideInteger>,
    /// How many were met in this pass.
    wide_count: usize,
}

impl GuardedBytes {
    fn empty(requested: usize) -> TryGetError {
        TryGetError { requested, available: 0 }
    }

    /// The stand-in for a four-byte integer, or what the pass makes of it.
    fn wide_integer(&mut self, value: i32, claim: usize) -> Result<i32, TryGetError> {
        if self.pass == Pass::Probe && self.wide.len() < WIDE_INTEGERS_MAX {
            let remaining = self.bytes.len();
            self.wide.push(WideInteger { value: claim, remaining, is_bytes_len: false });
        }
        let integer = *self.wide.get(self.wide_count).ok_or(Self::empty(4))?;
        self.wide_count += 1;
        Ok(match self.pass {
            Pass::Probe => STAND_IN.into(),
            _ if integer.is_bytes_len => STAND_IN.into(),
            Pass::Check => -2,
            Pass::Read => value,
        })
    }

    /// The claim that a request for `size` bytes may stand for.
    fn claimed_len(&mut self, size: usize) -> Result<usize, NotEnoughBytesError> {
        if let Some(claim) = self.compact_claim.take() {
            // A compact length is one more than the bytes behind it, that of a tagged field is not.
            return match usize::from(STAND_IN).checked_sub(size) {
                Some(excess @ 0..=1) => Ok(claim - excess),
                _ => Err(NotEnoughBytesError),
            };
        }
        let remaining = self.bytes.len();
        let last = self.wide_count.checked_sub(1).and_then(|last| self.wide.get_mut(last));
        match last {
            // Nothing was read since: the integer was the length of these bytes.
            Some(integer) if integer.remaining == remaining && size == usize::from(STAND_IN) => {
                integer.is_bytes_len = true;
                Ok(integer.value)
            }
            _ => Ok(size),
        }
    }
}

impl Buf for GuardedBytes {
    fn remaining(&self) -> usize {
        match self.compact_claim {
            Some(_) => 0,
            None => self.bytes.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self.compact_claim {
            Some(_) => &[],
            None => self.bytes.chunk(),
        }
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        if self.compact_claim.is_some() || self.bytes.is_empty() {
            return Err(Self::empty(1));
        }
        let first = self.bytes[0];
        if first < 0x80 {
            self.bytes.advance(1);
            return Ok(first);
        }
        // Of a length that is let through, every shorter tail is let through as well: nothing needs to be
        // remembered between its bytes, and a boolean that looks like a length does no harm.
        let (value, len) = peek_uvarint(&self.bytes).map_err(|_| Self::empty(1))?;
        let value = usize::try_from(value).map_err(|_| Self::empty(1))?;
        if value <= claim_max(self.bytes.len() - len) {
            self.bytes.advance(1);
            return Ok(first);
        }
        self.bytes.advance(len);
        self.compact_claim = Some(value);
        Ok(STAND_IN)
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        if self.compact_claim.is_some() {
            return Err(Self::empty(4));
        }
        let value = self.bytes.try_get_i32()?;
        match usize::try_from(value) {
            Ok(claim) if claim_max(self.bytes.len()) < claim => self.wide_integer(value, claim),
            _ => Ok(value),
        }
    }
}

impl ByteBuf for GuardedBytes {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.split_to(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        let size = self.claimed_len(size)?;
        if self.bytes.len() < size {
            return Err(NotEnoughBytesError);
        }
        Ok(self.bytes.split_to(size))
    }
}
