//! Applying records to an image: the only way it changes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::{
    BrokerRegistration, ConfigResource, ImageChanges, ImageError, METADATA_VERSION, MetadataDelta,
    MetadataImage, TRANSACTION_RECORDS_MAX, TopicImage,
};
use crate::metadata::features::{KRAFT_VERSION, METADATA_VERSION_MAX, METADATA_VERSION_MIN};
use crate::metadata::records::{
    BrokerRegistrationChangeRecord, ClearElrRecord, ConfigRecord, FeatureLevelRecord, MetadataRecord,
    ProducerIdsRecord, TopicRecord,
};
use crate::types::{LeaderEpoch, NodeId, Offset, TopicId, TopicName};

impl MetadataImage {
    /// The image that a snapshot holds: all its `records` applied to an empty image, as of `end_offset`.
    pub fn from_snapshot<'a>(
        cluster_id: &str,
        records: impl IntoIterator<Item = &'a MetadataRecord>,
        end_offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<Self, ImageError> {
        let mut image = Self::new(cluster_id);
        let mut changes = ImageChanges::default();
        for record in records {
            image.replay(record, &mut changes)?;
        }
        image.end_offset = end_offset;
        image.epoch = epoch;
        Ok(image)
    }

    /// Applies the record at `offset`, which must not be below [`MetadataImage::end_offset`].
    pub fn apply(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), ImageError> {
        self.apply_noting(offset, record, &mut ImageChanges::default())
    }

    /// Applies one committed batch and returns what it changed.
    pub fn apply_delta(&mut self, delta: &MetadataDelta) -> Result<ImageChanges, ImageError> {
        let mut changes = ImageChanges::default();
        for (index, record) in delta.records.iter().enumerate() {
            self.apply_noting(delta.first_offset + index as i64, record, &mut changes)?;
        }
        self.advance(delta.end_offset(), delta.epoch)?;
        Ok(changes)
    }

    /// Moves past offsets that hold nothing for the image, such as control records.
    pub fn advance(&mut self, end_offset: Offset, epoch: LeaderEpoch) -> Result<(), ImageError> {
        if end_offset < self.end_offset {
            return Err(ImageError::OffsetWentBack { end_offset: self.end_offset, found: end_offset });
        }
        self.end_offset = end_offset;
        self.epoch = epoch;
        Ok(())
    }

    fn apply_noting(
        &mut self,
        offset: Offset,
        record: &MetadataRecord,
        changes: &mut ImageChanges,
    ) -> Result<(), ImageError> {
        if offset < self.end_offset {
            return Err(ImageError::OffsetWentBack { end_offset: self.end_offset, found: offset });
        }
        self.end_offset = offset + 1;
        match record {
            MetadataRecord::BeginTransaction(_) => self.begin_transaction(),
            MetadataRecord::EndTransaction(_) => {
                let records = self.transaction.take().ok_or(ImageError::NotInTransaction)?;
                records.iter().try_for_each(|record| self.replay(record, changes))
            }
            MetadataRecord::AbortTransaction(_) => {
                self.transaction.take().map(drop).ok_or(ImageError::NotInTransaction)
            }
            record => match &mut self.transaction {
                None => self.replay(record, changes),
                Some(held) if held.len() < TRANSACTION_RECORDS_MAX => {
                    held.push(record.clone());
                    Ok(())
                }
                Some(_) => Err(ImageError::TransactionTooLarge),
            },
        }
    }

    fn begin_transaction(&mut self) -> Result<(), ImageError> {
        if self.transaction.is_some() {
            return Err(ImageError::AlreadyInTransaction);
        }
        self.transaction = Some(Vec::new());
        Ok(())
    }

