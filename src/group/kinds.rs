//! The kinds of groups that share the namespace of group ids, and what every kind is asked.

use super::classic::ClassicGroup;
use super::consumer::ConsumerGroup;
use super::context::Context;
use super::events::{CommitOffsets, ListedGroup};
use super::records::GroupRecord;
use crate::types::{ErrorCode, Timestamp};

/// Since when an offset without a reader counts as old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpirationBase {
    /// Since its commit.
    Commit,
    /// Since the group lost its last member.
    Emptied(Timestamp),
}

/// A group of any kind.
#[derive(Debug)]
pub(super) enum Group {
    /// Members agree on a protocol and one of them assigns (JoinGroup, SyncGroup). Also the group of a
    /// consumer that only commits offsets: it has no protocol type and no members.
    Classic(ClassicGroup),
    /// The coordinator assigns, and members follow one step at a time (ConsumerGroupHeartbeat, KIP-848).
    Consumer(ConsumerGroup),
}

impl Group {
    /// Rebuilds what no record holds, after loading: sessions start anew.
    pub(super) fn activate(&mut self, context: &mut Context<'_>) {
        match self {
            Self::Classic(group) => group.activate(context),
            Self::Consumer(group) => group.activate(context),
        }
    }

    /// Whether the group may be deleted: it has no members.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
            Self::Consumer(group) => group.is_empty(),
        }
    }

    /// Whether someone was given an id and is expected to join with it.
    pub(super) fn expects_members(&self) -> bool {
        match self {
            Self::Classic(group) => group.expects_members(),
            // Members are in from their first request on.
            Self::Consumer(_) => false,
        }
    }

    /// Refuses a commit that does not come from a member of the current generation
    /// (`Group.validateOffsetCommit`). A commit that passes counts as a sign of life.
    pub(super) fn check_commit(
        &mut self,
        context: &mut Context<'_>,
        request: &CommitOffsets,
    ) -> Result<(), ErrorCode> {
        match self {
            Self::Classic(group) => group.check_commit(context, request),
            Self::Consumer(group) => group.check_commit(context.now.image, request),
        }
    }

    /// Refuses the deletion of offsets that members may depend on (`Group.validateOffsetDelete`).
    pub(super) fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        match self {
            Self::Classic(group) => group.check_offset_delete(),
            // Offsets of topics that nobody is subscribed to may go at any time.
            Self::Consumer(_) => Ok(()),
        }
    }

    /// Whether a member reads this topic, as far as the group can tell.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed_to(topic),
            Self::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// By when the group's offsets age; `None` while they do not.
    pub(super) fn expiration_base(&self) -> Option<ExpirationBase> {
        match self {
            Self::Classic(group) => group.expiration_base(),
            Self::Consumer(_) => Some(ExpirationBase::Commit),
        }
    }

    /// The group as ListGroups shows it.
    pub(super) fn listed(&self) -> ListedGroup {
        match self {
            Self::Classic(group) => group.listed(),
            Self::Consumer(group) => group.listed(),
        }
    }

    /// Ends the group's timers; returns the tombstones that delete it.
    pub(super) fn dissolve(&mut self, context: &mut Context<'_>) -> Vec<GroupRecord> {
        match self {
            Self::Classic(group) => group.dissolve(context),
            Self::Consumer(group) => group.dissolve(context),
        }
    }
}
