//! The state of the cluster: what the records of the metadata log add up to.
//!
//! [`MetadataImage`] changes only by records, in the order of their offsets, so that every executor that
//! applied the same records has the same image. [`MetadataImage::to_records`] is the inverse: the fewest
//! records that give an equal image, which is what a snapshot holds.
//!
//! Records between `BeginTransaction` and `EndTransaction` (KIP-868) wait inside the image and take
//! effect together. An error leaves the image between two states: whoever gets one must stop, since
//! skipping a record would make this replica differ from all others.
//!
//! The image knows nothing of logs, snapshot files or who may change what: see `snapshot` and `controller`.

mod access;
mod broker;
mod changes;
mod error;
mod replay;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::metadata::records::{
    CONFIG_RESOURCE_BROKER, CONFIG_RESOURCE_GROUP, CONFIG_RESOURCE_TOPIC, ConfigRecord, FeatureLevelRecord,
    MetadataRecord, ProducerIdsRecord, RegisterControllerRecord,
};
use crate::types::{LeaderEpoch, NodeId, Offset, ProducerId, TopicId, TopicName};

pub use access::{AccessImage, QuotaEntityKey};
pub use broker::BrokerRegistration;
pub use changes::{ImageChanges, MetadataDelta};
pub use error::ImageError;
pub use topic::{PartitionRegistration, TopicImage};

/// The name of the feature that versions the metadata itself.
pub const METADATA_VERSION: &str = "metadata.version";

/// Records that one metadata transaction may hold back; one with more is refused. Kafka's own are far
/// smaller.
pub const TRANSACTION_RECORDS_MAX: usize = 1 << 20;

/// What a config belongs to: a kind of resource (`ConfigResource.Type.id`) and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// Such as [`CONFIG_RESOURCE_TOPIC`].
    pub resource_type: i8,
    /// The topic's name, the broker's id; empty for the default of all brokers.
    pub name: String,
}

impl ConfigResource {
    /// The configs of a topic.
    pub fn topic(name: &str) -> Self {
        Self { resource_type: CONFIG_RESOURCE_TOPIC, name: name.to_owned() }
    }

    /// The configs of a group of consumers.
    pub fn group(id: &str) -> Self {
        Self { resource_type: CONFIG_RESOURCE_GROUP, name: id.to_owned() }
    }

    /// The configs of one broker; of all brokers with `None`.
    pub fn broker(id: Option<NodeId>) -> Self {
        let name = id.map(|id| id.to_string()).unwrap_or_default();
        Self { resource_type: CONFIG_RESOURCE_BROKER, name }
    }
}

/// The cluster as of one offset of the metadata log.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataImage {
    cluster_id: Arc<str>,
    end_offset: Offset,
    epoch: LeaderEpoch,
    features: BTreeMap<String, i16>,
    brokers: BTreeMap<NodeId, BrokerRegistration>,
    controllers: BTreeMap<NodeId, RegisterControllerRecord>,
    /// Shared with the image's clones until they change: whoever keeps an image across a delta makes the next
    /// one a clone, and there may be tens of thousands of partitions.
    topics: BTreeMap<TopicId, Arc<TopicImage>>,
    topic_ids: BTreeMap<TopicName, TopicId>,
    configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    next_producer_id: ProducerId,
    access: AccessImage,
    /// The records of an open transaction.
    transaction: Option<Vec<MetadataRecord>>,
}

