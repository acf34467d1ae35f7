//! Driving group coordinators: one per partition of `__consumer_offsets` that this shard owns.
//!
//! A partition that is opened gets a coordinator, which is loaded from the log in a task; requests find it
//! loading until then. Decisions are appended as they come; replies are parked until what they promise is as
//! durable as `acks=all` makes a producer's records. One task serves the deadlines of all coordinators of
//! the shard. A coordinator whose log fails answers NOT_COORDINATOR from then on: what it last decided may be
//! lost.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use super::group_log::{build_batch, replay_log};
use crate::config::{ConsumerGroupsConfig, GroupsConfig};
use crate::group::consumer::{Assignor, BoundedMs, ConsumerGroupConfig, MigrationPolicy};
use crate::group::records::EncodedRecord;
use crate::group::{
    GroupConfig, GroupCoordinator, Moment, OFFSETS_TOPIC, Output, Request, Response, Token, TopicSearch,
};
use crate::log::{AppendContext, AppendOrigin, BatchToAppend};
use crate::metadata::MetadataImage;
use crate::record::batch::BatchHeader;
use crate::record::compression::Codec;
use crate::rt::sync::{Notify, OneshotReceiver, OneshotSender, oneshot};
use crate::rt::{task, time};
use crate::shard::Shard;
use crate::shard::message::{GroupPart, GroupReply, PartitionId};
use crate::shard::partition::Partition;
use crate::types::{ErrorCode, Offset, Prng, Timestamp, TopicId, TopicName, Uuid};

/// `max.message.bytes` of the topic may be set so low that not even a group without members would fit.
const BATCH_BYTES_LEAST: usize = 256 << 10;

/// Topics that a search looks at before it lets others run.
const SEARCHED_TOPICS: usize = 256;

/// The coordinators of one shard.
#[derive(Default)]
pub(in crate::shard) struct GroupCoordinators {
    slots: RefCell<HashMap<PartitionId, Rc<Slot>>>,
    /// The deadline that the timer task waits for.
    armed: Cell<Option<Instant>>,
    deadlines_changed: Notify,
    is_draining: Cell<bool>,
}

impl GroupCoordinators {
    /// The shard that asks knows of the partition, so this one is about to open it. Unlike NOT_COORDINATOR,
    /// this has clients wait instead of looking for another broker.
    fn error_without_slot(&self) -> ErrorCode {
        if self.is_draining.get() { ErrorCode::NotCoordinator } else { ErrorCode::CoordinatorLoadInProgress }
    }
}

/// One coordinator with those who wait for it.
pub(super) struct Slot {
    partition: Rc<Partition>,
    state: RefCell<SlotState>,
    /// The exclusive end of what is as durable as a reply must be.
    committed: Cell<Offset>,
    askers: RefCell<HashMap<Token, Asker>>,
    /// Decided and not yet committed, in the order of `after`. One entry per asker at most.
    parked: RefCell<VecDeque<Parked>>,
    tokens: Cell<u64>,
}

enum SlotState {
    Loading,
    Active(Box<GroupCoordinator>),
    /// The log failed, or the partition is gone.
    Closed,
}

struct Asker {
    reply: OneshotSender<GroupReply>,
    /// JoinGroup and SyncGroup wait for other members.
    waits_for_members: bool,
}

struct Parked {
    after: Offset,
    token: Token,
    response: Response,
}

