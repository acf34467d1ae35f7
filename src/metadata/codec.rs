//! Kafka's flexible encoding, as far as metadata records need it: fixed-width integers, compact strings,
//! bytes and arrays, tagged fields.
//!
//! [`Field`] is implemented by every type that a record's field may have; the structs of `schema`
//! implement it by going over their fields. A reader never allocates more than a small multiple of the
//! bytes that are really there: a claimed length is compared with the rest of the input first.
//!
//! It knows nothing of record keys and versions beyond passing the version on: see `schema`.

#[cfg(test)]
use crate::types::Prng;
use crate::types::{LeaderEpoch, NodeId, Offset, ProducerId, Uuid};

/// Kafka's writers refuse longer strings (`MessageUtil`, 0x7fff), whatever the varint could say.
pub const STRING_BYTES_MAX: usize = 0x7fff;

/// Elements to make room for before the first was read; a longer array grows as its bytes turn out to be
/// there.
const ARRAY_CAPACITY_MAX: usize = 64;

/// What is wrong with a record's body, without where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyProblem {
    /// The input ended inside of a field.
    #[error("{needed} bytes are needed, {remaining} are left")]
    Truncated {
        /// Bytes the field asked for.
        needed: usize,
        /// Bytes that were there.
        remaining: usize,
    },
    /// An unsigned varint does not fit 32 bits.
    #[error("a varint is longer than 32 bits")]
    VarintTooLong,
    /// An array claims more elements than bytes are left.
    #[error("an array claims {claimed} elements in {remaining} bytes")]
    ArrayTooLong {
        /// Elements claimed.
        claimed: usize,
        /// Bytes left for them.
        remaining: usize,
    },
    /// A string claims more than [`STRING_BYTES_MAX`] bytes.
    #[error("a string of {claimed} bytes, at most {max} are allowed", max = STRING_BYTES_MAX)]
    StringTooLong {
        /// Bytes claimed.
        claimed: usize,
    },
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// Null where the schema allows none.
    #[error("null in a field that is never null")]
    Null,
    /// Tags must ascend, and each may occur once.
    #[error("tag {found} follows tag {previous}")]
    TagOrder {
        /// The tag before.
        previous: u32,
        /// The tag that should have been greater.
        found: u32,
    },
    /// A field or a record ended before the bytes set aside for it.
    #[error("{count} bytes are left over")]
    LeftOver {
        /// Bytes nobody read.
        count: usize,
    },
}

