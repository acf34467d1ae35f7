//! Consumer groups in the coordinator: decisions become records, timers and answers.

use std::collections::BTreeSet;

use super::group::ConsumerGroup;
use super::heartbeat::{Step, View};
use super::leave::Leave;
use super::member::{JOIN_EPOCH, MemberState, STATIC_LEAVE_EPOCH};
use super::records::ConsumerGroupRecord;
use super::refusal::Refusal;
use super::regex::TopicSearch;
use super::requests::{ConsumerHeartbeat, DescribedConsumerGroup, MemberInstruction};
use super::settings::GroupTimes;
use super::{Assignor, conversion};
use crate::group::context::{BatchTooLarge, Context, Moment};
use crate::group::coordinator::{GROUPS_MAX, GroupCoordinator};
use crate::group::events::{Output, Response, Token};
use crate::group::kinds::Group;
use crate::group::records::GroupRecord;
use crate::group::timers::Timer;
use crate::types::{ErrorCode, TopicName};

impl GroupCoordinator {
    /// Handles a heartbeat of a member of a consumer group: it joins, stays or goes.
    pub fn handle_consumer_heartbeat(&mut self, now: Moment<'_>, token: Token, request: &ConsumerHeartbeat) {
        let result = self.consumer_heartbeat(now, request);
        let (_, _, mut context) = self.split(now);
        context.reply(token, Response::ConsumerHeartbeat(result));
    }

    /// Describes a consumer group.
    pub fn handle_describe_consumer(&mut self, now: Moment<'_>, token: Token, group_id: &str) {
        let described = self.described_consumer(now, group_id);
        let (_, _, mut context) = self.split(now);
        context.reply(token, Response::DescribeConsumer(described));
    }

    /// Takes over what a search that was asked for has found.
    pub fn handle_topics_found(&mut self, now: Moment<'_>, search: TopicSearch) {
        let group_id = search.group_id().to_owned();
        let Some(Group::Consumer(group)) = self.groups.get_mut(&group_id) else { return };
        group.is_searching = false;
        let records = self.view_group(now, &group_id, |group, view| group.take_over(view, search));
        if self.append_consumer(now, &group_id, records.unwrap_or_default()).is_err() {
            tracing::warn!(group = group_id, "the topics of the group's patterns do not fit into one batch");
        }
        self.settle();
    }

    /// Topics have changed, come or gone: the groups that are subscribed to them look at them with the next
    /// heartbeat of any member (`GroupMetadataManager.onMetadataUpdate`).
    pub fn handle_metadata_changed(&mut self, now: Moment<'_>, changed: &[TopicName], are_new: bool) {
        if are_new {
            self.topics_created_at = now.image.end_offset().0;
        }
        for group in self.groups.values_mut() {
            if let Group::Consumer(group) = group
                && changed.iter().any(|topic| group.is_subscribed_to(topic.as_str()))
            {
                group.needs_metadata_refresh = true;
            }
        }
    }

