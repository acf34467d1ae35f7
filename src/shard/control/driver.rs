//! Driving the controller: events in, committed records out.
//!
//! Whatever has arrived is decided on together, appended, and committed by one sync. Then the shards get the
//! deltas, and a reply leaves once every shard has applied what it promises: a client that has created a
//! topic finds it on every core.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::directories::{self, Directories, random_uuid};
use super::meta_log::{MetaLog, MetaLogError, Now};
use super::{AdvertisedListener, ControlError, ControlRequest, DirectoryError, FailedDirectory, StartShard};
use crate::config::BrokerConfig;
use crate::controller::{
    AllocateProducerIds, Controller, ControllerConfig, FailDirectories, Output, PreviousStop, RegisterBroker,
    Response, Token, UnfenceBroker,
};
use crate::log::{EnvConfig, LogEnv};
use crate::metadata::features::supported_features;
use crate::metadata::records::ListenerEndpoint;
use crate::metadata::{ImageError, MetadataDelta, MetadataImage};
use crate::rt::file::DirectDisk;
use crate::rt::mesh::{Mesh, OutsideInbox};
use crate::rt::sync::Notify;
use crate::rt::{task, time};
use crate::shard::message::{Message, RequestId};
use crate::shard::placement::Placement;
use crate::types::{DirectoryId, Offset, Prng, ShardId};

/// The metadata log needs little memory: it is read once and written at its end.
const CACHE_BYTES: usize = 1 << 20;
const OPEN_FILES: usize = 8;
/// `SecurityProtocol.PLAINTEXT`
const PLAINTEXT: i16 = 0;

/// What the process tells control.
#[derive(Debug)]
pub enum ControlSignal {
    /// Stop the broker in order.
    Stop,
}

/// Everything control needs to begin.
pub struct ControlSetup {
    /// The broker's configuration.
    pub config: Rc<BrokerConfig>,
    /// The mesh; shards come first, control is the last executor.
    pub mesh: Mesh<Message>,
    /// Where the process posts its signals.
    pub signals: OutsideInbox<ControlSignal>,
    /// Random: ids follow from it.
    pub seed: u64,
    /// The advertised listeners.
    pub endpoints: Vec<AdvertisedListener>,
}

