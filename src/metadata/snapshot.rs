//! Snapshots of the metadata log, byte for byte as Kafka has them: `<end offset>-<epoch>.checkpoint`.
//!
//! A snapshot is a row of batches with offsets of their own, from zero: a control batch with the header,
//! the records of an image, a control batch with the footer. A file without its footer was not written to
//! its end. The caller writes the bytes to a temporary name, syncs, and renames: a snapshot is there
//! whole or not.

use std::fmt;

use bytes::Bytes;

use super::batch::{
    BatchPlace, ControlType, MetadataBatchError, SnapshotFooterRecord, SnapshotHeaderRecord, control_type_of,
    decode_control, decode_record, encode_control, encode_records, whole_batches,
};
use super::image::{ImageError, MetadataImage};
use super::records::MetadataRecord;
use crate::record::records::RecordIter;
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// Records in one batch of a snapshot; with records of typical size about 100 KiB.
const BATCH_RECORDS_MAX: usize = 1_024;

const FILE_SUFFIX: &str = ".checkpoint";

/// What a snapshot covers, and thereby its file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The first offset of the log that the snapshot does not cover.
    pub end_offset: Offset,
    /// The epoch of the last record it covers.
    pub epoch: LeaderEpoch,
}

impl SnapshotId {
    /// The id of a snapshot of `image`.
    pub fn of(image: &MetadataImage) -> Self {
        Self { end_offset: image.end_offset(), epoch: image.epoch() }
    }

    /// Reads a file name; `None` when it is not a snapshot's.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let (offset, epoch) = name.strip_suffix(FILE_SUFFIX)?.split_once('-')?;
        let digits =
            |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(offset, 20) || !digits(epoch, 10) {
            return None;
        }
        Some(Self { end_offset: Offset(offset.parse().ok()?), epoch: LeaderEpoch(epoch.parse().ok()?) })
    }
}

impl fmt::Display for SnapshotId {
    /// The file name (`Snapshots.filenameFromSnapshotId`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}{FILE_SUFFIX}", self.end_offset.0, self.epoch.0)
    }
}

/// Why bytes are not a whole snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A batch is broken.
    #[error(transparent)]
    Batch(#[from] MetadataBatchError),
    /// The records contradict each other.
    #[error("the records of the snapshot do not fit each other: {0}")]
    Image(#[from] ImageError),
    /// The first batch is not a header.
    #[error("the snapshot does not start with its header")]
    NoHeader,
    /// The last batch is not a footer: the file was not written to its end.
    #[error("the snapshot does not end with its footer")]
    NoFooter,
    /// Something follows the footer.
    #[error("the snapshot goes on after its footer")]
    AfterFooter,
}

/// The moments a snapshot carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotTimes {
    /// When the last record that the snapshot covers was appended.
    pub last_contained: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// The bytes of a snapshot of `image`, batch by batch. The image must not be inside of a transaction, whose
/// records a snapshot cannot hold.
pub fn encode(image: &MetadataImage, times: SnapshotTimes) -> impl Iterator<Item = Bytes> {
    assert!(!image.in_transaction(), "a snapshot at {} would cut a transaction in two", image.end_offset());
    let mut place = BatchPlace { base_offset: Offset::ZERO, epoch: image.epoch(), timestamp: times.now };
    let header = encode_control(
        place,
        ControlType::SnapshotHeader,
        &SnapshotHeaderRecord { version: 0, last_contained_log_timestamp: times.last_contained.0 },
    );
    place.base_offset += 1;
    let mut records = image.to_records().peekable();
    let mut footer_due = true;
    let rest = std::iter::from_fn(move || {
        if records.peek().is_none() {
            let footer =
                || encode_control(place, ControlType::SnapshotFooter, &SnapshotFooterRecord::default());
            return std::mem::take(&mut footer_due).then(footer);
        }
        let batch: Vec<MetadataRecord> = records.by_ref().take(BATCH_RECORDS_MAX).collect();
        let bytes = encode_records(place, &batch);
        place.base_offset += batch.len() as i64;
        Some(bytes)
    });
    std::iter::once(header).chain(rest)
}

/// A snapshot that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The image as of the snapshot's id.
    pub image: MetadataImage,
    /// When the last record that the snapshot covers was appended.
    pub last_contained: Timestamp,
}

