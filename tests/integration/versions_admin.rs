//! The APIs of administrators in every version of their ranges; see `versions`.

use kafka_protocol::messages::alter_configs_request::{self, AlterConfigsRequest};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest as ProducersTopic;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{self, IncrementalAlterConfigsRequest};
use kafka_protocol::messages::{
    CreatePartitionsRequest, DeleteRecordsRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
    DescribeProducersRequest, DescribeTopicPartitionsRequest, ListConfigResourcesRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::versions::{Scene, ask, name};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_REQUEST: i16 = 42;

const TOPIC: i8 = 2;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[test]
fn configs_are_described() {
    let mut scene = Scene::new();
    for version in scene.range(32) {
        for (resource_type, resource, expected) in [
            (TOPIC, "there", 0),
            (TOPIC, "not-there", UNKNOWN_TOPIC_OR_PARTITION),
            (4, "1", 0),
            (4, "", 0),
            (4, "2", INVALID_REQUEST),
            (8, "1", INVALID_REQUEST),
            (32, "group", 0),
            (77, "x", INVALID_REQUEST),
        ] {
            let asked = DescribeConfigsResource::default()
                .with_resource_type(resource_type)
                .with_resource_name(text(resource))
                .with_configuration_keys(None);
            let request =
                DescribeConfigsRequest::default().with_resources(vec![asked]).with_include_synonyms(true);
            let request = if version < 3 { request } else { request.with_include_documentation(true) };
            let response = ask(&mut scene.wire, version, &request);
            let found = &response.results[0];
            assert_eq!(found.error_code, expected, "version {version} of {resource}");
            let policy = found.configs.iter().find(|config| config.name.as_str() == "cleanup.policy");
            if resource == "there" {
                let policy = policy.expect("every key is there");
                assert_eq!(policy.value.as_ref().map(|value| value.as_str()), Some("delete"));
                assert_eq!(policy.synonyms[0].name.as_str(), "log.cleanup.policy");
                if 3 <= version {
                    assert_eq!(policy.config_type, 7, "a list");
                    assert!(policy.documentation.as_ref().is_some_and(|doc| !doc.is_empty()));
                }
            }
        }
    }
}

#[test]
fn configs_are_altered() {
    let mut scene = Scene::new();
    for version in scene.range(33) {
        for (topic, expected) in [("there", 0), ("not-there", UNKNOWN_TOPIC_OR_PARTITION)] {
            let config = alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("9")));
            let resource = alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(topic))
                .with_configs(vec![config]);
            let request = AlterConfigsRequest::default().with_resources(vec![resource]);
            let response = ask(&mut scene.wire, version, &request);
            assert_eq!(response.responses[0].error_code, expected, "version {version} of {topic}");
        }
    }
    for version in scene.range(44) {
        for (topic, expected) in [("there", 0), ("not-there", UNKNOWN_TOPIC_OR_PARTITION)] {
            let config = incremental_alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_config_operation(1)
                .with_value(None);
            let resource = incremental_alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(topic))
                .with_configs(vec![config]);
            let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
            let response = ask(&mut scene.wire, version, &request);
            assert_eq!(response.responses[0].error_code, expected, "version {version} of {topic}");
        }
    }
}

#[test]
fn partitions_are_created_and_records_deleted() {
    let mut scene = Scene::new();
    let mut count = 2;
    for version in scene.range(37) {
        count += 1;
        for (topic, count, expected) in [
            ("there", count, 0),
            ("there", 1, INVALID_PARTITIONS),
            ("not-there", 9, UNKNOWN_TOPIC_OR_PARTITION),
        ] {
            let topic = CreatePartitionsTopic::default().with_name(name(topic)).with_count(count);
            let topic = topic.with_assignments(None);
            let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(20_000);
            let response = ask(&mut scene.wire, version, &request);
            assert_eq!(response.results[0].error_code, expected, "version {version}");
        }
    }
    for version in scene.range(21) {
        for (topic, expected) in [("there", (0, 0)), ("not-there", (UNKNOWN_TOPIC_OR_PARTITION, -1))] {
            let partition = DeleteRecordsPartition::default().with_offset(0);
            let topic = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
            let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(20_000);
            let response = ask(&mut scene.wire, version, &request);
            let found = &response.topics[0].partitions[0];
            assert_eq!((found.error_code, found.low_watermark), expected, "version {version}");
        }
    }
}

#[test]
fn directories_producers_and_resources_are_described() {
    let mut scene = Scene::new();
    for version in scene.range(35) {
        for topics in [None, Some(vec![]), Some(vec!["there"])] {
            let all = topics.is_none();
            let topic =
                |topic| DescribableLogDirTopic::default().with_topic(name(topic)).with_partitions(vec![1]);
            let topics = topics.map(|topics| topics.into_iter().map(topic).collect());
            let expected = topics.as_ref().map_or(2, Vec::len);
            let request = DescribeLogDirsRequest::default().with_topics(topics);
            let response = ask(&mut scene.wire, version, &request);
            assert_eq!(response.results.len(), 2, "version {version}: a directory for each shard");
            let topics = response.results.iter().flat_map(|dir| &dir.topics);
            // The client that has set the scene may have had the topic of its coordinator created.
            let topics = topics.filter(|topic| !topic.name.starts_with("__"));
            let found: usize = topics.map(|topic| topic.partitions.len()).sum();
            assert_eq!(found, expected, "version {version}, all: {all}");
        }
    }
    for version in scene.range(61) {
        let topic = ProducersTopic::default().with_name(name("there")).with_partition_indexes(vec![0, 9]);
        let request = DescribeProducersRequest::default().with_topics(vec![topic]);
        let response = ask(&mut scene.wire, version, &request);
        let codes: Vec<_> = response.topics[0].partitions.iter().map(|of| of.error_code).collect();
        assert_eq!(codes, [0, UNKNOWN_TOPIC_OR_PARTITION], "version {version}");
    }
    for version in scene.range(74) {
        let response = ask(&mut scene.wire, version, &ListConfigResourcesRequest::default());
        let expected = if version == 0 { 0 } else { 2 };
        assert_eq!(
            (response.error_code, response.config_resources.len()),
            (0, expected),
            "version {version}"
        );
    }
    for version in scene.range(75) {
        let topics = ["there", "not-there"].map(|topic| TopicRequest::default().with_name(name(topic)));
        let request = DescribeTopicPartitionsRequest::default().with_topics(topics.to_vec());
        let response = ask(&mut scene.wire, version, &request);
        let codes: Vec<_> = response.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [UNKNOWN_TOPIC_OR_PARTITION, 0], "version {version}");
    }
}
