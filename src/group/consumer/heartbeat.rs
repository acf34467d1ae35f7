//! A heartbeat of a member that joins or stays: what it changes and what the member is told.
//!
//! `GroupMetadataManager.consumerGroupHeartbeat`, in its order: the member and its subscription, the
//! group's epoch, the target, the member's own step towards it. Everything is decided on the state before
//! the request; the records are applied together afterwards.

use super::assignment::Assignment;
use super::assignor::Assignor;
use super::census::Census;
use super::group::{ConsumerGroup, target_record};
use super::member::{JOIN_EPOCH, Member, STATIC_LEAVE_EPOCH};
use super::metadata_hash::metadata_hash;
use super::reconcile::Reconciliation;
use super::records::{ConsumerGroupMetadataValue, ConsumerGroupRecord};
use super::refusal::Refusal;
use super::regex::check_pattern;
use super::requests::{ConsumerHeartbeat, MemberInstruction};
use super::settings::{ConsumerGroupConfig, GroupTimes};
use super::target::{self, subscribed_topics};
use crate::metadata::MetadataImage;
use crate::types::{ErrorCode, Timestamp};

/// Patterns of a group are not searched for more often (`REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const SEARCH_INTERVAL_MIN_MS: i64 = 10_000;
/// They are searched for at least so often (`group.consumer.regex.refresh.interval.ms`, which is internal).
const SEARCH_INTERVAL_MAX_MS: i64 = 600_000;

/// What a decision depends on besides the group.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) config: &'a ConsumerGroupConfig,
    pub(super) image: &'a MetadataImage,
    pub(super) now: Timestamp,
    /// The offset of the metadata that had topics no image before it had.
    pub(super) topics_created_at: i64,
}

/// What a request of a member comes to.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) records: Vec<ConsumerGroupRecord>,
    /// The member after it.
    pub(super) member: Member,
    /// Whether it has other partitions now, to read or to give up.
    pub(super) was_reconciled: bool,
    /// The group's epoch after it.
    pub(super) group_epoch: i32,
    /// The group's topics were looked at.
    pub(super) has_refreshed_metadata: bool,
    /// The member's place was another's before.
    pub(super) replaced: Option<String>,
    /// The patterns whose topics are to be searched for.
    pub(super) search: Option<Vec<String>>,
}

/// How a member's pattern has changed (`UpdateRegularExpressionStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RegexChange {
    None,
    Changed,
    /// The topics it stands for are known, so that a target can be computed.
    ChangedAndResolved,
}

/// What an update of a member's subscription comes to.
struct Subscribed {
    changed: bool,
    needs_epoch: bool,
    search: Option<Vec<String>>,
}

impl ConsumerGroup {
    /// Decides on a heartbeat of a member that joins or stays. `member_id` is that of the request, or a
    /// new one.
    pub(super) fn heartbeat(
        &self,
        view: View<'_>,
        member_id: &str,
        request: &ConsumerHeartbeat,
    ) -> Result<(Step, MemberInstruction), Refusal> {
        let mut records = Vec::new();
        let member = match &request.instance_id {
            None => self.dynamic_member(member_id, request)?,
            Some(instance_id) => self.take_instance(member_id, instance_id, request, &mut records)?,
        };
        let updated = updated_by(&member, request);
        let owned = request.owned.as_ref();
        let step = self.advance(view, &member, updated, owned, records)?;

        let times = GroupTimes::new(view.config, view.image, &self.id);
        let is_owed_all = request.member_epoch == JOIN_EPOCH || request.is_full();
        let assignment = (is_owed_all || step.member.assigned != member.assigned)
            .then(|| step.member.assigned.partitions());
        let instruction = MemberInstruction {
            member_id: step.member.id.clone(),
            member_epoch: step.member.epoch,
            heartbeat_interval_ms: times.heartbeat_interval_ms(),
            assignment,
        };
        Ok((step, instruction))
    }

