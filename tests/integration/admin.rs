//! Administration by librdkafka's admin client and by hand: what is changed is in force at once, and after a
//! restart.

use std::time::Duration;

use futures_lite::future::block_on;
use rdkafka::admin::{
    AdminOptions, AlterConfig, ConfigSource, NewPartitions, OwnedResourceSpecifier, ResourceSpecifier,
};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};
use crate::harness::wire::{self, Body, Reply, Wire};
use crate::harness::{PATIENCE, eventually, requests};

/// Error codes of the wire that these tests look for.
const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC_EXCEPTION: i16 = 17;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const POLICY_VIOLATION: i16 = 44;

const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

pub(crate) const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE))
}

/// `name -> (value, source)` of a resource as librdkafka sees it.
fn described(broker: &Broker, resource: &ResourceSpecifier<'_>, key: &str) -> (Option<String>, ConfigSource) {
    let admin = clients::admin(&broker.bootstrap());
    let resources = block_on(admin.describe_configs([resource], &options())).expect("an answer");
    let resource = resources.into_iter().next().expect("one resource").expect("it can be described");
    let entry = resource.entries.into_iter().find(|entry| entry.name == key).expect("the key is there");
    (entry.value, entry.source)
}

/// A key, what to do with it, and the value.
type Change<'a> = (&'a str, i8, Option<&'a str>);

/// IncrementalAlterConfigs v0 of one key of one resource: error code and message.
fn alter(
    wire: &mut Wire,
    resource_type: i8,
    name: &str,
    (key, operation, value): Change<'_>,
) -> (i16, String) {
    let body = Body::new().i32(1).i8(resource_type).string(name).i32(1).string(key).i8(operation);
    let body = match value {
        Some(value) => body.string(value),
        None => body.null_string(),
    };
    let mut reply = wire.request(wire::api(44, 0), &body.i8(0));
    reply.i32();
    assert_eq!(reply.i32(), 1, "one resource");
    (reply.i16(), reply.string().unwrap_or_default())
}

pub(crate) fn altered(wire: &mut Wire, resource_type: i8, name: &str, change: Change<'_>) {
    assert_eq!(alter(wire, resource_type, name, change), (0, String::new()), "{name} {change:?}");
}

/// DeleteRecords v1 of one partition: error code and low watermark.
fn delete_records(wire: &mut Wire, topic: &str, partition: i32, offset: i64) -> (i16, i64) {
    let body = Body::new().i32(1).string(topic).i32(1).i32(partition).i64(offset).i32(20_000);
    let mut reply = wire.request(wire::api(21, 1), &body);
    reply.i32();
    assert_eq!(reply.i32(), 1, "one topic");
    reply.string();
    assert_eq!(reply.i32(), 1, "one partition");
    reply.i32();
    let low_watermark = reply.i64();
    (reply.i16(), low_watermark)
}

fn produce(broker: &Broker, topic: &str, partition: i32, count: i64) {
    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    (0..count).for_each(|number| _ = producer.send_value(topic, partition, number.to_string().as_bytes()));
    producer.flush_ok();
}

#[test]
fn a_topics_settings_change_while_it_is_used() {
    let mut broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "t", 3, &[("retention.ms", "5000")]);
    let topic = ResourceSpecifier::Topic("t");
    let default = Some("1048588".to_owned());
    assert_eq!(described(&broker, &topic, "max.message.bytes"), (default, ConfigSource::Default));
    let retention = (Some("5000".to_owned()), ConfigSource::DynamicTopic);
    assert_eq!(described(&broker, &topic, "retention.ms"), retention);

    let mut wire = Wire::connect(broker.address());
    altered(&mut wire, TOPIC, "t", ("max.message.bytes", SET, Some("200")));
    altered(&mut wire, TOPIC, "t", ("cleanup.policy", APPEND, Some("compact")));
    let policy = (Some("delete,compact".to_owned()), ConfigSource::DynamicTopic);
    assert_eq!(described(&broker, &topic, "cleanup.policy"), policy);
    for partition in 0..3 {
        let batch = crate::harness::batch::RawBatch::of(&[&[7; 400]], crate::harness::now_ms());
        let produced = requests::produce(&mut wire, "t", partition, &batch.encode());
        assert_eq!(produced.error_code, MESSAGE_TOO_LARGE, "partition {partition} obeys at once");
    }
    broker.stop();
    broker.restart();
    let limit = (Some("200".to_owned()), ConfigSource::DynamicTopic);
    assert_eq!(described(&broker, &topic, "max.message.bytes"), limit);
    let mut wire = Wire::connect(broker.address());
    altered(&mut wire, TOPIC, "t", ("max.message.bytes", DELETE, None));
    altered(&mut wire, TOPIC, "t", ("cleanup.policy", SET, Some("delete")));
    produce(&broker, "t", 0, 3);
}

