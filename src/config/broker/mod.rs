//! The configuration of a broker, typed and checked as a whole.

mod checks;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use super::cpus::CpuList;
use super::dynamic::DynamicLayers;
use super::error::{ConfigErrors, Notice};
use super::groups::GroupsConfig;
use super::listener::Listener;
use super::settings::{Settings, Sources};
use super::topic::TopicDefaults;
use crate::types::NodeId;

use checks::Checks;

/// The node id of a broker whose configuration names none.
const NODE_ID_DEFAULT: i64 = 1;

/// A broker's configuration. Keys that no field shows are in [`BrokerConfig::settings`].
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// `node.id`.
    pub node_id: NodeId,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `corelog.cluster.id`: what a first start formats its directories with; unset for a random id.
    pub cluster_id: Option<String>,
    /// `log.dirs`, at least one.
    pub log_dirs: Vec<PathBuf>,
    /// `metadata.log.dir`, or the first log directory.
    pub metadata_log_dir: PathBuf,
    /// When snapshots of the metadata are written.
    pub metadata_snapshots: MetadataSnapshots,
    /// Listeners, connections and requests.
    pub network: NetworkConfig,
    /// Which CPUs run shards, and how many.
    pub shards: ShardsConfig,
    /// Timers and memory of the storage, other than what a topic can override.
    pub storage: StorageConfig,
    /// What a topic is created with.
    pub topic_creation: TopicCreation,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: usize,
    /// `max.request.partition.size.limit`.
    pub request_partitions_max: i32,
    /// `max.incremental.fetch.session.cache.slots`, all shards together.
    pub fetch_session_slots: usize,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration: Duration,
    /// Group coordinators.
    pub groups: GroupsConfig,
    /// `corelog.shutdown.timeout.ms`.
    pub shutdown_timeout: Duration,
    /// What topics inherit.
    pub topic_defaults: TopicDefaults,
    /// What is in force: the dynamic layers over what the broker was started with.
    settings: Settings,
    static_settings: Settings,
    dynamic: DynamicLayers,
}

/// When snapshots of the metadata are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataSnapshots {
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub record_bytes_max: u64,
    /// `metadata.log.max.snapshot.interval.ms`; `None` for no limit.
    pub interval_max: Option<Duration>,
}

/// Listeners, connections and requests.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Where to listen; at least one, none of the controller's.
    pub listeners: Vec<Listener>,
    /// What clients of each listener are told, by the same names; no host is empty. A port of 0 stands
    /// for the one the system chose.
    pub advertised_listeners: Vec<Listener>,
    /// The listener that brokers use among themselves.
    pub inter_broker_listener: String,
    /// `socket.send.buffer.bytes`, if it is set; `None` leaves it to the kernel.
    pub send_buffer_bytes: Option<usize>,
    /// `socket.receive.buffer.bytes`, if it is set; `None` leaves it to the kernel.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.request.max.bytes`.
    pub request_bytes_max: usize,
    /// `socket.listen.backlog.size`.
    pub listen_backlog: u32,
    /// `max.connections`, all shards together.
    pub connections_max: usize,
    /// `max.connections.per.ip`, all shards together.
    pub connections_per_ip_max: usize,
    /// `max.connection.creation.rate`, all shards together.
    pub connection_creation_rate_max: usize,
    /// `max.connections.per.ip.overrides`: host names or addresses with their limits.
    pub connections_per_ip_overrides: Vec<(String, usize)>,
    /// `connections.max.idle.ms`; `None` for never.
    pub idle_max: Option<Duration>,
    /// `corelog.connection.inflight.requests.max`.
    pub inflight_requests_max: usize,
    /// `corelog.connection.moves.after.requests`; 0 for never.
    pub moves_after_requests: usize,
    /// `corelog.fetch.zerocopy`.
    pub sends_in_place: bool,
}

/// Which CPUs run shards, and how many.
#[derive(Debug, Clone)]
pub struct ShardsConfig {
    /// `corelog.cpus`.
    pub cpus: CpuList,
    /// `corelog.shards`: another number of shards than one per CPU.
    pub count: Option<u16>,
}

