//! The log on a disk in memory: the stories that unit tests of its parts do not tell.

use std::cell::Cell;
use std::path::Path;

use bytes::Bytes;

use crate::disk::WriteSync;
use crate::disk::memory::{FaultPlan, MemoryDisk, block_on};
use crate::record::batch::{BatchHeader, Batches, TimestampType};
use crate::record::builder::{BatchBuilder, BatchFields};
use crate::record::compression::Codec;
use crate::types::{
    LeaderEpoch, Offset, Prng, ProducerEpoch, ProducerId, Timestamp, TopicName, TopicPartition, Uuid,
};

use super::*;

pub(super) const PARENT: &str = "/logs";
pub(super) const NOW: Timestamp = Timestamp(1_000_000);

fn topic_partition() -> TopicPartition {
    TopicPartition { topic: TopicName::new("orders").unwrap(), partition: 3 }
}

fn env(disk: &MemoryDisk) -> LogEnv<MemoryDisk> {
    LogEnv::new(disk.clone(), EnvConfig { cache_bytes: 1 << 20, open_files: 4, sends_files: true, seed: 1 })
}

pub(super) fn small() -> LogConfig {
    LogConfig { segment_bytes: 16 * 1024, index_interval_bytes: 512, ..LogConfig::default() }
}

pub(super) fn create(disk: &MemoryDisk, config: LogConfig) -> Log<MemoryDisk> {
    let create = Log::create(env(disk), Path::new(PARENT), topic_partition(), Uuid(77), config, NOW);
    block_on(create).unwrap()
}

pub(super) fn batch(records: i32, value_len: usize, fields: BatchFields) -> Bytes {
    let mut builder = BatchBuilder::new(fields);
    for record in 0..records {
        let timestamp = Timestamp(NOW.0 + i64::from(record));
        builder.append(timestamp, None, Some(&vec![record as u8; value_len]), &[]);
    }
    builder.build()
}

fn context() -> AppendContext {
    AppendContext { leader_epoch: LeaderEpoch(4), origin: AppendOrigin::Client, now: NOW }
}

pub(super) fn append(log: &Log<MemoryDisk>, batch: &[u8]) -> Result<AppendInfo, AppendError> {
    let header = BatchHeader::decode(batch).unwrap();
    let batch = BatchToAppend { header, bytes: batch, append_time: None, is_crc_checked: false };
    log.append(&[batch], context())
}

/// All batches from `from` on, read in pieces of `max_bytes`: base offset, records.
pub(super) fn read_all(log: &Log<MemoryDisk>, from: Offset, max_bytes: usize) -> Vec<(i64, i32)> {
    let end = log.written_end_offset();
    let (mut next, mut found) = (from, Vec::new());
    while next < end {
        let outcome = block_on(log.read(next, end, max_bytes, true)).unwrap();
        let bytes = outcome.chunks.concat();
        assert_eq!(bytes.len(), outcome.bytes);
        let before = next;
        for item in Batches::new(&bytes).map_while(Result::ok) {
            let (_, header, batch) = item;
            assert!(crate::record::batch::crc_matches(batch));
            assert_eq!(header.partition_leader_epoch, LeaderEpoch(4));
            found.push((header.base_offset.0, header.record_count));
            next = header.next_offset();
        }
        assert!(before < next, "a read makes progress");
    }
    found
}

