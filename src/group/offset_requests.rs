//! Committing, fetching, deleting and expiring offsets (`OffsetMetadataManager`).

use super::codec::STRING_BYTES_MAX;
use super::context::Moment;
use super::coordinator::{GROUPS_MAX, GroupCoordinator};
use super::events::{
    CommitOffsets, DeleteOffsets, FetchOffsets, FetchedOffset, FetchedTopic, OffsetPartitions, Response,
    Token,
};
use super::kinds::{ExpirationBase, Group};
use super::offsets::{GroupOffsets, OFFSETS_MAX};
use super::records::{CommittedOffset, GroupRecord};
use super::timers::Timer;
use crate::types::{ErrorCode, Offset, Timestamp, TopicId, TopicName, Uuid};

/// `OffsetCommitRequest.DEFAULT_RETENTION_TIME`
const DEFAULT_RETENTION_TIME: i64 = -1;

impl GroupCoordinator {
    /// Keeps offsets of a member, or of someone outside of an empty group.
    pub fn handle_commit_offsets(&mut self, now: Moment, token: Token, request: CommitOffsets) {
        let result = self.commit(now, request);
        let (_, _, mut context) = self.split(now);
        context.reply(token, Response::CommitOffsets(result));
        self.settle();
    }

    fn commit(&mut self, now: Moment, request: CommitOffsets) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.check_commit(now, &request)?;
        let (_, offsets, mut context) = self.split(now);
        if OFFSETS_MAX < offsets.len() + request.offsets.len() {
            return Err(ErrorCode::InvalidCommitOffsetSize);
        }
        let expire_timestamp = match request.retention_time_ms {
            DEFAULT_RETENTION_TIME => None,
            retention => Some(now.wall.saturating_add_ms(retention)),
        };
        let metadata_bytes_max = context.config.offset_metadata_bytes_max.min(STRING_BYTES_MAX);
        let mut results = Vec::with_capacity(request.offsets.len());
        let mut records = Vec::with_capacity(request.offsets.len());
        for commit in request.offsets {
            if metadata_bytes_max < commit.metadata.len() {
                results.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            results.push(ErrorCode::None);
            records.push(GroupRecord::OffsetCommit {
                group_id: request.group_id.clone(),
                topic: commit.topic,
                partition: commit.partition,
                value: Some(CommittedOffset {
                    offset: commit.offset,
                    leader_epoch: commit.leader_epoch,
                    metadata: commit.metadata,
                    commit_timestamp: now.wall,
                    expire_timestamp,
                    topic_id: commit.topic_id,
                }),
            });
        }
        if records.is_empty() {
            return Ok(results);
        }
        // All or nothing, as one batch.
        context.append(records).map_err(|_| ErrorCode::InvalidCommitOffsetSize)?;
        Ok(results)
    }