/// Reads the whole file of the snapshot `id`. `cluster_id` is what `meta.properties` says: a snapshot
/// does not hold it.
pub fn decode(cluster_id: &str, id: SnapshotId, bytes: &Bytes) -> Result<Snapshot, SnapshotError> {
    let mut header: Option<SnapshotHeaderRecord> = None;
    let mut has_footer = false;
    let mut records = Vec::new();
    for batch in whole_batches(bytes) {
        let batch = RecordIter::new(&batch?).map_err(MetadataBatchError::from)?;
        if has_footer {
            return Err(SnapshotError::AfterFooter);
        }
        let is_control = batch.header().attributes.is_control();
        for record in batch {
            let record = record.map_err(MetadataBatchError::from)?;
            let control_type = if is_control { Some(control_type_of(&record)?) } else { None };
            if header.is_none() {
                if control_type != Some(ControlType::SnapshotHeader as i16) {
                    return Err(SnapshotError::NoHeader);
                }
                header = Some(decode_control(&record, ControlType::SnapshotHeader)?);
            } else if let Some(control_type) = control_type {
                // The voters, if any, are for whoever runs the quorum.
                has_footer |= control_type == ControlType::SnapshotFooter as i16;
            } else {
                records.push(decode_record(&record)?);
            }
        }
    }
    let header = header.ok_or(SnapshotError::NoHeader)?;
    if !has_footer {
        return Err(SnapshotError::NoFooter);
    }
    let image = MetadataImage::from_snapshot(cluster_id, &records, id.end_offset, id.epoch)?;
    Ok(Snapshot { image, last_contained: Timestamp(header.last_contained_log_timestamp) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::image::testing::random_image;
    use crate::types::Prng;

    const TIMES: SnapshotTimes = SnapshotTimes { last_contained: Timestamp(5), now: Timestamp(9) };

    fn encoded(image: &MetadataImage) -> Bytes {
        encode(image, TIMES).collect::<Vec<_>>().concat().into()
    }

    #[test]
    fn file_names_are_kafkas() {
        let id = SnapshotId { end_offset: Offset(1_234), epoch: LeaderEpoch(5) };
        assert_eq!(id.to_string(), "00000000000000001234-0000000005.checkpoint");
        assert_eq!(SnapshotId::from_file_name(&id.to_string()), Some(id));
        for other in
            ["1234-5.checkpoint", "00000000000000001234-0000000005.checkpoint.part", "bootstrap.checkpoint"]
        {
            assert_eq!(SnapshotId::from_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn snapshots_round_trip() {
        for seed in 0..30 {
            let image = random_image(&mut Prng::new(seed));
            let snapshot = decode("cluster", SnapshotId::of(&image), &encoded(&image)).unwrap();
            assert_eq!(snapshot, Snapshot { image, last_contained: Timestamp(5) }, "seed {seed}");
        }
    }

    #[test]
    fn a_snapshot_cut_anywhere_is_refused() {
        let image = random_image(&mut Prng::new(1));
        let bytes = encoded(&image);
        for len in 0..bytes.len() {
            assert!(decode("cluster", SnapshotId::of(&image), &bytes.slice(..len)).is_err(), "{len} bytes");
        }
        let id = SnapshotId::of(&image);
        let batches: Vec<_> = encode(&image, TIMES).collect();
        let without_footer = batches[..batches.len() - 1].concat();
        assert_eq!(decode("cluster", id, &without_footer.into()), Err(SnapshotError::NoFooter));
        assert_eq!(decode("cluster", id, &batches[1..].concat().into()), Err(SnapshotError::NoHeader));
        let twice = [bytes.clone(), bytes].concat();
        assert_eq!(decode("cluster", id, &twice.into()), Err(SnapshotError::AfterFooter));
    }
}
