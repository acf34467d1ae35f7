//! The journal with logs, on a disk in memory: the stories that unit tests of its parts do not tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk::memory::{Crash, FaultPlan, MemoryDisk, block_on};
use crate::disk::{BLOCK, Disk, DiskBuf, DiskFile, OpenMode, WriteSync};
use crate::log::{
    AppendContext, AppendError, AppendOrigin, BatchToAppend, CheckpointedLog, EnvConfig, Log, LogConfig,
    LogDir, LogEnv, LogError, Store,
};
use crate::record::batch::{BatchHeader, Batches};
use crate::record::builder::{BatchBuilder, BatchFields};
use crate::record::records::RecordIter;
use crate::types::{LeaderEpoch, Offset, Prng, Timestamp, TopicName, TopicPartition, Uuid};

use super::{Fate, Journal, JournalConfig};

const NOW: Timestamp = Timestamp(1_000_000);
const CONFIG: JournalConfig =
    JournalConfig { file_bytes: 64 * 1024, files_max: 3, bypass_bytes: 8_000, copy_bytes: 2_000 };

type TestLog = Log<MemoryDisk>;

fn partition(index: i32) -> TopicPartition {
    TopicPartition { topic: TopicName::new("orders").unwrap(), partition: index }
}

fn log_config() -> LogConfig {
    LogConfig { segment_bytes: 16 * 1024, index_interval_bytes: 512, ..LogConfig::default() }
}

async fn open_dir(disk: &MemoryDisk) -> LogDir<MemoryDisk> {
    let env =
        LogEnv::new(disk.clone(), EnvConfig { cache_bytes: 0, open_files: 4, sends_files: true, seed: 1 });
    LogDir::open(env, PathBuf::from("/data/shard-00")).await.unwrap()
}

/// A new directory with `logs` logs, and its journal with a first file.
async fn create(
    disk: &MemoryDisk,
    logs: i32,
    config: Option<JournalConfig>,
) -> (LogDir<MemoryDisk>, Vec<TestLog>) {
    let dir = open_dir(disk).await;
    let mut created = Vec::new();
    for index in 0..logs {
        created.push(dir.create_log(partition(index), Uuid(7), log_config(), NOW).await.unwrap());
    }
    dir.start_journal(config).await.unwrap();
    if let Some(journal) = dir.journal() {
        journal.maintain().await.unwrap();
    }
    // The first append of an epoch goes directly.
    for log in &created {
        append(log, 10);
        log.flush(WriteSync::Data).await.unwrap();
    }
    (dir, created)
}

async fn reopen(
    disk: &MemoryDisk,
    logs: i32,
    config: Option<JournalConfig>,
) -> (LogDir<MemoryDisk>, Vec<TestLog>, u64) {
    let dir = open_dir(disk).await;
    assert_eq!(dir.broken_frames(), [], "a crash breaks nothing that was durable");
    let (mut opened, mut restored) = (Vec::new(), 0);
    for index in 0..logs {
        let (log, report) = dir.load_log(partition(index), log_config(), NOW).await.unwrap();
        assert!(report.is_intact() && report.restored.behind_hole.is_none(), "{report:?}");
        restored += report.restored.batches;
        opened.push(log);
    }
    dir.start_journal(config).await.unwrap();
    (dir, opened, restored)
}

fn append(log: &TestLog, value_len: usize) {
    try_append(log, value_len).unwrap();
}

fn try_append(log: &TestLog, value_len: usize) -> Result<(), AppendError> {
    let mut builder = BatchBuilder::new(BatchFields::default());
    builder.append(NOW, None, Some(&vec![log.staged_end_offset().0 as u8; value_len]), &[]);
    let bytes = builder.build();
    let header = BatchHeader::decode(&bytes).unwrap();
    let batch = BatchToAppend { header, bytes: &bytes, append_time: None, is_crc_checked: false };
    let context = AppendContext { leader_epoch: LeaderEpoch(4), origin: AppendOrigin::Client, now: NOW };
    log.append(&[batch], context).map(drop)
}

