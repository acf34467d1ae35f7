//! From one generation to the next: who is waited for, for how long, and what ends the wait.

use std::time::Duration;

use bytes::Bytes;

use super::group::{ClassicGroup, JoinDeadline, State};
use crate::group::context::Context;
use crate::group::events::{Response, SyncedGroup};
use crate::group::timers::Timer;
use crate::types::ErrorCode;

/// `GroupCoordinatorConfig.CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`
pub(super) const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

impl ClassicGroup {
    /// `GroupMetadataManager.maybePrepareRebalanceOrCompleteJoin`
    pub(super) fn rebalance_or_complete(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(context),
            State::PreparingRebalance => self.maybe_complete_join(context),
        }
    }

    /// Has all members join again. Those who wait for an assignment of the current generation get none.
    pub(super) fn prepare_rebalance(&mut self, context: &mut Context<'_>) {
        if self.state == State::CompletingRebalance {
            self.refuse_syncs(context, ErrorCode::RebalanceInProgress);
        }
        self.pending_sync.clear();
        context.timers.cancel(&self.sync_timer());
        let is_initial = self.state == State::Empty;
        self.transition(context, State::PreparingRebalance);
        if is_initial {
            let delay = context.config.initial_rebalance_delay;
            let remaining = self.rebalance_timeout().saturating_sub(delay);
            self.new_member_added = false;
            self.await_joins(context, JoinDeadline::Initial { delay, remaining }, delay);
        } else if self.has_all_members_joined() {
            self.complete_join(context);
        } else {
            let timeout = self.rebalance_timeout();
            self.await_joins(context, JoinDeadline::Rebalance, timeout);
        }
    }

    /// Ends the wait if there is nobody left to wait for. A new group waits its time in any case.
    pub(super) fn maybe_complete_join(&mut self, context: &mut Context<'_>) {
        if self.state == State::PreparingRebalance && !self.was_empty && self.has_all_members_joined() {
            self.complete_join(context);
        }
    }

    /// The members had their time to join.
    pub(in crate::group) fn handle_join_timeout(&mut self, context: &mut Context<'_>) {
        if self.state != State::PreparingRebalance {
            return;
        }
        match self.join_deadline {
            // Someone came during the wait: more may.
            JoinDeadline::Initial { delay, remaining } if self.new_member_added && !remaining.is_zero() => {
                self.new_member_added = false;
                let next_delay = context.config.initial_rebalance_delay.min(remaining);
                let remaining = remaining.saturating_sub(delay);
                let deadline = JoinDeadline::Initial { delay: next_delay, remaining };
                self.await_joins(context, deadline, next_delay);
            }
            JoinDeadline::Initial { .. } | JoinDeadline::Rebalance => self.complete_join(context),
        }
    }

    /// Begins the next generation with those who have joined; static members keep their place without.
    pub(super) fn complete_join(&mut self, context: &mut Context<'_>) {
        context.timers.cancel(&self.join_timer());
        let is_late = |member: &&super::member::Member| member.awaiting_join.is_none() && !member.is_static();
        let late: Vec<_> = self.members.values().filter(is_late).map(|member| member.id.clone()).collect();
        late.iter().for_each(|member_id| self.remove(context, member_id));
        if self.members.is_empty() {
            return self.become_empty(context);
        }
        if !self.elect_joined_leader() {
            // Only static members are left, none of which has joined; their sessions go on meanwhile.
            let timeout = self.rebalance_timeout();
            return self.await_joins(context, JoinDeadline::Rebalance, timeout);
        }
        self.begin_generation(context);
    }

    fn become_empty(&mut self, context: &mut Context<'_>) {
        self.next_generation();
        self.protocol_name = None;
        self.leader = None;
        self.transition(context, State::Empty);
        self.update_subscribed_topics();
        self.persist(context, |_| Bytes::new()).expect("a group without members fits into a batch");
    }

    fn begin_generation(&mut self, context: &mut Context<'_>) {
        self.next_generation();
        self.protocol_name = self.select_protocol();
        assert!(self.protocol_name.is_some(), "group {}: members without a common protocol", self.id);
        self.update_subscribed_topics();
        self.transition(context, State::CompletingRebalance);
        let member_ids: Vec<_> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let waiting = self.member_mut(&member_id).awaiting_join.take();
            if let Some(token) = waiting {
                context.reply(token, Response::Join(self.joined(&member_id)));
            }
            self.member_mut(&member_id).is_new = false;
            self.restart_session(context, &member_id);
            self.pending_sync.insert(member_id);
        }
        let timeout = self.rebalance_timeout();
        context.schedule(self.sync_timer(), timeout);
    }

    fn next_generation(&mut self) {
        self.pending_sync.clear();
        self.generation_id = self.generation_id.checked_add(1).unwrap_or(0);
    }

    /// Makes sure that the leader has joined (`ClassicGroup.maybeElectNewJoinedLeader`).
    fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |member: &super::member::Member| member.awaiting_join.is_some();
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        if leader.is_some_and(has_joined) {
            return true;
        }
        let Some(elected) = self.members.values().find(|member| has_joined(member)) else { return false };
        self.leader = Some(elected.id.clone());
        true
    }

    /// Members that had joined and never asked for their assignment are gone.
    pub(in crate::group) fn handle_sync_timeout(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::Empty | State::PreparingRebalance => return,
            State::CompletingRebalance | State::Stable => {}
        }
        let silent = std::mem::take(&mut self.pending_sync);
        if silent.is_empty() {
            return;
        }
        silent.iter().for_each(|member_id| self.remove(context, member_id));
        self.prepare_rebalance(context);
    }

    /// Refuses everyone who waits for an assignment, which is void.
    pub(super) fn refuse_syncs(&mut self, context: &mut Context<'_>, error: ErrorCode) {
        let member_ids: Vec<_> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let member = self.member_mut(&member_id);
            member.assignment = Bytes::new();
            if let Some(token) = member.awaiting_sync.take() {
                context.reply(token, Response::Sync(SyncedGroup::refused(error)));
                self.restart_session(context, &member_id);
            }
        }
    }

    fn await_joins(&mut self, context: &mut Context<'_>, deadline: JoinDeadline, delay: Duration) {
        self.join_deadline = deadline;
        context.schedule(self.join_timer(), delay);
    }

    pub(super) fn join_timer(&self) -> Timer {
        Timer::Join { group_id: self.id.clone() }
    }

    pub(super) fn sync_timer(&self) -> Timer {
        Timer::Sync { group_id: self.id.clone() }
    }
}
