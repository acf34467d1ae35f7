//! Listing, describing and deleting groups.

use super::consumer::Refusal;
use super::context::Moment;
use super::coordinator::GroupCoordinator;
use super::events::{ListGroups, Response, Token};
use super::kinds::Group;
use crate::types::ErrorCode;

impl GroupCoordinator {
    /// Lists the groups that pass the filters.
    pub fn handle_list(&mut self, now: Moment, token: Token, request: &ListGroups) {
        let passes = |filter: &[String], value: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        let listed = self.groups.values().map(Group::listed);
        let groups = listed
            .filter(|group| passes(&request.states, group.state) && passes(&request.types, group.group_type))
            .collect();
        let (_, _, mut context) = self.split(now);
        context.reply(token, Response::List(groups));
    }

    /// Describes a classic group.
    pub fn handle_describe(&mut self, now: Moment, token: Token, group_id: &str) {
        let described = match self.groups.get(group_id) {
            Some(Group::Classic(group)) => Ok(group.described()),
            // The groups of other protocols have descriptions of their own.
            Some(Group::Consumer(_)) => Err(format!("Group {group_id} is not a classic group.")),
            None => Err(format!("Group {group_id} not found.")),
        };
        let described = described.map_err(|message| Refusal::new(ErrorCode::GroupIdNotFound, message));
        let (_, _, mut context) = self.split(now);
        context.reply(token, Response::Describe(described));
    }

    /// Deletes a group without members, with its offsets.
    pub fn handle_delete(&mut self, now: Moment, token: Token, group_id: &str) {
        let error = match self.delete_group(now, group_id) {
            Ok(()) => ErrorCode::None,
            Err(error) => error,
        };
        let (_, _, mut context) = self.split(now);
        context.reply(token, Response::Delete(error));
        self.settle();
    }

    fn delete_group(&mut self, now: Moment, group_id: &str) -> Result<(), ErrorCode> {
        let mut records = self.offset_tombstones(group_id);
        let (groups, _, mut context) = self.split(now);
        let group = groups.get_mut(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        if !group.is_empty() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        records.extend(group.dissolve(&mut context));
        context.append_split(records);
        Ok(())
    }
}
