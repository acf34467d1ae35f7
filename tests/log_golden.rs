//! Our files beside Apache Kafka's: see `tests/golden/log/README.md`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};

use corelog::disk::memory::{FaultPlan, MemoryDisk, block_on};
use corelog::disk::{BLOCK, Disk, DiskBuf, DiskFile, OpenMode, WriteSync};
use corelog::log::{
    AppendContext, AppendInfo, AppendOrigin, BatchToAppend, EnvConfig, Log, LogConfig, LogEnv, OpenWith,
};
use corelog::record::batch::{BatchHeader, Batches};
use corelog::types::{LeaderEpoch, Offset, Timestamp, TopicName, TopicPartition, Uuid};

const PARENT: &str = "/data";
const END: Offset = Offset(450);

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log")
}

/// Kafka's files, by name.
fn golden_files() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(golden_dir()).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name != "README.md")
        .collect();
    files.sort();
    files
}

fn topic_partition() -> TopicPartition {
    TopicPartition { topic: TopicName::new("golden").unwrap(), partition: 0 }
}

fn dir() -> PathBuf {
    Path::new(PARENT).join("golden-0")
}

fn env(disk: &MemoryDisk) -> LogEnv<MemoryDisk> {
    LogEnv::new(disk.clone(), EnvConfig { cache_bytes: 1 << 20, open_files: 4, sends_files: true, seed: 1 })
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 20_000, index_interval_bytes: 1_024, ..LogConfig::default() }
}

/// The time of the last record, so that no producer has expired.
fn now() -> Timestamp {
    let headers = batches().into_iter().map(|batch| BatchHeader::decode(&batch).unwrap());
    headers.map(|header| header.max_timestamp).max().unwrap()
}

/// The batches of all segments, in order.
fn batches() -> Vec<Vec<u8>> {
    let logs = golden_files().into_iter().filter(|(name, _)| name.ends_with(".log"));
    let mut batches = Vec::new();
    for (_, contents) in logs {
        batches.extend(Batches::new(&contents).map(|item| item.unwrap().2.to_vec()));
    }
    batches
}

fn append(log: &Log<MemoryDisk>, bytes: &[u8]) -> AppendInfo {
    let header = BatchHeader::decode(bytes).unwrap();
    let batch = BatchToAppend { header, bytes, append_time: None, is_crc_checked: false };
    let context = AppendContext { leader_epoch: LeaderEpoch::ZERO, origin: AppendOrigin::Client, now: now() };
    log.append(&[batch], context).unwrap()
}

async fn write(disk: &MemoryDisk, path: &Path, contents: &[u8]) {
    let file = disk.open(path, OpenMode::CreateNew).await.unwrap();
    let mut buf = disk.alloc(contents.len().next_multiple_of(BLOCK));
    buf.as_mut_slice()[..contents.len()].copy_from_slice(contents);
    if !contents.is_empty() {
        file.write_at(buf.freeze(), 0, WriteSync::None).await.unwrap();
    }
    file.truncate(contents.len() as u64).await.unwrap();
}

#[test]
fn the_same_batches_give_the_same_files() {
    for flush_every in [1, 7, usize::MAX] {
        let disk = MemoryDisk::new(1, FaultPlan::default());
        let create = Log::create(env(&disk), Path::new(PARENT), topic_partition(), Uuid(1), config(), now());
        let log = block_on(create).unwrap();
        for (index, batch) in batches().iter().enumerate() {
            let expected = BatchHeader::decode(batch).unwrap().base_offset;
            assert_eq!(append(&log, batch).base_offset, expected);
            if index % flush_every == 0 {
                block_on(log.flush(WriteSync::None)).unwrap();
            }
        }
        block_on(log.close_clean()).unwrap();
        for (name, expected) in golden_files() {
            // Snapshots hold more than Kafka's, and the topic's id is random.
            if name.ends_with(".snapshot") || name == "partition.metadata" {
                continue;
            }
            let found = block_on(disk.read_file(&dir().join(&name), 1 << 20)).unwrap();
            assert!(found == expected, "{name} differs: {} and {} bytes", found.len(), expected.len());
        }
    }
}

#[test]
fn kafkas_directory_is_opened_as_our_own() {
    for clean in [true, false] {
        let disk = MemoryDisk::new(1, FaultPlan::default());
        block_on(async {
            disk.create_dir_all(&dir()).await.unwrap();
            for (name, contents) in golden_files() {
                // Kafka syncs a segment after it wrote the snapshot at its end: after a crash, such a
                // snapshot does not prove what one of ours proves.
                if clean || !name.ends_with(".snapshot") {
                    write(&disk, &dir().join(name), &contents).await;
                }
            }
        });
        let recovery_point = if clean { END } else { Offset(123) };
        let with = OpenWith { clean, recovery_point, log_start_offset: Offset::ZERO, is_journaled: false };
        let open = Log::open(env(&disk), Path::new(PARENT), topic_partition(), config(), with, now());
        let (log, report) = block_on(open).unwrap();
        assert!(report.is_intact() && report.truncated.is_none(), "{report:?}");
        assert_eq!((report.scanned_bytes == 0, log.staged_end_offset()), (clean, END));
        assert_eq!((log.segment_count(), log.latest_epoch()), (3, Some(LeaderEpoch::ZERO)));
        assert_eq!(log.active_producers().len(), 3);
        for batch in batches() {
            let header = BatchHeader::decode(&batch).unwrap();
            let read = block_on(log.read(header.last_offset(), END, 1, true)).unwrap();
            assert!(read.chunks.concat() == batch);
            let found = block_on(log.offset_for_timestamp(header.max_timestamp, END, &async |_: u64| ()))
                .unwrap()
                .unwrap();
            assert!(found.offset <= header.last_offset());
        }
        assert!(append(&log, batches().last().unwrap()).duplicate);
    }
}
