//! Members of a consumer group that speak the classic protocol: the coordinator is their leader (KIP-848).
//!
//! Such a member learns by an error to its heartbeat that it has to join again. JoinGroup moves it one
//! step towards the target, SyncGroup tells it what it may read then. What it says it owns in JoinGroup
//! stands for what it has given up.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::conversion::{self, Downgrade, protocols_as_records};
use super::describe::PROTOCOL_TYPE;
use super::embedded::{Subscription, encode_assignment};
use super::group::ConsumerGroup;
use super::heartbeat::{Step, View, check_instance_holder};
use super::member::{Member, MemberState};
use super::records::ClassicMemberMetadata;
use super::settings::MigrationPolicy;
use crate::group::context::{BatchTooLarge, Context, Moment};
use crate::group::coordinator::GroupCoordinator;
use crate::group::events::{
    Heartbeat, JoinGroup, JoinedGroup, LeavingMember, LeftMember, Response, SyncGroup, SyncedGroup, Token,
};
use crate::group::kinds::Group;
use crate::group::timers::Timer;
use crate::types::ErrorCode;

/// What a JoinGroup comes to.
enum Joined {
    /// A step of the member.
    Step(Box<Step>),
    /// The end of the consumer group: nobody else speaks its protocol.
    Downgrade(Box<Member>, Downgrade),
}

impl GroupCoordinator {
    /// Lets a member of the classic protocol join a consumer group that has members.
    pub(in crate::group) fn join_consumer_group(
        &mut self,
        now: Moment<'_>,
        token: Token,
        request: JoinGroup,
    ) {
        let is_unknown = request.member_id.is_empty();
        let member_id = if is_unknown { self.split(now).2.new_uuid() } else { request.member_id.clone() };
        let answer = self.classic_join(now, &member_id, &request).unwrap_or_else(|error| {
            let known_id = if error == ErrorCode::MemberIdRequired { &member_id } else { &request.member_id };
            JoinedGroup::refused(known_id, error)
        });
        self.split(now).2.reply(token, Response::Join(answer));
    }

    fn classic_join(
        &mut self,
        now: Moment<'_>,
        member_id: &str,
        request: &JoinGroup,
    ) -> Result<JoinedGroup, ErrorCode> {
        let group_id = &request.group_id;
        let size_max = self.config().size_max;
        let decide =
            |group: &ConsumerGroup, view: View<'_>| group.classic_join(view, size_max, member_id, request);
        let joined = self.view_group(now, group_id, decide).expect("the caller has found the group")?;
        let failed = |_: BatchTooLarge| ErrorCode::UnknownServerError;
        let member = match joined {
            Joined::Step(step) => {
                let member = step.member.clone();
                self.perform(now, group_id, None, *step).map_err(failed)?;
                let mut context = self.split(now).2;
                context.timers.cancel(&timer(Timing::Join, group_id, member_id));
                restart_session(&mut context, group_id, &member);
                let timeout = millis(request.rebalance_timeout_ms);
                context.schedule(timer(Timing::Sync, group_id, member_id), timeout);
                member
            }
            Joined::Downgrade(member, downgrade) => {
                self.downgrade(now, group_id, downgrade).map_err(failed)?;
                *member
            }
        };
        Ok(JoinedGroup {
            error: ErrorCode::None,
            generation_id: member.epoch,
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: member.classic_protocols().first().map(|protocol| protocol.name.clone()),
            leader: String::new(),
            skip_assignment: false,
            member_id: member.id.clone(),
            members: Vec::new(),
        })
    }

