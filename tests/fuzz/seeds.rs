//! Writes the corpus the fuzzer starts from: one request of every API and version, batches of every codec.
//!
//! Run in this directory, once, before `cargo fuzz run`: see the README.

use std::fs;
use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use corelog::record::builder::{BatchBuilder, BatchFields};
use corelog::record::compression::Codec;
use corelog::record::records::HeaderRef;
use corelog::types::{Offset, Timestamp, Uuid};
use corelog::wire::api::{self, ApiRow};
use corelog::wire::header::RequestHeader;
use corelog::wire::messages::{self, ApiKey, StrBytes, encode, encode_request};
use corelog::wire::offsets::TOPIC_ID_VERSION;
use corelog::wire::reply;

mod disk_files;

use disk_files::{FILES, Kind};

fn main() -> io::Result<()> {
    let corpus = Path::new("corpus");
    for dir in ["request_frame", "batch_validate", "wire_reply", "disk_formats"] {
        fs::create_dir_all(corpus.join(dir))?;
    }
    for api in api::ALL {
        for version in api.min..=api.max {
            // Without a topic, what the generated encoders lack has the bytes of the version before.
            let contents = match api.key {
                ApiKey::OffsetCommit | ApiKey::OffsetFetch if TOPIC_ID_VERSION <= version => {
                    let mut contents = request(api, TOPIC_ID_VERSION - 1).slice(4..).to_vec();
                    contents[2..4].copy_from_slice(&version.to_be_bytes());
                    contents.into()
                }
                _ => request(api, version).slice(4..),
            };
            fs::write(corpus.join("request_frame").join(format!("{:?}-v{version}", api.key)), contents)?;
        }
    }
    for (index, api) in api::ALL.iter().enumerate() {
        for version in api.min..=api.max {
            let Some(body) = reply(api.key, version) else { continue };
            // Correlation id, and the tags of a flexible header.
            let header_len = 4 + usize::from(api.response_header_version(version) == 1);
            let choice = [index as u8, (version - api.min) as u8];
            let contents = [&choice[..], &vec![0; header_len], &body].concat();
            fs::write(corpus.join("wire_reply").join(format!("{:?}-v{version}", api.key)), contents)?;
        }
    }
    for (index, file) in FILES.iter().enumerate() {
        let contents = match file.kind {
            Kind::Journal => journal(),
            Kind::Plain if file.contents.is_empty() => aborted_transaction(),
            _ => file.contents.to_vec(),
        };
        // After a crash and a clean stop, each with checksums as they are and made right.
        for flags in [0x00, 0x01, 0x42, 0x03] {
            let contents = [&[index as u8, flags][..], &contents].concat();
            let name = format!("{index:02}-{}-{flags:02x}", file.name.replace('/', "-"));
            fs::write(corpus.join("disk_formats").join(name), contents)?;
        }
    }
    for codec in Codec::ALL {
        for choice in [0x01, 0x0b, 0x0d] {
            let contents = [&[choice][..], &batch(codec)].concat();
            fs::write(corpus.join("batch_validate").join(format!("{codec}-{choice:02x}")), contents)?;
        }
    }
    Ok(())
}

fn batch(codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(BatchFields { codec, ..BatchFields::default() });
    let headers = [HeaderRef { key: b"header", value: Some(b"1") }, HeaderRef { key: b"null", value: None }];
    builder.append(Timestamp(1_700_000_000_000), Some(b"key"), Some(&[7; 200]), &headers);
    builder.append(Timestamp(1_700_000_000_001), None, None, &[]);
    builder.build()
}

