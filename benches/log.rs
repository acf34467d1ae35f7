//! What do appends, the journal, lookups and fetches cost beside the disk?
//!
//! `cargo bench --bench log`; under `cargo test` each runs once. Everything is in memory: the disk is
//! `disk::memory`, on which a synced write is three copies, the cost of which `disk_write` shows alone. The
//! indexes have no face of their own: `offset_lookup` and `time_lookup` go through a log to one batch of a
//! kilobyte, which is the least that a fetch and a ListOffsets do.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use corelog::disk::memory::{FaultPlan, MemoryDisk, block_on};
use corelog::disk::{BLOCK, Disk, DiskBuf, DiskFile, OpenMode, WriteSync};
use corelog::log::{
    AppendContext, AppendOrigin, BatchToAppend, EnvConfig, Fate, Journal, JournalConfig, Log, LogConfig,
    LogDir, LogEnv, Store,
};
use corelog::record::batch::BatchHeader;
use corelog::record::builder::{BatchBuilder, BatchFields};
use corelog::types::{ErrorCode, LeaderEpoch, Offset, Prng, Timestamp, TopicName, TopicPartition, Uuid};
use corelog::wire::TopicRef;
use corelog::wire::fetch::{FetchPartitionResponse, FetchResponse, FetchTopicResponse};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const PARENT: &str = "/data";
const FETCH_VERSION: i16 = 17;

/// A log that is appended to is given up for an empty one at this size: the disk is memory.
const LOG_BYTES_MAX: u64 = 64 << 20;

fn main() {
    divan::main();
}

/// A batch as a client sends it, with its header.
struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    fn new(record_bytes: usize, records: usize) -> Self {
        let mut prng = Prng::new(7);
        let mut builder = BatchBuilder::new(BatchFields::default());
        let mut value = vec![0; record_bytes];
        for _ in 0..records {
            prng.fill(&mut value);
            builder.append(NOW, None, Some(&value), &[]);
        }
        let bytes = builder.build();
        Self { header: BatchHeader::decode(&bytes).expect("a batch of ours"), bytes }
    }

    /// Appends a copy; the CRC is checked while it is made, as for records of a client.
    fn append_to(&self, log: &Log<MemoryDisk>, append_time: Option<Timestamp>) {
        let batch =
            BatchToAppend { header: self.header, bytes: &self.bytes, append_time, is_crc_checked: false };
        let context =
            AppendContext { leader_epoch: LeaderEpoch::ZERO, origin: AppendOrigin::Client, now: NOW };
        log.append(&[batch], context).expect("the batch is good");
    }
}

fn env() -> LogEnv<MemoryDisk> {
    let disk = MemoryDisk::new(7, FaultPlan::default());
    LogEnv::new(disk, EnvConfig { cache_bytes: 256 << 20, open_files: 64, sends_files: false, seed: 7 })
}

fn topic_partition(partition: i32) -> TopicPartition {
    TopicPartition { topic: TopicName::new("orders").expect("a topic's name"), partition }
}

fn new_log(env: LogEnv<MemoryDisk>, partition: i32, config: LogConfig) -> Log<MemoryDisk> {
    let parent = Path::new(PARENT);
    block_on(Log::create(env, parent, topic_partition(partition), Uuid(7), config, NOW)).expect("a new log")
}

fn flush(log: &Log<MemoryDisk>, sync: WriteSync) {
    block_on(log.flush(sync)).expect("the disk has no faults");
}

/// From a validated batch to staged bytes: checks of the producer, offsets, one copy with the CRC.
#[divan::bench(sample_size = 16, args = [(1_000, 64), (100, 640), (100, 5), (100, 1)])]
fn append(bencher: Bencher<'_, '_>, (record_bytes, records): (usize, usize)) {
    let batch = Batch::new(record_bytes, records);
    let log = RefCell::new(new_log(env(), 0, LogConfig::default()));
    let make_room = || {
        flush(&log.borrow(), WriteSync::None);
        if LOG_BYTES_MAX < log.borrow().size_bytes() {
            log.replace(new_log(env(), 0, LogConfig::default()));
        }
    };
    bencher
        .counter(BytesCount::new(batch.bytes.len()))
        .with_inputs(make_room)
        .bench_local_values(|()| batch.append_to(&log.borrow(), None));
}