#[test]
fn librdkafkas_alter_configs_replaces_all_of_a_topics_settings() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "t", 1, &[("retention.ms", "5000")]);
    let admin = clients::admin(&broker.bootstrap());
    let change = AlterConfig::new(ResourceSpecifier::Topic("t")).set("flush.messages", "9");
    let changed = block_on(admin.alter_configs([&change], &options())).expect("an answer");
    assert_eq!(changed, [Ok(OwnedResourceSpecifier::Topic("t".to_owned()))]);
    let topic = ResourceSpecifier::Topic("t");
    assert_eq!(described(&broker, &topic, "flush.messages").0.as_deref(), Some("9"));
    assert_eq!(described(&broker, &topic, "retention.ms").1, ConfigSource::Default);
}

#[test]
fn a_brokers_settings_change_for_every_topic_without_an_override() {
    let mut broker = Broker::start(2, &[("node.id", "3")]);
    clients::create_topic(&broker.bootstrap(), "inherits", 2, &[]);
    clients::create_topic(&broker.bootstrap(), "overrides", 1, &[("max.message.bytes", "5000")]);
    let mut wire = Wire::connect(broker.address());
    altered(&mut wire, BROKER, "", ("message.max.bytes", SET, Some("200")));
    let produced = |wire: &mut Wire, topic: &str, partition| {
        let batch = crate::harness::batch::RawBatch::of(&[&[7; 400]], crate::harness::now_ms());
        requests::produce(wire, topic, partition, &batch.encode()).error_code
    };
    assert_eq!(produced(&mut wire, "inherits", 0), MESSAGE_TOO_LARGE);
    assert_eq!(produced(&mut wire, "inherits", 1), MESSAGE_TOO_LARGE);
    assert_eq!(produced(&mut wire, "overrides", 0), 0);
    let topic = ResourceSpecifier::Topic("inherits");
    let limit = (Some("200".to_owned()), ConfigSource::DynamicDefaultBroker);
    assert_eq!(described(&broker, &topic, "max.message.bytes"), limit);

    altered(&mut wire, BROKER, "3", ("message.max.bytes", SET, Some("1000")));
    assert_eq!(produced(&mut wire, "inherits", 0), 0);
    broker.stop();
    broker.restart();
    let mut wire = Wire::connect(broker.address());
    let own = (Some("1000".to_owned()), ConfigSource::DynamicBroker);
    assert_eq!(described(&broker, &ResourceSpecifier::Broker(3), "message.max.bytes"), own);
    assert_eq!(produced(&mut wire, "inherits", 1), 0);
    altered(&mut wire, BROKER, "3", ("message.max.bytes", DELETE, None));
    assert_eq!(produced(&mut wire, "inherits", 1), MESSAGE_TOO_LARGE, "the default of all brokers is left");
}