impl Slot {
    /// Has the coordinator, if it is in office, do something.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut GroupCoordinator) -> T) -> Option<T> {
        match &mut *self.state.borrow_mut() {
            SlotState::Active(coordinator) => Some(act(coordinator)),
            SlotState::Loading | SlotState::Closed => None,
        }
    }

    fn register(&self, request: &Request, reply: OneshotSender<GroupReply>) -> Token {
        let waits_for_members = matches!(request, Request::Join(_) | Request::Sync(_));
        let token = Token(self.tokens.get());
        self.tokens.set(token.0 + 1);
        self.askers.borrow_mut().insert(token, Asker { reply, waits_for_members });
        token
    }

    /// Sends the replies that what is committed lets go.
    fn release(&self) {
        loop {
            let ready = {
                let mut parked = self.parked.borrow_mut();
                let is_ready = parked.front().is_some_and(|front| front.after <= self.committed.get());
                if is_ready { parked.pop_front() } else { None }
            };
            let Some(Parked { token, response, .. }) = ready else { return };
            self.answer(token, Ok(response));
        }
    }

    fn answer(&self, token: Token, reply: GroupReply) {
        // An asker that was told otherwise while the broker stops is not asked for again.
        if let Some(asker) = self.askers.borrow_mut().remove(&token) {
            // Whoever asked may have gone with its connection.
            let _ = asker.reply.send(reply);
        }
    }

    /// Ends the coordinator; whoever waits asks for the new one.
    fn close(&self) {
        *self.state.borrow_mut() = SlotState::Closed;
        self.parked.borrow_mut().clear();
        let askers = std::mem::take(&mut *self.askers.borrow_mut());
        for asker in askers.into_values() {
            let _ = asker.reply.send(Err(ErrorCode::NotCoordinator));
        }
    }
}

impl Shard {
    /// Asks a coordinator of this shard. The request has its place in the coordinator's order on return.
    pub(in crate::shard) fn begin_group_request(
        self: &Rc<Self>,
        part: GroupPart,
    ) -> impl Future<Output = GroupReply> + use<> {
        let commit_timeout = self.config().groups.commit_timeout;
        let waits_for_members = matches!(part.request, Request::Join(_) | Request::Sync(_));
        let asked = self.ask_coordinator(part);
        async move {
            let answer = asked?;
            if waits_for_members {
                return answer.await.unwrap_or(Err(ErrorCode::NotCoordinator));
            }
            match time::timeout(commit_timeout, answer).await {
                Ok(answered) => answered.unwrap_or(Err(ErrorCode::NotCoordinator)),
                // As for a write that replicas do not confirm in time: the client finds out by asking again.
                Err(_) => Err(ErrorCode::CoordinatorNotAvailable),
            }
        }
    }

    fn ask_coordinator(self: &Rc<Self>, part: GroupPart) -> Result<OneshotReceiver<GroupReply>, ErrorCode> {
        let slot = self.groups.slots.borrow().get(&part.id).cloned();
        let slot = slot.ok_or_else(|| self.groups.error_without_slot())?;
        match &*slot.state.borrow() {
            SlotState::Active(_) => {}
            SlotState::Loading => return Err(ErrorCode::CoordinatorLoadInProgress),
            SlotState::Closed => return Err(ErrorCode::NotCoordinator),
        }
        let waits_for_members = matches!(part.request, Request::Join(_) | Request::Sync(_));
        if self.groups.is_draining.get() && waits_for_members {
            return Err(ErrorCode::NotCoordinator);
        }
        let (reply, answer) = oneshot();
        let token = slot.register(&part.request, reply);
        let image = self.image();
        slot.with(|coordinator| coordinator.handle_request(moment(&image), token, part.request));
        self.drive(&slot);
        Ok(answer)
    }

    /// Carries out what the coordinator has decided.
    fn drive(self: &Rc<Self>, slot: &Rc<Slot>) {
        let mut appended = None;
        while let Some(output) = slot.with(GroupCoordinator::poll_output).flatten() {
            match output {
                Output::Append { first_offset, timestamp, records } => {
                    match self.append_decision(&slot.partition, first_offset, timestamp, &records) {
                        Ok(end) => appended = Some(end),
                        Err(cause) => return self.fail_coordinator(slot, &cause),
                    }
                }
                Output::SearchTopics { group_id, regexes } => self.search_topics(slot, group_id, regexes),
                // It need not queue behind replies that wait for what came later.
                Output::Reply { token, after, response } if after <= slot.committed.get() => {
                    slot.answer(token, Ok(response));
                }
                Output::Reply { token, after, response } => {
                    slot.parked.borrow_mut().push_back(Parked { after, token, response });
                }
            }
        }
        if let Some(end) = appended {
            self.await_committed(slot, end);
        }
        slot.release();
        self.rearm(slot);
    }