    /// Refuses a newcomer when there is no place. A static member takes the place it has already.
    pub(super) fn check_size(
        &self,
        view: View<'_>,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), Refusal> {
        let has_place = instance_id.is_some_and(|instance| self.static_members.contains_key(instance))
            || self.members.contains_key(member_id);
        if has_place || self.members.len() < view.config.size_max {
            return Ok(());
        }
        let message = format!(
            "The consumer group has reached its maximum capacity of {} members.",
            view.config.size_max
        );
        Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message))
    }

    fn dynamic_member(&self, member_id: &str, request: &ConsumerHeartbeat) -> Result<Member, Refusal> {
        let member = match self.members.get(member_id) {
            None if request.member_epoch == JOIN_EPOCH => return Ok(Member::new(member_id)),
            _ => self.member(member_id)?,
        };
        check_epoch(member, request)?;
        Ok(member.clone())
    }

    /// The static member of an instance id: the one that has it, or one that takes it over
    /// (`getOrMaybeSubscribeStaticConsumerGroupMember`).
    fn take_instance(
        &self,
        member_id: &str,
        instance_id: &str,
        request: &ConsumerHeartbeat,
        records: &mut Vec<ConsumerGroupRecord>,
    ) -> Result<Member, Refusal> {
        let Some(holder) = self.static_member(instance_id) else {
            return if request.member_epoch == JOIN_EPOCH {
                Ok(self.members.get(member_id).cloned().unwrap_or_else(|| Member::new(member_id)))
            } else {
                Err(unknown_instance(instance_id))
            };
        };
        if request.member_epoch != JOIN_EPOCH {
            check_instance_holder(holder, member_id, instance_id)?;
            check_epoch(holder, request)?;
            return Ok(holder.clone());
        }
        if holder.epoch != STATIC_LEAVE_EPOCH && holder.classic.is_none() {
            let message = format!(
                "Static member {member_id} with instance id {instance_id} cannot join the group because the \
                 instance id is owned by {} member.",
                holder.id
            );
            return Err(Refusal::new(ErrorCode::UnreleasedInstanceId, message));
        }
        Ok(self.replace(holder, member_id, records))
    }

    /// Puts a member with another id in a static member's place (`replaceMember`).
    pub(super) fn replace(
        &self,
        holder: &Member,
        member_id: &str,
        records: &mut Vec<ConsumerGroupRecord>,
    ) -> Member {
        let heir = Member {
            id: member_id.to_owned(),
            epoch: JOIN_EPOCH,
            previous_epoch: JOIN_EPOCH,
            ..holder.clone()
        };
        records.extend(removal_records(&holder.id));
        records.push(subscription_record(&heir));
        records
            .push(target_record(member_id, self.targets.get(&holder.id).unwrap_or(&Assignment::default())));
        records.push(current_record(&heir));
        heir
    }

    /// What follows from a member's update, whatever protocol it speaks. `before` is the member as the
    /// group, or the records so far, have it.
    pub(super) fn advance(
        &self,
        view: View<'_>,
        before: &Member,
        updated: Member,
        owned: Option<&Assignment>,
        mut records: Vec<ConsumerGroupRecord>,
    ) -> Result<Step, Refusal> {
        let subscribed = self.update_subscription(view, before, &updated, &mut records)?;
        let has_refreshed_metadata = subscribed.needs_epoch || self.needs_metadata_refresh;
        let mut epoch = self.epoch;
        if has_refreshed_metadata {
            epoch = self.update_epoch(view, before, &updated, subscribed.needs_epoch, &mut records);
        }
        let (target_epoch, target) = self.update_target(view, before, &updated, epoch, &mut records);
        let member = self.reconcile(view, &updated, target_epoch, &target, subscribed.changed, owned)?;
        let was_reconciled = member != updated;
        if was_reconciled {
            records.push(current_record(&member));
        }
        let holder = updated.instance_id.as_deref().and_then(|instance| self.static_members.get(instance));
        let replaced = holder.filter(|&holder| *holder != updated.id).cloned();
        let search = subscribed.search;
        Ok(Step {
            records,
            member,
            was_reconciled,
            group_epoch: epoch,
            has_refreshed_metadata,
            replaced,
            search,
        })
    }

    /// Writes down what the member says of itself (`hasMemberSubscriptionChanged`,
    /// `maybeUpdateRegularExpressions`).
    fn update_subscription(
        &self,
        view: View<'_>,
        before: &Member,
        updated: &Member,
        records: &mut Vec<ConsumerGroupRecord>,
    ) -> Result<Subscribed, Refusal> {
        if updated != before {
            records.push(subscription_record(updated));
        }
        let names_changed = updated.topic_names != before.topic_names;
        let regex_change = self.update_regex(before, updated, records)?;
        Ok(Subscribed {
            changed: names_changed || regex_change != RegexChange::None,
            // With a new pattern the target has to wait for its topics.
            needs_epoch: names_changed || regex_change == RegexChange::ChangedAndResolved,
            search: self.maybe_search(view, before, updated),
        })
    }

    fn update_regex(
        &self,
        before: &Member,
        updated: &Member,
        records: &mut Vec<ConsumerGroupRecord>,
    ) -> Result<RegexChange, Refusal> {
        let (old, new) = (before.regex(), updated.regex());
        if old == new {
            return Ok(RegexChange::None);
        }
        if let Some(old) = old
            && self.census.regexes.count(old) == 1
        {
            records.push(ConsumerGroupRecord::RegularExpression { regex: old.to_owned(), value: None });
        }
        match new {
            Some(new) if self.census.regexes.count(new) == 0 => {
                let invalid = |error| Refusal::new(ErrorCode::InvalidRegularExpression, format!("{error}"));
                check_pattern(new).map_err(invalid)?;
                Ok(RegexChange::Changed)
            }
            Some(new) if !self.resolved.contains_key(new) => Ok(RegexChange::Changed),
            Some(_) | None => Ok(RegexChange::ChangedAndResolved),
        }
    }

    /// A search for the topics of all patterns together, so that they cause one rebalance and not several.
    fn maybe_search(&self, view: View<'_>, before: &Member, updated: &Member) -> Option<Vec<String>> {
        let is_new = updated.regex().is_some_and(|new| self.census.regexes.count(new) == 0);
        if self.is_searching || (!is_new && self.census.regexes.is_empty()) {
            return None;
        }
        let last = self.resolved.values().next();
        let since_last = last.map_or(i64::MAX, |last| view.now.ms_since(Timestamp(last.resolved_at)));
        if since_last <= SEARCH_INTERVAL_MIN_MS {
            return None;
        }
        let mut regexes = self.census.regexes.clone();
        before.regex().filter(|old| 0 < regexes.count(old)).into_iter().for_each(|old| regexes.remove(old));
        updated.regex().into_iter().for_each(|new| regexes.add(new));
        let has_unresolved = regexes.names().count() != self.resolved.len();
        let has_new_topics = last.map_or(0, |last| last.version) < view.topics_created_at;
        let is_due = is_new || has_unresolved || has_new_topics || SEARCH_INTERVAL_MAX_MS < since_last;
        (is_due && !regexes.is_empty()).then(|| regexes.names().map(str::to_owned).collect())
    }

    /// Looks at the group's topics, and begins a new epoch when they, or the members' wishes, have changed
    /// (`updateSubscriptionMetadata`). The epoch afterwards.
    fn update_epoch(
        &self,
        view: View<'_>,
        before: &Member,
        updated: &Member,
        needs_epoch: bool,
        records: &mut Vec<ConsumerGroupRecord>,
    ) -> i32 {
        let census = self.census_with(before, updated);
        let hash = metadata_hash(view.image, census.topics.names());
        let mut epoch = self.epoch;
        if needs_epoch || hash != self.metadata_hash {
            epoch += 1;
            records.push(epoch_record(epoch, hash));
        }
        if self.has_partition_metadata_record {
            records.push(ConsumerGroupRecord::PartitionMetadata(None));
        }
        epoch
    }

    /// The sums once the records so far are applied.
    fn census_with(&self, before: &Member, updated: &Member) -> Census {
        let mut census = self.census.clone();
        let is_counted = self.members.contains_key(&before.id)
            || before.instance_id.as_ref().is_some_and(|instance| self.static_members.contains_key(instance));
        if is_counted {
            census.remove(before);
        }
        census.add(updated);
        if let Some(old) = before.regex()
            && census.regexes.count(old) == 0
            && let Some(resolved) = self.resolved.get(old)
        {
            census.remove_resolved(resolved);
        }
        census
    }

    /// The target's epoch and the member's part of it, computed anew when it is behind the group's epoch
    /// and the last one is old enough (`maybeUpdateTargetAssignment`).
    fn update_target(
        &self,
        view: View<'_>,
        before: &Member,
        updated: &Member,
        epoch: i32,
        records: &mut Vec<ConsumerGroupRecord>,
    ) -> (i32, Assignment) {
        let times = GroupTimes::new(view.config, view.image, &self.id);
        let interval_ms = i64::from(times.assignment_interval_ms());
        let is_early = self.target_timestamp != 0
            && interval_ms != 0
            && view.now.ms_since(Timestamp(self.target_timestamp)) < interval_ms;
        if epoch <= self.target_epoch || is_early {
            return (self.target_epoch, self.target_of(updated).cloned().unwrap_or_default());
        }
        let assignor = Self::assignor(view, &self.census_with(before, updated));
        let target = target::compute(self, updated, epoch, assignor, view.image, view.now);
        records.extend(target.records);
        (epoch, target.of_member)
    }

    /// What most members ask for. When they ask for none, or for one that is not configured any more, it
    /// is the first that is.
    pub(super) fn assignor(view: View<'_>, census: &Census) -> Assignor {
        let configured = &view.config.assignors;
        let wanted = census.server_assignors.most_frequent().and_then(Assignor::from_name);
        let default = || *configured.first().expect("at least one assignor is configured");
        wanted.filter(|wanted| configured.contains(wanted)).unwrap_or_else(default)
    }

    /// The part of the target that is the member's, or its predecessor's.
    fn target_of(&self, member: &Member) -> Option<&Assignment> {
        match &member.instance_id {
            None => self.targets.get(&member.id),
            Some(instance_id) => self.targets.get(self.static_members.get(instance_id)?),
        }
    }

    /// `maybeReconcile`
    fn reconcile(
        &self,
        view: View<'_>,
        member: &Member,
        target_epoch: i32,
        target: &Assignment,
        subscription_changed: bool,
        owned: Option<&Assignment>,
    ) -> Result<Member, Refusal> {
        if !subscription_changed && member.is_reconciled_to(target_epoch) {
            return Ok(member.clone());
        }
        let topics = subscribed_topics(self, member, view.image);
        Reconciliation {
            target_epoch,
            target,
            subscription_changed,
            is_subscribed: |topic| topics.contains(&topic),
            partition_epochs: &self.partition_epochs,
            owned,
        }
        .step(member)
    }
}

