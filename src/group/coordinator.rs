//! The coordinator: events in, records and replies out.

use std::collections::BTreeMap;
use std::time::Instant;

use super::classic::ClassicGroup;
use super::config::GroupConfig;
use super::context::{Context, Moment, Outbox};
use super::events::{Output, Request, Token};
use super::kinds::Group;
use super::lag::LagTable;
use super::offsets::OffsetStore;
use super::records::GroupRecord;
use super::timers::{Timer, Timers};
use crate::types::{Offset, Prng};

/// Groups a coordinator keeps at most; a group beyond is refused. Ids are the clients' to choose.
pub(super) const GROUPS_MAX: usize = 1_000_000;

/// The groups of one partition of `__consumer_offsets`.
///
/// First [`replay`](Self::replay) everything in the log, then
/// [`handle_activate`](Self::handle_activate), then handle requests. After each event take the outputs until
/// there are none; call [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout)
/// has come, and [`handle_committed`](Self::handle_committed) when appended records are committed.
#[derive(Debug)]
pub struct GroupCoordinator {
    config: GroupConfig,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) offsets: OffsetStore,
    pub(super) lags: LagTable,
    timers: Timers,
    prng: Prng,
    outbox: Outbox,
    is_active: bool,
    /// The end of the metadata that brought the last new topic this coordinator has heard of.
    pub(super) topics_created_at: i64,
}

impl GroupCoordinator {
    /// A coordinator without groups. Member ids follow from `prng`.
    pub fn new(config: GroupConfig, prng: Prng) -> Self {
        Self {
            config,
            groups: BTreeMap::new(),
            offsets: OffsetStore::default(),
            lags: LagTable::default(),
            timers: Timers::default(),
            prng,
            outbox: Outbox::new(),
            is_active: false,
            topics_created_at: 0,
        }
    }

    /// Takes up office once the log is replayed up to `end`, exclusive: sessions of members start now.
    pub fn handle_activate(&mut self, now: Moment, end: Offset) {
        assert!(!self.is_active, "a coordinator is activated once");
        self.is_active = true;
        // Topics may have come while nobody was looking for those that patterns stand for.
        self.topics_created_at = now.image.end_offset().0;
        self.outbox.advance_to(end);
        let (groups, _, mut context) = self.split(now);
        for group in groups.values_mut() {
            group.activate(&mut context);
        }
        let interval = context.config.offsets_retention_check_interval;
        context.schedule(Timer::Expiration, interval);
        self.settle();
    }

    /// Handles a request of any kind; the reply carries the same token.
    pub fn handle_request(&mut self, now: Moment, token: Token, request: Request) {
        assert!(self.is_active, "requests come after loading");
        match request {
            Request::Join(request) => self.handle_join(now, token, request),
            Request::Sync(request) => self.handle_sync(now, token, request),
            Request::Heartbeat(request) => self.handle_heartbeat(now, token, &request),
            Request::Leave(request) => self.handle_leave(now, token, request),
            Request::CommitOffsets(request) => self.handle_commit_offsets(now, token, request),
            Request::FetchOffsets(request) => self.handle_fetch_offsets(now, token, request),
            Request::DeleteOffsets(request) => self.handle_delete_offsets(now, token, &request),
            Request::ConsumerHeartbeat(request) => self.handle_consumer_heartbeat(now, token, &request),
            Request::DescribeConsumer(group_id) => self.handle_describe_consumer(now, token, &group_id),
            Request::List(request) => self.handle_list(now, token, &request),
            Request::Describe(group_id) => self.handle_describe(now, token, &group_id),
            Request::Delete(group_id) => self.handle_delete(now, token, &group_id),
        }
    }

