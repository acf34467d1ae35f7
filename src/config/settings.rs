//! The layers a configuration comes from, merged: defaults < file < environment < `--override`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dynamic::DynamicLayers;
use super::error::{ConfigError, ConfigErrors, Notice, Origin};
use super::key::{DynamicMode, Key, Support, Value};
use super::{keys, properties};

/// Used when no file is given: a broker for this host only, with its data beside it.
pub const BUILT_IN: &str = "\
listeners=PLAINTEXT://127.0.0.1:9092
log.dirs=./corelog-data
";

/// Variables that Kafka's start scripts read and that are no keys (`KafkaDockerWrapper`).
const SCRIPT_VARIABLES: [&str; 12] = [
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPT",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_JMX_HOSTNAME",
];

/// A configuration file.
#[derive(Debug, Clone, Copy)]
pub struct ConfigFile<'a> {
    /// Its path, for messages.
    pub path: &'a str,
    /// Its contents.
    pub text: &'a str,
}

/// Everything a configuration is made of. Reading the file and the environment is the caller's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources<'a> {
    /// The file; without one the built-in configuration stands in.
    pub file: Option<ConfigFile<'a>>,
    /// The environment; variables that are no keys are skipped.
    pub environment: &'a [(String, String)],
    /// Each `--override KEY=VALUE`, in order.
    pub overrides: &'a [String],
    /// This host's name, for advertised listeners without a host.
    pub host_name: &'a str,
}

#[derive(Debug, Clone)]
struct Setting {
    text: String,
    value: Value,
    origin: Origin,
}

/// The keys that somebody set, checked; a key that nobody set has its default.
#[derive(Debug, Clone)]
pub struct Settings(BTreeMap<&'static str, Setting>);

impl Settings {
    /// Merges and checks the sources. Every value that is wrong is reported, not only the first.
    pub(super) fn load(sources: &Sources<'_>) -> Result<(Self, Vec<Notice>), ConfigErrors> {
        let mut errors = Vec::new();
        let assignments = collect(sources, &mut errors);
        let mut settings = BTreeMap::new();
        let mut notices = Vec::new();
        for (name, (text, origin)) in assignments {
            let Some(key) = keys::broker_key(&name) else {
                notices.push(unknown(name, origin));
                continue;
            };
            match check(key, text, origin, &mut notices) {
                Ok(setting) => drop(settings.insert(key.name, setting)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok((Self(settings), notices)) } else { Err(ConfigErrors(errors)) }
    }

    /// These settings with dynamic ones over them, a broker's own over those of all brokers. A value that
    /// breaks its key's rules, as after a downgrade, counts as absent.
    pub(super) fn overlaid(&self, layers: &DynamicLayers) -> Self {
        let mut merged = self.0.clone();
        for (overrides, origin) in
            [(&layers.cluster, Origin::DynamicDefault), (&layers.broker, Origin::DynamicBroker)]
        {
            for (name, text) in overrides {
                let dynamic = keys::broker_key(name).filter(|key| key.dynamic != DynamicMode::ReadOnly);
                if let Some((key, Ok(value))) = dynamic.map(|key| (key, key.check(text))) {
                    let text = text.trim().to_owned();
                    merged.insert(key.name, Setting { text, value, origin: origin.clone() });
                }
            }
        }
        Self(merged)
    }

    /// Where the key's value comes from.
    pub fn origin(&self, name: &str) -> Origin {
        self.0.get(name).map_or(Origin::Default, |setting| setting.origin.clone())
    }

    /// Whether somebody set the key, be it to its default.
    pub fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The key's value as text; `None` when it is null.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(setting) => Some(&setting.text),
            None => self.key(name).default,
        }
    }

    /// The value of a `BOOLEAN`.
    pub(super) fn boolean(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Boolean(value)) => value,
            other => unreachable!("{name} has a BOOLEAN default, found {other:?}"),
        }
    }

    /// The value of a `SHORT`, `INT` or `LONG`; `None` when it is null.
    pub(super) fn integer_or_null(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            Some(Value::Integer(value)) => Some(value),
            None => None,
            other => unreachable!("{name} is an integer, found {other:?}"),
        }
    }

    /// The value of a `SHORT`, `INT` or `LONG` that has a default.
    pub(super) fn integer(&self, name: &str) -> i64 {
        self.integer_or_null(name).unwrap_or_else(|| unreachable!("{name} has a default"))
    }

    /// The value of an `INT` of at least 0 that has a default.
    pub(super) fn size(&self, name: &str) -> usize {
        usize::try_from(self.integer(name)).unwrap_or_else(|_| unreachable!("{name} is bounded by 0"))
    }

    /// The value of a `DOUBLE` that has a default.
    pub(super) fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Some(Value::Double(value)) => value,
            other => unreachable!("{name} has a DOUBLE default, found {other:?}"),
        }
    }

    /// The entries of a `LIST`; `None` when it is null.
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        match self.value(name) {
            Some(Value::List(entries)) => Some(entries),
            None => None,
            other => unreachable!("{name} is a LIST, found {other:?}"),
        }
    }

    /// The error that names `key` and its value.
    pub(super) fn invalid(&self, name: &str, reason: impl Into<String>) -> ConfigError {
        let value = self.text(name).unwrap_or("null").to_owned();
        invalid(self.key(name), value, self.origin(name), reason.into())
    }

    fn key(&self, name: &str) -> &'static Key {
        keys::broker_key(name).unwrap_or_else(|| unreachable!("{name} is in the key table"))
    }

    fn value(&self, name: &str) -> Option<Value> {
        match self.0.get(name) {
            Some(setting) => Some(setting.value.clone()),
            None => {
                let key = self.key(name);
                key.default.map(|text| key.check(text).expect("a test checks every default"))
            }
        }
    }
}

