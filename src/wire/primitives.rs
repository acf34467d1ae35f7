//! The protocol's primitive types, taken off the front of `Bytes` and measured.
//!
//! Two families: the old one with two- and four-byte lengths, and the compact one of flexible versions
//! (KIP-482), whose lengths are unsigned variable-length integers, one more than the value, 0 for null.

use bytes::{Buf, BufMut, Bytes};

use super::WireError;
use super::messages::StrBytes;

/// Elements allowed in one array of a request: above what a cluster has partitions.
pub const ARRAY_ELEMENTS_MAX: usize = 1 << 18;

/// Bytes of one string of a request (`MessageDataGenerator`).
const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Partitions allowed in one request to produce or fetch records, or to commit or fetch offsets by topic id,
/// over all its topics. Kafka has no such bound: a frame of 100 MiB could name as many as would take a
/// gigabyte to keep.
pub const PARTITIONS_MAX: usize = 1 << 18;

macro_rules! take_integers {
    ($($name:ident $type:ty, $take:ident;)*) => {$(
        pub(crate) fn $name(bytes: &mut Bytes) -> Result<$type, WireError> {
            bytes.$take().map_err(|error| WireError::Truncated {
                expected: error.requested,
                found: error.available,
            })
        }
    )*};
}

take_integers! {
    take_i8 i8, try_get_i8;
    take_i16 i16, try_get_i16;
    take_i32 i32, try_get_i32;
    take_i64 i64, try_get_i64;
    take_u128 u128, try_get_u128;
}

pub(crate) fn take_bytes(bytes: &mut Bytes, len: usize) -> Result<Bytes, WireError> {
    if bytes.len() < len {
        return Err(WireError::Truncated { expected: len, found: bytes.len() });
    }
    Ok(bytes.split_to(len))
}

/// An unsigned variable-length integer of at most five bytes.
pub(crate) fn take_uvarint(bytes: &mut Bytes) -> Result<u32, WireError> {
    let (value, len) = peek_uvarint(bytes)?;
    bytes.advance(len);
    u32::try_from(value).map_err(|_| WireError::malformed("a variable-length integer exceeds 32 bits"))
}

/// The value at the front of `bytes` and how many bytes it takes. The value has up to 35 bits.
pub(crate) fn peek_uvarint(bytes: &[u8]) -> Result<(u64, usize), WireError> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok((value, index + 1));
        }
    }
    match bytes.len() {
        found @ 0..5 => Err(WireError::Truncated { expected: found + 1, found }),
        _ => Err(WireError::malformed("a variable-length integer has more than five bytes")),
    }
}

/// Skips the tagged fields at the end of a structure none of whose tags concern us.
pub(crate) fn skip_tagged_fields(bytes: &mut Bytes) -> Result<(), WireError> {
    for_each_tagged_field(bytes, |_, _| Ok(()))
}

/// Hands each tagged field to `handle`: its tag and its bytes.
pub(crate) fn for_each_tagged_field(
    bytes: &mut Bytes,
    mut handle: impl FnMut(u32, Bytes) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let count = take_uvarint(bytes)?;
    for _ in 0..count {
        let tag = take_uvarint(bytes)?;
        let len = take_uvarint(bytes)?;
        handle(tag, take_bytes(bytes, len as usize)?)?;
    }
    Ok(())
}

/// A string in the old form; `None` for null.
pub(crate) fn take_nullable_string(bytes: &mut Bytes) -> Result<Option<StrBytes>, WireError> {
    match take_i16(bytes)? {
        -1 => Ok(None),
        len => {
            let len =
                usize::try_from(len).map_err(|_| WireError::malformed("a string's length is negative"))?;
            text(take_bytes(bytes, len)?).map(Some)
        }
    }
}

/// A string in the compact form; `None` for null.
pub(crate) fn take_compact_nullable_string(bytes: &mut Bytes) -> Result<Option<StrBytes>, WireError> {
    match take_uvarint(bytes)? {
        0 => Ok(None),
        len if STRING_BYTES_MAX < len as usize - 1 => {
            Err(WireError::malformed(format!("a string has {} bytes", len - 1)))
        }
        len => text(take_bytes(bytes, len as usize - 1)?).map(Some),
    }
}

fn text(bytes: Bytes) -> Result<StrBytes, WireError> {
    StrBytes::from_utf8(bytes).map_err(|_| WireError::malformed("a string is not UTF-8"))
}

/// What a reader or writer of both families needs to know about a version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// Whether lengths are compact and structures end in tagged fields.
    pub(crate) is_flexible: bool,
}

impl Form {
    pub(crate) fn take_nullable_string(self, bytes: &mut Bytes) -> Result<Option<StrBytes>, WireError> {
        match self.is_flexible {
            true => take_compact_nullable_string(bytes),
            false => take_nullable_string(bytes),
        }
    }

    pub(crate) fn take_string(self, bytes: &mut Bytes) -> Result<StrBytes, WireError> {
        self.take_nullable_string(bytes)?.ok_or_else(|| WireError::malformed("a string that must be is null"))
    }

    pub(crate) fn take_nullable_bytes(self, bytes: &mut Bytes) -> Result<Option<Bytes>, WireError> {
        let len = match self.is_flexible {
            true => match take_uvarint(bytes)? {
                0 => return Ok(None),
                len => len as usize - 1,
            },
            false => match take_i32(bytes)? {
                -1 => return Ok(None),
                len => usize::try_from(len).map_err(|_| WireError::malformed("a length is negative"))?,
            },
        };
        take_bytes(bytes, len).map(Some)
    }

