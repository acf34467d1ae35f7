//! Cleanings of whole logs on a disk in memory, against a model of what has to be left.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::disk::memory::{Crash, FaultPlan, MemoryDisk, block_on, yield_turns};
use crate::disk::{Disk, WriteSync};
use crate::log::{
    AppendContext, AppendOrigin, BatchToAppend, CleanError, CleanReport, CleanerLimits, CleanupPolicy,
    EnvConfig, Log, LogConfig, LogEnv, LongWork, NoThread, OpenWith, RecoveryReport,
};
use crate::record::batch::{BatchHeader, Batches, crc_matches};
use crate::record::builder::{BatchBuilder, BatchFields};
use crate::record::compression::Codec;
use crate::record::records::RecordIter;
use crate::types::{
    LeaderEpoch, Offset, Prng, ProducerEpoch, ProducerId, Timestamp, TopicName, TopicPartition, Uuid,
};

const PARENT: &str = "/logs";
const NOW: Timestamp = Timestamp(1_000_000);
const LIMITS: CleanerLimits = CleanerLimits { map_bytes: 1 << 20, load_factor: 0.9 };

fn topic_partition() -> TopicPartition {
    TopicPartition { topic: TopicName::new("accounts").unwrap(), partition: 0 }
}

fn env(disk: &MemoryDisk) -> LogEnv<MemoryDisk> {
    LogEnv::new(disk.clone(), EnvConfig { cache_bytes: 64 * 1024, open_files: 2, sends_files: true, seed: 1 })
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 8 * 1024,
        index_interval_bytes: 256,
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        delete_retention_ms: 0,
        ..LogConfig::default()
    }
}

fn create(disk: &MemoryDisk) -> Log<MemoryDisk> {
    let create = Log::create(env(disk), Path::new(PARENT), topic_partition(), Uuid(77), config(), NOW);
    let log = block_on(create).unwrap();
    disk.sync_all_names();
    log
}

fn reopen(disk: &MemoryDisk, clean: bool, recovery_point: Offset) -> (Log<MemoryDisk>, RecoveryReport) {
    let with = OpenWith { clean, recovery_point, log_start_offset: Offset::ZERO, is_journaled: false };
    block_on(Log::open(env(disk), Path::new(PARENT), topic_partition(), config(), with, NOW)).unwrap()
}

/// A record as a producer sends it: a key and, unless it is a tombstone, a value.
type KeyValue = (Vec<u8>, Option<Vec<u8>>);

fn batch(records: &[KeyValue], fields: BatchFields) -> Bytes {
    let mut builder = BatchBuilder::new(fields);
    for (key, value) in records {
        builder.append(NOW, Some(key), value.as_deref(), &[]);
    }
    builder.build()
}

fn append(log: &Log<MemoryDisk>, batch: &[u8]) -> Offset {
    let header = BatchHeader::decode(batch).unwrap();
    let batch = BatchToAppend { header, bytes: batch, append_time: None, is_crc_checked: true };
    let context = AppendContext { leader_epoch: LeaderEpoch(4), origin: AppendOrigin::Client, now: NOW };
    log.append(&[batch], context).unwrap().base_offset
}

fn flush(log: &Log<MemoryDisk>) {
    block_on(log.flush(WriteSync::Data)).unwrap();
}

/// Closes the active segment, so that it can be cleaned.
fn roll(log: &Log<MemoryDisk>) {
    log.roll(NOW);
    flush(log);
}

async fn try_clean(log: &Log<MemoryDisk>, from: Offset, now: Timestamp) -> Result<CleanReport, CleanError> {
    let cleanable = log.cleanable(Some(from), log.written_end_offset(), now).await?;
    let cleanable = cleanable.expect("there are closed segments");
    log.clean(cleanable, LIMITS, now, async |_: u64| ()).await
}

fn clean(log: &Log<MemoryDisk>, from: Offset, now: Timestamp) -> CleanReport {
    block_on(try_clean(log, from, now)).unwrap()
}

/// What a consumer sees: offset, key, value.
type Seen = BTreeMap<i64, KeyValue>;

