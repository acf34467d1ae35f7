//! Consumer groups: the coordinator assigns, and members follow one step at a time (KIP-848).
//!
//! ```text
//!  members, subscriptions, topics          target                     what members have
//!  ------------------------------  ---->  ----------------  ---->  -------------------------
//!  group epoch: rises with every          target epoch: of         member epoch: of the target
//!  change                                 the group epoch it       that a member has come to
//!                                         was computed for
//! ```
//!
//! Everything happens in heartbeats. One that changes something raises the group's epoch; the first for
//! which the target is older than that computes a new target ([`assignor`]); each takes its own member
//! one step towards it ([`reconcile`]). There is no barrier: members that need not change go on reading.
//!
//! [`group`] is what the records in the log add up to. [`heartbeat`], [`leave`], [`patterns`] and
//! [`classic_members`] decide, as pure functions of a group and a request; [`coordination`] turns
//! decisions into records, timers and answers. [`conversion`] is for groups that change to the classic
//! protocol or come from it.

mod assignment;
mod assignor;
mod census;
mod classic_members;
mod conversion;
mod coordination;
mod describe;
mod embedded;
mod group;
mod heartbeat;
mod leave;
mod member;
mod metadata_hash;
mod offsets;
mod owned;
mod partition_epochs;
mod patterns;
mod reconcile;
pub mod records;
mod refusal;
mod regex;
mod requests;
mod settings;
mod target;
#[cfg(test)]
mod tests;

pub use self::regex::TopicSearch;
pub use assignment::Assignment;
pub use assignor::{Assignor, GroupSpec, MemberSpec};
pub(super) use group::ConsumerGroup;
pub use refusal::Refusal;
pub use requests::{
    ConsumerHeartbeat, DescribedConsumer, DescribedConsumerGroup, DescribedTopic, MemberInstruction,
};
pub use settings::{BoundedMs, ConsumerGroupConfig, MigrationPolicy};
