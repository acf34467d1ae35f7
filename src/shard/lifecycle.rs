//! How a shard comes to its partitions and leaves them: start, metadata deltas, shutdown.
//!
//! Deltas are applied one after the other by one task, so that a topic that is deleted and created again is
//! closed before it is opened.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::control::StartShard;
use super::message::{Message, PartitionId};
use super::partition::Partition;
use super::topic_settings::TopicSettings;
use super::{OwnDir, Shard};
use crate::log::{BrokenFrames, BrokenRange, CheckpointedLog, LogConfig, LogDir, LogError, RecoveryReport};
use crate::metadata::records::{CONFIG_RESOURCE_BROKER, CONFIG_RESOURCE_TOPIC};
use crate::metadata::{BrokerRegistration, MetadataDelta, PartitionRegistration, TopicImage};
use crate::rt::file::DirectDisk;
use crate::rt::sync::Semaphore;
use crate::rt::{task, time};
use crate::types::{Offset, TopicId, TopicPartition, Uuid};

/// Partitions that are opened side by side; opening is mostly waiting for the file system.
const OPENING_MAX: usize = 32;

/// How long the creation of a log that failed waits before it is tried again.
const CREATION_PAUSE: Duration = Duration::from_secs(5);

/// Why a partition of this shard's has no log.
#[derive(Debug)]
pub(super) enum Absence {
    /// It could not be created; that is tried again.
    NotCreated(String),
    /// Its files are not what they should be: an operator must act.
    Broken(String),
}

impl Absence {
    pub(super) fn cause(&self) -> &str {
        match self {
            Self::NotCreated(cause) | Self::Broken(cause) => cause,
        }
    }
}

/// A partition of this shard's, with its directory.
struct Assigned {
    dir: Rc<OwnDir>,
    id: PartitionId,
    name: TopicPartition,
    registration: PartitionRegistration,
}

impl Shard {
    /// Loads the shard's directories in a task of its own, tells control when it is done, and goes on to
    /// apply metadata.
    pub(super) fn begin_start(self: &Rc<Self>, start: StartShard) {
        let shard = Rc::clone(self);
        task::spawn(async move {
            let outcome = shard.start(start).await;
            let is_started = outcome.is_ok();
            shard.mesh.post(shard.control, Message::Started(outcome.map_err(|error| error.to_string())));
            if is_started {
                shard.run_applier().await;
            }
        })
        .detach();
    }

    async fn start(self: &Rc<Self>, start: StartShard) -> Result<(), LogError> {
        let began = time::monotonic_now();
        *self.placement.borrow_mut() = start.placement;
        *self.image.borrow_mut() = Rc::new(start.image);
        self.broker_epoch.set(start.broker_epoch);
        self.reconfigure();
        for directory in start.directories {
            let dir = LogDir::open(self.env.clone(), directory.path.clone()).await?;
            report_broken_frames(&dir.broken_frames());
            dir.load_cleaned_ends().await?;
            let own = OwnDir {
                id: directory.id,
                path: directory.path,
                dir,
                journal: OnceCell::new(),
                failure: OnceCell::new(),
            };
            self.dirs.borrow_mut().push(Rc::new(own));
        }
        let image = self.image();
        let topics = image.topics();
        let assigned: Vec<_> = topics
            .flat_map(|topic| topic.partitions().iter().filter_map(|of_topic| self.assigned(topic, of_topic)))
            .collect();
        let on_disk = self.set_strays_aside(&assigned).await?;
        let partition_count = assigned.len();
        self.open_all(assigned, &on_disk).await?;
        self.start_journals().await?;
        tracing::info!(
            target: "shard",
            shard = %self.id,
            partitions = partition_count,
            elapsed_ms = began.elapsed().as_millis() as u64,
            "logs loaded"
        );
        Ok(())
    }

