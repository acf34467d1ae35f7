//! Where a start after a crash begins to read, and what it does without the files that say so.

use std::path::{Path, PathBuf};

use crate::disk::memory::{FaultPlan, MemoryDisk, block_on};
use crate::disk::{BLOCK, Disk, DiskBuf, DiskFile, OpenMode, WriteSync};
use crate::log::index::{OffsetEntry, valid_entries};
use crate::log::segment::padded_buf;
use crate::log::tests::{
    NOW, PARENT, append, batch, create, expected, filled, idempotent, read_all, reopen, small, unclean,
};
use crate::log::{Log, LogConfig, OpenWith};
use crate::record::batch::{set_base_offset, set_partition_leader_epoch};
use crate::record::builder::BatchFields;
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// Batches of two records each.
const BATCHES: i32 = 60;

/// After how many batches the log was checkpointed.
const CHECKPOINTS: [i32; 2] = [40, 50];

fn one_segment() -> LogConfig {
    LogConfig { segment_bytes: 1 << 20, ..small() }
}

fn batch_len() -> u64 {
    batch(2, 500, idempotent(0)).len() as u64
}

/// The bytes of the batches from the one with this number on, and as many before as an index may leave out.
fn walk_from(number: i32) -> std::ops::RangeInclusive<u64> {
    let bytes = (BATCHES - number) as u64 * batch_len();
    bytes..=bytes + 2 * batch_len()
}

/// A log in one segment, synced, checkpointed after [`CHECKPOINTS`], and killed.
fn checkpointed() -> MemoryDisk {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk, one_segment());
    for index in 0..BATCHES {
        append(&log, &batch(2, 500, idempotent(2 * index))).unwrap();
        block_on(log.flush(WriteSync::Data)).unwrap();
        if CHECKPOINTS.contains(&(index + 1)) {
            block_on(log.checkpoint()).unwrap();
        }
    }
    disk
}

/// The log is as it was, whatever was read of it; what no checkpoint covers is synced when it is asked for.
fn check_whole(log: &Log<MemoryDisk>) {
    let end = Offset(i64::from(2 * BATCHES));
    assert_eq!((log.staged_end_offset(), log.written_end_offset()), (end, end));
    assert!(log.synced_end_offset() < end && log.needs_checkpoint());
    assert_eq!(block_on(log.flush(WriteSync::Data)).unwrap().synced_end_offset, end);
    assert_eq!(read_all(log, Offset::ZERO, 3_000), expected(BATCHES));
    let first = block_on(log.offset_for_timestamp(NOW, end, &async |_: u64| ())).unwrap().unwrap();
    assert_eq!((first.offset, first.timestamp), (Offset::ZERO, NOW));
    let newest = block_on(log.max_timestamp_offset(end, &async |_: u64| ())).unwrap().unwrap();
    assert_eq!(newest.timestamp, Timestamp(NOW.0 + 1));
    for number in BATCHES - 5..BATCHES {
        assert!(append(log, &batch(2, 500, idempotent(2 * number))).unwrap().duplicate);
    }
    assert!(append(log, &batch(2, 500, idempotent(2 * BATCHES + 1))).is_err(), "a gap in the sequence");
}

fn file(name: &str) -> PathBuf {
    Path::new(PARENT).join("orders-3").join(name)
}

fn snapshot(number: i32) -> PathBuf {
    file(&format!("{:020}.snapshot", 2 * number))
}

fn index() -> PathBuf {
    file("00000000000000000000.index")
}

fn truncate(disk: &MemoryDisk, file: &Path, len: u64) {
    block_on(async {
        let file = disk.open(file, OpenMode::Write).await.unwrap();
        file.truncate(len).await.unwrap();
    });
}

#[test]
fn a_start_reads_from_the_last_checkpoint_however_old_the_recovery_point_is() {
    // The file of recovery points is written after the logs are checkpointed, or not any more.
    for recovery_point in [0, 7, 80, 99, 100] {
        let disk = checkpointed();
        let (log, report) = reopen(&disk, one_segment(), unclean(recovery_point));
        assert!(walk_from(50).contains(&report.walked_bytes), "{report:?}");
        assert_eq!(report.scanned_bytes, 10 * batch_len());
        assert!(report.is_intact() && report.truncated.is_none(), "{report:?}");
        check_whole(&log);
    }
}

