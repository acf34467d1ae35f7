//! From a frame to a started request: header, version check, body, handler.

use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, ApiKey,
    ApiVersionsRequest, ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    DescribeProducersRequest, DescribeQuorumRequest, DescribeTopicPartitionsRequest, ElectLeadersRequest,
    FindCoordinatorRequest, HeartbeatRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest,
    JoinGroupRequest, LeaveGroupRequest, ListConfigResourcesRequest, ListGroupsRequest, ListOffsetsRequest,
    ListPartitionReassignmentsRequest, MetadataRequest, OffsetDeleteRequest, OffsetForLeaderEpochRequest,
    SyncGroupRequest, UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use kafka_protocol::protocol::Encodable;

use super::Server;
use super::connection::ConnectionContext;
use super::handlers::RequestContext;
use super::handlers::api_versions;
use super::response::{Answer, CloseReason, Frame};
use crate::wire::header::decode_request_header;
use crate::wire::messages::{decode, encode_response};
use crate::wire::offsets::{decode_offset_commit, decode_offset_fetch};
use crate::wire::{WireError, api, fetch, produce};

impl Server {
    /// The first stage of a request. When this returns, the records of a Produce have their order: a later
    /// request of the same connection cannot overtake them at any shard. Other requests do their work in the
    /// second stage, which begins while earlier ones still wait.
    pub(super) fn dispatch(
        self: &Rc<Self>,
        connection: &ConnectionContext,
        mut frame: Bytes,
    ) -> Result<Answer, CloseReason> {
        let header = match decode_request_header(&mut frame) {
            Ok(header) => header,
            Err(error) => return answer_unsupported(error),
        };
        let context = RequestContext {
            listener: Rc::clone(&connection.listener),
            peer: connection.peer,
            affinity: Rc::clone(&connection.affinity),
            client_id: header.client_id.clone(),
            api: header.api,
            api_version: header.api_version,
            correlation_id: header.correlation_id,
        };
        tracing::trace!(
            target: "server",
            peer = %connection.peer,
            client = header.client_id.as_deref().unwrap_or(""),
            api = ?header.api.key,
            version = header.api_version,
            correlation_id = header.correlation_id,
        );
        self.start(context, frame)
    }