    /// Tells a member of the classic protocol what it may read.
    pub(in crate::group) fn sync_consumer_group(
        &mut self,
        now: Moment<'_>,
        token: Token,
        request: &SyncGroup,
    ) {
        let decide = |group: &ConsumerGroup, view: View<'_>| {
            let member = group.classic_member(&request.member_id, request.group_instance_id.as_deref())?;
            let assignment = group.classic_sync(view, member, request)?;
            Ok((member.clone(), assignment))
        };
        let outcome =
            self.view_group(now, &request.group_id, decide).expect("the caller has found the group");
        let mut context = self.split(now).2;
        let answer = match outcome {
            Ok((member, assignment)) => {
                context.timers.cancel(&timer(Timing::Sync, &request.group_id, &member.id));
                restart_session(&mut context, &request.group_id, &member);
                SyncedGroup {
                    error: ErrorCode::None,
                    protocol_type: request.protocol_type.clone(),
                    protocol_name: request.protocol_name.clone(),
                    assignment,
                }
            }
            Err(refusal) => {
                if let ClassicRefusal::Rejoin(timeout) = refusal {
                    expect_join(&mut context, &request.group_id, &request.member_id, timeout);
                }
                SyncedGroup::refused(refusal.error())
            }
        };
        context.reply(token, Response::Sync(answer));
    }

    /// Notes that a member of the classic protocol is alive, and tells it to join again when there is
    /// news for it.
    pub(in crate::group) fn classic_heartbeat(
        &mut self,
        now: Moment<'_>,
        request: &Heartbeat,
    ) -> Result<(), ErrorCode> {
        let decide = |group: &ConsumerGroup, _: View<'_>| {
            let member = group.classic_member(&request.member_id, request.group_instance_id.as_deref())?;
            if member.epoch != request.generation_id {
                return Err(ClassicRefusal::Error(ErrorCode::IllegalGeneration));
            }
            Ok((member.clone(), group.has_news_for(member)))
        };
        let outcome =
            self.view_group(now, &request.group_id, decide).expect("the caller has found the group");
        let (member, has_news) = outcome.map_err(ClassicRefusal::error)?;
        let mut context = self.split(now).2;
        restart_session(&mut context, &request.group_id, &member);
        if !has_news {
            return Ok(());
        }
        expect_join(&mut context, &request.group_id, &member.id, member.rebalance_timeout());
        Err(ErrorCode::RebalanceInProgress)
    }

    /// Removes members of any protocol, as LeaveGroup or an administrator says.
    pub(in crate::group) fn leave_consumer_group(
        &mut self,
        now: Moment<'_>,
        group_id: &str,
        leaving: Vec<LeavingMember>,
    ) -> Vec<LeftMember> {
        let decide = |group: &ConsumerGroup, _: View<'_>| -> Vec<Result<String, ErrorCode>> {
            leaving
                .iter()
                .map(|member| group.leaving_member(member).map(|member| member.id.clone()))
                .collect()
        };
        let found = self.view_group(now, group_id, decide).expect("the caller has found the group");
        let member_ids: BTreeSet<&str> = found.iter().flatten().map(String::as_str).collect();
        self.fence(now, group_id, &member_ids);
        let left = |(member, found): (LeavingMember, Result<_, ErrorCode>)| LeftMember {
            member,
            error: found.err().unwrap_or(ErrorCode::None),
        };
        leaving.into_iter().zip(found).map(left).collect()
    }

    /// Turns a consumer group into a classic one.
    pub(super) fn downgrade(
        &mut self,
        now: Moment<'_>,
        group_id: &str,
        downgrade: Downgrade,
    ) -> Result<(), BatchTooLarge> {
        let (groups, _, mut context) = self.split(now);
        context.append(downgrade.records)?;
        if let Some(Group::Consumer(group)) = groups.get_mut(group_id) {
            group.dissolve(&mut context);
        }
        self.settle();
        let (groups, _, mut context) = self.split(now);
        let Some(Group::Classic(group)) = groups.get_mut(group_id) else {
            panic!("group {group_id} was turned into a classic group and is none");
        };
        group.take_over(&mut context, downgrade.needs_rebalance);
        self.settle();
        Ok(())
    }
}

/// Why a request of a member of the classic protocol is refused.
enum ClassicRefusal {
    Error(ErrorCode),
    /// The member has to join again, within this time.
    Rejoin(Duration),
}

impl ClassicRefusal {
    fn error(self) -> ErrorCode {
        match self {
            Self::Error(error) => error,
            Self::Rejoin(_) => ErrorCode::RebalanceInProgress,
        }
    }
}