/// The bytes of one record, read front to back.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `needed` bytes.
    pub fn take(&mut self, needed: usize) -> Result<&'a [u8], BodyProblem> {
        let Some((taken, rest)) = self.rest.split_at_checked(needed) else {
            return Err(BodyProblem::Truncated { needed, remaining: self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], BodyProblem> {
        Ok(self.take(N)?.try_into().expect("take returns as many bytes as asked for"))
    }

    /// An unsigned varint of at most 32 bits.
    pub fn unsigned_varint(&mut self) -> Result<u32, BodyProblem> {
        let mut value: u32 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take_array()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && 0x0f < byte {
                return Err(BodyProblem::VarintTooLong);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BodyProblem::VarintTooLong)
    }

    /// A compact length: `None` is null.
    fn compact_length(&mut self) -> Result<Option<usize>, BodyProblem> {
        Ok(self.unsigned_varint()?.checked_sub(1).map(|length| length as usize))
    }

    /// Fails unless everything was read.
    pub fn finish(self) -> Result<(), BodyProblem> {
        if self.rest.is_empty() { Ok(()) } else { Err(BodyProblem::LeftOver { count: self.rest.len() }) }
    }
}

/// Appends an unsigned varint.
pub fn put_unsigned_varint(out: &mut Vec<u8>, mut value: u32) {
    while 0x80 <= value {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_compact_length(out: &mut Vec<u8>, length: Option<usize>) {
    let value = length.map_or(0, |length| length + 1);
    put_unsigned_varint(out, u32::try_from(value).expect("a record is far smaller than 4 GiB"));
}

/// A type that a field of a record may have.
pub trait Field: Sized {
    /// Kafka's default where the schema names none: what an absent field reads as.
    fn absent() -> Self;
    /// Appends the value as `version` of the record has it.
    fn encode(&self, version: i16, out: &mut Vec<u8>);
    /// Reads a value of `version` of the record.
    fn decode(version: i16, input: &mut Reader<'_>) -> Result<Self, BodyProblem>;
    /// Any value that fits every version.
    #[cfg(test)]
    fn random(prng: &mut Prng) -> Self;
}

macro_rules! integer_fields {
    ($($integer:ty),*) => {$(
        impl Field for $integer {
            fn absent() -> Self {
                0 as $integer
            }
            fn encode(&self, _: i16, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn decode(_: i16, input: &mut Reader<'_>) -> Result<Self, BodyProblem> {
                Ok(Self::from_be_bytes(input.take_array()?))
            }
            #[cfg(test)]
            fn random(prng: &mut Prng) -> Self {
                prng.next_u64() as $integer
            }
        }
    )*};
}
integer_fields!(i8, i16, u16, i32, i64, f64);

macro_rules! newtype_fields {
    ($($name:ident),*) => {$(
        impl Field for $name {
            fn absent() -> Self {
                Self(0)
            }
            fn encode(&self, version: i16, out: &mut Vec<u8>) {
                self.0.encode(version, out);
            }
            fn decode(version: i16, input: &mut Reader<'_>) -> Result<Self, BodyProblem> {
                Field::decode(version, input).map(Self)
            }
            #[cfg(test)]
            fn random(prng: &mut Prng) -> Self {
                Self(Field::random(prng))
            }
        }
    )*};
}
newtype_fields!(NodeId, LeaderEpoch, Offset, ProducerId);

impl Field for bool {
    fn absent() -> Self {
        false
    }
    fn encode(&self, _: i16, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn decode(_: i16, input: &mut Reader<'_>) -> Result<Self, BodyProblem> {
        Ok(input.take_array::<1>()? != [0])
    }
    #[cfg(test)]
    fn random(prng: &mut Prng) -> Self {
        prng.chance(1, 2)
    }
}

impl Field for Uuid {
    fn absent() -> Self {
        Self::ZERO
    }
    fn encode(&self, _: i16, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }
    fn decode(_: i16, input: &mut Reader<'_>) -> Result<Self, BodyProblem> {
        Ok(Self::from_bytes(input.take_array()?))
    }
    #[cfg(test)]
    fn random(prng: &mut Prng) -> Self {
        Self(u128::from(prng.next_u64()) << 64 | u128::from(prng.next_u64()))
    }
}

fn encode_string(text: Option<&str>, out: &mut Vec<u8>) {
    let length = text.map(str::len);
    assert!(length.unwrap_or(0) <= STRING_BYTES_MAX, "a string of {length:?} bytes in a metadata record");
    put_compact_length(out, length);
    out.extend_from_slice(text.unwrap_or_default().as_bytes());
}

impl Field for Option<String> {
    fn absent() -> Self {
        None
    }
    fn encode(&self, _: i16, out: &mut Vec<u8>) {
        encode_string(self.as_deref(), out);
    }
    fn decode(_: i16, input: &mut Reader<'_>) -> Result<Self, BodyProblem> {
        let Some(claimed) = input.compact_length()? else { return Ok(None) };
        if STRING_BYTES_MAX < claimed {
            return Err(BodyProblem::StringTooLong { claimed });
        }
        let text = std::str::from_utf8(input.take(claimed)?).map_err(|_| BodyProblem::NotUtf8)?;
        Ok(Some(text.to_owned()))
    }
    #[cfg(test)]
    fn random(prng: &mut Prng) -> Self {
        prng.chance(3, 4).then(|| Field::random(prng))
    }
}

impl Field for String {
    fn absent() -> Self {
        Self::new()
    }
    fn encode(&self, _: i16, out: &mut Vec<u8>) {
        encode_string(Some(self), out);
    }
    fn decode(version: i16, input: &mut Reader<'_>) -> Result<Self, BodyProblem> {
        Option::<Self>::decode(version, input)?.ok_or(BodyProblem::Null)
    }
    #[cfg(test)]
    fn random(prng: &mut Prng) -> Self {
        (0..prng.below(200)).map(|_| char::from_u32(prng.below(0x2_0000) as u32).unwrap_or('-')).collect()
    }
}

/// A field of bytes; its own type because a `Vec<u8>` would be an array of int8.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ByteField(pub Vec<u8>);

impl Field for ByteField {
    fn absent() -> Self {
        Self::default()
    }
    fn encode(&self, _: i16, out: &mut Vec<u8>) {
        put_compact_length(out, Some(self.0.len()));
        out.extend_from_slice(&self.0);
    }
    fn decode(_: i16, input: &mut Reader<'_>) -> Result<Self, BodyProblem> {
        let claimed = input.compact_length()?.ok_or(BodyProblem::Null)?;
        Ok(Self(input.take(claimed)?.to_vec()))
    }
    #[cfg(test)]
    fn random(prng: &mut Prng) -> Self {
        let mut bytes = vec![0; prng.below(200) as usize];
        prng.fill(&mut bytes);
        Self(bytes)
    }
}

impl<T: Field> Field for Option<Vec<T>> {
    fn absent() -> Self {
        None
    }
    fn encode(&self, version: i16, out: &mut Vec<u8>) {
        put_compact_length(out, self.as_ref().map(Vec::len));
        for element in self.iter().flatten() {
            element.encode(version, out);
        }
    }
    fn decode(version: i16, input: &mut Reader<'_>) -> Result<Self, BodyProblem> {
        let Some(claimed) = input.compact_length()? else { return Ok(None) };
        // Every element takes at least one byte, so a claim beyond the rest of the input is a lie.
        if input.remaining() < claimed {
            return Err(BodyProblem::ArrayTooLong { claimed, remaining: input.remaining() });
        }
        let mut elements = Vec::with_capacity(claimed.min(ARRAY_CAPACITY_MAX));
        for _ in 0..claimed {
            elements.push(T::decode(version, input)?);
        }
        Ok(Some(elements))
    }
    #[cfg(test)]
    fn random(prng: &mut Prng) -> Self {
        prng.chance(3, 4).then(|| Field::random(prng))
    }
}

impl<T: Field> Field for Vec<T> {
    fn absent() -> Self {
        Self::new()
    }
    fn encode(&self, version: i16, out: &mut Vec<u8>) {
        put_compact_length(out, Some(self.len()));
        for element in self {
            element.encode(version, out);
        }
    }
    fn decode(version: i16, input: &mut Reader<'_>) -> Result<Self, BodyProblem> {
        Option::<Self>::decode(version, input)?.ok_or(BodyProblem::Null)
    }
    #[cfg(test)]
    fn random(prng: &mut Prng) -> Self {
        (0..prng.below(6)).map(|_| T::random(prng)).collect()
    }
}

/// The tagged fields of one struct on their way out: counted first, since the count leads.
#[derive(Debug)]
pub(crate) struct TagWriter {
    version: i16,
    count: u32,
    fields: Vec<u8>,
}

impl TagWriter {
    pub(crate) fn new(version: i16) -> Self {
        Self { version, count: 0, fields: Vec::new() }
    }

    /// Adds a field; tags must be added in ascending order.
    pub(crate) fn put(mut self, tag: u32, value: &impl Field) -> Self {
        let mut body = Vec::new();
        value.encode(self.version, &mut body);
        self.count += 1;
        put_unsigned_varint(&mut self.fields, tag);
        put_unsigned_varint(&mut self.fields, u32::try_from(body.len()).expect("a record is below 4 GiB"));
        self.fields.extend_from_slice(&body);
        self
    }

    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        put_unsigned_varint(out, self.count);
        out.extend_from_slice(&self.fields);
    }
}

/// Hands each tagged field of a struct to `field`, which says whether it knows the tag. As Kafka's
/// protocol has it, an unknown tag is passed over.
pub(crate) fn read_tags(
    input: &mut Reader<'_>,
    mut field: impl FnMut(u32, &mut Reader<'_>) -> Result<bool, BodyProblem>,
) -> Result<(), BodyProblem> {
    let count = input.unsigned_varint()?;
    let mut previous = None;
    for _ in 0..count {
        let tag = input.unsigned_varint()?;
        if let Some(previous) = previous.filter(|&previous| tag <= previous) {
            return Err(BodyProblem::TagOrder { previous, found: tag });
        }
        previous = Some(tag);
        let size = input.unsigned_varint()? as usize;
        let mut body = Reader::new(input.take(size)?);
        if field(tag, &mut body)? {
            body.finish()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_width() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u32::MAX / 2, u32::MAX] {
            let mut bytes = Vec::new();
            put_unsigned_varint(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).unsigned_varint(), Ok(value));
        }
        assert_eq!(Reader::new(&[0xff; 5]).unsigned_varint(), Err(BodyProblem::VarintTooLong));
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unsigned_varint(),
            Err(BodyProblem::VarintTooLong)
        );
        assert_eq!(
            Reader::new(&[0x80]).unsigned_varint(),
            Err(BodyProblem::Truncated { needed: 1, remaining: 0 })
        );
    }

    #[test]
    fn claimed_lengths_are_compared_with_the_input_first() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2];
        assert_eq!(
            Vec::<Uuid>::decode(0, &mut Reader::new(&huge)),
            Err(BodyProblem::ArrayTooLong { claimed: u32::MAX as usize - 1, remaining: 2 })
        );
        assert_eq!(
            String::decode(0, &mut Reader::new(&huge)),
            Err(BodyProblem::StringTooLong { claimed: u32::MAX as usize - 1 })
        );
        assert!(matches!(ByteField::decode(0, &mut Reader::new(&huge)), Err(BodyProblem::Truncated { .. })));
        assert_eq!(String::decode(0, &mut Reader::new(&[0])), Err(BodyProblem::Null));
        assert_eq!(String::decode(0, &mut Reader::new(&[2, 0xff])), Err(BodyProblem::NotUtf8));
    }

    #[test]
    fn tags_ascend_and_unknown_ones_are_passed_over() {
        let mut seen = Vec::new();
        let mut note = |tag, _: &mut Reader<'_>| {
            seen.push(tag);
            Ok(false)
        };
        assert_eq!(read_tags(&mut Reader::new(&[2, 1, 2, 9, 9, 7, 0]), &mut note), Ok(()));
        assert_eq!(seen, [1, 7]);
        assert_eq!(
            read_tags(&mut Reader::new(&[2, 3, 0, 3, 0]), |_, _| Ok(false)),
            Err(BodyProblem::TagOrder { previous: 3, found: 3 })
        );
        assert_eq!(
            read_tags(&mut Reader::new(&[1, 0, 1, 5]), |_, _| Ok(true)),
            Err(BodyProblem::LeftOver { count: 1 })
        );
    }
}