/// Why the broker cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ControlFailure {
    /// The log directories.
    #[error(transparent)]
    Directories(#[from] DirectoryError),
    /// The metadata log.
    #[error(transparent)]
    MetaLog(#[from] MetaLogError),
    /// Committed records that contradict each other.
    #[error("the cluster's metadata is inconsistent: {0}")]
    Image(#[from] ImageError),
    /// A shard could not load its logs.
    #[error("shard {shard}: {cause}")]
    Shard {
        /// The shard.
        shard: usize,
        /// What it said.
        cause: String,
    },
    /// The controller refused this broker.
    #[error("this broker cannot register: {0}")]
    Registration(String),
    /// The last log directory has failed.
    #[error("all log directories have failed, the last one {}: {cause}", path.display())]
    AllDirectories {
        /// The last one.
        path: PathBuf,
        /// What failed in it.
        cause: String,
    },
    /// The directory of the cluster's metadata has failed.
    #[error("the log directory {}, which the cluster's metadata shares, has failed: {cause}", path.display())]
    MetadataDirectory {
        /// Which one.
        path: PathBuf,
        /// What failed in it.
        cause: String,
    },
    /// A stop was asked for before the start was done.
    #[error("stopped while starting")]
    Interrupted,
}

enum Event {
    Message(usize, Message),
    Signal(ControlSignal),
}

/// What the mesh and the process have sent, in order.
#[derive(Default)]
struct Events {
    waiting: RefCell<VecDeque<Event>>,
    arrived: Notify,
}

impl Events {
    fn push(&self, event: Event) {
        self.waiting.borrow_mut().push_back(event);
        self.arrived.notify_one();
    }

    fn try_next(&self) -> Option<Event> {
        self.waiting.borrow_mut().pop_front()
    }

    async fn next(&self) -> Event {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            self.arrived.wait().await;
        }
    }
}

/// A reply that waits for its records to be applied everywhere.
struct Parked {
    after: Offset,
    token: Token,
    response: Response,
}

struct Control {
    config: Rc<BrokerConfig>,
    mesh: Rc<Mesh<Message>>,
    events: Rc<Events>,
    shard_count: usize,
    meta_log: MetaLog<DirectDisk>,
    /// What is committed.
    image: MetadataImage,
    controller: Controller,
    broker_epoch: i64,
    /// The log directories that have not failed.
    online: HashSet<DirectoryId>,
    /// Who asked; a shard numbers its requests by itself.
    askers: HashMap<Token, (usize, RequestId)>,
    next_token: u64,
    /// Decided and not yet on every shard.
    parked: Vec<Parked>,
    /// The exclusive end of what each shard has applied.
    applied: Vec<Offset>,
}

/// Starts the broker's control, calls `on_ready` when clients can be served, and runs until the process
/// says stop, or until metadata can no longer be made durable.
pub async fn run(setup: ControlSetup, on_ready: impl FnOnce()) -> Result<(), ControlFailure> {
    let ControlSetup { config, mesh, signals, seed, endpoints } = setup;
    let events = Rc::new(Events::default());
    let mesh = Rc::new(mesh);
    pump(Rc::clone(&mesh), signals, Rc::clone(&events));
    start_and_serve(config, mesh, events, seed, endpoints, on_ready).await
}

fn pump(mesh: Rc<Mesh<Message>>, signals: OutsideInbox<ControlSignal>, events: Rc<Events>) {
    let from_mesh = Rc::clone(&events);
    task::spawn(async move {
        loop {
            let (from, messages) = mesh.incoming().await;
            messages.into_iter().for_each(|message| from_mesh.push(Event::Message(from, message)));
        }
    })
    .detach();
    task::spawn(async move {
        loop {
            events.push(Event::Signal(signals.recv().await));
        }
    })
    .detach();
}

async fn start_and_serve(
    config: Rc<BrokerConfig>,
    mesh: Rc<Mesh<Message>>,
    events: Rc<Events>,
    seed: u64,
    endpoints: Vec<AdvertisedListener>,
    on_ready: impl FnOnce(),
) -> Result<(), ControlFailure> {
    let mut prng = Prng::new(seed);
    let shard_count = mesh.executors() - 1;
    let disk = DirectDisk::new();
    let found = directories::prepare(&disk, &config, shard_count, &mut prng).await?;
    let env_config = EnvConfig {
        cache_bytes: CACHE_BYTES,
        open_files: OPEN_FILES,
        sends_files: false,
        seed: prng.next_u64(),
    };
    let env = LogEnv::new(disk, env_config);
    let (parent, snapshots) = (config.metadata_log_dir.clone(), config.metadata_snapshots);
    let (mut meta_log, mut image) =
        MetaLog::open(env, parent, &found.cluster_id, found.with_partitions.as_deref(), snapshots, now())
            .await?;
    meta_log.begin_epoch(config.node_id, &mut image, time::wall_clock()).await?;
    let controller_config = ControllerConfig { broker: BrokerConfig::clone(&config), seed: prng.next_u64() };
    let applied = vec![image.end_offset(); shard_count];
    let mut control = Control {
        controller: Controller::new(controller_config, image.clone()),
        config,
        mesh,
        events,
        shard_count,
        meta_log,
        image,
        broker_epoch: -1,
        online: found.shards.iter().map(|directory| directory.id).collect(),
        askers: HashMap::new(),
        next_token: 0,
        parked: Vec::new(),
        applied,
    };
    control.controller.handle_activate();
    control.drain().await?;
    control.start(found, endpoints, &mut prng).await?;
    on_ready();
    control.serve().await
}

fn now() -> Now {
    Now { wall: time::wall_clock(), monotonic: time::monotonic_now() }
}

impl Control {
    /// Registers this broker, has the shards load their partitions, and lets clients see it.
    async fn start(
        &mut self,
        found: Directories,
        endpoints: Vec<AdvertisedListener>,
        prng: &mut Prng,
    ) -> Result<(), ControlFailure> {
        let previous_stop = if found.is_clean { PreviousStop::Clean } else { PreviousStop::Unclean };
        let endpoint = |listener: AdvertisedListener| ListenerEndpoint {
            name: listener.name,
            host: listener.host,
            port: listener.port,
            security_protocol: PLAINTEXT,
        };
        let registration = RegisterBroker {
            broker_id: self.config.node_id,
            cluster_id: found.cluster_id.clone(),
            incarnation_id: random_uuid(prng),
            endpoints: endpoints.into_iter().map(endpoint).collect(),
            features: supported_features(),
            rack: self.config.rack.clone(),
            directories: found.shards.iter().map(|directory| directory.id).collect(),
            previous_stop,
        };
        let token = self.token();
        self.controller.handle_register_broker(token, &registration);
        self.drain().await?;
        match self.take_parked(token) {
            Response::RegisterBroker(Ok(epoch)) => self.broker_epoch = epoch,
            Response::RegisterBroker(Err(error)) => {
                return Err(ControlFailure::Registration(error.to_string()));
            }
            other => panic!("the controller answered a registration with {other:?}"),
        }
        self.start_shards(&found);
        self.await_shards().await?;
        let unfence = UnfenceBroker { broker_id: self.config.node_id, broker_epoch: self.broker_epoch };
        let token = self.token();
        self.controller.handle_unfence_broker(token, unfence);
        self.drain().await?;
        let unfenced = self.take_parked(token);
        assert!(
            matches!(unfenced, Response::UnfenceBroker(Ok(()))),
            "a registered broker unfences: {unfenced:?}"
        );
        self.await_applied().await
    }

    fn start_shards(&mut self, found: &Directories) {
        let placement = Placement::deal(found.shards.iter().map(|of| of.id), self.shard_count);
        for shard in 0..self.shard_count {
            let is_own = |id| placement.owner(id) == Some(ShardId(shard as u16));
            let start = StartShard {
                placement: placement.clone(),
                directories: found.shards.iter().filter(|of| is_own(of.id)).cloned().collect(),
                image: self.image.clone(),
                broker_epoch: self.broker_epoch,
            };
            self.applied[shard] = self.image.end_offset();
            self.mesh.post(shard, Message::Start(Box::new(start)));
        }
    }

    async fn await_shards(&mut self) -> Result<(), ControlFailure> {
        let mut loading = self.shard_count;
        while 0 < loading {
            match self.events.next().await {
                Event::Message(_, Message::Started(Ok(()))) => loading -= 1,
                Event::Message(shard, Message::Started(Err(cause))) => {
                    return Err(ControlFailure::Shard { shard, cause });
                }
                // A shard that has started may find its directory broken while others still load.
                Event::Message(shard, message @ Message::Control { .. }) => self.handle(shard, message)?,
                Event::Message(shard, message) => panic!("shard {shard} sent {message:?} before it started"),
                Event::Signal(ControlSignal::Stop) => return Err(ControlFailure::Interrupted),
            }
        }
        Ok(())
    }

    async fn await_applied(&mut self) -> Result<(), ControlFailure> {
        while self.applied_everywhere() < self.image.end_offset() {
            match self.events.next().await {
                // A shard that has applied the unfencing serves clients, who may ask for something already.
                Event::Message(from, message) => self.handle(from, message)?,
                Event::Signal(ControlSignal::Stop) => return Err(ControlFailure::Interrupted),
            }
        }
        Ok(())
    }

    /// Serves requests until the process says stop; then stops the shards first and the log last.
    async fn serve(&mut self) -> Result<(), ControlFailure> {
        // What clients asked while the last shards were still starting.
        self.drain().await?;
        self.release_parked();
        loop {
            let mut next = self.next_event().await;
            while let Some(event) = next {
                match event {
                    Event::Message(from, message) => self.handle(from, message)?,
                    Event::Signal(ControlSignal::Stop) => return self.stop().await,
                }
                next = self.events.try_next();
            }
            self.drain().await?;
            self.release_parked();
            self.meta_log.maybe_snapshot(&self.image, now()).await?;
        }
    }

    /// The next event; `None` when a snapshot is due before one comes.
    async fn next_event(&self) -> Option<Event> {
        match self.meta_log.snapshot_due_in(&self.image, time::monotonic_now()) {
            Some(left) => time::timeout(left, self.events.next()).await.ok(),
            None => Some(self.events.next().await),
        }
    }

    fn handle(&mut self, from: usize, message: Message) -> Result<(), ControlFailure> {
        match message {
            Message::Control { id, body } => {
                let token = self.token();
                self.askers.insert(token, (from, id));
                match body {
                    ControlRequest::CreateTopics(request) => {
                        self.controller.handle_create_topics(token, &request);
                    }
                    ControlRequest::DeleteTopics(request) => {
                        self.controller.handle_delete_topics(token, &request);
                    }
                    ControlRequest::CreatePartitions(request) => {
                        self.controller.handle_create_partitions(token, &request);
                    }
                    ControlRequest::AlterConfigs(request) => {
                        self.controller.handle_alter_configs(token, &request);
                    }
                    ControlRequest::UpdateFeatures(request) => {
                        self.controller.handle_update_features(token, &request);
                    }
                    ControlRequest::AllocateProducerIds => {
                        let (broker_id, broker_epoch) = (self.config.node_id, self.broker_epoch);
                        let request = AllocateProducerIds { broker_id, broker_epoch };
                        self.controller.handle_allocate_producer_ids(token, request);
                    }
                    ControlRequest::FailDirectory(failed) => self.fail_directory(token, failed)?,
                }
            }
            Message::Applied(last) => self.applied[from] = last + 1,
            other => panic!("shard {from} sent control {other:?}"),
        }
        Ok(())
    }

    /// Goes on without a directory, if there is another and the metadata is not beside it; else the broker
    /// ends (`ReplicaManager.handleLogDirFailure`).
    fn fail_directory(&mut self, token: Token, failed: FailedDirectory) -> Result<(), ControlFailure> {
        let FailedDirectory { id, path, cause } = failed;
        self.online.remove(&id);
        if self.online.is_empty() {
            return Err(ControlFailure::AllDirectories { path, cause });
        }
        if path.starts_with(&self.config.metadata_log_dir) {
            return Err(ControlFailure::MetadataDirectory { path, cause });
        }
        let (broker_id, broker_epoch) = (self.config.node_id, self.broker_epoch);
        let request = FailDirectories { broker_id, broker_epoch, failed: vec![id] };
        self.controller.handle_fail_directories(token, &request);
        Ok(())
    }

    /// Makes every decision durable and sends it to the shards. Replies are parked.
    async fn drain(&mut self) -> Result<(), ControlFailure> {
        let mut deltas = Vec::new();
        while let Some(output) = self.controller.poll_output() {
            match output {
                Output::Append(delta) => {
                    self.meta_log.stage(&delta, time::wall_clock())?;
                    deltas.push(delta);
                }
                Output::Reply { token, after, response } => {
                    self.parked.push(Parked { after, token, response });
                }
            }
        }
        if deltas.is_empty() {
            return Ok(());
        }
        self.meta_log.commit().await?;
        for delta in deltas {
            self.image.apply_delta(&delta)?;
            if 0 <= self.broker_epoch {
                self.broadcast(delta);
            }
        }
        Ok(())
    }

    fn broadcast(&self, delta: MetadataDelta) {
        let delta = Arc::new(delta);
        for shard in 0..self.shard_count {
            self.mesh.post(shard, Message::Metadata(Arc::clone(&delta)));
        }
    }

    /// Sends the replies whose records every shard has applied.
    fn release_parked(&mut self) {
        let applied = self.applied_everywhere();
        for parked in std::mem::take(&mut self.parked) {
            if applied < parked.after {
                self.parked.push(parked);
                continue;
            }
            let (shard, id) = self.askers.remove(&parked.token).expect("every reply has its asker");
            self.mesh.post(shard, Message::ControlReply { id, body: Ok(parked.response) });
        }
    }

    fn applied_everywhere(&self) -> Offset {
        self.applied.iter().copied().min().expect("a broker has at least one shard")
    }

    async fn stop(&mut self) -> Result<(), ControlFailure> {
        for (shard, id) in std::mem::take(&mut self.askers).into_values() {
            self.mesh.post(shard, Message::ControlReply { id, body: Err(ControlError::Stopping) });
        }
        // No shard closes its logs before every shard has answered its clients, whose requests may be for
        // any shard.
        self.broadcast_phase(|| Message::Shutdown, |message| matches!(message, Message::Drained)).await;
        self.broadcast_phase(|| Message::Close, |message| matches!(message, Message::Stopped)).await;
        self.meta_log.close().await?;
        Ok(())
    }

    /// Tells every shard something and waits until each has said that it is done.
    async fn broadcast_phase(&mut self, message: impl Fn() -> Message, is_done: impl Fn(&Message) -> bool) {
        for shard in 0..self.shard_count {
            self.mesh.post(shard, message());
        }
        let mut busy = self.shard_count;
        while 0 < busy {
            match self.events.next().await {
                Event::Message(_, message) if is_done(&message) => busy -= 1,
                Event::Message(shard, Message::Control { id, .. }) => {
                    let body = Err(ControlError::Stopping);
                    self.mesh.post(shard, Message::ControlReply { id, body });
                }
                // A delta that was under way when the stop came, or a second signal.
                Event::Message(..) | Event::Signal(ControlSignal::Stop) => {}
            }
        }
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// The reply to an own request; its records are committed.
    fn take_parked(&mut self, token: Token) -> Response {
        let at = self.parked.iter().position(|parked| parked.token == token).expect("the controller replies");
        self.parked.swap_remove(at).response
    }
}