#[test]
fn what_is_appended_is_read() {
    for seed in 0..30 {
        let mut prng = Prng::new(seed);
        let disk =
            MemoryDisk::new(seed, FaultPlan { turns_max: 3, short_write_in: 3, ..FaultPlan::default() });
        let log = create(&disk, small());
        let (mut expected, mut end) = (Vec::new(), 0);
        for _ in 0..100 {
            let records = 1 + prng.below(5) as i32;
            let value_len = [10, 100, 2_000][prng.below(3) as usize];
            let info = append(&log, &batch(records, value_len, BatchFields::default())).unwrap();
            assert_eq!((info.base_offset.0, info.last_offset.0), (end, end + i64::from(records) - 1));
            expected.push((end, records));
            end += i64::from(records);
            if prng.chance(1, 3) {
                let want = if prng.chance(1, 2) { WriteSync::Data } else { WriteSync::None };
                let outcome = block_on(log.flush(want)).unwrap();
                assert_eq!(outcome.written_end_offset, Offset(end));
                assert!(want == WriteSync::None || outcome.synced_end_offset == Offset(end));
                assert!(!log.has_staged());
            }
            if prng.chance(1, 20) {
                log.release_idle();
            }
            if prng.chance(1, 20) {
                block_on(log.checkpoint()).unwrap();
                assert_eq!(log.synced_end_offset(), Offset(end));
            }
        }
        block_on(log.flush(WriteSync::None)).unwrap();
        for max_bytes in [1, 500, 1 << 20] {
            assert_eq!(read_all(&log, Offset::ZERO, max_bytes), expected, "seed {seed}");
        }
        let middle = expected[expected.len() / 2].0;
        assert_eq!(read_all(&log, Offset(middle), 4_096), expected[expected.len() / 2..]);
        assert!(3 < log.segment_count());
    }
}

#[test]
fn a_read_stops_at_its_bound() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk, LogConfig::default());
    for _ in 0..10 {
        append(&log, &batch(2, 10, BatchFields::default())).unwrap();
    }
    block_on(log.flush(WriteSync::None)).unwrap();
    let one = batch(2, 10, BatchFields::default()).len();
    let read = |from, upto, max, min_one| {
        block_on(log.read(Offset(from), Offset(upto), max, min_one)).map(|outcome| outcome.bytes)
    };
    assert_eq!(read(0, 20, 1 << 20, false), Ok(10 * one));
    assert_eq!(read(0, 6, 1 << 20, false), Ok(3 * one));
    assert_eq!(read(1, 6, 1 << 20, false), Ok(3 * one), "the whole batch that holds the offset");
    assert_eq!(read(6, 6, 1 << 20, true), Ok(0));
    assert_eq!(read(20, 20, 1 << 20, true), Ok(0));
    assert_eq!(read(0, 20, one + 7, false), Ok(one + 7), "the last batch is cut, as in Kafka");
    assert_eq!(read(0, 20, one - 1, false), Ok(0));
    assert_eq!(read(0, 20, one - 1, true), Ok(one));
    assert!(matches!(read(21, 30, 1, true), Err(ReadError::OutOfRange { .. })));
    assert!(matches!(read(-1, 30, 1, true), Err(ReadError::OutOfRange { .. })));
    append(&log, &batch(2, 10, BatchFields::default())).unwrap();
    for staged in [20, 21, 22] {
        assert_eq!(read(staged, 20, 1, true), Ok(0), "{staged} is in the log, but not to be read yet");
    }
    assert!(matches!(read(23, 20, 1, true), Err(ReadError::OutOfRange { .. })));
    assert_eq!(log.bytes_available(Offset(0), Offset(20)), 10 * one as u64);
    assert_eq!(log.bytes_available(Offset(20), Offset(20)), 0);
}

#[test]
fn duplicates_are_answered_and_broken_batches_refused() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk, LogConfig::default());
    let fields = |base_sequence| BatchFields {
        producer_id: ProducerId(5),
        producer_epoch: ProducerEpoch(0),
        base_sequence,
        ..BatchFields::default()
    };
    let first = append(&log, &batch(3, 10, fields(0))).unwrap();
    assert!(!first.duplicate);
    assert_eq!(
        append(&log, &batch(3, 10, fields(0))),
        Ok(AppendInfo { duplicate: true, log_append_time: Timestamp(NOW.0 + 2), ..first })
    );
    assert!(matches!(append(&log, &batch(1, 10, fields(4))), Err(AppendError::OutOfOrderSequence { .. })));
    let mut broken = batch(1, 10, fields(3)).to_vec();
    *broken.last_mut().unwrap() ^= 1;
    assert!(matches!(append(&log, &broken), Err(AppendError::CorruptBatch { index: 0, .. })));
    assert_eq!(append(&log, &batch(1, 10, fields(3))).unwrap().base_offset, Offset(3));
    block_on(log.flush(WriteSync::Data)).unwrap();
    assert_eq!(read_all(&log, Offset::ZERO, 1 << 20), [(0, 3), (3, 1)]);
    assert_eq!(log.active_producers(), [ProducerId(5)]);
}

