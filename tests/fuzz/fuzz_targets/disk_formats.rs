//! The files that a start reads, one of them replaced by the fuzzer's: a log directory with one partition in
//! three segments, or the snapshot and the log of the metadata.
//!
//! The first byte chooses the file, the second whether the start follows a clean stop, where recovery begins,
//! and whether checksums are made right first, since a fuzzer finds none. Passes when no input panics, aborts
//! or allocates beyond the bound, when a log that opens can be read, appended to and closed, and when it
//! opens again with the same end.

#![no_main]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use corelog::disk::memory::{FaultPlan, MemoryDisk, block_on};
use corelog::disk::{BLOCK, Disk, DiskBuf, DiskFile, OpenMode, WriteSync, align_up};
use corelog::log::{
    AppendContext, AppendOrigin, BatchToAppend, CheckpointedLog, EnvConfig, JournalConfig, Log, LogConfig,
    LogDir, LogEnv, LogError, MetaProperties,
};
use corelog::metadata::MetadataImage;
use corelog::metadata::batch::decode_batches;
use corelog::metadata::snapshot::{self, SnapshotId};
use corelog::record::batch::{self, BatchHeader, HEADER_LEN, LOG_OVERHEAD};
use corelog::record::builder::{BatchBuilder, BatchFields};
use corelog::types::{LeaderEpoch, Offset, Timestamp, TopicName, TopicPartition};
use libfuzzer_sys::fuzz_target;

#[path = "../disk_files.rs"]
mod disk_files;

use disk_files::{FILES, Kind};

/// A log directory, and the directory of the partition in it.
const DIR: &str = "/data/shard-00";
const PARTITION: &str = "golden-0";
const CLUSTER_ID: &str = "corelog-golden";

/// The largest relative offset and the longest segment would make one input slow; so do many small reads.
const READ_BYTES: usize = 1 << 20;
const READS_MAX: usize = 200;
const NOW: Timestamp = Timestamp(1_800_000_000_000);
const JOURNAL: JournalConfig =
    JournalConfig { file_bytes: 0, files_max: 2, bypass_bytes: 1 << 20, copy_bytes: 0 };

/// Journal files: where `docs/storage_format.md` has what is made right.
const FILE_HEADER_CRC_AT: usize = 28;
const FRAME_HEADER_LEN: usize = 28;
const ENTRY_HEADER_LEN: usize = 53;
const KIND_BATCHES: u8 = 1;
const KIND_BATCHES_IN_BLOCKS: u8 = 3;
/// Producer snapshots.
const SNAPSHOT_CRC_AT: usize = 2;
const SNAPSHOT_ENTRIES_AT: usize = 6;

fuzz_target!(|data: &[u8]| {
    let [choice, flags, contents @ ..] = data else { return };
    let chosen = usize::from(*choice) % FILES.len();
    let mut contents = contents.to_vec();
    if flags & 2 != 0 {
        fit(FILES[chosen].kind, &mut contents);
    }
    match FILES[chosen].kind {
        Kind::MetadataSnapshot => read_snapshot(contents.into()),
        Kind::MetadataLog => read_metadata(&contents.into()),
        _ => block_on(start(chosen, contents, flags & 1 != 0, flags >> 2)),
    }
});

fn read_snapshot(contents: Bytes) {
    let id = SnapshotId { end_offset: Offset(185), epoch: LeaderEpoch(2) };
    if let Ok(snapshot) = snapshot::decode(CLUSTER_ID, id, &contents) {
        assert_eq!(snapshot.image.end_offset(), id.end_offset);
    }
}

fn read_metadata(contents: &Bytes) {
    let mut image = MetadataImage::new(CLUSTER_ID);
    for delta in decode_batches(contents) {
        let Ok(delta) = delta else { return };
        if image.apply_delta(&delta).is_err() {
            return;
        }
        assert_eq!(image.end_offset(), delta.last_offset + 1);
    }
}

