//! One file per group of APIs. A handler takes a decoded request and makes the response; what it needs to
//! know is in the shard.

mod alter_configs;
pub(super) mod api_versions;
mod cluster;
mod consumer_groups;
mod coordinators;
mod create_partitions;
mod delete_records;
mod describe_configs;
mod features;
mod fetch;
mod group_admin;
mod group_offsets;
mod groups;
mod leaders;
mod log_dirs;
mod metadata;
mod offsets;
mod operations;
mod produce;
mod producer_id;
mod producers;
mod quorum;
mod reassignments;
mod split;
mod topic_partitions;
mod topics;

use std::net::SocketAddr;
use std::rc::Rc;

use kafka_protocol::protocol::StrBytes;

use super::affinity::Affinity;
use super::listener::ListenerContext;
use crate::wire::api::ApiRow;

/// What a handler knows of a request besides its body.
#[derive(Debug, Clone)]
pub(super) struct RequestContext {
    /// The listener the request came in by.
    pub(super) listener: Rc<ListenerContext>,
    /// The client's address.
    pub(super) peer: SocketAddr,
    /// Which shards the connection asks.
    pub(super) affinity: Rc<Affinity>,
    /// What the client calls itself.
    pub(super) client_id: Option<StrBytes>,
    /// The API.
    pub(super) api: &'static ApiRow,
    /// The request's version.
    pub(super) api_version: i16,
    /// What the response repeats.
    pub(super) correlation_id: i32,
}

impl RequestContext {
    /// The client's host as Kafka writes it down (`InetAddress.toString`).
    fn client_host(&self) -> String {
        format!("/{}", self.peer.ip())
    }
}
