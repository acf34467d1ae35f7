//! Reading of a record only what rules and lookups ask for, without building it.

use crate::record::RecordError;
use crate::record::compression::Decompressor;
use crate::record::varint::{VARLONG_LEN_MAX, read_varint, read_varlong};

/// What is asked of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordShape {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) has_key: bool,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SkimError {
    /// The record breaks a rule of the format.
    Malformed(&'static str),
    /// The compressed bytes do, or their bound is reached.
    Unpack(RecordError),
}

/// How much of compressed records is unpacked at a time.
pub(super) const WINDOW_BYTES: usize = 64 * 1024;

const CUT: SkimError = SkimError::Malformed("its bytes end early");
const BAD_INTEGER: SkimError = SkimError::Malformed("a variable-length integer is broken");

impl SkimError {
    /// The error of the record with this index.
    pub(super) fn of_record(self, index: i32) -> RecordError {
        match self {
            Self::Malformed(what) => RecordError::MalformedRecord { index: index as usize, what },
            Self::Unpack(error) => error,
        }
    }
}

/// Record bytes, one behind the other.
pub(super) trait Source {
    fn varint(&mut self) -> Result<i32, SkimError>;
    fn varlong(&mut self) -> Result<i64, SkimError>;
    fn skip(&mut self, count: usize) -> Result<(), SkimError>;
    /// Bytes taken since the start.
    fn position(&self) -> usize;
    /// Whether no byte is left.
    fn is_at_end(&mut self) -> Result<bool, SkimError>;
}

/// Reads the next record: `DefaultRecord.readPartiallyFrom`, and the check of the length that Kafka makes
/// for uncompressed records only.
pub(super) fn skim_record(source: &mut impl Source) -> Result<RecordShape, SkimError> {
    let len = source.varint()?;
    let len = usize::try_from(len).map_err(|_| SkimError::Malformed("its length is negative"))?;
    let end = source.position() + len;
    // The record's attributes have no meaning.
    source.skip(1)?;
    let timestamp_delta = source.varlong()?;
    let offset_delta = source.varint()?;
    let has_key = skip_field(source)?;
    skip_field(source)?;
    skim_headers(source, end)?;
    if source.position() != end {
        return Err(SkimError::Malformed("its length is not that of its fields"));
    }
    Ok(RecordShape { timestamp_delta, offset_delta, has_key })
}

fn skim_headers(source: &mut impl Source, end: usize) -> Result<(), SkimError> {
    let count = source.varint()?;
    if count == 0 {
        return Ok(());
    }
    let count = usize::try_from(count).map_err(|_| SkimError::Malformed("its header count is negative"))?;
    if end.saturating_sub(source.position()) < count {
        return Err(SkimError::Malformed("its headers do not fit in"));
    }
    for _ in 0..count {
        if !skip_field(source)? {
            return Err(SkimError::Malformed("a header has no key"));
        }
        skip_field(source)?;
    }
    Ok(())
}

/// Skips a length and as many bytes; false when the length is negative, which means null.
fn skip_field(source: &mut impl Source) -> Result<bool, SkimError> {
    let Ok(len) = usize::try_from(source.varint()?) else { return Ok(false) };
    source.skip(len)?;
    Ok(true)
}

/// Uncompressed records.
#[derive(Debug)]
pub(super) struct SliceSource<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> SliceSource<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }
}

impl Source for SliceSource<'_> {
    fn varint(&mut self) -> Result<i32, SkimError> {
        let (value, len) = read_varint(&self.bytes[self.position..]).ok_or(BAD_INTEGER)?;
        self.position += len;
        Ok(value)
    }

    fn varlong(&mut self) -> Result<i64, SkimError> {
        let (value, len) = read_varlong(&self.bytes[self.position..]).ok_or(BAD_INTEGER)?;
        self.position += len;
        Ok(value)
    }

    fn skip(&mut self, count: usize) -> Result<(), SkimError> {
        if self.bytes.len() - self.position < count {
            return Err(CUT);
        }
        self.position += count;
        Ok(())
    }

    fn position(&self) -> usize {
        self.position
    }

    fn is_at_end(&mut self) -> Result<bool, SkimError> {
        Ok(self.position == self.bytes.len())
    }
}

/// Compressed records, unpacked through a window that is much smaller than they may be.
#[derive(Debug)]
pub(super) struct WindowSource<'a> {
    decompressor: Decompressor<'a>,
    window: &'a mut [u8],
    /// The unread bytes of the window.
    start: usize,
    end: usize,
    position: usize,
}