    /// Applies a record whose time has come. Kafka's `MetadataDelta.replay`.
    fn replay(&mut self, record: &MetadataRecord, changes: &mut ImageChanges) -> Result<(), ImageError> {
        match record {
            MetadataRecord::RegisterBroker(record) => {
                changes.brokers_changed.insert(record.broker_id);
                self.brokers.insert(record.broker_id, BrokerRegistration::from_record(record));
            }
            MetadataRecord::UnregisterBroker(record) => {
                self.broker_mut(record.broker_id, record.broker_epoch, changes)?;
                self.brokers.remove(&record.broker_id);
            }
            MetadataRecord::FenceBroker(record) => {
                self.broker_mut(record.id, record.epoch, changes)?.fenced = true;
            }
            MetadataRecord::UnfenceBroker(record) => {
                self.broker_mut(record.id, record.epoch, changes)?.fenced = false;
            }
            MetadataRecord::BrokerRegistrationChange(record) => {
                self.replay_broker_change(record, changes)?;
            }
            MetadataRecord::RegisterController(record) => {
                let mut record = record.clone();
                record.features.sort_by(|left, right| left.name.cmp(&right.name));
                self.controllers.insert(record.controller_id, record);
            }
            MetadataRecord::UnregisterController(record) => {
                self.controllers.remove(&record.controller_id);
            }
            MetadataRecord::Topic(record) => self.replay_topic(record, changes)?,
            MetadataRecord::Partition(record) => {
                self.topic_mut(record.topic_id)?.put(record)?;
                changes.partitions_changed.insert((record.topic_id, record.partition_id));
            }
            MetadataRecord::PartitionChange(record) => {
                self.topic_mut(record.topic_id)?.change(record)?;
                changes.partitions_changed.insert((record.topic_id, record.partition_id));
            }
            MetadataRecord::RemoveTopic(record) => self.replay_remove_topic(record.topic_id, changes)?,
            MetadataRecord::ClearElr(record) => self.replay_clear_elr(record, changes)?,
            MetadataRecord::Config(record) => self.replay_config(record, changes),
            MetadataRecord::FeatureLevel(record) => self.replay_feature_level(record, changes)?,
            MetadataRecord::ProducerIds(record) => self.replay_producer_ids(record)?,
            MetadataRecord::ClientQuota(_)
            | MetadataRecord::AccessControlEntry(_)
            | MetadataRecord::RemoveAccessControlEntry(_)
            | MetadataRecord::UserScramCredential(_)
            | MetadataRecord::RemoveUserScramCredential(_)
            | MetadataRecord::DelegationToken(_)
            | MetadataRecord::RemoveDelegationToken(_) => {
                self.replay_access(record);
                changes.access_changed = true;
            }
            MetadataRecord::NoOp(_) | MetadataRecord::ZkMigrationState(_) => {}
            MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => return Err(ImageError::NotInTransaction),
        }
        Ok(())
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut TopicImage, ImageError> {
        self.topics.get_mut(&id).map(Arc::make_mut).ok_or(ImageError::UnknownTopic { id })
    }

    /// The registration a record is about, if it is about this incarnation.
    fn broker_mut(
        &mut self,
        id: NodeId,
        epoch: i64,
        changes: &mut ImageChanges,
    ) -> Result<&mut BrokerRegistration, ImageError> {
        let broker = self.brokers.get_mut(&id).ok_or(ImageError::UnknownBroker { id })?;
        if broker.epoch != epoch {
            return Err(ImageError::StaleBrokerEpoch { id, registered: broker.epoch, found: epoch });
        }
        changes.brokers_changed.insert(id);
        Ok(broker)
    }

    fn replay_broker_change(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
        changes: &mut ImageChanges,
    ) -> Result<(), ImageError> {
        self.broker_mut(record.broker_id, record.broker_epoch, changes)?.apply_change(record)
    }

    fn replay_topic(&mut self, record: &TopicRecord, changes: &mut ImageChanges) -> Result<(), ImageError> {
        let name = TopicName::new(&record.name)?;
        let id = record.topic_id;
        match (self.topics.entry(id), self.topic_ids.entry(name.clone())) {
            (Entry::Vacant(topic), Entry::Vacant(topic_id)) => {
                topic.insert(Arc::new(TopicImage::new(id, name)));
                topic_id.insert(id);
            }
            _ => return Err(ImageError::TopicExists { name: record.name.clone(), id }),
        }
        changes.topics_created.insert(id);
        Ok(())
    }

    /// A topic's configs go with it.
    fn replay_remove_topic(&mut self, id: TopicId, changes: &mut ImageChanges) -> Result<(), ImageError> {
        let topic = self.topics.remove(&id).ok_or(ImageError::UnknownTopic { id })?;
        self.topic_ids.remove(topic.name());
        self.configs.remove(&ConfigResource::topic(topic.name().as_str()));
        changes.topic_deleted(topic);
        Ok(())
    }

    fn replay_clear_elr(
        &mut self,
        record: &ClearElrRecord,
        changes: &mut ImageChanges,
    ) -> Result<(), ImageError> {
        let ids: Vec<TopicId> = if record.topic_name.is_empty() {
            self.topics.keys().copied().collect()
        } else {
            let unknown = || ImageError::UnknownTopicName { name: record.topic_name.clone() };
            vec![self.topic_id(&record.topic_name).ok_or_else(unknown)?]
        };
        for id in ids {
            let cleared = self.topic_mut(id)?.clear_elr();
            changes.partitions_changed.extend(cleared.into_iter().map(|partition| (id, partition)));
        }
        Ok(())
    }

    fn replay_config(&mut self, record: &ConfigRecord, changes: &mut ImageChanges) {
        let resource =
            ConfigResource { resource_type: record.resource_type, name: record.resource_name.clone() };
        changes.configs_changed.insert(resource.clone());
        let entries = self.configs.entry(resource);
        match (&record.value, entries) {
            (Some(value), entries) => {
                entries.or_insert_with(BTreeMap::new).insert(record.name.clone(), value.clone());
            }
            (None, Entry::Occupied(mut entries)) => {
                entries.get_mut().remove(&record.name);
                if entries.get().is_empty() {
                    entries.remove();
                }
            }
            (None, Entry::Vacant(_)) => {}
        }
    }

    fn replay_feature_level(
        &mut self,
        record: &FeatureLevelRecord,
        changes: &mut ImageChanges,
    ) -> Result<(), ImageError> {
        let FeatureLevelRecord { name, feature_level: level } = record;
        if name == METADATA_VERSION && !(METADATA_VERSION_MIN..=METADATA_VERSION_MAX).contains(level) {
            return Err(ImageError::MetadataVersion {
                found: *level,
                min: METADATA_VERSION_MIN,
                max: METADATA_VERSION_MAX,
            });
        }
        // KAFKA-18979: kraft.version lives in control records; some logs hold such a record by mistake.
        if name == KRAFT_VERSION {
            return Ok(());
        }
        changes.features_changed = true;
        if *level == 0 {
            self.features.remove(name);
        } else {
            self.features.insert(name.clone(), *level);
        }
        Ok(())
    }

    fn replay_producer_ids(&mut self, record: &ProducerIdsRecord) -> Result<(), ImageError> {
        let (next, found) = (self.next_producer_id, record.next_producer_id);
        if found < next {
            return Err(ImageError::ProducerIdWentBack { next, found });
        }
        self.next_producer_id = found;
        Ok(())
    }

    fn replay_access(&mut self, record: &MetadataRecord) {
        let access = &mut self.access;
        match record {
            MetadataRecord::ClientQuota(record) => access.apply_quota(record),
            MetadataRecord::AccessControlEntry(record) => {
                access.acls.insert(record.id, record.clone());
            }
            MetadataRecord::RemoveAccessControlEntry(record) => {
                access.acls.remove(&record.id);
            }
            MetadataRecord::UserScramCredential(record) => {
                access.scram_credentials.insert((record.mechanism, record.name.clone()), record.clone());
            }
            MetadataRecord::RemoveUserScramCredential(record) => {
                access.scram_credentials.remove(&(record.mechanism, record.name.clone()));
            }
            MetadataRecord::DelegationToken(record) => {
                access.delegation_tokens.insert(record.token_id.clone(), record.clone());
            }
            MetadataRecord::RemoveDelegationToken(record) => {
                access.delegation_tokens.remove(&record.token_id);
            }
            _ => unreachable!("{} is not about access", record.name()),
        }
    }
}
