//! Listeners: `NAME://host:port`, the protocol a name speaks, and what is advertised to clients.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// What is spoken on a connection before and around Kafka's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Nothing: requests in the clear.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL in the clear.
    SaslPlaintext,
    /// SASL within TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// The protocol with Kafka's name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "PLAINTEXT" => Some(Self::Plaintext),
            "SSL" => Some(Self::Ssl),
            "SASL_PLAINTEXT" => Some(Self::SaslPlaintext),
            "SASL_SSL" => Some(Self::SaslSsl),
            _ => None,
        }
    }

    /// Kafka's name of the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// Kafka's number of the protocol, as in a broker's registration.
    pub fn id(self) -> i16 {
        match self {
            Self::Plaintext => 0,
            Self::Ssl => 1,
            Self::SaslPlaintext => 2,
            Self::SaslSsl => 3,
        }
    }
}

/// A named address, to listen on or to be told to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The name, in upper case.
    pub name: String,
    /// A host name or address without brackets; empty to listen on every address.
    pub host: String,
    /// The port; 0 lets the system choose one.
    pub port: u16,
    /// What is spoken on it.
    pub protocol: SecurityProtocol,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "{}://[{}]:{}", self.name, self.host, self.port),
            false => write!(f, "{}://{}:{}", self.name, self.host, self.port),
        }
    }
}

/// Which protocol each listener name speaks.
pub(super) type ProtocolMap = BTreeMap<String, SecurityProtocol>;

/// Reads `NAME:PROTOCOL,...`.
pub(super) fn parse_protocol_map(text: &str) -> Result<ProtocolMap, String> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(parse_mapping).collect()
}

fn parse_mapping(entry: &str) -> Result<(String, SecurityProtocol), String> {
    let (name, protocol) = entry.rsplit_once(':').ok_or_else(|| format!("'{entry}' is not NAME:PROTOCOL"))?;
    let known = SecurityProtocol::from_name(protocol.trim()).ok_or_else(|| {
        format!("'{protocol}' is no protocol; expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    })?;
    Ok((name.trim().to_uppercase(), known))
}

/// Reads `NAME://host:port` entries whose names must have a protocol and be distinct.
pub(super) fn parse_listeners(entries: &[String], protocols: &ProtocolMap) -> Result<Vec<Listener>, String> {
    let mut listeners: Vec<Listener> = Vec::with_capacity(entries.len());
    for entry in entries {
        let listener = parse_listener(entry, protocols)?;
        if listeners.iter().any(|other| other.name == listener.name) {
            return Err(format!("two listeners have the name {}", listener.name));
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

fn parse_listener(entry: &str, protocols: &ProtocolMap) -> Result<Listener, String> {
    let malformed = || format!("'{entry}' is not NAME://host:port");
    let (name, address) = entry.split_once("://").ok_or_else(malformed)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(malformed)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host_is_clean = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte));
    if name.is_empty() || !host_is_clean {
        return Err(malformed());
    }
    let port = port.parse().map_err(|_| format!("'{entry}': '{port}' is no port, expected 0 to 65535"))?;
    let name = name.trim().to_uppercase();
    let protocol = *protocols.get(&name).ok_or_else(|| {
        format!("listener {name} has no protocol; add {name}:PLAINTEXT to listener.security.protocol.map")
    })?;
    Ok(Listener { name, host: host.to_owned(), port, protocol })
}

/// Refuses two listeners on one port, except one on IPv4 and one on IPv6
/// (`AbstractKafkaConfig.validate`). Port 0 is another port each time.
pub(super) fn check_ports(listeners: &[Listener]) -> Result<(), String> {
    for (index, listener) in listeners.iter().enumerate() {
        for other in &listeners[..index] {
            let same_port = listener.port == other.port && listener.port != 0;
            if same_port && !are_distinct_families(&listener.host, &other.host) {
                return Err(format!("{other} and {listener} have the same port"));
            }
        }
    }
    Ok(())
}

fn are_distinct_families(left: &str, right: &str) -> bool {
    match (left.parse::<IpAddr>(), right.parse::<IpAddr>()) {
        (Ok(left), Ok(right)) => left.is_ipv4() != right.is_ipv4(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &str) -> Result<Vec<Listener>, String> {
        let entries: Vec<String> = entries.split(',').map(str::to_owned).collect();
        let protocols = parse_protocol_map("PLAINTEXT:PLAINTEXT, inside:PLAINTEXT,SSL:SSL").unwrap();
        let listeners = parse_listeners(&entries, &protocols)?;
        check_ports(&listeners)?;
        Ok(listeners)
    }

    #[test]
    fn listeners_are_read_as_kafka_reads_them() {
        let cases = [
            ("PLAINTEXT://:9092", "PLAINTEXT", "", 9092),
            ("plaintext://localhost:0", "PLAINTEXT", "localhost", 0),
            ("INSIDE://[::1]:1", "INSIDE", "::1", 1),
            ("SSL://10.0.0.1:65535", "SSL", "10.0.0.1", 65_535),
        ];
        for (text, name, host, port) in cases {
            let listener = &parse(text).unwrap()[0];
            assert_eq!((listener.name.as_str(), listener.host.as_str(), listener.port), (name, host, port));
        }
        assert_eq!(parse("INSIDE://[::1]:1").unwrap()[0].to_string(), "INSIDE://[::1]:1");
        assert_eq!(parse("PLAINTEXT://0.0.0.0:9,INSIDE://[::]:9").unwrap().len(), 2);
        assert_eq!(parse("PLAINTEXT://:0,INSIDE://:0").unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_with_a_listener_is_named() {
        let cases = [
            ("localhost:9092", "'localhost:9092' is not NAME://host:port"),
            ("://x:1", "'://x:1' is not NAME://host:port"),
            ("PLAINTEXT://a/b:1", "'PLAINTEXT://a/b:1' is not NAME://host:port"),
            ("PLAINTEXT://a:x", "'PLAINTEXT://a:x': 'x' is no port, expected 0 to 65535"),
            ("PLAINTEXT://a:65536", "'PLAINTEXT://a:65536': '65536' is no port, expected 0 to 65535"),
            (
                "OUT://a:1",
                "listener OUT has no protocol; add OUT:PLAINTEXT to listener.security.protocol.map",
            ),
            ("PLAINTEXT://a:1,plaintext://b:2", "two listeners have the name PLAINTEXT"),
            ("PLAINTEXT://a:1,INSIDE://b:1", "PLAINTEXT://a:1 and INSIDE://b:1 have the same port"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
        assert!(parse_protocol_map("A:TLS").unwrap_err().contains("'TLS' is no protocol"));
    }
}