/// Every record from the log's start, read in pieces; the values tell their offsets.
async fn assert_readable(log: &TestLog, end: i64) {
    let mut next = Offset::ZERO;
    while next < Offset(end) {
        let outcome = log.read(next, Offset(end), 1_500, true).await.unwrap();
        let bytes = outcome.chunks.concat();
        let whole = Batches::new(&bytes).map_while(Result::ok);
        let before = next;
        for (_, header, batch) in whole {
            assert!(crate::record::batch::crc_matches(batch));
            assert_eq!(header.base_offset, next);
            next = header.next_offset();
        }
        assert!(before < next, "a read makes progress");
    }
    // All have the same timestamp.
    let newest = log.max_timestamp_offset(log.written_end_offset(), &async |_: u64| ()).await.unwrap();
    assert_eq!(newest.map(|newest| newest.offset), (0 < end).then_some(Offset::ZERO));
}

/// The length of each record's value, from the log's start.
async fn value_lens(log: &TestLog) -> Vec<usize> {
    let (mut next, end) = (Offset::ZERO, log.written_end_offset());
    let mut lens = Vec::new();
    while next < end {
        let bytes: bytes::Bytes = log.read(next, end, 1 << 20, true).await.unwrap().chunks.concat().into();
        for (position, header, batch) in Batches::new(&bytes).map(Result::unwrap) {
            let records = RecordIter::new(&bytes.slice(position..position + batch.len())).unwrap();
            lens.extend(records.map(|record| record.unwrap().value.map_or(0, |value| value.len())));
            next = header.next_offset();
        }
    }
    lens
}

fn files(disk: &MemoryDisk, dir: &Path) -> BTreeMap<String, Vec<u8>> {
    block_on(async {
        let entries = disk.list(dir).await.unwrap();
        let mut files = BTreeMap::new();
        for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
            let contents = disk.read_file(&dir.join(&entry.name), 1 << 24).await.unwrap();
            files.insert(entry.name, contents);
        }
        files
    })
}

async fn commit_all(journal: &Journal<MemoryDisk>, logs: &[TestLog]) -> Vec<Fate> {
    journal.commit(logs).await.unwrap()
}

#[test]
fn one_write_makes_the_appends_of_all_logs_durable_and_readable() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    block_on(async {
        let (dir, logs) = create(&disk, 5, Some(CONFIG)).await;
        let journal = dir.journal().unwrap();
        logs[..4].iter().for_each(|log| append(log, 700));
        append(&logs[3], 9_000);
        let ops = disk.ops();
        let fates = commit_all(&journal, &logs).await;
        assert_eq!(disk.ops(), ops + 1, "one write");
        assert_eq!(fates, [Fate::Journaled, Fate::Journaled, Fate::Journaled, Fate::Direct, Fate::Nothing]);
        for log in &logs[..3] {
            assert_eq!((log.synced_end_offset(), log.written_end_offset()), (Offset(2), Offset(2)));
            assert_eq!((log.stored_end_offset(), log.has_unstored()), (Offset(1), true));
            assert_readable(log, 2).await;
        }
        assert_eq!(logs[3].synced_end_offset(), Offset(1));
    });
    // The process dies, and the machine with it.
    disk.crash(Crash::Machine);
    block_on(async {
        let (_, logs, restored) = reopen(&disk, 5, None).await;
        assert_eq!(restored, 3);
        for log in &logs[..3] {
            assert_eq!((log.stored_end_offset(), log.staged_end_offset()), (Offset(2), Offset(2)));
            assert_readable(log, 2).await;
        }
        assert_eq!(logs[3].staged_end_offset(), Offset(1));
    });
    assert!(!files(&disk, Path::new("/data/shard-00")).keys().any(|name| name.contains("journal")));
}

