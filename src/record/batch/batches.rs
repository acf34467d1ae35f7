//! Walking from batch to batch.

use crate::record::RecordError;

use super::{BatchHeader, LOG_OVERHEAD};

/// The batches that stand one behind the other in a slice. Ends after the first error; bytes that end
/// inside a batch are the error [`RecordError::Truncated`]. CRCs are not checked.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Batches<'a> {
    /// Walks over `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Where the next batch starts; after an error, where the broken one does.
    pub fn position(&self) -> usize {
        self.position
    }

    fn decode_at(&self, rest: &'a [u8]) -> Result<(usize, BatchHeader, &'a [u8]), RecordError> {
        let header = BatchHeader::decode(rest).map_err(|error| match error {
            RecordError::Truncated { expected, found, .. } => {
                // With the length at hand, the reader learns how much to read to go on.
                let expected = claimed_len(rest).unwrap_or(expected);
                RecordError::Truncated { position: self.position, expected, found }
            }
            other => other,
        })?;
        match rest.get(..header.total_len()) {
            Some(batch) => Ok((self.position, header, batch)),
            None => Err(RecordError::Truncated {
                position: self.position,
                expected: header.total_len(),
                found: rest.len(),
            }),
        }
    }
}

/// What the length field says, when it is there and can be true.
fn claimed_len(rest: &[u8]) -> Option<usize> {
    let (_, length) = rest.get(..LOG_OVERHEAD)?.split_last_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    (super::HEADER_LEN <= LOG_OVERHEAD + length).then_some(LOG_OVERHEAD + length)
}

impl<'a> Iterator for Batches<'a> {
    /// The batch's position, its header and its bytes.
    type Item = Result<(usize, BatchHeader, &'a [u8]), RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.position..).filter(|rest| !rest.is_empty())?;
        let item = self.decode_at(rest);
        match &item {
            Ok((_, _, batch)) => self.position += batch.len(),
            Err(_) => self.bytes = &[],
        }
        Some(item)
    }
}

impl std::iter::FusedIterator for Batches<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::builder::{BatchBuilder, BatchFields};
    use crate::types::{Offset, Timestamp};

    fn two_batches() -> Vec<u8> {
        let mut bytes = Vec::new();
        for base_offset in [0, 2] {
            let mut builder =
                BatchBuilder::new(BatchFields { base_offset: Offset(base_offset), ..BatchFields::default() });
            builder.append(Timestamp(1), Some(b"k"), Some(b"v"), &[]);
            builder.append(Timestamp(2), None, None, &[]);
            bytes.extend_from_slice(&builder.build());
        }
        bytes
    }

    #[test]
    fn walks_whole_batches() {
        let bytes = two_batches();
        let seen: Vec<_> = Batches::new(&bytes)
            .map(|item| item.unwrap())
            .map(|(at, header, _)| (at, header.base_offset.0))
            .collect();
        assert_eq!(seen, [(0, 0), (bytes.len() / 2, 2)]);
        assert!(Batches::new(&[]).next().is_none());
    }

    #[test]
    fn partial_last_batch_is_an_error_that_tells_its_length() {
        let bytes = two_batches();
        let half = bytes.len() / 2;
        for cut in half + LOG_OVERHEAD..bytes.len() {
            let mut batches = Batches::new(&bytes[..cut]);
            assert!(batches.next().unwrap().is_ok());
            let expected = RecordError::Truncated { position: half, expected: half, found: cut - half };
            assert_eq!(batches.next(), Some(Err(expected)), "cut at {cut}");
            assert_eq!(batches.position(), half);
            assert!(batches.next().is_none());
        }
    }
}
