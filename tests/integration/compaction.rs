//! The life of a log, seen by a real client: compaction and retention. Time is moved by configuration, never
//! by waiting for it: tests wait for what they expect to see.

use std::fs;
use std::path::PathBuf;

use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};
use crate::harness::{PATIENCE, eventually};

/// Compaction looks for work all the time.
pub(crate) const EAGER: &[(&str, &str)] = &[
    ("log.cleaner.backoff.ms", "50"),
    ("log.initial.task.delay.ms", "0"),
    ("log.retention.check.interval.ms", "100"),
];

/// A topic whose every segment is closed at once and dirty enough.
const COMPACTED: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.ms", "1"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "0"),
    ("file.delete.delay.ms", "0"),
];

pub(crate) fn send(producer: &mut TestProducer, topic: &str, key: &str, value: Option<&str>) {
    let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, 0).partition(0).key(key.as_bytes());
    producer.send(match value {
        Some(value) => record.payload(value.as_bytes()),
        None => record,
    });
}

/// A record as a consumer gets it.
pub(crate) type Seen = (i64, String, Option<String>);

/// Everything in the partition, read to its end.
pub(crate) fn read_all(bootstrap: &str, topic: &str) -> Vec<Seen> {
    let consumer = clients::consumer(bootstrap, &[("enable.partition.eof", "true")]);
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning).expect("a right offset");
    consumer.assign(&assignment).expect("an assignment of ours");
    let mut seen = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the tests write text");
    loop {
        match consumer.poll(PATIENCE).expect("a record, or the end, arrives in time") {
            Ok(record) => {
                let key = text(record.key().expect("every record has a key"));
                seen.push((record.offset(), key, record.payload().map(text)));
            }
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => return seen,
            Err(error) => panic!("consuming: {error}"),
        }
    }
}

fn offsets(bootstrap: &str, topic: &str) -> Vec<i64> {
    read_all(bootstrap, topic).into_iter().map(|(offset, ..)| offset).collect()
}

/// Waits until the log looks as wanted.
pub(crate) fn until(what: &str, is_there: impl Fn() -> bool) {
    eventually(what, PATIENCE, || is_there().then_some(()));
}

#[test]
fn the_textbook_example() {
    let mut broker = Broker::start(1, EAGER);
    let bootstrap = broker.bootstrap();
    clients::create_topic(&bootstrap, "textbook", 1, COMPACTED);
    let mut producer = TestProducer::new(&bootstrap, &[]);
    for (key, value) in [("key1", "value1"), ("key2", "value2"), ("key1", "value3"), ("key2", "value4")] {
        send(&mut producer, "textbook", key, Some(value));
    }
    producer.flush_ok();
    until("only offsets 2 and 3 remain", || offsets(&bootstrap, "textbook") == [2, 3]);
    let seen = read_all(&bootstrap, "textbook");
    let record = |offset, key: &str, value: &str| (offset, key.to_owned(), Some(value.to_owned()));
    assert_eq!(seen, [record(2, "key1", "value3"), record(3, "key2", "value4")]);
    assert_eq!(clients::watermarks(&bootstrap, "textbook", 0), (0, 4));

    send(&mut producer, "textbook", "key1", None);
    producer.flush_ok();
    until("the tombstone alone is left of key1", || offsets(&bootstrap, "textbook") == [3, 4]);
    assert_eq!(read_all(&bootstrap, "textbook")[1], (4, "key1".to_owned(), None));

    send(&mut producer, "textbook", "key3", Some("value5"));
    producer.flush_ok();
    until("the tombstone is gone", || offsets(&bootstrap, "textbook") == [3, 5]);

    broker.stop();
    broker.restart();
    let bootstrap = broker.bootstrap();
    assert_eq!(offsets(&bootstrap, "textbook"), [3, 5]);
    assert_eq!(clients::watermarks(&bootstrap, "textbook", 0), (0, 6), "offsets are never given again");
    let mut producer = TestProducer::new(&bootstrap, &[]);
    send(&mut producer, "textbook", "key4", Some("value6"));
    assert_eq!(producer.flush_ok().into_values().collect::<Vec<_>>(), [(0, 6)]);
}

