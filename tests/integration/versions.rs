//! Every API that the broker offers, in every version of its range: answered in that version, to the last
//! byte, for what is there and for what is not.
//!
//! Requests and responses are encoded and decoded by Kafka's own schemas.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::ops::RangeInclusive;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, BrokerId, CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use uuid::Uuid;

use crate::harness::batch::RawBatch;
use crate::harness::broker::Broker;
use crate::harness::wire::Wire;
use crate::harness::{clients, now_ms};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const INVALID_CONFIG: i16 = 40;
const UNKNOWN_TOPIC_ID: i16 = 100;

pub(crate) fn name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn is_internal(topic: &MetadataResponseTopic) -> bool {
    topic.name.as_ref().is_some_and(|name| name.starts_with("__"))
}

/// Sends a request in a version and decodes the answer, of which no byte may be left.
pub(crate) fn ask<R>(wire: &mut Wire, version: i16, request: &R) -> R::Response
where
    R: Request + Debug,
    R::Response: Debug,
{
    let answered = try_ask(wire, version, request);
    answered.unwrap_or_else(|error| panic!("version {version} of {request:?}: {error}"))
}

/// The same against a broker that may be killed: the connection's end is an error.
pub(crate) fn try_ask<R>(wire: &mut Wire, version: i16, request: &R) -> io::Result<R::Response>
where
    R: Request + Debug,
    R::Response: Debug,
{
    send_request(wire, version, request)?;
    read_response::<R>(wire, version)
}

/// Sends a request and does not wait for the answer.
pub(crate) fn send_request<R>(wire: &mut Wire, version: i16, request: &R) -> io::Result<()>
where
    R: Request + Debug,
{
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(StrBytes::from_static_str("versions")));
    header.encode(&mut frame, R::header_version(version)).expect("a right header");
    let encoded = request.encode(&mut frame, version);
    encoded.unwrap_or_else(|error| panic!("version {version} of {request:?}: {error}"));
    let length = i32::try_from(frame.len() - 4).expect("a short request");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    wire.stream().write_all(&frame)
}

/// Reads the answer to the oldest unanswered request, of which no byte may be left.
pub(crate) fn read_response<R>(wire: &mut Wire, version: i16) -> io::Result<R::Response>
where
    R: Request,
    R::Response: Debug,
{
    let stream = wire.stream();
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut reply)?;
    let mut reply = Bytes::from(reply);
    let header =
        ResponseHeader::decode(&mut reply, R::Response::header_version(version)).expect("a right header");
    assert_eq!(header.correlation_id, 7);
    let response = R::Response::decode(&mut reply, version);
    let response =
        response.unwrap_or_else(|error| panic!("answer to version {version} of API {}: {error}", R::KEY));
    assert!(reply.is_empty(), "{} bytes too many after {response:?} in version {version}", reply.len());
    Ok(response)
}

/// A broker with a topic, `there`, of two partitions and a record in the first.
pub(crate) struct Scene {
    pub(crate) broker: Broker,
    pub(crate) wire: Wire,
    topic_id: Uuid,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let broker = Broker::start(2, &[("auto.create.topics.enable", "false")]);
        clients::create_topic(&broker.bootstrap(), "there", 2, &[]);
        let mut wire = Wire::connect(broker.address());
        let asked = MetadataRequestTopic::default().with_name(Some(name("there")));
        let metadata = ask(&mut wire, 12, &MetadataRequest::default().with_topics(Some(vec![asked])));
        let topic_id = metadata.topics[0].topic_id;
        let mut scene = Self { broker, wire, topic_id };
        assert_eq!(scene.produce(9, "there", scene.topic_id), 0);
        scene
    }

    /// The range of versions that the broker offers.
    pub(crate) fn range(&mut self, key: i16) -> RangeInclusive<i16> {
        let offered = Wire::connect(self.broker.address()).api_versions().expect("an answer");
        let (_, min, max) =
            offered.into_iter().find(|(offered, ..)| *offered == key).expect("the API is offered");
        min..=max
    }

    fn produce(&mut self, version: i16, topic: &str, id: Uuid) -> i16 {
        let records = RawBatch::of(&[b"value"], now_ms()).encode();
        let partition = PartitionProduceData::default().with_records(Some(records.into()));
        let topic = match version {
            ..=12 => TopicProduceData::default().with_name(name(topic)),
            _ => TopicProduceData::default().with_topic_id(id),
        };
        let topic = topic.with_partition_data(vec![partition]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![topic]);
        ask(&mut self.wire, version, &request).responses[0].partition_responses[0].error_code
    }

    fn fetch(&mut self, version: i16, topic: &str, id: Uuid) -> (i16, usize) {
        let partition = FetchPartition::default().with_fetch_offset(0).with_partition_max_bytes(1_000);
        let topic = match version {
            ..=12 => FetchTopic::default().with_topic(name(topic)),
            _ => FetchTopic::default().with_topic_id(id),
        };
        let topic = topic.with_partitions(vec![partition]);
        let request = FetchRequest::default().with_min_bytes(1).with_max_wait_ms(0).with_topics(vec![topic]);
        let request = if version < 15 { request.with_replica_id(BrokerId(-1)) } else { request };
        let response = ask(&mut self.wire, version, &request);
        let partition = &response.responses[0].partitions[0];
        (partition.error_code, partition.records.as_ref().map_or(0, Bytes::len))
    }
}