#[test]
fn changes_that_make_no_sense_are_refused_with_a_reason() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "t", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    let long = "x".repeat(32_767);
    let cases: [(i8, &str, Change<'_>, i16, &str); 17] = [
        (TOPIC, "t", ("no.such.key", SET, Some("1")), INVALID_CONFIG, "Unknown topic config name"),
        (TOPIC, "t", ("retention.ms", SET, None), INVALID_REQUEST, "Null value not supported for :"),
        (TOPIC, "t", ("retention.ms", 9, Some("1")), INVALID_REQUEST, "Unknown operations type 9"),
        (TOPIC, "t", ("retention.ms", APPEND, Some("1")), INVALID_CONFIG, "Can't APPEND to key"),
        (TOPIC, "t", ("cleanup.policy", APPEND, Some(&long)), INVALID_CONFIG, ""),
        (TOPIC, "u", ("retention.ms", SET, Some("1")), UNKNOWN_TOPIC_OR_PARTITION, "The topic 'u' does"),
        (TOPIC, "a b", ("retention.ms", SET, Some("1")), INVALID_TOPIC_EXCEPTION, ""),
        (TOPIC, "", ("retention.ms", SET, Some("1")), INVALID_REQUEST, "Default topic resources are"),
        (BROKER, "x", ("log.roll.ms", SET, Some("1")), INVALID_REQUEST, "Broker id must be an integer"),
        (BROKER, "77", ("log.roll.ms", SET, Some("1")), INVALID_REQUEST, "Unexpected broker id, expected 1,"),
        (BROKER, "", ("num.partitions", SET, Some("1")), INVALID_REQUEST, "Cannot update these configs"),
        (BROKER, "1", ("log.roll.ms", SET, Some("0")), INVALID_REQUEST, "Invalid dynamic configuration"),
        (BROKER_LOGGER, "1", ("root", SET, Some("DEBUG")), INVALID_REQUEST, "Log levels of this broker"),
        (CLIENT_METRICS, "m", ("interval.ms", SET, Some("1")), INVALID_REQUEST, "This broker does not"),
        (GROUP, "g", ("no.such.key", SET, Some("1")), INVALID_CONFIG, "Unknown group config name"),
        (GROUP, "", ("share.isolation.level", SET, Some("1")), INVALID_CONFIG, ""),
        (99, "x", ("k", SET, Some("1")), INVALID_REQUEST, "Unknown resource type 99"),
    ];
    for (resource_type, name, change, code, text) in cases {
        if resource_type == GROUP && name.is_empty() {
            let (found, _) = alter(&mut wire, resource_type, name, change);
            assert_eq!(found, INVALID_REQUEST, "no group without a name");
            continue;
        }
        let (found, message) = alter(&mut wire, resource_type, name, change);
        assert_eq!(found, code, "{name} {:?}: {message}", change.0);
        assert!(message.starts_with(text), "{message}");
    }
    let topic = ResourceSpecifier::Topic("t");
    assert_eq!(described(&broker, &topic, "retention.ms").1, ConfigSource::Default);
}

#[test]
fn a_groups_settings_are_kept_and_shown() {
    let mut broker = Broker::start(1, &[]);
    let mut wire = Wire::connect(broker.address());
    altered(&mut wire, GROUP, "g", ("consumer.session.timeout.ms", SET, Some("50000")));
    broker.stop();
    broker.restart();
    let mut wire = Wire::connect(broker.address());
    let body = Body::new().i32(1).i8(GROUP).string("g").i32(1).string("consumer.session.timeout.ms").i8(0);
    let mut reply = wire.request(wire::api(32, 1), &body);
    reply.i32();
    assert_eq!(reply.i32(), 1, "one resource");
    assert_eq!((reply.i16(), reply.string().as_deref()), (0, Some("")), "as Kafka says nothing is wrong");
    assert_eq!((reply.i8(), reply.string().as_deref()), (GROUP, Some("g")));
    assert_eq!(reply.i32(), 1, "one key was asked for");
    assert_eq!(reply.string().as_deref(), Some("consumer.session.timeout.ms"));
    assert_eq!(reply.string().as_deref(), Some("50000"));
    let (read_only, source, sensitive) = (reply.i8(), reply.i8(), reply.i8());
    assert_eq!((read_only, source, sensitive), (0, 8, 0));
}

#[test]
fn partitions_are_added_and_used() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "grows", 1, &[]);
    let admin = clients::admin(&broker.bootstrap());
    let grow = |count, validate_only| {
        let partitions = NewPartitions::new("grows", count);
        let options = options().validate_only(validate_only);
        let results = block_on(admin.create_partitions([&partitions], &options)).expect("an answer");
        results.into_iter().next().expect("one result").map_err(|(_, code)| code)
    };
    assert_eq!(grow(4, true), Ok("grows".to_owned()));
    assert_eq!(grow(4, false), Ok("grows".to_owned()));
    assert_eq!(grow(4, false), Err(RDKafkaErrorCode::InvalidPartitions));
    assert_eq!(grow(2, false), Err(RDKafkaErrorCode::InvalidPartitions));
    for partition in 0..4 {
        produce(&broker, "grows", partition, 5);
        assert_eq!(clients::watermarks(&broker.bootstrap(), "grows", partition), (0, 5));
    }
    let mut wire = Wire::connect(broker.address());
    let body = Body::new().i32(1).string("grows").i32(3).i32(-1).i32(20_000).i8(0);
    let mut reply = wire.request(wire::api(37, 1), &body);
    reply.i32();
    assert_eq!((reply.i32(), reply.string().as_deref()), (1, Some("grows")));
    assert_eq!(reply.i16(), INVALID_PARTITIONS);
    let message = "The topic grows currently has 4 partition(s); 3 would not be an increase.";
    assert_eq!(reply.string().as_deref(), Some(message));
}