#[test]
fn records_without_keys_are_refused_one_by_one() {
    let broker = Broker::start(1, EAGER);
    let bootstrap = broker.bootstrap();
    clients::create_topic(&bootstrap, "keyed", 1, COMPACTED);
    let mut producer = TestProducer::new(&bootstrap, &[("linger.ms", "50")]);
    send(&mut producer, "keyed", "a", Some("1"));
    producer.flush_ok();
    producer.send_value("keyed", 0, b"no key");
    let refused: Vec<_> = producer.flush().into_values().collect();
    assert_eq!(refused, [Err(rdkafka::error::RDKafkaErrorCode::InvalidRecord)]);
    assert_eq!(offsets(&bootstrap, "keyed"), [0]);
}

/// The files of the only partition of a topic.
pub(crate) fn files(broker: &Broker, topic: &str) -> Vec<PathBuf> {
    let name = format!("{topic}-0");
    let shards = fs::read_dir(broker.data()).expect("the data directory").filter_map(Result::ok);
    let dir = shards.map(|shard| shard.path().join(&name)).find(|dir| dir.is_dir()).expect("the partition");
    fs::read_dir(dir).expect("the partition").filter_map(Result::ok).map(|entry| entry.path()).collect()
}

pub(crate) fn count_of(broker: &Broker, topic: &str, ending: &str) -> usize {
    let ends = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(ending));
    files(broker, topic).iter().filter(|path| ends(path)).count()
}

#[test]
fn expired_segments_go_with_their_files_the_active_one_too() {
    let mut broker = Broker::start(1, EAGER);
    let bootstrap = broker.bootstrap();
    let configs = [("internal.segment.bytes", "20000"), ("file.delete.delay.ms", "3600000")];
    let by_time = [configs[0], configs[1], ("retention.ms", "1")];
    let by_size = [configs[0], configs[1], ("retention.bytes", "50000")];
    clients::create_topic(&bootstrap, "by-time", 1, &by_time);
    clients::create_topic(&bootstrap, "by-size", 1, &by_size);
    let mut producer = TestProducer::new(&bootstrap, &[("batch.size", "4000")]);
    for _ in 0..200 {
        producer.send_value("by-time", 0, &[7; 1_000]);
        producer.send_value("by-size", 0, &[7; 1_000]);
    }
    producer.flush_ok();
    until("everything expires", || clients::watermarks(&bootstrap, "by-time", 0) == (200, 200));
    until("the size is kept to", || {
        let (start, end) = clients::watermarks(&bootstrap, "by-size", 0);
        end == 200 && (120..160).contains(&start)
    });
    assert!(8 < count_of(&broker, "by-time", ".log.deleted"));
    producer.send_value("by-time", 0, b"goes on");
    assert_eq!(producer.flush_ok().into_values().next(), Some((0, 200)));
    let start = clients::watermarks(&bootstrap, "by-size", 0).0;

    broker.kill();
    broker.restart();
    for topic in ["by-time", "by-size"] {
        assert_eq!(count_of(&broker, topic, ".deleted"), 0, "{topic}: a start removes what was deleted");
    }
    assert_eq!(clients::watermarks(&broker.bootstrap(), "by-size", 0), (start, 200));
}

#[test]
fn compact_and_delete_do_both() {
    let broker = Broker::start(1, EAGER);
    let bootstrap = broker.bootstrap();
    let mut configs = COMPACTED.to_vec();
    configs[0] = ("cleanup.policy", "compact,delete");
    configs.push(("retention.ms", "3600000"));
    clients::create_topic(&bootstrap, "both", 1, &configs);
    let mut producer = TestProducer::new(&bootstrap, &[]);
    let old = BaseRecord::<[u8], [u8], usize>::with_opaque_to("both", 0).partition(0);
    producer.send(old.key(b"old").payload(b"gone").timestamp(1_000));
    producer.flush_ok();
    until("the segment of the old record is closed", || {
        1 < count_of(&broker, "both", ".log") || { clients::watermarks(&bootstrap, "both", 0).0 == 1 }
    });
    for value in ["1", "2", "3"] {
        send(&mut producer, "both", "new", Some(value));
        producer.flush_ok();
    }
    until("time deletes the one, the key the others", || {
        offsets(&bootstrap, "both") == [3] && clients::watermarks(&bootstrap, "both", 0).0 == 1
    });
}
