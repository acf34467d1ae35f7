//! Why a record does not fit the image it is applied to.

use crate::types::{NodeId, Offset, ProducerId, TopicId, TopicNameError};

/// The log and the image contradict each other; the replica that finds this must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// An offset was applied before, or the log went back.
    #[error("metadata record at offset {found}, the image already ends at {end_offset}")]
    OffsetWentBack {
        /// The image's end offset.
        end_offset: Offset,
        /// The offset of the record.
        found: Offset,
    },
    /// A second topic of the same name, or with the same id.
    #[error("topic '{name}' with id {id} exists already")]
    TopicExists {
        /// The name in the record.
        name: String,
        /// The id in the record.
        id: TopicId,
    },
    /// The name in the log is none that Kafka allows.
    #[error("metadata record names an impossible topic: {0}")]
    TopicName(#[from] TopicNameError),
    /// A record about a topic that is not there.
    #[error("no topic has the id {id}")]
    UnknownTopic {
        /// The id in the record.
        id: TopicId,
    },
    /// A record about a topic that is not there.
    #[error("no topic has the name '{name}'")]
    UnknownTopicName {
        /// The name in the record.
        name: String,
    },
    /// A change of a partition that is not there.
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition {
        /// The topic in the record.
        topic: TopicId,
        /// The partition in the record.
        partition: i32,
    },
    /// Kafka counts the directories of a partition against its replicas.
    #[error("partition {partition} of topic {topic} has {replicas} replicas in {directories} directories")]
    DirectoryCount {
        /// The topic in the record.
        topic: TopicId,
        /// The partition in the record.
        partition: i32,
        /// Replicas of the partition after the change.
        replicas: usize,
        /// Directories of the partition after the change.
        directories: usize,
    },
    /// A change of a broker that is not registered.
    #[error("broker {id} is not registered")]
    UnknownBroker {
        /// The id in the record.
        id: NodeId,
    },
    /// A change of another incarnation of the broker.
    #[error("broker {id} has epoch {registered}, the record is for epoch {found}")]
    StaleBrokerEpoch {
        /// The id in the record.
        id: NodeId,
        /// The registered epoch.
        registered: i64,
        /// The epoch in the record.
        found: i64,
    },
    /// A number stands for nothing.
    #[error("{record} with {field} = {value}")]
    UnknownValue {
        /// Kafka's name of the record.
        record: &'static str,
        /// The field.
        field: &'static str,
        /// The number found.
        value: i64,
    },
    /// Producer ids would be handed out twice.
    #[error("the next producer id goes back from {next} to {found}")]
    ProducerIdWentBack {
        /// The next id as the image has it.
        next: ProducerId,
        /// The next id as the record has it.
        found: ProducerId,
    },
    /// The cluster runs at a `metadata.version` this version of Corelog does not know.
    #[error("metadata.version {found} is not supported, expected {min} to {max}")]
    MetadataVersion {
        /// The level in the record.
        found: i16,
        /// The lowest supported level.
        min: i16,
        /// The highest supported level.
        max: i16,
    },
    /// A transaction begins inside of another.
    #[error("a metadata transaction begins inside of another")]
    AlreadyInTransaction,
    /// A transaction ends that never began.
    #[error("a metadata transaction ends that never began")]
    NotInTransaction,
    /// More records than the image is willing to hold back.
    #[error("a metadata transaction of more than {max} records", max = super::TRANSACTION_RECORDS_MAX)]
    TransactionTooLarge,
}