#[test]
fn a_failed_write_ends_writing_but_not_reading() {
    for plan in [
        FaultPlan { space_bytes: Some(12 * 1024), ..FaultPlan::default() },
        FaultPlan { eio_on_op: Some(15), ..FaultPlan::default() },
        FaultPlan { sync_failure_on: Some(3), ..FaultPlan::default() },
    ] {
        let disk = MemoryDisk::new(1, plan);
        let log = create(&disk, LogConfig::default());
        let mut acknowledged = 0;
        for round in 0.. {
            append(&log, &batch(1, 1_000, BatchFields::default())).unwrap();
            let flushed = block_on(async {
                log.flush(WriteSync::None).await?;
                log.flush(WriteSync::Data).await
            });
            match flushed {
                Ok(outcome) => acknowledged = outcome.synced_end_offset.0,
                Err(_) => break,
            }
            assert!(round < 100, "the disk fails");
        }
        assert!(matches!(
            append(&log, &batch(1, 10, BatchFields::default())),
            Err(AppendError::Offline { .. })
        ));
        assert!(matches!(block_on(log.flush(WriteSync::Data)), Err(LogError::Offline { .. })));
        assert!(!log.has_staged());
        let end = log.written_end_offset();
        assert!(Offset(acknowledged) <= end && end == log.staged_end_offset());
        assert_eq!(read_all(&log, Offset::ZERO, 1 << 20).len() as i64, end.0);
    }
}

#[test]
fn a_directory_of_another_topic_is_not_taken_over() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    drop(filled(&disk, 3));
    let create = |topic_id| {
        let config = LogConfig::default();
        block_on(Log::create(env(&disk), Path::new(PARENT), topic_partition(), topic_id, config, NOW))
    };
    let Err(LogError::Corrupt { file, reason, .. }) = create(Uuid(78)) else { panic!("it is refused") };
    assert_eq!(file, Path::new(PARENT).join("orders-3/partition.metadata"));
    assert!(reason.contains(&Uuid(77).to_string()) && reason.contains(&Uuid(78).to_string()), "{reason}");
    let (log, _) = reopen(&disk, small(), unclean(0));
    assert_eq!((log.topic_id(), log.staged_end_offset()), (Uuid(77), Offset(6)));
    assert!(create(Uuid(77)).is_ok(), "a creation that was interrupted is taken up again");
}

pub(super) fn reopen(
    disk: &MemoryDisk,
    config: LogConfig,
    with: OpenWith,
) -> (Log<MemoryDisk>, RecoveryReport) {
    let open = Log::open(env(disk), Path::new(PARENT), topic_partition(), config, with, NOW);
    block_on(open).unwrap()
}

pub(super) fn unclean(recovery_point: i64) -> OpenWith {
    OpenWith {
        clean: false,
        recovery_point: Offset(recovery_point),
        log_start_offset: Offset::ZERO,
        is_journaled: false,
    }
}

pub(super) fn idempotent(base_sequence: i32) -> BatchFields {
    BatchFields {
        producer_id: ProducerId(5),
        producer_epoch: ProducerEpoch(0),
        base_sequence,
        ..BatchFields::default()
    }
}

/// A log of `batches` batches of two records each in several segments, flushed and synced.
pub(super) fn filled(disk: &MemoryDisk, batches: i32) -> Log<MemoryDisk> {
    let log = create(disk, small());
    for index in 0..batches {
        append(&log, &batch(2, 500, idempotent(2 * index))).unwrap();
        block_on(log.flush(WriteSync::Data)).unwrap();
    }
    log
}

