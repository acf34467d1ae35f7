//! What a group coordinator has in its log: batches of its decisions, and their replay when it is loaded.

use bytes::Bytes;

use crate::group::GroupCoordinator;
use crate::group::records::{EncodedRecord, GroupRecord};
use crate::record::RecordError;
use crate::record::batch::{Batches, crc_matches};
use crate::record::builder::{BatchBuilder, BatchFields};
use crate::record::compression::Codec;
use crate::record::records::RecordIter;
use crate::rt::task;
use crate::shard::partition::Partition;
use crate::types::{Offset, Timestamp};

/// Bytes of the log that are read at a time while a coordinator loads.
const LOAD_BYTES: usize = 4 << 20;

/// Why a coordinator cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("{0}")]
    Read(#[from] crate::log::ReadError),
    #[error("offset {offset}: {error}")]
    Batch { offset: Offset, error: RecordError },
    #[error("the batch at offset {0} fails its CRC")]
    Crc(Offset),
}

/// One batch with what a coordinator decided.
pub(super) fn build_batch(codec: Codec, timestamp: Timestamp, records: &[EncodedRecord]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchFields { codec, ..BatchFields::default() });
    for record in records {
        builder.append(timestamp, Some(&record.key), record.value.as_deref(), &[]);
    }
    builder.build()
}

/// Replays the log from its start up to `end`.
pub(super) async fn replay_log(
    partition: &Partition,
    end: Offset,
    coordinator: &mut GroupCoordinator,
) -> Result<(), LoadError> {
    let mut next = partition.log.log_start_offset();
    while next < end {
        let read = partition.log.read(next, end, LOAD_BYTES, true).await?;
        let bytes = match &read.chunks[..] {
            [one] => one.clone(),
            many => Bytes::from(many.concat()),
        };
        let from = next;
        for batch in Batches::new(&bytes) {
            let (position, header, batch) = match batch {
                Ok(batch) => batch,
                // The last batch of a read may be cut short.
                Err(_) if from < next => break,
                Err(error) => return Err(LoadError::Batch { offset: next, error }),
            };
            if !crc_matches(batch) {
                return Err(LoadError::Crc(header.base_offset));
            }
            if !header.attributes.is_control() {
                let batch = bytes.slice(position..position + batch.len());
                replay_batch(partition, &batch, next, coordinator)?;
            }
            next = next.max(header.next_offset());
        }
        if next == from {
            // Compaction may leave nothing at the end of the log.
            break;
        }
        task::yield_if_needed().await;
    }
    Ok(())
}

fn replay_batch(
    partition: &Partition,
    batch: &Bytes,
    from: Offset,
    coordinator: &mut GroupCoordinator,
) -> Result<(), LoadError> {
    let broken = |error| LoadError::Batch { offset: from, error };
    for record in RecordIter::new(batch).map_err(broken)? {
        let record = record.map_err(broken)?;
        if record.offset < from {
            continue;
        }
        match GroupRecord::decode(record.key, record.value) {
            Ok(decoded) => coordinator.replay(record.offset, decoded),
            Err(error) => {
                let (tp, offset) = (&partition.name, record.offset);
                tracing::error!(target: "group", %tp, %offset, %error, "unreadable record skipped");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_what_was_decided() {
        let record = GroupRecord::GroupMetadata { group_id: "g".to_owned(), value: None };
        for codec in [Codec::None, Codec::Zstd] {
            let batch = build_batch(codec, Timestamp(5), &[record.encode(), record.encode()]);
            assert!(crc_matches(&batch));
            let records: Vec<_> = RecordIter::new(&batch).unwrap().map(Result::unwrap).collect();
            assert_eq!(records.len(), 2);
            let decoded = GroupRecord::decode(records[1].key.clone(), records[1].value.clone());
            assert_eq!(decoded, Ok(record.clone()));
        }
    }
}