impl From<ErrorCode> for ClassicRefusal {
    fn from(error: ErrorCode) -> Self {
        Self::Error(error)
    }
}

impl ConsumerGroup {
    /// `classicGroupJoinToConsumerGroup`
    fn classic_join(
        &self,
        view: View<'_>,
        classic_size_max: usize,
        member_id: &str,
        request: &JoinGroup,
    ) -> Result<Joined, ErrorCode> {
        if view.config.migration_policy == MigrationPolicy::Disabled {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let instance_id = request.group_instance_id.as_deref();
        self.check_size(view, member_id, instance_id).map_err(|refusal| refusal.error)?;
        if !self.supports_classic(request) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let is_unknown = request.member_id.is_empty();
        if is_unknown && instance_id.is_none() && request.requires_known_member_id {
            return Err(ErrorCode::MemberIdRequired);
        }
        let metadata = &request.protocols.first().ok_or(ErrorCode::InconsistentGroupProtocol)?.metadata;
        let subscription =
            Subscription::decode(metadata).map_err(|_| ErrorCode::InconsistentGroupProtocol)?;
        let owned = subscription.owned_partitions(view.image);

        let mut records = Vec::new();
        let holder = instance_id.and_then(|instance_id| self.static_member(instance_id));
        let member = match (instance_id, holder) {
            (None, _) => self.members.get(member_id).cloned().unwrap_or_else(|| Member::new(member_id)),
            (Some(_), None) if is_unknown => Member::new(member_id),
            (Some(_), Some(holder)) if is_unknown => self.replace(holder, member_id, &mut records),
            (Some(_), None) => return Err(ErrorCode::UnknownMemberId),
            (Some(instance_id), Some(holder)) => {
                check_instance_holder(holder, member_id, instance_id).map_err(|refusal| refusal.error)?;
                holder.clone()
            }
        };
        let updated = updated_by(&member, request, &subscription);
        let is_last = holder.is_some_and(|holder| conversion::is_last_consumer(self, view, holder));
        let step = self.advance(view, &member, updated, Some(&owned), records);
        let step = step.map_err(|refusal| refusal.error)?;
        let Some(holder) = holder.filter(|_| is_last) else { return Ok(Joined::Step(Box::new(step))) };
        // A target that was just computed is void: the members of the classic group make their own.
        let needs_rebalance = self.target_epoch < step.group_epoch;
        let downgrade = conversion::downgrade_with(
            self,
            view,
            classic_size_max,
            holder,
            &step.member,
            step.records.clone(),
            needs_rebalance,
        );
        Ok(match downgrade {
            Some(downgrade) => Joined::Downgrade(Box::new(step.member), downgrade),
            None => Joined::Step(Box::new(step)),
        })
    }

    /// Whether some protocol of the member's is one that all its likes know (`supportsClassicProtocols`).
    fn supports_classic(&self, request: &JoinGroup) -> bool {
        let is_common = |name: &str| self.census.classic_protocols.count(name) == self.census.classic_members;
        request.protocol_type == PROTOCOL_TYPE
            && request.protocols.iter().any(|protocol| is_common(&protocol.name))
    }

    /// A member of the classic protocol (`validateConsumerGroupMember`).
    fn classic_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<&Member, ClassicRefusal> {
        let member = self.member_or_instance(member_id, instance_id)?;
        // Members of the other protocol are none that this request could be about.
        if member.classic.is_some() { Ok(member) } else { Err(ErrorCode::UnknownMemberId.into()) }
    }

    fn member_or_instance(&self, member_id: &str, instance_id: Option<&str>) -> Result<&Member, ErrorCode> {
        let Some(instance_id) = instance_id else {
            return self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId);
        };
        let holder = self.static_member(instance_id).ok_or(ErrorCode::UnknownMemberId)?;
        check_instance_holder(holder, member_id, instance_id).map_err(|refusal| refusal.error)?;
        Ok(holder)
    }