/// The last assignment of every name.
fn collect(sources: &Sources<'_>, errors: &mut Vec<ConfigError>) -> BTreeMap<String, (String, Origin)> {
    let mut assignments = BTreeMap::new();
    let file = sources.file.unwrap_or(ConfigFile { path: "", text: BUILT_IN });
    let path: Arc<str> = file.path.into();
    match properties::parse(file.text) {
        Ok(properties) => assignments.extend(properties.into_iter().map(|property| {
            let origin = match sources.file {
                Some(_) => Origin::File { path: Arc::clone(&path), line: property.line },
                None => Origin::BuiltIn,
            };
            (property.key, (property.value, origin))
        })),
        Err(error) => errors.push(ConfigError::Syntax { path, error }),
    }
    for (variable, value) in sources.environment {
        if let Some(name) = key_of_variable(variable) {
            assignments.insert(name, (value.clone(), Origin::Environment(variable.as_str().into())));
        }
    }
    for text in sources.overrides {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                assignments.insert(name.trim().to_owned(), (value.to_owned(), Origin::Override));
            }
            _ => errors.push(ConfigError::BadOverride(text.clone())),
        }
    }
    assignments
}

/// The key that an environment variable sets, by the rule of Kafka's container image: `KAFKA_` goes, `___`
/// is a dash, `__` an underscore and `_` a dot.
fn key_of_variable(variable: &str) -> Option<String> {
    if variable == "CLUSTER_ID" {
        return Some("corelog.cluster.id".to_owned());
    }
    let name = variable.strip_prefix("KAFKA_").filter(|_| !SCRIPT_VARIABLES.contains(&variable))?;
    Some(name.to_lowercase().replace('_', ".").replace("...", "-").replace("..", "_"))
}

fn unknown(name: String, origin: Origin) -> Notice {
    if keys::is_future_key(&name) {
        return Notice::FutureKey { name, origin };
    }
    let nearest = keys::nearest_broker_key(&name);
    Notice::UnknownKey { name, origin, nearest }
}

fn check(
    key: &'static Key,
    text: String,
    origin: Origin,
    notices: &mut Vec<Notice>,
) -> Result<Setting, ConfigError> {
    match key.support {
        Support::Refused(remedy) => return Err(ConfigError::Refused { key: key.name, origin, remedy }),
        Support::Inert(reason) => {
            notices.push(Notice::InertKey { key: key.name, origin: origin.clone(), reason });
        }
        Support::Obeyed => {}
    }
    match key.check(&text) {
        Ok(value) => Ok(Setting { text: text.trim().to_owned(), value, origin }),
        Err(bad) => Err(invalid(key, text, origin, bad.0)),
    }
}

