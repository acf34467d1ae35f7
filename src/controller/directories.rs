//! Log directories of running brokers: failures, and where replicas are.

use super::events::{ApiError, AssignDirectories, DirectoryAssignment, FailDirectories, Response, Token};
use super::leadership;
use super::{Controller, check_operation_size};
use crate::metadata::MetadataRecord;
use crate::metadata::records::{BrokerRegistrationChangeRecord, PartitionChangeRecord};
use crate::types::{ErrorCode, NodeId};

impl Controller {
    /// Takes directories of a running broker offline: others lead the partitions in them, or nobody does.
    /// A broker without any directory left is fenced.
    pub fn handle_fail_directories(&mut self, token: Token, request: &FailDirectories) {
        let response = self.check_broker_epoch(request.broker_id, request.broker_epoch);
        if response.is_ok() {
            self.fail_directories(request);
        }
        self.reply(token, Response::FailDirectories(response));
    }

    /// Notes in which directories a broker keeps replicas (`handleAssignReplicasToDirs`).
    pub fn handle_assign_directories(&mut self, token: Token, request: &AssignDirectories) {
        let response = self.assign_directories(request);
        self.reply(token, Response::AssignDirectories(response));
    }

    fn fail_directories(&mut self, request: &FailDirectories) {
        let registered = self.image.broker(request.broker_id).expect("its epoch was just checked");
        let mut broker = registered.clone();
        broker.directories.retain(|directory| !request.failed.contains(directory));
        if broker.directories == registered.directories {
            return;
        }
        let mut records = leadership::plan_offline_directories(&self.image, &broker);
        let mut change = BrokerRegistrationChangeRecord {
            broker_id: request.broker_id,
            broker_epoch: request.broker_epoch,
            ..BrokerRegistrationChangeRecord::default()
        };
        // An empty list would mean "unchanged".
        if broker.directories.is_empty() {
            change.fenced = 1;
        } else {
            change.log_dirs = broker.directories;
        }
        records.push(change.into());
        self.append_in_pieces(records);
    }

    fn assign_directories(
        &mut self,
        request: &AssignDirectories,
    ) -> Result<Vec<Result<(), ApiError>>, ApiError> {
        self.check_broker_epoch(request.broker_id, request.broker_epoch)?;
        let mut records = Vec::new();
        let mut results = Vec::new();
        for &assignment in &request.assignments {
            let planned = self.plan_assignment(request.broker_id, assignment);
            results.push(planned.map(|record| records.extend(record)));
        }
        check_operation_size(&records)?;
        self.append(records);
        Ok(results)
    }

    /// `None` when the replica is known to be there.
    fn plan_assignment(
        &self,
        broker: NodeId,
        assignment: DirectoryAssignment,
    ) -> Result<Option<MetadataRecord>, ApiError> {
        let DirectoryAssignment { topic_id, partition: partition_id, directory } = assignment;
        let topic = self.image.topic(topic_id).ok_or_else(|| {
            ApiError::new(ErrorCode::UnknownTopicId, format!("no topic has the id {topic_id}"))
        })?;
        let partition = topic.partition(partition_id).ok_or_else(|| {
            let message = format!("topic '{}' has no partition {partition_id}", topic.name());
            ApiError::new(ErrorCode::UnknownTopicOrPartition, message)
        })?;
        let position = partition.replicas.iter().position(|&replica| replica == broker).ok_or_else(|| {
            let message = format!("broker {broker} has no replica of {}-{partition_id}", topic.name());
            ApiError::new(ErrorCode::NotLeaderOrFollower, message)
        })?;
        if partition.directories[position] == directory {
            return Ok(None);
        }
        let mut directories = partition.directories.to_vec();
        directories[position] = directory;
        Ok(Some(
            PartitionChangeRecord {
                partition_id,
                topic_id,
                directories: Some(directories),
                ..PartitionChangeRecord::default()
            }
            .into(),
        ))
    }
}