    /// The length of an array whose elements take `element_len_min` bytes at least. Null is refused.
    pub(crate) fn take_array_len(
        self,
        bytes: &mut Bytes,
        element_len_min: usize,
    ) -> Result<usize, WireError> {
        let found = self.take_nullable_array_len(bytes, element_len_min)?;
        found.ok_or_else(|| WireError::malformed("an array that must be is null"))
    }

    /// Like [`take_array_len`](Self::take_array_len); `None` for null.
    pub(crate) fn take_nullable_array_len(
        self,
        bytes: &mut Bytes,
        element_len_min: usize,
    ) -> Result<Option<usize>, WireError> {
        let claimed = match self.is_flexible {
            true => i64::from(take_uvarint(bytes)?) - 1,
            false => i64::from(take_i32(bytes)?),
        };
        let Ok(found) = usize::try_from(claimed) else { return Ok(None) };
        let max = (bytes.len() / element_len_min).min(ARRAY_ELEMENTS_MAX);
        if max < found {
            return Err(WireError::TooManyElements { max, found });
        }
        Ok(Some(found))
    }

    /// The length of an array of partitions, taken off what one request may name.
    pub(crate) fn take_partition_count(
        self,
        bytes: &mut Bytes,
        element_len_min: usize,
        partitions_left: &mut usize,
    ) -> Result<usize, WireError> {
        let found = self.take_array_len(bytes, element_len_min)?;
        *partitions_left = partitions_left
            .checked_sub(found)
            .ok_or(WireError::TooManyElements { max: *partitions_left, found })?;
        Ok(found)
    }

    pub(crate) fn skip_tags(self, bytes: &mut Bytes) -> Result<(), WireError> {
        match self.is_flexible {
            true => skip_tagged_fields(bytes),
            false => Ok(()),
        }
    }

    /// Appends a string. The old form holds 32,767 bytes; a longer text loses its end.
    pub(crate) fn put_nullable_string(self, out: &mut impl BufMut, text: Option<&str>) {
        match (self.is_flexible, text) {
            (true, None) => put_uvarint(out, 0),
            (false, None) => out.put_i16(-1),
            (true, Some(text)) => {
                put_uvarint(out, text.len() as u32 + 1);
                out.put_slice(text.as_bytes());
            }
            (false, Some(text)) => {
                let text = truncated(text, i16::MAX as usize);
                out.put_i16(text.len() as i16);
                out.put_slice(text.as_bytes());
            }
        }
    }

    pub(crate) fn put_string(self, out: &mut impl BufMut, text: &str) {
        self.put_nullable_string(out, Some(text));
    }

    pub(crate) fn put_array_len(self, out: &mut impl BufMut, len: usize) {
        match self.is_flexible {
            true => put_uvarint(out, len as u32 + 1),
            false => out.put_i32(len as i32),
        }
    }

    pub(crate) fn put_bytes_len(self, out: &mut impl BufMut, len: usize) {
        self.put_array_len(out, len);
    }

    pub(crate) fn put_null_array(self, out: &mut impl BufMut) {
        match self.is_flexible {
            true => put_uvarint(out, 0),
            false => out.put_i32(-1),
        }
    }

    /// Ends a structure without tagged fields.
    pub(crate) fn put_no_tags(self, out: &mut impl BufMut) {
        if self.is_flexible {
            out.put_u8(0);
        }
    }
}

/// The longest front of `text` that has at most `max` bytes.
fn truncated(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    &text[..end]
}

pub(crate) fn put_uvarint(out: &mut impl BufMut, mut value: u32) {
    while 0x80 <= value {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uvarints_round_trip() {
        for value in [0, 1, 127, 128, 300, 1 << 21, u32::MAX] {
            let mut out = Vec::new();
            put_uvarint(&mut out, value);
            assert_eq!(take_uvarint(&mut Bytes::from(out)), Ok(value));
        }
        assert!(take_uvarint(&mut Bytes::from_static(&[0xff; 5])).is_err());
        assert!(take_uvarint(&mut Bytes::from_static(&[0x80])).is_err());
        assert!(take_uvarint(&mut Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x7f])).is_err());
    }

    #[test]
    fn strings_too_long_for_the_old_form_lose_their_end() {
        assert_eq!((truncated("aä", 2), truncated("aä", 3), truncated("", 1)), ("a", "aä", ""));
        let mut out = Vec::new();
        Form { is_flexible: false }.put_string(&mut out, &"x".repeat(40_000));
        assert_eq!(out.len(), 2 + 32_767);
    }

    #[test]
    fn compact_strings_are_no_longer_than_those_of_the_old_form() {
        let take = |len: usize| {
            let mut out = Vec::new();
            Form { is_flexible: true }.put_string(&mut out, &"x".repeat(len));
            Form { is_flexible: true }.take_string(&mut Bytes::from(out)).map(|text| text.len())
        };
        assert_eq!(take(STRING_BYTES_MAX), Ok(32_767));
        assert!(matches!(take(STRING_BYTES_MAX + 1), Err(WireError::Malformed { .. })));
    }

    #[test]
    fn array_lengths_are_bounded_by_the_bytes_that_are_there() {
        let old = Form { is_flexible: false };
        let check = |bytes: &'static [u8], expected| {
            assert_eq!(old.take_array_len(&mut Bytes::from_static(bytes), 2), expected);
        };
        check(&[0, 0, 0, 2, 1, 2, 3, 4], Ok(2));
        check(&[0, 0, 0, 3, 1, 2, 3, 4], Err(WireError::TooManyElements { max: 2, found: 3 }));
        check(&[0x7f, 0, 0, 0, 1, 2], Err(WireError::TooManyElements { max: 1, found: 0x7f00_0000 }));
    }
}