fn invalid(key: &'static Key, value: String, origin: Origin, reason: String) -> ConfigError {
    let bounds = key.bounds.to_string();
    let bounds = if bounds.is_empty() { bounds } else { format!(", {bounds}") };
    let default = key.default.map_or(String::new(), |default| format!("; default {default}"));
    let expected = format!("{}{bounds}{default}", key.kind);
    ConfigError::InvalidValue { key: key.name, value, origin, reason, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn later_layers_win() {
        let file =
            ConfigFile { path: "f", text: "num.partitions=2\nlog.dirs=/a\nnum.partitions=3\nbroker.rack=r" };
        let environment =
            variables(&[("KAFKA_LOG_DIRS", "/b"), ("KAFKA_BROKER_RACK", "s"), ("PATH", "/bin")]);
        let overrides = ["broker.rack=t".to_owned()];
        let sources =
            Sources { file: Some(file), environment: &environment, overrides: &overrides, host_name: "h" };
        let (settings, notices) = Settings::load(&sources).unwrap();
        assert_eq!(settings.integer("num.partitions"), 3);
        assert_eq!(settings.origin("num.partitions").to_string(), "f:3");
        assert_eq!(settings.text("log.dirs"), Some("/b"));
        assert_eq!(settings.origin("log.dirs").to_string(), "environment KAFKA_LOG_DIRS");
        assert_eq!(settings.text("broker.rack"), Some("t"));
        assert_eq!(settings.origin("broker.rack"), Origin::Override);
        assert_eq!(settings.origin("message.max.bytes"), Origin::Default);
        assert_eq!(notices, []);
    }

    #[test]
    fn variables_name_keys_as_in_kafkas_image() {
        let cases = [
            ("KAFKA_LOG_DIRS", Some("log.dirs")),
            ("KAFKA_A__B___C_D", Some("a_b-c.d")),
            ("KAFKA_CORELOG_CPUS", Some("corelog.cpus")),
            ("KAFKA_HEAP_OPTS", None),
            ("CLUSTER_ID", Some("corelog.cluster.id")),
            ("LOG_DIRS", None),
        ];
        for (variable, key) in cases {
            assert_eq!(key_of_variable(variable).as_deref(), key, "{variable}");
        }
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let text = "log.segment.bytes=12\n\nnum.partitions=many\ncreate.topic.policy.class.name=x.Y";
        let overrides = ["nonsense".to_owned()];
        let sources = Sources {
            file: Some(ConfigFile { path: "server.properties", text }),
            overrides: &overrides,
            ..Sources::default()
        };
        let errors = Settings::load(&sources).unwrap_err().to_string();
        let expected = "--override nonsense: expected KEY=VALUE\n\
            server.properties:4: create.topic.policy.class.name: a Java class cannot run here; \
            remove the key\n\
            server.properties:1: log.segment.bytes=12: Value must be at least 1048576 \
            (INT, 1048576 or more; default 1073741824)\n\
            server.properties:3: num.partitions=many: Not a number of type INT (INT, 1 or more; default 1)";
        assert_eq!(errors, expected);
    }

    #[test]
    fn what_is_ignored_is_said() {
        let text = "log.retention.hour=1\nssl.keystore.location=/k\nnum.io.threads=4";
        let sources = Sources { file: Some(ConfigFile { path: "f", text }), ..Sources::default() };
        let (_, notices) = Settings::load(&sources).unwrap();
        let notices: Vec<_> = notices.iter().map(ToString::to_string).collect();
        assert_eq!(notices.len(), 3, "{notices:?}");
        assert_eq!(
            notices[0],
            "f:1: unknown key log.retention.hour is ignored; did you mean log.retention.hours?"
        );
        assert!(notices[1].starts_with("f:3: num.io.threads changes nothing: each CPU"), "{notices:?}");
        assert_eq!(
            notices[2],
            "f:2: ssl.keystore.location is ignored: what it configures does not exist yet"
        );
    }

    #[test]
    fn no_file_means_the_built_in_configuration() {
        let (settings, _) = Settings::load(&Sources::default()).unwrap();
        assert_eq!(settings.text("log.dirs"), Some("./corelog-data"));
        assert_eq!(settings.origin("listeners"), Origin::BuiltIn);
    }
}