/// The member with what the request says of it.
fn updated_by(member: &Member, request: &ConsumerHeartbeat) -> Member {
    let mut updated = member.clone();
    updated.instance_id = request.instance_id.clone().or(updated.instance_id);
    updated.rack_id = request.rack_id.clone().or(updated.rack_id);
    if request.rebalance_timeout_ms != -1 {
        updated.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    updated.server_assignor = request.server_assignor.clone().or(updated.server_assignor);
    if let Some(names) = &request.topic_names {
        updated.topic_names = names.iter().cloned().collect();
    }
    if let Some(regex) = &request.topic_regex {
        updated.topic_regex.clone_from(regex);
    }
    updated.client_id.clone_from(&request.client_id);
    updated.client_host.clone_from(&request.client_host);
    updated.classic = None;
    updated
}

/// Refuses a member that comes with an epoch it cannot be in. One that did not get the last answer comes
/// with the epoch before, and may, as long as it reads nothing that is not its own any more
/// (`throwIfConsumerGroupMemberEpochIsInvalid`).
fn check_epoch(member: &Member, request: &ConsumerHeartbeat) -> Result<(), Refusal> {
    let received = request.member_epoch;
    let reads_only_its_own =
        || request.owned.as_ref().is_some_and(|owned| member.assigned.contains_all(owned));
    let relation = match received.cmp(&member.epoch) {
        _ if received == JOIN_EPOCH => return Ok(()),
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less if received == member.previous_epoch && reads_only_its_own() => {
            return Ok(());
        }
        std::cmp::Ordering::Less => "smaller",
        std::cmp::Ordering::Greater => "greater",
    };
    let message = format!(
        "The consumer group member has a {relation} member epoch ({received}) than the one known by the \
         group coordinator ({}). The member must abandon all its partitions and rejoin.",
        member.epoch
    );
    Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
}

pub(super) fn unknown_instance(instance_id: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownMemberId, format!("Instance id {instance_id} is unknown."))
}