/// Reads the whole log as consumers do, in pieces; checks what holds for every log.
fn read_all(log: &Log<MemoryDisk>, max_bytes: usize) -> (Seen, Vec<BatchHeader>) {
    let end = log.written_end_offset();
    let (mut seen, mut headers) = (Seen::new(), Vec::new());
    let mut next = log.log_start_offset();
    while next < end {
        let outcome = block_on(log.read(next, end, max_bytes, true)).unwrap();
        let bytes = Bytes::from(outcome.chunks.concat());
        if bytes.is_empty() {
            break;
        }
        for (at, header, batch) in Batches::new(&bytes).map_while(Result::ok) {
            assert!(crc_matches(batch), "at {next}");
            assert_eq!(header.partition_leader_epoch, LeaderEpoch(4));
            assert!(next <= header.next_offset(), "{} after {next}", header.base_offset);
            for record in RecordIter::new(&bytes.slice(at..at + header.total_len())).unwrap() {
                let record = record.unwrap();
                assert!(header.base_offset <= record.offset && record.offset <= header.last_offset());
                assert_eq!(record.timestamp, NOW, "timestamps stay");
                let key = record.key.unwrap().to_vec();
                let before = seen.insert(record.offset.0, (key, record.value.map(|value| value.to_vec())));
                assert_eq!(before, None, "offset {} twice", record.offset);
            }
            next = header.next_offset();
            headers.push(header);
        }
    }
    (seen, headers)
}

/// What is left of `all` when everything below `end` was cleaned.
fn compacted(all: &Seen, end: Offset, keeps_tombstones: bool) -> Seen {
    let mut last: BTreeMap<&[u8], i64> = BTreeMap::new();
    for (offset, (key, _)) in all.range(..end.0) {
        last.insert(key, *offset);
    }
    let is_kept = |offset: &i64, (key, value): &KeyValue| {
        end.0 <= *offset || (last[key.as_slice()] == *offset && (keeps_tombstones || value.is_some()))
    };
    all.iter().filter(|(offset, record)| is_kept(offset, record)).map(|(o, r)| (*o, r.clone())).collect()
}

fn key_value(key: &str, value: Option<&str>) -> KeyValue {
    (key.into(), value.map(Into::into))
}

fn names(disk: &MemoryDisk) -> BTreeSet<String> {
    let dir = Path::new(PARENT).join(topic_partition().dir_name());
    block_on(disk.list(&dir)).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn the_last_value_of_a_key_stays_and_tombstones_go_later() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk);
    for (key, value) in [("key1", "value1"), ("key2", "value2"), ("key1", "value3"), ("key2", "value4")] {
        append(&log, &batch(&[key_value(key, Some(value))], BatchFields::default()));
    }
    roll(&log);
    let report = clean(&log, Offset::ZERO, NOW);
    assert_eq!((report.end_offset, report.keys), (Offset(4), 2));
    let offsets = |log: &Log<MemoryDisk>| read_all(log, 1 << 20).0.into_keys().collect::<Vec<_>>();
    assert_eq!(offsets(&log), [2, 3]);
    assert_eq!(log.log_start_offset(), Offset::ZERO, "a cleaning moves no log start");

    append(&log, &batch(&[key_value("key1", None)], BatchFields::default()));
    roll(&log);
    clean(&log, Offset(4), NOW);
    assert_eq!(offsets(&log), [3, 4], "the tombstone is there for those who read on");
    let (_, headers) = read_all(&log, 1 << 20);
    assert_eq!(headers.last().unwrap().delete_horizon(), Some(NOW));

    append(&log, &batch(&[key_value("key3", Some("value5"))], BatchFields::default()));
    roll(&log);
    clean(&log, Offset(5), Timestamp(NOW.0 + 1));
    assert_eq!(offsets(&log), [3, 5], "and then it goes");
    let found = block_on(log.read(Offset(4), Offset(6), 1 << 20, true)).unwrap();
    assert_eq!(BatchHeader::decode(&found.chunks.concat()).unwrap().base_offset, Offset(5));
}

