//! One core's world: the partitions it owns, those who wait for them, and the way to other cores.
//!
//! A [`Shard`] is never shared between threads. It applies the metadata that control commits, opens and
//! deletes partitions accordingly, serves what the connections of any core ask of its partitions, and runs
//! the background work of its log directories. It knows the requests of `message`, not Kafka's wire.

mod admin;
mod background;
mod checkpoint;
mod cleaner;
mod connections;
pub mod control;
mod deferred;
mod dir_failure;
mod drivers;
mod fetch;
pub mod fetch_session;
mod journal;
mod lifecycle;
mod message;
mod partition;
mod placement;
mod produce;
mod topic_settings;
mod verification;
mod watch;

use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::BrokerConfig;
use crate::controller::effective_broker_config;
use crate::log::{LogDir, LogEnv};
use crate::metadata::{MetadataDelta, MetadataImage, TopicImage};
use crate::quota::{ConnectionLimits, ConnectionQuotas, CreationRate, Peer};
use crate::record::validate::Scratch;
use crate::rt::file::DirectDisk;
use crate::rt::mesh::Mesh;
use crate::rt::sync::{Notify, OneshotSender, Semaphore, Shutdown, oneshot};
use crate::rt::task;
use crate::types::{DirectoryId, ErrorCode, NodeId, Prng, ShardId, TopicId};

pub use admin::{DeleteRecordsPart, DescribedLog, DescribedLogDir};
pub use connections::{ConnectionSlot, MovingConnection, TooManyConnections};
pub use control::{ControlError, ControlReply, ControlRequest};
pub use message::{
    Acks, EpochEnd, EpochEndPart, FetchPart, FetchParts, Fetched, FoundOffset, GroupPart, GroupReply,
    ListOffsetPart, Message, PartitionError, PartitionId, ProbeParts, Probed, ProducePart, ProduceParts,
    Produced, RequestId, ShardReply, ShardRequest, WatchToken,
};
pub use placement::Placement;
pub use produce::PendingProduce;
pub use watch::Waiting;

use connections::Applicant;
use drivers::groups::GroupCoordinators;
use journal::JournalDriver;
use lifecycle::Absence;
use partition::Partition;

/// One core's partitions and everything that concerns them.
pub struct Shard {
    id: ShardId,
    /// The mesh index of the control executor.
    control: usize,
    /// Replaced as a whole when a dynamic key changes.
    config: RefCell<Rc<BrokerConfig>>,
    mesh: Mesh<Message>,
    env: LogEnv<DirectDisk>,
    dirs: RefCell<Vec<Rc<OwnDir>>>,
    placement: RefCell<Placement>,
    image: RefCell<Rc<MetadataImage>>,
    partitions: RefCell<HashMap<PartitionId, Rc<Partition>>>,
    /// Partitions of this shard's that have no log, and why.
    absent: RefCell<HashMap<PartitionId, Absence>>,
    validation_scratch: RefCell<Scratch>,
    /// Batches whose validation or search takes long: one at a time on a thread of its own.
    long_validation: Semaphore,
    waiting: RefCell<HashMap<WatchToken, Rc<Notify>>>,
    asked: RefCell<HashMap<RequestId, OneshotSender<ShardReply>>>,
    asked_control: RefCell<HashMap<RequestId, OneshotSender<ControlReply>>>,
    numbers: Cell<u64>,
    /// Committed metadata that is not applied yet.
    deltas: RefCell<VecDeque<Arc<MetadataDelta>>>,
    deltas_changed: Notify,
    /// Cancelled once the logs are loaded: connections are served from then on.
    started: Shutdown,
    draining: Shutdown,
    closing: Shutdown,
    /// Bytes that the logs got since their checkpoints, about.
    unchecked_bytes: Cell<u64>,
    /// Notified when they are many.
    checkpoint_due: Notify,
    broker_epoch: Cell<i64>,
    groups: GroupCoordinators,
    prng: RefCell<Prng>,
    connection_limits: RefCell<ConnectionLimits>,
    /// The connections of the whole broker; used on the shard that counts them.
    connections: RefCell<ConnectionQuotas<Applicant>>,
    /// How fast they may be made; used there as well.
    creation_rate: RefCell<CreationRate>,
    /// Connections of this shard that have to go for others.
    shed_due: Cell<usize>,
    shed_changed: Notify,
    /// Connections from other shards that nobody serves yet; at most as many as are open.
    arriving: RefCell<VecDeque<(MovingConnection, Peer)>>,
    arrived: Notify,
}