fn request(api: &'static ApiRow, api_version: i16) -> Bytes {
    let client_id = Some(StrBytes::from_static_str("seed"));
    let header = RequestHeader { api, api_version, correlation_id: 1, client_id };
    let frame = match api.key {
        ApiKey::Produce => encode_request(&header, &produce(api_version)),
        ApiKey::Fetch => encode_request(&header, &fetch(api_version)),
        ApiKey::ListOffsets => encode_request(&header, &list_offsets()),
        ApiKey::Metadata => encode_request(&header, &messages::MetadataRequest::default()),
        ApiKey::FindCoordinator => encode_request(&header, &messages::FindCoordinatorRequest::default()),
        ApiKey::ApiVersions => encode_request(&header, &messages::ApiVersionsRequest::default()),
        ApiKey::CreateTopics => encode_request(&header, &create_topics()),
        ApiKey::DeleteTopics => encode_request(&header, &messages::DeleteTopicsRequest::default()),
        ApiKey::InitProducerId => encode_request(&header, &messages::InitProducerIdRequest::default()),
        ApiKey::OffsetForLeaderEpoch => {
            encode_request(&header, &messages::OffsetForLeaderEpochRequest::default())
        }
        ApiKey::DescribeCluster => encode_request(&header, &messages::DescribeClusterRequest::default()),
        ApiKey::DeleteRecords => encode_request(&header, &messages::DeleteRecordsRequest::default()),
        ApiKey::DescribeConfigs => encode_request(&header, &messages::DescribeConfigsRequest::default()),
        ApiKey::AlterConfigs => encode_request(&header, &messages::AlterConfigsRequest::default()),
        ApiKey::DescribeLogDirs => encode_request(&header, &messages::DescribeLogDirsRequest::default()),
        ApiKey::CreatePartitions => encode_request(&header, &messages::CreatePartitionsRequest::default()),
        ApiKey::IncrementalAlterConfigs => {
            encode_request(&header, &messages::IncrementalAlterConfigsRequest::default())
        }
        ApiKey::DescribeProducers => encode_request(&header, &messages::DescribeProducersRequest::default()),
        ApiKey::ListConfigResources => {
            encode_request(&header, &messages::ListConfigResourcesRequest::default())
        }
        ApiKey::DescribeTopicPartitions => {
            encode_request(&header, &messages::DescribeTopicPartitionsRequest::default())
        }
        ApiKey::ElectLeaders => encode_request(&header, &messages::ElectLeadersRequest::default()),
        ApiKey::AlterPartitionReassignments => {
            encode_request(&header, &messages::AlterPartitionReassignmentsRequest::default())
        }
        ApiKey::ListPartitionReassignments => {
            encode_request(&header, &messages::ListPartitionReassignmentsRequest::default())
        }
        ApiKey::AlterReplicaLogDirs => {
            encode_request(&header, &messages::AlterReplicaLogDirsRequest::default())
        }
        ApiKey::DescribeQuorum => encode_request(&header, &messages::DescribeQuorumRequest::default()),
        ApiKey::UpdateFeatures => encode_request(&header, &messages::UpdateFeaturesRequest::default()),
        ApiKey::UnregisterBroker => encode_request(&header, &messages::UnregisterBrokerRequest::default()),
        ApiKey::OffsetCommit => encode_request(&header, &messages::OffsetCommitRequest::default()),
        ApiKey::OffsetFetch => encode_request(&header, &messages::OffsetFetchRequest::default()),
        ApiKey::JoinGroup => encode_request(&header, &messages::JoinGroupRequest::default()),
        ApiKey::Heartbeat => encode_request(&header, &messages::HeartbeatRequest::default()),
        ApiKey::LeaveGroup => encode_request(&header, &messages::LeaveGroupRequest::default()),
        ApiKey::SyncGroup => encode_request(&header, &messages::SyncGroupRequest::default()),
        ApiKey::DescribeGroups => encode_request(&header, &messages::DescribeGroupsRequest::default()),
        ApiKey::ListGroups => encode_request(&header, &messages::ListGroupsRequest::default()),
        ApiKey::DeleteGroups => encode_request(&header, &messages::DeleteGroupsRequest::default()),
        ApiKey::OffsetDelete => encode_request(&header, &messages::OffsetDeleteRequest::default()),
        ApiKey::ConsumerGroupHeartbeat => {
            encode_request(&header, &messages::ConsumerGroupHeartbeatRequest::default())
        }
        ApiKey::ConsumerGroupDescribe => {
            encode_request(&header, &messages::ConsumerGroupDescribeRequest::default())
        }
        other => panic!("{other:?} is served and has no seed"),
    };
    frame.expect("a seed has only the fields of its version")
}

