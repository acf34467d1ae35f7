//! When a record was due, written into the record: what end-to-end latency is measured by.
//!
//! The value of the first record of each batch begins with the moment its request was due, in nanoseconds
//! since 1970 by the wall clock, big endian. Whoever reads it on the same host knows how long it took.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};

use crate::record::batch::compute_crc;
use crate::record::records::RecordIter;

/// Bytes of a stamp; a record that takes one has a value at least as long.
pub(super) const STAMP_LEN: usize = 8;

/// Where a batch's CRC is.
const CRC_AT: usize = 17;

/// A stamp further away from now than this is none: the records were not written by `bench produce --stamp`.
const AGE_NANOS_MAX: i128 = 3_600_000_000_000;

/// Where an encoded request has stamps.
#[derive(Debug, Clone)]
pub(super) struct StampPlaces {
    /// Where each batch begins.
    batches_at: Vec<usize>,
    batch_len: usize,
    /// Within each batch.
    stamp_at: usize,
}

impl StampPlaces {
    /// Finds every copy of `batch` in `body`.
    pub(super) fn find(body: &[u8], batch: &Bytes) -> Self {
        let mut batches_at = Vec::new();
        let mut at = 0;
        while at + batch.len() <= body.len() {
            if body[at..].starts_with(batch) {
                batches_at.push(at);
                at += batch.len();
            } else {
                at += 1;
            }
        }
        let value = first_value(batch).expect("the batch was just built, with a value");
        let stamp_at = value.as_ptr() as usize - batch.as_ptr() as usize;
        assert!(stamp_at + STAMP_LEN <= batch.len(), "a value of {} bytes has a stamp", value.len());
        Self { batches_at, batch_len: batch.len(), stamp_at }
    }

    /// A copy of `body` that says that it was due at `due`.
    pub(super) fn stamped(&self, body: &Bytes, due: Instant) -> Bytes {
        let stamp = (nanos_of(due) as u64).to_be_bytes();
        let mut body = BytesMut::from(&body[..]);
        for &at in &self.batches_at {
            let batch = &mut body[at..at + self.batch_len];
            batch[self.stamp_at..self.stamp_at + STAMP_LEN].copy_from_slice(&stamp);
            let crc = compute_crc(batch);
            batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        }
        body.freeze()
    }
}

/// Microseconds from when `batch` was due until `now`; `None` when it carries no stamp.
pub(super) fn micros_since_due(batch: &Bytes, now: Instant) -> Option<u64> {
    let value = first_value(batch)?;
    let due = u64::from_be_bytes(*value.first_chunk::<STAMP_LEN>()?);
    let age = nanos_of(now) - i128::from(due);
    (age.abs() <= AGE_NANOS_MAX).then_some((age.max(0) / 1_000) as u64)
}

fn first_value(batch: &Bytes) -> Option<Bytes> {
    RecordIter::new(batch).ok()?.next()?.ok()?.value
}

/// A moment by the wall clock.
fn nanos_of(moment: Instant) -> i128 {
    let (wall, monotonic) = (SystemTime::now(), Instant::now());
    let now = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
    let ago = monotonic.saturating_duration_since(moment).as_nanos() as i128;
    let ahead = moment.saturating_duration_since(monotonic).as_nanos() as i128;
    now - ago + ahead
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::batch::crc_matches;
    use crate::record::builder::{BatchBuilder, BatchFields};
    use crate::types::Timestamp;

    fn batch(value: &[u8]) -> Bytes {
        let mut builder = BatchBuilder::new(BatchFields::default());
        (0..3).for_each(|_| builder.append(Timestamp(1), None, Some(value), &[]));
        builder.build()
    }

    #[test]
    fn a_stamped_request_says_when_it_was_due() {
        let batch = batch(&[b'x'; 20]);
        let body = Bytes::from([b"head", &batch[..], b"between", &batch[..]].concat());
        let places = StampPlaces::find(&body, &batch);
        let due = Instant::now() - Duration::from_millis(250);
        let stamped = places.stamped(&body, due);
        assert_eq!(stamped.len(), body.len());
        for at in [4, 4 + batch.len() + 7] {
            let found = stamped.slice(at..at + batch.len());
            assert!(crc_matches(&found));
            let micros = micros_since_due(&found, Instant::now()).unwrap();
            assert!((250_000..60_000_000).contains(&micros), "{micros}");
        }
        assert_eq!(stamped[..4], body[..4]);
    }

    #[test]
    fn records_of_others_have_no_stamp() {
        for value in [&[b'x'; 20][..], b"short", b""] {
            assert_eq!(micros_since_due(&batch(value), Instant::now()), None);
        }
        assert_eq!(micros_since_due(&Bytes::from_static(b"no batch"), Instant::now()), None);
    }
}