#[test]
fn deleted_records_stay_deleted() {
    let mut broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "trimmed", 2, &[]);
    for partition in 0..2 {
        produce(&broker, "trimmed", partition, 20);
    }
    let mut positions = TopicPartitionList::new();
    positions.add_partition_offset("trimmed", 0, Offset::Offset(7)).expect("an offset");
    positions.add_partition_offset("trimmed", 1, Offset::End).expect("an offset");
    let admin = clients::admin(&broker.bootstrap());
    let deleted = block_on(admin.delete_records(&positions, &options())).expect("an answer");
    let starts: Vec<_> = deleted.elements().iter().map(|of| (of.partition(), of.offset())).collect();
    assert_eq!(starts, [(0, Offset::Offset(7)), (1, Offset::Offset(20))]);
    assert_eq!(clients::watermarks(&broker.bootstrap(), "trimmed", 0), (7, 20));
    assert_eq!(clients::watermarks(&broker.bootstrap(), "trimmed", 1), (20, 20));

    let mut wire = Wire::connect(broker.address());
    assert_eq!(delete_records(&mut wire, "trimmed", 0, 3), (0, 7), "the log start never goes back");
    assert_eq!(delete_records(&mut wire, "trimmed", 0, 21), (OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(delete_records(&mut wire, "trimmed", 0, -2), (OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(delete_records(&mut wire, "trimmed", 9, 0), (UNKNOWN_TOPIC_OR_PARTITION, -1));
    assert_eq!(delete_records(&mut wire, "nowhere", 0, 0), (UNKNOWN_TOPIC_OR_PARTITION, -1));
    assert_eq!(requests::fetch(&mut wire, "trimmed", 0, 6).error_code, OFFSET_OUT_OF_RANGE);
    assert_eq!(requests::list_offset(&mut wire, "trimmed", 0, -2), (0, -1, 7));

    // Right after the answer, whatever happens.
    assert_eq!(delete_records(&mut wire, "trimmed", 0, 11), (0, 11));
    broker.kill();
    broker.restart();
    assert_eq!(clients::watermarks(&broker.bootstrap(), "trimmed", 0), (11, 20));
    assert_eq!(clients::watermarks(&broker.bootstrap(), "trimmed", 1), (20, 20));
    assert_eq!(clients::read(&broker.bootstrap(), "trimmed", 0, 11, 9).len(), 9);

    clients::create_topic(&broker.bootstrap(), "compacted", 1, &[("cleanup.policy", "compact")]);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(delete_records(&mut wire, "compacted", 0, -1), (POLICY_VIOLATION, -1));
    // A topic of the same name begins at zero again.
    assert_eq!(clients::delete_topic(&broker.bootstrap(), "trimmed"), Ok(()));
    clients::create_topic(&broker.bootstrap(), "trimmed", 1, &[]);
    produce(&broker, "trimmed", 0, 2);
    broker.kill();
    broker.restart();
    assert_eq!(clients::watermarks(&broker.bootstrap(), "trimmed", 0), (0, 2));
}

/// DescribeTopicPartitions v0: `(error code, name, partitions)` of each topic, and the cursor.
type Page = (Vec<(i16, String, Vec<i32>)>, Option<(String, i32)>);

fn describe_page(wire: &mut Wire, topics: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> Page {
    let body = topics.iter().fold(Body::new().compact_len(Some(topics.len())), |body, name| {
        body.compact_string(Some(name)).tags()
    });
    let body = match cursor {
        Some((topic, partition)) => body.i32(limit).i8(1).compact_string(Some(topic)).i32(partition).tags(),
        None => body.i32(limit).i8(-1),
    };
    let mut reply = wire.request(wire::flexible(75, 0), &body.tags());
    reply.i32();
    let topics = (0..reply.compact_len()).map(|_| describe_topic(&mut reply)).collect();
    let next = (reply.i8() == 1).then(|| (reply.compact_string(), reply.i32()));
    (topics, next)
}

fn describe_topic(reply: &mut Reply) -> (i16, String, Vec<i32>) {
    let (error_code, name) = (reply.i16(), reply.compact_string());
    let (_id, _internal) = (reply.uuid(), reply.i8());
    let partitions = (0..reply.compact_len())
        .map(|_| {
            assert_eq!(reply.i16(), 0, "error code of a partition of {name}");
            let partition = reply.i32();
            assert_eq!((reply.i32(), reply.i32()), (1, 0), "leader and epoch of {name}-{partition}");
            // Replicas, ISR, ELR, last known ELR, offline replicas.
            (0..5).for_each(|_| (0..reply.compact_len()).for_each(|_| _ = reply.i32()));
            reply.skip_tags();
            partition
        })
        .collect();
    reply.i32();
    reply.skip_tags();
    (error_code, name, partitions)
}

#[test]
fn topics_are_described_page_by_page() {
    let broker = Broker::start(2, &[]);
    // A client may have had the topic of its coordinator created: pages begin behind it.
    let first = Some(("a", 0));
    for (name, partitions) in [("a", 2), ("b", 3), ("c", 1)] {
        clients::create_topic(&broker.bootstrap(), name, partitions, &[]);
    }
    let mut wire = Wire::connect(broker.address());
    let text = |name: &str| name.to_owned();
    let (topics, next) = describe_page(&mut wire, &[], 2_000, first);
    assert_eq!(topics, [(0, text("a"), vec![0, 1]), (0, text("b"), vec![0, 1, 2]), (0, text("c"), vec![0])]);
    assert_eq!(next, None);

    let (topics, next) = describe_page(&mut wire, &[], 3, first);
    assert_eq!(topics, [(0, text("a"), vec![0, 1]), (0, text("b"), vec![0])]);
    assert_eq!(next, Some((text("b"), 1)));
    let (topics, next) = describe_page(&mut wire, &[], 2, Some(("b", 1)));
    assert_eq!(topics, [(0, text("b"), vec![1, 2])]);
    assert_eq!(next, Some((text("c"), 0)));
    let (topics, next) = describe_page(&mut wire, &[], 2, Some(("c", 0)));
    assert_eq!((topics, next), (vec![(0, text("c"), vec![0])], None));

    let (topics, _) = describe_page(&mut wire, &["c", "nowhere", "a b"], 2_000, None);
    let codes: Vec<_> = topics.iter().map(|(code, name, _)| (*code, name.as_str())).collect();
    assert_eq!(codes, [(INVALID_TOPIC_EXCEPTION, "a b"), (0, "c"), (UNKNOWN_TOPIC_OR_PARTITION, "nowhere")]);
    for (asked, cursor) in [(vec!["a"], ("b", 0)), (vec!["a", "b"], ("b", -1))] {
        let (topics, next) = describe_page(&mut wire, &asked, 10, Some(cursor));
        assert_eq!(topics.len(), asked.len());
        assert!(topics.iter().all(|(code, ..)| *code == INVALID_REQUEST), "{topics:?}");
        assert_eq!(next, None);
    }
    let (topics, next) = describe_page(&mut wire, &["a"], 0, None);
    assert_eq!((topics[0].2.len(), next), (1, Some((text("a"), 1))), "a page holds at least one partition");
}

#[test]
fn every_shard_shows_its_log_directory() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "sized", 4, &[]);
    (0..4).for_each(|partition| produce(&broker, "sized", partition, 50));
    let mut wire = Wire::connect(broker.address());
    let describe = |wire: &mut Wire, body: Body| {
        let mut reply = wire.request(wire::flexible(35, 4), &body.tags());
        assert_eq!((reply.i32(), reply.i16()), (0, 0), "throttle time and error code");
        let dirs: Vec<_> = (0..reply.compact_len())
            .map(|_| {
                assert_eq!(reply.i16(), 0, "error code of a directory");
                let path = reply.compact_string();
                let mut partitions = Vec::new();
                for _ in 0..reply.compact_len() {
                    let topic = reply.compact_string();
                    for _ in 0..reply.compact_len() {
                        let (partition, size, lag, future) =
                            (reply.i32(), reply.i64(), reply.i64(), reply.i8());
                        assert_eq!((lag, future), (0, 0), "{topic}-{partition}");
                        reply.skip_tags();
                        // A client may have had the topic of its coordinator created.
                        if topic == "sized" {
                            assert!(0 < size, "partition {partition} has {size} bytes");
                            partitions.push(partition);
                        }
                    }
                    reply.skip_tags();
                }
                let (total, usable) = (reply.i64(), reply.i64());
                assert!(0 < usable && usable < total, "{usable} of {total} bytes");
                reply.skip_tags();
                (path, partitions)
            })
            .collect();
        dirs
    };
    let dirs = describe(&mut wire, Body::new().compact_len(None));
    let data = broker.data();
    let expected = ["shard-00", "shard-01"].map(|name| data.join(name).to_str().expect("UTF-8").to_owned());
    assert_eq!(dirs.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), expected);
    let mut all: Vec<_> = dirs.iter().flat_map(|(_, partitions)| partitions.clone()).collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    assert!(dirs.iter().all(|(_, partitions)| partitions.len() == 2), "{dirs:?}");

    let one =
        Body::new().compact_len(Some(1)).compact_string(Some("sized")).compact_len(Some(1)).i32(2).tags();
    let dirs = describe(&mut wire, one);
    assert_eq!(dirs.iter().flat_map(|(_, partitions)| partitions.clone()).collect::<Vec<_>>(), [2]);
}

#[test]
fn idempotent_producers_are_shown() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "t", 1, &[]);
    let mut producer = TestProducer::new(&broker.bootstrap(), &[("enable.idempotence", "true")]);
    (0..5).for_each(|_| _ = producer.send_value("t", 0, b"value"));
    producer.flush_ok();
    let mut wire = Wire::connect(broker.address());
    let body = Body::new().compact_len(Some(1)).compact_string(Some("t")).compact_len(Some(2)).i32(0).i32(7);
    let mut reply = wire.request(wire::flexible(61, 0), &body.tags().tags());
    reply.i32();
    assert_eq!((reply.compact_len(), reply.compact_string().as_str()), (1, "t"));
    assert_eq!(reply.compact_len(), 2, "partitions");
    assert_eq!((reply.i32(), reply.i16(), reply.compact_len()), (0, 0, 0), "partition, error, message");
    assert_eq!(reply.compact_len(), 1, "producers");
    let (_id, epoch, last_sequence) = (reply.i64(), reply.i32(), reply.i32());
    assert_eq!((epoch, last_sequence), (0, 4));
    assert!(0 < reply.i64(), "a timestamp");
    assert_eq!((reply.i32(), reply.i64()), (-1, -1), "no transaction");
    reply.skip_tags();
    reply.skip_tags();
    assert_eq!((reply.i32(), reply.i16()), (7, UNKNOWN_TOPIC_OR_PARTITION));
}

