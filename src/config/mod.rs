//! Configuration: the key table, the `.properties` parser, and the typed broker and topic configurations.
//!
//! Start with [`keys`], the table that everything else is read from. [`BrokerConfig::load`] merges defaults,
//! file, environment and `--override` into one checked value; [`TopicDefaults`] turns a topic's overrides
//! into its effective [`TopicConfig`]. Nothing here reads a file or the environment: the caller hands both
//! over.

mod broker;
mod cpus;
mod describe;
mod dynamic;
mod error;
mod group;
mod groups;
mod key;
pub mod keys;
mod listener;
pub mod properties;
mod settings;
mod source;
mod topic;

pub use broker::{
    BrokerConfig, CleanerConfig, JournalSettings, MetadataSnapshots, NetworkConfig, ShardsConfig,
    StorageConfig, TopicCreation,
};
pub use cpus::CpuList;
pub use describe::{ConfigSynonym, DescribedConfig};
pub use dynamic::{DynamicLayers, DynamicOverrides, DynamicScope};
pub use error::{ConfigError, ConfigErrors, Notice, Origin};
pub use group::GroupOverrides;
pub use groups::{ConsumerGroupsConfig, GroupsConfig, OffsetsTopicConfig};
pub use key::{BadValue, Bounds, DynamicMode, Key, Kind, Support, Synonym, Value};
pub use listener::{Listener, SecurityProtocol};
pub use settings::{BUILT_IN, ConfigFile, Settings, Sources};
pub use source::ConfigSource;
pub use topic::{
    AcksDurability, CompressionType, ConfigEntry, MessageTimestampType, TopicConfig, TopicDefaults,
    TopicOverrides, validate_topic_override,
};