#[test]
fn segments_are_the_same_with_and_without_a_journal() {
    for seed in 0..20 {
        let run = |config: Option<JournalConfig>| {
            let disk = MemoryDisk::new(seed, FaultPlan::default());
            let mut prng = Prng::new(seed);
            let restarts = prng.chance(1, 2);
            block_on(async {
                let (mut dir, mut logs) = create(&disk, 2, config).await;
                for round in 0..60 {
                    for log in &logs {
                        append(log, [10, 100, 2_000, 9_000][prng.below(4) as usize]);
                    }
                    if let Some(journal) = dir.journal() {
                        journal.commit(&logs).await.unwrap();
                        journal.maintain().await.unwrap();
                    }
                    let stores = prng.chance(1, 7);
                    for log in &logs {
                        if stores || log.has_staged() {
                            log.flush(WriteSync::Data).await.unwrap();
                        }
                    }
                    if restarts && round == 40 {
                        disk.crash(Crash::Process);
                        (dir, logs, _) = reopen(&disk, 2, config).await;
                        if let Some(journal) = dir.journal() {
                            journal.maintain().await.unwrap();
                        }
                    }
                }
                for log in &logs {
                    log.close_clean().await.unwrap();
                }
                let closed: Vec<_> =
                    logs.iter().map(|log| CheckpointedLog { log, high_watermark: Offset(0) }).collect();
                dir.close_clean(&closed, 1).await.unwrap();
            });
            ["orders-0", "orders-1"].map(|name| {
                let mut files = files(&disk, &Path::new("/data/shard-00").join(name));
                // Snapshots tell where the broker was killed.
                files.retain(|name, _| !name.ends_with(".snapshot"));
                files
            })
        };
        let (with, without) = (run(Some(CONFIG)), run(None));
        assert!(4 < with[0].len());
        assert!(with == without, "seed {seed}: {:?} and {:?}", with[0].keys(), without[0].keys());
    }
}

#[test]
fn a_full_journal_sends_appends_into_their_segments_and_is_used_again() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    block_on(async {
        let (dir, logs) = create(&disk, 3, Some(CONFIG)).await;
        let journal = dir.journal().unwrap();
        logs[0].update_config(LogConfig::default());
        let mut fates = Vec::new();
        for _ in 0..200 {
            append(&logs[0], 3_000);
            fates.extend(commit_all(&journal, &logs[..1]).await);
            journal.maintain().await.unwrap();
            if fates.last() == Some(&Fate::Direct) {
                break;
            }
        }
        assert_eq!(fates.last(), Some(&Fate::Direct), "the journal is bounded");
        let unstored = logs[0].staged_bytes();
        assert!(unstored <= 3 * CONFIG.file_bytes, "{unstored} bytes are in memory only");
        assert_eq!(journal.pressing().len(), 1);
        logs[0].flush(WriteSync::Data).await.unwrap();
        assert!(journal.pressing().is_empty() && journal.wants_maintenance());
        journal.maintain().await.unwrap();
        for log in &logs {
            append(log, 3_000);
        }
        assert_eq!(commit_all(&journal, &logs).await, [Fate::Journaled; 3]);
    });
}

#[test]
fn storing_takes_what_is_in_the_journal_and_nothing_else() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    block_on(async {
        let (dir, logs) = create(&disk, 1, Some(CONFIG)).await;
        let (journal, log) = (dir.journal().unwrap(), &logs[0]);
        let stored_before = log.stored_end_offset();
        for _ in 0..2 {
            append(log, 5_000);
            assert_eq!(log.full_bytes(), 0, "no whole chunk may be read yet");
            assert_eq!(commit_all(&journal, &logs).await, [Fate::Journaled]);
        }
        append(log, 1_000);
        let (staged, staged_bytes) = (log.staged_end_offset(), log.staged_bytes());

        let full = log.full_bytes();
        assert!(5_000 < full && full < 10_000, "a chunk of {full} bytes ends within a batch");
        log.store(Store::FullChunks).await.unwrap();
        assert_eq!((log.full_bytes(), log.staged_bytes()), (0, staged_bytes - full));
        assert_eq!(log.stored_end_offset(), stored_before, "nothing was made durable");
        assert!(log.has_unstored() && journal.takes(log), "the rest goes into the journal as before");
        assert_readable(log, 3).await;
        let verified = log.verify(async |_| ()).await.unwrap();
        assert!(verified.broken.is_empty(), "half a batch in the file is none that is broken");

        log.store(Store::Synced).await.unwrap();
        assert!((1_000..1_500).contains(&log.staged_bytes()), "{} bytes are staged", log.staged_bytes());
        assert_eq!((log.stored_end_offset(), log.synced_end_offset()), (Offset(3), Offset(3)));
        assert!(!log.has_unstored() && log.has_staged() && journal.takes(log));
        assert_eq!(commit_all(&journal, &logs).await, [Fate::Journaled]);
        assert_eq!(log.synced_end_offset(), staged);

        disk.crash(Crash::Machine);
        let (_, reopened, restored) = reopen(&disk, 1, Some(CONFIG)).await;
        assert_eq!(restored, 1, "the last batch was in the journal only");
        assert_readable(&reopened[0], 4).await;
    });
}

