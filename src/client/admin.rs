//! Creating and deleting topics, their partitions and records, and where brokers keep them.

use super::cluster::{Cluster, TopicInfo, topic_name};
use super::error::{ClientError, accepted};
use crate::wire::messages::create_partitions_request::CreatePartitionsTopic;
use crate::wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use crate::wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use crate::wire::messages::delete_topics_request::DeleteTopicState;
use crate::wire::messages::describe_log_dirs_request::DescribableLogDirTopic;
use crate::wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeLogDirsRequest, StrBytes,
};

/// How long the broker may take to carry a change out.
const CHANGE_TIMEOUT_MS: i32 = 30_000;

/// The first version of DeleteTopics that names topics in `topics`.
const DELETE_TOPICS_BY_STATE: i16 = 6;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the broker's default.
    pub partitions: i32,
    /// How many replicas; -1 for the broker's default.
    pub replication_factor: i16,
    /// Its overrides.
    pub configs: Vec<(String, String)>,
}

/// Creates topics, or only asks whether they could be created. The error names the first that is refused;
/// those before it are created.
pub async fn create_topics(
    cluster: &Cluster,
    topics: &[NewTopic],
    validate_only: bool,
) -> Result<(), ClientError> {
    let request = CreateTopicsRequest::default()
        .with_topics(topics.iter().map(creatable).collect())
        .with_timeout_ms(CHANGE_TIMEOUT_MS)
        .with_validate_only(validate_only);
    let response = cluster.any().call(&request).await?;
    for topic in &response.topics {
        let message = topic.error_message.as_ref().map(|message| message.as_str());
        accepted(topic.error_code, message, || format!("create topic {}", topic.name.0.as_str()))?;
    }
    Ok(())
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let config = |(name, value): &(String, String)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(topic.partitions)
        .with_replication_factor(topic.replication_factor)
        .with_configs(topic.configs.iter().map(config).collect())
}

/// Deletes topics. The error names the first that is refused; those before it are deleted.
pub async fn delete_topics(cluster: &Cluster, topics: &[&str]) -> Result<(), ClientError> {
    let connection = cluster.any();
    let spoken = connection.version(crate::wire::messages::ApiKey::DeleteTopics)?;
    let request = DeleteTopicsRequest::default().with_timeout_ms(CHANGE_TIMEOUT_MS);
    let request = if DELETE_TOPICS_BY_STATE <= spoken.version {
        let state = |name: &&str| DeleteTopicState::default().with_name(Some(topic_name(name)));
        request.with_topics(topics.iter().map(state).collect())
    } else {
        request.with_topic_names(topics.iter().map(|name| topic_name(name)).collect())
    };
    let response = connection.call(&request).await?;
    for topic in &response.responses {
        let message = topic.error_message.as_ref().map(|message| message.as_str());
        let name = topic.name.as_ref().map_or("", |name| name.0.as_str());
        accepted(topic.error_code, message, || format!("delete topic {name}"))?;
    }
    Ok(())
}

/// Adds partitions to a topic until it has `count` of them, or only asks whether they could be added.
pub async fn create_partitions(
    cluster: &Cluster,
    topic: &str,
    count: i32,
    validate_only: bool,
) -> Result<(), ClientError> {
    let more = CreatePartitionsTopic::default()
        .with_name(topic_name(topic))
        .with_count(count)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![more])
        .with_timeout_ms(CHANGE_TIMEOUT_MS)
        .with_validate_only(validate_only);
    let response = cluster.any().call(&request).await?;
    for result in &response.results {
        let message = result.error_message.as_ref().map(|message| message.as_str());
        accepted(result.error_code, message, || format!("add partitions to topic {topic}"))?;
    }
    Ok(())
}

/// Deletes the records of a partition below `before`; -1 for all that are there. Returns the first offset
/// that is left.
pub async fn delete_records(
    cluster: &Cluster,
    topic: &TopicInfo,
    partition: i32,
    before: i64,
) -> Result<i64, ClientError> {
    let asked = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(before);
    let of_topic =
        DeleteRecordsTopic::default().with_name(topic_name(&topic.name)).with_partitions(vec![asked]);
    let request =
        DeleteRecordsRequest::default().with_topics(vec![of_topic]).with_timeout_ms(CHANGE_TIMEOUT_MS);
    let response = cluster.leader(topic, partition).await?.call(&request).await?;
    let what = || format!("delete records of {}-{partition}", topic.name);
    let result = response.topics.iter().flat_map(|of_topic| &of_topic.partitions).next();
    let result =
        result.ok_or_else(|| ClientError::Unavailable { what: what(), detail: "no answer".to_owned() })?;
    accepted(result.error_code, None, what)?;
    Ok(result.low_watermark)
}

/// A partition in a log directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedReplica {
    /// The topic's name.
    pub topic: String,
    /// The partition's index.
    pub partition: i32,
    /// The directory's absolute path.
    pub log_dir: String,
}

/// Where a broker keeps the partitions of these topics. Those in a directory that is offline are left out.
pub async fn describe_log_dirs(
    cluster: &Cluster,
    broker: i32,
    topics: &[TopicInfo],
) -> Result<Vec<PlacedReplica>, ClientError> {
    let asked = topics.iter().map(|topic| {
        DescribableLogDirTopic::default()
            .with_topic(topic_name(&topic.name))
            .with_partitions(topic.partitions.iter().map(|info| info.partition).collect())
    });
    let request = DescribeLogDirsRequest::default().with_topics(Some(asked.collect()));
    let response = cluster.broker(broker).await?.call(&request).await?;
    accepted(response.error_code, None, || format!("describe the log directories of broker {broker}"))?;
    let mut placed = Vec::new();
    for dir in &response.results {
        for topic in &dir.topics {
            // What only moves there is not kept there yet.
            let kept = topic.partitions.iter().filter(|partition| !partition.is_future_key);
            placed.extend(kept.map(|partition| PlacedReplica {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
                log_dir: dir.log_dir.to_string(),
            }));
        }
    }
    Ok(placed)
}
