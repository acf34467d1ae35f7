//! What a broker keeps over a restart, clean or not, and how it treats a damaged log.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;

use crate::harness::batch::RawBatch;
use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};
use crate::harness::wire::Wire;
use crate::harness::{PATIENCE, eventually, now_ms, requests};

const KAFKA_STORAGE_ERROR: i16 = 56;

/// Produces `count` records to each partition; the values go on from `first`.
fn fill(broker: &Broker, topic: &str, partitions: i32, first: usize, count: usize) {
    let mut producer = TestProducer::new(&broker.bootstrap(), &[("compression.codec", "lz4")]);
    for number in first..first + count {
        for partition in 0..partitions {
            producer.send_value(topic, partition, format!("{partition}-{number}").repeat(5).as_bytes());
        }
    }
    assert_eq!(producer.flush_ok().len(), count * partitions as usize);
}

/// Every partition holds the first `count` records of [`fill`].
fn is_whole(broker: &Broker, topic: &str, partitions: i32, count: usize) {
    for partition in 0..partitions {
        let (start, end) = clients::watermarks(&broker.bootstrap(), topic, partition);
        assert_eq!((start, end), (0, count as i64), "{topic}-{partition}");
        let records = clients::read(&broker.bootstrap(), topic, partition, 0, count);
        for (number, record) in records.iter().enumerate() {
            let expected = format!("{partition}-{number}").repeat(5);
            assert_eq!(record.payload(), Some(expected.as_bytes()), "{topic}-{partition} at {number}");
        }
    }
}

/// The metadata's snapshots.
fn metadata_snapshots(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("__cluster_metadata-0")).expect("the metadata log is there");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "checkpoint"));
    found
}

#[test]
fn metadata_snapshots_are_written_by_size_and_by_time() {
    for (key, value) in [
        ("metadata.log.max.record.bytes.between.snapshots", "2000"),
        ("metadata.log.max.snapshot.interval.ms", "300"),
    ] {
        let mut broker = Broker::start(1, &[(key, value)]);
        for number in 0..30 {
            clients::create_topic(&broker.bootstrap(), &format!("t-{number}"), 2, &[]);
        }
        eventually("a snapshot is written", PATIENCE, || metadata_snapshots(&broker.data()).pop());
        broker.stop();
        broker.restart();
        let consumer = clients::consumer(&broker.bootstrap(), &[]);
        let metadata = consumer.fetch_metadata(None, PATIENCE).expect("the broker answers");
        let topics = clients::topics(&metadata).filter(|topic| topic.name().starts_with("t-"));
        assert_eq!(topics.map(|topic| topic.partitions().len()).collect::<Vec<_>>(), [2; 30], "{key}");
    }
}

#[test]
fn few_changes_of_the_metadata_are_no_snapshot() {
    let mut broker = Broker::start(1, &[("metadata.log.max.snapshot.interval.ms", "0")]);
    clients::create_topic(&broker.bootstrap(), "t", 2, &[]);
    broker.stop();
    assert_eq!(metadata_snapshots(&broker.data()), [] as [PathBuf; 0]);
}

/// The directory of a partition, wherever under the data directory it is.
fn partition_directory(data: &Path, name: &str) -> PathBuf {
    let mut unvisited = vec![data.to_owned()];
    while let Some(directory) = unvisited.pop() {
        if directory.file_name().is_some_and(|found| found == name) {
            return directory;
        }
        let entries =
            fs::read_dir(&directory).expect("a directory").map(|entry| entry.expect("an entry").path());
        unvisited.extend(entries.filter(|path| path.is_dir()));
    }
    panic!("{name} is not under {}", data.display());
}

/// The segments of a partition, oldest first.
fn segments(data: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(partition_directory(data, name)).expect("a directory");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    found.sort();
    found
}

fn flip_a_bit(path: &Path, position: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).expect("the segment");
    let mut byte = [0];
    file.seek(SeekFrom::Start(position))
        .and_then(|_| file.read_exact(&mut byte))
        .expect("the segment is that long");
    byte[0] ^= 0x04;
    file.seek(SeekFrom::Start(position)).and_then(|_| file.write_all(&byte)).expect("the byte is written");
}