/// Refuses a member whose instance id has gone to another.
pub(super) fn check_instance_holder(
    holder: &Member,
    member_id: &str,
    instance_id: &str,
) -> Result<(), Refusal> {
    if holder.id == member_id {
        return Ok(());
    }
    let message = format!(
        "Static member {member_id} with instance id {instance_id} was fenced by member {}.",
        holder.id
    );
    Err(Refusal::new(ErrorCode::FencedInstanceId, message))
}

pub(super) fn subscription_record(member: &Member) -> ConsumerGroupRecord {
    let value = Some(member.subscription_record());
    ConsumerGroupRecord::Member { member_id: member.id.clone(), value }
}

pub(super) fn current_record(member: &Member) -> ConsumerGroupRecord {
    ConsumerGroupRecord::Current { member_id: member.id.clone(), value: Some(member.current_record()) }
}

pub(super) fn epoch_record(epoch: i32, metadata_hash: i64) -> ConsumerGroupRecord {
    ConsumerGroupRecord::Epoch(Some(ConsumerGroupMetadataValue { epoch, metadata_hash }))
}

/// The tombstones of a member.
pub(super) fn removal_records(member_id: &str) -> [ConsumerGroupRecord; 3] {
    let member_id = || member_id.to_owned();
    [
        ConsumerGroupRecord::Current { member_id: member_id(), value: None },
        ConsumerGroupRecord::Target { member_id: member_id(), value: None },
        ConsumerGroupRecord::Member { member_id: member_id(), value: None },
    ]
}