    /// The partition with its directory, if this shard owns it.
    fn assigned(&self, topic: &TopicImage, registration: &PartitionRegistration) -> Option<Assigned> {
        let directory = registration.directory_of(self.node_id())?;
        let dirs = self.dirs.borrow();
        let dir = dirs.iter().find(|dir| dir.id == directory)?;
        Some(Assigned {
            dir: Rc::clone(dir),
            id: PartitionId { topic_id: topic.id(), partition: registration.id },
            name: TopicPartition { topic: topic.name().clone(), partition: registration.id },
            registration: registration.clone(),
        })
    }

    /// Renames the partitions on disk that the metadata does not know here: their topic was deleted while
    /// this broker was down, or they were moved (`LogManager.isStrayReplica`). Returns the others.
    async fn set_strays_aside(&self, assigned: &[Assigned]) -> Result<HashSet<PathBuf>, LogError> {
        let known: HashSet<_> = assigned.iter().map(|of| of.dir.path.join(of.name.dir_name())).collect();
        let dirs: Vec<_> = self.dirs.borrow().clone();
        let mut on_disk = HashSet::new();
        for own in dirs {
            for name in own.dir.partitions().await? {
                let path = own.path.join(name.dir_name());
                if known.contains(&path) {
                    on_disk.insert(path);
                    continue;
                }
                if own.dir.has_journaled() {
                    // What the journal has of it goes with it.
                    let loaded = own.dir.load_log(name.clone(), LogConfig::default(), time::wall_clock());
                    if let Err(error) = loaded.await {
                        tracing::warn!(target: "shard", tp = %name, %error, "cannot read a stray partition");
                    }
                }
                let to = format!("{}.{:032x}-stray", name.dir_name(), self.random_id());
                let dir = own.path.display();
                tracing::warn!(target: "shard", tp = %name, %dir, to, "stray partition set aside");
                own.dir.set_aside(&name, &to).await?;
            }
        }
        Ok(on_disk)
    }

    async fn open_all(
        self: &Rc<Self>,
        assigned: Vec<Assigned>,
        on_disk: &HashSet<PathBuf>,
    ) -> Result<(), LogError> {
        let slots = Semaphore::new(OPENING_MAX);
        let mut opening = Vec::with_capacity(assigned.len());
        for of in assigned {
            let slot = slots.acquire(1).await;
            let exists = on_disk.contains(&of.dir.path.join(of.name.dir_name()));
            let shard = Rc::clone(self);
            let (id, name, own) = (of.id, of.name.clone(), Rc::clone(&of.dir));
            let task = task::spawn(async move {
                let opened = shard.open(of, exists).await;
                drop(slot);
                opened
            });
            opening.push((id, name, own, task));
        }
        let mut broken = Vec::new();
        for (id, name, own, task) in opening {
            match task.await {
                Err(error @ LogError::Corrupt { .. }) => broken.push((id, name, own, error)),
                other => other?,
            }
        }
        for (id, name, own, error) in broken {
            // The journal is begun anew now, and it may have acknowledged records of this log.
            if own.dir.has_journaled() {
                return Err(error);
            }
            tracing::error!(
                target: "shard", tp = %name, %error,
                "cannot open the partition's log, it is offline: mend or remove the file, then start again"
            );
            self.absent.borrow_mut().insert(id, Absence::Broken(error.to_string()));
        }
        Ok(())
    }

