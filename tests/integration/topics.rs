//! Topics are created, described and deleted as Kafka does it.

use std::time::Duration;

use futures_lite::future::block_on;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};
use crate::harness::wire::{self, Body, Wire};
use crate::harness::{PATIENCE, eventually, requests};

/// Error codes of the wire that these tests look for.
const INVALID_TOPIC_EXCEPTION: i16 = 17;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_CONFIG: i16 = 40;

#[test]
fn a_created_topic_is_listed_with_its_partitions() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "seven", 7, &[]);
    clients::create_topic(&broker.bootstrap(), "one", 1, &[]);
    let consumer = clients::consumer(&broker.bootstrap(), &[]);
    let metadata = consumer.fetch_metadata(None, PATIENCE).expect("metadata");
    let mut topics: Vec<_> =
        clients::topics(&metadata).map(|topic| (topic.name(), topic.partitions().len())).collect();
    topics.sort_unstable();
    assert_eq!(topics, [("one", 1), ("seven", 7)]);
    assert_eq!(metadata.brokers().len(), 1);
    assert_eq!(
        format!("{}:{}", metadata.brokers()[0].host(), metadata.brokers()[0].port()),
        broker.bootstrap()
    );
    for partition in clients::topics(&metadata).flat_map(|topic| topic.partitions()) {
        assert_eq!(partition.leader(), metadata.brokers()[0].id());
        assert_eq!((partition.replicas().len(), partition.isr().len()), (1, 1));
        assert!(partition.error().is_none());
    }
}

#[test]
fn creating_a_topic_twice_or_wrongly_is_refused() {
    let broker = Broker::start(1, &[]);
    let create = |name, partitions| clients::try_create_topic(&broker.bootstrap(), name, partitions, &[]);
    assert_eq!(create("once", 2), Ok(()));
    assert_eq!(create("once", 2), Err(RDKafkaErrorCode::TopicAlreadyExists));
    let mut wire = Wire::connect(broker.address());
    let too_long = "x".repeat(250);
    for (name, partitions, config, expected) in [
        ("raw", 1, None, 0),
        ("raw", 1, None, TOPIC_ALREADY_EXISTS),
        ("", 1, None, INVALID_TOPIC_EXCEPTION),
        (".", 1, None, INVALID_TOPIC_EXCEPTION),
        ("..", 1, None, INVALID_TOPIC_EXCEPTION),
        ("with space", 1, None, INVALID_TOPIC_EXCEPTION),
        ("with/slash", 1, None, INVALID_TOPIC_EXCEPTION),
        ("ümlaut", 1, None, INVALID_TOPIC_EXCEPTION),
        (&too_long, 1, None, INVALID_TOPIC_EXCEPTION),
        ("none", 0, None, INVALID_PARTITIONS),
        ("negative", -2, None, INVALID_PARTITIONS),
        ("strange", 1, Some(("no.such.key", "1")), INVALID_CONFIG),
        ("strange", 1, Some(("segment.bytes", "many")), INVALID_CONFIG),
        ("strange", 1, Some(("segment.bytes", "-1")), INVALID_CONFIG),
        ("strange", 1, Some(("cleanup.policy", "burn")), INVALID_CONFIG),
        ("strange", 1, Some(("retention.ms", "1000")), 0),
    ] {
        let found = requests::create_topic(&mut wire, name, partitions, config);
        assert_eq!(found, expected, "topic `{name}`, {partitions} partitions, {config:?}");
    }
}

#[test]
fn names_that_differ_in_dots_and_underscores_collide() {
    let broker = Broker::start(1, &[]);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(requests::create_topic(&mut wire, "a.b_c", 1, None), 0);
    assert_eq!(requests::create_topic(&mut wire, "a_b.c", 1, None), INVALID_TOPIC_EXCEPTION);
}

#[test]
fn replication_beyond_one_broker_is_refused_and_the_default_is_taken() {
    let broker = Broker::start(1, &[("num.partitions", "4")]);
    let admin = clients::admin(&broker.bootstrap());
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let create = |topic: NewTopic<'_>| {
        let results = block_on(admin.create_topics([&topic], &options)).expect("an answer");
        results.into_iter().next().expect("one result").map(|_| ()).map_err(|(_, code)| code)
    };
    let three = create(NewTopic::new("three", 1, TopicReplication::Fixed(3)));
    assert_eq!(three, Err(RDKafkaErrorCode::InvalidReplicationFactor));
    assert_eq!(create(NewTopic::new("default", -1, TopicReplication::Fixed(-1))), Ok(()));
    let consumer = clients::consumer(&broker.bootstrap(), &[]);
    let partitions = |name: &str| {
        let metadata = consumer.fetch_metadata(Some(name), PATIENCE).expect("metadata");
        metadata.topics()[0].partitions().len()
    };
    eventually("the broker's default", PATIENCE, || (partitions("default") == 4).then_some(()));

    assert_eq!(create(NewTopic::new("manual", 2, TopicReplication::Variable(&[&[1], &[1]]))), Ok(()));
    eventually("as many as were assigned", PATIENCE, || (partitions("manual") == 2).then_some(()));
    let unknown_broker = create(NewTopic::new("elsewhere", 1, TopicReplication::Variable(&[&[77]])));
    assert_eq!(unknown_broker, Err(RDKafkaErrorCode::InvalidReplicaAssignment));
}

