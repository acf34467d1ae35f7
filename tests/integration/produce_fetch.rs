//! Records go in and come out again: every codec and acknowledgement, headers, keys, timestamps, sizes.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, Timestamp};
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::batch::RawBatch;
use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};
use crate::harness::requests::{self, Fetched};
use crate::harness::wire::{self, Body, Wire};
use crate::harness::{PATIENCE, eventually, now_ms};

/// Codecs that the librdkafka of the tests was built with.
const CODECS: &[&str] = &["none", "gzip", "snappy", "lz4"];

/// 2026-01-01, a time that no test runs at.
const LONG_AGO_MS: i64 = 1_767_225_600_000;

#[test]
fn every_codec_comes_back_as_it_was_sent() {
    for shards in [1, 2] {
        let broker = Broker::start(shards, &[]);
        for codec in CODECS {
            let topic = format!("codec-{codec}");
            clients::create_topic(&broker.bootstrap(), &topic, 3, &[]);
            let settings = [("compression.codec", *codec), ("linger.ms", "20")];
            let mut producer = TestProducer::new(&broker.bootstrap(), &settings);
            for number in 0..300 {
                producer.send_value(&topic, number % 3, format!("{codec}-{number}").repeat(20).as_bytes());
            }
            assert_eq!(producer.flush_ok().len(), 300);
            for partition in 0..3 {
                let records = clients::read(&broker.bootstrap(), &topic, partition, 0, 100);
                for (at, record) in records.iter().enumerate() {
                    let expected = format!("{codec}-{}", at * 3 + partition as usize).repeat(20);
                    assert_eq!(record.offset(), at as i64);
                    assert_eq!(record.payload(), Some(expected.as_bytes()), "{codec}, partition {partition}");
                }
            }
        }
    }
}

#[test]
fn a_topic_may_ask_for_a_codec_of_its_own() {
    let broker = Broker::start(1, &[]);
    for codec in ["gzip", "snappy", "lz4", "uncompressed"] {
        clients::create_topic(&broker.bootstrap(), codec, 1, &[("compression.type", codec)]);
        for sent in ["none", "lz4"] {
            let settings = [("compression.codec", sent), ("linger.ms", "20")];
            let mut producer = TestProducer::new(&broker.bootstrap(), &settings);
            (0..50).for_each(|number| {
                _ = producer.send_value(codec, 0, format!("{number}").repeat(50).as_bytes())
            });
            producer.flush_ok();
        }
        let records = clients::read(&broker.bootstrap(), codec, 0, 0, 100);
        for (at, record) in records.iter().enumerate() {
            assert_eq!(record.payload(), Some(format!("{}", at % 50).repeat(50).as_bytes()), "{codec}");
        }
        let stored = requests::fetch_all(&mut Wire::connect(broker.address()), codec, 0, 0);
        let expected = ["uncompressed", "gzip", "snappy", "lz4"].iter().position(|name| *name == codec);
        assert!(requests::batch_codecs(&stored).iter().all(|found| Some(*found) == expected), "{codec}");
    }
}

#[test]
fn every_kind_of_acknowledgement_stores_the_record() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "acks", 2, &[]);
    for (index, acks) in ["0", "1", "all"].into_iter().enumerate() {
        let mut producer = TestProducer::new(&broker.bootstrap(), &[("acks", acks)]);
        (0..20).for_each(|number| _ = producer.send_value("acks", number % 2, acks.as_bytes()));
        let deliveries = producer.flush_ok();
        if acks != "0" {
            let offsets: Vec<i64> = deliveries.values().map(|(_, offset)| *offset).collect();
            let expected: Vec<i64> = (0..20).map(|number| (index as i64) * 10 + number / 2).collect();
            assert_eq!(offsets, expected, "acks={acks}");
        }
        let end = (index as i64 + 1) * 10;
        let stored = |partition| clients::watermarks(&broker.bootstrap(), "acks", partition) == (0, end);
        eventually("the records are stored", PATIENCE, || (stored(0) && stored(1)).then_some(()));
    }
}

#[test]
fn a_timeout_of_nothing_is_no_reason_to_fail() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "hasty", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    let records = RawBatch::of(&[b"value"], now_ms()).encode();
    let no_timeout = 0;
    for offset in 0..10 {
        let acks = if offset % 2 == 0 { -1 } else { 1 };
        let head = Body::new().null_string().i16(acks).i32(no_timeout);
        let body = head.i32(1).string("hasty").i32(1).i32(0).bytes(&records);
        let produced = requests::read_produced(&mut wire.request(wire::PRODUCE_V7, &body));
        assert_eq!((produced.error_code, produced.base_offset), (0, offset), "acks={acks}");
    }
}

