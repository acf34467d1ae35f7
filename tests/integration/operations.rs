//! What clients are told that they may do (KIP-430): everything, since nobody is kept from anything.

use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeClusterRequest, DescribeGroupsRequest,
    DescribeTopicPartitionsRequest, GroupId, MetadataRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::harness::broker::Broker;
use crate::harness::clients;
use crate::harness::wire::Wire;
use crate::versions::{ask, name};

/// As Apache Kafka 4.3.1 answers without an authorizer.
const OF_A_TOPIC: i32 = 3_576;
const OF_A_GROUP: i32 = 3_400;
const OF_THE_CLUSTER: i32 = 8_096;
const NOT_ASKED_FOR: i32 = i32::MIN;

fn group_id(name: &'static str) -> GroupId {
    GroupId(StrBytes::from_static_str(name))
}

#[test]
fn operations_of_topics_and_the_cluster_are_told_when_asked_for() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "there", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    for (asked, of_a_topic, of_the_cluster) in
        [(false, NOT_ASKED_FOR, NOT_ASKED_FOR), (true, OF_A_TOPIC, OF_THE_CLUSTER)]
    {
        let topics = ["there", "not-there"]
            .map(|topic| MetadataRequestTopic::default().with_name(Some(name(topic))))
            .to_vec();
        let request = MetadataRequest::default()
            .with_topics(Some(topics))
            .with_allow_auto_topic_creation(false)
            .with_include_topic_authorized_operations(asked);
        let answer = ask(&mut wire, 12, &request);
        let found: Vec<i32> = answer.topics.iter().map(|topic| topic.topic_authorized_operations).collect();
        assert_eq!(found, [of_a_topic, of_a_topic]);
        let request = request.with_topics(None).with_include_cluster_authorized_operations(asked);
        let answer = ask(&mut wire, 10, &request);
        assert_eq!(answer.cluster_authorized_operations, of_the_cluster);
        assert!(answer.topics.iter().all(|topic| topic.topic_authorized_operations == of_a_topic));

        let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(asked);
        assert_eq!(ask(&mut wire, 1, &request).cluster_authorized_operations, of_the_cluster);
    }
    // This one has no such question: it always tells.
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(vec![TopicRequest::default().with_name(name("there"))]);
    assert_eq!(ask(&mut wire, 0, &request).topics[0].topic_authorized_operations, OF_A_TOPIC);
}

#[test]
fn operations_of_groups_are_told_when_asked_for() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "there", 1, &[]);
    let quick = [("group.id", "classic")];
    let classic = clients::consumer(&broker.bootstrap(), &quick);
    commit(&classic);
    let mut wire = Wire::connect(broker.address());
    for (asked, expected) in [(false, NOT_ASKED_FOR), (true, OF_A_GROUP)] {
        let request = DescribeGroupsRequest::default()
            .with_groups(vec![group_id("classic"), group_id("not-there")])
            .with_include_authorized_operations(asked);
        let groups = ask(&mut wire, 6, &request).groups;
        assert_eq!((groups[0].error_code, groups[0].authorized_operations), (0, expected));
        assert_ne!(groups[1].error_code, 0);
        assert_eq!(groups[1].authorized_operations, NOT_ASKED_FOR);

        let request = ConsumerGroupDescribeRequest::default()
            .with_group_ids(vec![group_id("not-there")])
            .with_include_authorized_operations(asked);
        let groups = ask(&mut wire, 1, &request).groups;
        assert_ne!(groups[0].error_code, 0);
        assert_eq!(groups[0].authorized_operations, NOT_ASKED_FOR);
    }
}

/// Commits an offset, which makes the group be there.
fn commit(consumer: &rdkafka::consumer::BaseConsumer) {
    use rdkafka::consumer::{CommitMode, Consumer};
    let mut offsets = rdkafka::TopicPartitionList::new();
    offsets.add_partition_offset("there", 0, rdkafka::Offset::Offset(0)).expect("a right offset");
    consumer.commit(&offsets, CommitMode::Sync).expect("the commit is taken");
}