#[test]
fn the_last_batch_of_a_producer_and_of_a_round_stay_as_headers() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk);
    let fields = |producer, base_sequence| BatchFields {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(3),
        base_sequence,
        codec: Codec::Zstd,
        ..BatchFields::default()
    };
    let pair = [key_value("a", Some("1")), key_value("b", Some("2"))];
    append(&log, &batch(&pair, fields(7, 0)));
    append(&log, &batch(&pair, fields(7, 2)));
    append(&log, &batch(&pair, fields(8, 0)));
    append(&log, &batch(&[key_value("c", None)], BatchFields::default()));
    roll(&log);
    clean(&log, Offset::ZERO, NOW);
    append(&log, &batch(&[key_value("a", Some("9")), key_value("b", Some("9"))], fields(8, 2)));
    append(&log, &batch(&[key_value("c", None)], BatchFields::default()));
    append(&log, &batch(&[key_value("d", None)], BatchFields::default()));
    roll(&log);
    clean(&log, Offset(7), NOW);
    let (seen, headers) = read_all(&log, 1 << 20);
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [7, 8, 9, 10]);
    let empty = headers.iter().find(|header| header.record_count == 0).unwrap();
    assert_eq!((empty.base_offset, empty.last_offset()), (Offset(2), Offset(3)));
    assert_eq!((empty.producer_id, empty.base_sequence, empty.last_sequence()), (ProducerId(7), 2, 3));

    let (log, report) = reopen(&disk, false, log.synced_end_offset());
    assert_eq!(report.broken, []);
    assert_eq!(log.active_producers(), [ProducerId(7), ProducerId(8)]);
    let again = batch(&pair, fields(7, 2));
    assert_eq!(append(&log, &again), Offset(2), "the last batch is known for a repetition");

    // Tombstones passed their horizon, all of the round goes: its end must not.
    append(&log, &batch(&[key_value("d", None)], BatchFields::default()));
    roll(&log);
    clean(&log, Offset(11), NOW);
    append(&log, &batch(&[key_value("e", None)], BatchFields::default()));
    roll(&log);
    clean(&log, Offset(12), Timestamp(NOW.0 + 1));
    clean(&log, Offset(12), Timestamp(NOW.0 + 2));
    let (_, headers) = read_all(&log, 1 << 20);
    let last = headers.last().unwrap();
    assert_eq!((last.next_offset(), last.record_count), (Offset(13), 0));
}

/// A random log under a random codec; returns what was appended.
fn fill(log: &Log<MemoryDisk>, prng: &mut Prng, batches: u64, keys: u64, all: &mut Seen) {
    for _ in 0..batches {
        let count = 1 + prng.below(6);
        let records: Vec<KeyValue> = (0..count)
            .map(|_| {
                let key = prng.below(keys).to_be_bytes().to_vec();
                let value =
                    (!prng.chance(1, 6)).then(|| vec![prng.below(256) as u8; prng.below(120) as usize]);
                (key, value)
            })
            .collect();
        let codec = Codec::ALL[prng.below(5) as usize];
        let base = append(log, &batch(&records, BatchFields { codec, ..BatchFields::default() }));
        all.extend(records.into_iter().enumerate().map(|(index, record)| (base.0 + index as i64, record)));
        if prng.chance(1, 10) {
            flush(log);
        }
    }
}

