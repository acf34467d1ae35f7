//! The configuration of a broker, typed and checked as a whole.

use std::path::PathBuf;
use std::time::Duration;

use super::cpus::CpuList;
use super::dynamic::DynamicLayers;
use super::error::{ConfigError, ConfigErrors, Notice, Origin};
use super::groups::GroupsConfig;
use super::listener::{self, Listener, SecurityProtocol};
use super::settings::{Settings, Sources};
use super::topic::TopicDefaults;
use crate::types::NodeId;

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

/// Checks of values against each other.
struct Checks<'a> {
    settings: &'a Settings,
    errors: Vec<ConfigError>,
}

impl Checks<'_> {
    fn refuse(&mut self, name: &str, reason: impl Into<String>) {
        self.errors.push(self.settings.invalid(name, reason));
    }

    /// `KafkaConfig.validateValues`.
    fn times(&mut self) {
        for (name, least, no_limit) in [
            ("log.roll.ms", 1, false),
            ("log.roll.jitter.ms", 0, false),
            ("log.retention.ms", 1, true),
            ("log.retention.minutes", 1, true),
            ("log.retention.hours", 1, true),
        ] {
            let Some(value) = self.settings.integer_or_null(name) else { continue };
            if value < least && !(no_limit && value == -1) {
                let or_none = if no_limit { " or -1 for no limit" } else { "" };
                self.refuse(name, format!("Value must be at least {least}{or_none}"));
            }
        }
        let lag = |name| self.settings.integer(name);
        let least = lag("log.cleaner.min.compaction.lag.ms");
        let most = lag("log.cleaner.max.compaction.lag.ms");
        if most < least {
            self.refuse(
                "log.cleaner.max.compaction.lag.ms",
                format!("must be at least the minimum, {least}"),
            );
        }
    }

    fn roles(&mut self) {
        let Some(roles) = self.settings.list("process.roles") else { return };
        if roles.len() != 2 {
            self.refuse(
                "process.roles",
                "only the combined form exists so far: set broker,controller or remove the key",
            );
        }
    }

    fn node_id(&mut self) -> NodeId {
        let node_id = self.settings.integer_or_null("node.id");
        let broker_id = Some(self.settings.integer("broker.id")).filter(|&id| id != -1);
        if let (Some(node_id), Some(broker_id)) = (node_id, broker_id)
            && node_id != broker_id
        {
            self.refuse("broker.id", format!("must equal node.id={node_id}; remove one of the two"));
        }
        let id = node_id.or(broker_id).unwrap_or(NODE_ID_DEFAULT);
        if id < 0 {
            self.refuse("broker.id", "must not be negative");
        }
        NodeId(i32::try_from(id).expect("an INT"))
    }

    fn cpus(&mut self) -> Option<CpuList> {
        let text = self.settings.text("corelog.cpus").expect("it has a default");
        match CpuList::parse(text) {
            Ok(cpus) => Some(cpus),
            Err(reason) => {
                self.refuse("corelog.cpus", reason);
                None
            }
        }
    }

    fn network(&mut self, host_name: &str, notices: &mut Vec<Notice>) -> Option<NetworkConfig> {
        let listeners = self.listeners(notices)?;
        let advertised_listeners = self.advertised(&listeners, host_name)?;
        let inter_broker_listener = self.inter_broker_listener(&listeners)?;
        let settings = self.settings;
        let buffer =
            |name| settings.is_set(name).then(|| usize::try_from(settings.integer(name)).ok()).flatten();
        let connections_per_ip_overrides = self.connections_per_ip_overrides()?;
        let idle_ms = u64::try_from(settings.integer("connections.max.idle.ms")).ok();
        Some(NetworkConfig {
            listeners,
            advertised_listeners,
            inter_broker_listener,
            send_buffer_bytes: buffer("socket.send.buffer.bytes"),
            receive_buffer_bytes: buffer("socket.receive.buffer.bytes"),
            request_bytes_max: settings.size("socket.request.max.bytes"),
            listen_backlog: u32::try_from(settings.size("socket.listen.backlog.size")).expect("an INT"),
            connections_max: settings.size("max.connections"),
            connections_per_ip_max: settings.size("max.connections.per.ip"),
            connection_creation_rate_max: settings.size("max.connection.creation.rate"),
            connections_per_ip_overrides,
            idle_max: idle_ms.map(Duration::from_millis),
            inflight_requests_max: settings.size("corelog.connection.inflight.requests.max"),
            moves_after_requests: settings.size("corelog.connection.moves.after.requests"),
            sends_in_place: settings.boolean("corelog.fetch.zerocopy"),
        })
    }

    fn connections_per_ip_overrides(&mut self) -> Option<Vec<(String, usize)>> {
        const OVERRIDES: &str = "max.connections.per.ip.overrides";
        let entries = self.settings.text(OVERRIDES).expect("it has a default");
        let entries = entries.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let mut overrides = Vec::new();
        for entry in entries {
            match parse_connection_override(entry) {
                Ok(parsed) => overrides.push(parsed),
                Err(reason) => {
                    self.refuse(OVERRIDES, reason);
                    return None;
                }
            }
        }
        if overrides.is_empty() && self.settings.size("max.connections.per.ip") == 0 {
            self.refuse("max.connections.per.ip", format!("0 is for brokers with {OVERRIDES} only"));
        }
        Some(overrides)
    }

    fn parse_listeners(&mut self, name: &str, entries: &[String]) -> Option<Vec<Listener>> {
        let map = self.settings.text("listener.security.protocol.map").expect("it has a default");
        let mut protocols = match listener::parse_protocol_map(map) {
            Ok(protocols) => protocols,
            Err(reason) => {
                self.refuse("listener.security.protocol.map", reason);
                return None;
            }
        };
        // As Kafka does while the map is not set: the controller's listeners speak PLAINTEXT.
        if !self.settings.is_set("listener.security.protocol.map") {
            for controller in self.controller_listeners() {
                protocols.entry(controller).or_insert(SecurityProtocol::Plaintext);
            }
        }
        match listener::parse_listeners(entries, &protocols) {
            Ok(listeners) => Some(listeners),
            Err(reason) => {
                self.refuse(name, reason);
                None
            }
        }
    }

    fn controller_listeners(&self) -> Vec<String> {
        let names = self.settings.list("controller.listener.names").unwrap_or_default();
        names.into_iter().map(|name| name.to_uppercase()).collect()
    }

    fn listeners(&mut self, notices: &mut Vec<Notice>) -> Option<Vec<Listener>> {
        let entries = self.listener_entries();
        let mut listeners = self.parse_listeners("listeners", &entries)?;
        if let Err(reason) = listener::check_ports(&listeners) {
            self.refuse("listeners", reason);
            return None;
        }
        let controller = self.controller_listeners();
        listeners.retain(|listener| {
            let is_controller = controller.contains(&listener.name);
            if is_controller {
                notices.push(Notice::ControllerListener { listener: listener.name.clone() });
            }
            !is_controller
        });
        if listeners.is_empty() {
            self.refuse("listeners", "every listener is in controller.listener.names; add one for clients");
            return None;
        }
        self.refuse_protected("listeners", &listeners);
        Some(listeners)
    }

    /// Whoever advertises an address and has no file does not mean the built-in listener, which only this
    /// host reaches: as in Kafka's container image, every address is listened on at the advertised ports.
    fn listener_entries(&self) -> Vec<String> {
        let advertised = self.settings.list("advertised.listeners");
        match (self.settings.origin("listeners"), advertised) {
            (Origin::BuiltIn, Some(advertised)) => {
                advertised.iter().map(|entry| on_every_address(entry)).collect()
            }
            _ => self.settings.list("listeners").expect("it has a default"),
        }
    }

    fn refuse_protected(&mut self, name: &str, listeners: &[Listener]) {
        for listener in listeners {
            if listener.protocol != SecurityProtocol::Plaintext {
                let protocol = listener.protocol.name();
                let listener = &listener.name;
                self.refuse(
                    name,
                    format!("listener {listener} speaks {protocol}; only PLAINTEXT exists so far"),
                );
            }
        }
    }

    fn advertised(&mut self, listeners: &[Listener], host_name: &str) -> Option<Vec<Listener>> {
        let Some(entries) = self.settings.list("advertised.listeners") else {
            return Some(listeners.iter().map(|listener| routable(listener, host_name)).collect());
        };
        let controller = self.controller_listeners();
        let mut advertised = self.parse_listeners("advertised.listeners", &entries)?;
        advertised.retain(|listener| !controller.contains(&listener.name));
        for listener in &advertised {
            if !listeners.iter().any(|other| other.name == listener.name) {
                self.refuse("advertised.listeners", format!("{} is not in listeners", listener.name));
            }
            if listener.host == "0.0.0.0" || listener.host == "::" {
                let reason =
                    format!("clients cannot connect to {}; use an address of this host", listener.host);
                self.refuse("advertised.listeners", reason);
            }
        }
        if advertised.is_empty() {
            self.refuse("advertised.listeners", "no listener for clients is advertised");
        }
        Some(advertised.iter().map(|listener| routable(listener, host_name)).collect())
    }

    fn inter_broker_listener(&mut self, listeners: &[Listener]) -> Option<String> {
        let name = self.settings.text("inter.broker.listener.name").map(str::to_uppercase);
        let Some(name) = name else {
            // Kafka wants one of `security.inter.broker.protocol`; alone, any listener will do.
            return Some(listeners[0].name.clone());
        };
        if listeners.iter().any(|listener| listener.name == name) {
            return Some(name);
        }
        self.refuse("inter.broker.listener.name", "no listener has this name");
        None
    }
}

