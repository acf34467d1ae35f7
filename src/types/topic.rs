//! Topic names and partitions.

use std::fmt;
use std::sync::Arc;

/// A topic name that passed Kafka's rules (`Topic.validate`), shared by reference count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Why Kafka refuses a topic name, in its words (`Topic.validate`): clients show them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    /// The name has no characters.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// `.` and `..` would name directories.
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Reserved(String),
    /// The partition's directory name would not fit a file name.
    #[error(
        "Topic name is invalid: the length of '{0}' is longer than the max allowed length {max}",
        max = TopicName::LENGTH_MAX
    )]
    TooLong(String),
    /// Something besides ASCII letters, digits, '.', '_' and '-'.
    #[error(
        "Topic name is invalid: '{0}' contains one or more characters other than ASCII alphanumerics, '.', \
         '_' and '-'"
    )]
    IllegalCharacter(String),
}

impl TopicName {
    /// `Topic.MAX_NAME_LENGTH`.
    pub const LENGTH_MAX: usize = 249;

    /// Checks `name` against Kafka's rules.
    pub fn new(name: &str) -> Result<Self, TopicNameError> {
        if name.is_empty() {
            return Err(TopicNameError::Empty);
        }
        if name == "." || name == ".." {
            return Err(TopicNameError::Reserved(name.to_owned()));
        }
        if Self::LENGTH_MAX < name.len() {
            return Err(TopicNameError::TooLong(name.to_owned()));
        }
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return Err(TopicNameError::IllegalCharacter(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether Kafka hides this topic from pattern subscriptions (`Topic.isInternal`).
    pub fn is_internal(&self) -> bool {
        matches!(self.as_str(), "__consumer_offsets" | "__transaction_state" | "__share_group_state")
    }

    /// The name as Kafka's metrics spell it; two topics whose names collide here are refused
    /// (`Topic.hasCollision`).
    pub fn collision_key(&self) -> String {
        self.0.replace('.', "_")
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition's index within the topic, from zero.
    pub partition: i32,
}

impl TopicPartition {
    /// The name of the partition's directory: `<topic>-<partition>`.
    pub fn dir_name(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }

    /// Reads a directory name back; `None` when it is not a partition's.
    pub fn from_dir_name(name: &str) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('-')?;
        if !partition.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self { topic: TopicName::new(topic).ok()?, partition: partition.parse().ok()? })
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        for good in ["a", "orders.v1", "__consumer_offsets", "A-b_9", &"x".repeat(249)] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
            assert!(TopicName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dir_names_round_trip() {
        let partition = TopicPartition::from_dir_name("my-topic-12").unwrap();
        assert_eq!((partition.topic.as_str(), partition.partition), ("my-topic", 12));
        assert_eq!(partition.dir_name(), "my-topic-12");
        for bad in ["lost+found", "topic", "topic-", "topic-x", "-3", "topic-+1"] {
            assert_eq!(TopicPartition::from_dir_name(bad), None, "{bad}");
        }
    }
}