#[test]
fn produce_and_fetch() {
    let mut scene = Scene::new();
    let (known, unknown) = (scene.topic_id, Uuid::from_u128(42));
    for version in 3.max(*scene.range(0).start())..=*scene.range(0).end() {
        assert_eq!(scene.produce(version, "there", known), 0, "version {version}");
        let expected = if version < 13 { UNKNOWN_TOPIC_OR_PARTITION } else { UNKNOWN_TOPIC_ID };
        assert_eq!(scene.produce(version, "not-there", unknown), expected, "version {version}");
    }
    for version in scene.range(1) {
        let (error_code, bytes) = scene.fetch(version, "there", known);
        assert!(error_code == 0 && bytes > 60, "version {version}: error {error_code}, {bytes} bytes");
        let expected = if version < 13 { UNKNOWN_TOPIC_OR_PARTITION } else { UNKNOWN_TOPIC_ID };
        assert_eq!(scene.fetch(version, "not-there", unknown).0, expected, "version {version}");
    }
}

#[test]
fn list_offsets_and_offsets_for_leader_epochs() {
    let mut scene = Scene::new();
    for version in scene.range(2) {
        for (topic, timestamp) in
            [("there", -1), ("there", -2), ("there", -3), ("there", 0), ("not-there", -1)]
        {
            let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
            let topics =
                vec![ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition])];
            let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics);
            let response = ask(&mut scene.wire, version, &request);
            let found = &response.topics[0].partitions[0];
            let place = format!("version {version} of {topic} at {timestamp}");
            match (topic, timestamp) {
                ("not-there", _) => assert_eq!(found.error_code, UNKNOWN_TOPIC_OR_PARTITION, "{place}"),
                (_, -1) => assert_eq!((found.error_code, found.offset), (0, 1), "{place}"),
                (_, -3) if version < 7 => assert_ne!(found.error_code, 0, "{place}"),
                _ => assert_eq!((found.error_code, found.offset), (0, 0), "{place}"),
            }
        }
    }
    for version in scene.range(23) {
        for (topic, expected) in [("there", (0, 1)), ("not-there", (UNKNOWN_TOPIC_OR_PARTITION, -1))] {
            let partition =
                OffsetForLeaderPartition::default().with_current_leader_epoch(-1).with_leader_epoch(0);
            let asked =
                OffsetForLeaderTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
            let request = OffsetForLeaderEpochRequest::default().with_topics(vec![asked]);
            let request = if version < 3 { request } else { request.with_replica_id(BrokerId(-1)) };
            let response = ask(&mut scene.wire, version, &request);
            let found = &response.topics[0].partitions[0];
            assert_eq!((found.error_code, found.end_offset), expected, "version {version} of {topic}");
        }
    }
}

#[test]
fn metadata() {
    let mut scene = Scene::new();
    for version in scene.range(3) {
        let no_topics = if version == 0 { Some(vec![]) } else { None };
        let everything = ask(&mut scene.wire, version, &MetadataRequest::default().with_topics(no_topics));
        // The client that has set the scene may have had the topic of its coordinator created.
        let topics: Vec<_> = everything.topics.iter().filter(|topic| !is_internal(topic)).collect();
        assert_eq!((topics.len(), everything.brokers.len()), (1, 1), "version {version}");
        assert_eq!(topics[0].partitions.len(), 2, "version {version}");
        for (topic, expected) in [("there", 0), ("not-there", UNKNOWN_TOPIC_OR_PARTITION)] {
            let asked = vec![MetadataRequestTopic::default().with_name(Some(name(topic)))];
            let found = ask(&mut scene.wire, version, &MetadataRequest::default().with_topics(Some(asked)));
            assert_eq!(found.topics[0].error_code, expected, "version {version} of {topic}");
        }
        for (id, expected) in [(scene.topic_id, 0), (Uuid::from_u128(42), UNKNOWN_TOPIC_ID)] {
            if version < 12 {
                continue;
            }
            let asked = vec![MetadataRequestTopic::default().with_name(None).with_topic_id(id)];
            let found = ask(&mut scene.wire, version, &MetadataRequest::default().with_topics(Some(asked)));
            assert_eq!(found.topics[0].error_code, expected, "version {version} of {id}");
        }
    }
}

