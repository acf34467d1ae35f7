//! `.snapshot` files: the state of all producers at the offset in the file's name (`ProducerSnapshot`
//! version 1).
//!
//! Differs from Kafka: a producer with several retained batches has an entry for each, oldest first, where
//! Kafka writes the newest only. Kafka reads such a file as if it held the newest only; we recognise a
//! repetition of any of the five after a restart too.
//!
//! A snapshot is trusted because of its checksum, not because it was synced: one that is torn is skipped,
//! and an older one or the log itself is read instead.

use crate::types::{Offset, ProducerEpoch, ProducerId, Timestamp};

use super::entry::{BATCHES_RETAINED, BatchMetadata, ProducerEntry};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const ENTRIES_AT: usize = CRC_AT + 4;
const COUNT_LEN: usize = 4;
const ENTRY_LEN: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;

/// Why a snapshot file is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::log) enum SnapshotError {
    #[error("snapshot version {found}, expected {VERSION}")]
    UnknownVersion { found: i16 },
    #[error("snapshot has CRC {found:#010x}, its header says {expected:#010x}")]
    CrcMismatch { expected: u32, found: u32 },
    #[error("snapshot of {found} bytes, expected {expected}")]
    WrongLength { expected: usize, found: usize },
}

/// A snapshot of these producers, ordered by id.
pub(super) fn encode_snapshot<'a>(entries: impl Iterator<Item = (ProducerId, &'a ProducerEntry)>) -> Vec<u8> {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    let mut bytes = Vec::with_capacity(ENTRIES_AT + COUNT_LEN + entries.len() * BATCHES_RETAINED * ENTRY_LEN);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let count: usize = entries.iter().map(|(_, entry)| entry.batches().len().max(1)).sum();
    bytes.extend_from_slice(&(count as i32).to_be_bytes());
    for (id, entry) in entries {
        encode_entry(&mut bytes, id, entry);
    }
    let crc = crc32c::crc32c(&bytes[ENTRIES_AT..]);
    bytes[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn encode_entry(bytes: &mut Vec<u8>, id: ProducerId, entry: &ProducerEntry) {
    if entry.batches().is_empty() {
        let none = BatchMetadata {
            last_sequence: -1,
            last_offset: Offset::UNKNOWN,
            offset_delta: 0,
            timestamp: entry.last_timestamp,
        };
        encode_batch(bytes, id, entry, &none);
    }
    for batch in entry.batches() {
        encode_batch(bytes, id, entry, batch);
    }
}

fn encode_batch(bytes: &mut Vec<u8>, id: ProducerId, entry: &ProducerEntry, batch: &BatchMetadata) {
    bytes.extend_from_slice(&id.0.to_be_bytes());
    bytes.extend_from_slice(&entry.epoch.0.to_be_bytes());
    bytes.extend_from_slice(&batch.last_sequence.to_be_bytes());
    bytes.extend_from_slice(&batch.last_offset.0.to_be_bytes());
    bytes.extend_from_slice(&batch.offset_delta.to_be_bytes());
    bytes.extend_from_slice(&batch.timestamp.0.to_be_bytes());
    bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
    bytes.extend_from_slice(&entry.current_txn_first_offset.map_or(-1, |offset| offset.0).to_be_bytes());
}

/// Reads a snapshot, ours or Kafka's.
pub(in crate::log) fn decode_snapshot(
    bytes: &[u8],
) -> Result<Vec<(ProducerId, ProducerEntry)>, SnapshotError> {
    let wrong_length = |expected| SnapshotError::WrongLength { expected, found: bytes.len() };
    if bytes.len() < ENTRIES_AT + COUNT_LEN {
        return Err(wrong_length(ENTRIES_AT + COUNT_LEN));
    }
    let mut reader = Reader(bytes);
    let version = i16::from_be_bytes(reader.take());
    if version != VERSION {
        return Err(SnapshotError::UnknownVersion { found: version });
    }
    let expected = u32::from_be_bytes(reader.take());
    let found = crc32c::crc32c(&bytes[ENTRIES_AT..]);
    if expected != found {
        return Err(SnapshotError::CrcMismatch { expected, found });
    }
    let count = i32::from_be_bytes(reader.take());
    let entries_len = usize::try_from(count).ok().and_then(|count| count.checked_mul(ENTRY_LEN));
    if entries_len != Some(reader.0.len()) {
        return Err(wrong_length(ENTRIES_AT + COUNT_LEN + entries_len.unwrap_or(0)));
    }
    let mut producers: Vec<(ProducerId, ProducerEntry)> = Vec::new();
    for _ in 0..count {
        let (id, entry) = reader.entry();
        match (producers.last_mut(), entry.last_batch()) {
            (Some((last_id, last)), Some(batch)) if *last_id == id && last.epoch == entry.epoch => {
                last.add_batch(entry.epoch, *batch);
            }
            _ => producers.push((id, entry)),
        }
    }
    Ok(producers)
}

/// The rest of a snapshot whose length was checked.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const LEN: usize>(&mut self) -> [u8; LEN] {
        let (head, rest) = self.0.split_first_chunk().expect("the length was checked");
        self.0 = rest;
        *head
    }

    fn entry(&mut self) -> (ProducerId, ProducerEntry) {
        let id = ProducerId(i64::from_be_bytes(self.take()));
        let epoch = ProducerEpoch(i16::from_be_bytes(self.take()));
        let batch = BatchMetadata {
            last_sequence: i32::from_be_bytes(self.take()),
            last_offset: Offset(i64::from_be_bytes(self.take())),
            offset_delta: i32::from_be_bytes(self.take()),
            timestamp: Timestamp(i64::from_be_bytes(self.take())),
        };
        let mut entry = ProducerEntry::empty();
        entry.epoch = epoch;
        entry.last_timestamp = batch.timestamp;
        entry.coordinator_epoch = i32::from_be_bytes(self.take());
        let first_offset = i64::from_be_bytes(self.take());
        entry.current_txn_first_offset = (0 <= first_offset).then_some(Offset(first_offset));
        if Offset::ZERO <= batch.last_offset {
            entry.add_batch(epoch, batch);
        }
        (id, entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> ProducerEntry {
        let mut entry = ProducerEntry::empty();
        let batch = BatchMetadata {
            last_sequence: 7,
            last_offset: Offset(1_000),
            offset_delta: 2,
            timestamp: Timestamp(123),
        };
        entry.add_batch(ProducerEpoch(4), batch);
        entry.current_txn_first_offset = Some(Offset(990));
        entry
    }

    #[test]
    fn snapshots_round_trip() {
        let mut ended = ProducerEntry::empty();
        ended.end_transaction(ProducerEpoch(1), 5, Timestamp(9));
        let mut several = entry();
        for last_sequence in [9, 12] {
            let last_offset = Offset(1_000 + i64::from(last_sequence));
            let batch =
                BatchMetadata { last_sequence, last_offset, offset_delta: 1, timestamp: Timestamp(124) };
            several.add_batch(ProducerEpoch(4), batch);
        }
        let entries = [(ProducerId(1), ended), (ProducerId(2), entry()), (ProducerId(3), several)];
        let bytes = encode_snapshot(entries.iter().rev().map(|(id, entry)| (*id, entry)));
        assert_eq!(decode_snapshot(&bytes), Ok(entries.to_vec()));
        assert_eq!(decode_snapshot(&encode_snapshot([].into_iter())), Ok(Vec::new()));
    }

    #[test]
    fn every_damaged_byte_is_found() {
        let bytes = encode_snapshot([(ProducerId(2), &entry())].into_iter());
        assert_eq!(bytes.len(), ENTRIES_AT + COUNT_LEN + ENTRY_LEN);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(decode_snapshot(&damaged).is_err(), "byte {at}");
            assert!(decode_snapshot(&bytes[..at]).is_err(), "length {at}");
        }
        assert!(decode_snapshot(&[]).is_err());
    }
}