#[test]
fn resources_with_configuration_are_listed() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "t", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    altered(&mut wire, GROUP, "g", ("share.auto.offset.reset", SET, Some("earliest")));
    let mut list = |version: i16, types: &[i8]| {
        let body = match version {
            0 => Body::new(),
            _ => types.iter().fold(Body::new().compact_len(Some(types.len())), |body, of| body.i8(*of)),
        };
        let mut reply = wire.request(wire::flexible(74, version), &body.tags());
        reply.i32();
        let error_code = reply.i16();
        let resources: Vec<_> = (0..reply.compact_len())
            .map(|_| {
                let name = reply.compact_string();
                let of = if version == 0 { CLIENT_METRICS } else { reply.i8() };
                reply.skip_tags();
                (of, name)
            })
            .collect();
        (error_code, resources)
    };
    let text = |name: &str| name.to_owned();
    assert_eq!(list(1, &[]), (0, vec![(TOPIC, text("t")), (BROKER, text("1")), (GROUP, text("g"))]));
    assert_eq!(list(1, &[GROUP]), (0, vec![(GROUP, text("g"))]));
    assert_eq!(list(1, &[3]), (35, vec![]));
    assert_eq!(list(0, &[]), (0, vec![]));
}

#[test]
fn topics_can_be_changed_by_many_at_once() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "t", 1, &[]);
    let mut wires: Vec<_> = (0..8).map(|_| Wire::connect(broker.address())).collect();
    for round in 0..20 {
        for (number, wire) in wires.iter_mut().enumerate() {
            let value = (1_000 + round * 10 + number).to_string();
            let body = Body::new().i32(1).i8(TOPIC).string("t").i32(1).string("flush.messages");
            wire.send(wire::api(44, 0), &body.i8(SET).string(&value).i8(0));
        }
        for wire in &mut wires {
            let mut reply = wire.reply(wire::api(44, 0)).expect("an answer");
            reply.i32();
            assert_eq!((reply.i32(), reply.i16()), (1, 0), "round {round}");
        }
    }
    let topic = ResourceSpecifier::Topic("t");
    eventually("one of the last values", Duration::from_secs(5), || {
        let value: usize = described(&broker, &topic, "flush.messages").0?.parse().ok()?;
        (1_190..1_198).contains(&value).then_some(())
    });
}