#[test]
fn random_logs_are_compacted_like_the_model() {
    for seed in 0..60 {
        let mut prng = Prng::new(seed);
        let plan = FaultPlan { turns_max: 2, short_write_in: 3, ..FaultPlan::default() };
        let disk = MemoryDisk::new(seed, plan);
        let log = create(&disk);
        let keys = [3, 40, 1_000][prng.below(3) as usize];
        let (mut all, mut from) = (Seen::new(), Offset::ZERO);
        for round in 0..3 {
            let batches = 20 + prng.below(100);
            fill(&log, &mut prng, batches, keys, &mut all);
            roll(&log);
            let segments = log.segment_count();
            // Tombstones outlive a round when time stands still until its end.
            let report = clean(&log, from, NOW);
            assert_eq!(report.end_offset, log.written_end_offset(), "seed {seed}");
            assert!(log.segment_count() <= segments);
            let expected = compacted(&all, report.end_offset, true);
            // Tombstones that an earlier round gave a horizon of NOW are gone now.
            let (found, headers) = read_all(&log, [1, 700, 1 << 20][prng.below(3) as usize]);
            let is_older = |offset: &i64| *offset < from.0;
            let expected: Seen = expected
                .into_iter()
                .filter(|(offset, (_, value))| value.is_some() || !is_older(offset))
                .collect();
            assert_eq!(found, expected, "seed {seed} round {round}");
            assert_eq!(headers.last().unwrap().next_offset(), report.end_offset, "seed {seed}");
            from = report.end_offset;
        }
        let end = log.written_end_offset();
        let found = read_all(&log, 1 << 20);
        if prng.chance(1, 2) {
            block_on(log.close_clean()).unwrap();
            let (log, report) = reopen(&disk, true, end);
            assert_eq!((report.broken, report.truncated), (vec![], None));
            assert_eq!(read_all(&log, 1 << 20), found, "seed {seed}");
        } else {
            let (log, report) = reopen(&disk, false, Offset::ZERO);
            assert_eq!((report.broken, report.truncated), (vec![], None), "seed {seed}");
            assert_eq!(log.written_end_offset(), end, "seed {seed}");
            assert_eq!(read_all(&log, 1 << 20), found, "seed {seed}");
        }
    }
}

#[test]
fn a_small_map_takes_more_rounds_to_the_same_end() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk);
    let mut all = Seen::new();
    fill(&log, &mut Prng::new(5), 200, 300, &mut all);
    roll(&log);
    let end = log.written_end_offset();
    let (mut from, mut rounds) = (Offset::ZERO, 0);
    while from < end {
        let cleanable = block_on(log.cleanable(Some(from), end, NOW)).unwrap().unwrap();
        let limits = CleanerLimits { map_bytes: 24 * 60, load_factor: 0.9 };
        let report = block_on(log.clean(cleanable, limits, Timestamp(0), async |_: u64| ())).unwrap();
        assert!(report.keys <= 54 && from < report.end_offset);
        (from, rounds) = (report.end_offset, rounds + 1);
    }
    assert!(3 < rounds, "{rounds} rounds");
    let (found, _) = read_all(&log, 1 << 20);
    let values = |seen: &Seen| seen.iter().filter(|(_, (_, value))| value.is_some()).count();
    assert_eq!(values(&found), values(&compacted(&all, end, true)));

    let tiny = CleanerLimits { map_bytes: 0, load_factor: 0.9 };
    append(&log, &batch(&[key_value("x", None), key_value("y", None)], BatchFields::default()));
    roll(&log);
    let cleanable = block_on(log.cleanable(Some(end), end + 2, NOW)).unwrap().unwrap();
    let stuck = block_on(log.clean(cleanable, tiny, NOW, async |_: u64| ()));
    assert!(matches!(stuck, Err(CleanError::MapTooSmall { offset, .. }) if offset == end), "{stuck:?}");
}

/// A log that is ready to be cleaned, with everything in it synced.
fn dirty_log(seed: u64) -> (MemoryDisk, Log<MemoryDisk>, Seen) {
    let plan = FaultPlan { turns_max: 2, short_write_in: 4, ..FaultPlan::default() };
    let disk = MemoryDisk::new(seed, plan);
    let log = create(&disk);
    let mut all = Seen::new();
    fill(&log, &mut Prng::new(seed), 90, 25, &mut all);
    roll(&log);
    fill(&log, &mut Prng::new(seed + 1), 3, 25, &mut all);
    flush(&log);
    disk.sync_all_names();
    (disk, log, all)
}

/// What a log may hold after a cleaning that was interrupted: at their offsets, the last record of each key,
/// and of the others what was not reached.
fn check_interrupted(found: &Seen, all: &Seen, end: Offset, what: &str) {
    for (offset, record) in found {
        assert_eq!(all.get(offset), Some(record), "{what}: offset {offset}");
    }
    for (offset, record) in &compacted(all, end, true) {
        assert_eq!(found.get(offset), Some(record), "{what}: offset {offset} is lost");
    }
}

