//! The rules of each operation, one story at a time.

use std::collections::BTreeMap;

use super::testing::*;
use super::*;
use crate::config::ConfigSource;
use crate::metadata::records::{BeginTransactionRecord, MetadataRecord};
use crate::types::{DirectoryId, LeaderEpoch, ProducerId, TopicId};

fn assignment(partition: i32, brokers: &[i32]) -> ReplicaAssignment {
    ReplicaAssignment { partition, brokers: brokers.iter().copied().map(NodeId).collect() }
}

fn assigned(assignments: &[(i32, &[i32])]) -> NewTopic {
    let assignments =
        assignments.iter().map(|&(partition, brokers)| assignment(partition, brokers)).collect();
    NewTopic { assignments, ..NewTopic::with_defaults("assigned") }
}

fn with_config(name: &str, key: &str, value: Option<&str>) -> NewTopic {
    let configs = vec![(key.to_owned(), value.map(str::to_owned))];
    NewTopic { configs, ..NewTopic::with_defaults(name) }
}

#[test]
fn an_empty_log_is_bootstrapped_once() {
    let mut driver = Driver::new("");
    assert_eq!(driver.committed.metadata_version(), Some(30));
    let end = driver.committed.end_offset();
    driver.controller.handle_activate();
    driver.settle();
    assert_eq!(driver.committed.end_offset(), end);
}

#[test]
fn an_open_transaction_is_aborted_at_activation() {
    let mut driver = Driver::new("");
    let end = driver.committed.end_offset();
    driver.committed.apply(end, &MetadataRecord::from(BeginTransactionRecord::default())).unwrap();
    driver.crash(0);
    assert!(!driver.committed.in_transaction());
}

#[test]
fn topics_are_created_with_defaults_and_overrides() {
    let mut driver =
        Driver::with_broker("num.partitions=3\ndefault.replication.factor=1\nlog.retention.ms=77");
    let created = driver.create_one(with_config("t", "segment.bytes", Some("2000000"))).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (3, 1));
    let config = |name| created.configs.iter().find(|entry| entry.name == name).unwrap().clone();
    assert_eq!(config("segment.bytes").value.as_deref(), Some("2000000"));
    assert_eq!(config("segment.bytes").source, ConfigSource::DynamicTopic);
    assert_eq!(config("retention.ms").value.as_deref(), Some("77"));
    assert_eq!(config("retention.ms").source, ConfigSource::StaticBroker);
    assert_eq!(config("flush.messages").source, ConfigSource::Default);

    let topic = driver.committed.topic_by_name("t").unwrap();
    assert_eq!(topic.id(), created.id);
    assert_eq!(driver.committed.topic_configs("t").unwrap().len(), 1);
    for partition in topic.partitions() {
        assert_eq!((&*partition.replicas, &*partition.isr), (&[NodeId(1)][..], &[NodeId(1)][..]));
        assert_eq!(partition.leader, Some(NodeId(1)));
        assert_eq!((partition.leader_epoch, partition.partition_epoch), (LeaderEpoch::ZERO, 0));
    }
}

