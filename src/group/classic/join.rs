//! JoinGroup: members come, come again, and replace their earlier selves.

use super::group::{ClassicGroup, State, refuse_waiting};
use super::member::Member;
use crate::group::codec::STRING_BYTES_MAX;
use crate::group::context::{Context, Moment};
use crate::group::coordinator::{GROUPS_MAX, GroupCoordinator};
use crate::group::events::{JoinGroup, JoinedGroup, Response, Token};
use crate::group::kinds::Group;
use crate::group::records::{GroupMetadataValue, GroupRecord};
use crate::types::{ErrorCode, Prng};

/// Ids that a group gives out and that are not used yet, at most. Kafka has no such bound: whoever asks for
/// ids and never joins would fill its memory.
const PENDING_MEMBERS_MAX: usize = 10_000;

/// The length of a member id's random part and its separator.
const MEMBER_ID_SUFFIX_LEN: usize = 37;

impl GroupCoordinator {
    /// Lets a member join, in the end; the answer waits for the next generation.
    pub fn handle_join(&mut self, now: Moment, token: Token, request: JoinGroup) {
        let member_id = request.member_id.clone();
        if let Err(error) = self.check_join(&request) {
            let (_, _, mut context) = self.split(now);
            return context.reply(token, Response::Join(JoinedGroup::refused(&member_id, error)));
        }
        match self.groups.get(&request.group_id) {
            Some(Group::Consumer(group)) if !group.is_empty() => {
                return self.join_consumer_group(now, token, request);
            }
            Some(Group::Consumer(_)) => self.dissolve_group(now, &request.group_id),
            Some(Group::Classic(_)) | None => {}
        }
        if !self.groups.contains_key(&request.group_id) {
            self.create_group(now, &request.group_id);
        }
        let (groups, _, mut context) = self.split(now);
        let Some(Group::Classic(group)) = groups.get_mut(&request.group_id) else {
            panic!("group {} was found or created", request.group_id);
        };
        group.join(&mut context, token, request);
        self.settle();
    }

    fn check_join(&self, request: &JoinGroup) -> Result<(), ErrorCode> {
        let config = self.config();
        if request.group_id.is_empty() || STRING_BYTES_MAX < request.group_id.len() {
            return Err(ErrorCode::InvalidGroupId);
        }
        if !(config.session_timeout_min_ms..=config.session_timeout_max_ms)
            .contains(&request.session_timeout_ms)
        {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        let mut texts = [&request.client_host, &request.protocol_type]
            .into_iter()
            .chain(&request.group_instance_id)
            .chain(request.protocols.iter().map(|protocol| &protocol.name));
        // A record cannot hold longer ones. The instance id is also a part of the member's id.
        if texts.any(|text| STRING_BYTES_MAX - MEMBER_ID_SUFFIX_LEN < text.len()) {
            return Err(ErrorCode::InvalidRequest);
        }
        if self.groups.contains_key(&request.group_id) {
            return Ok(());
        }
        if !request.member_id.is_empty() {
            return Err(ErrorCode::UnknownMemberId);
        }
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if GROUPS_MAX <= self.groups.len() {
            return Err(ErrorCode::PolicyViolation);
        }
        Ok(())
    }

    /// As in Kafka, a group is in the log from its first member's request on.
    fn create_group(&mut self, now: Moment, group_id: &str) {
        let value =
            GroupMetadataValue { current_state_timestamp: now.wall.0, ..GroupMetadataValue::default() };
        let (_, _, mut context) = self.split(now);
        let record = GroupRecord::GroupMetadata { group_id: group_id.to_owned(), value: Some(value) };
        context.append_split(vec![record]);
        self.settle();
    }
}

impl ClassicGroup {
    fn join(&mut self, context: &mut Context<'_>, token: Token, request: JoinGroup) {
        let is_unknown = request.member_id.is_empty();
        if !self.has_room_for(context, &request.member_id) {
            self.remove(context, &request.member_id);
            return refuse(context, token, "", ErrorCode::GroupMaxSizeReached);
        }
        if !self.supports(&request) {
            return refuse(context, token, &request.member_id, ErrorCode::InconsistentGroupProtocol);
        }
        match (is_unknown, request.group_instance_id.is_some()) {
            (true, true) => self.join_new_static(context, token, request),
            (true, false) => self.join_new_dynamic(context, token, request),
            (false, _) => self.join_known(context, token, request),
        }
    }