#[test]
fn a_crash_at_any_operation_leaves_old_or_new() {
    let (mut interrupted, mut swapped) = (0, 0);
    for crash in [Crash::Process, Crash::Machine] {
        for at in 0.. {
            let (disk, log, all) = dirty_log(at % 7);
            let end = log.synced_end_offset();
            let stop_at = disk.ops() + at;
            let is_done = {
                let mut cleaning = pin!(try_clean(&log, Offset::ZERO, NOW));
                let mut context = Context::from_waker(Waker::noop());
                let mut is_done = false;
                while disk.ops() < stop_at && !is_done {
                    is_done = matches!(cleaning.as_mut().poll(&mut context), Poll::Ready(Ok(_)));
                }
                is_done
            };
            drop(log);
            disk.crash(crash);
            let what = format!("{crash:?} after {at} operations");
            let had_swap = names(&disk).iter().any(|name| name.ends_with(".swap"));
            let (log, report) = reopen(&disk, false, end);
            assert_eq!((report.broken, report.truncated), (vec![], None), "{what}");
            assert_eq!(log.written_end_offset(), end, "{what}");
            let is_leftover = |name: &String| !name.ends_with("point") && name.matches('.').count() > 1;
            assert!(!names(&disk).iter().any(is_leftover), "{what}: {:?}", names(&disk));
            let active = block_on(log.cleanable(None, end, NOW)).unwrap().unwrap().first_uncleanable_offset;
            check_interrupted(&read_all(&log, 1 << 20).0, &all, active, &what);
            // The next cleaning begins at the old checkpoint and ends what this one began.
            clean(&log, Offset::ZERO, NOW);
            let values =
                |seen: Seen| -> Seen { seen.into_iter().filter(|(_, (_, value))| value.is_some()).collect() };
            let expected = values(compacted(&all, active, true));
            assert_eq!(values(read_all(&log, 900).0), expected, "{what}");
            interrupted += usize::from(!is_done);
            swapped += usize::from(had_swap);
            if is_done {
                break;
            }
        }
    }
    assert!(60 < interrupted && 4 < swapped, "{interrupted} crashes, {swapped} in a swap");
}

#[test]
fn a_disk_that_fails_at_any_operation_loses_nothing() {
    let (mut refused, mut offline) = (0, 0);
    for at in 1.. {
        let (disk, log, all) = dirty_log(at % 5);
        let end = log.synced_end_offset();
        let plan = FaultPlan { eio_on_op: Some(disk.ops() + at), turns_max: 1, ..FaultPlan::default() };
        disk.set_plan(plan);
        let cleaned = block_on(try_clean(&log, Offset::ZERO, NOW));
        disk.set_plan(FaultPlan::default());
        if cleaned.is_ok() {
            break;
        }
        let what = format!("operation {at} failed: {cleaned:?}");
        refused += 1;
        let found = read_all(&log, 1 << 20).0;
        let bound = last_closed_end(&log);
        check_interrupted(&found, &all, bound, &what);
        if log.offline_cause().is_some() {
            offline += 1;
        } else {
            clean(&log, Offset::ZERO, NOW);
            let again = read_all(&log, 1 << 20).0;
            check_interrupted(&again, &all, bound, &what);
        }
        let before = read_all(&log, 1 << 20).0;
        drop(log);
        disk.crash(Crash::Process);
        let (log, report) = reopen(&disk, false, end);
        assert_eq!((report.broken, report.truncated), (vec![], None), "{what}");
        let after = read_all(&log, 1 << 20).0;
        check_interrupted(&after, &all, bound, &what);
        for offset in before.keys() {
            assert!(after.contains_key(offset), "{what}: offset {offset} went with the restart");
        }
    }
    assert!(30 < refused && 3 < offline && offline < refused, "{refused} refused, {offline} offline");
}

/// Where the active segment begins.
fn last_closed_end(log: &Log<MemoryDisk>) -> Offset {
    log.core.state.borrow().open.front().unwrap().base_offset
}