/// Timers and memory of the storage.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// `log.initial.task.delay.ms`.
    pub initial_task_delay: Duration,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
    /// `log.flush.offset.checkpoint.interval.ms`.
    pub recovery_point_checkpoint_interval: Duration,
    /// `log.flush.start.offset.checkpoint.interval.ms`.
    pub log_start_checkpoint_interval: Duration,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub high_watermark_checkpoint_interval: Duration,
    /// Compaction.
    pub cleaner: CleanerConfig,
    /// `corelog.cache.bytes`, per shard.
    pub cache_bytes: usize,
    /// `corelog.fetch.sendfile`.
    pub sends_files: bool,
    /// `corelog.staged.bytes.max`, per shard.
    pub staged_bytes_max: usize,
    /// `corelog.open.files.max`, per shard.
    pub open_files_max: usize,
    /// `corelog.verify.bytes.per.second`, per shard; 0 for no verification.
    pub verify_bytes_per_second: usize,
    /// `corelog.journal.enable`, and the journal of each log directory.
    pub journal: Option<JournalSettings>,
}

/// The journal of a log directory.
#[derive(Debug, Clone, Copy)]
pub struct JournalSettings {
    /// `corelog.journal.bytes`.
    pub bytes: u64,
    /// `corelog.journal.bypass.bytes`.
    pub bypass_bytes: usize,
    /// `corelog.journal.segment.delay.ms`.
    pub segment_delay: Duration,
}

/// How compaction goes about its work. Amounts are for all shards together.
#[derive(Debug, Clone, Copy)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`.
    pub enable: bool,
    /// `log.cleaner.backoff.ms`.
    pub backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size`.
    pub dedupe_buffer_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`, above 0 and at most 1.
    pub load_factor: f64,
    /// `log.cleaner.io.max.bytes.per.second`, reads and writes together.
    pub io_bytes_per_second_max: f64,
}

/// What a topic is created with, and whether it can be.
#[derive(Debug, Clone)]
pub struct TopicCreation {
    /// `num.partitions`.
    pub partitions: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create: bool,
    /// `delete.topic.enable`.
    pub delete_enable: bool,
}

impl BrokerConfig {
    /// Merges and checks the sources. The notices are for the log.
    pub fn load(sources: &Sources<'_>) -> Result<(Self, Vec<Notice>), ConfigErrors> {
        let (settings, mut notices) = Settings::load(sources)?;
        let mut checks = Checks { settings: &settings, errors: Vec::new() };
        checks.times();
        checks.roles();
        let node_id = checks.node_id();
        let cpus = checks.cpus();
        let network = checks.network(sources.host_name, &mut notices);
        let errors = checks.errors;
        let (true, Some(cpus), Some(network)) = (errors.is_empty(), cpus, network) else {
            return Err(ConfigErrors(errors));
        };
        Ok((Self::of(settings, node_id, cpus, network), notices))
    }

    /// Every key, for those that no field shows.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What this broker was started with, without dynamic changes.
    pub(super) fn static_settings(&self) -> &Settings {
        &self.static_settings
    }

    /// The dynamic changes in force.
    pub fn dynamic_layers(&self) -> &DynamicLayers {
        &self.dynamic
    }

    /// This configuration with other dynamic layers than it has now. Every field that comes from a dynamic
    /// key has its new value; the others stay until the next start.
    pub fn with_dynamic(&self, layers: DynamicLayers) -> Self {
        let settings = self.static_settings.overlaid(&layers);
        Self {
            network: NetworkConfig {
                connections_max: settings.size("max.connections"),
                connections_per_ip_max: settings.size("max.connections.per.ip"),
                connection_creation_rate_max: settings.size("max.connection.creation.rate"),
                ..self.network.clone()
            },
            storage: StorageConfig { cleaner: cleaner(&settings), ..self.storage.clone() },
            producer_id_expiration: millis(&settings, "producer.id.expiration.ms"),
            // Keys of groups that need a restart are as they were: the layers hold no others.
            groups: GroupsConfig::of(&settings),
            topic_defaults: TopicDefaults::of(&settings),
            settings,
            dynamic: layers,
            ..self.clone()
        }
    }

    /// The checks that dynamic keys take part in.
    pub(super) fn check_times(&self) -> Result<(), ConfigErrors> {
        let mut checks = Checks { settings: &self.settings, errors: Vec::new() };
        checks.times();
        if checks.errors.is_empty() { Ok(()) } else { Err(ConfigErrors(checks.errors)) }
    }

