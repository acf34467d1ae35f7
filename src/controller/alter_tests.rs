//! Changes of what is there: configuration of every kind of resource, more partitions.

use super::testing::*;
use super::*;
use crate::metadata::ConfigResource;
use crate::metadata::records::CONFIG_RESOURCE_GROUP;

fn set(value: &str) -> ConfigChange {
    ConfigChange::Set(value.to_owned())
}

fn refusal(
    driver: &mut Driver,
    resource: ConfigResource,
    changes: Vec<(&str, ConfigChange)>,
) -> (ErrorCode, String) {
    let before = driver.committed.end_offset();
    let error = driver.alter_resource(resource, AlterMode::Incremental, changes).unwrap_err();
    assert_eq!(driver.committed.end_offset(), before, "a refusal writes nothing");
    (error.code, error.message)
}

#[test]
fn a_dynamic_default_reaches_new_topics_until_it_is_taken_back() {
    let mut driver = Driver::with_broker("log.retention.hours=2");
    let retention = |driver: &mut Driver, name: &str| {
        let created = driver.create_one(topic(name, 1, 1)).unwrap();
        created.configs.into_iter().find(|entry| entry.name == "retention.ms").unwrap().value.unwrap()
    };
    assert_eq!(retention(&mut driver, "a"), "7200000");
    let all = ConfigResource::broker(None);
    let one = ConfigResource::broker(Some(NodeId(1)));
    let incremental = AlterMode::Incremental;
    driver.alter_resource(all.clone(), incremental, vec![("log.retention.ms", set("50"))]).unwrap();
    assert_eq!(retention(&mut driver, "b"), "50");
    driver.alter_resource(one.clone(), incremental, vec![("log.retention.ms", set("70"))]).unwrap();
    assert_eq!(retention(&mut driver, "c"), "70");
    driver.crash(0);
    assert_eq!(retention(&mut driver, "d"), "70", "the image holds it");
    driver.alter_resource(one, incremental, vec![("log.retention.ms", ConfigChange::Delete)]).unwrap();
    driver.alter_resource(all, AlterMode::Replace, vec![]).unwrap();
    assert_eq!(retention(&mut driver, "e"), "7200000");
}

#[test]
fn refused_changes_of_brokers_and_groups_say_what_kafka_says() {
    let mut driver = Driver::with_broker("node.id=1");
    let broker = || ConfigResource::broker(None);
    let group = |name: &str| ConfigResource { resource_type: CONFIG_RESOURCE_GROUP, name: name.to_owned() };
    let invalid = |message: &str| (ErrorCode::InvalidRequest, message.to_owned());
    assert_eq!(
        refusal(&mut driver, broker(), vec![("num.partitions", set("3")), ("log.roll.ms", set("60000"))]),
        invalid("Cannot update these configs dynamically: [num.partitions]")
    );
    assert_eq!(
        refusal(&mut driver, broker(), vec![("log.roll.ms", ConfigChange::Append("1".to_owned()))]),
        (
            ErrorCode::InvalidConfig,
            "Can't APPEND to key log.roll.ms because its type is not LIST.".to_owned()
        )
    );
    assert_eq!(
        refusal(&mut driver, group(""), vec![("consumer.session.timeout.ms", set("50000"))]),
        invalid("Default group resources are not allowed.")
    );
    assert_eq!(
        refusal(&mut driver, group("g"), vec![("consumer.session.timeout.ms", set("1"))]).0,
        ErrorCode::InvalidConfig
    );
    let metrics = ConfigResource { resource_type: 16, name: "m".to_owned() };
    assert_eq!(
        refusal(&mut driver, metrics, vec![("interval.ms", set("1"))]),
        invalid("Unknown resource type 16")
    );
    assert_eq!(
        refusal(&mut driver, ConfigResource::topic(""), vec![("retention.ms", set("1"))]),
        invalid("Default topic resources are not allowed.")
    );

    let fifty = vec![("consumer.session.timeout.ms", set("50000"))];
    driver.alter_resource(group("g"), AlterMode::Incremental, fifty).unwrap();
    let configs = driver.committed.configs(&group("g")).unwrap();
    assert_eq!(configs["consumer.session.timeout.ms"], "50000");
}

