//! SyncGroup: the leader's assignment becomes durable, and every member gets its part.

use std::collections::HashMap;

use bytes::Bytes;

use super::group::{ClassicGroup, State, WrittenAssignment};
use crate::group::context::{Context, Moment};
use crate::group::coordinator::GroupCoordinator;
use crate::group::events::{Response, SyncGroup, SyncedGroup, Token};
use crate::group::kinds::Group;
use crate::types::{ErrorCode, Offset};

impl GroupCoordinator {
    /// Gives a member its assignment, once the leader has brought it.
    pub fn handle_sync(&mut self, now: Moment, token: Token, request: SyncGroup) {
        if let Some(Group::Consumer(_)) = self.groups.get(&request.group_id) {
            return self.sync_consumer_group(now, token, &request);
        }
        let (groups, _, mut context) = self.split(now);
        match groups.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => group.sync(&mut context, token, request),
            Some(Group::Consumer(_)) | None => refuse(&mut context, token, ErrorCode::UnknownMemberId),
        }
        self.settle();
    }
}

impl ClassicGroup {
    fn sync(&mut self, context: &mut Context<'_>, token: Token, request: SyncGroup) {
        if let Err(error) = self.check_sync(&request) {
            return refuse(context, token, error);
        }
        let member_id = request.member_id;
        match self.state {
            State::Empty => refuse(context, token, ErrorCode::UnknownMemberId),
            State::PreparingRebalance => refuse(context, token, ErrorCode::RebalanceInProgress),
            State::CompletingRebalance => {
                self.end_pending_sync(context, &member_id);
                if let Some(earlier) = self.member_mut(&member_id).awaiting_sync.replace(token) {
                    // The client has given up on it and asked again.
                    refuse(context, earlier, ErrorCode::RebalanceInProgress);
                }
                if self.is_leader(&member_id) {
                    self.assign(context, request.assignments.into_iter().collect());
                }
            }
            State::Stable => {
                self.end_pending_sync(context, &member_id);
                context.reply(token, Response::Sync(self.synced(&member_id)));
            }
        }
    }

    /// `GroupMetadataManager.validateSyncGroup`
    fn check_sync(&self, request: &SyncGroup) -> Result<(), ErrorCode> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs =
            |said: &Option<String>, is: &Option<String>| said.is_some() && is.is_some() && said != is;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// Writes the generation with its assignments. Members without one get an empty one.
    fn assign(&mut self, context: &mut Context<'_>, assignments: HashMap<String, Bytes>) {
        let assignment_of = |member_id: &str| assignments.get(member_id).cloned().unwrap_or_default();
        if self.persist(context, |member| assignment_of(&member.id)).is_err() {
            // `appendGroupMetadataErrorToResponseError`: no configuration of the clients would help.
            self.refuse_syncs(context, ErrorCode::UnknownServerError);
            return self.prepare_rebalance(context);
        }
        let after = context.await_commit(&self.id);
        self.written_assignment = Some(WrittenAssignment { after, assignments });
    }

    /// Hands out an assignment that is committed (`GroupMetadataManager.classicGroupSyncToClassicGroup`). A
    /// member that came or went since has ended the generation and nobody gets it: the others join again with
    /// nothing to give up first.
    pub(in crate::group) fn handle_committed(&mut self, context: &mut Context<'_>, end: Offset) {
        // The leader may have brought another one since, which is what the log ends with.
        let committed = self.written_assignment.take_if(|written| written.after <= end);
        let Some(WrittenAssignment { after, mut assignments }) = committed else { return };
        self.transition(context, State::Stable);
        let member_ids: Vec<_> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let member = self.member_mut(&member_id);
            member.assignment = assignments.remove(&member_id).unwrap_or_default();
            if let Some(token) = member.awaiting_sync.take() {
                self.restart_session(context, &member_id);
                context.reply_after(after, token, Response::Sync(self.synced(&member_id)));
            }
        }
    }

    fn synced(&self, member_id: &str) -> SyncedGroup {
        SyncedGroup {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self.members[member_id].assignment.clone(),
        }
    }

    fn end_pending_sync(&mut self, context: &mut Context<'_>, member_id: &str) {
        self.pending_sync.remove(member_id);
        if self.pending_sync.is_empty() {
            context.timers.cancel(&self.sync_timer());
        }
    }
}

fn refuse(context: &mut Context<'_>, token: Token, error: ErrorCode) {
    context.reply(token, Response::Sync(SyncedGroup::refused(error)));
}
