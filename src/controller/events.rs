//! What the controller is asked, and what it answers: plain data, free of any wire format.

use std::fmt;

use crate::config::ConfigEntry;
use crate::metadata::records::{ListenerEndpoint, SupportedFeature};
use crate::metadata::{ConfigResource, MetadataDelta};
use crate::types::{DirectoryId, ErrorCode, NodeId, Offset, ProducerId, TopicId, Uuid};

/// The driver's name for one request; comes back with the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Append these records to the metadata log as one batch.
    Append(MetadataDelta),
    /// Answer a request once the committed end offset of the metadata log has reached `after`.
    Reply {
        /// The request.
        token: Token,
        /// The exclusive end of what must be committed first.
        after: Offset,
        /// The answer.
        response: Response,
    },
}

/// The answer to one request, of the kind of the request.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// To [`CreateTopics`]: one entry per name, in the order of the request.
    CreateTopics(Vec<CreateTopicResult>),
    /// To [`DeleteTopics`]: one entry per name or id, in the order of the request.
    DeleteTopics(Vec<DeleteTopicResult>),
    /// To [`CreatePartitions`]: one entry per name, in the order of the request.
    CreatePartitions(Vec<CreatePartitionsResult>),
    /// To [`AlterConfigs`]: one entry per resource, in the order of the request.
    AlterConfigs(Vec<AlterConfigsResult>),
    /// To [`UpdateFeatures`].
    UpdateFeatures(Result<(), ApiError>),
    /// To [`AllocateProducerIds`].
    AllocateProducerIds(Result<ProducerIdBlock, ApiError>),
    /// To [`RegisterBroker`]: the broker's epoch.
    RegisterBroker(Result<i64, ApiError>),
    /// To [`UnfenceBroker`].
    UnfenceBroker(Result<(), ApiError>),
    /// To [`FailDirectories`].
    FailDirectories(Result<(), ApiError>),
    /// To [`AssignDirectories`]: one entry per assignment, in the order of the request.
    AssignDirectories(Result<Vec<Result<(), ApiError>>, ApiError>),
}

/// A refusal as clients get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Kafka's error.
    pub code: ErrorCode,
    /// For the reader of the client's log.
    pub message: String,
}

impl ApiError {
    /// A refusal with Kafka's error and a text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Topics to be created (CreateTopics v2 to v7, auto-creation).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CreateTopics {
    /// The topics, each on its own: one that is refused does not hold up the others.
    pub topics: Vec<NewTopic>,
    /// Whether to check everything and create nothing.
    pub validate_only: bool,
}

/// One topic to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// The name, not checked yet.
    pub name: String,
    /// The number of partitions; -1 for `num.partitions`, and with `assignments`.
    pub partitions: i32,
    /// The number of replicas; -1 for `default.replication.factor`, and with `assignments`.
    pub replication_factor: i16,
    /// Where each partition's replicas go; empty to leave that to the controller.
    pub assignments: Vec<ReplicaAssignment>,
    /// Overrides of the topic's defaults.
    pub configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    /// A topic with the broker's defaults.
    pub fn with_defaults(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }
}

/// The replicas of one new partition as the client wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaAssignment {
    /// The partition's index.
    pub partition: i32,
    /// The brokers, the preferred leader first.
    pub brokers: Vec<NodeId>,
}

/// What became of one topic of [`CreateTopics`].
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTopicResult {
    /// The name as asked for.
    pub name: String,
    /// The topic, or why not.
    pub result: Result<CreatedTopic, ApiError>,
}

/// A topic that was created, or could have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// The topic's id; without meaning when the request was only to validate.
    pub id: TopicId,
    /// The number of partitions.
    pub partitions: i32,
    /// The number of replicas of each.
    pub replication_factor: i16,
    /// All effective configs by name. None of a topic's is sensitive or read-only.
    pub configs: Vec<ConfigEntry>,
}

/// Topics to be deleted (DeleteTopics v1 to v6).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteTopics {
    /// The topics.
    pub topics: Vec<TopicReference>,
}

/// A topic by name or by id: one of them must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicReference {
    /// The name.
    pub name: Option<String>,
    /// The id; [`Uuid::ZERO`] for none.
    pub id: TopicId,
}

/// What became of one topic of [`DeleteTopics`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteTopicResult {
    /// The name, as far as it is known.
    pub name: Option<String>,
    /// The id, as far as it is known.
    pub id: TopicId,
    /// Whether the topic is gone, or why not.
    pub result: Result<(), ApiError>,
}

/// Partitions to be added to topics (CreatePartitions v0 to v3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreatePartitions {
    /// The topics, each on its own.
    pub topics: Vec<MorePartitions>,
    /// Whether to check everything and create nothing.
    pub validate_only: bool,
}