#[test]
fn replacing_drops_what_is_not_named() {
    let mut driver = Driver::with_broker("");
    driver.create_one(topic("t", 1, 1)).unwrap();
    driver.alter(vec![("retention.ms", set("5")), ("flush.messages", set("7"))]).unwrap();
    let only = vec![("flush.messages", set("8"))];
    driver.alter_resource(ConfigResource::topic("t"), AlterMode::Replace, only).unwrap();
    let configs = driver.committed.topic_configs("t").unwrap();
    assert_eq!(configs.iter().collect::<Vec<_>>(), [(&"flush.messages".to_owned(), &"8".to_owned())]);
}

#[test]
fn a_resource_named_twice_is_refused_twice() {
    let mut driver = Driver::with_broker("");
    driver.create_one(topic("t", 1, 1)).unwrap();
    let changes = ResourceChanges {
        resource: ConfigResource::topic("t"),
        mode: AlterMode::Incremental,
        changes: vec![("retention.ms".to_owned(), set("5"))],
    };
    let request = AlterConfigs { resources: vec![changes.clone(), changes], validate_only: false };
    driver.controller.handle_alter_configs(Token(0), &request);
    let Response::AlterConfigs(results) = driver.answer() else { panic!("the answer is of its kind") };
    assert_eq!(results.len(), 2);
    for result in results {
        assert_eq!(result.result.unwrap_err().message, "Each resource must appear at most once.");
    }
    assert_eq!(driver.committed.topic_configs("t"), None);
}

/// A request has room for a million. Counted each against each, 50,000 would take half a minute.
#[test]
fn many_resources_are_counted_in_one_pass() {
    let mut driver = Driver::with_broker("");
    let named = |index: usize| ResourceChanges {
        resource: ConfigResource::topic(&format!("t{index}")),
        mode: AlterMode::Incremental,
        changes: Vec::new(),
    };
    let request = AlterConfigs { resources: (0..50_000).map(named).collect(), validate_only: true };
    let began = std::time::Instant::now();
    driver.controller.handle_alter_configs(Token(0), &request);
    let elapsed = began.elapsed();
    let Response::AlterConfigs(results) = driver.answer() else { panic!("the answer is of its kind") };
    assert_eq!(results.len(), 50_000);
    assert!(elapsed < std::time::Duration::from_secs(5), "it took {elapsed:?}");
}

fn more(count: i32, assignments: Option<Vec<Vec<NodeId>>>) -> CreatePartitions {
    let topics = vec![MorePartitions { topic: "t".to_owned(), count, assignments }];
    CreatePartitions { topics, validate_only: false }
}

fn partition_count(driver: &Driver) -> usize {
    driver.committed.topic_by_name("t").unwrap().partitions().len()
}

#[test]
fn partitions_are_added_where_the_topic_has_fewest() {
    let mut driver = Driver::with_broker("");
    driver.create_one(topic("t", 2, 1)).unwrap();
    let validated = CreatePartitions { validate_only: true, ..more(5, None) };
    assert_eq!(driver.create_partitions(&validated)[0].result, Ok(()));
    assert_eq!(partition_count(&driver), 2, "validating adds nothing");
    assert_eq!(driver.create_partitions(&more(5, None))[0].result, Ok(()));
    let topic = driver.committed.topic_by_name("t").unwrap();
    assert!(topic.partitions().iter().map(|partition| partition.id).eq(0..5));
    let ids = directories(1, 2);
    let in_first = topic.partitions().iter().filter(|of| of.directory_of(NodeId(1)) == Some(ids[0])).count();
    assert!((2..=3).contains(&in_first), "{in_first} of 5 in the first directory");
    let assigned = more(7, Some(vec![vec![NodeId(1)], vec![NodeId(1)]]));
    assert_eq!(driver.create_partitions(&assigned)[0].result, Ok(()));
    assert_eq!(partition_count(&driver), 7);
}