#[test]
fn what_was_stored_without_a_sync_is_still_in_the_journal() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    block_on(async {
        let (dir, logs) = create(&disk, 1, Some(CONFIG)).await;
        let (journal, log) = (dir.journal().unwrap(), &logs[0]);
        let mut full_bytes = 0;
        for _ in 0..3 {
            append(log, 5_000);
            assert_eq!(commit_all(&journal, &logs).await, [Fate::Journaled]);
            full_bytes += log.full_bytes();
            log.store(Store::FullChunks).await.unwrap();
        }
        assert_ne!(full_bytes, 0);
        disk.crash(Crash::Machine);
        let (_, reopened, _) = reopen(&disk, 1, Some(CONFIG)).await;
        assert_readable(&reopened[0], 4).await;
    });
}

#[test]
fn a_failed_write_ends_the_journal() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    block_on(async {
        let (dir, logs) = create(&disk, 2, Some(CONFIG)).await;
        let journal = dir.journal().unwrap();
        append(&logs[0], 100);
        commit_all(&journal, &logs).await;
        append(&logs[0], 100);
        append(&logs[1], 100);
        disk.set_plan(FaultPlan { eio_on_op: Some(disk.ops() + 1), ..FaultPlan::default() });
        assert!(matches!(journal.commit(&logs).await, Err(LogError::Disk(_))));
        assert!(matches!(journal.commit(&logs).await, Err(LogError::Offline { .. })));
        let cause = journal.offline_cause().unwrap();
        assert!(cause.contains("corelog-journal-000"), "{cause}");
        assert!(!journal.wants_maintenance());
        logs.iter().for_each(|log| log.take_offline(&cause));
        assert!(matches!(try_append(&logs[0], 1), Err(AppendError::Offline { .. })));
        assert_eq!(logs[0].synced_end_offset(), Offset(2));
        assert_readable(&logs[0], 2).await;
    });
}

#[test]
fn a_disk_without_room_for_the_journal_does_without() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    block_on(async {
        let dir = open_dir(&disk).await;
        let log = dir.create_log(partition(0), Uuid(7), log_config(), NOW).await.unwrap();
        dir.start_journal(Some(CONFIG)).await.unwrap();
        let journal = dir.journal().unwrap();
        let space_bytes = Some(disk.used_bytes() + 40_000);
        disk.set_plan(FaultPlan { space_bytes, ..FaultPlan::default() });
        assert!(journal.maintain().await.unwrap().is_some(), "the disk refuses");
        assert!(!journal.wants_maintenance(), "it is not tried again");
        disk.set_plan(FaultPlan::default());
        append(&log, 100);
        assert_eq!(commit_all(&journal, std::slice::from_ref(&log)).await, [Fate::Direct]);
        log.flush(WriteSync::Data).await.unwrap();
        append(&log, 100);
        assert_eq!(commit_all(&journal, std::slice::from_ref(&log)).await, [Fate::Direct]);
        assert_eq!(files(&disk, Path::new("/data/shard-00")).len(), 0, "nothing is left of the attempt");
    });
}