    fn of(settings: Settings, node_id: NodeId, cpus: CpuList, network: NetworkConfig) -> Self {
        let log_dirs = settings.list("log.dirs").or_else(|| settings.list("log.dir"));
        let log_dirs: Vec<PathBuf> =
            log_dirs.expect("log.dir has a default").into_iter().map(PathBuf::from).collect();
        let metadata_log_dir = settings.text("metadata.log.dir").map(PathBuf::from);
        let count = settings.integer_or_null("corelog.shards");
        Self {
            node_id,
            rack: settings.text("broker.rack").map(str::to_owned),
            cluster_id: settings.text("corelog.cluster.id").map(str::to_owned),
            metadata_log_dir: metadata_log_dir.unwrap_or_else(|| log_dirs[0].clone()),
            metadata_snapshots: MetadataSnapshots {
                record_bytes_max: settings.size("metadata.log.max.record.bytes.between.snapshots") as u64,
                interval_max: Some(millis(&settings, "metadata.log.max.snapshot.interval.ms"))
                    .filter(|interval| !interval.is_zero()),
            },
            log_dirs,
            network,
            shards: ShardsConfig { cpus, count: count.map(|count| u16::try_from(count).expect("bounded")) },
            storage: storage(&settings),
            topic_creation: TopicCreation {
                partitions: i32::try_from(settings.integer("num.partitions")).expect("an INT"),
                replication_factor: replication_factor(&settings),
                auto_create: settings.boolean("auto.create.topics.enable"),
                delete_enable: settings.boolean("delete.topic.enable"),
            },
            fetch_max_bytes: settings.size("fetch.max.bytes"),
            request_partitions_max: i32::try_from(settings.integer("max.request.partition.size.limit"))
                .expect("an INT"),
            fetch_session_slots: settings.size("max.incremental.fetch.session.cache.slots"),
            producer_id_expiration: millis(&settings, "producer.id.expiration.ms"),
            groups: GroupsConfig::of(&settings),
            shutdown_timeout: millis(&settings, "corelog.shutdown.timeout.ms"),
            topic_defaults: TopicDefaults::of(&settings),
            static_settings: settings.clone(),
            settings,
            dynamic: DynamicLayers::default(),
        }
    }
}

fn storage(settings: &Settings) -> StorageConfig {
    StorageConfig {
        initial_task_delay: millis(settings, "log.initial.task.delay.ms"),
        retention_check_interval: millis(settings, "log.retention.check.interval.ms"),
        recovery_point_checkpoint_interval: millis(settings, "log.flush.offset.checkpoint.interval.ms"),
        log_start_checkpoint_interval: millis(settings, "log.flush.start.offset.checkpoint.interval.ms"),
        high_watermark_checkpoint_interval: millis(settings, "replica.high.watermark.checkpoint.interval.ms"),
        cleaner: cleaner(settings),
        cache_bytes: settings.size("corelog.cache.bytes"),
        sends_files: settings.boolean("corelog.fetch.sendfile"),
        staged_bytes_max: settings.size("corelog.staged.bytes.max"),
        open_files_max: settings.size("corelog.open.files.max"),
        verify_bytes_per_second: settings.size("corelog.verify.bytes.per.second"),
        journal: settings.boolean("corelog.journal.enable").then(|| journal(settings)),
    }
}

fn journal(settings: &Settings) -> JournalSettings {
    JournalSettings {
        bytes: settings.size("corelog.journal.bytes") as u64,
        bypass_bytes: settings.size("corelog.journal.bypass.bytes"),
        segment_delay: millis(settings, "corelog.journal.segment.delay.ms"),
    }
}

fn cleaner(settings: &Settings) -> CleanerConfig {
    CleanerConfig {
        enable: settings.boolean("log.cleaner.enable"),
        backoff: millis(settings, "log.cleaner.backoff.ms"),
        dedupe_buffer_bytes: usize::try_from(settings.integer("log.cleaner.dedupe.buffer.size")).unwrap_or(0),
        load_factor: settings.double("log.cleaner.io.buffer.load.factor").clamp(0.01, 1.0),
        io_bytes_per_second_max: settings.double("log.cleaner.io.max.bytes.per.second").max(1.0),
    }
}

/// Kafka's key is an `INT`, the wire's field 16 bits wide; no cluster has so many brokers.
fn replication_factor(settings: &Settings) -> i16 {
    i16::try_from(settings.integer("default.replication.factor")).unwrap_or(i16::MAX)
}

/// The value of a key in milliseconds that is not negative.
fn millis(settings: &Settings, name: &str) -> Duration {
    Duration::from_millis(u64::try_from(settings.integer(name)).unwrap_or(0))
}