    /// `GroupMetadataManager.acceptJoiningMember`: while members join, a place is had by whoever comes first.
    fn has_room_for(&self, context: &Context<'_>, member_id: &str) -> bool {
        let size_max = context.config.size_max;
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                let joined = self.members.values().filter(|member| member.awaiting_join.is_some()).count();
                member.is_some_and(|member| member.awaiting_join.is_some()) || joined < size_max
            }
            State::CompletingRebalance | State::Stable => member.is_some() || self.members.len() < size_max,
        }
    }

    fn join_new_dynamic(&mut self, context: &mut Context<'_>, token: Token, request: JoinGroup) {
        let member_id = new_member_id(&request.client_id, context.prng);
        if !request.requires_known_member_id {
            return self.add_joining(context, token, member_id, request);
        }
        if PENDING_MEMBERS_MAX <= self.pending_members.len() {
            return refuse(context, token, "", ErrorCode::GroupMaxSizeReached);
        }
        let timeout = super::member::millis(request.session_timeout_ms);
        context.schedule(self.session_timer(&member_id), timeout);
        refuse(context, token, &member_id, ErrorCode::MemberIdRequired);
        self.pending_members.insert(member_id);
    }

    fn join_new_static(&mut self, context: &mut Context<'_>, token: Token, request: JoinGroup) {
        let instance_id = request.group_instance_id.clone().expect("the caller has looked");
        let member_id = new_member_id(&instance_id, context.prng);
        match self.static_members.get(&instance_id).cloned() {
            Some(earlier) => self.replace_static(context, token, &earlier, member_id, request),
            None => self.add_joining(context, token, member_id, request),
        }
    }

    fn join_known(&mut self, context: &mut Context<'_>, token: Token, request: JoinGroup) {
        let member_id = request.member_id.clone();
        if self.pending_members.contains(&member_id) {
            if request.group_instance_id.is_some() {
                // Ids are handed out in advance to dynamic members alone.
                return refuse(context, token, &member_id, ErrorCode::InvalidRequest);
            }
            return self.add_joining(context, token, member_id, request);
        }
        if let Err(error) = self.check_member(&member_id, request.group_instance_id.as_deref()) {
            return refuse(context, token, &member_id, error);
        }
        let has_news = self.members[&member_id].protocols != request.protocols;
        let needs_rebalance = match self.state {
            State::PreparingRebalance => true,
            // The answer was lost on its way.
            State::CompletingRebalance => has_news,
            // A leader joins again to have the group rebalanced, a follower because it was told to.
            State::Stable => has_news || self.is_leader(&member_id),
            State::Empty => panic!("group {} is empty and has member {member_id}", self.id),
        };
        if needs_rebalance {
            self.update_member(context, Some(token), &member_id, request);
            self.rebalance_or_complete(context);
        } else {
            let mut joined = self.joined(&member_id);
            if self.state == State::Stable {
                joined.members.clear();
            }
            context.reply(token, Response::Join(joined));
        }
    }

    fn add_joining(
        &mut self,
        context: &mut Context<'_>,
        token: Token,
        member_id: String,
        request: JoinGroup,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        if self.state == State::PreparingRebalance && self.was_empty {
            self.new_member_added = true;
        }
        let mut member = Member::joining(member_id.clone(), request);
        member.awaiting_join = Some(token);
        self.add(member);
        // A client that went away while it waited is noticed after this time, not after its session timeout:
        // it cannot send heartbeats yet.
        context.schedule(self.session_timer(&member_id), super::rebalance::NEW_MEMBER_JOIN_TIMEOUT);
        self.rebalance_or_complete(context);
    }

    /// Takes up what a member says now; `token` is the request that waits for the next generation.
    pub(super) fn update_member(
        &mut self,
        context: &mut Context<'_>,
        token: Option<Token>,
        member_id: &str,
        request: JoinGroup,
    ) {
        let member = self.member_mut(member_id);
        member.protocols = request.protocols;
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        let earlier = std::mem::replace(&mut member.awaiting_join, token);
        if let Some(earlier) = earlier {
            // The client has given up on it and asked again.
            refuse(context, earlier, member_id, ErrorCode::RebalanceInProgress);
        }
    }

    /// A static member has restarted (KIP-345): it takes its earlier self's place under a new id. In a stable
    /// group whose protocol stays the same, nobody else notices.
    fn replace_static(
        &mut self,
        context: &mut Context<'_>,
        token: Token,
        earlier_id: &str,
        member_id: String,
        request: JoinGroup,
    ) {
        let previous_leader = self.leader.clone().unwrap_or_default();
        let supports_skipping = request.supports_skipping_assignment;
        self.rename_static(context, earlier_id, &member_id);
        self.restart_session(context, &member_id);
        self.update_member(context, Some(token), &member_id, request);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol_name => {
                self.member_mut(&member_id).awaiting_join = None;
                let is_stored = self.persist(context, |member| member.assignment.clone()).is_ok();
                if !is_stored {
                    self.remove(context, &member_id);
                    refuse(context, token, "", ErrorCode::UnknownServerError);
                    return self.prepare_rebalance(context);
                }
                let mut joined = self.joined(&member_id);
                if supports_skipping {
                    joined.skip_assignment = self.is_leader(&member_id);
                } else {
                    // An old client that were told it leads would assign, which nobody waits for.
                    joined.leader = previous_leader;
                    joined.members.clear();
                }
                context.reply(token, Response::Join(joined));
            }
            State::Stable => self.rebalance_or_complete(context),
            State::CompletingRebalance => self.prepare_rebalance(context),
            State::PreparingRebalance => self.maybe_complete_join(context),
            State::Empty => panic!("group {} is empty and has member {earlier_id}", self.id),
        }
    }

    /// `ClassicGroup.replaceStaticMember`: whoever still waits under the earlier id is fenced.
    fn rename_static(&mut self, context: &mut Context<'_>, earlier_id: &str, member_id: &str) {
        context.timers.cancel(&self.session_timer(earlier_id));
        let mut member = self.members.remove(earlier_id).expect("static members are members");
        refuse_waiting(context, &member, ErrorCode::FencedInstanceId);
        member.awaiting_join = None;
        member.awaiting_sync = None;
        member.is_new = false;
        let instance_id = member.group_instance_id.clone().expect("the member is static");
        self.static_members.insert(instance_id, member_id.to_owned());
        if self.is_leader(earlier_id) {
            self.leader = Some(member_id.to_owned());
        }
        if self.pending_sync.remove(earlier_id) {
            self.pending_sync.insert(member_id.to_owned());
        }
        member_id.clone_into(&mut member.id);
        self.members.insert(member_id.to_owned(), member);
    }
}

fn refuse(context: &mut Context<'_>, token: Token, member_id: &str, error: ErrorCode) {
    context.reply(token, Response::Join(JoinedGroup::refused(member_id, error)));
}

/// `ClassicGroup.generateMemberId`: the client's name and a random UUID.
fn new_member_id(prefix: &str, prng: &mut Prng) -> String {
    let mut end = prefix.len().min(STRING_BYTES_MAX - MEMBER_ID_SUFFIX_LEN);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let (high, low) = (prng.next_u64(), prng.next_u64());
    // Version 4, variant 1 (RFC 4122).
    let (high, low) = (high & !0xf000 | 0x4000, low >> 2 | 1 << 63);
    format!(
        "{}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        &prefix[..end],
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}