async fn start(chosen: usize, contents: Vec<u8>, is_clean: bool, recovery_point: u8) {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let dir = Path::new(DIR);
    disk.create_dir_all(&dir.join(PARTITION)).await.expect("an empty disk takes a directory");
    for (index, file) in FILES.iter().enumerate() {
        let is_there = match file.kind {
            Kind::MetadataSnapshot | Kind::MetadataLog => false,
            Kind::CleanShutdown => is_clean || index == chosen,
            _ => true,
        };
        let bytes = match file.name {
            _ if index == chosen => &contents,
            "recovery-point-offset-checkpoint" => &recovery_points(recovery_point),
            _ => file.contents,
        };
        if is_there && (index == chosen || !bytes.is_empty()) {
            write(&disk, &dir.join(file.name), bytes).await;
        }
    }
    disk.sync_all_names();
    let _ = MetaProperties::read(&disk, dir).await;
    let Ok(end) = use_log(&disk).await else { return };
    // What was closed cleanly opens again as it was.
    let again = open(&disk).await.and_then(|(_, log)| Ok(log.staged_end_offset()));
    assert_eq!(again.expect("a log that was closed cleanly opens"), end);
}

async fn open(disk: &MemoryDisk) -> Result<(LogDir<MemoryDisk>, Log<MemoryDisk>), LogError> {
    let config = EnvConfig { cache_bytes: 1 << 20, open_files: 4, sends_files: false, seed: 1 };
    let log_dir = LogDir::open(LogEnv::new(disk.clone(), config), PathBuf::from(DIR)).await?;
    log_dir.load_cleaned_ends().await?;
    log_dir.partitions().await?;
    let topic = TopicName::new("golden").expect("a legal name");
    let config = LogConfig { segment_bytes: 20_000, index_interval_bytes: 1_024, ..LogConfig::default() };
    let (log, _) = log_dir.load_log(TopicPartition { topic, partition: 0 }, config, NOW).await?;
    log_dir.start_journal(Some(JOURNAL)).await?;
    Ok((log_dir, log))
}

async fn use_log(disk: &MemoryDisk) -> Result<Offset, LogError> {
    let (log_dir, log) = open(disk).await?;
    let end = log.written_end_offset();
    let mut from = log.log_start_offset();
    for _ in 0..READS_MAX {
        let Ok(read) = log.read(from, end, READ_BYTES, true).await else { break };
        let bytes: Bytes = read.chunks.concat().into();
        let Some(last) = batch::Batches::new(&bytes).map_while(Result::ok).last() else { break };
        assert!(from < last.1.next_offset(), "a read from {from} ends at {}", last.1.next_offset());
        from = last.1.next_offset();
    }
    for time in [0, 1_700_000_000_000, i64::MAX] {
        let _ = log.offset_for_timestamp(Timestamp(time), end, &async |_: u64| ()).await;
    }
    let _ = log.max_timestamp_offset(end, &async |_: u64| ()).await;
    let _ = log.verify(async |_| {}).await;
    if let Some(latest) = log.latest_epoch() {
        log.end_offset_for_epoch(latest);
    }
    // Its end may leave no room for another offset, and the epoch none for a newer one.
    if end.0 < i64::MAX - 10 {
        let mut builder = BatchBuilder::new(BatchFields::default());
        builder.append(Timestamp(1_800_000_000_000), Some(b"key"), Some(b"value"), &[]);
        let bytes = builder.build();
        let header = BatchHeader::decode(&bytes).expect("a batch was just built");
        let added = BatchToAppend { header, bytes: &bytes, append_time: None, is_crc_checked: false };
        let leader_epoch = log.latest_epoch().unwrap_or(LeaderEpoch::ZERO);
        let context = AppendContext { leader_epoch, origin: AppendOrigin::Client, now: NOW };
        let _ = log.append(&[added], context);
    }
    log.close_clean().await?;
    let high_watermark = log.written_end_offset();
    log_dir.close_clean(&[CheckpointedLog { log: &log, high_watermark }], 1).await?;
    Ok(log.staged_end_offset())
}

/// A recovery point somewhere in the log.
fn recovery_points(choice: u8) -> Vec<u8> {
    format!("0\n1\ngolden 0 {}\n", u32::from(choice) * 450 / 63).into_bytes()
}

