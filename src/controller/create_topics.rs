//! Creating topics (`ReplicationControlManager.createTopics`).

use std::collections::{BTreeMap, BTreeSet};

use super::alter_configs::{self, check_value_size};
use super::events::{
    ApiError, CreateTopicResult, CreateTopics, CreatedTopic, NewTopic, ReplicaAssignment, Response, Token,
};
use super::placement::{DirectoryLoads, ReplicaStripe, takes_partitions};
use super::{Controller, RECORDS_PER_OPERATION_MAX, check_operation_size, new_topic_id};
use crate::config::{BrokerConfig, TopicOverrides};
use crate::metadata::records::{PartitionRecord, TopicRecord};
use crate::metadata::{BrokerRegistration, MetadataImage, MetadataRecord};
use crate::types::{ErrorCode, LeaderEpoch, NodeId, Prng, TopicId, TopicName};

/// The metadata log is no topic of the cluster.
const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

impl Controller {
    /// Creates topics, each on its own.
    pub fn handle_create_topics(&mut self, token: Token, request: &CreateTopics) {
        let mut plan = TopicsPlan::new(&self.broker, &self.image, &mut self.prng);
        let (results, records) = plan.plan_request(request);
        if !request.validate_only {
            self.append(records);
        }
        self.reply(token, Response::CreateTopics(results));
    }
}

/// The creation of the topics of one request, or of partitions of them.
pub(super) struct TopicsPlan<'a> {
    config: &'a BrokerConfig,
    pub(super) image: &'a MetadataImage,
    prng: &'a mut Prng,
    pub(super) stripe: ReplicaStripe,
    pub(super) loads: DirectoryLoads,
    /// Topics by the name that metrics would give them, as far as that name is ambiguous.
    collisions: BTreeMap<String, TopicName>,
}

impl<'a> TopicsPlan<'a> {
    pub(super) fn new(config: &'a BrokerConfig, image: &'a MetadataImage, prng: &'a mut Prng) -> Self {
        let stripe = ReplicaStripe::new(image, prng);
        let ambiguous = image.topics().map(|topic| topic.name()).filter(|name| is_ambiguous(name));
        let collisions = ambiguous.map(|name| (name.collision_key(), name.clone())).collect();
        Self { config, image, prng, stripe, loads: DirectoryLoads::of(image), collisions }
    }