/// How many partitions one topic is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MorePartitions {
    /// The topic's name.
    pub topic: String,
    /// The number of partitions afterwards.
    pub count: i32,
    /// The brokers of each new partition, the preferred leader first; `None` leaves them to the controller.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// What became of one topic of [`CreatePartitions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePartitionsResult {
    /// The topic's name.
    pub topic: String,
    /// Whether the partitions are there, or why not.
    pub result: Result<(), ApiError>,
}

/// Changes of resources' configuration (IncrementalAlterConfigs, AlterConfigs).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlterConfigs {
    /// The resources, each on its own; the changes of one are made all or none.
    pub resources: Vec<ResourceChanges>,
    /// Whether to check everything and change nothing.
    pub validate_only: bool,
}

/// The changes of one resource's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceChanges {
    /// The topic, broker or group; the broker without a name stands for all of them.
    pub resource: ConfigResource,
    /// What becomes of keys that are not named.
    pub mode: AlterMode,
    /// The changes, at most one per key.
    pub changes: Vec<(String, ConfigChange)>,
}

/// What a change does to keys that it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterMode {
    /// They stay (IncrementalAlterConfigs).
    Incremental,
    /// They go back to their defaults (AlterConfigs).
    Replace,
}

/// One change of one key (`AlterConfigOp.OpType`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// Set the value.
    Set(String),
    /// Go back to the default.
    Delete,
    /// Add these entries, separated by commas, to a list.
    Append(String),
    /// Remove these entries, separated by commas, from a list.
    Subtract(String),
}

/// What became of one resource of [`AlterConfigs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterConfigsResult {
    /// The resource.
    pub resource: ConfigResource,
    /// Whether all its changes were made, or why none was.
    pub result: Result<(), ApiError>,
}

/// Features to be finalized at other levels (UpdateFeatures v0 to v2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateFeatures {
    /// The features; all of them change, or none.
    pub updates: Vec<FeatureUpdate>,
    /// Whether to check everything and change nothing.
    pub validate_only: bool,
}

/// The level that one feature is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// The feature's name.
    pub feature: String,
    /// The level; 0 switches the feature off.
    pub level: i16,
    /// Which way the level may go.
    pub upgrade_type: UpgradeType,
}

/// Which way a feature's level may go (`FeatureUpdate.UpgradeType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeType {
    /// Something that Kafka does not name.
    Unknown,
    /// Up.
    Upgrade,
    /// Down, if no metadata is lost.
    SafeDowngrade,
    /// Down, whatever is lost.
    UnsafeDowngrade,
}

/// A broker wants a block of producer ids (AllocateProducerIds v0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocateProducerIds {
    /// The broker.
    pub broker_id: NodeId,
    /// Its epoch.
    pub broker_epoch: i64,
}

/// Producer ids that one broker may hand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first id.
    pub first: ProducerId,
    /// How many there are.
    pub count: i32,
}

/// How a broker's process ended before it started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviousStop {
    /// All log directories were flushed and carry their clean-shutdown markers.
    Clean,
    /// It crashed: records that clients have seen may be gone.
    Unclean,
}

/// A broker starts (BrokerRegistration v4).
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterBroker {
    /// The broker.
    pub broker_id: NodeId,
    /// The cluster it believes to belong to.
    pub cluster_id: String,
    /// Differs with every start; the same one amends the registration.
    pub incarnation_id: Uuid,
    /// Its advertised listeners.
    pub endpoints: Vec<ListenerEndpoint>,
    /// The feature levels it can work with.
    pub features: Vec<SupportedFeature>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Its log directories that are online, in its own order.
    pub directories: Vec<DirectoryId>,
    /// How its last process ended.
    pub previous_stop: PreviousStop,
}

/// A registered broker is ready to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfenceBroker {
    /// The broker.
    pub broker_id: NodeId,
    /// Its epoch.
    pub broker_epoch: i64,
}

/// Log directories of a running broker failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailDirectories {
    /// The broker.
    pub broker_id: NodeId,
    /// Its epoch.
    pub broker_epoch: i64,
    /// The directories that failed.
    pub failed: Vec<DirectoryId>,
}

/// A broker tells where replicas of its are (AssignReplicasToDirs v0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignDirectories {
    /// The broker.
    pub broker_id: NodeId,
    /// Its epoch.
    pub broker_epoch: i64,
    /// The replicas and their directories.
    pub assignments: Vec<DirectoryAssignment>,
}

/// The directory of one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryAssignment {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition's index.
    pub partition: i32,
    /// The directory.
    pub directory: DirectoryId,
}