/// A log directory of this shard.
struct OwnDir {
    id: DirectoryId,
    path: PathBuf,
    dir: LogDir<DirectDisk>,
    /// Set once the logs are loaded, if there is one.
    journal: OnceCell<JournalDriver>,
    /// Why the directory is offline, if it is.
    failure: OnceCell<String>,
}

impl Shard {
    /// A shard without directories; [`Shard::start`] gives it some.
    pub fn new(
        id: ShardId,
        config: Rc<BrokerConfig>,
        mesh: Mesh<Message>,
        env: LogEnv<DirectDisk>,
        connection_limits: ConnectionLimits,
        prng: Prng,
    ) -> Rc<Self> {
        let control = mesh.executors() - 1;
        Rc::new(Self {
            id,
            control,
            config: RefCell::new(config),
            mesh,
            env,
            dirs: RefCell::default(),
            placement: RefCell::default(),
            image: RefCell::new(Rc::new(MetadataImage::new(""))),
            partitions: RefCell::default(),
            absent: RefCell::default(),
            validation_scratch: RefCell::default(),
            long_validation: Semaphore::new(deferred::LONG_VALIDATIONS_MAX),
            waiting: RefCell::default(),
            asked: RefCell::default(),
            asked_control: RefCell::default(),
            numbers: Cell::new(0),
            deltas: RefCell::default(),
            deltas_changed: Notify::new(),
            started: Shutdown::new(),
            draining: Shutdown::new(),
            closing: Shutdown::new(),
            unchecked_bytes: Cell::new(0),
            checkpoint_due: Notify::new(),
            broker_epoch: Cell::new(-1),
            groups: GroupCoordinators::default(),
            prng: RefCell::new(prng),
            connections: RefCell::new(ConnectionQuotas::new(connection_limits.clone())),
            creation_rate: RefCell::new(CreationRate::new(connection_limits.creations_per_second)),
            connection_limits: RefCell::new(connection_limits),
            shed_due: Cell::new(0),
            shed_changed: Notify::new(),
            arriving: RefCell::default(),
            arrived: Notify::new(),
        })
    }

    /// The configuration of this broker as it is now; whoever keeps it does not see later changes.
    pub fn config(&self) -> Rc<BrokerConfig> {
        Rc::clone(&self.config.borrow())
    }

    /// Takes up the dynamic configuration that the image holds.
    fn reconfigure(self: &Rc<Self>) {
        let config = effective_broker_config(&self.config(), &self.image());
        self.limit_connections(&config.network);
        *self.config.borrow_mut() = Rc::new(config);
    }

    /// This broker's id.
    pub fn node_id(&self) -> NodeId {
        self.config.borrow().node_id
    }

    /// The metadata as far as this shard has applied it.
    pub fn image(&self) -> Rc<MetadataImage> {
        Rc::clone(&self.image.borrow())
    }

    /// This shard's number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// How many shards this broker has.
    pub fn shard_count(&self) -> usize {
        self.control
    }

    /// This shard's place in the mesh.
    pub fn index(&self) -> usize {
        usize::from(self.id.0)
    }