    fn start(self: &Rc<Self>, context: RequestContext, body: Bytes) -> Result<Answer, CloseReason> {
        let version = context.api_version;
        let server = Rc::clone(self);
        Ok(match context.api.key {
            ApiKey::Produce => {
                let request = produce::ProduceRequestView::decode(body, version)?;
                self.begin_produce(context, request)
            }
            ApiKey::Fetch => {
                let request = fetch::FetchRequestView::decode(body, version)?;
                Answer::Waiting(Box::pin(server.fetch(context, request)))
            }
            ApiKey::ApiVersions => {
                // A body that this version cannot have still gets its answer: clients probe with it.
                let response = match decode::<ApiVersionsRequest>(body, version) {
                    Ok(request) => self.api_versions(version, &request),
                    Err(_) => api_versions::invalid_request(),
                };
                Answer::Now(context.encode(&response)?)
            }
            ApiKey::DescribeCluster => {
                let request = decode::<DescribeClusterRequest>(body, version)?;
                Answer::Now(context.encode(&self.describe_cluster(&context, &request))?)
            }
            ApiKey::FindCoordinator => {
                let request = decode::<FindCoordinatorRequest>(body, version)?;
                later(context.clone(), async move { server.find_coordinator(&context, request).await })
            }
            ApiKey::JoinGroup => {
                let request = decode::<JoinGroupRequest>(body, version)?;
                waiting(context.clone(), async move { server.join_group(&context, request).await })
            }
            ApiKey::SyncGroup => {
                let request = decode::<SyncGroupRequest>(body, version)?;
                waiting(context, async move { server.sync_group(version, request).await })
            }
            ApiKey::Heartbeat => {
                let request = decode::<HeartbeatRequest>(body, version)?;
                later(context, async move { server.heartbeat(request).await })
            }
            ApiKey::LeaveGroup => {
                let request = decode::<LeaveGroupRequest>(body, version)?;
                later(context, async move { server.leave_group(version, request).await })
            }
            ApiKey::OffsetCommit => {
                let request = decode_offset_commit(body, version)?;
                later(context, async move { server.offset_commit(version, request).await })
            }
            ApiKey::OffsetFetch => {
                let request = decode_offset_fetch(body, version)?;
                later(context, async move { server.offset_fetch(version, request).await })
            }
            ApiKey::OffsetDelete => {
                let request = decode::<OffsetDeleteRequest>(body, version)?;
                later(context, async move { server.offset_delete(request).await })
            }
            ApiKey::ConsumerGroupHeartbeat => {
                let request = decode::<ConsumerGroupHeartbeatRequest>(body, version)?;
                later(
                    context.clone(),
                    async move { server.consumer_group_heartbeat(&context, request).await },
                )
            }
            ApiKey::ConsumerGroupDescribe => {
                let request = decode::<ConsumerGroupDescribeRequest>(body, version)?;
                later(context, async move { server.consumer_group_describe(version, request).await })
            }
            ApiKey::ListGroups => {
                let request = decode::<ListGroupsRequest>(body, version)?;
                later(context, async move { server.list_groups(request).await })
            }
            ApiKey::DescribeGroups => {
                let request = decode::<DescribeGroupsRequest>(body, version)?;
                later(context, async move { server.describe_groups(version, request).await })
            }
            ApiKey::DeleteGroups => {
                let request = decode::<DeleteGroupsRequest>(body, version)?;
                later(context, async move { server.delete_groups(request).await })
            }
            ApiKey::Metadata => {
                let request = decode::<MetadataRequest>(body, version)?;
                later(context.clone(), async move { server.metadata(&context, request).await })
            }
            ApiKey::ListOffsets => {
                let request = decode::<ListOffsetsRequest>(body, version)?;
                later(context, async move { server.list_offsets(version, request).await })
            }
            ApiKey::OffsetForLeaderEpoch => {
                let request = decode::<OffsetForLeaderEpochRequest>(body, version)?;
                later(context, async move { server.offset_for_leader_epoch(request).await })
            }
            ApiKey::InitProducerId => {
                let request = decode::<InitProducerIdRequest>(body, version)?;
                later(context, async move { server.init_producer_id(request).await })
            }
            ApiKey::CreateTopics => {
                let request = decode::<CreateTopicsRequest>(body, version)?;
                later(context, async move { server.create_topics(request).await })
            }
            ApiKey::DeleteTopics => {
                let request = decode::<DeleteTopicsRequest>(body, version)?;
                later(context, async move { server.delete_topics(version, request).await })
            }
            _ => return self.start_admin(context, body),
        })
    }

