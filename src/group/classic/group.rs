//! A classic group: who is in it and what they agreed on. What happens to it is in the files beside.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;

use super::member::{Member, millis};
use super::subscription::topics_of;
use crate::group::context::{BatchTooLarge, Context};
use crate::group::events::{
    CommitOffsets, DescribedGroup, JoinGroup, JoinProtocol, JoinedGroup, ListedGroup, Response, SyncedGroup,
};
use crate::group::kinds::ExpirationBase;
use crate::group::protocol_choice;
use crate::group::records::{GroupMetadataValue, GroupRecord, MemberMetadata};
use crate::group::timers::Timer;
use crate::types::{ErrorCode, Offset, Timestamp};

/// The protocol type of consumers, whose metadata the coordinator understands.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// The states of a group; the transitions are in the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// There are no members; there may be offsets.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// The members wait for their assignment.
    CompletingRebalance,
    /// Every member can have its assignment.
    Stable,
}

impl State {
    /// As Kafka spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What the group's join timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinDeadline {
    /// More members may come to a new group: wait `delay`, and as much as `remaining` after it.
    Initial {
        /// The wait under way.
        delay: Duration,
        /// What is left for further waits.
        remaining: Duration,
    },
    /// The members' rebalance timeout.
    Rebalance,
}

/// The leader's assignment, appended and not yet committed.
#[derive(Debug)]
pub(super) struct WrittenAssignment {
    /// The exclusive end of what must be committed.
    pub(super) after: Offset,
    /// By member.
    pub(super) assignments: HashMap<String, Bytes>,
}

/// A classic group.
#[derive(Debug)]
pub(in crate::group) struct ClassicGroup {
    pub(super) id: String,
    /// The last generation that was written; changed by `replay` alone.
    durable: Option<GroupMetadataValue>,
    pub(super) state: State,
    /// A group that was empty waits for more members than have come.
    pub(super) was_empty: bool,
    state_since: Option<Timestamp>,
    pub(super) generation_id: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol_name: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Members by `group.instance.id`.
    pub(super) static_members: BTreeMap<String, String>,
    /// Ids that were given out and not used yet (KIP-394).
    pub(super) pending_members: BTreeSet<String>,
    /// Members of this generation that have not asked for their assignment.
    pub(super) pending_sync: BTreeSet<String>,
    pub(super) join_deadline: JoinDeadline,
    /// What this generation gets when it is committed; the group is `CompletingRebalance` meanwhile.
    pub(super) written_assignment: Option<WrittenAssignment>,
    /// A member has come during the initial delay.
    pub(super) new_member_added: bool,
    /// The topics of a consumer group; `None` when they are not known.
    subscribed_topics: Option<BTreeSet<String>>,
}

impl ClassicGroup {
    /// A group without members.
    pub(in crate::group) fn new(id: String) -> Self {
        Self {
            id,
            durable: None,
            state: State::Empty,
            was_empty: true,
            state_since: None,
            generation_id: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            join_deadline: JoinDeadline::Rebalance,
            written_assignment: None,
            new_member_added: false,
            subscribed_topics: None,
        }
    }

    /// Takes a written generation for the durable one.
    pub(in crate::group) fn replay(&mut self, value: GroupMetadataValue) {
        self.durable = Some(value);
    }

    #[cfg(test)]
    pub(in crate::group) fn durable(&self) -> Option<&GroupMetadataValue> {
        self.durable.as_ref()
    }

    /// Goes on from the durable generation: its members are in, and their sessions start now.
    pub(in crate::group) fn activate(&mut self, context: &mut Context<'_>) {
        let Some(durable) = self.durable.clone() else { return };
        self.generation_id = durable.generation_id;
        self.protocol_type = Some(durable.protocol_type).filter(|name| !name.is_empty());
        self.state_since =
            Some(Timestamp(durable.current_state_timestamp)).filter(|at| *at != Timestamp::NONE);
        self.state = if durable.members.is_empty() { State::Empty } else { State::Stable };
        let protocol = durable.protocol_name.as_deref().unwrap_or_default();
        for member in &durable.members {
            let member = Member::loaded(member, protocol);
            if let Some(instance_id) = &member.group_instance_id {
                self.static_members.insert(instance_id.clone(), member.id.clone());
            }
            self.members.insert(member.id.clone(), member);
        }
        self.leader = durable.leader.filter(|leader| self.members.contains_key(leader));
        self.protocol_name = durable.protocol_name;
        self.update_subscribed_topics();
        let ids: Vec<_> = self.members.keys().cloned().collect();
        ids.iter().for_each(|id| self.restart_session(context, id));
        if context.config.size_max < self.members.len() {
            self.prepare_rebalance(context);
        }
    }

