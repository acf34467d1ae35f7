//! The fields a leader changes in a producer's bytes, in place.
//!
//! Every function takes one whole batch whose header was decoded before; a shorter slice is a bug of the
//! caller and panics.

use crate::types::{LeaderEpoch, Offset, Timestamp};

use super::{
    ATTRIBUTES_AT, Attributes, CRC_AT, LEADER_EPOCH_AT, MAX_TIMESTAMP_AT, TimestampType, compute_crc,
};

/// Assigns the offset of the first record. Outside of the CRC.
pub fn set_base_offset(batch: &mut [u8], offset: Offset) {
    put(batch, 0, offset.0.to_be_bytes());
}

/// Names the leader that assigned the offsets. Outside of the CRC.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    put(batch, LEADER_EPOCH_AT, epoch.0.to_be_bytes());
}

/// Gives all records of the batch the leader's time (`message.timestamp.type=LogAppendTime`) and
/// recomputes the CRC.
pub fn set_append_time(batch: &mut [u8], time: Timestamp) {
    set_timestamps(batch, TimestampType::LogAppendTime, time);
}

/// Corrects the max timestamp of a batch with the producer's times and recomputes the CRC.
pub fn set_max_timestamp(batch: &mut [u8], max_timestamp: Timestamp) {
    set_timestamps(batch, TimestampType::CreateTime, max_timestamp);
}

/// `DefaultRecordBatch.setMaxTimestamp`
fn set_timestamps(batch: &mut [u8], timestamp_type: TimestampType, max_timestamp: Timestamp) {
    let attributes = Attributes(i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]));
    put(batch, ATTRIBUTES_AT, attributes.with_timestamp_type(timestamp_type).0.to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, max_timestamp.0.to_be_bytes());
    let crc = compute_crc(batch);
    put(batch, CRC_AT, crc.to_be_bytes());
}

fn put<const LEN: usize>(batch: &mut [u8], at: usize, value: [u8; LEN]) {
    batch[at..at + LEN].copy_from_slice(&value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::batch::{BatchHeader, crc_matches};
    use crate::record::builder::{BatchBuilder, BatchFields};

    fn batch() -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchFields::default());
        builder.append(Timestamp(5), None, Some(b"value"), &[]);
        builder.build().to_vec()
    }

    #[test]
    fn offset_and_epoch_leave_the_crc_alone() {
        let mut batch = batch();
        set_base_offset(&mut batch, Offset(42));
        set_partition_leader_epoch(&mut batch, LeaderEpoch(7));
        let header = BatchHeader::decode(&batch).unwrap();
        assert_eq!((header.base_offset, header.partition_leader_epoch), (Offset(42), LeaderEpoch(7)));
        assert!(crc_matches(&batch));
    }

    #[test]
    fn append_time_replaces_the_producers_times() {
        let mut batch = batch();
        set_append_time(&mut batch, Timestamp(99));
        let header = BatchHeader::decode(&batch).unwrap();
        assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!((header.max_timestamp, header.timestamp_of(-3)), (Timestamp(99), Timestamp(99)));
        assert!(crc_matches(&batch));
    }
}