#[test]
fn validating_creates_nothing() {
    let broker = Broker::start(1, &[]);
    let admin = clients::admin(&broker.bootstrap());
    let options = AdminOptions::new().validate_only(true);
    let topic = NewTopic::new("imagined", 3, TopicReplication::Fixed(1));
    let results = block_on(admin.create_topics([&topic], &options)).expect("an answer");
    assert!(results[0].is_ok(), "{results:?}");
    let metadata =
        clients::consumer(&broker.bootstrap(), &[]).fetch_metadata(None, PATIENCE).expect("metadata");
    assert_eq!(clients::topics(&metadata).count(), 0);
}

#[test]
fn a_deleted_topic_is_gone_and_its_name_is_free() {
    for shards in [1, 2] {
        let broker = Broker::start(shards, &[("auto.create.topics.enable", "false")]);
        for round in 0..3 {
            clients::create_topic(&broker.bootstrap(), "again", 4, &[]);
            let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
            (0..40).for_each(|number| {
                _ = producer.send_value("again", number % 4, format!("{round}").as_bytes())
            });
            producer.flush_ok();
            for partition in 0..4 {
                let records = clients::read(&broker.bootstrap(), "again", partition, 0, 10);
                assert_eq!(records.len(), 10, "round {round}");
                assert_eq!(clients::watermarks(&broker.bootstrap(), "again", partition), (0, 10));
            }
            assert_eq!(clients::delete_topic(&broker.bootstrap(), "again"), Ok(()));
            eventually("the topic is no longer listed", PATIENCE, || {
                let consumer = clients::consumer(&broker.bootstrap(), &[]);
                let metadata = consumer.fetch_metadata(None, PATIENCE).expect("metadata");
                metadata.topics().iter().all(|topic| topic.name() != "again").then_some(())
            });
        }
        let unknown = Err(RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(clients::delete_topic(&broker.bootstrap(), "again"), unknown);
    }
}

#[test]
fn a_hundred_topics_at_once_are_created_and_spread() {
    let broker = Broker::start(2, &[]);
    let names: Vec<String> = (0..100).map(|number| format!("many-{number}")).collect();
    let topics: Vec<_> =
        names.iter().map(|name| NewTopic::new(name, 2, TopicReplication::Fixed(1))).collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    let created =
        block_on(clients::admin(&broker.bootstrap()).create_topics(&topics, &options)).expect("an answer");
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    let mut producer = TestProducer::new(&broker.bootstrap(), &[]);
    names.iter().for_each(|name| _ = producer.send_value(name, 1, name.as_bytes()));
    producer.flush_ok();
    for name in names.iter().step_by(17) {
        let records = clients::read(&broker.bootstrap(), name, 1, 0, 1);
        assert_eq!(rdkafka::Message::payload(&records[0]), Some(name.as_bytes()));
    }
}

#[test]
fn metadata_is_found_by_name_and_by_id() {
    let broker = Broker::start(1, &[("auto.create.topics.enable", "false")]);
    clients::create_topic(&broker.bootstrap(), "named", 2, &[]);
    let mut wire = Wire::connect(broker.address());
    let (error_code, name, id) = metadata_of(&mut wire, 0, Some("named"));
    assert_eq!((error_code, name.as_str()), (0, "named"));
    assert_ne!(id, 0);
    assert_eq!(metadata_of(&mut wire, id, None), (0, "named".to_owned(), id));
    assert_eq!(metadata_of(&mut wire, 0, Some("unknown")).0, 3, "UNKNOWN_TOPIC_OR_PARTITION");
    assert_eq!(metadata_of(&mut wire, 12_345, None).0, 100, "UNKNOWN_TOPIC_ID");
}

/// Metadata v12 of one topic: error code, name, id.
fn metadata_of(wire: &mut Wire, id: u128, name: Option<&str>) -> (i16, String, u128) {
    let body = Body::new().compact_len(Some(1)).uuid(id).compact_string(name).tags().i8(0).i8(0).tags();
    let mut reply = wire.request(wire::METADATA_V12, &body);
    reply.i32();
    for _ in 0..reply.compact_len() {
        reply.i32();
        reply.compact_string();
        reply.i32();
        reply.compact_string();
        reply.skip_tags();
    }
    reply.compact_string();
    reply.i32();
    assert_eq!(reply.compact_len(), 1, "one topic");
    (reply.i16(), reply.compact_string(), reply.uuid())
}