/// The disk's part of a flush or a frame.
#[divan::bench(args = [BLOCK, 64 * BLOCK])]
fn disk_write(bencher: Bencher<'_, '_>, bytes: usize) {
    let disk = MemoryDisk::new(7, FaultPlan::default());
    let file = block_on(disk.open(Path::new("/file"), OpenMode::CreateNew)).expect("a new file");
    let buf = disk.alloc(bytes).freeze();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        block_on(file.write_at(buf.clone(), 0, WriteSync::Data)).expect("the disk has no faults")
    });
}

/// Partitions that each have one batch staged, and the journal of their directory.
struct Journaled {
    logs: Vec<Log<MemoryDisk>>,
    journal: Journal<MemoryDisk>,
    batch: Batch,
}

impl Journaled {
    const CONFIG: JournalConfig =
        JournalConfig { file_bytes: 8 << 20, files_max: 4, bypass_bytes: 256 << 10, copy_bytes: 32 << 10 };

    fn new(partitions: usize, record_bytes: usize) -> Self {
        let dir = block_on(LogDir::open(env(), PathBuf::from(PARENT))).expect("a new directory");
        let batch = Batch::new(record_bytes, 1);
        let create = |partition| {
            let created =
                dir.create_log(topic_partition(partition as i32), Uuid(7), LogConfig::default(), NOW);
            let log = block_on(created).expect("a new log");
            // The first append of a leader epoch goes past the journal.
            batch.append_to(&log, None);
            flush(&log, WriteSync::Data);
            log
        };
        let logs = (0..partitions).map(create).collect();
        block_on(dir.start_journal(Some(Self::CONFIG))).expect("a new journal");
        Self { logs, journal: dir.journal().expect("it was started"), batch }
    }

    /// Frees what the journal holds of stored logs, and stages a batch for each log.
    fn stage(&self) {
        for log in self.journal.pressing() {
            block_on(log.store(Store::Synced)).expect("the disk has no faults");
        }
        block_on(self.journal.maintain()).expect("the disk has no faults");
        self.logs.iter().for_each(|log| self.batch.append_to(log, None));
    }

    fn tick(&self) {
        let fates = block_on(self.journal.commit(&self.logs)).expect("the disk has no faults");
        assert!(fates.iter().all(|fate| *fate == Fate::Journaled), "one frame has room for all");
    }
}

/// What is staged in many partitions becomes one frame, is written, and counts as synced.
#[divan::bench(sample_size = 1, args = [(1, 100), (16, 16_000), (100, 1_000), (1_000, 100)])]
fn journal_tick(bencher: Bencher<'_, '_>, (partitions, record_bytes): (usize, usize)) {
    let journaled = Journaled::new(partitions, record_bytes);
    bencher
        .counter(ItemsCount::new(partitions))
        .counter(BytesCount::new(partitions * journaled.batch.bytes.len()))
        .with_inputs(|| journaled.stage())
        .bench_local_values(|()| journaled.tick());
}

/// Where in the log is looked.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// A segment whose indexes are files.
    Closed,
    /// The segment that is appended to, whose newest index entries are in memory.
    Active,
}

/// A log of four segments with batches of a kilobyte, about four to an index entry, each a millisecond newer
/// than the one before.
struct Searched {
    log: Log<MemoryDisk>,
    prng: Prng,
}

impl Searched {
    const SEGMENT_BYTES: u32 = 4 << 20;