#[test]
fn keys_headers_and_timestamps_are_kept() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "fields", 1, &[]);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[("linger.ms", "50")]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("one") })
        .insert(Header { key: "a", value: Some("two") })
        .insert(Header { key: "empty", value: Some("") })
        .insert::<str>(Header { key: "null", value: None });
    let to = || BaseRecord::with_opaque_to("fields", 0).partition(0);
    producer.send(
        to().key(b"key".as_slice()).payload(b"value".as_slice()).headers(headers).timestamp(LONG_AGO_MS),
    );
    producer.send(to().key(b"".as_slice()).payload(b"".as_slice()).timestamp(LONG_AGO_MS + 5));
    producer.send(to());
    producer.flush_ok();

    let records = clients::read(&broker.bootstrap(), "fields", 0, 0, 3);
    assert_eq!(
        (records[0].key(), records[0].payload()),
        (Some(b"key".as_slice()), Some(b"value".as_slice()))
    );
    assert_eq!(records[0].timestamp(), Timestamp::CreateTime(LONG_AGO_MS));
    let headers = records[0].headers().expect("headers");
    let found: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
    let expected: [(&str, Option<&[u8]>); 4] =
        [("a", Some(b"one")), ("a", Some(b"two")), ("empty", Some(b"")), ("null", None)];
    assert_eq!(found, expected);
    assert_eq!((records[1].key(), records[1].payload()), (Some(b"".as_slice()), Some(b"".as_slice())));
    assert_eq!(records[1].timestamp(), Timestamp::CreateTime(LONG_AGO_MS + 5));
    assert_eq!((records[2].key(), records[2].payload()), (None, None));
}

#[test]
fn a_topic_with_log_append_time_takes_the_brokers_clock() {
    let broker = Broker::start(1, &[]);
    let configs = [("message.timestamp.type", "LogAppendTime")];
    clients::create_topic(&broker.bootstrap(), "append-time", 1, &configs);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[("compression.codec", "lz4")]);
    let before = now_ms();
    for _ in 0..3 {
        let record = BaseRecord::with_opaque_to("append-time", 0).partition(0);
        producer.send(record.payload(b"x".as_slice()).timestamp(LONG_AGO_MS));
    }
    producer.flush_ok();
    for record in clients::read(&broker.bootstrap(), "append-time", 0, 0, 3) {
        let Timestamp::LogAppendTime(stamp) = record.timestamp() else { panic!("{:?}", record.timestamp()) };
        assert!((before..=now_ms()).contains(&stamp), "{stamp} is not the time of the append");
    }
}

#[test]
fn timestamps_outside_of_the_topics_bounds_are_refused() {
    let broker = Broker::start(1, &[]);
    let bounds = [("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")];
    clients::create_topic(&broker.bootstrap(), "bounds", 1, &bounds);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    let cases = [(now_ms(), true), (LONG_AGO_MS, false), (now_ms() + 3_600_000, false)];
    for (timestamp, taken) in cases {
        let record = BaseRecord::with_opaque_to("bounds", 0).partition(0);
        producer.send(record.payload(b"x".as_slice()).timestamp(timestamp));
        let delivery = producer.flush().pop_first().expect("a report").1;
        let expected = if taken { Ok(()) } else { Err(RDKafkaErrorCode::InvalidTimestamp) };
        assert_eq!(delivery.map(|_| ()), expected, "{timestamp}");
    }
}

#[test]
fn offsets_are_found_by_timestamp() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "times", 1, &[("segment.bytes", "1048576")]);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[("batch.num.messages", "10")]);
    for number in 0..500 {
        let record = BaseRecord::with_opaque_to("times", 0).partition(0).timestamp(LONG_AGO_MS + number * 10);
        producer.send(record.payload(vec![b'x'; 5_000].as_slice()));
    }
    producer.flush_ok();
    let consumer = clients::consumer(&broker.bootstrap(), &[]);
    for (asked, expected) in [
        (LONG_AGO_MS - 1_000, Offset::Offset(0)),
        (LONG_AGO_MS, Offset::Offset(0)),
        (LONG_AGO_MS + 1, Offset::Offset(1)),
        (LONG_AGO_MS + 2_570, Offset::Offset(257)),
        (LONG_AGO_MS + 2_575, Offset::Offset(258)),
        (LONG_AGO_MS + 4_990, Offset::Offset(499)),
        (LONG_AGO_MS + 4_991, Offset::End),
    ] {
        let mut question = TopicPartitionList::new();
        question.add_partition_offset("times", 0, Offset::Offset(asked)).expect("a right timestamp");
        let answer = consumer.offsets_for_times(question, PATIENCE).expect("an answer");
        assert_eq!(answer.elements()[0].offset(), expected, "at {}", asked - LONG_AGO_MS);
    }
    let mut wire = Wire::connect(broker.address());
    assert_eq!(requests::list_offset(&mut wire, "times", 0, -2), (0, -1, 0), "earliest");
    assert_eq!(requests::list_offset(&mut wire, "times", 0, -1), (0, -1, 500), "latest");
}

