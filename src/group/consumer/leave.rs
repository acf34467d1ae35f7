//! Members that go: of their own will, for a while, or because they were silent for too long.

use std::collections::BTreeSet;

use super::group::ConsumerGroup;
use super::heartbeat::{
    View, check_instance_holder, current_record, epoch_record, removal_records, unknown_instance,
};
use super::member::{Member, STATIC_LEAVE_EPOCH};
use super::metadata_hash::metadata_hash;
use super::owned::OwnedPartitions;
use super::records::ConsumerGroupRecord;
use super::refusal::Refusal;
use super::requests::ConsumerHeartbeat;

/// What a member that goes leaves behind.
#[derive(Debug)]
pub(super) enum Leave<'a> {
    /// Nothing: its partitions are free.
    ForGood(&'a Member),
    /// Its place and its partitions, until its session ends: a static member that restarts.
    ForAWhile(Box<ConsumerGroupRecord>),
}

impl ConsumerGroup {
    /// Decides on a heartbeat of a member that goes (`consumerGroupLeave`).
    pub(super) fn leave(&self, request: &ConsumerHeartbeat) -> Result<Leave<'_>, Refusal> {
        let Some(instance_id) = &request.instance_id else {
            return self.member(&request.member_id).map(Leave::ForGood);
        };
        let member = self.static_member(instance_id).ok_or_else(|| unknown_instance(instance_id))?;
        check_instance_holder(member, &request.member_id, instance_id)?;
        if request.member_epoch != STATIC_LEAVE_EPOCH {
            return Ok(Leave::ForGood(member));
        }
        // It comes back with another member id, to which its partitions will count as given at epoch 0.
        let away = Member {
            epoch: STATIC_LEAVE_EPOCH,
            assigned: OwnedPartitions::at_epoch(&member.assigned.partitions(), 0),
            pending_revocation: OwnedPartitions::default(),
            ..member.clone()
        };
        Ok(Leave::ForAWhile(Box::new(current_record(&away))))
    }

    /// Removes members, and the patterns that nobody else is subscribed to. The next heartbeat of anyone
    /// finds a new epoch and spreads what they had (`consumerGroupFenceMembers`).
    pub(super) fn removal(&self, view: View<'_>, member_ids: &BTreeSet<&str>) -> Vec<ConsumerGroupRecord> {
        let mut records = Vec::new();
        let mut census = self.census.clone();
        for member in member_ids.iter().filter_map(|&id| self.members.get(id)) {
            records.extend(removal_records(&member.id));
            census.remove(member);
        }
        for regex in self.census.regexes.names() {
            if 0 < census.regexes.count(regex) {
                continue;
            }
            records.push(ConsumerGroupRecord::RegularExpression { regex: regex.to_owned(), value: None });
            if let Some(resolved) = self.resolved.get(regex) {
                census.remove_resolved(resolved);
            }
        }
        let hash = metadata_hash(view.image, census.topics.names());
        records.push(epoch_record(self.epoch + 1, hash));
        records
    }

    /// The tombstones of the whole group, in Kafka's order (`createGroupTombstoneRecords`). With `heir`,
    /// the records before them have put it in the place of the static member that is named first.
    pub(super) fn dissolution(&self, heir: Option<(&str, &str)>) -> Vec<ConsumerGroupRecord> {
        let ids = || {
            self.members.keys().map(move |id| match heir {
                Some((replaced, heir)) if replaced == id => heir.to_owned(),
                _ => id.clone(),
            })
        };
        let current = ids().map(|member_id| ConsumerGroupRecord::Current { member_id, value: None });
        let targets = ids().map(|member_id| ConsumerGroupRecord::Target { member_id, value: None });
        let members = ids().map(|member_id| ConsumerGroupRecord::Member { member_id, value: None });
        let regexes = self.resolved.keys().cloned();
        let regexes = regexes.map(|regex| ConsumerGroupRecord::RegularExpression { regex, value: None });
        current
            .chain(targets)
            .chain([ConsumerGroupRecord::TargetEpoch(None)])
            .chain(members)
            .chain(regexes)
            .chain([ConsumerGroupRecord::PartitionMetadata(None), ConsumerGroupRecord::Epoch(None)])
            .collect()
    }
}