    /// Handles every deadline that has come.
    pub fn handle_timeout(&mut self, now: Moment) {
        for timer in self.timers.take_due(now.monotonic) {
            match timer {
                Timer::Session { ref group_id, ref member_id } => {
                    self.with_classic(now, group_id, |group, context| {
                        group.handle_session_timeout(context, member_id);
                    });
                    self.expire_consumer(now, &timer);
                }
                Timer::Revocation { .. } | Timer::MemberJoin { .. } | Timer::MemberSync { .. } => {
                    self.expire_consumer(now, &timer);
                }
                Timer::Join { group_id } => {
                    self.with_classic(now, &group_id, ClassicGroup::handle_join_timeout);
                }
                Timer::Sync { group_id } => {
                    self.with_classic(now, &group_id, ClassicGroup::handle_sync_timeout);
                }
                Timer::Expiration => self.expire_offsets(now),
            }
            self.settle();
        }
    }

    /// Everything before `end` is committed: groups go on that waited for it.
    pub fn handle_committed(&mut self, now: Moment, end: Offset) {
        while let Some(group_id) = self.outbox.take_committed(end) {
            self.with_classic(now, &group_id, |group, context| group.handle_committed(context, end));
        }
        self.settle();
    }

    /// Takes up another configuration; what is under way by the old one, such as a timer, is left as it is.
    pub fn handle_config_changed(&mut self, config: GroupConfig) {
        self.config = config;
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Applies a record to the durable state: one that was just appended, or one read from the log.
    pub fn replay(&mut self, offset: Offset, record: GroupRecord) {
        if !self.is_active {
            self.outbox.advance_to(offset + 1);
        }
        match record {
            GroupRecord::OffsetCommit { group_id, topic, partition, value: Some(value) } => {
                self.offsets.put(&group_id, topic, partition, value);
                // The offsets of a consumer that commits from outside of any group.
                self.classic_or_new(group_id);
            }
            GroupRecord::OffsetCommit { group_id, topic, partition, value: None } => {
                self.offsets.remove(&group_id, &topic, partition);
            }
            GroupRecord::GroupMetadata { group_id, value: Some(value) } => {
                if let Some(group) = self.classic_or_new(group_id) {
                    group.replay(value);
                }
            }
            GroupRecord::GroupMetadata { group_id, value: None } => {
                if let Some(Group::Classic(_)) = self.groups.get(&group_id) {
                    self.groups.remove(&group_id);
                }
            }
            GroupRecord::Consumer { group_id, record } => self.replay_consumer(group_id, record),
            GroupRecord::Unknown { .. } => {}
        }
    }

    pub(super) fn classic_or_new(&mut self, group_id: String) -> Option<&mut ClassicGroup> {
        let new = || Group::Classic(ClassicGroup::new(group_id.clone()));
        match self.groups.entry(group_id.clone()).or_insert_with(new) {
            Group::Classic(group) => Some(group),
            Group::Consumer(_) => None,
        }
    }

    /// The groups, the offsets, and what an event works with.
    pub(super) fn split<'a>(
        &'a mut self,
        now: Moment<'a>,
    ) -> (&'a mut BTreeMap<String, Group>, &'a mut OffsetStore, Context<'a>) {
        let context = Context {
            now,
            config: &self.config,
            timers: &mut self.timers,
            prng: &mut self.prng,
            outbox: &mut self.outbox,
        };
        (&mut self.groups, &mut self.offsets, context)
    }

    /// Applies what the event at hand has appended.
    pub(super) fn settle(&mut self) {
        for (offset, record) in self.outbox.take_unreplayed() {
            self.replay(offset, record);
        }
    }

    fn with_classic(
        &mut self,
        now: Moment,
        group_id: &str,
        handle: impl FnOnce(&mut ClassicGroup, &mut Context<'_>),
    ) {
        let (groups, _, mut context) = self.split(now);
        match groups.get_mut(group_id) {
            Some(Group::Classic(group)) => handle(group, &mut context),
            Some(Group::Consumer(_)) | None => {}
        }
    }

    pub(super) fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// The exclusive end of everything appended so far.
    pub fn end_offset(&self) -> Offset {
        self.outbox.end_offset()
    }

    #[cfg(test)]
    pub(super) fn timer_count(&self) -> usize {
        self.timers.len()
    }
}