#[test]
fn reading_may_begin_in_the_middle_of_a_batch() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "middle", 1, &[]);
    for codec in CODECS {
        let mut wire = Wire::connect(broker.address());
        let (_, base) = clients::watermarks(&broker.bootstrap(), "middle", 0);
        let settings = [("linger.ms", "200"), ("compression.codec", *codec)];
        let mut producer = TestProducer::new(&broker.bootstrap(), &settings);
        (0..100).for_each(|number| _ = producer.send_value("middle", 0, format!("{number}").as_bytes()));
        producer.flush_ok();
        let fetched = requests::fetch(&mut wire, "middle", 0, base + 57);
        assert!(fetched.first_offset() <= base + 57, "the batch that holds the offset comes whole");
        let records = clients::read(&broker.bootstrap(), "middle", 0, base + 57, 43);
        assert_eq!(records[0].offset(), base + 57);
        assert_eq!(records[0].payload(), Some(b"57".as_slice()));
        assert_eq!(records[42].payload(), Some(b"99".as_slice()));
    }
}

#[test]
fn a_fetch_outside_of_the_log_is_refused() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "range", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    requests::produce_ok(&mut wire, "range", 0, &RawBatch::of(&[b"a", b"b"], now_ms()));
    assert_eq!(requests::fetch(&mut wire, "range", 0, 2).error_code, 0, "at the end");
    for offset in [3, -1, i64::MAX] {
        assert_eq!(requests::fetch(&mut wire, "range", 0, offset).error_code, 1, "OFFSET_OUT_OF_RANGE");
    }
}

#[test]
fn a_fetch_waits_for_records_and_no_longer_than_asked() {
    for shards in [1, 2] {
        let broker = Broker::start(shards, &[]);
        clients::create_topic(&broker.bootstrap(), "wait", 2, &[]);
        for partition in 0..2 {
            let mut waiting = Wire::connect(broker.address());
            let begin = Instant::now();
            let empty = requests::fetch_waiting(&mut waiting, "wait", partition, 0, 300);
            assert_eq!((empty.error_code, empty.records.len()), (0, 0));
            assert!(begin.elapsed() >= Duration::from_millis(250), "returned after {:?}", begin.elapsed());

            requests::send_fetch(&mut waiting, "wait", partition, 0, 20_000);
            let mut producing = Wire::connect(broker.address());
            let batch = RawBatch::of(&[b"news"], now_ms());
            requests::produce_ok(&mut producing, "wait", partition, &batch);
            let begin = Instant::now();
            let fetched = Fetched::read(&mut waiting);
            assert_eq!((fetched.error_code, fetched.first_offset()), (0, 0));
            assert!(begin.elapsed() < Duration::from_secs(5), "woken after {:?}", begin.elapsed());
        }
    }
}

#[test]
fn a_limit_of_bytes_is_kept_but_for_the_first_batch() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "limits", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    let value = vec![b'x'; 10_000];
    (0..20)
        .for_each(|_| _ = requests::produce_ok(&mut wire, "limits", 0, &RawBatch::of(&[&value], now_ms())));
    for (bytes_max, batches) in [(1, 1), (9_000, 1), (25_000, 2), (1_000_000, 20)] {
        let fetched = requests::fetch_limited(&mut wire, "limits", 0, 0, bytes_max);
        assert_eq!(fetched.whole_batches(), batches, "of at most {bytes_max} bytes");
    }
}

#[test]
fn large_records_pass_up_to_the_limit_of_the_topic() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "small", 1, &[("max.message.bytes", "20000")]);
    clients::create_topic(&broker.bootstrap(), "large", 1, &[("max.message.bytes", "9000000")]);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[("message.max.bytes", "10000000")]);
    for (topic, size, taken) in [
        ("small", 10_000, true),
        ("small", 21_000, false),
        ("large", 8_000_000, true),
        ("large", 9_500_000, false),
    ] {
        let value: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        producer.send_value(topic, 0, &value);
        let delivery = producer.flush().pop_first().expect("a report").1;
        let expected = if taken { Ok((0, 0)) } else { Err(RDKafkaErrorCode::MessageSizeTooLarge) };
        assert_eq!(delivery, expected, "{size} bytes to {topic}");
        if taken {
            let records = clients::read(&broker.bootstrap(), topic, 0, 0, 1);
            assert_eq!(records[0].payload(), Some(value.as_slice()), "{size} bytes to {topic}");
        }
    }
}

