//! Looking for a record of a batch by its timestamp, without building any. Compressed records go through a
//! window, and are unpacked no further than needed.

use crate::types::{Offset, Timestamp};

use super::RecordError;
use super::batch::{BatchHeader, HEADER_LEN};
use super::bounds::Bounds;
use super::compression::{Codec, Decompressor};
use super::skim::{SliceSource, Source, WINDOW_BYTES, WindowSource, skim_record};

/// Which record is looked for: the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSearch {
    /// The lowest offset.
    pub from: Offset,
    /// The offset behind the highest one.
    pub upto: Offset,
    /// The lowest timestamp.
    pub timestamp: Timestamp,
}

/// A record that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundRecord {
    /// The record's offset, if the batch's base offset is assigned.
    pub offset: Offset,
    /// The producer's time, or the leader's where the batch says so.
    pub timestamp: Timestamp,
}

impl RecordSearch {
    /// Searches `batch`, one whole batch, within `bounds`. Its CRC is not checked, nor what is behind the
    /// record.
    ///
    /// # Errors
    /// The batch is broken up to there, or `bounds` do not suffice; [`Bounds::may_have_caused`] tells.
    pub fn find(self, batch: &[u8], bounds: Bounds) -> Result<Option<FoundRecord>, RecordError> {
        let header = BatchHeader::decode(batch)?;
        let packed = &batch[HEADER_LEN..];
        match header.attributes.compression()? {
            Codec::None => self.walk(&header, &mut SliceSource::new(packed)),
            codec => {
                let decompressor = Decompressor::new(codec, packed, bounds.unpacked_max)?;
                let mut window = vec![0; WINDOW_BYTES];
                self.walk(&header, &mut WindowSource::new(decompressor, &mut window))
            }
        }
    }

    fn walk(
        self,
        header: &BatchHeader,
        source: &mut impl Source,
    ) -> Result<Option<FoundRecord>, RecordError> {
        for index in 0..header.record_count {
            let shape = skim_record(source).map_err(|error| error.of_record(index))?;
            let offset = Offset(header.base_offset.0.wrapping_add(shape.offset_delta.into()));
            let timestamp = header.timestamp_of(shape.timestamp_delta);
            if self.from <= offset && offset < self.upto && self.timestamp <= timestamp {
                return Ok(Some(FoundRecord { offset, timestamp }));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::builder::{BatchBuilder, BatchFields};

    /// Records of a megabyte at offsets 10 to 13, with the timestamps 5, 9, 7 and 9.
    fn batch(codec: Codec) -> bytes::Bytes {
        let fields = BatchFields { base_offset: Offset(10), codec, ..BatchFields::default() };
        let mut builder = BatchBuilder::new(fields);
        for timestamp in [5, 9, 7, 9] {
            builder.append(Timestamp(timestamp), None, Some(&[0; 1 << 20]), &[]);
        }
        builder.build()
    }

    #[test]
    fn the_first_record_that_fits_is_found() {
        for codec in Codec::ALL {
            let batch = batch(codec);
            let find = |from, upto, timestamp| {
                let search =
                    RecordSearch { from: Offset(from), upto: Offset(upto), timestamp: Timestamp(timestamp) };
                let found = search.find(&batch, Bounds::WHOLE).unwrap();
                found.map(|found| (found.offset.0, found.timestamp.0))
            };
            assert_eq!(find(0, 99, 0), Some((10, 5)), "{codec}");
            assert_eq!(find(0, 99, 6), Some((11, 9)), "{codec}");
            assert_eq!(find(12, 99, 8), Some((13, 9)), "{codec}");
            assert_eq!(find(12, 13, 8), None, "{codec}");
            assert_eq!(find(0, 99, 10), None, "{codec}");
        }
    }

    #[test]
    fn no_more_is_unpacked_than_needed_and_allowed() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let batch = batch(codec);
            let find = |from| {
                RecordSearch { from: Offset(from), upto: Offset(99), timestamp: Timestamp(0) }
                    .find(&batch, Bounds::IN_TURN)
            };
            assert_eq!(find(10).unwrap().map(|found| found.offset), Some(Offset(10)), "{codec}");
            let error = find(13).unwrap_err();
            assert!(Bounds::IN_TURN.may_have_caused(&error), "{codec}: {error}");
        }
    }

    #[test]
    fn broken_records_are_errors() {
        let batch = batch(Codec::Zstd);
        let search = RecordSearch { from: Offset(13), upto: Offset(99), timestamp: Timestamp(0) };
        for cut in [1, 20] {
            let error = search.find(&batch[..batch.len() - cut], Bounds::WHOLE).unwrap_err();
            assert!(!Bounds::WHOLE.may_have_caused(&error), "{error}");
        }
        assert!(search.find(&batch[..HEADER_LEN - 1], Bounds::WHOLE).is_err());
    }
}
