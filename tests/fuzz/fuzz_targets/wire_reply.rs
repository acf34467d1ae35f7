//! What a broker answers, as the client reads it: Produce and Fetch by their own readers, the rest by the
//! guarded decoder.
//!
//! The first byte chooses the response, the second its version. Passes when no input panics, aborts or
//! allocates out of proportion (`-malloc_limit_mb`), and when no records are handed out that are not among
//! the bytes that came in.

#![no_main]

use bytes::Bytes;
use corelog::wire::api;
use corelog::wire::header::decode_response_header;
use corelog::wire::messages::{self, ApiKey};
use corelog::wire::reply::{
    FETCH_VERSION_MAX, FetchedPartition, PRODUCE_VERSION_MAX, ProducedPartition, read_fetch_reply,
    read_produce_reply,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [choice, version, frame @ ..] = data else { return };
    let row = &api::ALL[usize::from(*choice) % api::ALL.len()];
    let mut frame = Bytes::copy_from_slice(frame);
    let versions = row.max - row.min + 1;
    let mut version = row.min + i16::from(*version) % versions;
    match row.key {
        ApiKey::Produce => version = version.min(PRODUCE_VERSION_MAX),
        ApiKey::Fetch => version = version.min(FETCH_VERSION_MAX),
        _ => {}
    }
    if decode_response_header(&mut frame, row, version).is_ok() {
        decode(row.key, frame, version);
    }
});

fn decode(key: ApiKey, body: Bytes, version: i16) {
    match key {
        ApiKey::Produce => {
            let mut found = 0;
            let count = |_: ProducedPartition| found += 1;
            let _ = read_produce_reply(body.clone(), version, count);
            assert!(found <= body.len(), "{found} partitions in {} bytes", body.len());
        }
        ApiKey::Fetch => {
            let mut found = 0;
            let add = |part: FetchedPartition| found += 1 + part.records.len();
            let _ = read_fetch_reply(body.clone(), version, add);
            assert!(found <= body.len(), "{found} partitions and bytes of records in {}", body.len());
        }
        ApiKey::ListOffsets => drop(messages::decode::<messages::ListOffsetsResponse>(body, version)),
        ApiKey::Metadata => drop(messages::decode::<messages::MetadataResponse>(body, version)),
        ApiKey::FindCoordinator => drop(messages::decode::<messages::FindCoordinatorResponse>(body, version)),
        ApiKey::ApiVersions => drop(messages::decode::<messages::ApiVersionsResponse>(body, version)),
        ApiKey::CreateTopics => drop(messages::decode::<messages::CreateTopicsResponse>(body, version)),
        ApiKey::DeleteTopics => drop(messages::decode::<messages::DeleteTopicsResponse>(body, version)),
        ApiKey::InitProducerId => drop(messages::decode::<messages::InitProducerIdResponse>(body, version)),
        ApiKey::DescribeConfigs => drop(messages::decode::<messages::DescribeConfigsResponse>(body, version)),
        ApiKey::DescribeGroups => drop(messages::decode::<messages::DescribeGroupsResponse>(body, version)),
        ApiKey::ListGroups => drop(messages::decode::<messages::ListGroupsResponse>(body, version)),
        ApiKey::OffsetFetch => drop(messages::decode::<messages::OffsetFetchResponse>(body, version)),
        ApiKey::OffsetCommit => drop(messages::decode::<messages::OffsetCommitResponse>(body, version)),
        // Our client asks for nothing else.
        _ => {}
    }
}