    /// Finds a partition and the shard that owns it, by the topic's name.
    pub fn locate_by_name(&self, topic: &str, partition: i32) -> Result<(ShardId, PartitionId), ErrorCode> {
        let image = self.image.borrow();
        let topic = image.topic_by_name(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.locate(topic, partition)
    }

    /// Finds a partition and the shard that owns it, by the topic's id.
    pub fn locate_by_id(&self, id: TopicId, partition: i32) -> Result<(ShardId, PartitionId), ErrorCode> {
        let image = self.image.borrow();
        let topic = image.topic(id).ok_or(ErrorCode::UnknownTopicId)?;
        self.locate(topic, partition)
    }

    fn locate(&self, topic: &TopicImage, partition: i32) -> Result<(ShardId, PartitionId), ErrorCode> {
        let image = topic.partition(partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if image.leader != Some(self.node_id()) {
            // Its directory may have failed (`ReplicaManager.getPartitionOrError`).
            let directory = image.directory_of(self.node_id());
            let is_lost = directory.is_some_and(|directory| !self.is_registered(directory));
            return Err(if is_lost { ErrorCode::KafkaStorageError } else { ErrorCode::NotLeaderOrFollower });
        }
        let directory = image.directory_of(self.node_id()).ok_or(ErrorCode::KafkaStorageError)?;
        let owner = self.placement.borrow().owner(directory).ok_or(ErrorCode::KafkaStorageError)?;
        Ok((owner, PartitionId { topic_id: topic.id(), partition }))
    }

    /// Whether a directory of this broker is online, as the metadata has it.
    fn is_registered(&self, directory: DirectoryId) -> bool {
        self.image.borrow().broker(self.node_id()).is_some_and(|broker| broker.has_online(directory))
    }

    /// Asks the shard `owner`, this one included. Resolves to `None` when that shard is stopping. The
    /// request takes its place in the owner's order when this returns, not when the result is awaited.
    pub fn ask(
        self: &Rc<Self>,
        owner: ShardId,
        request: ShardRequest,
    ) -> impl Future<Output = Option<ShardReply>> + use<> {
        let (sender, receiver) = oneshot();
        if owner == self.id {
            self.serve(self.index(), request, move |reply| drop(sender.send(reply)));
        } else {
            let id = RequestId(self.next_number());
            self.asked.borrow_mut().insert(id, sender);
            self.mesh.post(usize::from(owner.0), Message::Request { id, body: request });
        }
        async move { receiver.await.ok() }
    }

    /// Asks the control executor.
    pub async fn ask_control(&self, request: ControlRequest) -> ControlReply {
        let (sender, receiver) = oneshot();
        let id = RequestId(self.next_number());
        self.asked_control.borrow_mut().insert(id, sender);
        self.mesh.post(self.control, Message::Control { id, body: request });
        receiver.await.unwrap_or(Err(ControlError::Stopping))
    }

    /// Serves a request: the part that fixes the order at once, the rest in a task of its own.
    fn serve(self: &Rc<Self>, from: usize, request: ShardRequest, reply: impl FnOnce(ShardReply) + 'static) {
        match request {
            ShardRequest::Produce(parts) => {
                let pending = self.begin_produce(parts);
                task::spawn(async move { reply(ShardReply::Produce(pending.finish().await)) }).detach();
            }
            ShardRequest::AdmitConnection(peer) => self.connection_opened(Box::new(reply), peer),
            ShardRequest::MoveConnection(peer, to) => {
                self.connections.borrow_mut().handle_move(peer, to);
                reply(ShardReply::MoveConnection);
            }
            ShardRequest::Probe(parts) => reply(ShardReply::Probe(self.probe(&parts, from))),
            ShardRequest::EpochEnds(parts) => {
                let shard = Rc::clone(self);
                task::spawn(async move { reply(ShardReply::EpochEnds(shard.epoch_ends(&parts).await)) })
                    .detach();
            }
            ShardRequest::Fetch(parts) => {
                let shard = Rc::clone(self);
                task::spawn(async move { reply(ShardReply::Fetch(shard.fetch(parts).await)) }).detach();
            }
            ShardRequest::Groups(parts) => {
                let asked: Vec<_> = parts.into_iter().map(|part| self.begin_group_request(part)).collect();
                let answers = async move {
                    let mut answers = Vec::with_capacity(asked.len());
                    for asked in asked {
                        answers.push(asked.await);
                    }
                    answers
                };
                task::spawn(async move { reply(ShardReply::Groups(answers.await)) }).detach();
            }
            ShardRequest::ListOffsets(parts) => {
                let shard = Rc::clone(self);
                task::spawn(async move { reply(ShardReply::ListOffsets(shard.list_offsets(parts).await)) })
                    .detach();
            }
            ShardRequest::DeleteRecords(parts) => {
                let shard = Rc::clone(self);
                task::spawn(async move {
                    reply(ShardReply::DeleteRecords(shard.delete_records(&parts).await));
                })
                .detach();
            }
            ShardRequest::LogDirs => {
                let shard = Rc::clone(self);
                task::spawn(async move { reply(ShardReply::LogDirs(shard.describe_log_dirs().await)) })
                    .detach();
            }
            ShardRequest::Lag(parts) => {
                let shard = Rc::clone(self);
                task::spawn_background(async move { reply(ShardReply::Lag(shard.look_behind(parts).await)) })
                    .detach();
            }
            ShardRequest::Producers(parts) => reply(ShardReply::Producers(self.describe_producers(&parts))),
        }
    }

    /// Resolves once the logs are loaded and the metadata shows this broker to clients.
    pub async fn started(&self) {
        self.started.cancelled().await;
    }

    /// Resolves when control wants the clients drained; [`Shard::finish`] follows.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Ends the shard after its clients were drained: waits until those of all shards are, closes the logs
    /// and tells control.
    pub async fn finish(self: &Rc<Self>) {
        self.mesh.post(self.control, Message::Drained);
        self.closing.cancelled().await;
        self.close().await;
        self.mesh.post(self.control, Message::Stopped);
        while 0 < self.mesh.queued(self.control) {
            task::yield_now().await;
        }
    }

    /// Handles messages from other executors, for as long as the executor lives.
    pub async fn run_inbox(self: Rc<Self>) {
        loop {
            let (from, messages) = self.mesh.incoming().await;
            for message in messages {
                // A hop may bring many requests.
                task::yield_if_needed().await;
                self.handle(from, message);
            }
        }
    }

    /// Says something to an executor, which may be this one.
    fn tell(self: &Rc<Self>, executor: usize, message: Message) {
        if executor == self.index() {
            self.handle(executor, message);
        } else {
            self.mesh.post(executor, message);
        }
    }

    fn handle(self: &Rc<Self>, from: usize, message: Message) {
        match message {
            Message::Request { id, body } => {
                let shard = Rc::clone(self);
                self.serve(from, body, move |body| shard.mesh.post(from, Message::Reply { id, body }));
            }
            Message::Reply { id, body } => {
                let waiter = self.asked.borrow_mut().remove(&id);
                // Whoever asked may have gone with its connection.
                let _ = waiter.expect("a reply answers one request").send(body);
            }
            Message::ControlReply { id, body } => {
                let waiter = self.asked_control.borrow_mut().remove(&id);
                let _ = waiter.expect("a reply answers one request").send(body);
            }
            Message::Woken(token) => self.wake(token),
            Message::Unwatch { token, partitions } => self.unwatch_local(token, from, &partitions),
            Message::ConnectionOpened(peer) => self.connections.borrow_mut().handle_unasked(peer),
            Message::ConnectionClosed(peer) => self.connection_closed(peer),
            Message::Connection(connection, peer) => self.connection_handed_over(*connection, peer),
            Message::ShedConnection => self.shed_connection(),
            Message::Start(start) => self.begin_start(*start),
            Message::Metadata(delta) => self.begin_apply(delta),
            Message::Shutdown => {
                self.drain_coordinators();
                self.draining.cancel();
            }
            Message::Close => {
                self.close_coordinators();
                self.closing.cancel();
            }
            Message::Control { .. }
            | Message::Started(_)
            | Message::Applied(_)
            | Message::Drained
            | Message::Stopped => {
                panic!("executor {from} sent a message that only control handles")
            }
        }
    }

    fn partition(&self, id: PartitionId) -> Result<Rc<Partition>, PartitionError> {
        let absent_for = || match self.absent.borrow().get(&id) {
            Some(absence) => PartitionError::Storage(absence.cause().to_owned()),
            None => PartitionError::NotLeader,
        };
        self.partitions.borrow().get(&id).cloned().ok_or_else(absent_for)
    }

    fn broker_epoch(&self) -> i64 {
        self.broker_epoch.get()
    }

    fn random_id(&self) -> u128 {
        let mut prng = self.prng.borrow_mut();
        u128::from(prng.next_u64()) << 64 | u128::from(prng.next_u64())
    }

    fn next_number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// The partitions this shard has open.
    fn open_partitions(&self) -> Ref<'_, HashMap<PartitionId, Rc<Partition>>> {
        self.partitions.borrow()
    }
}
