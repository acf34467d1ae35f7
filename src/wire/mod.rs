//! The Kafka wire protocol: frames, headers, the API table, and zero-copy views of Produce and Fetch.
//!
//! A request travels through this module in four steps: [`frame`] finds where it ends, [`header`] says
//! which API and version it is and refuses what [`api`] does not list, and then its body is decoded: by
//! [`produce`] and [`fetch`] without copying records, by [`offsets`] and [`messages`] for every other API.
//!
//! All bytes are a stranger's. Nothing here panics on them, and no claimed length is believed before it
//! is compared with the bytes that are there. Nothing here knows what a request does.

pub mod api;
mod error;
pub mod fetch;
pub mod frame;
pub mod header;
pub mod messages;
pub mod offsets;
pub mod produce;
pub mod reply;

mod guarded;
mod primitives;
mod topic_ref;

pub use error::WireError;
pub use primitives::{ARRAY_ELEMENTS_MAX, PARTITIONS_MAX};
pub use topic_ref::{CurrentLeader, NodeEndpoint, TopicRef};