    /// Appends the group as it is, with these assignments, as its durable generation.
    pub(super) fn persist(
        &self,
        context: &mut Context<'_>,
        assignment_of: impl Fn(&Member) -> Bytes,
    ) -> Result<(), BatchTooLarge> {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let record =
            |member: &Member| -> MemberMetadata { member.as_record(protocol, assignment_of(member)) };
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation_id: self.generation_id,
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_since.unwrap_or(Timestamp::NONE).0,
            members: self.members.values().map(record).collect(),
        };
        context.append(vec![GroupRecord::GroupMetadata { group_id: self.id.clone(), value: Some(value) }])
    }

    pub(super) fn transition(&mut self, context: &Context<'_>, to: State) {
        let is_legal = matches!(
            (self.state, to),
            (State::PreparingRebalance, State::Empty | State::CompletingRebalance)
                | (State::Empty | State::CompletingRebalance | State::Stable, State::PreparingRebalance)
                | (State::CompletingRebalance, State::Stable)
        );
        assert!(is_legal, "group {}: {:?} does not follow {:?}", self.id, to, self.state);
        self.was_empty = self.state == State::Empty;
        self.state = to;
        self.written_assignment = None;
        self.state_since = Some(context.now.wall);
    }

    /// Adds a member, who waits for the next generation.
    pub(super) fn add(&mut self, member: Member) {
        if self.members.is_empty() {
            self.leader = None;
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.pending_members.remove(&member.id);
        if let Some(instance_id) = &member.group_instance_id {
            let earlier = self.static_members.insert(instance_id.clone(), member.id.clone());
            assert_eq!(earlier, None, "group {}: instance {instance_id} is taken", self.id);
        }
        let earlier = self.members.insert(member.id.clone(), member);
        assert!(earlier.is_none(), "group {}: a member was added twice", self.id);
    }

    /// Removes a member or the id of one to come; whatever it waits for is refused.
    pub(super) fn remove(&mut self, context: &mut Context<'_>, member_id: &str) {
        self.pending_members.remove(member_id);
        self.pending_sync.remove(member_id);
        context.timers.cancel(&self.session_timer(member_id));
        let Some(member) = self.members.remove(member_id) else { return };
        if let Some(instance_id) = &member.group_instance_id {
            self.static_members.remove(instance_id);
        }
        if self.leader.as_deref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        refuse_waiting(context, &member, ErrorCode::UnknownMemberId);
    }

    /// `ClassicGroup.validateMember`
    pub(super) fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if current != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Whether the group could take this member: the type is the group's, and some protocol of the member's
    /// is one that all members know (`ClassicGroup.supportsProtocols`).
    pub(super) fn supports(&self, request: &JoinGroup) -> bool {
        if self.state == State::Empty {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        if self.protocol_type.as_deref() != Some(&request.protocol_type) {
            return false;
        }
        let common = protocol_choice::known_to_all(self.protocol_names());
        let is_known_to_all =
            |protocol: &JoinProtocol| self.members.is_empty() || common.contains(protocol.name.as_str());
        request.protocols.iter().any(is_known_to_all)
    }

    /// The protocol of the next generation.
    pub(super) fn select_protocol(&self) -> Option<String> {
        protocol_choice::most_preferred(self.protocol_names()).map(str::to_owned)
    }

    fn protocol_names(&self) -> impl Iterator<Item = impl Iterator<Item = &str>> + Clone {
        self.members.values().map(|member| member.protocols.iter().map(|protocol| protocol.name.as_str()))
    }

    /// `ClassicGroup.computeSubscribedTopics`
    pub(super) fn update_subscribed_topics(&mut self) {
        self.subscribed_topics = self.compute_subscribed_topics();
    }

    fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(topics_of(&member.metadata(protocol))?);
        }
        Some(topics)
    }

    pub(in crate::group) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// The longest time that a member takes to join again.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        millis(self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0))
    }

    /// Whether nobody is expected any more (`ClassicGroup.hasAllMembersJoined`).
    pub(super) fn has_all_members_joined(&self) -> bool {
        self.pending_members.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(super) fn member_mut(&mut self, member_id: &str) -> &mut Member {
        self.members.get_mut(member_id).expect("the caller has checked the member")
    }

    /// The answer to a member of the current generation.
    pub(super) fn joined(&self, member_id: &str) -> JoinedGroup {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let members = if self.is_leader(member_id) {
            self.members.values().map(|member| member.as_joined(protocol)).collect()
        } else {
            Vec::new()
        };
        JoinedGroup {
            error: ErrorCode::None,
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members,
        }
    }

    pub(super) fn session_timer(&self, member_id: &str) -> Timer {
        Timer::Session { group_id: self.id.clone(), member_id: member_id.to_owned() }
    }

    /// A sign of life: the member's session starts anew.
    pub(super) fn restart_session(&self, context: &mut Context<'_>, member_id: &str) {
        let timeout = self.members[member_id].session_timeout();
        context.schedule(self.session_timer(member_id), timeout);
    }

    pub(in crate::group) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    pub(in crate::group) fn expects_members(&self) -> bool {
        !self.pending_members.is_empty()
    }

    /// `ClassicGroup.validateOffsetCommit`
    pub(in crate::group) fn check_commit(
        &mut self,
        context: &mut Context<'_>,
        request: &CommitOffsets,
    ) -> Result<(), ErrorCode> {
        if request.generation_id < 0 && self.is_empty() {
            return Ok(());
        }
        let names_member = 0 <= request.generation_id
            || !request.member_id.is_empty()
            || request.group_instance_id.is_some();
        if !names_member {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.restart_session(context, &request.member_id);
        Ok(())
    }

    pub(in crate::group) fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        if self.is_empty() || self.is_of_consumers() { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    /// `ClassicGroup.isSubscribedToTopic`: a consumer group whose topics cannot be read counts as subscribed
    /// to every topic.
    pub(in crate::group) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// `ClassicGroup.offsetExpirationCondition`
    pub(in crate::group) fn expiration_base(&self) -> Option<ExpirationBase> {
        match (&self.protocol_type, self.state) {
            (None, _) => Some(ExpirationBase::Commit),
            (Some(_), State::Empty) => {
                Some(self.state_since.map_or(ExpirationBase::Commit, ExpirationBase::Emptied))
            }
            (Some(_), State::Stable) if self.is_of_consumers() && self.subscribed_topics.is_some() => {
                Some(ExpirationBase::Commit)
            }
            (Some(_), State::Stable | State::PreparingRebalance | State::CompletingRebalance) => None,
        }
    }

    pub(in crate::group) fn listed(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state.name(),
            group_type: "classic",
        }
    }

    pub(in crate::group) fn described(&self) -> DescribedGroup {
        let protocol = self.protocol_name.as_deref().filter(|_| self.state == State::Stable);
        DescribedGroup {
            state: self.state.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_name: protocol.unwrap_or_default().to_owned(),
            members: self.members.values().map(|member| member.described(protocol)).collect(),
        }
    }

    pub(in crate::group) fn dissolve(&mut self, context: &mut Context<'_>) -> Vec<GroupRecord> {
        assert!(self.members.is_empty(), "group {} has members", self.id);
        for member_id in std::mem::take(&mut self.pending_members) {
            context.timers.cancel(&self.session_timer(&member_id));
        }
        vec![GroupRecord::GroupMetadata { group_id: self.id.clone(), value: None }]
    }
}

/// Refuses the requests of a member that is not there any more.
pub(super) fn refuse_waiting(context: &mut Context<'_>, member: &Member, error: ErrorCode) {
    if let Some(token) = member.awaiting_join {
        let member_id = if error == ErrorCode::UnknownMemberId { "" } else { &member.id };
        context.reply(token, Response::Join(JoinedGroup::refused(member_id, error)));
    }
    if let Some(token) = member.awaiting_sync {
        context.reply(token, Response::Sync(SyncedGroup::refused(error)));
    }
}