pub(super) fn expected(batches: i32) -> Vec<(i64, i32)> {
    (0..batches).map(|index| (i64::from(2 * index), 2)).collect()
}

#[test]
fn a_log_is_the_same_after_a_clean_close() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = filled(&disk, 60);
    block_on(log.close_clean()).unwrap();
    assert!(matches!(append(&log, &batch(1, 1, idempotent(120))), Err(AppendError::Offline { .. })));
    let clean = OpenWith { clean: true, ..unclean(120) };
    for round in 0..3 {
        let (log, report) = reopen(&disk, small(), clean);
        assert!(report.walked_bytes < 2_000, "from the last index entry on: {report:?}");
        assert_eq!(RecoveryReport { walked_bytes: 0, ..report }, RecoveryReport::default());
        assert_eq!(log.topic_id(), Uuid(77));
        assert_eq!((log.synced_end_offset(), log.staged_end_offset()), (Offset(120), Offset(120)));
        assert_eq!(log.latest_epoch(), Some(LeaderEpoch(4)));
        assert_eq!(read_all(&log, Offset::ZERO, 3_000), expected(60));
        assert!(append(&log, &batch(2, 500, idempotent(118))).unwrap().duplicate);
        if round == 2 {
            assert_eq!(append(&log, &batch(2, 500, idempotent(120))).unwrap().base_offset, Offset(120));
            block_on(log.flush(WriteSync::Data)).unwrap();
            assert_eq!(read_all(&log, Offset::ZERO, 3_000), expected(61));
        }
        block_on(log.close_clean()).unwrap();
    }
}

#[test]
fn a_killed_log_recovers_from_any_recovery_point() {
    for recovery_point in [0, 1, 2, 30, 31, 59, 118, 120] {
        let disk = MemoryDisk::new(1, FaultPlan::default());
        drop(filled(&disk, 60));
        let (log, report) = reopen(&disk, small(), unclean(recovery_point));
        assert!(report.truncated.is_none() && report.is_intact(), "{report:?}");
        assert!(recovery_point < 120 || report.scanned_bytes == 0);
        assert_eq!(log.written_end_offset(), Offset(120));
        assert!(recovery_point <= log.synced_end_offset().0);
        assert_eq!(read_all(&log, Offset::ZERO, 3_000), expected(60));
        assert!(append(&log, &batch(2, 500, idempotent(118))).unwrap().duplicate);
        assert_eq!(append(&log, &batch(2, 500, idempotent(120))).unwrap().base_offset, Offset(120));
        block_on(log.flush(WriteSync::Data)).unwrap();
        block_on(log.checkpoint()).unwrap();
        let (log, report) = reopen(&disk, small(), unclean(122));
        assert_eq!(report.scanned_bytes, 0);
        assert_eq!(read_all(&log, Offset::ZERO, 3_000), expected(61));
    }
}

pub(super) fn active_segment(disk: &MemoryDisk) -> std::path::PathBuf {
    let dir = Path::new(PARENT).join("orders-3");
    let entries = block_on(crate::disk::Disk::list(disk, &dir)).unwrap();
    let last = entries.iter().rev().find(|entry| entry.name.ends_with(".log")).unwrap();
    dir.join(&last.name)
}

#[test]
fn a_broken_batch_behind_the_recovery_point_ends_the_log() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    drop(filled(&disk, 60));
    let file = active_segment(&disk);
    disk.flip_bit(&file, 200, 3).unwrap();
    let (log, report) = reopen(&disk, small(), unclean(80));
    let truncated = report.truncated.unwrap();
    assert_eq!((truncated.file, truncated.position), (file, 0));
    assert!(report.broken.is_empty());
    let end = log.staged_end_offset();
    assert!(Offset(80) <= end && end < Offset(120));
    assert_eq!(read_all(&log, Offset::ZERO, 3_000), expected(end.0 as i32 / 2));
    assert_eq!(append(&log, &batch(2, 500, idempotent(end.0 as i32))).unwrap().base_offset, end);
    block_on(log.flush(WriteSync::Data)).unwrap();
    let (log, report) = reopen(&disk, small(), unclean(80));
    assert!(report.truncated.is_none());
    assert_eq!(log.staged_end_offset(), end + 2);
}

