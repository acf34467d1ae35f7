//! What is wrong with a configuration, and what deserves a remark.

use std::fmt;
use std::sync::Arc;

use super::properties::PropertiesError;

/// Where a value comes from; later variants win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration that is used when no file is given.
    BuiltIn,
    /// A `.properties` file.
    File {
        /// The file's path, as given.
        path: Arc<str>,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable with this name.
    Environment(Arc<str>),
    /// `--override` on the command line.
    Override,
    /// The cluster-wide default of the running brokers (KIP-226).
    DynamicDefault,
    /// This running broker's own value (KIP-226).
    DynamicBroker,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::BuiltIn => f.write_str("built-in configuration"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Override => f.write_str("--override"),
            Self::DynamicDefault => f.write_str("dynamic default of the brokers"),
            Self::DynamicBroker => f.write_str("dynamic configuration of this broker"),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value breaks its key's type or bounds, or does not go together with others.
    #[error("{origin}: {key}={value}: {reason} ({expected})")]
    InvalidValue {
        /// The key.
        key: &'static str,
        /// The value as it was given.
        value: String,
        /// Where it was given.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
        /// The type, bounds and default of the key.
        expected: String,
    },
    /// A key that Kafka has and that cannot be obeyed here.
    #[error("{origin}: {key}: {remedy}")]
    Refused {
        /// The key.
        key: &'static str,
        /// Where it was given.
        origin: Origin,
        /// Why, and what to do.
        remedy: &'static str,
    },
    /// The file is not a `.properties` file.
    #[error("{path}: {error}")]
    Syntax {
        /// The file.
        path: Arc<str>,
        /// What is wrong.
        error: PropertiesError,
    },
    /// An `--override` without `=`.
    #[error("--override {0}: expected KEY=VALUE")]
    BadOverride(String),
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Something in a configuration that is accepted and that its author should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// No key has this name.
    UnknownKey {
        /// The name.
        name: String,
        /// Where it was given.
        origin: Origin,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// Kafka has this key for a part that does not exist here yet.
    FutureKey {
        /// The name.
        name: String,
        /// Where it was given.
        origin: Origin,
    },
    /// The key changes nothing here.
    InertKey {
        /// The key.
        key: &'static str,
        /// Where it was given.
        origin: Origin,
        /// Why.
        reason: &'static str,
    },
    /// A listener of the controller, which is not opened.
    ControllerListener {
        /// The listener's name.
        listener: String,
    },
}

impl Notice {
    /// Whether this is likely a mistake, rather than a difference to Kafka.
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::UnknownKey { .. } | Self::FutureKey { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { name, origin, nearest } => {
                write!(f, "{origin}: unknown key {name} is ignored")?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean {nearest}?"),
                    None => Ok(()),
                }
            }
            Self::FutureKey { name, origin } => {
                write!(f, "{origin}: {name} is ignored: what it configures does not exist yet")
            }
            Self::InertKey { key, origin, reason } => {
                write!(f, "{origin}: {key} changes nothing: {reason}")
            }
            Self::ControllerListener { listener } => {
                write!(f, "listener {listener} is not opened: the controller runs inside this process")
            }
        }
    }
}
