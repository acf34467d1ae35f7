//! Where an effective value comes from, as clients are told.

use super::error::Origin;

/// `DescribeConfigsResponse.ConfigSource`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// An override of this topic.
    DynamicTopic,
    /// Set for this running broker.
    DynamicBroker,
    /// Set for all running brokers.
    DynamicDefaultBroker,
    /// The broker's file, environment or command line.
    StaticBroker,
    /// Nobody set it.
    Default,
    /// An override of this group.
    Group,
}

impl ConfigSource {
    /// The source that a broker key's value has.
    pub(super) fn of(origin: &Origin) -> Self {
        match origin {
            Origin::Default => Self::Default,
            Origin::BuiltIn | Origin::File { .. } | Origin::Environment(_) | Origin::Override => {
                Self::StaticBroker
            }
            Origin::DynamicDefault => Self::DynamicDefaultBroker,
            Origin::DynamicBroker => Self::DynamicBroker,
        }
    }

    /// The number on the wire.
    pub fn code(self) -> i8 {
        match self {
            Self::DynamicTopic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicDefaultBroker => 3,
            Self::StaticBroker => 4,
            Self::Default => 5,
            Self::Group => 8,
        }
    }

    /// Kafka's name, as its tools print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
            Self::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
            Self::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::StaticBroker => "STATIC_BROKER_CONFIG",
            Self::Default => "DEFAULT_CONFIG",
            Self::Group => "GROUP_CONFIG",
        }
    }

    /// The source with this number.
    pub fn from_code(code: i8) -> Option<Self> {
        [
            Self::DynamicTopic,
            Self::DynamicBroker,
            Self::DynamicDefaultBroker,
            Self::StaticBroker,
            Self::Default,
            Self::Group,
        ]
        .into_iter()
        .find(|source| source.code() == code)
    }
}