#[test]
fn corruption_below_the_recovery_point_is_reported_and_never_served() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = filled(&disk, 60);
    let file = active_segment(&disk);
    drop(log);
    // A length field of the second batch of the segment.
    let len = batch(2, 500, idempotent(0)).len();
    disk.flip_bit(&file, len + 9, 0).unwrap();
    let (log, report) = reopen(&disk, small(), unclean(120));
    assert!(report.truncated.is_none());
    let [broken] = &report.broken[..] else { panic!("{report:?}") };
    assert_eq!((broken.position, broken.bytes), (len as u64, len as u64));
    assert_eq!(broken.end_offset, broken.first_offset + 2);
    assert_eq!(log.staged_end_offset(), Offset(120));
    let lost = broken.first_offset;
    for offset in [lost, lost + 1] {
        let read = block_on(log.read(offset, Offset(120), 1 << 20, true));
        assert!(matches!(read, Err(ReadError::Corrupt { .. })), "{read:?}");
    }
    let before = block_on(log.read(lost + -1, Offset(120), 1 << 20, true)).unwrap();
    assert_eq!(before.bytes, len);
    assert_eq!(read_all(&log, lost + 2, 1 << 20).len() as i64, (120 - lost.0) / 2 - 1);
}

#[test]
fn offsets_of_lost_records_are_not_given_again() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    drop(filled(&disk, 60));
    block_on(crate::disk::Disk::remove_file(&disk, &active_segment(&disk))).unwrap();
    let (log, report) = reopen(&disk, small(), unclean(120));
    let [broken] = &report.broken[..] else { panic!("{report:?}") };
    assert_eq!(broken.end_offset, Offset(120));
    assert_eq!(log.staged_end_offset(), Offset(120));
    assert_eq!(append(&log, &batch(2, 500, BatchFields::default())).unwrap().base_offset, Offset(120));
    block_on(log.flush(WriteSync::Data)).unwrap();
    assert_eq!(read_all(&log, Offset(120), 1 << 20), [(120, 2)]);
    let read = block_on(log.read(broken.first_offset, Offset(122), 1 << 20, true));
    assert!(matches!(read, Err(ReadError::Corrupt { .. })), "{read:?}");
}

#[test]
fn a_verification_finds_what_recovery_does_not_read() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = filled(&disk, 60);
    let intact = block_on(log.verify(async |_| ())).unwrap();
    assert_eq!((intact.scanned_bytes, intact.broken.len()), (log.size_bytes(), 0));
    // A record of the second batch of the log, in a closed segment.
    let len = batch(2, 500, idempotent(0)).len();
    disk.flip_bit(&Path::new(PARENT).join("orders-3/00000000000000000000.log"), len + 100, 0).unwrap();
    let (log, report) = reopen(&disk, small(), unclean(120));
    assert!(report.is_intact());
    let [broken] = &block_on(log.verify(async |_| ())).unwrap().broken[..] else {
        panic!("one range is broken")
    };
    assert_eq!((broken.first_offset, broken.end_offset), (Offset(2), Offset(4)));
    let read = block_on(log.read(Offset(3), Offset(120), 1 << 20, true));
    assert!(matches!(read, Err(ReadError::Corrupt { .. })), "{read:?}");
    assert_eq!(read_all(&log, Offset(4), 1 << 20).len(), 58);
    assert!(block_on(log.verify(async |_| ())).unwrap().broken.is_empty());
}

