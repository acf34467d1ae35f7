//! Adding partitions to topics (`ReplicationControlManager.createPartitions`).

use std::collections::{BTreeMap, BTreeSet};

use super::create_topics::TopicsPlan;
use super::events::{
    ApiError, CreatePartitions, CreatePartitionsResult, MorePartitions, ReplicaAssignment, Response, Token,
};
use super::{Controller, RECORDS_PER_OPERATION_MAX, check_operation_size};
use crate::metadata::{MetadataRecord, TopicImage};
use crate::types::{ErrorCode, NodeId};

impl Controller {
    /// Adds partitions to topics, each topic on its own.
    pub fn handle_create_partitions(&mut self, token: Token, request: &CreatePartitions) {
        let mut records = Vec::new();
        let mut results = Vec::new();
        let mut answered = BTreeSet::new();
        let mut plan = TopicsPlan::new(&self.broker, &self.image, &mut self.prng);
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        request.topics.iter().for_each(|of| *named.entry(of.topic.as_str()).or_default() += 1);
        for more in &request.topics {
            if !answered.insert(more.topic.as_str()) {
                continue;
            }
            let result = match named[more.topic.as_str()] {
                1 => plan.plan_more_partitions(more).map(|planned| records.extend(planned)),
                _ => Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.")),
            };
            results.push(CreatePartitionsResult { topic: more.topic.clone(), result });
        }
        if let Err(error) = check_operation_size(&records) {
            records.clear();
            results.iter_mut().for_each(|result| result.result = Err(error.clone()));
        }
        if !request.validate_only {
            self.append(records);
        }
        self.reply(token, Response::CreatePartitions(results));
    }
}

impl TopicsPlan<'_> {
    /// The records of the new partitions of one topic.
    fn plan_more_partitions(&mut self, more: &MorePartitions) -> Result<Vec<MetadataRecord>, ApiError> {
        let image = self.image;
        let topic = image.topic_by_name(&more.topic).ok_or_else(|| {
            let message = "This server does not host this topic-partition.";
            ApiError::new(ErrorCode::UnknownTopicOrPartition, message)
        })?;
        let first = topic.partitions().len() as i32;
        let additional = check_increase(topic, more.count)?;
        let replication_factor = topic.partitions().first().map_or(1, |partition| partition.replicas.len());
        let partitions: Vec<Vec<NodeId>> = match &more.assignments {
            Some(assignments) => {
                check_assignment_count(additional, assignments.len())?;
                let numbered = (first..).zip(assignments);
                numbered
                    .map(|(partition, brokers)| self.check_assigned(partition, brokers, replication_factor))
                    .collect::<Result<_, _>>()?
            }
            None => {
                (0..additional).map(|_| self.stripe.place(replication_factor)).collect::<Result<_, _>>()?
            }
        };
        self.loads.continue_topic(topic);
        let placed = (first..).zip(partitions);
        Ok(placed.map(|(id, replicas)| self.partition_record(topic.id(), id, replicas).into()).collect())
    }

    fn check_assigned(
        &self,
        partition: i32,
        brokers: &[NodeId],
        replication_factor: usize,
    ) -> Result<Vec<NodeId>, ApiError> {
        let assignment = ReplicaAssignment { partition, brokers: brokers.to_vec() };
        self.check_assigned_brokers(&assignment)?;
        if brokers.len() == replication_factor {
            return Ok(assignment.brokers);
        }
        Err(ApiError::new(
            ErrorCode::InvalidReplicaAssignment,
            format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not \
                 consistent with previous partitions, which have {replication_factor} replica(s).",
                brokers.len()
            ),
        ))
    }
}

/// How many partitions come to the topic, if `count` is more than it has and not beyond all reason.
fn check_increase(topic: &TopicImage, count: i32) -> Result<i32, ApiError> {
    let current = topic.partitions().len() as i32;
    let invalid = |message| Err(ApiError::new(ErrorCode::InvalidPartitions, message));
    if count == current {
        return invalid(format!("Topic already has {current} partition(s)."));
    }
    if count < current {
        return invalid(format!(
            "The topic {} currently has {current} partition(s); {count} would not be an increase.",
            topic.name()
        ));
    }
    let additional = count - current;
    if RECORDS_PER_OPERATION_MAX < additional as usize {
        return Err(ApiError::new(
            ErrorCode::PolicyViolation,
            format!(
                "the request asks for {additional} more partitions, at most {RECORDS_PER_OPERATION_MAX} \
                 are allowed"
            ),
        ));
    }
    Ok(additional)
}

fn check_assignment_count(additional: i32, assignments: usize) -> Result<(), ApiError> {
    if usize::try_from(additional) == Ok(assignments) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::InvalidReplicaAssignment,
        format!(
            "Attempted to add {additional} additional partition(s), but only {assignments} assignment(s) \
             were specified."
        ),
    ))
}