#[test]
fn records_outlive_clean_stops_and_kills() {
    for shards in [1, 2] {
        let mut broker = Broker::start(shards, &[]);
        clients::create_topic(&broker.bootstrap(), "kept", 5, &[("max.message.bytes", "20000")]);
        for round in 0..4 {
            fill(&broker, "kept", 5, round * 100, 100);
            is_whole(&broker, "kept", 5, (round + 1) * 100);
            if round % 2 == 0 {
                broker.kill()
            } else {
                broker.stop()
            }
            broker.restart();
            is_whole(&broker, "kept", 5, (round + 1) * 100);
        }
        let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
        producer.send_value("kept", 0, &[b'x'; 21_000]);
        let refused = producer.flush().pop_first().expect("a report").1;
        assert_eq!(refused, Err(RDKafkaErrorCode::MessageSizeTooLarge), "the topic's configs were forgotten");
    }
}

#[test]
fn whoever_asks_while_the_broker_starts_is_told_of_it() {
    for shards in [1, 2] {
        let mut broker = Broker::start(shards, &[]);
        clients::create_topic(&broker.bootstrap(), "asked", 40, &[]);
        let address = broker.address();
        for kill in [true, false, true] {
            if kill {
                broker.kill()
            } else {
                broker.stop()
            }
            let stop = AtomicBool::new(false);
            let answers = thread::scope(|scope| {
                let asking = scope.spawn(|| {
                    let mut answers = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let Ok(mut wire) = Wire::try_connect(address) else { continue };
                        answers.extend(requests::brokers_and_partitions(&mut wire, "asked"));
                    }
                    answers
                });
                broker.restart();
                stop.store(true, Ordering::Relaxed);
                asking.join().expect("the asking thread did not panic")
            });
            assert!(!answers.is_empty(), "nobody was answered");
            let wrong: Vec<_> = answers.iter().filter(|answer| **answer != (1, 40)).collect();
            assert!(wrong.is_empty(), "of {} answers {wrong:?} miss a broker or partitions", answers.len());
        }
    }
}

#[test]
fn every_partition_is_served_by_any_number_of_shards() {
    let mut broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "moved", 6, &[]);
    for (round, shards) in [1, 3, 2, 4, 1].into_iter().enumerate() {
        fill(&broker, "moved", 6, round * 30, 30);
        if round % 2 == 0 {
            broker.stop()
        } else {
            broker.kill()
        }
        broker.restart_with(|launch| launch.with("corelog.shards", &shards.to_string()));
        is_whole(&broker, "moved", 6, (round + 1) * 30);
        clients::create_topic(&broker.bootstrap(), &format!("new-{round}"), 3, &[]);
        fill(&broker, &format!("new-{round}"), 3, 0, 10);
    }
    (0..5).for_each(|round| is_whole(&broker, &format!("new-{round}"), 3, 10));
}

#[test]
fn a_deleted_topic_does_not_come_back() {
    let mut broker =
        Broker::start(2, &[("auto.create.topics.enable", "false"), ("file.delete.delay.ms", "0")]);
    for (name, kill) in [("first", true), ("second", false)] {
        clients::create_topic(&broker.bootstrap(), name, 3, &[]);
        fill(&broker, name, 3, 0, 10);
        assert_eq!(clients::delete_topic(&broker.bootstrap(), name), Ok(()));
        if kill {
            broker.kill()
        } else {
            broker.stop()
        }
        broker.restart();
        let consumer = clients::consumer(&broker.bootstrap(), &[]);
        let metadata = consumer.fetch_metadata(None, PATIENCE).expect("metadata");
        assert!(metadata.topics().iter().all(|topic| topic.name() != name), "{name} is back");
        clients::create_topic(&broker.bootstrap(), name, 3, &[]);
        (0..3).for_each(|partition| {
            assert_eq!(
                clients::watermarks(&broker.bootstrap(), name, partition),
                (0, 0),
                "old records of {name}"
            );
        });
    }
}