#[test]
fn zeros_ahead_end_the_log_and_a_trim_removes_them() {
    let config = LogConfig { segment_bytes: 1 << 20, ..small() };
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk, config.clone());
    for index in 0..20 {
        append(&log, &batch(2, 500, idempotent(2 * index))).unwrap();
        block_on(log.flush(WriteSync::Data)).unwrap();
    }
    assert!(log.wants_preparation() && log.wants_trim());
    block_on(log.prepare()).unwrap();
    let file_len = || {
        block_on(crate::disk::Disk::read_file(&disk, &active_segment(&disk), 1 << 20)).unwrap().len() as u64
    };
    assert!(log.size_bytes() + 4_096 <= file_len());
    let (log, report) = reopen(&disk, config.clone(), unclean(7));
    assert_eq!((report.truncated, log.staged_end_offset()), (None, Offset(40)));
    // What is behind the end was not looked at: it is gone before anything is written there.
    let zeros = file_len() - log.size_bytes();
    append(&log, &batch(2, 500, idempotent(40))).unwrap();
    block_on(log.flush(WriteSync::Data)).unwrap();
    assert!(file_len() - log.size_bytes() < zeros.min(4_096));
    assert!(log.size_bytes() < file_len());
    block_on(log.trim()).unwrap();
    assert!(!log.wants_trim());
    assert_eq!(file_len(), log.size_bytes());
    assert_eq!(read_all(&log, Offset::ZERO, 3_000), expected(21));
}

#[test]
fn the_newest_record_is_found_within_its_batch() {
    let stamped = |timestamp_type, timestamps: &[i64]| {
        let mut builder = BatchBuilder::new(BatchFields { timestamp_type, ..BatchFields::default() });
        timestamps.iter().for_each(|&timestamp| builder.append(Timestamp(timestamp), None, Some(b"v"), &[]));
        builder.build()
    };
    let cases = [
        (TimestampType::CreateTime, [100, 400, 250], 4, "the record in the middle"),
        (TimestampType::CreateTime, [400, 250, 400], 3, "the first of two"),
        (TimestampType::LogAppendTime, [400, 400, 400], 5, "the last one if the broker set the time"),
    ];
    for (timestamp_type, timestamps, offset, what) in cases {
        let disk = MemoryDisk::new(1, FaultPlan::default());
        let log = create(&disk, LogConfig::default());
        append(&log, &stamped(TimestampType::CreateTime, &[1, 2, 3])).unwrap();
        append(&log, &stamped(timestamp_type, &timestamps)).unwrap();
        append(&log, &stamped(TimestampType::CreateTime, &[4, 5, 6])).unwrap();
        block_on(log.flush(WriteSync::None)).unwrap();
        let newest = block_on(log.max_timestamp_offset(Offset(9), &async |_: u64| ())).unwrap().unwrap();
        assert_eq!((newest.offset, newest.timestamp), (Offset(offset), Timestamp(400)), "{what}");
    }
}

/// A batch of one record of a kilobyte.
fn timed(timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(BatchFields::default());
    builder.append(Timestamp(timestamp), None, Some(&[7; 1_000]), &[]);
    builder.build()
}

