//! What the values of a broker's configuration have to be to each other.

use std::time::Duration;

use super::{NODE_ID_DEFAULT, NetworkConfig};
use crate::config::cpus::CpuList;
use crate::config::error::{ConfigError, Notice, Origin};
use crate::config::listener::{self, Listener, SecurityProtocol};
use crate::config::settings::Settings;
use crate::types::NodeId;

/// Collects what is wrong; what it returns is checked.
pub(super) struct Checks<'a> {
    pub(super) settings: &'a Settings,
    pub(super) errors: Vec<ConfigError>,
}

impl Checks<'_> {
    fn refuse(&mut self, name: &str, reason: impl Into<String>) {
        self.errors.push(self.settings.invalid(name, reason));
    }

    /// `KafkaConfig.validateValues`.
    pub(super) fn times(&mut self) {
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

    pub(super) fn roles(&mut self) {
        let Some(roles) = self.settings.list("process.roles") else { return };
        if roles.len() != 2 {
            self.refuse(
                "process.roles",
                "only the combined form exists so far: set broker,controller or remove the key",
            );
        }
    }

    pub(super) fn node_id(&mut self) -> NodeId {
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

    pub(super) fn cpus(&mut self) -> Option<CpuList> {
        let text = self.settings.text("corelog.cpus").expect("it has a default");
        match CpuList::parse(text) {
            Ok(cpus) => Some(cpus),
            Err(reason) => {
                self.refuse("corelog.cpus", reason);
                None
            }
        }
    }

    pub(super) fn network(&mut self, host_name: &str, notices: &mut Vec<Notice>) -> Option<NetworkConfig> {
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