    fn append_decision(
        &self,
        partition: &Partition,
        first_offset: Offset,
        timestamp: Timestamp,
        records: &[EncodedRecord],
    ) -> Result<Offset, String> {
        let log = &partition.log;
        let expected = log.staged_end_offset();
        if first_offset != expected {
            return Err(format!("someone else has appended: the log ends at {expected}, not {first_offset}"));
        }
        partition.check_online().map_err(|error| error.to_string())?;
        let codec = Codec::from_id(self.config().groups.offsets_topic.codec)
            .expect("the key's bounds are the codecs");
        let bytes = build_batch(codec, timestamp, records);
        let header = BatchHeader::decode(&bytes).expect("a batch that was just built has a header");
        let batch = BatchToAppend { header, bytes: &bytes, append_time: None, is_crc_checked: true };
        let context = AppendContext {
            leader_epoch: partition.leader_epoch(),
            origin: AppendOrigin::Coordinator,
            now: timestamp,
        };
        let info = log.append(&[batch], context).map_err(|error| error.to_string())?;
        Ok(info.last_offset + 1)
    }

    /// Goes on with what needs no more than `end`, once it is durable.
    fn await_committed(self: &Rc<Self>, slot: &Rc<Slot>, end: Offset) {
        let waiting = slot.partition.await_committed(end);
        self.ensure_flushing(&slot.partition);
        let Some(receiver) = waiting else {
            return self.advance_committed(slot, end);
        };
        let (shard, slot) = (Rc::clone(self), Rc::clone(slot));
        task::spawn(async move {
            match receiver.await {
                Ok(Ok(())) => shard.advance_committed(&slot, end),
                Ok(Err(error)) => shard.fail_coordinator(&slot, &error.to_string()),
                Err(_) => slot.close(),
            }
        })
        .detach();
    }

    /// Tells the coordinator what is durable, and lets the replies go that waited for it.
    fn advance_committed(self: &Rc<Self>, slot: &Rc<Slot>, end: Offset) {
        let committed = slot.committed.get().max(end);
        slot.committed.set(committed);
        let image = self.image();
        slot.with(|coordinator| coordinator.handle_committed(moment(&image), committed));
        drop(image);
        self.drive(slot);
    }

    fn fail_coordinator(&self, slot: &Slot, cause: &str) {
        if !matches!(&*slot.state.borrow(), SlotState::Closed) {
            tracing::error!(target: "group", tp = %slot.partition.name, cause, "coordinator closed");
        }
        slot.close();
    }

    /// Gives a partition of the offsets topic its coordinator and loads it in a task of its own.
    pub(in crate::shard) fn maybe_begin_coordinator(self: &Rc<Self>, partition: &Rc<Partition>) {
        if partition.name.topic.as_str() != OFFSETS_TOPIC {
            return;
        }
        let slot = Rc::new(Slot {
            partition: Rc::clone(partition),
            state: RefCell::new(SlotState::Loading),
            committed: Cell::new(Offset::ZERO),
            askers: RefCell::default(),
            parked: RefCell::default(),
            tokens: Cell::new(0),
        });
        self.groups.slots.borrow_mut().insert(partition.id, Rc::clone(&slot));
        let shard = Rc::clone(self);
        task::spawn(async move { shard.load(&slot).await }).detach();
    }