#[test]
fn create_and_delete_topics() {
    let mut scene = Scene::new();
    for version in scene.range(19) {
        let topic = |config: Option<&'static str>| {
            let config = config.map(|value| {
                let key = StrBytes::from_static_str("retention.ms");
                let value = StrBytes::from_static_str(value);
                CreatableTopicConfig::default().with_name(key).with_value(Some(value))
            });
            let topic = CreatableTopic::default().with_name(name(&format!("made-{version}")));
            topic.with_num_partitions(1).with_replication_factor(1).with_configs(config.into_iter().collect())
        };
        let cases = [(Some("soon"), INVALID_CONFIG), (Some("1000"), 0), (None, TOPIC_ALREADY_EXISTS)];
        for (config, expected) in cases {
            let request =
                CreateTopicsRequest::default().with_topics(vec![topic(config)]).with_timeout_ms(20_000);
            let response = ask(&mut scene.wire, version, &request);
            assert_eq!(response.topics[0].error_code, expected, "version {version}, {config:?}");
        }
    }
    for version in scene.range(20) {
        for (topic, expected) in
            [(format!("made-{version}"), 0), ("not-there".to_owned(), UNKNOWN_TOPIC_OR_PARTITION)]
        {
            if version == 1 && expected == 0 {
                continue; // CreateTopics begins with version 2.
            }
            let request = DeleteTopicsRequest::default().with_timeout_ms(20_000);
            let request = match version {
                ..=5 => request.with_topic_names(vec![name(&topic)]),
                _ => request.with_topics(vec![DeleteTopicState::default().with_name(Some(name(&topic)))]),
            };
            let response = ask(&mut scene.wire, version, &request);
            assert_eq!(response.responses[0].error_code, expected, "version {version} of {topic}");
        }
        if version >= 6 {
            let unknown = DeleteTopicState::default().with_name(None).with_topic_id(Uuid::from_u128(42));
            let request = DeleteTopicsRequest::default().with_timeout_ms(20_000).with_topics(vec![unknown]);
            let response = ask(&mut scene.wire, version, &request);
            assert_eq!(response.responses[0].error_code, UNKNOWN_TOPIC_ID, "version {version}");
        }
    }
}

#[test]
fn the_broker_and_its_producers() {
    let mut scene = Scene::new();
    for version in scene.range(18) {
        let request = ApiVersionsRequest::default();
        let request = match version {
            ..=2 => request,
            _ => request
                .with_client_software_name(StrBytes::from_static_str("versions"))
                .with_client_software_version(StrBytes::from_static_str("1")),
        };
        let response = ask(&mut scene.wire, version, &request);
        assert_eq!(response.error_code, 0, "version {version}");
        assert!(
            response.api_keys.iter().any(|api| (api.api_key, api.min_version) == (0, 0)),
            "Produce from 0"
        );
        if version >= 3 {
            assert!(!response.finalized_features.is_empty(), "version {version} names no features");
        }
    }
    for version in scene.range(22) {
        let response =
            ask(&mut scene.wire, version, &InitProducerIdRequest::default().with_transactional_id(None));
        assert_eq!((response.error_code, response.producer_epoch), (0, 0), "version {version}");
    }
    for version in scene.range(60) {
        let response = ask(&mut scene.wire, version, &DescribeClusterRequest::default());
        assert_eq!((response.error_code, response.brokers.len()), (0, 1), "version {version}");
    }
    for version in scene.range(10) {
        let request = FindCoordinatorRequest::default();
        let key = StrBytes::from_static_str("group");
        let request = match version {
            ..=3 => request.with_key(key),
            _ => request.with_coordinator_keys(vec![key]),
        };
        let response = ask(&mut scene.wire, version, &request);
        let error_code = response.coordinators.first().map_or(response.error_code, |first| first.error_code);
        assert_eq!(error_code, 0, "version {version}");
        if version >= 1 {
            let request = FindCoordinatorRequest::default().with_key_type(1);
            let key = StrBytes::from_static_str("transaction");
            let request = match version {
                ..=3 => request.with_key(key),
                _ => request.with_coordinator_keys(vec![key]),
            };
            let response = ask(&mut scene.wire, version, &request);
            let error_code =
                response.coordinators.first().map_or(response.error_code, |first| first.error_code);
            assert_eq!(error_code, COORDINATOR_NOT_AVAILABLE, "version {version}");
        }
    }
}