    async fn open(self: &Rc<Self>, of: Assigned, exists: bool) -> Result<(), LogError> {
        let settings = self.topic_settings(&of.name);
        let now = time::wall_clock();
        let log = if exists {
            let (log, report) = of.dir.dir.load_log(of.name.clone(), settings.log.clone(), now).await?;
            report_recovery(&of.name, &report);
            let is_unfinished = log.topic_id() == Uuid::ZERO && log.staged_end_offset() == Offset::ZERO;
            if is_unfinished {
                // A crash came between the directory and the file with the topic's id: create it again.
                let (name, id) = (of.name.clone(), of.id.topic_id);
                of.dir.dir.create_log(name, id, settings.log.clone(), now).await?
            } else if log.topic_id() != of.id.topic_id {
                return Err(foreign_topic(&of, log.topic_id()));
            } else {
                log
            }
        } else {
            of.dir.dir.create_log(of.name.clone(), of.id.topic_id, settings.log.clone(), now).await?
        };
        let epoch = of.registration.leader_epoch;
        let partition = Rc::new(Partition::new(of.id, of.name, log, epoch, &settings, of.dir));
        partition.lead(epoch);
        self.partitions.borrow_mut().insert(of.id, Rc::clone(&partition));
        match partition.dir.failure.get() {
            None => self.maybe_begin_coordinator(&partition),
            // It failed before the partition was among those it takes along.
            Some(cause) => self.fail_partition(&partition, cause),
        }
        Ok(())
    }

    fn topic_settings(&self, name: &TopicPartition) -> TopicSettings {
        let image = self.image();
        let overrides = image.topic_configs(name.topic.as_str()).cloned().unwrap_or_default();
        let config = self.config();
        let effective = config.topic_defaults.effective(&overrides);
        TopicSettings::new(&effective, config.producer_id_expiration)
    }

    pub(super) fn begin_apply(&self, delta: Arc<MetadataDelta>) {
        self.deltas.borrow_mut().push_back(delta);
        self.deltas_changed.notify_one();
    }

    /// Applies deltas in order, for as long as the shard lives. Between them it tries again to create the
    /// logs that could not be created.
    async fn run_applier(self: &Rc<Self>) {
        loop {
            let next = self.deltas.borrow_mut().pop_front();
            match next {
                Some(delta) => self.apply(&delta).await,
                None => {
                    let uncreated = self.uncreated();
                    if uncreated.is_empty() {
                        self.deltas_changed.wait().await;
                        continue;
                    }
                    let changed = time::timeout(CREATION_PAUSE, self.deltas_changed.wait()).await;
                    if changed.is_err() && !self.closing.is_cancelled() {
                        self.retry_creations(uncreated).await;
                    }
                }
            }
        }
    }

    fn uncreated(&self) -> Vec<PartitionId> {
        let absent = self.absent.borrow();
        let uncreated = absent.iter().filter(|(_, absence)| matches!(absence, Absence::NotCreated(_)));
        uncreated.map(|(id, _)| *id).collect()
    }

    async fn retry_creations(self: &Rc<Self>, uncreated: Vec<PartitionId>) {
        let image = self.image();
        for id in uncreated {
            if let Some(topic) = image.topic(id.topic_id)
                && let Some(registration) = topic.partition(id.partition)
            {
                self.apply_partition(topic, registration).await;
            }
        }
    }

    async fn apply(self: &Rc<Self>, delta: &MetadataDelta) {
        let changes = Rc::make_mut(&mut self.image.borrow_mut())
            .apply_delta(delta)
            .expect("control sends deltas in order, and has applied them itself");
        for topic in &changes.topics_deleted {
            self.delete_topic(topic).await;
        }
        if !changes.topics_deleted.is_empty() {
            self.forget_offsets_of_deleted_topics();
        }
        let image = self.image();
        let deleted = changes.topics_deleted.iter().map(|topic| topic.name().clone());
        let topic_name = |(id, _): &(TopicId, i32)| image.topic(*id).map(|topic| topic.name().clone());
        let mut changed_topics: Vec<_> =
            deleted.chain(changes.partitions_changed.iter().filter_map(topic_name)).collect();
        changed_topics.dedup();
        if !changed_topics.is_empty() {
            self.tell_coordinators_of_topics(&changed_topics, !changes.topics_created.is_empty());
        }
        for (topic_id, partition) in changes.partitions_changed {
            let topic = image.topic(topic_id).expect("changes name what is in the image");
            let registration = topic.partition(partition).expect("changes name what is in the image");
            self.apply_partition(topic, registration).await;
        }
        if changes.configs_changed.iter().any(|of| of.resource_type == CONFIG_RESOURCE_BROKER) {
            self.apply_broker_config().await;
        }
        for resource in &changes.configs_changed {
            if let Some(topic) = image
                .topic_by_name(&resource.name)
                .filter(|_| resource.resource_type == CONFIG_RESOURCE_TOPIC)
            {
                self.apply_config(topic.id());
            }
        }
        // Not before: a client that is told of no broker forgets the one it knows, and may never ask again.
        if image.broker(self.node_id()).is_some_and(BrokerRegistration::is_active) {
            self.started.cancel();
        }
        self.mesh.post(self.control, Message::Applied(delta.last_offset));
    }

