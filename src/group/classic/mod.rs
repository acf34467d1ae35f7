//! Classic groups: members join, one of them assigns, all are told (`ClassicGroup`, KIP-62, KIP-345,
//! KIP-394).
//!
//! ```text
//!            first member             all joined, or their time is up
//!   Empty ----------------> PreparingRebalance ----------------------> CompletingRebalance
//!     ^                        ^    |                                      |         |
//!     |     no member joined   |    |     someone comes, goes, is silent   |         | the leader's
//!     +------------------------|----+<-------------------------------------+         | assignment is
//!                              +------------------------------------------ Stable <--+ durable
//! ```
//!
//! A generation becomes durable with its assignment, and when the last member is gone. What a generation is
//! before that lives in memory alone: a restart forgets it and its members join again, and so they do when
//! somebody comes or goes between the leader's SyncGroup and the commit of what it brought.
//!
//! An answer to JoinGroup waits for the generation to begin, one to SyncGroup for the assignment; each member
//! keeps the token of the request that waits. Every request gets exactly one answer: the token of a member
//! that goes, or that asks again, is answered first.

mod group;
mod handover;
mod heartbeat;
mod join;
mod leave;
mod member;
mod rebalance;
mod subscription;
mod sync;

pub(in crate::group) use group::ClassicGroup;
pub(in crate::group) use handover::HandedOverMember;