#[test]
fn entries_of_logs_that_are_gone_are_dropped_and_those_behind_a_hole_too() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let dir_path = Path::new("/data/shard-00");
    block_on(async {
        let (dir, logs) = create(&disk, 3, Some(CONFIG)).await;
        let journal = dir.journal().unwrap();
        for _ in 0..2 {
            logs.iter().for_each(|log| append(log, 100));
            commit_all(&journal, &logs).await;
        }
        disk.crash(Crash::Process);
        // An operator's doing: one log is gone, another one has lost its segment.
        disk.remove_dir_all(&dir_path.join("orders-1")).await.unwrap();
        disk.remove_file(&dir_path.join("orders-2/00000000000000000000.log")).await.unwrap();
        let dir = open_dir(&disk).await;
        let load = |index| dir.load_log(partition(index), log_config(), NOW);
        let (whole, report) = load(0).await.unwrap();
        assert_eq!((whole.staged_end_offset(), report.restored.batches), (Offset(3), 2));
        let (short, report) = load(2).await.unwrap();
        assert_eq!(short.staged_end_offset(), Offset(0));
        assert_eq!((report.restored.batches, report.restored.behind_hole), (0, Some(Offset(1))));
        assert_eq!(dir.start_journal(Some(CONFIG)).await.unwrap().logs_gone, 1);
        // What was dropped does not come back when the log has grown up to it.
        append(&short, 10);
        short.flush(WriteSync::Data).await.unwrap();
        disk.crash(Crash::Process);
        let dir = open_dir(&disk).await;
        let (short, report) = dir.load_log(partition(2), log_config(), NOW).await.unwrap();
        assert_eq!((short.staged_end_offset(), report.restored.batches), (Offset(1), 0));
    });
}

#[test]
fn a_journal_of_another_version_is_refused() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    block_on(async {
        let (dir, _) = create(&disk, 1, Some(CONFIG)).await;
        drop(dir);
        disk.flip_bit(Path::new("/data/shard-00/corelog-journal-000"), 5, 0).unwrap();
        let env = LogEnv::new(
            disk.clone(),
            EnvConfig { cache_bytes: 0, open_files: 4, sends_files: true, seed: 1 },
        );
        let opened = LogDir::open(env, PathBuf::from("/data/shard-00")).await;
        assert!(matches!(opened, Err(LogError::Corrupt { .. })));
    });
}

#[test]
fn a_journal_of_an_older_version_is_refused_only_while_it_is_used() {
    for is_used in [false, true] {
        let disk = MemoryDisk::new(1, FaultPlan::default());
        block_on(async {
            let (dir, logs) = create(&disk, 1, Some(CONFIG)).await;
            if is_used {
                append(&logs[0], 700);
                commit_all(&dir.journal().unwrap(), &logs).await;
            }
            drop((dir, logs));
            let path = Path::new("/data/shard-00/corelog-journal-000");
            let file = disk.open(path, OpenMode::Write).await.unwrap();
            let mut header = disk.alloc(BLOCK);
            header.as_mut_slice().copy_from_slice(&file.read_at(0, BLOCK).await.unwrap());
            header.as_mut_slice()[8..12].copy_from_slice(&1_u32.to_be_bytes());
            let crc = crc32c::crc32c(&header.as_slice()[..28]);
            header.as_mut_slice()[28..32].copy_from_slice(&crc.to_be_bytes());
            file.write_at(header.freeze(), 0, WriteSync::Data).await.unwrap();
            let env = LogEnv::new(
                disk.clone(),
                EnvConfig { cache_bytes: 0, open_files: 4, sends_files: true, seed: 1 },
            );
            let opened = LogDir::open(env, PathBuf::from("/data/shard-00")).await;
            assert_eq!(opened.is_err(), is_used);
        });
    }
}

/// Where the frames of a new journal's first file begin, each of them a block long.
const FIRST_FRAME_AT: usize = BLOCK;

/// A journal with four frames in its first file, the odd ones with a record of log 1, the others of log 0.
async fn four_frames(disk: &MemoryDisk) {
    let (dir, logs) = create(disk, 2, Some(CONFIG)).await;
    for log in logs.iter().cycle().take(4) {
        append(log, 700);
        commit_all(&dir.journal().unwrap(), &logs).await;
    }
}

/// The ends of logs 0 and 1 after a start.
async fn ends(dir: &LogDir<MemoryDisk>) -> [i64; 2] {
    let mut ends = [0; 2];
    for (end, index) in ends.iter_mut().zip(0..) {
        let (log, _) = dir.load_log(partition(index), log_config(), NOW).await.unwrap();
        *end = log.staged_end_offset().0;
    }
    ends
}

