//! The transaction index of a segment (`.txnindex`): the aborted transactions whose marker is in it.

use crate::types::{Offset, ProducerId};

/// Bytes of an entry.
const ENTRY_LEN: usize = 34;

const VERSION: i16 = 0;

/// An aborted transaction (`AbortedTxn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AbortedTxn {
    pub(super) producer_id: ProducerId,
    /// The transaction's first record.
    pub(super) first_offset: Offset,
    /// The abort marker.
    pub(super) last_offset: Offset,
    /// The last stable offset when the marker was appended.
    pub(super) last_stable_offset: Offset,
}

impl AbortedTxn {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.producer_id.0.to_be_bytes());
        for offset in [self.first_offset, self.last_offset, self.last_stable_offset] {
            out.extend_from_slice(&offset.0.to_be_bytes());
        }
    }

    fn decode(entry: &[u8; ENTRY_LEN]) -> Option<Self> {
        let (version, fields) = entry.split_first_chunk()?;
        let field =
            |index: usize| fields.as_chunks::<8>().0.get(index).map(|bytes| i64::from_be_bytes(*bytes));
        (i16::from_be_bytes(*version) == VERSION).then_some(())?;
        Some(Self {
            producer_id: ProducerId(field(0)?),
            first_offset: Offset(field(1)?),
            last_offset: Offset(field(2)?),
            last_stable_offset: Offset(field(3)?),
        })
    }
}

/// The entries of an index; `None` for bytes that are not one.
pub(super) fn decode_entries(bytes: &[u8]) -> Option<Vec<AbortedTxn>> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_LEN>();
    rest.is_empty().then(|| entries.iter().map(AbortedTxn::decode).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_and_damage_shows() {
        let aborted = AbortedTxn {
            producer_id: ProducerId(7),
            first_offset: Offset(10),
            last_offset: Offset(12),
            last_stable_offset: Offset(9),
        };
        let mut bytes = Vec::new();
        aborted.encode(&mut bytes);
        assert_eq!(bytes.len(), ENTRY_LEN);
        assert_eq!(bytes[..10], [0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        aborted.encode(&mut bytes);
        assert_eq!(decode_entries(&bytes), Some(vec![aborted; 2]));
        assert_eq!(decode_entries(&bytes[1..]), None);
        bytes[1] = 9;
        assert_eq!(decode_entries(&bytes), None);
        assert_eq!(decode_entries(&[]), Some(vec![]));
    }
}