#[test]
fn topics_that_kafka_refuses_are_refused() {
    let mut driver = Driver::with_broker("");
    driver.create_one(topic("taken", 1, 1)).unwrap();
    driver.create_one(topic("a_b", 1, 1)).unwrap();
    let cases = [
        (topic("taken", 1, 1), ErrorCode::TopicAlreadyExists),
        (topic("a_b", 1, 1), ErrorCode::TopicAlreadyExists),
        (topic("a.b", 1, 1), ErrorCode::InvalidTopicException),
        (topic("", 1, 1), ErrorCode::InvalidTopicException),
        (topic("no spaces", 1, 1), ErrorCode::InvalidTopicException),
        (topic("__cluster_metadata", 1, 1), ErrorCode::InvalidRequest),
        (topic("t", 0, 1), ErrorCode::InvalidPartitions),
        (topic("t", -2, 1), ErrorCode::InvalidPartitions),
        (topic("t", 1, 0), ErrorCode::InvalidReplicationFactor),
        (topic("t", 1, -2), ErrorCode::InvalidReplicationFactor),
        (topic("t", 1, 2), ErrorCode::InvalidReplicationFactor),
        (topic("t", i32::MAX, 1), ErrorCode::PolicyViolation),
        (topic("t", 10_000, 1), ErrorCode::PolicyViolation),
        (with_config("t", "no.such.key", Some("1")), ErrorCode::InvalidConfig),
        (with_config("t", "retention.ms", Some("soon")), ErrorCode::InvalidConfig),
        (with_config("t", "retention.ms", None), ErrorCode::InvalidConfig),
        (with_config("t", "cleanup.policy", Some(&"delete,".repeat(5_000))), ErrorCode::InvalidConfig),
        (NewTopic { partitions: 1, ..assigned(&[(0, &[1])]) }, ErrorCode::InvalidRequest),
        (NewTopic { replication_factor: 1, ..assigned(&[(0, &[1])]) }, ErrorCode::InvalidRequest),
        (assigned(&[(0, &[2])]), ErrorCode::InvalidReplicaAssignment),
        (assigned(&[(0, &[1, 1])]), ErrorCode::InvalidReplicaAssignment),
        (assigned(&[(0, &[])]), ErrorCode::InvalidReplicaAssignment),
        (assigned(&[(0, &[1]), (0, &[1])]), ErrorCode::InvalidReplicaAssignment),
        (assigned(&[(0, &[1]), (2, &[1])]), ErrorCode::InvalidReplicaAssignment),
        (assigned(&[(-1, &[1])]), ErrorCode::InvalidReplicaAssignment),
    ];
    let end = driver.committed.end_offset();
    for (topic, expected) in cases {
        assert_eq!(driver.create_one(topic.clone()), Err(expected), "{topic:?}");
    }
    assert_eq!(driver.committed.end_offset(), end, "a refusal writes nothing");
}

#[test]
fn one_refused_topic_does_not_hold_up_the_others() {
    let mut driver = Driver::with_broker("");
    let names = ["ok", "twice", "bad name", "a.b", "twice", "a_b"];
    let results = driver.create(names.iter().map(|name| topic(name, 2, 1)).collect());
    let found: Vec<_> =
        results.iter().map(|r| (r.name.as_str(), r.result.as_ref().err().map(|e| e.code))).collect();
    let expected = [
        ("ok", None),
        ("twice", Some(ErrorCode::InvalidRequest)),
        ("bad name", Some(ErrorCode::InvalidTopicException)),
        ("a.b", None),
        ("a_b", Some(ErrorCode::InvalidTopicException)),
    ];
    assert_eq!(found, expected);
    assert_eq!(driver.committed.topic_count(), 2);
}

#[test]
fn validation_creates_nothing() {
    let mut driver = Driver::with_broker("");
    let end = driver.committed.end_offset();
    let request = CreateTopics { topics: vec![topic("t", 2, 1)], validate_only: true };
    let results = driver.create_or_validate(&request);
    assert_eq!(results[0].result.as_ref().unwrap().partitions, 2);
    assert_eq!(driver.committed.end_offset(), end);
}

#[test]
fn too_many_records_refuse_the_whole_request() {
    let mut driver = Driver::with_broker("");
    let results = driver.create(vec![topic("a", 5_000, 1), topic("b", 5_001, 1)]);
    assert!(results.iter().all(|r| r.result.as_ref().unwrap_err().code == ErrorCode::PolicyViolation));
    assert_eq!(driver.committed.topic_count(), 0);
    assert!(driver.create_one(topic("a", 9_999, 1)).is_ok());
}

#[test]
fn too_many_bytes_refuse_the_whole_request() {
    let mut driver = Driver::with_broker("");
    let hosts = (0..4_000).map(|index| format!("{index}:1")).collect::<Vec<_>>().join(",");
    let key = "leader.replication.throttled.replicas";
    let topics = (0..300).map(|index| with_config(&format!("t{index}"), key, Some(&hosts))).collect();
    let results = driver.create(topics);
    assert!(results.iter().all(|r| r.result.as_ref().unwrap_err().code == ErrorCode::PolicyViolation));
    assert_eq!(driver.committed.topic_count(), 0);
}