    fn consumer_heartbeat(
        &mut self,
        now: Moment<'_>,
        request: &ConsumerHeartbeat,
    ) -> Result<MemberInstruction, Refusal> {
        request.check()?;
        self.check_assignor(request)?;
        if request.is_leave() {
            return self.consumer_leave(now, request);
        }
        let member_id = match request.member_id.as_str() {
            "" => self.split(now).2.new_uuid(),
            member_id => member_id.to_owned(),
        };
        let group_id = &request.group_id;
        let upgrade = self.group_to_join(now, request)?;
        let decide = |group: &ConsumerGroup, view: View<'_>| {
            group.check_size(view, &member_id, request.instance_id.as_deref())?;
            group.heartbeat(view, &member_id, request)
        };
        let (step, instruction) = match &upgrade {
            Some(upgrade) => decide(&upgrade.group, self.view(now)),
            None => self.view_group(now, group_id, decide).expect("the group was looked up"),
        }?;
        self.perform(now, group_id, upgrade, step).map_err(|_| too_large())?;
        Ok(instruction)
    }

    /// What has to happen before a member can join: nothing when there is a consumer group already.
    fn group_to_join(
        &self,
        now: Moment<'_>,
        request: &ConsumerHeartbeat,
    ) -> Result<Option<conversion::Upgrade>, Refusal> {
        let group_id = &request.group_id;
        let joins = request.member_epoch == JOIN_EPOCH;
        let not_found = |what: String| Err(Refusal::new(ErrorCode::GroupIdNotFound, what));
        match self.groups.get(group_id) {
            Some(Group::Consumer(_)) => Ok(None),
            Some(Group::Classic(group)) if joins => {
                conversion::upgrade(group_id, group, self.view(now)).map(Some)
            }
            Some(Group::Classic(_)) => not_found(format!("Group {group_id} is not a consumer group.")),
            None if joins && GROUPS_MAX <= self.groups.len() => {
                let message = format!("The coordinator has {GROUPS_MAX} groups, more are not allowed.");
                Err(Refusal::new(ErrorCode::PolicyViolation, message))
            }
            None if joins => Ok(Some(conversion::Upgrade::from_nothing(group_id))),
            None => not_found(format!("Consumer group {group_id} not found.")),
        }
    }

    fn check_assignor(&self, request: &ConsumerHeartbeat) -> Result<(), Refusal> {
        let configured = &self.config().consumer.assignors;
        let Some(wanted) = &request.server_assignor else { return Ok(()) };
        if configured.iter().any(|assignor| assignor.name() == wanted) {
            return Ok(());
        }
        let names: Vec<_> = configured.iter().copied().map(Assignor::name).collect();
        let message =
            format!("ServerAssignor {wanted} is not supported. Supported assignors: {}.", names.join(", "));
        Err(Refusal::new(ErrorCode::UnsupportedAssignor, message))
    }

    fn consumer_leave(
        &mut self,
        now: Moment<'_>,
        request: &ConsumerHeartbeat,
    ) -> Result<MemberInstruction, Refusal> {
        let group_id = &request.group_id;
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else {
            return Err(Refusal::new(
                ErrorCode::GroupIdNotFound,
                format!("Consumer group {group_id} not found."),
            ));
        };
        match group.leave(request)? {
            Leave::ForAWhile(record) => {
                self.append_consumer(now, group_id, vec![*record]).map_err(|_| too_large())?;
                self.settle();
            }
            Leave::ForGood(member) => {
                let member_id = member.id.clone();
                self.fence(now, group_id, &BTreeSet::from([member_id.as_str()]));
            }
        }
        Ok(MemberInstruction {
            member_id: request.member_id.clone(),
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }

    fn described_consumer(&self, now: Moment<'_>, group_id: &str) -> Result<DescribedConsumerGroup, Refusal> {
        let not_found = |what: String| Err(Refusal::new(ErrorCode::GroupIdNotFound, what));
        match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => Ok(group.described(self.view(now))),
            Some(Group::Classic(_)) => not_found(format!("Group {group_id} is not a consumer group.")),
            None => not_found(format!("Group {group_id} not found.")),
        }
    }

    /// Appends what a member's step says, and sets the timers that follow from it.
    pub(super) fn perform(
        &mut self,
        now: Moment<'_>,
        group_id: &str,
        upgrade: Option<conversion::Upgrade>,
        step: Step,
    ) -> Result<(), BatchTooLarge> {
        let in_group = |record| GroupRecord::Consumer { group_id: group_id.to_owned(), record };
        let mut records = Vec::new();
        if let Some(upgrade) = &upgrade {
            records.extend(upgrade.records.iter().cloned());
        }
        records.extend(step.records.into_iter().map(in_group));
        let (groups, _, mut context) = self.split(now);
        if !records.is_empty() {
            context.append(records)?;
        }
        if let (Some(upgrade), Some(Group::Classic(classic))) = (upgrade, groups.get_mut(group_id)) {
            classic.hand_over(&mut context);
            upgrade.start_sessions(&mut context);
        }
        self.settle();

        let (groups, _, mut context) = self.split(now);
        let Some(Group::Consumer(group)) = groups.get_mut(group_id) else {
            panic!("group {group_id} was joined and is no consumer group");
        };
        if let Some(replaced) = &step.replaced {
            cancel_timers(&mut context, group_id, replaced);
        }
        if step.member.classic.is_none() {
            restart_session(&mut context, group_id, &step.member.id);
            if step.was_reconciled {
                watch_revocation(&mut context, group_id, &step.member);
            }
        }
        if step.has_refreshed_metadata {
            group.needs_metadata_refresh = false;
        }
        if let Some(regexes) = step.search {
            group.is_searching = true;
            context.outbox.push(Output::SearchTopics { group_id: group_id.to_owned(), regexes });
        }
        Ok(())
    }

    /// Removes members. When only members of the classic protocol are left, the group becomes a classic one
    /// (`consumerGroupFenceMembers`).
    pub(super) fn fence(&mut self, now: Moment<'_>, group_id: &str, member_ids: &BTreeSet<&str>) {
        if member_ids.is_empty() {
            return;
        }
        let config = self.config();
        let size_max = config.size_max;
        let downgrade = self.view_group(now, group_id, |group, view| {
            conversion::downgrade_without(group, view, size_max, member_ids)
        });
        if let Some(Some(downgrade)) = downgrade
            && self.downgrade(now, group_id, downgrade).is_ok()
        {
            return;
        }
        let records = self.view_group(now, group_id, |group, view| group.removal(view, member_ids));
        let in_group = |record| GroupRecord::Consumer { group_id: group_id.to_owned(), record };
        let (_, _, mut context) = self.split(now);
        // Removals must not fail; cut in two by a crash, the second half waits for the members' sessions
        // to end.
        context.append_split(records.unwrap_or_default().into_iter().map(in_group).collect());
        for member_id in member_ids {
            cancel_timers(&mut context, group_id, member_id);
        }
        self.settle();
    }

    /// A member was silent for its session timeout, or did not follow in time.
    pub(in crate::group) fn expire_consumer(&mut self, now: Moment<'_>, timer: &Timer) {
        let (group_id, member_id) = match timer {
            Timer::Session { group_id, member_id }
            | Timer::Revocation { group_id, member_id }
            | Timer::MemberJoin { group_id, member_id }
            | Timer::MemberSync { group_id, member_id } => (group_id, member_id),
            Timer::Join { .. } | Timer::Sync { .. } | Timer::Expiration => return,
        };
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return };
        let Some(member) = group.members.get(member_id) else { return };
        let is_void = matches!(timer, Timer::Revocation { .. })
            && (member.state != MemberState::UnrevokedPartitions || member.epoch == STATIC_LEAVE_EPOCH);
        if !is_void {
            tracing::info!(group = group_id, member = member_id, ?timer, "member removed from its group");
            self.fence(now, group_id, &BTreeSet::from([member_id.as_str()]));
        }
    }

    /// Ends a group without members; a group of another kind may take its id.
    pub(in crate::group) fn dissolve_group(&mut self, now: Moment<'_>, group_id: &str) {
        let (groups, _, mut context) = self.split(now);
        let records = groups.get_mut(group_id).map(|group| group.dissolve(&mut context));
        context.append_split(records.unwrap_or_default());
        self.settle();
    }

    /// Applies a record of a consumer group; the first creates the group, the tombstone of its epoch ends it.
    pub(in crate::group) fn replay_consumer(&mut self, group_id: String, record: ConsumerGroupRecord) {
        if let ConsumerGroupRecord::Epoch(None) = record {
            if let Some(Group::Consumer(_)) = self.groups.get(&group_id) {
                self.groups.remove(&group_id);
            }
            return;
        }
        if let Some(Group::Consumer(group)) = self.groups.get_mut(&group_id) {
            return group.replay(record);
        }
        // Tombstones begin no group, as what they are about was compacted away.
        if !record.is_tombstone() {
            let mut group = ConsumerGroup::new(&group_id);
            group.replay(record);
            self.groups.insert(group_id, Group::Consumer(group));
        }
    }

    pub(super) fn append_consumer(
        &mut self,
        now: Moment<'_>,
        group_id: &str,
        records: Vec<ConsumerGroupRecord>,
    ) -> Result<(), BatchTooLarge> {
        if records.is_empty() {
            return Ok(());
        }
        let in_group = |record| GroupRecord::Consumer { group_id: group_id.to_owned(), record };
        self.split(now).2.append(records.into_iter().map(in_group).collect())
    }

    pub(super) fn view<'a>(&'a self, now: Moment<'a>) -> View<'a> {
        View {
            config: &self.config().consumer,
            image: now.image,
            now: now.wall,
            topics_created_at: self.topics_created_at,
        }
    }

    pub(super) fn view_group<'a, T>(
        &'a self,
        now: Moment<'a>,
        group_id: &str,
        look: impl FnOnce(&ConsumerGroup, View<'a>) -> T,
    ) -> Option<T> {
        match self.groups.get(group_id)? {
            Group::Consumer(group) => Some(look(group, self.view(now))),
            Group::Classic(_) => None,
        }
    }
}