    /// One result per name, and the records for those that succeed.
    fn plan_request(&mut self, request: &CreateTopics) -> (Vec<CreateTopicResult>, Vec<MetadataRecord>) {
        let mut seen = BTreeSet::new();
        let duplicates: BTreeSet<&str> = request
            .topics
            .iter()
            .map(|topic| topic.name.as_str())
            .filter(|&name| !seen.insert(name))
            .collect();
        let mut records = Vec::new();
        let mut results: Vec<CreateTopicResult> = Vec::new();
        let too_many = self.check_total_partitions(request).err();
        for topic in &request.topics {
            if duplicates.contains(topic.name.as_str()) && !seen.remove(topic.name.as_str()) {
                continue;
            }
            let result = match &too_many {
                Some(error) => Err(error.clone()),
                None if duplicates.contains(topic.name.as_str()) => Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    "the request names this topic more than once",
                )),
                None => self.plan_topic(topic, &mut records),
            };
            results.push(CreateTopicResult { name: topic.name.clone(), result });
        }
        if let Err(error) = check_operation_size(&records) {
            records.clear();
            results.iter_mut().for_each(|result| result.result = Err(error.clone()));
        }
        (results, records)
    }

    /// Kafka counts before it looks at anything else (`validateTotalNumberOfPartitions`), so that a number
    /// beyond all reason costs nothing.
    fn check_total_partitions(&self, request: &CreateTopics) -> Result<(), ApiError> {
        let partitions = |topic: &NewTopic| match (topic.assignments.len(), topic.partitions) {
            (0, -1) => i64::from(self.config.topic_creation.partitions),
            (0, partitions) => i64::from(partitions.max(0)),
            (assigned, _) => assigned as i64,
        };
        let total: i64 = request.topics.iter().map(partitions).sum();
        if total <= RECORDS_PER_OPERATION_MAX as i64 {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::PolicyViolation,
            format!(
                "the request asks for {total} partitions, at most {RECORDS_PER_OPERATION_MAX} are allowed"
            ),
        ))
    }

    /// Adds the records of one topic, or none.
    fn plan_topic(
        &mut self,
        topic: &NewTopic,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<CreatedTopic, ApiError> {
        let name = self.check_name(&topic.name)?;
        let overrides = self.check_configs(topic)?;
        let partitions = self.plan_partitions(topic)?;
        if is_ambiguous(&name) {
            self.collisions.insert(name.collision_key(), name.clone());
        }

        let id = new_topic_id(self.image, self.prng);
        let created = CreatedTopic {
            id,
            partitions: partitions.len() as i32,
            replication_factor: partitions[0].len() as i16,
            configs: self.config.topic_defaults.entries(&overrides),
        };
        records.push(TopicRecord { name: name.to_string(), topic_id: id }.into());
        records.extend(alter_configs::set_records(&name, &overrides));
        self.loads.start_topic();
        for (partition, replicas) in partitions.into_iter().enumerate() {
            records.push(self.partition_record(id, partition as i32, replicas).into());
        }
        Ok(created)
    }

    fn check_name(&self, name: &str) -> Result<TopicName, ApiError> {
        if name == CLUSTER_METADATA_TOPIC {
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                format!("{CLUSTER_METADATA_TOPIC} is the cluster's own log and cannot be created"),
            ));
        }
        if self.image.topic_id(name).is_some() {
            return Err(ApiError::new(
                ErrorCode::TopicAlreadyExists,
                format!("Topic '{name}' already exists."),
            ));
        }
        let invalid = |message| ApiError::new(ErrorCode::InvalidTopicException, message);
        let name = TopicName::new(name).map_err(|error| invalid(error.to_string()))?;
        // Differs from Kafka: two colliding names in one request are refused, too.
        match self.collisions.get(&name.collision_key()).filter(|_| is_ambiguous(&name)) {
            Some(other) => Err(invalid(format!("Topic '{name}' collides with existing topic: {other}"))),
            None => Ok(name),
        }
    }

    fn check_configs(&self, topic: &NewTopic) -> Result<TopicOverrides, ApiError> {
        let invalid = |message| ApiError::new(ErrorCode::InvalidConfig, message);
        let mut overrides = TopicOverrides::new();
        for (key, value) in &topic.configs {
            let value = value.as_ref().ok_or_else(|| invalid(format!("config {key} has no value")))?;
            check_value_size(key, value)?;
            overrides.insert(key.clone(), value.clone());
        }
        self.config.topic_defaults.validate(&overrides).map_err(invalid)?;
        Ok(overrides)
    }

    /// The replicas of every partition, in the order of the partitions; never empty.
    fn plan_partitions(&mut self, topic: &NewTopic) -> Result<Vec<Vec<NodeId>>, ApiError> {
        if !topic.assignments.is_empty() {
            return self.check_assignments(topic);
        }
        let defaults = &self.config.topic_creation;
        let replication_factor = match topic.replication_factor {
            -1 => defaults.replication_factor,
            asked => asked,
        };
        let partitions = match topic.partitions {
            -1 => defaults.partitions,
            asked => asked,
        };
        let replication_factor = usize::try_from(replication_factor).ok().filter(|&factor| 0 < factor);
        let replication_factor = replication_factor.ok_or_else(|| {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            ApiError::new(ErrorCode::InvalidReplicationFactor, message)
        })?;
        if partitions <= 0 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err(ApiError::new(ErrorCode::InvalidPartitions, message));
        }
        (0..partitions).map(|_| self.stripe.place(replication_factor)).collect()
    }

    /// `validateManualPartitionAssignment`.
    fn check_assignments(&self, topic: &NewTopic) -> Result<Vec<Vec<NodeId>>, ApiError> {
        if topic.replication_factor != -1 || topic.partitions != -1 {
            let what = if topic.replication_factor == -1 { "numPartitions" } else { "replication factor" };
            let message =
                format!("A manual partition assignment was specified, but {what} was not set to -1.");
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
        let invalid = |message| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        let mut partitions: BTreeMap<i32, Vec<NodeId>> = BTreeMap::new();
        for assignment in &topic.assignments {
            let ReplicaAssignment { partition, brokers } = assignment;
            self.check_assigned_brokers(assignment)?;
            if let Some(first) = partitions.values().next().filter(|first| first.len() != brokers.len()) {
                return invalid(format!(
                    "The manual partition assignment includes a partition with {} replica(s), but this is \
                     not consistent with previous partitions, which have {} replica(s).",
                    brokers.len(),
                    first.len()
                ));
            }
            if partitions.insert(*partition, brokers.clone()).is_some() {
                return invalid(format!(
                    "Found multiple manual partition assignments for partition {partition}"
                ));
            }
        }
        if !partitions.keys().copied().eq(0..partitions.len() as i32) {
            return invalid("partitions should be a consecutive 0-based integer sequence".to_owned());
        }
        Ok(partitions.into_values().collect())
    }

    pub(super) fn check_assigned_brokers(&self, assignment: &ReplicaAssignment) -> Result<(), ApiError> {
        let ReplicaAssignment { partition, brokers } = assignment;
        let invalid = |message| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        if brokers.is_empty() {
            return invalid("The manual partition assignment includes an empty replica list.".to_owned());
        }
        let mut seen = BTreeSet::new();
        for &id in brokers {
            match self.image.broker(id) {
                None => {
                    return invalid(format!(
                        "The manual partition assignment includes broker {id}, but no such broker is \
                         registered."
                    ));
                }
                Some(broker) if !takes_partitions(broker) => {
                    return invalid(format!(
                        "The manual partition assignment includes broker {id}, but all its log directories \
                         are cordoned."
                    ));
                }
                Some(_) if !seen.insert(id) => {
                    return invalid(format!(
                        "The manual partition assignment includes the broker {id} more than once."
                    ));
                }
                Some(_) => {}
            }
        }
        if !brokers.iter().any(|&id| self.is_active(id)) {
            return invalid(format!(
                "All brokers specified in the manual partition assignment for partition {partition} are \
                 fenced or in controlled shutdown."
            ));
        }
        Ok(())
    }

    fn broker(&self, id: NodeId) -> &BrokerRegistration {
        self.image.broker(id).expect("replicas are placed on registered brokers")
    }

    fn is_active(&self, id: NodeId) -> bool {
        self.broker(id).is_active()
    }

    pub(super) fn partition_record(
        &mut self,
        topic_id: TopicId,
        partition: i32,
        replicas: Vec<NodeId>,
    ) -> PartitionRecord {
        let isr: Vec<_> = replicas.iter().copied().filter(|&id| self.is_active(id)).collect();
        let image = self.image;
        let brokers = replicas.iter().map(|&id| image.broker(id).expect("replicas are registered brokers"));
        let directories = brokers.map(|broker| self.loads.place(broker)).collect();
        PartitionRecord {
            partition_id: partition,
            topic_id,
            leader: isr[0],
            replicas,
            isr,
            leader_epoch: LeaderEpoch::ZERO,
            partition_epoch: 0,
            directories,
            ..PartitionRecord::default()
        }
    }
}

/// Whether metrics could spell another topic's name the same way (`Topic.hasCollisionChars`).
fn is_ambiguous(name: &TopicName) -> bool {
    name.as_str().contains(['.', '_'])
}
