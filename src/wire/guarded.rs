//! A guard between hostile bytes and the generated decoders.
//!
//! The decoders of `kafka-protocol` allocate for as many elements as an array claims before they read the
//! first one: four bytes would make them reserve gigabytes, which aborts the process. They read through a
//! trait, so the guard reads for them and never lets a claim through that is above [`claim_max`].
//!
//! It cannot see which integers are lengths. Two facts replace that knowledge:
//!
//! - A compact length above the bound can only be that of a string or of bytes if it is honest. The decoder
//!   is given a small stand-in; it may then ask for exactly that many bytes, and gets as many as were
//!   claimed. Any other question means that the length was an array's, and finds the buffer empty.
//! - A four-byte integer above the bound is a number or an array's length, and the value of a number does
//!   not change what the decoder reads next. So a first pass gives -2 in its place, which every array
//!   refuses and every number takes. If the message decodes, a second pass may read it as it is.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

use super::primitives::{ARRAY_ELEMENTS_MAX, peek_uvarint};

/// Claims up to this are let through whatever the bytes: tags are such integers too.
const CLAIM_MIN: usize = 1024;

/// What the decoder sees instead of a compact length above the bound.
const STAND_IN: u8 = 0x7f;

/// The largest array length that is let through to a decoder with this many bytes left.
pub(crate) fn claim_max(remaining: usize) -> usize {
    remaining.min(ARRAY_ELEMENTS_MAX).max(CLAIM_MIN)
}

/// How four-byte integers above the bound are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// As -2, which no array accepts.
    Check,
    /// As they are: a check has passed.
    Read,
}

/// Bytes that a generated decoder may read.
#[derive(Debug)]
pub(crate) struct GuardedBytes {
    bytes: Bytes,
    pass: Pass,
    /// Set after a stand-in was given: the length that was claimed.
    claimed: Option<usize>,
    /// Whether a number was replaced, so that the result of this pass is not the message.
    is_altered: bool,
}

impl GuardedBytes {
    pub(crate) fn new(bytes: Bytes, pass: Pass) -> Self {
        Self { bytes, pass, claimed: None, is_altered: false }
    }

    pub(crate) fn is_altered(&self) -> bool {
        self.is_altered
    }

    fn empty(requested: usize) -> TryGetError {
        TryGetError { requested, available: 0 }
    }
}

impl Buf for GuardedBytes {
    fn remaining(&self) -> usize {
        match self.claimed {
            Some(_) => 0,
            None => self.bytes.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self.claimed {
            Some(_) => &[],
            None => self.bytes.chunk(),
        }
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        if self.claimed.is_some() || self.bytes.is_empty() {
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
        self.claimed = Some(value);
        Ok(STAND_IN)
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        if self.claimed.is_some() {
            return Err(Self::empty(4));
        }
        let value = self.bytes.try_get_i32()?;
        let is_plain = usize::try_from(value).map_or(true, |value| value <= claim_max(self.bytes.len()));
        if is_plain || self.pass == Pass::Read {
            return Ok(value);
        }
        self.is_altered = true;
        Ok(-2)
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
        // A compact length is one more than the bytes behind it, that of a tagged field is not.
        let size = match self.claimed.take() {
            None => size,
            Some(claimed) => match usize::from(STAND_IN).checked_sub(size) {
                Some(excess @ 0..=1) => claimed - excess,
                _ => return Err(NotEnoughBytesError),
            },
        };
        if self.bytes.len() < size {
            return Err(NotEnoughBytesError);
        }
        Ok(self.bytes.split_to(size))
    }
}
