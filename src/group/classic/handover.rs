//! A group that changes between the classic and the consumer protocol while it has members (KIP-848).

use bytes::Bytes;

use super::group::{ClassicGroup, State, refuse_waiting};
use crate::group::context::Context;
use crate::group::events::JoinProtocol;
use crate::types::ErrorCode;

/// A classic group as a consumer group takes it over.
#[derive(Debug)]
pub(in crate::group) struct Handover {
    pub(in crate::group) generation_id: i32,
    pub(in crate::group) members: Vec<HandedOverMember>,
}

/// A member of a classic group.
#[derive(Debug)]
pub(in crate::group) struct HandedOverMember {
    pub(in crate::group) id: String,
    pub(in crate::group) group_instance_id: Option<String>,
    pub(in crate::group) client_id: String,
    pub(in crate::group) client_host: String,
    pub(in crate::group) session_timeout_ms: i32,
    pub(in crate::group) rebalance_timeout_ms: i32,
    /// The best first.
    pub(in crate::group) protocols: Vec<JoinProtocol>,
    /// What the member said with the group's protocol.
    pub(in crate::group) subscription: Bytes,
    /// What the leader gave it; empty before it did.
    pub(in crate::group) assignment: Bytes,
}

impl ClassicGroup {
    /// The group's members as they are.
    pub(in crate::group) fn handover(&self) -> Handover {
        let members = self.members.values().map(|member| {
            let own_choice = || member.protocols.first().map(|protocol| protocol.metadata.clone());
            let chosen = self.protocol_name.as_deref().filter(|protocol| member.supports(protocol));
            HandedOverMember {
                id: member.id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                session_timeout_ms: member.session_timeout_ms,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                protocols: member.protocols.clone(),
                subscription: chosen
                    .map(|protocol| member.metadata(protocol))
                    .or_else(own_choice)
                    .unwrap_or_default(),
                assignment: member.assignment.clone(),
            }
        });
        Handover { generation_id: self.generation_id, members: members.collect() }
    }

    pub(in crate::group) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Ends everything of this group that is not durable: its timers, and the requests of members that
    /// wait, who are to join again.
    pub(in crate::group) fn hand_over(&mut self, context: &mut Context<'_>) {
        context.timers.cancel(&self.join_timer());
        context.timers.cancel(&self.sync_timer());
        for member_id in self.members.keys().chain(&self.pending_members) {
            context.timers.cancel(&self.session_timer(member_id));
        }
        for member in self.members.values_mut() {
            refuse_waiting(context, member, ErrorCode::RebalanceInProgress);
            member.awaiting_join = None;
            member.awaiting_sync = None;
        }
    }

    /// Begins a group that was a consumer group until now.
    pub(in crate::group) fn take_over(&mut self, context: &mut Context<'_>, needs_rebalance: bool) {
        self.activate(context);
        if needs_rebalance && self.state == State::Stable {
            self.prepare_rebalance(context);
        }
    }
}