    async fn apply_partition(self: &Rc<Self>, topic: &TopicImage, registration: &PartitionRegistration) {
        let Some(of) = self.assigned(topic, registration) else { return };
        if of.dir.is_offline() {
            return;
        }
        if let Ok(partition) = self.partition(of.id) {
            partition.lead(registration.leader_epoch);
            return;
        }
        if matches!(self.absent.borrow().get(&of.id), Some(Absence::Broken(_))) {
            return;
        }
        let (id, name, dir) = (of.id, of.name.clone(), Rc::clone(&of.dir));
        match self.open(of, false).await {
            Ok(()) => {
                if self.absent.borrow_mut().remove(&id).is_some() {
                    tracing::info!(target: "shard", tp = %name, "the partition's log is created at last");
                }
            }
            Err(error) => {
                let absence = Absence::NotCreated(error.to_string());
                if self.absent.borrow_mut().insert(id, absence).is_none() {
                    let retry_s = CREATION_PAUSE.as_secs();
                    tracing::error!(
                        target: "shard", tp = %name, %error, retry_s, "cannot create the partition's log"
                    );
                }
                self.note_failure(&dir, &error);
            }
        }
    }

    /// Topics inherit from the broker: all of them may have other settings now.
    async fn apply_broker_config(self: &Rc<Self>) {
        self.reconfigure();
        let partitions: Vec<_> = self.open_partitions().values().cloned().collect();
        for partition in partitions {
            partition.configure(self.topic_settings(&partition.name));
            task::yield_if_needed().await;
        }
        self.reconfigure_coordinators();
    }

    fn apply_config(&self, topic_id: TopicId) {
        let partitions: Vec<_> = self.open_partitions().values().cloned().collect();
        for partition in partitions.iter().filter(|partition| partition.id.topic_id == topic_id) {
            partition.configure(self.topic_settings(&partition.name));
        }
        self.reconfigure_coordinators();
    }

    async fn delete_topic(self: &Rc<Self>, topic: &TopicImage) {
        for registration in topic.partitions() {
            let id = PartitionId { topic_id: topic.id(), partition: registration.id };
            self.absent.borrow_mut().remove(&id);
            let Some(partition) = self.partitions.borrow_mut().remove(&id) else { continue };
            partition.abandon();
            self.end_coordinator(id);
            self.wake_watchers(&partition);
            partition.end_flushes().await;
            partition.stop_maintenance().await;
            if let Err(error) = partition.dir.dir.delete_log(&partition.log, time::wall_clock()).await {
                let tp = &partition.name;
                tracing::error!(target: "shard", %tp, %error, "cannot delete the partition's log");
                self.note_failure(&partition.dir, &error);
            }
        }
    }