#[test]
fn partitions_that_do_not_fit_are_refused() {
    let mut driver = Driver::with_broker("");
    driver.create_one(topic("t", 3, 1)).unwrap();
    let one = NodeId(1);
    let cases = [
        (more(3, None), ErrorCode::InvalidPartitions, "Topic already has 3 partition(s)."),
        (
            more(2, None),
            ErrorCode::InvalidPartitions,
            "The topic t currently has 3 partition(s); 2 would not be an increase.",
        ),
        (more(-1, None), ErrorCode::InvalidPartitions, "The topic t currently has 3 partition(s); -1"),
        (more(i32::MAX, None), ErrorCode::PolicyViolation, "the request asks for"),
        (
            more(5, Some(vec![vec![one]])),
            ErrorCode::InvalidReplicaAssignment,
            "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
        ),
        (
            more(4, Some(vec![vec![]])),
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes an empty replica list.",
        ),
        (
            more(4, Some(vec![vec![NodeId(9)]])),
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
    ];
    for (request, code, text) in cases {
        let refused = driver.create_partitions(&request).remove(0).result.unwrap_err();
        assert_eq!(refused.code, code, "{request:?}");
        assert!(refused.message.starts_with(text), "{}", refused.message);
    }
    let unknown = CreatePartitions {
        topics: vec![MorePartitions { topic: "u".to_owned(), ..more(4, None).topics[0].clone() }],
        ..more(4, None)
    };
    let refused = driver.create_partitions(&unknown).remove(0).result.unwrap_err();
    assert_eq!(refused.code, ErrorCode::UnknownTopicOrPartition);
    let twice = CreatePartitions {
        topics: vec![more(4, None).topics.remove(0), more(5, None).topics.remove(0)],
        validate_only: false,
    };
    let results = driver.create_partitions(&twice);
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].result.as_ref().unwrap_err().code, ErrorCode::InvalidRequest);
    assert_eq!(partition_count(&driver), 3);
}

fn update(driver: &mut Driver, feature: &str, level: i16, upgrade_type: UpgradeType) -> Result<(), ApiError> {
    let updates = vec![FeatureUpdate { feature: feature.to_owned(), level, upgrade_type }];
    driver.controller.handle_update_features(Token(0), &UpdateFeatures { updates, validate_only: false });
    match driver.answer() {
        Response::UpdateFeatures(result) => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn features_keep_to_what_every_node_supports() {
    let mut driver = Driver::with_broker("node.id=1");
    let invalid = |level: i16, feature: &str, why: &str| {
        Err(ApiError::new(
            ErrorCode::InvalidUpdateVersion,
            format!("Invalid update version {level} for feature {feature}. {why}"),
        ))
    };
    let (up, down) = (UpgradeType::Upgrade, UpgradeType::SafeDowngrade);
    let end = driver.committed.end_offset();
    assert_eq!(update(&mut driver, "metadata.version", 30, up), Ok(()));
    let unsupported = "Local controller 1 does not support this feature.";
    assert_eq!(update(&mut driver, "nope", 1, up), invalid(1, "nope", unsupported));
    let range = "Local controller 1 only supports versions 7-30";
    assert_eq!(update(&mut driver, "metadata.version", 99, up), invalid(99, "metadata.version", range));
    assert_eq!(
        update(&mut driver, "metadata.version", 29, up),
        invalid(
            29,
            "metadata.version",
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or \
             unsafe downgrade."
        )
    );
    let refused = update(&mut driver, "metadata.version", 25, down).unwrap_err().message;
    assert_eq!(
        refused,
        "Unsupported metadata.version downgrade from 30 to 25. Refusing to perform the requested downgrade \
         because it might delete metadata information."
    );
    assert!(update(&mut driver, "metadata.version", -1, up).is_err());
    assert!(update(&mut driver, "metadata.version", 30, UpgradeType::Unknown).is_err());
    assert_eq!(driver.committed.end_offset(), end, "nothing was written");
}
