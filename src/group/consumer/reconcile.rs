//! One step of a member towards its part of the target (`CurrentAssignmentBuilder`).
//!
//! ```text
//!              must give up partitions                 has given them up
//!   Stable ------------------------------> Unrevoked ---------------------+
//!    | ^  ^                                    ^                          |
//!    | |  |  nothing to give up, all is free   |  the target has changed  |
//!    | |  +------------------------------------|--------------------------+
//!    | |                                       |                          |
//!    | |    what it waits for is free          |     others still have    |
//!    | +-------------------------------- Unreleased <---------------------+
//!    +---------------------------------------> (as after Unrevoked)
//! ```
//!
//! A member goes on to the epoch of the target when it has given up what is not its own any more, and not
//! before: its epoch tells which partitions it may commit offsets for. A partition is given to it only when
//! nobody else has it, so that no two members ever read the same one.

use super::assignment::Assignment;
use super::member::{Member, MemberState};
use super::owned::OwnedPartitions;
use super::partition_epochs::PartitionEpochs;
use super::refusal::Refusal;
use crate::types::{ErrorCode, TopicId};

/// What a step depends on besides the member.
#[derive(Debug)]
pub(super) struct Reconciliation<'a, F> {
    /// The epoch of the target.
    pub(super) target_epoch: i32,
    /// The member's part of it.
    pub(super) target: &'a Assignment,
    /// Whether the member has just changed its subscription: it must not keep what it is no longer subscribed
    /// to, although the target may be of before.
    pub(super) subscription_changed: bool,
    /// Whether the member is subscribed to a topic.
    pub(super) is_subscribed: F,
    /// What all members have.
    pub(super) partition_epochs: &'a PartitionEpochs,
    /// What the member says it reads; `None` when it did not say.
    pub(super) owned: Option<&'a Assignment>,
}

impl<F: Fn(TopicId) -> bool> Reconciliation<'_, F> {
    /// The member after the step; as it was when there is nothing to do.
    ///
    /// # Errors
    /// `FENCED_MEMBER_EPOCH` for a member in an unknown state that still reads partitions.
    pub(super) fn step(&self, member: &Member) -> Result<Member, Refusal> {
        Ok(match member.state {
            MemberState::Stable if member.epoch != self.target_epoch => self.next(member, member.epoch),
            MemberState::Stable => self.without_unsubscribed(member),
            MemberState::UnrevokedPartitions if self.reads_any(&member.pending_revocation) => {
                self.without_unsubscribed(member)
            }
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                self.next(member, member.epoch)
            }
            MemberState::Unknown if self.owned.is_some_and(Assignment::is_empty) => {
                self.next(member, self.target_epoch)
            }
            MemberState::Unknown => {
                return Err(Refusal::new(
                    ErrorCode::FencedMemberEpoch,
                    "The consumer group member is in an unknown state. The member must abandon all its \
                     partitions and rejoin.",
                ));
            }
        })
    }

    /// Whether the member still reads some of these, as far as is known.
    fn reads_any(&self, partitions: &OwnedPartitions) -> bool {
        self.owned.is_none_or(|owned| partitions.contains_any(owned))
    }

    /// Takes from the member what it is not subscribed to any more, and nothing else
    /// (`CurrentAssignmentBuilder.updateCurrentAssignment`).
    fn without_unsubscribed(&self, member: &Member) -> Member {
        let mut next = member.clone();
        if !self.subscription_changed {
            return next;
        }
        let (kept, dropped) = member.assigned.split(|topic, _| (self.is_subscribed)(topic));
        if dropped.is_empty() {
            return next;
        }
        let mut pending = member.pending_revocation.clone();
        pending.extend(dropped.iter());
        next.move_to(member.epoch);
        next.assigned = kept;
        if self.reads_any(&pending) {
            next.state = MemberState::UnrevokedPartitions;
            next.pending_revocation = pending;
        }
        next
    }

    /// `CurrentAssignmentBuilder.computeNextAssignment`
    fn next(&self, member: &Member, epoch: i32) -> Member {
        let is_target =
            |topic, partition| self.target.contains(topic, partition) && (self.is_subscribed)(topic);
        let (mut assigned, revoked) = member.assigned.split(is_target);
        let mut next = member.clone();
        if !revoked.is_empty() && self.reads_any(&revoked) {
            next.state = MemberState::UnrevokedPartitions;
            next.move_to(epoch);
            next.assigned = assigned;
            next.pending_revocation = revoked;
            return next;
        }
        let mut all_released = true;
        for (topic, partition) in self.target.iter().filter(|&(topic, _)| (self.is_subscribed)(topic)) {
            if assigned.contains(topic, partition) {
                continue;
            }
            // What the member itself has yet to give up it may take back: nobody else can have got it.
            let is_own = member.pending_revocation.contains(topic, partition);
            if is_own || self.partition_epochs.is_free(topic, partition) {
                assigned.insert(topic, partition, self.target_epoch);
            } else {
                all_released = false;
            }
        }
        next.state = if all_released { MemberState::Stable } else { MemberState::UnreleasedPartitions };
        next.move_to(self.target_epoch);
        next.assigned = assigned;
        next.pending_revocation = OwnedPartitions::default();
        next
    }
}
