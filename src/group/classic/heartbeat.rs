//! Heartbeats, and what their absence means.

use super::group::{ClassicGroup, State};
use crate::group::context::{Context, Moment};
use crate::group::coordinator::GroupCoordinator;
use crate::group::events::{Heartbeat, Response, Token};
use crate::group::kinds::Group;
use crate::types::ErrorCode;

impl GroupCoordinator {
    /// Notes that a member is alive, and tells it to join again when the group rebalances.
    pub fn handle_heartbeat(&mut self, now: Moment, token: Token, request: &Heartbeat) {
        if let Some(Group::Consumer(_)) = self.groups.get(&request.group_id) {
            let outcome = self.classic_heartbeat(now, request);
            let response = Response::Heartbeat(outcome.err().unwrap_or(ErrorCode::None));
            return self.split(now).2.reply(token, response);
        }
        let (groups, _, mut context) = self.split(now);
        let outcome = match groups.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => group.heartbeat(&mut context, request),
            Some(Group::Consumer(_)) | None => Err(ErrorCode::UnknownMemberId),
        };
        context.reply(token, Response::Heartbeat(outcome.err().unwrap_or(ErrorCode::None)));
    }
}

impl ClassicGroup {
    fn heartbeat(&mut self, context: &mut Context<'_>, request: &Heartbeat) -> Result<(), ErrorCode> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.restart_session(context, &request.member_id);
        match self.state {
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// A member was silent for its session timeout, or did not use the id it was given.
    pub(in crate::group) fn handle_session_timeout(&mut self, context: &mut Context<'_>, member_id: &str) {
        if let Some(member) = self.members.get(member_id) {
            let is_waiting = member.awaiting_join.is_some() || member.awaiting_sync.is_some();
            // One that waits for us is not silent. A new one may have gone without ever knowing its id.
            if is_waiting && !member.is_new {
                return;
            }
        } else if !self.pending_members.contains(member_id) {
            return;
        }
        let was_pending = self.pending_members.contains(member_id);
        self.remove(context, member_id);
        match self.state {
            State::CompletingRebalance | State::Stable if !was_pending => self.prepare_rebalance(context),
            State::PreparingRebalance if self.has_all_members_joined() => self.complete_join(context),
            State::Empty | State::PreparingRebalance | State::CompletingRebalance | State::Stable => {}
        }
    }
}
