//! The bytes of a connection: frame, header and the body of every served API in every version.
//!
//! Passes when no input panics, aborts or allocates out of proportion (`-malloc_limit_mb`).

#![no_main]

use bytes::Bytes;
use corelog::wire::fetch::FetchRequestView;
use corelog::wire::frame::{FrameStatus, LENGTH_LEN, peek_frame};
use corelog::wire::header::decode_request_header;
use corelog::wire::messages::{self, ApiKey};
use corelog::wire::offsets;
use corelog::wire::produce::ProduceRequestView;
use libfuzzer_sys::fuzz_target;

const FRAME_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let data = Bytes::copy_from_slice(data);
    if let Ok(FrameStatus::Complete { end }) = peek_frame(&data, FRAME_BYTES_MAX) {
        decode(data.slice(LENGTH_LEN..end));
    }
    // Most inputs are the contents of a frame: the length is not worth the fuzzer's time.
    decode(data);
});

fn decode(mut frame: Bytes) {
    let Ok(header) = decode_request_header(&mut frame) else { return };
    let version = header.api_version;
    match header.api.key {
        ApiKey::Produce => drop(ProduceRequestView::decode(frame, version)),
        ApiKey::Fetch => drop(FetchRequestView::decode(frame, version)),
        ApiKey::ListOffsets => drop(messages::decode::<messages::ListOffsetsRequest>(frame, version)),
        ApiKey::Metadata => drop(messages::decode::<messages::MetadataRequest>(frame, version)),
        ApiKey::FindCoordinator => drop(messages::decode::<messages::FindCoordinatorRequest>(frame, version)),
        ApiKey::ApiVersions => drop(messages::decode::<messages::ApiVersionsRequest>(frame, version)),
        ApiKey::CreateTopics => drop(messages::decode::<messages::CreateTopicsRequest>(frame, version)),
        ApiKey::DeleteTopics => drop(messages::decode::<messages::DeleteTopicsRequest>(frame, version)),
        ApiKey::InitProducerId => drop(messages::decode::<messages::InitProducerIdRequest>(frame, version)),
        ApiKey::OffsetForLeaderEpoch => {
            drop(messages::decode::<messages::OffsetForLeaderEpochRequest>(frame, version));
        }
        ApiKey::DescribeCluster => drop(messages::decode::<messages::DescribeClusterRequest>(frame, version)),
        ApiKey::DeleteRecords => drop(messages::decode::<messages::DeleteRecordsRequest>(frame, version)),
        ApiKey::DescribeConfigs => drop(messages::decode::<messages::DescribeConfigsRequest>(frame, version)),
        ApiKey::AlterConfigs => drop(messages::decode::<messages::AlterConfigsRequest>(frame, version)),
        ApiKey::DescribeLogDirs => drop(messages::decode::<messages::DescribeLogDirsRequest>(frame, version)),
        ApiKey::CreatePartitions => {
            drop(messages::decode::<messages::CreatePartitionsRequest>(frame, version))
        }
        ApiKey::IncrementalAlterConfigs => {
            drop(messages::decode::<messages::IncrementalAlterConfigsRequest>(frame, version))
        }
        ApiKey::DescribeProducers => {
            drop(messages::decode::<messages::DescribeProducersRequest>(frame, version))
        }
        ApiKey::ListConfigResources => {
            drop(messages::decode::<messages::ListConfigResourcesRequest>(frame, version))
        }
        ApiKey::DescribeTopicPartitions => {
            drop(messages::decode::<messages::DescribeTopicPartitionsRequest>(frame, version))
        }
        ApiKey::ElectLeaders => drop(messages::decode::<messages::ElectLeadersRequest>(frame, version)),
        ApiKey::AlterPartitionReassignments => {
            drop(messages::decode::<messages::AlterPartitionReassignmentsRequest>(frame, version))
        }
        ApiKey::ListPartitionReassignments => {
            drop(messages::decode::<messages::ListPartitionReassignmentsRequest>(frame, version))
        }
        ApiKey::AlterReplicaLogDirs => {
            drop(messages::decode::<messages::AlterReplicaLogDirsRequest>(frame, version))
        }
        ApiKey::DescribeQuorum => drop(messages::decode::<messages::DescribeQuorumRequest>(frame, version)),
        ApiKey::UpdateFeatures => drop(messages::decode::<messages::UpdateFeaturesRequest>(frame, version)),
        ApiKey::UnregisterBroker => {
            drop(messages::decode::<messages::UnregisterBrokerRequest>(frame, version))
        }
        ApiKey::OffsetCommit => drop(offsets::decode_offset_commit(frame, version)),
        ApiKey::OffsetFetch => drop(offsets::decode_offset_fetch(frame, version)),
        ApiKey::JoinGroup => drop(messages::decode::<messages::JoinGroupRequest>(frame, version)),
        ApiKey::Heartbeat => drop(messages::decode::<messages::HeartbeatRequest>(frame, version)),
        ApiKey::LeaveGroup => drop(messages::decode::<messages::LeaveGroupRequest>(frame, version)),
        ApiKey::SyncGroup => drop(messages::decode::<messages::SyncGroupRequest>(frame, version)),
        ApiKey::DescribeGroups => drop(messages::decode::<messages::DescribeGroupsRequest>(frame, version)),
        ApiKey::ListGroups => drop(messages::decode::<messages::ListGroupsRequest>(frame, version)),
        ApiKey::DeleteGroups => drop(messages::decode::<messages::DeleteGroupsRequest>(frame, version)),
        ApiKey::OffsetDelete => drop(messages::decode::<messages::OffsetDeleteRequest>(frame, version)),
        ApiKey::ConsumerGroupHeartbeat => {
            drop(messages::decode::<messages::ConsumerGroupHeartbeatRequest>(frame, version))
        }
        ApiKey::ConsumerGroupDescribe => {
            drop(messages::decode::<messages::ConsumerGroupDescribeRequest>(frame, version))
        }
        other => panic!("{other:?} is served and not fuzzed"),
    }
}