#[test]
fn records_behind_the_recovery_point_and_the_checkpoint_are_replayed() {
    let (log, report) = reopen(&checkpointed(), one_segment(), unclean(112));
    assert!(walk_from(50).contains(&report.walked_bytes), "the snapshot is older than the recovery point");
    assert_eq!(report.scanned_bytes, 4 * batch_len());
    check_whole(&log);
}

#[test]
fn a_damaged_snapshot_costs_the_way_to_the_one_before() {
    let disk = checkpointed();
    disk.flip_bit(&snapshot(50), 20, 1).unwrap();
    let (log, report) = reopen(&disk, one_segment(), unclean(0));
    assert!(walk_from(40).contains(&report.walked_bytes), "{report:?}");
    check_whole(&log);
    drop(log);

    let disk = checkpointed();
    truncate(&disk, &snapshot(50), 0);
    truncate(&disk, &snapshot(40), 9);
    let (log, report) = reopen(&disk, one_segment(), unclean(100));
    assert_eq!(report.walked_bytes, BATCHES as u64 * batch_len(), "from the start of the segment");
    assert_eq!(report.scanned_bytes, 10 * batch_len());
    check_whole(&log);
}

#[test]
fn a_checkpoint_leaves_the_snapshot_before_it_and_no_other() {
    let disk = checkpointed();
    let (log, _) = reopen(&disk, one_segment(), unclean(0));
    append(&log, &batch(2, 500, idempotent(2 * BATCHES))).unwrap();
    block_on(log.checkpoint()).unwrap();
    let exists = |number| block_on(disk.read_file(&snapshot(number), 4_096)).is_ok();
    assert_eq!([40, 50, BATCHES + 1].map(exists), [false, true, true]);
    block_on(log.close_clean()).unwrap();
    assert_eq!([40, 50, BATCHES + 1].map(exists), [false, false, true]);
}

#[test]
fn a_lost_end_of_the_index_costs_the_way_from_its_last_entry() {
    // An entry every batch or two; a torn write leaves old bytes, here none, or zeros.
    let disk = checkpointed();
    truncate(&disk, &index(), 10 * 8 + 3);
    let (log, report) = reopen(&disk, one_segment(), unclean(100));
    assert!(30 * batch_len() < report.walked_bytes && report.walked_bytes < 55 * batch_len(), "{report:?}");
    assert_eq!(report.scanned_bytes, 10 * batch_len());
    check_whole(&log);
    block_on(log.close_clean()).unwrap();

    // What was rebuilt is what there would be without the crash.
    let rebuilt = block_on(disk.read_file(&index(), 1 << 20)).unwrap();
    let disk = checkpointed();
    let (log, _) = reopen(&disk, one_segment(), unclean(100));
    block_on(log.close_clean()).unwrap();
    assert_eq!(block_on(disk.read_file(&index(), 1 << 20)).unwrap(), rebuilt);
}

#[test]
fn an_index_that_points_elsewhere_is_built_anew() {
    // The position of an entry, in its low byte; entry 0 is behind the first one and stays in order.
    let disk = checkpointed();
    let entries = valid_entries::<OffsetEntry>(&block_on(disk.read_file(&index(), 1 << 20)).unwrap());
    disk.flip_bit(&index(), 8 * (entries - 1) + 7, 0).unwrap();
    let (log, report) = reopen(&disk, one_segment(), unclean(100));
    assert_eq!((report.rebuilt_indexes, report.walked_bytes), (1, BATCHES as u64 * batch_len()));
    check_whole(&log);

    let disk = checkpointed();
    block_on(disk.remove_file(&index())).unwrap();
    let (log, report) = reopen(&disk, one_segment(), unclean(100));
    assert_eq!((report.rebuilt_indexes, report.walked_bytes), (1, BATCHES as u64 * batch_len()));
    check_whole(&log);
}

#[test]
fn a_broken_leader_epoch_is_none_of_the_logs() {
    let disk = checkpointed();
    // No CRC covers the epoch. This is its highest byte, in the batch behind the last checkpoint.
    let position = 50 * batch_len() as usize;
    disk.flip_bit(&file("00000000000000000000.log"), position + 12, 6).unwrap();
    let (log, report) = reopen(&disk, one_segment(), unclean(0));
    assert!(report.is_intact() && report.truncated.is_none(), "{report:?}");
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0x4000_0004)));
    append(&log, &batch(2, 500, idempotent(2 * BATCHES))).unwrap();
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(4)));
    assert_eq!(log.epoch_for_offset(Offset::ZERO), Some(LeaderEpoch(4)));

    block_on(log.close_clean()).unwrap();
    let (log, _) = reopen(&disk, one_segment(), unclean(2 * i64::from(BATCHES) + 2));
    log.start_epoch(LeaderEpoch(5), Offset(200));
    assert_eq!(log.end_offset_for_epoch(LeaderEpoch(4)), (LeaderEpoch(4), Offset(200)));
}