    fn new() -> Self {
        let config = LogConfig { segment_bytes: Self::SEGMENT_BYTES, ..LogConfig::default() };
        let log = new_log(env(), 0, config);
        let batch = Batch::new(900, 1);
        let mut time = NOW;
        while log.size_bytes() < 4 * u64::from(Self::SEGMENT_BYTES) - (1 << 20) {
            batch.append_to(&log, Some(time));
            time = time.saturating_add_ms(1);
            if 1 << 20 < log.staged_bytes() {
                flush(&log, WriteSync::None);
            }
        }
        flush(&log, WriteSync::None);
        assert_eq!(log.segment_count(), 4, "three closed, one active");
        Self { log, prng: Prng::new(7) }
    }

    fn end(&self) -> Offset {
        self.log.written_end_offset()
    }

    /// A random offset. A tenth of the log, at its end, is in the active segment for certain.
    fn offset(&mut self, place: Place) -> Offset {
        let (end, tenth) = (self.end().0, self.end().0 / 10);
        match place {
            Place::Closed => Offset(self.prng.below(end as u64 / 2) as i64),
            Place::Active => Offset(end - 1 - self.prng.below(tenth as u64) as i64),
        }
    }
}

#[divan::bench(args = [Place::Closed, Place::Active])]
fn offset_lookup(bencher: Bencher<'_, '_>, place: Place) {
    let mut searched = Searched::new();
    let (log, end) = (searched.log.clone(), searched.end());
    bencher
        .with_inputs(|| searched.offset(place))
        .bench_local_values(|from| block_on(log.read(from, end, 1, true)).expect("the offset is there"));
}

#[divan::bench(args = [Place::Closed, Place::Active])]
fn time_lookup(bencher: Bencher<'_, '_>, place: Place) {
    let mut searched = Searched::new();
    let (log, end) = (searched.log.clone(), searched.end());
    // The record of an offset is as many milliseconds younger than the first one.
    bencher.with_inputs(|| NOW.saturating_add_ms(searched.offset(place).0)).bench_local_values(|time| {
        let found =
            block_on(log.offset_for_timestamp(time, end, &async |_: u64| ())).expect("the log is good");
        assert_eq!(found.map(|found| found.timestamp), Some(time));
    });
}

/// From positions of consumers at the end to the pieces of a response: what was just written is found in
/// memory and handed on, not copied.
#[divan::bench(args = [(1, 64), (16, 64), (1_000, 1)])]
fn fetch_from_tail(bencher: Bencher<'_, '_>, (partitions, records): (usize, usize)) {
    let (env, batch) = (env(), Batch::new(1_000, records));
    let create = |partition| {
        let log = new_log(env.clone(), partition as i32, LogConfig::default());
        (0..2).for_each(|_| batch.append_to(&log, None));
        flush(&log, WriteSync::None);
        log
    };
    let logs: Vec<_> = (0..partitions).map(create).collect();
    let from = Offset(records as i64);
    bencher
        .counter(ItemsCount::new(partitions))
        .counter(BytesCount::new(partitions * batch.bytes.len()))
        .bench_local(|| assemble(black_box(&logs), from));
}

fn assemble(logs: &[Log<MemoryDisk>], from: Offset) -> usize {
    let answer = |(partition, log): (usize, &Log<MemoryDisk>)| {
        let end = log.written_end_offset();
        let read = block_on(log.read_to_send(from, end, 1 << 20, true)).expect("the offset is there");
        FetchPartitionResponse {
            high_watermark: end,
            last_stable_offset: end,
            log_start_offset: log.log_start_offset(),
            records: read.pieces,
            ..FetchPartitionResponse::error(partition as i32, ErrorCode::None)
        }
    };
    let partitions = logs.iter().enumerate().map(answer).collect();
    let topics = vec![FetchTopicResponse { topic: TopicRef::Id(Uuid(7)), partitions }];
    let (throttle_time_ms, error_code, session_id) = (0, ErrorCode::None, 0);
    let response =
        FetchResponse { throttle_time_ms, error_code, session_id, topics, node_endpoints: Vec::new() };
    response.encode(FETCH_VERSION, 7).len()
}