impl MetadataImage {
    /// The image before the first record.
    pub fn new(cluster_id: &str) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            end_offset: Offset::ZERO,
            epoch: LeaderEpoch::ZERO,
            features: BTreeMap::new(),
            brokers: BTreeMap::new(),
            controllers: BTreeMap::new(),
            topics: BTreeMap::new(),
            topic_ids: BTreeMap::new(),
            configs: BTreeMap::new(),
            next_producer_id: ProducerId(0),
            access: AccessImage::default(),
            transaction: None,
        }
    }

    /// The id of the cluster (`cluster.id` of `meta.properties`).
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The first offset of the metadata log that is not applied yet.
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// The epoch of the last batch applied.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Whether no record was ever applied: the log of a new cluster, which needs its bootstrap records.
    pub fn is_unformatted(&self) -> bool {
        self.metadata_version().is_none()
    }

    /// The finalized features with a level above zero, `metadata.version` among them.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// The finalized level of a feature; 0 when it is off.
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The finalized `metadata.version`; `None` before the bootstrap records.
    pub fn metadata_version(&self) -> Option<i16> {
        self.features.get(METADATA_VERSION).copied()
    }

    /// A registered broker.
    pub fn broker(&self, id: NodeId) -> Option<&BrokerRegistration> {
        self.brokers.get(&id)
    }

    /// All registered brokers by id, fenced ones too.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerRegistration> {
        self.brokers.values()
    }

    /// All registered controllers by id.
    pub fn controllers(&self) -> impl Iterator<Item = &RegisterControllerRecord> {
        self.controllers.values()
    }

    /// A topic by its id.
    pub fn topic(&self, id: TopicId) -> Option<&TopicImage> {
        self.topics.get(&id).map(Arc::as_ref)
    }

    /// The id of a topic.
    pub fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.topic_ids.get(name).copied()
    }

    /// A topic by its name.
    pub fn topic_by_name(&self, name: &str) -> Option<&TopicImage> {
        self.topic(self.topic_id(name)?)
    }

    /// All topics in the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &TopicImage> {
        self.topic_ids.values().map(|id| self.topic(*id).expect("both maps hold the same topics"))
    }

    /// The names of topics from `start` on, ascending: for whoever goes over them in steps.
    pub fn topic_names_from(&self, start: Bound<TopicName>) -> impl Iterator<Item = &TopicName> {
        self.topic_ids.range((start, Bound::Unbounded)).map(|(name, _)| name)
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// One partition of a topic.
    pub fn partition(&self, topic: TopicId, partition: i32) -> Option<&PartitionRegistration> {
        self.topic(topic)?.partition(partition)
    }

    /// The replicas of a partition whose broker, or whose log directory, is not there
    /// (`KRaftMetadataCache.isReplicaOffline`).
    pub fn offline_replicas(&self, partition: &PartitionRegistration) -> impl Iterator<Item = NodeId> {
        partition.replicas.iter().zip(&partition.directories).filter_map(|(&id, &directory)| {
            let broker = self.broker(id).filter(|broker| broker.is_active());
            let is_online = broker.is_some_and(|broker| broker.has_online(directory));
            (!is_online).then_some(id)
        })
    }

    /// The configs set on a resource, by key; `None` when there are none.
    pub fn configs(&self, resource: &ConfigResource) -> Option<&BTreeMap<String, String>> {
        self.configs.get(resource)
    }

    /// The configs set on a topic, by key; `None` when there are none.
    pub fn topic_configs(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.configs(&ConfigResource::topic(name))
    }

    /// The names of the resources of one kind (`ConfigResource.Type.id`) that have configs.
    pub fn config_names(&self, resource_type: i8) -> impl Iterator<Item = &str> {
        let of_type = self.configs.keys().filter(move |resource| resource.resource_type == resource_type);
        of_type.map(|resource| resource.name.as_str())
    }

    /// The first producer id that was never handed out.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// ACLs, SCRAM credentials, delegation tokens and quotas.
    pub fn access(&self) -> &AccessImage {
        &self.access
    }

    /// Whether a metadata transaction was begun and neither ended nor aborted.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// The records that make an equal image out of an empty one, in the order in which Kafka writes them:
    /// `metadata.version` leads. Records of an open transaction are not among them.
    pub fn to_records(&self) -> impl Iterator<Item = MetadataRecord> {
        let (version, features): (Vec<_>, Vec<_>) =
            self.features.iter().partition(|(name, _)| name.as_str() == METADATA_VERSION);
        let feature = |(name, level): (&String, &i16)| {
            FeatureLevelRecord { name: name.clone(), feature_level: *level }.into()
        };
        let producer_ids = (ProducerId(0) < self.next_producer_id).then(|| {
            ProducerIdsRecord {
                broker_id: NodeId(-1),
                next_producer_id: self.next_producer_id,
                ..ProducerIdsRecord::default()
            }
            .into()
        });
        version
            .into_iter()
            .chain(features)
            .map(feature)
            .chain(self.brokers.values().map(|broker| broker.to_record().into()))
            .chain(self.controllers.values().cloned().map(MetadataRecord::from))
            .chain(self.topics().flat_map(TopicImage::to_records))
            .chain(self.configs.iter().flat_map(|(resource, entries)| config_records(resource, entries)))
            .chain(self.access.quota_records())
            .chain(producer_ids)
            .chain(self.access.security_records())
    }
}

fn config_records<'a>(
    resource: &'a ConfigResource,
    entries: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = MetadataRecord> + 'a {
    entries.iter().map(|(name, value)| {
        ConfigRecord {
            resource_type: resource.resource_type,
            resource_name: resource.name.clone(),
            name: name.clone(),
            value: Some(value.clone()),
        }
        .into()
    })
}