    /// The APIs that administrators use.
    fn start_admin(self: &Rc<Self>, context: RequestContext, body: Bytes) -> Result<Answer, CloseReason> {
        let version = context.api_version;
        let server = Rc::clone(self);
        Ok(match context.api.key {
            ApiKey::CreatePartitions => {
                let request = decode::<CreatePartitionsRequest>(body, version)?;
                later(context, async move { server.create_partitions(request).await })
            }
            ApiKey::DeleteRecords => {
                let request = decode::<DeleteRecordsRequest>(body, version)?;
                later(context, async move { server.delete_records(request).await })
            }
            ApiKey::DescribeConfigs => {
                let request = decode::<DescribeConfigsRequest>(body, version)?;
                later(context, async move { server.describe_configs(&request).await })
            }
            ApiKey::AlterConfigs => {
                let request = decode::<AlterConfigsRequest>(body, version)?;
                later(context, async move { server.alter_configs(request).await })
            }
            ApiKey::IncrementalAlterConfigs => {
                let request = decode::<IncrementalAlterConfigsRequest>(body, version)?;
                later(context, async move { server.incremental_alter_configs(request).await })
            }
            ApiKey::ListConfigResources => {
                let request = decode::<ListConfigResourcesRequest>(body, version)?;
                Answer::Now(context.encode(&self.list_config_resources(&context, &request))?)
            }
            ApiKey::DescribeTopicPartitions => {
                let request = decode::<DescribeTopicPartitionsRequest>(body, version)?;
                Answer::Now(context.encode(&self.describe_topic_partitions(&request))?)
            }
            ApiKey::DescribeLogDirs => {
                let request = decode::<DescribeLogDirsRequest>(body, version)?;
                later(context, async move { server.describe_log_dirs(request).await })
            }
            ApiKey::ElectLeaders => {
                let request = decode::<ElectLeadersRequest>(body, version)?;
                Answer::Now(context.encode(&self.elect_leaders(version, request))?)
            }
            ApiKey::AlterPartitionReassignments => {
                let request = decode::<AlterPartitionReassignmentsRequest>(body, version)?;
                Answer::Now(context.encode(&self.alter_partition_reassignments(request))?)
            }
            ApiKey::ListPartitionReassignments => {
                let request = decode::<ListPartitionReassignmentsRequest>(body, version)?;
                Answer::Now(context.encode(&self.list_partition_reassignments(&request))?)
            }
            ApiKey::AlterReplicaLogDirs => {
                let request = decode::<AlterReplicaLogDirsRequest>(body, version)?;
                later(context, async move { server.alter_replica_log_dirs(request).await })
            }
            ApiKey::DescribeQuorum => {
                let request = decode::<DescribeQuorumRequest>(body, version)?;
                Answer::Now(context.encode(&self.describe_quorum(version, request))?)
            }
            ApiKey::UpdateFeatures => {
                let request = decode::<UpdateFeaturesRequest>(body, version)?;
                later(context, async move { server.update_features(version, request).await })
            }
            ApiKey::UnregisterBroker => {
                let request = decode::<UnregisterBrokerRequest>(body, version)?;
                Answer::Now(context.encode(&self.unregister_broker(&request))?)
            }
            ApiKey::DescribeProducers => {
                let request = decode::<DescribeProducersRequest>(body, version)?;
                later(context, async move { server.describe_producers(request).await })
            }
            other => {
                let api_key = other as i16;
                return Err(WireError::UnknownApi { api_key, api_version: version }.into());
            }
        })
    }
}

impl RequestContext {
    /// The response frame for a message of ours.
    pub(super) fn encode<T: Encodable>(&self, response: &T) -> Result<Frame, CloseReason> {
        match encode_response(self.api, self.api_version, self.correlation_id, response) {
            Ok(frame) => Ok(vec![frame.into()]),
            Err(error) => {
                tracing::error!(target: "server", api = ?self.api.key, version = self.api_version, %error);
                Err(CloseReason::Unencodable(error.to_string()))
            }
        }
    }
}

fn later<T: Encodable + 'static>(
    context: RequestContext,
    response: impl Future<Output = T> + 'static,
) -> Answer {
    Answer::Later(Box::pin(async move { context.encode(&response.await) }))
}

/// For requests that wait for other clients: whoever leaves meanwhile is noticed.
fn waiting<T: Encodable + 'static>(
    context: RequestContext,
    response: impl Future<Output = T> + 'static,
) -> Answer {
    Answer::Waiting(Box::pin(async move { context.encode(&response.await) }))
}

/// A version of ApiVersions above ours is answered in version 0; everything else that is not served ends
/// the connection, as in Kafka (`SocketServer.processCompletedReceives`).
fn answer_unsupported(error: WireError) -> Result<Answer, CloseReason> {
    match error {
        WireError::UnsupportedVersion { api_key, correlation_id, .. }
            if api_key == ApiKey::ApiVersions as i16 =>
        {
            let row = api::lookup(api_key).expect("ApiVersions is served");
            let response = api_versions::unsupported_version();
            let frame = encode_response(row, 0, correlation_id, &response)
                .expect("version 0 carries an error and a list of APIs");
            Ok(Answer::Now(vec![frame.into()]))
        }
        other => Err(other.into()),
    }
}

impl From<WireError> for CloseReason {
    fn from(error: WireError) -> Self {
        Self::Malformed(error.to_string())
    }
}