fn produce(version: i16) -> messages::ProduceRequest {
    use messages::produce_request::{PartitionProduceData, TopicProduceData};
    let partition = PartitionProduceData::default().with_records(Some(batch(Codec::None)));
    let topic = TopicProduceData::default().with_partition_data(vec![partition]);
    let topic = if version < 13 { topic.with_name(StrBytes::from_static_str("topic").into()) } else { topic };
    messages::ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

fn fetch(version: i16) -> messages::FetchRequest {
    use messages::fetch_request::{FetchPartition, FetchTopic};
    let topic = FetchTopic::default().with_partitions(vec![FetchPartition::default()]);
    let topic =
        if version < 13 { topic.with_topic(StrBytes::from_static_str("topic").into()) } else { topic };
    messages::FetchRequest::default().with_max_bytes(i32::MAX).with_topics(vec![topic])
}

fn list_offsets() -> messages::ListOffsetsRequest {
    use messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    let topic = ListOffsetsTopic::default()
        .with_name(StrBytes::from_static_str("topic").into())
        .with_partitions(vec![ListOffsetsPartition::default().with_timestamp(-1)]);
    messages::ListOffsetsRequest::default().with_topics(vec![topic])
}

fn create_topics() -> messages::CreateTopicsRequest {
    use messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
    let topic = CreatableTopic::default()
        .with_name(StrBytes::from_static_str("topic").into())
        .with_num_partitions(-1)
        .with_assignments(vec![CreatableReplicaAssignment::default().with_broker_ids(vec![1.into()])])
        .with_configs(vec![
            CreatableTopicConfig::default().with_name(StrBytes::from_static_str("retention.ms")),
        ]);
    messages::CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(i32::MAX)
}

/// A response of the kinds that the client reads.
fn reply(key: ApiKey, version: i16) -> Option<Bytes> {
    let mut out = BytesMut::new();
    let encoded = match key {
        ApiKey::Produce if version <= reply::PRODUCE_VERSION_MAX => {
            encode(&produce_reply(version), version, &mut out)
        }
        ApiKey::Fetch if version <= reply::FETCH_VERSION_MAX => encode(&fetch_reply(), version, &mut out),
        ApiKey::ApiVersions => encode(&messages::ApiVersionsResponse::default(), version, &mut out),
        ApiKey::Metadata => encode(&messages::MetadataResponse::default(), version, &mut out),
        ApiKey::ListOffsets => encode(&messages::ListOffsetsResponse::default(), version, &mut out),
        ApiKey::DescribeGroups => encode(&messages::DescribeGroupsResponse::default(), version, &mut out),
        _ => return None,
    };
    encoded.expect("a seed has only the fields of its version");
    Some(out.freeze())
}

fn produce_reply(version: i16) -> messages::ProduceResponse {
    use messages::produce_response::{
        BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
    };
    let mut failed = PartitionProduceResponse::default().with_error_code(87);
    if 8 <= version {
        failed.error_message = Some(StrBytes::from_static_str("why"));
        failed.record_errors = vec![BatchIndexAndErrorMessage::default()];
    }
    let topic = TopicProduceResponse::default()
        .with_name(StrBytes::from_static_str("topic").into())
        .with_partition_responses(vec![PartitionProduceResponse::default(), failed]);
    messages::ProduceResponse::default().with_responses(vec![topic])
}

fn fetch_reply() -> messages::FetchResponse {
    use messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
    let partition = PartitionData::default()
        .with_aborted_transactions(Some(vec![AbortedTransaction::default()]))
        .with_records(Some(batch(Codec::None)));
    let topic = FetchableTopicResponse::default()
        .with_topic(StrBytes::from_static_str("topic").into())
        .with_partitions(vec![partition, PartitionData::default()]);
    messages::FetchResponse::default().with_responses(vec![topic])
}

/// A journal file with one frame: a batch that follows the log's end. `disk_formats` makes its checksums
/// right.
fn journal() -> Vec<u8> {
    let metadata = FILES.iter().find(|file| file.name.ends_with("partition.metadata"));
    let text = std::str::from_utf8(metadata.expect("it is listed").contents).expect("a text file");
    let topic_id = text.lines().find_map(|line| line.strip_prefix("topic_id: ")).expect("a topic id");
    let topic_id: Uuid = topic_id.trim().parse().expect("an id as Kafka writes it");
    let mut builder = BatchBuilder::new(BatchFields { base_offset: Offset(450), ..BatchFields::default() });
    builder.append(Timestamp(1_700_000_000_000), Some(b"key"), Some(&[7; 200]), &[]);
    let batch = builder.build();
    let mut entry = vec![1];
    entry.extend_from_slice(&topic_id.0.to_be_bytes());
    entry.extend_from_slice(&0_i32.to_be_bytes());
    for offset in [300_i64, 450, 451] {
        entry.extend_from_slice(&offset.to_be_bytes());
    }
    entry.extend_from_slice(&(batch.len() as u32).to_be_bytes());
    entry.extend_from_slice(&batch);
    let mut file = vec![0; 2 * 4096];
    file[19] = 9;
    file[4096 + 4..4096 + 8].copy_from_slice(&(24 + entry.len() as u32).to_be_bytes());
    file[4096 + 20..4096 + 24].copy_from_slice(&1_u32.to_be_bytes());
    file[4096 + 24..4096 + 24 + entry.len()].copy_from_slice(&entry);
    file
}

/// An entry of a transaction index.
fn aborted_transaction() -> Vec<u8> {
    let mut entry = 0_i16.to_be_bytes().to_vec();
    for field in [7_i64, 150, 160, 150] {
        entry.extend_from_slice(&field.to_be_bytes());
    }
    entry
}