async fn write(disk: &MemoryDisk, path: &Path, contents: &[u8]) {
    let file = disk.open(path, OpenMode::CreateNew).await.expect("the file is new");
    let mut buf = disk.alloc(contents.len().next_multiple_of(BLOCK));
    buf.as_mut_slice()[..contents.len()].copy_from_slice(contents);
    if !contents.is_empty() {
        file.write_at(buf.freeze(), 0, WriteSync::Data).await.expect("a sound disk");
    }
    file.truncate(contents.len() as u64).await.expect("a sound disk");
    file.sync_data().await.expect("a sound disk");
}

/// Makes true what the fuzzer would have to guess.
fn fit(kind: Kind, contents: &mut Vec<u8>) {
    match kind {
        Kind::Batches | Kind::MetadataSnapshot | Kind::MetadataLog => fit_batches(contents),
        Kind::ProducerSnapshot if SNAPSHOT_ENTRIES_AT <= contents.len() => {
            let crc = crc32c::crc32c(&contents[SNAPSHOT_ENTRIES_AT..]);
            contents[SNAPSHOT_CRC_AT..SNAPSHOT_ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
        }
        Kind::Journal => fit_journal(contents),
        _ => {}
    }
}

/// Gives every batch that is there in its length the CRC of what it holds.
fn fit_batches(contents: &mut [u8]) {
    let mut rest = contents;
    while HEADER_LEN <= rest.len() {
        let length = i32::from_be_bytes(*rest[8..].first_chunk().expect("a header is longer"));
        let len = LOG_OVERHEAD.saturating_add(usize::try_from(length).unwrap_or(0));
        if len < HEADER_LEN || rest.len() < len {
            return;
        }
        let (batch, behind) = rest.split_at_mut(len);
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        rest = behind;
    }
}

fn fit_journal(contents: &mut Vec<u8>) {
    contents.resize((align_up(contents.len() as u64) as usize).max(2 * BLOCK), 0);
    contents[..8].copy_from_slice(b"CORELOGJ");
    contents[8..12].copy_from_slice(&2_u32.to_be_bytes());
    let file_bytes = contents.len() as u64;
    contents[20..FILE_HEADER_CRC_AT].copy_from_slice(&file_bytes.to_be_bytes());
    let crc = crc32c::crc32c(&contents[..FILE_HEADER_CRC_AT]);
    contents[FILE_HEADER_CRC_AT..FILE_HEADER_CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    let generation: [u8; 8] = *contents[12..].first_chunk().expect("two blocks at least");
    let (mut at, mut sequence) = (BLOCK, 0_u32);
    while at + FRAME_HEADER_LEN <= contents.len() {
        let frame = &mut contents[at..];
        let len = u32_at(frame, 4);
        if len < FRAME_HEADER_LEN || frame.len() < len {
            return;
        }
        frame[8..16].copy_from_slice(&generation);
        frame[16..20].copy_from_slice(&sequence.to_be_bytes());
        if let Some(crc) = frame_crc(&frame[..len]) {
            frame[..4].copy_from_slice(&crc.to_be_bytes());
        }
        at += align_up(len as u64) as usize;
        sequence += 1;
    }
}

/// The checksum that a frame should have; `None` for one whose lengths do not fit.
fn frame_crc(frame: &[u8]) -> Option<u32> {
    let entries_end = u32_at(frame, 24);
    let mut crc = crc32c::crc32c(frame.get(4..entries_end)?);
    let (mut at, mut blocks_at) = (FRAME_HEADER_LEN, align_up(entries_end as u64) as usize);
    while at < entries_end {
        let entry = frame.get(at..at + ENTRY_HEADER_LEN)?;
        let (bytes, skipped) = (u32_at(entry, 45), u32_at(entry, 49));
        at += ENTRY_HEADER_LEN;
        match entry[0] {
            KIND_BATCHES => at += bytes,
            KIND_BATCHES_IN_BLOCKS => {
                let start = blocks_at + skipped;
                crc = crc32c::crc32c_append(crc, frame.get(start..start + bytes)?);
                blocks_at += align_up((skipped + bytes) as u64) as usize;
            }
            _ => {}
        }
    }
    Some(crc)
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(*bytes[at..].first_chunk().expect("four bytes")) as usize
}