#[test]
fn what_a_dying_machine_left_half_written_is_cut_off() {
    let mut broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "torn", 1, &[]);
    for (round, garbage) in [vec![0_u8; 5_000], vec![0xa5; 300], vec![0x7f; 70_000]].into_iter().enumerate() {
        fill(&broker, "torn", 1, round * 50, 50);
        let batch =
            requests::fetch_all(&mut Wire::connect(broker.address()), "torn", 0, 0).pop().expect("a batch");
        broker.kill();
        let segment = segments(&broker.data(), "torn-0").pop().expect("a segment");
        let mut file = OpenOptions::new().append(true).open(&segment).expect("the segment");
        // Half of a batch that looks right, and what a disk may have behind it.
        file.write_all(&batch[..batch.len() / 2])
            .and_then(|()| file.write_all(&garbage))
            .expect("the tail is torn");
        drop(file);
        broker.restart();
        is_whole(&broker, "torn", 1, (round + 1) * 50);
    }
}

/// Reads a topic's partition 0 up to its end or an error, and returns where that is. No batch is broken.
fn read_whole_batches(broker: &Broker, topic: &str) -> i64 {
    let mut wire = Wire::connect(broker.address());
    let mut offset = 0;
    loop {
        let fetched = requests::fetch(&mut wire, topic, 0, offset);
        for batch in fetched.batches() {
            let stored = u32::from_be_bytes(batch[17..21].try_into().expect("four bytes"));
            assert_eq!(stored, crc32c::crc32c(&batch[21..]), "a broken batch was handed out");
        }
        let Some(last) = fetched.batches().last().copied() else { break };
        let base = i64::from_be_bytes(last[..8].try_into().expect("eight bytes"));
        offset = base + i64::from(i32::from_be_bytes(last[23..27].try_into().expect("four bytes"))) + 1;
    }
    offset
}

#[test]
fn a_flipped_bit_is_reported_and_never_handed_out() {
    let mut broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "flipped", 1, &[]);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[("batch.num.messages", "10")]);
    (0..500).for_each(|_| _ = producer.send_value("flipped", 0, &[b'x'; 500]));
    producer.flush_ok();
    broker.kill();
    let segment = segments(&broker.data(), "flipped-0").pop().expect("a segment");
    flip_a_bit(&segment, fs::metadata(&segment).expect("the segment").len() / 2);
    broker.restart();
    let directory =
        segment.parent().and_then(Path::file_name).expect("a partition").to_string_lossy().into_owned();
    assert!(broker.output().contains(&directory), "the start says nothing of {directory}");
    assert!(broker.output().contains("position"), "the start does not say where");

    let offset = read_whole_batches(&broker, "flipped");
    assert!((150..=300).contains(&offset), "{offset} records before the flipped bit were served");
}

#[test]
fn what_a_start_does_not_read_is_verified_behind_it() {
    let mut broker = Broker::start(1, &[("log.flush.offset.checkpoint.interval.ms", "20")]);
    clients::create_topic(&broker.bootstrap(), "unread", 1, &[]);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[("batch.num.messages", "10")]);
    (0..500).for_each(|_| _ = producer.send_value("unread", 0, &[b'x'; 500]));
    producer.flush_ok();
    let segment = segments(&broker.data(), "unread-0").pop().expect("a segment");
    let checkpoint = segment.with_file_name(format!("{:020}.snapshot", 500));
    eventually("a checkpoint at the end", PATIENCE, || checkpoint.exists().then_some(()));
    broker.kill();
    flip_a_bit(&segment, fs::metadata(&segment).expect("the segment").len() / 2);
    broker.restart();
    let reported = || broker.output().contains("records that were durable are broken").then_some(());
    eventually("the report of a broken batch", PATIENCE, reported);
    assert!(broker.output().contains("first_offset"), "the report does not say what is lost");
    let offset = read_whole_batches(&broker, "unread");
    assert!((150..=300).contains(&offset), "{offset} records before the flipped bit were served");
    let (start, end) = clients::watermarks(&broker.bootstrap(), "unread", 0);
    assert_eq!((start, end), (0, 500), "what is broken keeps its offsets");
}