#[test]
fn a_broken_frame_that_was_durable_is_reported_and_the_others_are_applied() {
    let journal = Path::new("/data/shard-00/corelog-journal-000");
    // A bit of the checksum, the length, the generation, the sequence and the batches.
    for byte in [1, 5, 15, 19, 300] {
        for (frame, expected_ends) in [(0, [1, 3]), (1, [3, 1]), (2, [2, 3])] {
            let disk = MemoryDisk::new(1, FaultPlan::default());
            block_on(async {
                four_frames(&disk).await;
                disk.flip_bit(journal, FIRST_FRAME_AT + frame * BLOCK + byte, 6).unwrap();
                let dir = open_dir(&disk).await;
                let broken = dir.broken_frames();
                let found: Vec<_> =
                    broken.iter().map(|broken| (&*broken.file, broken.position, broken.frames)).collect();
                let position = (FIRST_FRAME_AT + frame * BLOCK) as u64;
                assert_eq!(found, [(journal, position, 1)], "frame {frame}, byte {byte}");
                assert_eq!(ends(&dir).await, expected_ends, "frame {frame}, byte {byte}");
                dir.start_journal(Some(CONFIG)).await.unwrap();
                assert_eq!(dir.broken_frames(), []);
            });
        }
    }
}

#[test]
fn the_last_frame_may_be_torn_unless_a_file_is_used_after_its_own() {
    let flip_last_of_first_file = |disk: &MemoryDisk, frames: usize| {
        let journal = Path::new("/data/shard-00/corelog-journal-000");
        disk.flip_bit(journal, FIRST_FRAME_AT + (frames - 1) * BLOCK + 300, 6).unwrap();
    };
    let disk = MemoryDisk::new(1, FaultPlan::default());
    block_on(async {
        four_frames(&disk).await;
        flip_last_of_first_file(&disk, 4);
        let dir = open_dir(&disk).await;
        assert_eq!(dir.broken_frames(), []);
        assert_eq!(ends(&dir).await, [3, 2]);
    });

    let disk = MemoryDisk::new(1, FaultPlan::default());
    block_on(async {
        let (dir, logs) = create(&disk, 1, Some(CONFIG)).await;
        let journal = dir.journal().unwrap();
        // The first block is the header, the last two are for entries that void others.
        let frames_of_first = CONFIG.file_bytes as usize / BLOCK - 3;
        for _ in 0..=frames_of_first {
            append(&logs[0], 700);
            assert_eq!(commit_all(&journal, &logs).await, [Fate::Journaled]);
            journal.maintain().await.unwrap();
        }
        flip_last_of_first_file(&disk, frames_of_first);
        let broken = open_dir(&disk).await.broken_frames();
        let [broken] = &broken[..] else { panic!("one frame is broken: {broken:?}") };
        assert_eq!(broken.position, (frames_of_first * BLOCK) as u64);
    });
}

#[test]
fn what_a_failed_flush_left_never_passes_for_what_was_acknowledged_later() {
    for (seed, failing_op) in (0..8).flat_map(|seed| (1..=24).map(move |op| (seed, op))) {
        let disk = MemoryDisk::new(seed, FaultPlan::default());
        block_on(async {
            let (_dir, logs) = create(&disk, 1, Some(CONFIG)).await;
            disk.sync_all_names();
            logs[0].roll(NOW);
            (0..3).for_each(|_| append(&logs[0], 700));
            disk.set_plan(FaultPlan { eio_on_op: Some(disk.ops() + failing_op), ..FaultPlan::default() });
            let _ = logs[0].flush(WriteSync::Data).await;
            disk.set_plan(FaultPlan::default());
        });
        disk.crash(Crash::Process);
        let acknowledged = block_on(async {
            let (dir, logs, _) = reopen(&disk, 1, Some(CONFIG)).await;
            let journal = dir.journal().unwrap();
            journal.maintain().await.unwrap();
            for _ in 0..2 {
                append(&logs[0], 300);
                if commit_all(&journal, &logs).await != [Fate::Journaled] {
                    logs[0].flush(WriteSync::Data).await.unwrap();
                }
            }
            value_lens(&logs[0]).await
        });
        disk.crash(Crash::Machine);
        let found = block_on(async {
            let (_dir, logs, _) = reopen(&disk, 1, Some(CONFIG)).await;
            value_lens(&logs[0]).await
        });
        assert_eq!(found, acknowledged, "disk {seed}, operation {failing_op} fails");
    }
}
