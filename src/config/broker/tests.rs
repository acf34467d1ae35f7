//! Whole files of keys, and what is refused.

use super::*;
use crate::config::settings::ConfigFile;

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