#[test]
fn leader_epochs_that_cannot_be_read_are_those_of_the_batches() {
    for clean in [true, false] {
        let disk = MemoryDisk::new(1, FaultPlan::default());
        let log = filled(&disk, BATCHES);
        if clean {
            block_on(log.close_clean()).unwrap();
        }
        drop(log);
        disk.flip_bit(&file("leader-epoch-checkpoint"), 0, 6).unwrap();
        let with = OpenWith { clean, ..unclean(2 * i64::from(BATCHES)) };
        let (log, report) = reopen(&disk, small(), with);
        assert!(report.is_intact() && report.lost_epochs.is_some(), "{report:?}");
        assert_eq!(log.epoch_for_offset(Offset::ZERO), Some(LeaderEpoch(4)));
        assert_eq!(read_all(&log, Offset::ZERO, 3_000), expected(BATCHES));
        assert!(append(&log, &batch(2, 500, idempotent(2 * BATCHES - 2))).unwrap().duplicate);
        block_on(log.close_clean()).unwrap();
        let (log, report) = reopen(&disk, small(), with);
        assert_eq!(report.lost_epochs, None, "the file was written anew");
        assert_eq!(log.epoch_for_offset(Offset::ZERO), Some(LeaderEpoch(4)));
    }
}

/// A batch of one record and exactly `len` bytes.
fn batch_of_len(len: usize) -> bytes::Bytes {
    let plain = BatchFields::default;
    let value_len = (0..len).find(|value_len| batch(1, *value_len, plain()).len() == len);
    batch(1, value_len.expect("every length is the length of some batch"), plain())
}

#[test]
fn what_lies_behind_zeros_does_not_come_back_when_they_are_filled() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk, one_segment());
    append(&log, &batch_of_len(1_000)).unwrap();
    block_on(log.flush(WriteSync::Data)).unwrap();
    drop(log);
    // Two writes were under way when the machine stopped; the device had the second one only.
    let (lost_len, stale_at) = (4 * BLOCK - 1_000, 4 * BLOCK);
    let mut stale = batch_of_len(500).to_vec();
    set_base_offset(&mut stale, Offset(2));
    set_partition_leader_epoch(&mut stale, LeaderEpoch(4));
    block_on(async {
        let file = disk.open(&file("00000000000000000000.log"), OpenMode::Write).await.unwrap();
        let stale = padded_buf(&disk, &stale).freeze();
        file.write_at(stale, stale_at as u64, WriteSync::Data).await.unwrap();
    });
    let (log, report) = reopen(&disk, one_segment(), unclean(0));
    assert_eq!((log.staged_end_offset(), report.truncated), (Offset(1), None));
    append(&log, &batch_of_len(lost_len)).unwrap();
    block_on(log.flush(WriteSync::Data)).unwrap();
    drop(log);
    let (log, _) = reopen(&disk, one_segment(), unclean(0));
    assert_eq!(read_all(&log, Offset::ZERO, 1 << 20), [(0, 1), (1, 1)]);
}

#[test]
fn a_segment_that_is_whole_is_read_behind_one_that_is_closed_anew() {
    // Without any snapshot, closed segments are walked for the producers in them, and closed again.
    let disk = MemoryDisk::new(1, FaultPlan::default());
    drop(filled(&disk, BATCHES));
    for entry in block_on(disk.list(&file(""))).unwrap() {
        if entry.name.ends_with(".snapshot") {
            truncate(&disk, &file(&entry.name), 0);
        }
    }
    let (log, report) = reopen(&disk, small(), unclean(2 * i64::from(BATCHES)));
    assert_eq!((report.walked_bytes, report.scanned_bytes), (log.size_bytes(), 0));
    assert_eq!(log.written_end_offset(), Offset(i64::from(2 * BATCHES)));
    assert_eq!(read_all(&log, Offset::ZERO, 3_000), expected(BATCHES));
}
