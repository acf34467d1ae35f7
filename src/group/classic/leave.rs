//! LeaveGroup: members say good-bye, or an administrator does it for them.

use super::group::{ClassicGroup, State};
use crate::group::context::{Context, Moment};
use crate::group::coordinator::GroupCoordinator;
use crate::group::events::{LeaveGroup, LeavingMember, LeftMember, Response, Token};
use crate::group::kinds::Group;
use crate::types::ErrorCode;

impl GroupCoordinator {
    /// Removes members, each on its own, and rebalances the rest.
    pub fn handle_leave(&mut self, now: Moment, token: Token, request: LeaveGroup) {
        if let Some(Group::Consumer(_)) = self.groups.get(&request.group_id) {
            let left = self.leave_consumer_group(now, &request.group_id, request.members);
            return self.split(now).2.reply(token, Response::Leave(Ok(left)));
        }
        let (groups, _, mut context) = self.split(now);
        let left = match groups.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => group.leave(&mut context, request.members),
            Some(Group::Consumer(_)) | None => {
                let unknown = |member| LeftMember { member, error: ErrorCode::UnknownMemberId };
                request.members.into_iter().map(unknown).collect()
            }
        };
        context.reply(token, Response::Leave(Ok(left)));
        self.settle();
    }
}

impl ClassicGroup {
    fn leave(&mut self, context: &mut Context<'_>, members: Vec<LeavingMember>) -> Vec<LeftMember> {
        let mut left = Vec::with_capacity(members.len());
        for member in members {
            let error = self.remove_leaving(context, &member).err().unwrap_or(ErrorCode::None);
            left.push(LeftMember { member, error });
        }
        if left.iter().any(|member| member.error == ErrorCode::None) {
            match self.state {
                State::CompletingRebalance | State::Stable => self.prepare_rebalance(context),
                State::PreparingRebalance => self.maybe_complete_join(context),
                State::Empty => {}
            }
        }
        left
    }

    fn remove_leaving(
        &mut self,
        context: &mut Context<'_>,
        leaving: &LeavingMember,
    ) -> Result<(), ErrorCode> {
        let instance_id = leaving.group_instance_id.as_deref();
        if leaving.member_id.is_empty() {
            let member_id = instance_id.and_then(|instance_id| self.static_members.get(instance_id));
            let member_id = member_id.cloned().ok_or(ErrorCode::UnknownMemberId)?;
            self.remove(context, &member_id);
            return Ok(());
        }
        if !self.pending_members.contains(&leaving.member_id) {
            self.check_member(&leaving.member_id, instance_id)?;
        }
        self.remove(context, &leaving.member_id);
        Ok(())
    }
}