impl<'a> WindowSource<'a> {
    pub(super) fn new(decompressor: Decompressor<'a>, window: &'a mut [u8]) -> Self {
        assert!(VARLONG_LEN_MAX <= window.len(), "the window holds an integer");
        Self { decompressor, window, start: 0, end: 0, position: 0 }
    }

    /// Unpacks until the window holds a whole integer, or the end is reached.
    fn fill(&mut self) -> Result<(), SkimError> {
        self.window.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < VARLONG_LEN_MAX {
            match self.unpack()? {
                0 => break,
                len => self.end += len,
            }
        }
        Ok(())
    }

    /// Unpacks behind the unread bytes.
    fn unpack(&mut self) -> Result<usize, SkimError> {
        self.decompressor.read(&mut self.window[self.end..]).map_err(SkimError::Unpack)
    }

    fn unread(&mut self) -> Result<&[u8], SkimError> {
        if self.end - self.start < VARLONG_LEN_MAX {
            self.fill()?;
        }
        Ok(&self.window[self.start..self.end])
    }

    fn take(&mut self, len: usize) {
        self.start += len;
        self.position += len;
    }
}

impl Source for WindowSource<'_> {
    fn varint(&mut self) -> Result<i32, SkimError> {
        let (value, len) = read_varint(self.unread()?).ok_or(BAD_INTEGER)?;
        self.take(len);
        Ok(value)
    }

    fn varlong(&mut self) -> Result<i64, SkimError> {
        let (value, len) = read_varlong(self.unread()?).ok_or(BAD_INTEGER)?;
        self.take(len);
        Ok(value)
    }

    fn skip(&mut self, count: usize) -> Result<(), SkimError> {
        let mut left = count;
        loop {
            let len = left.min(self.end - self.start);
            self.take(len);
            left -= len;
            if left == 0 {
                return Ok(());
            }
            (self.start, self.end) = (0, 0);
            self.end = self.unpack()?;
            if self.end == 0 {
                return Err(CUT);
            }
        }
    }

    fn position(&self) -> usize {
        self.position
    }

    fn is_at_end(&mut self) -> Result<bool, SkimError> {
        if self.start == self.end {
            self.fill()?;
        }
        Ok(self.start == self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::compression::{Codec, compress};

    /// Length 9, timestamp delta 1, offset delta 0, key "k", value of one byte, no headers.
    const RECORD: [u8; 9] = [16, 0, 2, 0, 2, b'k', 2, b'v', 0];

    fn skim(bytes: &[u8]) -> Result<RecordShape, SkimError> {
        skim_record(&mut SliceSource::new(bytes))
    }

    #[test]
    fn shape_of_a_record() {
        let shape = RecordShape { timestamp_delta: 1, offset_delta: 0, has_key: true };
        assert_eq!(skim(&RECORD), Ok(shape));
        assert_eq!(skim(&RECORD[..8]), Err(BAD_INTEGER));
        let mut longer = RECORD;
        longer[0] += 2;
        assert_eq!(skim(&longer), Err(SkimError::Malformed("its length is not that of its fields")));
        assert_eq!(skim(&[1]), Err(SkimError::Malformed("its length is negative")));
    }

    #[test]
    fn a_small_window_reads_what_a_slice_reads() {
        let mut bytes = RECORD.to_vec();
        let mut value = vec![0, 0, 4, 1];
        crate::record::varint::put_varlong(&mut value, 5_000);
        value.extend(std::iter::repeat_n(7, 5_000));
        value.push(0);
        crate::record::varint::put_varlong(&mut bytes, value.len() as i64);
        bytes.extend_from_slice(&value);
        bytes.extend_from_slice(&RECORD);
        for codec in Codec::ALL {
            let mut packed = Vec::new();
            compress(codec, codec.default_level(), &bytes, &mut packed);
            for window in [10, 11, 64, 8_192] {
                let mut window = vec![0; window];
                let decompressor = Decompressor::new(codec, &packed, 10_000).unwrap();
                let mut windowed = WindowSource::new(decompressor, &mut window);
                let mut sliced = SliceSource::new(&bytes);
                for _ in 0..3 {
                    assert!(!windowed.is_at_end().unwrap());
                    assert_eq!(skim_record(&mut windowed).unwrap(), skim_record(&mut sliced).unwrap());
                    assert_eq!(windowed.position(), sliced.position());
                }
                assert!(windowed.is_at_end().unwrap());
                assert!(skim_record(&mut windowed).is_err());
            }
        }
    }
}
