//! One file per group of APIs. A handler takes a decoded request and makes the response; what it needs to
//! know is in the shard.

mod alter_configs;
pub(super) mod api_versions;
mod cluster;
mod create_partitions;
mod delete_records;
mod describe_configs;
mod fetch;
mod log_dirs;
mod metadata;
mod offsets;
mod produce;
mod producer_id;
mod producers;
mod split;
mod topic_partitions;
mod topics;

use std::rc::Rc;

use super::listener::ListenerContext;
use crate::wire::api::ApiRow;

/// What a handler knows of a request besides its body.
#[derive(Debug, Clone)]
pub(super) struct RequestContext {
    /// The listener the request came in by.
    pub(super) listener: Rc<ListenerContext>,
    /// The API.
    pub(super) api: &'static ApiRow,
    /// The request's version.
    pub(super) api_version: i16,
    /// What the response repeats.
    pub(super) correlation_id: i32,
}
