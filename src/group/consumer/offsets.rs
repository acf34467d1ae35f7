//! Who may commit and fetch offsets of a consumer group.

use super::group::ConsumerGroup;
use super::member::Member;
use crate::group::events::CommitOffsets;
use crate::metadata::MetadataImage;
use crate::types::{ErrorCode, TopicId, Uuid};

impl ConsumerGroup {
    /// A member commits with the epoch it is in. With an earlier one it may for partitions that it has
    /// had since then (KIP-1251). Without members, anyone may (`ConsumerGroup.validateOffsetCommit`).
    pub(in crate::group) fn check_commit(
        &self,
        image: &MetadataImage,
        request: &CommitOffsets,
    ) -> Result<(), ErrorCode> {
        let epoch = request.generation_id;
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(&request.member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if member.classic.is_none() && !request.knows_group_not_found {
            return Err(ErrorCode::UnsupportedVersion);
        }
        if epoch == member.epoch {
            return Ok(());
        }
        let has_had = |topic: TopicId, partition: i32| {
            let assigned = member.assigned.epoch_of(topic, partition);
            let since = assigned.or_else(|| member.pending_revocation.epoch_of(topic, partition));
            since.is_some_and(|since| since <= epoch)
        };
        let id_of = |offset: &crate::group::events::OffsetToCommit| match offset.topic_id {
            Uuid::ZERO => image.topic_id(offset.topic.as_str()).unwrap_or(Uuid::ZERO),
            id => id,
        };
        let is_earlier = epoch < member.epoch;
        if is_earlier && request.offsets.iter().all(|offset| has_had(id_of(offset), offset.partition)) {
            return Ok(());
        }
        Err(stale(member))
    }

    /// A member fetches with the epoch it is in; whoever names neither member nor epoch is not checked
    /// (`ConsumerGroup.validateOffsetFetch`).
    pub(in crate::group) fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        if member_id.is_none() && epoch < 0 {
            return Ok(());
        }
        let member = self.members.get(member_id.unwrap_or_default()).ok_or(ErrorCode::UnknownMemberId)?;
        if member.epoch == epoch { Ok(()) } else { Err(stale(member)) }
    }
}

/// "Not your epoch", in the words of the member's protocol.
fn stale(member: &Member) -> ErrorCode {
    match member.classic {
        Some(_) => ErrorCode::IllegalGeneration,
        None => ErrorCode::StaleMemberEpoch,
    }
}