    async fn load(self: &Rc<Self>, slot: &Rc<Slot>) {
        let began = time::monotonic_now();
        let (tp, end) = (&slot.partition.name, slot.partition.log.staged_end_offset());
        let prng = Prng::new(self.prng.borrow_mut().next_u64());
        let config = coordinator_config(&self.config().groups, &slot.partition);
        let mut coordinator = Box::new(GroupCoordinator::new(config, prng));
        if let Err(error) = replay_log(&slot.partition, end, &mut coordinator).await {
            tracing::error!(target: "group", %tp, %error, "coordinator cannot be loaded");
            return slot.close();
        }
        if !matches!(&*slot.state.borrow(), SlotState::Loading) {
            // The partition went away meanwhile.
            return;
        }
        // It may have changed while the log was read.
        coordinator.handle_config_changed(coordinator_config(&self.config().groups, &slot.partition));
        coordinator.handle_activate(moment(&self.image()), end);
        slot.committed.set(end);
        *slot.state.borrow_mut() = SlotState::Active(coordinator);
        // Topics may have gone while the coordinator was not there to see it.
        self.forget_deleted_topics(slot);
        if Offset::ZERO < end {
            let elapsed_ms = began.elapsed().as_millis() as u64;
            tracing::info!(target: "group", %tp, end_offset = %end, elapsed_ms, "coordinator loaded");
        }
    }

    /// Has the coordinators in office take up the broker's configuration and that of the offsets topic.
    pub(in crate::shard) fn reconfigure_coordinators(&self) {
        let config = self.config();
        for slot in self.coordinator_slots() {
            slot.with(|of| of.handle_config_changed(coordinator_config(&config.groups, &slot.partition)));
        }
    }

    /// Has every coordinator forget the offsets of topics that are gone.
    pub(in crate::shard) fn forget_offsets_of_deleted_topics(self: &Rc<Self>) {
        for slot in self.coordinator_slots() {
            self.forget_deleted_topics(&slot);
        }
    }

    fn forget_deleted_topics(self: &Rc<Self>, slot: &Rc<Slot>) {
        let image = self.image();
        let exists = |name: &TopicName, id: TopicId| {
            image.topic_by_name(name.as_str()).is_some_and(|topic| id == Uuid::ZERO || topic.id() == id)
        };
        slot.with(|coordinator| coordinator.handle_topics_changed(moment(&image), exists));
        self.drive(slot);
    }

    /// Has every coordinator look at the topics that have changed with the next heartbeat of their groups.
    pub(in crate::shard) fn tell_coordinators_of_topics(
        self: &Rc<Self>,
        changed: &[TopicName],
        are_new: bool,
    ) {
        let image = self.image();
        for slot in self.coordinator_slots() {
            slot.with(|of| of.handle_metadata_changed(moment(&image), changed, are_new));
        }
    }

    /// Searches for the topics that a group's patterns stand for, a few at a time.
    fn search_topics(self: &Rc<Self>, slot: &Rc<Slot>, group_id: String, regexes: Vec<String>) {
        let (shard, slot) = (Rc::clone(self), Rc::clone(slot));
        task::spawn(async move {
            let mut search = TopicSearch::new(group_id, regexes, &shard.image(), time::wall_clock());
            while !search.step(&shard.image(), SEARCHED_TOPICS) {
                task::yield_if_needed().await;
            }
            let image = shard.image();
            slot.with(|coordinator| coordinator.handle_topics_found(moment(&image), search));
            drop(image);
            shard.drive(&slot);
        })
        .detach();
    }

    /// Ends the coordinator of a partition that goes away.
    pub(in crate::shard) fn end_coordinator(&self, id: PartitionId) {
        let slot = self.groups.slots.borrow_mut().remove(&id);
        if let Some(slot) = slot {
            slot.close();
        }
    }

    /// The broker stops: nobody is kept waiting for other members any more.
    pub(in crate::shard) fn drain_coordinators(&self) {
        self.groups.is_draining.set(true);
        for slot in self.coordinator_slots() {
            let mut waiting = Vec::new();
            slot.askers.borrow_mut().retain(|_, asker| {
                if asker.waits_for_members {
                    let (reply, _) = oneshot();
                    waiting.push(std::mem::replace(&mut asker.reply, reply));
                }
                !asker.waits_for_members
            });
            for reply in waiting {
                let _ = reply.send(Err(ErrorCode::NotCoordinator));
            }
        }
    }