#[test]
fn two_creations_in_flight_do_not_both_succeed() {
    let mut driver = Driver::with_broker("");
    let request = CreateTopics { topics: vec![topic("t", 1, 1)], validate_only: false };
    for token in [1, 2] {
        driver.controller.handle_create_topics(Token(token), &request);
        driver.drain_outputs();
    }
    assert!(driver.sent.is_empty(), "neither the success nor the refusal that rests on it is told yet");
    assert!(driver.commit_one());
    let codes: Vec<_> = driver
        .sent
        .iter()
        .map(|(token, response)| match response {
            Response::CreateTopics(results) => (token.0, results[0].result.as_ref().err().map(|e| e.code)),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(codes, [(1, None), (2, Some(ErrorCode::TopicAlreadyExists))]);
}

fn replicas_per_directory(driver: &Driver, topic: &str) -> BTreeMap<DirectoryId, usize> {
    let mut counts = BTreeMap::new();
    for partition in driver.committed.topic_by_name(topic).unwrap().partitions() {
        for &directory in &partition.directories {
            *counts.entry(directory).or_default() += 1;
        }
    }
    counts
}

#[test]
fn a_topic_spreads_over_directories_and_a_new_one_goes_where_there_is_least() {
    let mut driver = Driver::new("");
    driver.start_broker(1, 3);
    let ids = directories(1, 3);
    for (name, expected) in [("a", ids[0]), ("b", ids[1]), ("c", ids[2]), ("d", ids[0])] {
        driver.create_one(topic(name, 1, 1)).unwrap();
        assert_eq!(replicas_per_directory(&driver, name), BTreeMap::from([(expected, 1)]), "{name}");
    }
    driver.create_one(topic("wide", 8, 1)).unwrap();
    let wide = replicas_per_directory(&driver, "wide");
    assert_eq!(wide.values().copied().collect::<Vec<_>>(), [2, 3, 3], "the fullest directory gets one less");
}

#[test]
fn replicas_spread_over_brokers_with_their_leaders() {
    let mut driver = Driver::new("");
    for id in 1..=3 {
        driver.start_broker(id, 1);
    }
    driver.create_one(topic("t", 6, 2)).unwrap();
    let mut leads = BTreeMap::new();
    for partition in driver.committed.topic_by_name("t").unwrap().partitions() {
        assert_eq!(partition.replicas.len(), 2);
        assert_ne!(partition.replicas[0], partition.replicas[1]);
        assert_eq!(partition.leader, Some(partition.replicas[0]));
        *leads.entry(partition.replicas[0]).or_insert(0) += 1;
    }
    assert_eq!(leads, BTreeMap::from([(NodeId(1), 2), (NodeId(2), 2), (NodeId(3), 2)]));

    let epoch = driver.register(&registration(4, 1)).unwrap();
    driver.create_one(topic("all", 4, 4)).unwrap();
    for partition in driver.committed.topic_by_name("all").unwrap().partitions() {
        assert_eq!(partition.replicas[3], NodeId(4), "a fenced broker comes last and is not in sync");
        assert!(!partition.isr.contains(&NodeId(4)));
    }
    assert_eq!(driver.create_one(assigned(&[(0, &[4])])), Err(ErrorCode::InvalidReplicaAssignment));
    driver.unfence(4, epoch).unwrap();
    assert!(driver.create_one(assigned(&[(0, &[4, 1]), (1, &[1, 2])])).is_ok());
}

fn delete_codes(driver: &mut Driver, topics: Vec<TopicReference>) -> Vec<Option<ErrorCode>> {
    driver.delete(topics).into_iter().map(|r| r.result.err().map(|e| e.code)).collect()
}

fn by_id(id: TopicId) -> TopicReference {
    TopicReference { name: None, id }
}

#[test]
fn topics_are_deleted_by_name_or_id() {
    let mut driver = Driver::with_broker("");
    let ids: Vec<_> =
        ["a", "b", "c", "d"].iter().map(|name| driver.create_one(topic(name, 1, 1)).unwrap().id).collect();
    let results = driver.delete(vec![by_name("a"), by_id(ids[1]), by_name("nope"), by_id(Uuid(5_000))]);
    assert_eq!(
        results.iter().map(|r| (r.name.as_deref(), r.id)).collect::<Vec<_>>(),
        [(Some("a"), ids[0]), (Some("b"), ids[1]), (Some("nope"), Uuid::ZERO), (None, Uuid(5_000))]
    );
    assert!(results[0].result.is_ok() && results[1].result.is_ok());
    assert_eq!(results[2].result.as_ref().unwrap_err().code, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(results[3].result.as_ref().unwrap_err().code, ErrorCode::UnknownTopicId);

    let invalid = Some(ErrorCode::InvalidRequest);
    assert_eq!(delete_codes(&mut driver, vec![by_name("c"), by_name("c"), by_name("d")]), [invalid, None]);
    assert_eq!(delete_codes(&mut driver, vec![by_name("c"), by_id(ids[2])]), [invalid, invalid]);
    let both = TopicReference { name: Some("c".to_owned()), id: ids[2] };
    let neither = TopicReference { name: None, id: Uuid::ZERO };
    assert_eq!(delete_codes(&mut driver, vec![both, neither]), [invalid, invalid]);
    assert_eq!(driver.committed.topic_count(), 1);
}

#[test]
fn a_topic_of_the_same_name_gets_another_id() {
    let mut driver = Driver::with_broker("");
    let first = driver.create_one(with_config("t", "retention.ms", Some("5"))).unwrap().id;
    assert_eq!(delete_codes(&mut driver, vec![by_name("t")]), [None]);
    let second = driver.create_one(topic("t", 1, 1)).unwrap().id;
    assert_ne!(first, second);
    assert_eq!(driver.committed.topic_configs("t"), None, "overrides do not outlive their topic");
}

#[test]
fn deletion_can_be_switched_off() {
    let mut driver = Driver::with_broker("delete.topic.enable=false");
    driver.create_one(topic("t", 1, 1)).unwrap();
    let disabled = Some(ErrorCode::TopicDeletionDisabled);
    assert_eq!(delete_codes(&mut driver, vec![by_name("t"), by_name("other")]), [disabled, disabled]);
    assert_eq!(driver.committed.topic_count(), 1);
}

#[test]
fn overrides_change_one_topic_all_or_nothing() {
    let mut driver = Driver::with_broker("");
    let unknown = driver.alter(vec![("retention.ms", ConfigChange::Delete)]);
    assert_eq!(unknown, Err(ErrorCode::UnknownTopicOrPartition));
    driver.create_one(with_config("t", "retention.ms", Some("5"))).unwrap();

    let set = |value: &str| ConfigChange::Set(value.to_owned());
    let add = |value: &str| ConfigChange::Append(value.to_owned());
    let subtract = |value: &str| ConfigChange::Subtract(value.to_owned());
    let refused = [
        (vec![("retention.ms", set("6")), ("segment.bytes", set("x"))], ErrorCode::InvalidConfig),
        (vec![("retention.ms", set("6")), ("retention.ms", set("7"))], ErrorCode::InvalidRequest),
        (vec![("retention.ms", add("6"))], ErrorCode::InvalidConfig),
        (vec![("no.such.key", set("6"))], ErrorCode::InvalidConfig),
    ];
    for (changes, expected) in refused {
        assert_eq!(driver.alter(changes.clone()), Err(expected), "{changes:?}");
    }
    let value = |driver: &Driver, key: &str| driver.committed.topic_configs("t")?.get(key).cloned();
    assert_eq!(value(&driver, "retention.ms").as_deref(), Some("5"));

    driver.alter(vec![("cleanup.policy", add("compact"))]).unwrap();
    assert_eq!(value(&driver, "cleanup.policy").as_deref(), Some("delete,compact"));
    driver.alter(vec![("cleanup.policy", subtract("delete")), ("retention.ms", set("9"))]).unwrap();
    assert_eq!(value(&driver, "cleanup.policy").as_deref(), Some("compact"));
    assert_eq!(value(&driver, "retention.ms").as_deref(), Some("9"));
    driver
        .alter(vec![("cleanup.policy", ConfigChange::Delete), ("retention.ms", ConfigChange::Delete)])
        .unwrap();
    assert_eq!(driver.committed.topic_configs("t"), None);

    let end = driver.committed.end_offset();
    driver.alter(vec![("retention.ms", ConfigChange::Delete)]).unwrap();
    assert_eq!(driver.committed.end_offset(), end, "what changes nothing writes nothing");
}

#[test]
fn producer_id_blocks_never_overlap() {
    let mut driver = Driver::new("");
    let broker_epoch = driver.start_broker(1, 1);
    let mut allocate = |broker_id, broker_epoch| {
        let request = AllocateProducerIds { broker_id: NodeId(broker_id), broker_epoch };
        driver.controller.handle_allocate_producer_ids(Token(0), request);
        match driver.answer() {
            Response::AllocateProducerIds(result) => result.map_err(|error| error.code),
            other => panic!("{other:?}"),
        }
    };
    let block = |first| Ok(ProducerIdBlock { first: ProducerId(first), count: 1_000 });
    assert_eq!(allocate(1, broker_epoch), block(0));
    assert_eq!(allocate(1, broker_epoch), block(1_000));
    assert_eq!(allocate(1, broker_epoch + 1), Err(ErrorCode::StaleBrokerEpoch));
    assert_eq!(allocate(2, broker_epoch), Err(ErrorCode::StaleBrokerEpoch));
    assert_eq!(allocate(1, broker_epoch), block(2_000));
}

#[test]
fn a_registration_has_its_offset_as_epoch() {
    let mut driver = Driver::new("");
    let offset = driver.committed.end_offset();
    assert_eq!(driver.register(&registration(1, 2)), Ok(offset.0));
    let broker = driver.committed.broker(NodeId(1)).unwrap();
    assert!(broker.fenced && broker.epoch == offset.0);
    assert!(driver.unfence(1, offset.0 + 1).is_err());
    driver.unfence(1, offset.0).unwrap();
    assert!(!driver.committed.broker(NodeId(1)).unwrap().fenced);

    let amended = RegisterBroker { rack: Some("r".to_owned()), ..registration(1, 2) };
    assert_eq!(driver.register(&amended), Ok(offset.0), "the same incarnation keeps its epoch");
    let broker = driver.committed.broker(NodeId(1)).unwrap();
    assert!(!broker.fenced && broker.rack.as_deref() == Some("r"));
}

#[test]
fn registrations_that_do_not_fit_are_refused() {
    let mut driver = Driver::with_broker("");
    let newer = |name: &str, min_supported_version| crate::metadata::records::SupportedFeature {
        name: name.to_owned(),
        min_supported_version,
        max_supported_version: 99,
    };
    let directories = |ids: &[u128]| ids.iter().map(|&id| Uuid(id)).collect::<Vec<_>>();
    let valid = registration(2, 1);
    let cases = [
        (
            RegisterBroker { cluster_id: "other".to_owned(), ..valid.clone() },
            ErrorCode::InconsistentClusterId,
        ),
        (RegisterBroker { directories: vec![], ..valid.clone() }, ErrorCode::InvalidRegistration),
        (RegisterBroker { rack: Some("r".repeat(40_000)), ..valid.clone() }, ErrorCode::InvalidRegistration),
        (RegisterBroker { directories: directories(&[99]), ..valid.clone() }, ErrorCode::InvalidRegistration),
        (
            RegisterBroker { directories: directories(&[500, 500]), ..valid.clone() },
            ErrorCode::InvalidRegistration,
        ),
        (
            RegisterBroker { directories: testing::directories(1, 1), ..valid.clone() },
            ErrorCode::InvalidRegistration,
        ),
        (RegisterBroker { features: vec![], ..valid.clone() }, ErrorCode::InvalidRegistration),
        (
            RegisterBroker { features: vec![newer("metadata.version", 31)], ..valid.clone() },
            ErrorCode::UnsupportedVersion,
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(driver.register(&request).map_err(|error| error.code), Err(expected), "{request:?}");
    }
    assert!(driver.register(&valid).is_ok());
}

/// Leader and leader epoch of every partition of topic `t`.
fn leaders(driver: &Driver) -> Vec<(Option<i32>, i32)> {
    let partitions = driver.committed.topic_by_name("t").unwrap().partitions();
    partitions.iter().map(|p| (p.leader.map(|id| id.0), p.leader_epoch.0)).collect()
}

fn restart(driver: &mut Driver, request: RegisterBroker) {
    let incarnation_id = Uuid(1 << 90 | driver.committed.end_offset().0 as u128);
    let epoch = driver.register(&RegisterBroker { incarnation_id, ..request }).unwrap();
    driver.unfence(1, epoch).unwrap();
}

#[test]
fn only_an_unclean_stop_raises_the_leader_epochs_of_a_lone_broker() {
    let mut driver = Driver::with_broker("");
    driver.create_one(topic("t", 2, 1)).unwrap();
    restart(&mut driver, registration(1, 2));
    assert_eq!(leaders(&driver), [(Some(1), 0), (Some(1), 0)]);
    restart(&mut driver, RegisterBroker { previous_stop: PreviousStop::Unclean, ..registration(1, 2) });
    assert_eq!(leaders(&driver), [(Some(1), 1), (Some(1), 1)]);
}

#[test]
fn a_directory_that_is_gone_takes_its_leaders_along_until_it_is_back() {
    let mut driver = Driver::with_broker("");
    driver.create_one(topic("t", 2, 1)).unwrap();
    restart(&mut driver, registration(1, 1));
    assert_eq!(leaders(&driver), [(Some(1), 0), (None, 1)]);
    restart(&mut driver, registration(1, 3));
    assert_eq!(leaders(&driver), [(Some(1), 0), (Some(1), 2)]);
}

fn fail_directories(driver: &mut Driver, failed: Vec<DirectoryId>) {
    let broker_epoch = driver.committed.broker(NodeId(1)).unwrap().epoch;
    let request = FailDirectories { broker_id: NodeId(1), broker_epoch, failed };
    driver.controller.handle_fail_directories(Token(0), &request);
    assert_eq!(driver.answer(), Response::FailDirectories(Ok(())));
}

#[test]
fn a_directory_that_fails_takes_its_leaders_along() {
    let mut driver = Driver::with_broker("");
    driver.create_one(topic("t", 2, 1)).unwrap();
    let ids = directories(1, 2);
    fail_directories(&mut driver, vec![ids[1]]);
    assert_eq!(leaders(&driver), [(Some(1), 0), (None, 1)]);
    assert_eq!(driver.committed.broker(NodeId(1)).unwrap().directories, [ids[0]]);
    fail_directories(&mut driver, ids);
    assert_eq!(leaders(&driver), [(None, 1), (None, 1)]);
    assert!(driver.committed.broker(NodeId(1)).unwrap().fenced, "nothing is left to lead with");
}

#[test]
fn others_lead_when_a_broker_of_several_restarts_or_loses_a_directory() {
    let mut driver = Driver::new("");
    driver.start_broker(1, 1);
    driver.start_broker(2, 1);
    let in_order = NewTopic { name: "t".to_owned(), ..assigned(&[(0, &[1, 2]), (1, &[2, 1])]) };
    driver.create_one(in_order).unwrap();
    restart(&mut driver, registration(1, 1));
    assert_eq!(leaders(&driver), [(Some(2), 1), (Some(2), 0)]);
    let partitions = driver.committed.topic_by_name("t").unwrap().partitions();
    assert!(partitions.iter().all(|partition| *partition.isr == [NodeId(2)]));
}

#[test]
fn replicas_can_change_their_directory() {
    let mut driver = Driver::with_broker("");
    let id = driver.create_one(topic("t", 1, 1)).unwrap().id;
    let broker_epoch = driver.committed.broker(NodeId(1)).unwrap().epoch;
    let directory = directories(1, 2)[1];
    let assignment = |topic_id, partition| DirectoryAssignment { topic_id, partition, directory };
    let request = AssignDirectories {
        broker_id: NodeId(1),
        broker_epoch,
        assignments: vec![assignment(id, 0), assignment(id, 1), assignment(Uuid(5_000), 0)],
    };
    driver.controller.handle_assign_directories(Token(0), &request);
    let Response::AssignDirectories(Ok(results)) = driver.answer() else { panic!("the epoch is right") };
    let codes: Vec<_> = results.into_iter().map(|result| result.err().map(|error| error.code)).collect();
    assert_eq!(codes, [None, Some(ErrorCode::UnknownTopicOrPartition), Some(ErrorCode::UnknownTopicId)]);
    let partition = driver.committed.partition(id, 0).unwrap();
    assert_eq!(partition.directory_of(NodeId(1)), Some(directory));
    assert_eq!(partition.leader_epoch, LeaderEpoch::ZERO, "a move within the broker is no new reign");
}

#[test]
fn more_changes_than_fit_one_batch_go_into_several() {
    let mut driver = Driver::with_broker("");
    driver.create_one(topic("t", 9_000, 1)).unwrap();
    driver.create_one(topic("u", 9_000, 1)).unwrap();
    restart(&mut driver, RegisterBroker { previous_stop: PreviousStop::Unclean, ..registration(1, 2) });
    assert!(leaders(&driver).iter().all(|&leader| leader == (Some(1), 1)));
}