    /// Writes everything, closes the logs and leaves the marker of a clean stop. Nothing is appended any
    /// more when this is called.
    pub(super) async fn close(self: &Rc<Self>) {
        self.end_journals().await;
        let partitions: Vec<_> = self.open_partitions().values().cloned().collect();
        let mut closing = Vec::with_capacity(partitions.len());
        for partition in &partitions {
            let partition = Rc::clone(partition);
            closing.push(task::spawn(async move {
                partition.end_flushes().await;
                partition.stop_maintenance().await;
                partition.log.close_clean().await
            }));
        }
        let mut unclean = HashSet::new();
        for (partition, closed) in partitions.iter().zip(closing) {
            if let Err(error) = closed.await {
                // Of a directory that is offline that is known.
                if unclean.insert(partition.dir.id) && !partition.dir.is_offline() {
                    tracing::error!(target: "shard", tp = %partition.name, %error, "not closed cleanly");
                }
            }
        }
        let dirs: Vec<_> = self.dirs.borrow().clone();
        for own in dirs {
            // Without the marker the next start recovers, which is what an unclean log needs.
            if own.is_offline() || unclean.contains(&own.id) {
                continue;
            }
            let logs: Vec<_> = logs_of(&partitions, &own);
            if let Err(error) = own.dir.close_clean(&logs, self.broker_epoch()).await {
                tracing::error!(target: "shard", dir = %own.path.display(), %error, "not closed cleanly");
            }
        }
    }
}

/// The logs of one directory with their high watermarks, as its checkpoints list them.
pub(super) fn logs_of<'a>(
    partitions: &'a [Rc<Partition>],
    own: &OwnDir,
) -> Vec<CheckpointedLog<'a, DirectDisk>> {
    partitions
        .iter()
        .filter(|partition| partition.dir.id == own.id)
        .map(|partition| CheckpointedLog { log: &partition.log, high_watermark: partition.high_watermark() })
        .collect()
}

fn report_recovery(name: &TopicPartition, report: &RecoveryReport) {
    // What the journal has, it may have had written in part.
    let is_in_journal = 0 < report.restored.batches && report.restored.behind_hole.is_none();
    if let Some(cut) = report.truncated.as_ref().filter(|_| !is_in_journal) {
        tracing::warn!(
            target: "log", tp = %name, file = %cut.file.display(), position = cut.position, bytes = cut.bytes,
            cause = %cut.cause, "cut off what no acknowledgement covers"
        );
    }
    report_broken(name, &report.broken);
    if let Some(cause) = &report.lost_epochs {
        tracing::warn!(target: "log", tp = %name, cause, "leader epochs are taken from the batches");
    }
    let restored = &report.restored;
    if 0 < restored.batches {
        let (batches, bytes) = (restored.batches, restored.bytes);
        tracing::info!(target: "log", tp = %name, batches, bytes, "written from the journal");
    }
    if let Some(offset) = restored.behind_hole {
        tracing::warn!(
            target: "log", tp = %name, %offset, "left out records of the journal that follow no other"
        );
    }
}

pub(super) fn report_broken(name: &TopicPartition, broken: &[BrokenRange]) {
    for broken in broken {
        tracing::error!(
            target: "log", tp = %name, file = %broken.file.display(), position = broken.position,
            bytes = broken.bytes, first_offset = %broken.first_offset, end_offset = %broken.end_offset,
            cause = %broken.cause, "records that were durable are broken; restore them from a copy"
        );
    }
}

fn report_broken_frames(broken: &[BrokenFrames]) {
    for broken in broken {
        tracing::error!(
            target: "log", file = %broken.file.display(), position = broken.position, frames = broken.frames,
            cause = %broken.cause,
            "the journal is broken: acknowledged records of partitions in this directory may be lost, from \
             the last ones of their segments on; compare them with a copy, first those that the journal has \
             records of that follow no other"
        );
    }
}

fn foreign_topic(of: &Assigned, found: TopicId) -> LogError {
    LogError::Corrupt {
        file: of.dir.path.join(of.name.dir_name()).join("partition.metadata"),
        position: 0,
        reason: format!("topic id {found}, expected {} as in the cluster's metadata", of.id.topic_id),
    }
}