    /// `OffsetMetadataManager.validateOffsetCommit`
    fn check_commit(&mut self, now: Moment, request: &CommitOffsets) -> Result<(), ErrorCode> {
        if STRING_BYTES_MAX < request.group_id.len() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let (groups, _, mut context) = self.split(now);
        let is_full = GROUPS_MAX <= groups.len();
        match groups.get_mut(&request.group_id) {
            Some(group) => group.check_commit(&mut context, request),
            None if request.generation_id < 0 && is_full => Err(ErrorCode::PolicyViolation),
            None if request.generation_id < 0 => Ok(()),
            None if request.knows_group_not_found => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// Tells the offsets of a group. A group that does not exist has none. There are no transactions that
    /// could leave an offset undecided, so stable offsets are all there are (KIP-447).
    pub fn handle_fetch_offsets(&mut self, now: Moment, token: Token, request: FetchOffsets) {
        let checked = match self.groups.get(&request.group_id) {
            Some(Group::Consumer(group)) => {
                group.check_fetch(request.member_id.as_deref(), request.member_epoch)
            }
            Some(Group::Classic(_)) | None => Ok(()),
        };
        if let Err(error) = checked {
            return self.split(now).2.reply(token, Response::FetchOffsets(Err(error)));
        }
        let offsets =
            self.offsets.group(&request.group_id).filter(|_| self.groups.contains_key(&request.group_id));
        let mut topics = match request.topics {
            None => offsets.map_or_else(Vec::new, all_offsets),
            Some(topics) => topics.into_iter().map(|topic| wanted_offsets(offsets, topic)).collect(),
        };
        if request.wants_lag {
            topics.iter_mut().for_each(|topic| self.add_lag(now, &request.group_id, topic));
        }
        let (_, _, mut context) = self.split(now);
        context.reply(token, Response::FetchOffsets(Ok(topics)));
    }

    /// Adds what was measured to what was found.
    fn add_lag(&self, now: Moment, group_id: &str, fetched: &mut FetchedTopic) {
        let Ok(topic) = TopicName::new(&fetched.topic) else { return };
        for of in &mut fetched.partitions {
            let value = self.offsets.get(group_id, &fetched.topic, of.partition);
            let value = value.filter(|value| value.offset == of.offset);
            of.lag = value.and_then(|value| self.lags.of(group_id, &topic, of.partition, value, now.wall));
        }
    }

    /// Deletes offsets of topics that no member reads.
    pub fn handle_delete_offsets(&mut self, now: Moment, token: Token, request: &DeleteOffsets) {
        let result = self.delete_offsets(now, request);
        let (_, _, mut context) = self.split(now);
        context.reply(token, Response::DeleteOffsets(result));
        self.settle();
    }

    fn delete_offsets(&mut self, now: Moment, request: &DeleteOffsets) -> Result<Vec<ErrorCode>, ErrorCode> {
        let group_id = &request.group_id;
        let (groups, offsets, mut context) = self.split(now);
        let group = groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        group.check_offset_delete()?;
        let mut results = Vec::with_capacity(request.partitions.len());
        let mut records = Vec::new();
        for (topic, partition) in &request.partitions {
            if group.is_subscribed_to(topic) {
                results.push(ErrorCode::GroupSubscribedToTopic);
                continue;
            }
            results.push(ErrorCode::None);
            if offsets.get(group_id, topic, *partition).is_some()
                && let Ok(topic) = TopicName::new(topic)
            {
                records.push(tombstone(group_id, &topic, *partition));
            }
        }
        context.append_split(records);
        Ok(results)
    }

    /// Forgets the offsets of deleted topics: a later topic of the same name starts from nothing
    /// (`OffsetMetadataManager.onTopicsDeleted`). `exists` is asked for each topic with offsets; an id of
    /// zero stands for any topic of the name.
    pub fn handle_topics_changed(&mut self, now: Moment, exists: impl Fn(&TopicName, TopicId) -> bool) {
        let mut records = Vec::new();
        for (group_id, topics) in self.offsets.groups() {
            for (topic, partitions) in topics {
                let gone = partitions.iter().filter(|(_, value)| !exists(topic, value.topic_id));
                records.extend(gone.map(|(&partition, _)| tombstone(group_id, topic, partition)));
            }
        }
        let (_, _, mut context) = self.split(now);
        context.append_split(records);
        self.settle();
    }

    /// All tombstones of a group's offsets.
    pub(super) fn offset_tombstones(&self, group_id: &str) -> Vec<GroupRecord> {
        let offsets = self.offsets.group(group_id).into_iter().flatten();
        offsets
            .flat_map(|(topic, partitions)| {
                partitions.keys().map(|&partition| tombstone(group_id, topic, partition))
            })
            .collect()
    }

    /// Removes offsets that nobody has used for the retention time, and groups that have neither members nor
    /// offsets left (`GroupCoordinatorShard.cleanupGroupMetadata`).
    pub(super) fn expire_offsets(&mut self, now: Moment) {
        let (groups, offsets, mut context) = self.split(now);
        let retention_ms = context.config.offsets_retention_ms;
        let mut records = Vec::new();
        for (group_id, group) in groups.iter_mut() {
            let base = group.expiration_base();
            let mut all_expired = true;
            for (topic, partitions) in offsets.group(group_id).into_iter().flatten() {
                let is_subscribed = group.is_subscribed_to(topic.as_str());
                for (partition, value) in partitions {
                    let is_old = base.is_some_and(|base| is_expired(value, base, now.wall, retention_ms));
                    if is_subscribed || !is_old {
                        all_expired = false;
                        continue;
                    }
                    records.push(tombstone(group_id, topic, *partition));
                }
            }
            if all_expired && group.is_empty() && !group.expects_members() {
                records.extend(group.dissolve(&mut context));
            }
        }
        context.append_split(records);
        let interval = context.config.offsets_retention_check_interval;
        context.schedule(Timer::Expiration, interval);
    }
}

/// `OffsetExpirationConditionImpl.isOffsetExpired`
fn is_expired(value: &CommittedOffset, base: ExpirationBase, now: Timestamp, retention_ms: i64) -> bool {
    match (value.expire_timestamp, base) {
        (Some(expire_timestamp), _) => expire_timestamp <= now,
        (None, ExpirationBase::Commit) => retention_ms <= now.ms_since(value.commit_timestamp),
        (None, ExpirationBase::Emptied(since)) => retention_ms <= now.ms_since(since),
    }
}

fn tombstone(group_id: &str, topic: &TopicName, partition: i32) -> GroupRecord {
    GroupRecord::OffsetCommit { group_id: group_id.to_owned(), topic: topic.clone(), partition, value: None }
}

fn all_offsets(offsets: &GroupOffsets) -> Vec<FetchedTopic> {
    offsets
        .iter()
        .map(|(topic, partitions)| FetchedTopic {
            topic: topic.to_string(),
            topic_id: partitions.values().next().map_or(Uuid::ZERO, |value| value.topic_id),
            partitions: partitions
                .iter()
                .map(|(&partition, value)| fetched(partition, Some(value)))
                .collect(),
        })
        .collect()
}

fn wanted_offsets(offsets: Option<&GroupOffsets>, wanted: OffsetPartitions) -> FetchedTopic {
    let of_topic = offsets.and_then(|offsets| offsets.get(wanted.topic.as_str()));
    let is_of_topic = |value: &&CommittedOffset| {
        value.topic_id == Uuid::ZERO || wanted.topic_id == Uuid::ZERO || value.topic_id == wanted.topic_id
    };
    let partitions = wanted
        .partitions
        .into_iter()
        .map(|partition| {
            let value = of_topic.and_then(|partitions| partitions.get(&partition)).filter(is_of_topic);
            fetched(partition, value)
        })
        .collect();
    FetchedTopic { topic: wanted.topic, topic_id: wanted.topic_id, partitions }
}

fn fetched(partition: i32, value: Option<&CommittedOffset>) -> FetchedOffset {
    match value {
        Some(value) => FetchedOffset {
            partition,
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.clone(),
            lag: None,
        },
        None => FetchedOffset {
            partition,
            offset: Offset::UNKNOWN,
            leader_epoch: -1,
            metadata: String::new(),
            lag: None,
        },
    }
}