#[test]
fn an_unknown_topic_is_created_when_that_is_allowed() {
    let allowed = Broker::start(2, &[("num.partitions", "3")]);
    let mut producer = TestProducer::new(&allowed.bootstrap(), &[]);
    (0..9).for_each(|number| _ = producer.send_value("made-by-use", number % 3, b"x"));
    producer.flush_ok();
    for partition in 0..3 {
        assert_eq!(clients::watermarks(&allowed.bootstrap(), "made-by-use", partition), (0, 3));
    }

    let forbidden = Broker::start(1, &[("auto.create.topics.enable", "false")]);
    let settings = [("message.timeout.ms", "3000"), ("topic.metadata.propagation.max.ms", "500")];
    let mut producer = TestProducer::new(&forbidden.bootstrap(), &settings);
    producer.send_value("not-made-by-use", 0, b"x");
    let delivery = producer.flush().pop_first().expect("a report").1;
    let error = delivery.expect_err("there is no such topic");
    let unknown = [RDKafkaErrorCode::UnknownTopic, RDKafkaErrorCode::UnknownTopicOrPartition];
    assert!(unknown.contains(&error), "{error}");
}

#[test]
fn many_partitions_are_read_by_one_consumer() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "wide", 32, &[]);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[("compression.codec", "lz4")]);
    (0..32 * 50).for_each(|number| {
        _ = producer.send_value("wide", number % 32, format!("{}", number / 32).as_bytes())
    });
    producer.flush_ok();
    let consumer = clients::consumer(&broker.bootstrap(), &[("fetch.message.max.bytes", "1000")]);
    let mut assignment = TopicPartitionList::new();
    for partition in 0..32 {
        assignment.add_partition_offset("wide", partition, Offset::Beginning).expect("a right offset");
    }
    consumer.assign(&assignment).expect("an assignment of ours");
    let mut seen = [0_i64; 32];
    for _ in 0..32 * 50 {
        let record = clients::next(&consumer);
        let expected = &mut seen[record.partition() as usize];
        assert_eq!(record.offset(), *expected, "partition {}", record.partition());
        assert_eq!(record.payload(), Some(format!("{expected}").as_bytes()));
        *expected += 1;
    }
    assert_eq!(seen, [50; 32]);
}

/// Whether the broker has a segment of `topic` open other than for direct I/O.
fn reads_through_page_cache(broker: &Broker, topic: &str) -> bool {
    const O_DIRECT: u32 = 0o40000;
    let process = format!("/proc/{}", broker.pid().as_raw_nonzero());
    let is_buffered = |fd: std::fs::DirEntry| {
        let target = std::fs::read_link(fd.path()).unwrap_or_default();
        let info = std::fs::read_to_string(format!("{process}/fdinfo/{}", fd.file_name().display()));
        let flags = info.ok().and_then(|info| {
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned();
            u32::from_str_radix(&flags, 8).ok()
        });
        let target = target.to_string_lossy();
        target.contains(&format!("/{topic}-0/")) && flags.is_some_and(|flags| flags & O_DIRECT == 0)
    };
    std::fs::read_dir(format!("{process}/fd"))
        .expect("the broker runs")
        .filter_map(Result::ok)
        .any(is_buffered)
}

#[test]
fn a_consumer_that_lags_gets_the_same_from_the_page_cache() {
    const RECORDS: usize = 4_000;
    let value = |number: usize| (0..12_000).map(|at| (at * number % 253) as u8).collect::<Vec<_>>();
    for (sendfile, zerocopy) in [("true", "false"), ("false", "false"), ("false", "true")] {
        // A cache too small for what was produced: a lagging consumer finds nothing there.
        let small = [
            ("corelog.cache.bytes", "1048576"),
            ("corelog.fetch.sendfile", sendfile),
            ("corelog.fetch.zerocopy", zerocopy),
        ];
        let broker = Broker::start(2, &small);
        clients::create_topic(&broker.bootstrap(), "lag", 1, &[("segment.bytes", "16777216")]);
        let mut producer = TestProducer::new(&broker.bootstrap(), &[("linger.ms", "5")]);
        (0..RECORDS).for_each(|number| _ = producer.send_value("lag", 0, &value(number)));
        assert_eq!(producer.flush_ok().len(), RECORDS);
        // The first pass has the kernel read ahead, the second finds all of it there; meanwhile the
        // partition grows.
        for pass in 0..2 {
            let records = clients::read(&broker.bootstrap(), "lag", 0, 0, RECORDS);
            for (number, record) in records.iter().enumerate() {
                assert_eq!(record.offset(), number as i64);
                assert!(record.payload() == Some(&value(number)[..]), "pass {pass}, record {number}");
            }
            producer.send_value("lag", 0, b"later");
            producer.flush_ok();
        }
        assert_eq!(reads_through_page_cache(&broker, "lag"), sendfile == "true");
    }
}
