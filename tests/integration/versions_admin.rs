//! The APIs of administrators in every version of their ranges; see `versions`.

use kafka_protocol::messages::alter_configs_request::{self, AlterConfigsRequest};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest as ProducersTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{self, IncrementalAlterConfigsRequest};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, BrokerId, CreatePartitionsRequest,
    DeleteRecordsRequest, DescribeConfigsRequest, DescribeLogDirsRequest, DescribeProducersRequest,
    DescribeQuorumRequest, DescribeTopicPartitionsRequest, ElectLeadersRequest, ListConfigResourcesRequest,
    ListPartitionReassignmentsRequest, UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::versions::{Scene, ask, name};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_REQUEST: i16 = 42;
const LOG_DIR_NOT_FOUND: i16 = 57;
const ELECTION_NOT_NEEDED: i16 = 84;
const NO_REASSIGNMENT_IN_PROGRESS: i16 = 85;
const INVALID_UPDATE_VERSION: i16 = 95;
const BROKER_ID_NOT_REGISTERED: i16 = 102;

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

#[test]
fn one_node_elects_nobody_and_moves_nothing() {
    let mut scene = Scene::new();
    for version in scene.range(43) {
        let topics = ["there", "not-there"]
            .map(|topic| TopicPartitions::default().with_topic(name(topic)).with_partitions(vec![0]));
        let request = ElectLeadersRequest::default().with_topic_partitions(Some(topics.to_vec()));
        let response = ask(&mut scene.wire, version, &request);
        let results = response.replica_election_results.iter();
        let codes: Vec<_> = results.map(|topic| topic.partition_result[0].error_code).collect();
        assert_eq!(codes, [ELECTION_NOT_NEEDED, UNKNOWN_TOPIC_OR_PARTITION], "version {version}");
        let all = ask(&mut scene.wire, version, &request.clone().with_topic_partitions(None));
        assert!(all.replica_election_results.iter().all(|topic| topic.partition_result.is_empty()));
        if 1 <= version {
            let strange = ask(&mut scene.wire, version, &request.with_election_type(7));
            assert_eq!(strange.error_code, INVALID_REQUEST, "version {version}");
        }
    }
    for version in scene.range(45) {
        for (topic, replicas, expected) in [
            ("there", Some(vec![1]), 0),
            ("there", Some(vec![2]), INVALID_REPLICA_ASSIGNMENT),
            ("there", Some(vec![1, 1]), INVALID_REPLICA_ASSIGNMENT),
            ("there", Some(vec![]), INVALID_REPLICA_ASSIGNMENT),
            ("there", None, NO_REASSIGNMENT_IN_PROGRESS),
            ("not-there", Some(vec![1]), UNKNOWN_TOPIC_OR_PARTITION),
        ] {
            let replicas = replicas.map(|ids: Vec<i32>| ids.into_iter().map(BrokerId).collect());
            let partition = ReassignablePartition::default().with_replicas(replicas);
            let topic = ReassignableTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
            let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
            let response = ask(&mut scene.wire, version, &request);
            assert_eq!(response.responses[0].partitions[0].error_code, expected, "version {version}");
        }
    }
    for version in scene.range(46) {
        let request = ListPartitionReassignmentsRequest::default().with_topics(None);
        let response = ask(&mut scene.wire, version, &request);
        assert_eq!((response.error_code, response.topics.len()), (0, 0), "version {version}");
    }
    for version in scene.range(34) {
        let data = scene.broker.data();
        let path = |shard: &str| data.join(shard).to_str().expect("UTF-8").to_owned();
        let mut moved = |path: String| {
            let topic = AlterReplicaLogDirTopic::default().with_name(name("there")).with_partitions(vec![0]);
            let dir = AlterReplicaLogDir::default().with_path(text(&path)).with_topics(vec![topic]);
            let request = AlterReplicaLogDirsRequest::default().with_dirs(vec![dir]);
            ask(&mut scene.wire, version, &request).results[0].partitions[0].error_code
        };
        let mut codes = [moved(path("shard-00")), moved(path("shard-01"))];
        codes.sort_unstable();
        assert_eq!(codes, [0, INVALID_REPLICA_ASSIGNMENT], "where it is, and elsewhere");
        assert_eq!(moved("/nowhere".to_owned()), LOG_DIR_NOT_FOUND, "version {version}");
    }
}

#[test]
fn the_quorum_its_features_and_its_brokers() {
    let mut scene = Scene::new();
    for version in scene.range(55) {
        let partition = || vec![PartitionData::default()];
        let topics = ["__cluster_metadata", "there"]
            .map(|topic| TopicData::default().with_topic_name(name(topic)).with_partitions(partition()));
        let request = DescribeQuorumRequest::default().with_topics(topics.to_vec());
        let response = ask(&mut scene.wire, version, &request);
        let quorum = &response.topics[0].partitions[0];
        assert_eq!((quorum.error_code, quorum.leader_id), (0, BrokerId(1)), "version {version}");
        assert!(0 < quorum.high_watermark && 0 < quorum.leader_epoch, "{quorum:?}");
        assert_eq!(quorum.current_voters.len(), 1);
        assert_eq!(quorum.current_voters[0].log_end_offset, quorum.high_watermark);
        assert_eq!(response.topics[1].partitions[0].error_code, UNKNOWN_TOPIC_OR_PARTITION);
    }
    for version in scene.range(57) {
        for (feature, level, expected) in
            [("metadata.version", 30, 0), ("metadata.version", 99, INVALID_UPDATE_VERSION)]
        {
            let update =
                FeatureUpdateKey::default().with_feature(text(feature)).with_max_version_level(level);
            let request = UpdateFeaturesRequest::default().with_feature_updates(vec![update]);
            let response = ask(&mut scene.wire, version, &request);
            assert_eq!(response.error_code, expected, "version {version} of {feature} {level}");
            let listed = usize::from(version <= 1 && expected == 0);
            assert_eq!(response.results.len(), listed, "version {version}");
        }
    }
    for version in scene.range(64) {
        for (id, expected) in [(7, BROKER_ID_NOT_REGISTERED), (1, INVALID_REQUEST)] {
            let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(id));
            let response = ask(&mut scene.wire, version, &request);
            assert_eq!(response.error_code, expected, "version {version}");
        }
    }
}
