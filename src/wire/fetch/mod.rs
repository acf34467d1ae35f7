//! Fetch, versions 4 to 18: the request, and the response as pieces between which the records stay
//! where they are.

mod request;
mod response;

pub use request::{FetchPartition, FetchRequestView, FetchTopic, ForgottenTopic, IsolationLevel};
pub use response::{
    AbortedTransaction, EpochEndOffset, FetchPartitionResponse, FetchResponse, FetchTopicResponse, SnapshotId,
};

use super::api::{self, ApiRow};
use super::messages::ApiKey;
use super::primitives::Form;

const LOG_START_OFFSET_FROM: i16 = 5;
/// KIP-227
const SESSION_FROM: i16 = 7;
const CURRENT_LEADER_EPOCH_FROM: i16 = 9;
/// KIP-392
const RACK_FROM: i16 = 11;
/// KIP-595
const LAST_FETCHED_EPOCH_FROM: i16 = 12;
/// KIP-516
const TOPIC_ID_FROM: i16 = 13;
/// KIP-903
const REPLICA_STATE_FROM: i16 = 15;
/// KIP-951
const NODE_ENDPOINTS_FROM: i16 = 16;
/// KIP-853
const REPLICA_DIRECTORY_FROM: i16 = 17;
/// KIP-1166
const HIGH_WATERMARK_FROM: i16 = 18;

fn row() -> &'static ApiRow {
    api::lookup(ApiKey::Fetch as i16).expect("Fetch is served")
}

fn form(version: i16) -> Form {
    Form { is_flexible: row().is_flexible(version) }
}