#[test]
fn a_full_disk_leaves_the_log_online_and_as_it_was() {
    let (disk, log, all) = dirty_log(3);
    disk.set_plan(FaultPlan { space_bytes: Some(disk.used_bytes() + 4096), ..FaultPlan::default() });
    assert!(block_on(try_clean(&log, Offset::ZERO, NOW)).is_err());
    assert_eq!(log.offline_cause(), None);
    assert_eq!(read_all(&log, 1 << 20).0, all);
    assert!(!names(&disk).iter().any(|name| name.contains("cleaned") || name.contains("swap")));
    disk.set_plan(FaultPlan::default());
    append(&log, &batch(&[key_value("more", Some("space"))], BatchFields::default()));
    flush(&log);
    let report = clean(&log, Offset::ZERO, NOW);
    assert!(report.bytes_after < report.bytes_before);
}

/// Counts what is done outside.
#[derive(Default)]
struct CountedWork(Cell<usize>);

impl LongWork for &CountedWork {
    async fn pause(&self, _bytes: u64) {}

    async fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoThread> {
        self.0.set(self.0.get() + 1);
        Ok(work())
    }
}

#[test]
fn batches_that_take_long_are_gone_over_outside() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk);
    let packed = |keys: [&str; 2], value_bytes| {
        let records = keys.map(|key| (key.as_bytes().to_vec(), Some(vec![0; value_bytes])));
        batch(&records, BatchFields { codec: Codec::Zstd, ..BatchFields::default() })
    };
    append(&log, &packed(["a", "b"], 3 << 20));
    append(&log, &packed(["c", "d"], 100 << 10));
    append(&log, &packed(["e", "f"], 1 << 10));
    append(&log, &packed(["a", "c"], 1));
    append(&log, &packed(["e", "g"], 1));
    flush(&log);
    roll(&log);
    let cleanable = block_on(log.cleanable(None, log.written_end_offset(), NOW)).unwrap().unwrap();
    let work = CountedWork::default();
    let report = block_on(log.clean(cleanable, LIMITS, NOW, &work)).unwrap();
    assert_eq!(report.keys, 7);
    assert_eq!(work.0.get(), 3, "the first one twice, the second one to be packed anew");
    let (seen, _) = read_all(&log, 1 << 20);
    let found: Vec<_> = seen.iter().map(|(offset, (key, _))| (*offset, key[0] as char)).collect();
    assert_eq!(found, [(1, 'b'), (3, 'd'), (5, 'f'), (6, 'a'), (7, 'c'), (8, 'e'), (9, 'g')]);
    assert!(seen[&1].1.as_ref().is_some_and(|value| value.len() == 3 << 20));
}

#[test]
fn broken_bytes_are_left_alone() {
    let (disk, log, all) = dirty_log(2);
    let dir = Path::new(PARENT).join(topic_partition().dir_name());
    disk.flip_bit(&dir.join("00000000000000000000.log"), 100, 3).unwrap();
    let before = names(&disk);
    let cleaned = block_on(try_clean(&log, Offset::ZERO, NOW));
    let text = cleaned.unwrap_err().to_string();
    assert!(text.contains("00000000000000000000.log") && text.contains("CRC"), "{text}");
    assert_eq!(names(&disk), before);
    assert_eq!(log.offline_cause(), None);
    assert!(block_on(log.verify(async |_| ())).unwrap().broken.len() == 1);
    let known = block_on(try_clean(&log, Offset::ZERO, NOW));
    assert!(matches!(known, Err(CleanError::Log(_))), "{known:?}");
    drop(all);
}

