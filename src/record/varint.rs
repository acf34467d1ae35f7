//! Kafka's variable-length integers: base 128, least significant group first, zig-zag for signed values.

/// The longest encoding of a 64-bit value.
pub(crate) const VARLONG_LEN_MAX: usize = 10;

/// Appends a signed 64-bit value; a 32-bit one has the same encoding.
pub(crate) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while 0x80 <= rest {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// How many bytes [`put_varlong`] appends.
pub(crate) fn varlong_len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads a signed 32-bit value from the front of `bytes`: the value and the bytes it took. `None` when
/// the bytes end too early or the value has more than five bytes.
pub(crate) fn read_varint(bytes: &[u8]) -> Option<(i32, usize)> {
    if let &[first, ..] = bytes
        && first < 0x80
    {
        return Some((i32::from(first >> 1) ^ -i32::from(first & 1), 1));
    }
    let mut raw: u32 = 0;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        raw |= u32::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some(((raw >> 1) as i32 ^ -((raw & 1) as i32), index + 1));
        }
    }
    None
}

/// Reads a signed 64-bit value from the front of `bytes`; see [`read_varint`].
pub(crate) fn read_varlong(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut raw: u64 = 0;
    for (index, &byte) in bytes.iter().take(VARLONG_LEN_MAX).enumerate() {
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some(((raw >> 1) as i64 ^ -((raw & 1) as i64), index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip_in_the_length_foretold() {
        let edges = [0, 1, -1, 63, 64, -64, -65, 8_191, 8_192, 1 << 33, i64::MAX, i64::MIN];
        for value in edges {
            let mut bytes = Vec::new();
            put_varlong(&mut bytes, value);
            assert_eq!(bytes.len(), varlong_len(value), "{value}");
            assert_eq!(read_varlong(&bytes), Some((value, bytes.len())));
            assert_eq!(read_varlong(&bytes[..bytes.len() - 1]), None);
            if let Ok(narrow) = i32::try_from(value) {
                assert_eq!(read_varint(&bytes), Some((narrow, bytes.len())));
            }
        }
        assert_eq!(read_varint(&[0xff; 6]), None);
        assert_eq!(read_varlong(&[0xff; 11]), None);
    }
}