impl ConsumerGroup {
    /// Sessions of members start when the group was loaded.
    pub(in crate::group) fn activate(&mut self, context: &mut Context<'_>) {
        for member in self.members.values() {
            restart_session(context, &self.id, &member.id);
            if member.classic.is_none() {
                watch_revocation(context, &self.id, member);
            }
        }
    }

    /// Ends the group's timers; returns the tombstones that delete it.
    pub(in crate::group) fn dissolve(&mut self, context: &mut Context<'_>) -> Vec<GroupRecord> {
        for member_id in self.members.keys() {
            cancel_timers(context, &self.id, member_id);
        }
        let in_group = |record| GroupRecord::Consumer { group_id: self.id.clone(), record };
        self.dissolution(None).into_iter().map(in_group).collect()
    }
}

fn too_large() -> Refusal {
    let message = "The change of the group does not fit into one batch of the offsets topic.";
    Refusal::new(ErrorCode::UnknownServerError, message)
}

fn session_timer(group_id: &str, member_id: &str) -> Timer {
    Timer::Session { group_id: group_id.to_owned(), member_id: member_id.to_owned() }
}

fn restart_session(context: &mut Context<'_>, group_id: &str, member_id: &str) {
    let timeout = GroupTimes::new(&context.config.consumer, context.now.image, group_id).session_timeout();
    context.schedule(session_timer(group_id, member_id), timeout);
}

/// A member that must give up partitions has its rebalance timeout for it.
fn watch_revocation(context: &mut Context<'_>, group_id: &str, member: &super::member::Member) {
    let timer = Timer::Revocation { group_id: group_id.to_owned(), member_id: member.id.clone() };
    match member.state {
        MemberState::UnrevokedPartitions => context.schedule(timer, member.rebalance_timeout()),
        MemberState::Stable | MemberState::UnreleasedPartitions | MemberState::Unknown => {
            context.timers.cancel(&timer);
        }
    }
}

fn cancel_timers(context: &mut Context<'_>, group_id: &str, member_id: &str) {
    let (group_id, member_id) = (group_id.to_owned(), member_id.to_owned());
    context.timers.cancel(&Timer::Session { group_id: group_id.clone(), member_id: member_id.clone() });
    context.timers.cancel(&Timer::Revocation { group_id: group_id.clone(), member_id: member_id.clone() });
    context.timers.cancel(&Timer::MemberJoin { group_id: group_id.clone(), member_id: member_id.clone() });
    context.timers.cancel(&Timer::MemberSync { group_id, member_id });
}