#[test]
fn readers_go_on_while_segments_are_swapped() {
    for seed in 0..25 {
        let (disk, log, all) = dirty_log(seed);
        disk.set_plan(FaultPlan { turns_max: 6, ..FaultPlan::default() });
        let bound = last_closed_end(&log);
        let end = log.written_end_offset();
        let is_done = Cell::new(false);
        let mut prng = Prng::new(seed);
        let reads = Cell::new(0);
        let reading = async {
            while !is_done.get() {
                let from = Offset(prng.below(end.0 as u64) as i64);
                let outcome = log.read(from, end, 1 + prng.below(4_000) as usize, true).await.unwrap();
                let bytes = Bytes::from(outcome.chunks.concat());
                let first = BatchHeader::decode(&bytes).expect("there is always a batch ahead");
                assert!(from <= first.last_offset() && crc_matches(&bytes[..first.total_len()]));
                for record in RecordIter::new(&bytes.slice(..first.total_len())).unwrap().map(Result::unwrap)
                {
                    assert_eq!(all[&record.offset.0].0, record.key.unwrap(), "seed {seed}");
                }
                let by_time = log.offset_for_timestamp(NOW, end, &async |_: u64| ()).await.unwrap().unwrap();
                assert!(by_time.offset < end);
                reads.set(reads.get() + 1);
                yield_turns(1).await;
            }
        };
        let cleaning = async {
            let report = try_clean(&log, Offset::ZERO, NOW).await.unwrap();
            is_done.set(true);
            report
        };
        let mut context = Context::from_waker(Waker::noop());
        let (mut reading, mut cleaning) = (pin!(reading), pin!(cleaning));
        while cleaning.as_mut().poll(&mut context).is_pending() {
            let _ = reading.as_mut().poll(&mut context);
        }
        block_on(reading);
        assert!(10 < reads.get(), "{} reads", reads.get());
        check_interrupted(&read_all(&log, 1 << 20).0, &all, bound, "after the swaps");
        assert_eq!(block_on(log.verify(async |_| ())).unwrap().broken, []);
    }
}

#[test]
fn a_cleaning_ends_when_it_is_told_to() {
    let (disk, log, all) = dirty_log(1);
    let cleanable = block_on(log.cleanable(None, log.written_end_offset(), NOW)).unwrap().unwrap();
    let batches = Cell::new(0);
    let stopped = block_on(log.clean(cleanable, LIMITS, NOW, async |_: u64| {
        batches.set(batches.get() + 1);
        if batches.get() == 40 {
            assert!(log.is_under_maintenance());
            assert_eq!(block_on(log.enforce_retention(NOW, Offset(i64::MAX))), Ok(0), "one at a time");
            log.abort_maintenance();
        }
    }));
    assert!(matches!(stopped, Err(CleanError::Stopped)), "{stopped:?}");
    assert!(!log.is_under_maintenance());
    check_interrupted(&read_all(&log, 1 << 20).0, &all, last_closed_end(&log), "stopped");
    assert!(!names(&disk).iter().any(|name| name.contains("cleaned") || name.contains("swap")));
}

#[test]
fn lags_hold_a_cleaning_back_or_make_it_due() {
    let disk = MemoryDisk::new(1, FaultPlan::default());
    let log = create(&disk);
    let mut all = Seen::new();
    fill(&log, &mut Prng::new(1), 80, 10, &mut all);
    roll(&log);
    let end = log.written_end_offset();
    let with = |min_compaction_lag_ms, max_compaction_lag_ms, now: i64| {
        log.update_config(LogConfig { min_compaction_lag_ms, max_compaction_lag_ms, ..config() });
        block_on(log.cleanable(None, end, Timestamp(NOW.0 + now)))
            .unwrap()
            .map(|found| (found.first_uncleanable_offset, found.is_overdue, found.is_due(1.0)))
    };
    assert_eq!(with(0, i64::MAX, 0), Some((end, false, false)));
    assert_eq!(with(100, i64::MAX, 99), None, "nothing is old enough");
    assert_eq!(with(100, i64::MAX, 100), Some((end, false, false)));
    assert_eq!(with(0, 100, 100), Some((end, false, false)));
    assert_eq!(with(0, 100, 101), Some((end, true, true)));
    assert_eq!(block_on(log.cleanable(None, Offset(1), NOW)).unwrap(), None, "not beyond what is stable");
    append(&log, &batch(&[key_value("x", None)], BatchFields::default()));
    log.update_config(LogConfig { max_compaction_lag_ms: 100, ..config() });
    assert!(!log.roll_if_due(Timestamp(NOW.0 + 100)));
    assert!(log.roll_if_due(Timestamp(NOW.0 + 101)), "max.compaction.lag.ms closes the active segment");
}