#[test]
fn times_are_looked_up_among_what_may_be_read() {
    let disk = MemoryDisk::new(1, FaultPlan { turns_max: 3, ..FaultPlan::default() });
    let uncached = EnvConfig { cache_bytes: 0, open_files: 4, sends_files: false, seed: 1 };
    let env = LogEnv::new(disk.clone(), uncached);
    let config = LogConfig { segment_bytes: 1 << 20, ..small() };
    let log =
        block_on(Log::create(env, Path::new(PARENT), topic_partition(), Uuid(77), config, NOW)).unwrap();
    let newest = || block_on(log.max_timestamp_offset(log.written_end_offset(), &async |_: u64| ())).unwrap();
    let first_from = |timestamp| {
        block_on(log.offset_for_timestamp(Timestamp(timestamp), log.written_end_offset(), &async |_: u64| ()))
            .unwrap()
    };
    append(&log, &timed(1)).unwrap();
    assert_eq!(newest(), None, "nothing is written");
    for timestamp in 2..=200 {
        append(&log, &timed(timestamp)).unwrap();
    }
    {
        let mut flush = std::pin::pin!(log.flush(WriteSync::Data));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for timestamp in 201.. {
            // What comes while a write is in flight may be read after the next one.
            append(&log, &timed(timestamp)).unwrap();
            assert!(newest().is_none_or(|found| found.offset < log.written_end_offset()));
            if flush.as_mut().poll(&mut context).is_ready() {
                assert!(202 < timestamp, "the write takes some turns");
                break;
            }
        }
    }
    let end = log.written_end_offset();
    assert!(end < log.staged_end_offset());
    let ops = disk.ops();
    assert_eq!(newest().map(|found| (found.offset, found.timestamp)), Some((end + -1, Timestamp(end.0))));
    assert_eq!(first_from(end.0 + 1), None);
    assert_eq!(first_from(150).map(|found| found.offset), Some(Offset(149)));
    assert!(disk.ops() - ops < 20, "{} operations for two records", disk.ops() - ops);
    block_on(log.flush(WriteSync::Data)).unwrap();
    assert_eq!(newest().map(|found| found.offset), Some(log.staged_end_offset() + -1));
}

/// Counts what is asked for.
#[derive(Default)]
struct CountedWork {
    pauses: Cell<usize>,
    outside: Cell<usize>,
}

impl LongWork for CountedWork {
    async fn pause(&self, _bytes: u64) {
        self.pauses.set(self.pauses.get() + 1);
    }

    async fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoThread> {
        self.outside.set(self.outside.get() + 1);
        Ok(work())
    }
}

#[test]
fn lookups_pause_and_leave_large_batches_to_others() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk, LogConfig::default());
    let packed = |value_bytes| {
        let mut builder = BatchBuilder::new(BatchFields { codec: Codec::Zstd, ..BatchFields::default() });
        for timestamp in [500, 400] {
            builder.append(Timestamp(timestamp), None, Some(&vec![0; value_bytes]), &[]);
        }
        builder.build()
    };
    append(&log, &timed(1_000)).unwrap();
    (0..100).for_each(|_| _ = append(&log, &timed(3)).unwrap());
    append(&log, &packed(1_000_000)).unwrap();
    append(&log, &packed(2 << 20)).unwrap();
    append(&log, &timed(2_000)).unwrap();
    block_on(log.flush(WriteSync::None)).unwrap();
    let upto = Offset(106);
    assert_eq!(log.written_end_offset(), upto);
    let look = |from_start, timestamp| {
        log.raise_log_start(Offset(from_start));
        let work = CountedWork::default();
        let found = block_on(log.offset_for_timestamp(Timestamp(timestamp), upto, &work)).unwrap();
        (found.map(|found| found.offset.0), work.pauses.get(), work.outside.get())
    };
    assert_eq!(look(0, 1_000), (Some(0), 0, 0));
    assert_eq!(look(1, 400), (Some(101), 100, 0), "a pause after each batch");
    assert_eq!(look(102, 400), (Some(102), 0, 0), "a batch that unpacks in a turn");
    assert_eq!(look(104, 400), (Some(104), 0, 1), "one that does not");
    assert_eq!(look(104, 1_500), (Some(105), 1, 0), "its records are not as new: it is not unpacked");
}

#[test]
fn records_that_arrive_old_close_a_segment_no_sooner() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let config = LogConfig { segment_ms: 1_000, ..LogConfig::default() };
    let (opened, parent) = (Timestamp(NOW.0 + 1_000_000), Path::new(PARENT));
    let create = Log::create(env(&disk), parent, topic_partition(), Uuid(77), config, opened);
    let log = block_on(create).unwrap();
    append(&log, &batch(2, 10, BatchFields::default())).unwrap();
    assert!(!log.roll_if_due(Timestamp(opened.0 + 1_000)));
    assert!(log.roll_if_due(Timestamp(opened.0 + 1_001)));
}