/// Reads `host:count`. The count is behind the last colon, so that an IPv6 address needs no brackets; it may
/// have them all the same.
fn parse_connection_override(entry: &str) -> Result<(String, usize), String> {
    let (host, count) = entry.rsplit_once(':').ok_or_else(|| format!("'{entry}': expected host:count"))?;
    let count: i32 = count.trim().parse().map_err(|_| format!("'{entry}': '{count}' is no count"))?;
    let host = host.trim().trim_start_matches('[').trim_end_matches(']');
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-._:%".contains(letter);
    if host.is_empty() || !host.chars().all(is_allowed) {
        return Err(format!("'{entry}': '{host}' is neither a host name nor an address"));
    }
    // Kafka takes a negative count for one that nobody can stay below.
    Ok((host.to_owned(), usize::try_from(count).unwrap_or(0)))
}

/// `NAME://host:port` without its host.
fn on_every_address(entry: &str) -> String {
    match (entry.split_once("://"), entry.rsplit_once(':')) {
        (Some((name, _)), Some((_, port))) => format!("{name}://:{port}"),
        _ => entry.to_owned(),
    }
}

/// A wildcard address is advertised as this host's name.
fn routable(listener: &Listener, host_name: &str) -> Listener {
    let is_wildcard = matches!(listener.host.as_str(), "" | "0.0.0.0" | "::");
    let host = if is_wildcard { host_name } else { &listener.host };
    Listener { host: host.to_owned(), ..listener.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::settings::ConfigFile;
    use super::*;

    fn load(text: &str) -> Result<(BrokerConfig, Vec<Notice>), ConfigErrors> {
        let file = Some(ConfigFile { path: "f", text });
        BrokerConfig::load(&Sources { file, host_name: "here", ..Sources::default() })
    }

    fn shown(listeners: &[Listener]) -> Vec<String> {
        listeners.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_set_is_kafkas_default_broker() {
        let (config, notices) = load("").unwrap();
        assert_eq!(notices, []);
        assert_eq!(config.node_id, NodeId(1));
        assert_eq!(config.log_dirs, [PathBuf::from("/tmp/kafka-logs")]);
        assert_eq!(shown(&config.network.listeners), ["PLAINTEXT://:9092"]);
        assert_eq!(shown(&config.network.advertised_listeners), ["PLAINTEXT://here:9092"]);
        assert_eq!(config.topic_creation.partitions, 1);
        assert_eq!(config.shards.cpus, CpuList::All);
    }

    #[test]
    fn connection_limits_of_addresses_are_read() {
        let overrides = "max.connections.per.ip.overrides";
        let (config, _) = load(&format!("{overrides}=localhost:7, 10.0.0.1:0,,fe80::1:5,[::1]:9")).unwrap();
        let expected = [("localhost", 7), ("10.0.0.1", 0), ("fe80::1", 5), ("::1", 9)];
        let expected = expected.map(|(host, count)| (host.to_owned(), count));
        assert_eq!(config.network.connections_per_ip_overrides, expected);
        let check = |text: &str, said: &str| {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        };
        check(&format!("{overrides}=localhost"), "'localhost': expected host:count");
        check(&format!("{overrides}=localhost:many"), "'many' is no count");
        check(&format!("{overrides}=:5"), "neither a host name");
        check(&format!("{overrides}=a b:5"), "neither a host name");
        check("max.connections.per.ip=0", "max.connections.per.ip=0");
        assert!(load(&format!("max.connections.per.ip=0\n{overrides}=localhost:1")).is_ok());
    }

    #[test]
    fn the_built_in_broker_serves_this_host_only() {
        let (config, _) = BrokerConfig::load(&Sources { host_name: "here", ..Sources::default() }).unwrap();
        assert_eq!(shown(&config.network.advertised_listeners), ["PLAINTEXT://127.0.0.1:9092"]);
        assert_eq!(config.metadata_log_dir, PathBuf::from("./corelog-data"));
    }

    #[test]
    fn advertising_an_address_alone_listens_on_all() {
        let environment =
            [("KAFKA_ADVERTISED_LISTENERS".to_owned(), "PLAINTEXT://broker.example:19092".to_owned())];
        let sources = Sources { environment: &environment, host_name: "here", ..Sources::default() };
        let (config, _) = BrokerConfig::load(&sources).unwrap();
        assert_eq!(shown(&config.network.listeners), ["PLAINTEXT://:19092"]);
        assert_eq!(shown(&config.network.advertised_listeners), ["PLAINTEXT://broker.example:19092"]);
    }

    #[test]
    fn a_combined_kafka_file_loads() {
        let text = "process.roles=broker,controller\nnode.id=3\ncontroller.quorum.voters=3@localhost:9093\n\
            listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
            advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
            controller.listener.names=CONTROLLER\n\
            listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
            num.network.threads=3\nlog.dirs=/a,/b\noffsets.topic.replication.factor=1";
        let (config, notices) = load(text).unwrap();
        assert_eq!(config.node_id, NodeId(3));
        assert_eq!(shown(&config.network.listeners), ["PLAINTEXT://:9092"]);
        assert_eq!(shown(&config.network.advertised_listeners), ["PLAINTEXT://localhost:9092"]);
        assert_eq!(config.log_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(config.metadata_log_dir, PathBuf::from("/a"));
        assert!(notices.iter().all(|notice| !notice.is_warning()), "{notices:?}");
    }

    #[test]
    fn contradictions_are_named() {
        let cases = [
            ("node.id=1\nbroker.id=2", "f:2: broker.id=2: must equal node.id=1"),
            ("process.roles=broker", "f:1: process.roles=broker: only the combined form exists"),
            ("listeners=SSL://:9093", "f:1: listeners=SSL://:9093: listener SSL speaks SSL"),
            ("listeners=OUT://:1", "f:1: listeners=OUT://:1: listener OUT has no protocol"),
            ("listeners=A:1", "f:1: listeners=A:1: 'A:1' is not NAME://host:port"),
            ("advertised.listeners=PLAINTEXT://0.0.0.0:1", "clients cannot connect to 0.0.0.0"),
            ("advertised.listeners=SSL://x:1", "SSL is not in listeners"),
            ("inter.broker.listener.name=x", "inter.broker.listener.name=x: no listener has this name"),
            ("log.retention.ms=0", "f:1: log.retention.ms=0: Value must be at least 1 or -1 for no limit"),
            ("log.roll.ms=0", "f:1: log.roll.ms=0: Value must be at least 1"),
            ("corelog.cpus=x", "f:1: corelog.cpus=x: 'x' is no CPU or range of CPUs"),
            ("log.cleaner.min.compaction.lag.ms=2\nlog.cleaner.max.compaction.lag.ms=1", "the minimum, 2"),
        ];
        for (text, expected) in cases {
            let errors = load(text).unwrap_err().to_string();
            assert!(errors.contains(expected), "{text}: {errors}");
        }
    }

    #[test]
    fn older_and_optional_keys_are_honoured() {
        assert_eq!(load("broker.id=7").unwrap().0.node_id, NodeId(7));
        let (config, _) = load("log.dir=/x\nmetadata.log.dir=/m\nconnections.max.idle.ms=-1").unwrap();
        assert_eq!(config.log_dirs, [PathBuf::from("/x")]);
        assert_eq!(config.metadata_log_dir, PathBuf::from("/m"));
        assert_eq!(config.network.idle_max, None);
        let (config, _) = load("corelog.shards=4\ncorelog.cpus=0-1").unwrap();
        assert_eq!(config.shards.count, Some(4));
        for (value, expected) in [("-1", None), ("50000", Some(50_000))] {
            let (config, _) = load(&format!("socket.send.buffer.bytes={value}")).unwrap();
            assert_eq!(config.network.send_buffer_bytes, expected);
            assert_eq!(config.network.receive_buffer_bytes, None, "left out, it is left to the kernel");
        }
    }
}
