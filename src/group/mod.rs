//! The group coordinator of one `__consumer_offsets` partition: a replicated state machine that knows no
//! clock, log, task or wire.
//!
//! A [`GroupCoordinator`] decides on requests and timeouts, emits the records that make its decisions durable
//! in Kafka's own formats, and answers. An [`Output::Reply`] names the offset up to which the log must be
//! committed before it may leave: *persist before promise* holds in one place, whatever the request.
//! `replay` is the only function that changes durable state, in a running coordinator as in one that is
//! loaded from the log.
//!
//! ```text
//! handle_<request>(now, token, ..) --+                   +--> Append { first_offset, records }
//! handle_timeout(now) ---------------+--> poll_output() -+
//! handle_activate(now, end) ---------+                   +--> Reply { token, after, response }
//! handle_committed(now, end) --------+
//! ```
//!
//! # Kinds of groups
//!
//! Group ids share one namespace: every group is one entry of the coordinator's map, a
//! [`Group`](kinds::Group) of some kind. Committed offsets belong to the id, not to the kind, and are in
//! `offsets`. A new kind
//!
//! 1. adds its records to [`records::GroupRecord`], with key and value formats there, and applies them in
//!    `GroupCoordinator::replay`: records first create and fill a group, nothing else does;
//! 2. adds a variant to [`kinds::Group`] and answers there what all kinds are asked: whether it is empty, who
//!    may commit offsets, which topics it subscribes to, how it is listed, which records delete it;
//! 3. adds its requests to [`Request`] and [`Response`], and a `handle_` method in a module of its own;
//! 4. keeps its deadlines in [`timers::Timer`] and sets them anew in `activate`, once after loading.
//!
//! Methods of a kind get a [`Context`](context::Context): the time, the configuration, the timers and the
//! outbox. Records appended there are replayed when the method returns.

mod admin;
pub mod classic;
mod codec;
mod config;
pub mod consumer;
mod context;
mod coordinator;
mod events;
mod kinds;
mod lag;
mod offset_requests;
mod offsets;
mod protocol_choice;
pub mod records;
#[cfg(test)]
mod tests;
mod timers;

pub use config::GroupConfig;
pub use consumer::TopicSearch;
pub use context::Moment;
pub use coordinator::GroupCoordinator;
pub use events::{
    CommitOffsets, DeleteOffsets, DescribedGroup, DescribedMember, FetchOffsets, FetchedOffset, FetchedTopic,
    Heartbeat, JoinGroup, JoinProtocol, JoinedGroup, JoinedMember, LeaveGroup, LeavingMember, LeftMember,
    ListGroups, ListedGroup, OffsetPartitions, OffsetToCommit, Output, Request, Response, SyncGroup,
    SyncedGroup, Token,
};
pub use lag::{Lag, MeasuredLag, OffsetToMeasure};

/// The topic of the groups' state.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The partition of [`OFFSETS_TOPIC`] that holds a group, of `partitions` in all: Java's `String.hashCode`,
/// made positive as Kafka does (`GroupCoordinatorService.partitionFor`, `Utils.abs`).
pub fn partition_of(group_id: &str, partitions: i32) -> i32 {
    let hash =
        group_id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let positive = if hash == i32::MIN { 0 } else { hash.abs() };
    positive % partitions.max(1)
}