    /// Nothing is decided any more: the logs are about to be closed.
    pub(in crate::shard) fn close_coordinators(&self) {
        self.coordinator_slots().iter().for_each(|slot| slot.close());
        self.groups.slots.borrow_mut().clear();
    }

    /// Serves the deadlines of all coordinators, for as long as the shard lives.
    pub async fn run_group_timers(self: Rc<Self>) {
        loop {
            let deadlines = self.coordinator_slots();
            let next = deadlines.iter().filter_map(|slot| slot.with(|of| of.poll_timeout()).flatten()).min();
            self.groups.armed.set(next);
            drop(deadlines);
            let changed = self.groups.deadlines_changed.wait();
            match next {
                None => changed.await,
                Some(next) => {
                    let left = next.saturating_duration_since(time::monotonic_now());
                    // Whichever comes first, the deadlines are looked at again.
                    let _ = time::timeout(left, changed).await;
                }
            }
            self.handle_deadlines();
            task::yield_if_needed().await;
        }
    }

    fn handle_deadlines(self: &Rc<Self>) {
        let image = self.image();
        let now = moment(&image);
        for slot in self.coordinator_slots() {
            let is_due = |coordinator: &mut GroupCoordinator| {
                coordinator.poll_timeout().is_some_and(|deadline| deadline <= now.monotonic)
            };
            if slot.with(is_due) == Some(true) {
                slot.with(|coordinator| coordinator.handle_timeout(now));
                self.drive(&slot);
            }
        }
    }

    /// Wakes the timer task when a coordinator has an earlier deadline than it waits for.
    fn rearm(&self, slot: &Slot) {
        let Some(deadline) = slot.with(|coordinator| coordinator.poll_timeout()).flatten() else { return };
        if self.groups.armed.get().is_none_or(|armed| deadline < armed) {
            self.groups.armed.set(Some(deadline));
            self.groups.deadlines_changed.notify_one();
        }
    }

    pub(super) fn coordinator_slots(&self) -> Vec<Rc<Slot>> {
        self.groups.slots.borrow().values().cloned().collect()
    }
}

fn moment(image: &MetadataImage) -> Moment<'_> {
    Moment { monotonic: time::monotonic_now(), wall: time::wall_clock(), image }
}

fn coordinator_config(config: &GroupsConfig, partition: &Partition) -> GroupConfig {
    let batch_bytes_max = partition.log.config().max_message_bytes as usize;
    GroupConfig {
        session_timeout_min_ms: config.session_timeout_min_ms,
        session_timeout_max_ms: config.session_timeout_max_ms,
        initial_rebalance_delay: config.initial_rebalance_delay,
        size_max: config.size_max,
        offset_metadata_bytes_max: config.offset_metadata_bytes_max,
        offsets_retention_ms: config.offsets_retention_ms,
        offsets_retention_check_interval: config.offsets_retention_check_interval,
        consumer: consumer_config(&config.consumer),
        batch_bytes_max: batch_bytes_max.max(BATCH_BYTES_LEAST),
    }
}

fn consumer_config(config: &ConsumerGroupsConfig) -> ConsumerGroupConfig {
    let bounded = |[default, min, max]: [i32; 3]| BoundedMs { default, min, max };
    ConsumerGroupConfig {
        session_timeout: bounded(config.session_timeout_ms),
        heartbeat_interval: bounded(config.heartbeat_interval_ms),
        assignment_interval: bounded(config.assignment_interval_ms),
        size_max: config.size_max,
        assignors: config.assignors.iter().filter_map(|name| Assignor::from_config(name)).collect(),
        migration_policy: MigrationPolicy::from_name(&config.migration_policy)
            .expect("the key's bounds are the policies"),
    }
}