#[test]
fn old_segments_are_deleted_when_they_may() {
    let mut broker =
        Broker::start(1, &[("log.retention.check.interval.ms", "200"), ("log.initial.task.delay.ms", "200")]);
    let configs =
        [("segment.bytes", "1048576"), ("retention.bytes", "2000000"), ("file.delete.delay.ms", "0")];
    clients::create_topic(&broker.bootstrap(), "short", 1, &configs);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    (0..6_000).for_each(|_| _ = producer.send_value("short", 0, &[b'x'; 1_000]));
    producer.flush_ok();
    let start = eventually("old segments are deleted", PATIENCE, || {
        let (start, end) = clients::watermarks(&broker.bootstrap(), "short", 0);
        assert_eq!(end, 6_000);
        // One by one, until another would leave less than `retention.bytes`.
        (start > 3_050).then_some(start)
    });
    let records = clients::read(&broker.bootstrap(), "short", 0, start, (6_000 - start) as usize);
    assert_eq!(records[0].offset(), start);
    broker.kill();
    broker.restart();
    let (restarted, end) = clients::watermarks(&broker.bootstrap(), "short", 0);
    assert!(restarted >= start && end == 6_000, "{restarted} to {end}, it was {start}");
}

#[test]
fn a_log_that_could_not_be_created_is_created_later() {
    let broker = Broker::start(1, &[]);
    // A file is in the way.
    let obstacle = broker.data().join("shard-00/late-0");
    fs::write(&obstacle, b"").expect("the log directory can be written");
    clients::create_topic(&broker.bootstrap(), "late", 2, &[]);
    let mut wire = Wire::connect(broker.address());
    let mut produce = |partition| {
        let batch = RawBatch::of(&[b"value"], now_ms()).encode();
        requests::produce(&mut wire, "late", partition, &batch).error_code
    };
    assert_eq!([produce(0), produce(1)], [KAFKA_STORAGE_ERROR, 0]);
    assert!(broker.output().contains("cannot create the partition's log"));
    fs::remove_file(&obstacle).expect("it was written");
    eventually("the log is created", PATIENCE, || (produce(0) == 0).then_some(()));
    assert_eq!(requests::fetch_all(&mut Wire::connect(broker.address()), "late", 0, 0).len(), 1);
}

#[test]
fn a_log_that_cannot_be_opened_keeps_no_other_from_being_served() {
    let mut broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "two", 2, &[]);
    fill(&broker, "two", 2, 0, 10);
    broker.stop();
    let metadata = broker.data().join("shard-00/two-0/partition.metadata");
    let contents = fs::read(&metadata).expect("the partition has a topic id");
    fs::write(&metadata, b"version: 0").expect("it is written");
    broker.restart();
    assert!(broker.output().contains("cannot open the partition's log"));
    let mut wire = Wire::connect(broker.address());
    let batch = RawBatch::of(&[b"value"], now_ms()).encode();
    assert_eq!(requests::produce(&mut wire, "two", 0, &batch).error_code, KAFKA_STORAGE_ERROR);
    assert_eq!(requests::list_offset(&mut wire, "two", 1, -1), (0, -1, 10));
    broker.stop();
    fs::write(&metadata, contents).expect("it is written");
    broker.restart();
    is_whole(&broker, "two", 2, 10);
}

/// A topic's partitions are made one after the other: a directory, then the file with the topic's id in it.
#[test]
fn a_partition_that_a_crash_left_half_created_is_created_again() {
    let mut broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "half", 1, &[]);
    broker.kill();
    let file = broker.data().join("shard-00/half-0/partition.metadata");
    fs::remove_file(&file).expect("the partition has a topic id");
    broker.restart();
    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    producer.send_value("half", 0, b"whole");
    producer.flush_ok();
    assert!(file.exists());
    assert_eq!(clients::read(&broker.bootstrap(), "half", 0, 0, 1)[0].offset(), 0);
}