    fn leaving_member(&self, leaving: &LeavingMember) -> Result<&Member, ErrorCode> {
        match leaving.group_instance_id.as_deref() {
            // An administrator may know the instance alone.
            Some(instance_id) if leaving.member_id.is_empty() => {
                self.static_member(instance_id).ok_or(ErrorCode::UnknownMemberId)
            }
            instance_id => self.member_or_instance(&leaving.member_id, instance_id),
        }
    }

    /// `classicGroupSyncToConsumerGroup`
    fn classic_sync(
        &self,
        view: View<'_>,
        member: &Member,
        request: &SyncGroup,
    ) -> Result<Bytes, ClassicRefusal> {
        if member.epoch != request.generation_id {
            return Err(ErrorCode::IllegalGeneration.into());
        }
        let protocol = member.classic_protocols().first().ok_or(ErrorCode::InconsistentGroupProtocol)?;
        let differs = |said: &Option<String>, is: &str| said.as_deref().is_some_and(|said| said != is);
        if differs(&request.protocol_type, PROTOCOL_TYPE) || differs(&request.protocol_name, &protocol.name) {
            return Err(ErrorCode::InconsistentGroupProtocol.into());
        }
        // One that has partitions to give up has joined already; what comes after it learns in its turn.
        if member.epoch < self.target_epoch && member.state != MemberState::UnrevokedPartitions {
            return Err(ClassicRefusal::Rejoin(member.rebalance_timeout()));
        }
        let metadata = Bytes::copy_from_slice(&protocol.metadata.0);
        let assignment = encode_assignment(&member.assigned.partitions(), &metadata, view.image);
        assignment.map_err(|_| ErrorCode::InconsistentGroupProtocol.into())
    }

    /// Whether the member would get anything new by joining again.
    fn has_news_for(&self, member: &Member) -> bool {
        member.epoch < self.target_epoch
            || match member.state {
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !self.waits_for_others(member),
                MemberState::Stable | MemberState::Unknown => false,
            }
    }

    /// `ConsumerGroup.waitingOnUnreleasedPartition`
    fn waits_for_others(&self, member: &Member) -> bool {
        let target = self.targets.get(&member.id);
        target.into_iter().flat_map(|target| target.iter()).any(|(topic, partition)| {
            !member.assigned.contains(topic, partition) && !self.partition_epochs.is_free(topic, partition)
        })
    }
}

/// The member with what the request says of it.
fn updated_by(member: &Member, request: &JoinGroup, subscription: &Subscription) -> Member {
    let mut updated = member.clone();
    updated.instance_id = request.group_instance_id.clone().or(updated.instance_id);
    updated.rack_id = subscription.rack_id.clone().or(updated.rack_id);
    if request.rebalance_timeout_ms != -1 {
        updated.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    updated.topic_names = subscription.topics.iter().cloned().collect();
    updated.topic_regex = String::new();
    updated.client_id.clone_from(&request.client_id);
    updated.client_host.clone_from(&request.client_host);
    updated.classic = Some(ClassicMemberMetadata {
        session_timeout_ms: request.session_timeout_ms,
        supported_protocols: protocols_as_records(&request.protocols),
    });
    updated
}

enum Timing {
    Join,
    Sync,
}

fn timer(timing: Timing, group_id: &str, member_id: &str) -> Timer {
    let (group_id, member_id) = (group_id.to_owned(), member_id.to_owned());
    match timing {
        Timing::Join => Timer::MemberJoin { group_id, member_id },
        Timing::Sync => Timer::MemberSync { group_id, member_id },
    }
}

fn millis(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

fn restart_session(context: &mut Context<'_>, group_id: &str, member: &Member) {
    let timeout_ms = member.classic.as_ref().map_or(0, |classic| classic.session_timeout_ms);
    let session = Timer::Session { group_id: group_id.to_owned(), member_id: member.id.clone() };
    context.schedule(session, millis(timeout_ms));
}

/// The member has its rebalance timeout to join, from when it was first told to.
fn expect_join(context: &mut Context<'_>, group_id: &str, member_id: &str, timeout: Duration) {
    let timer = timer(Timing::Join, group_id, member_id);
    if !context.timers.is_set(&timer) {
        context.schedule(timer, timeout);
    }
}
