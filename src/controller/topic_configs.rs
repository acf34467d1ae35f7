//! Changing the overrides of topics (`ConfigurationControlManager.incrementalAlterConfigs`).

use std::collections::BTreeSet;

use super::events::{
    AlterTopicConfigs, AlterTopicConfigsResult, ApiError, ConfigChange, Response, Token, TopicConfigChanges,
};
use super::{Controller, ControllerConfig, check_operation_size};
use crate::config::{Kind, TopicOverrides, keys};
use crate::metadata::codec::STRING_BYTES_MAX;
use crate::metadata::records::{CONFIG_RESOURCE_TOPIC, ConfigRecord};
use crate::metadata::{MetadataImage, MetadataRecord};
use crate::types::{ErrorCode, TopicName};

impl Controller {
    /// Changes the overrides of topics, each topic on its own.
    pub fn handle_alter_topic_configs(&mut self, token: Token, request: &AlterTopicConfigs) {
        let mut records = Vec::new();
        let mut seen = BTreeSet::new();
        let mut results = Vec::new();
        for changes in &request.topics {
            let result = if seen.insert(changes.topic.as_str()) {
                plan(&self.config, &self.image, changes).map(|planned| records.extend(planned))
            } else {
                Err(ApiError::new(ErrorCode::InvalidRequest, "the request names this topic more than once"))
            };
            results.push(AlterTopicConfigsResult { topic: changes.topic.clone(), result });
        }
        if let Err(error) = check_operation_size(&records) {
            records.clear();
            results.iter_mut().for_each(|result| result.result = Err(error.clone()));
        }
        if !request.validate_only {
            self.append(records);
        }
        self.reply(token, Response::AlterTopicConfigs(results));
    }
}

/// The records that set all `overrides` of a new topic.
pub(super) fn set_records(
    topic: &TopicName,
    overrides: &TopicOverrides,
) -> impl Iterator<Item = MetadataRecord> {
    overrides.iter().map(|(key, value)| config_record(topic.as_str(), key, Some(value)))
}

/// A longer value would not fit Kafka's string (`DISALLOWED_CONFIG_VALUE_SIZE_ERROR`).
pub(super) fn check_value_size(key: &str, value: &str) -> Result<(), ApiError> {
    if value.len() <= STRING_BYTES_MAX {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::InvalidConfig,
        format!("config {key} has {} bytes, at most {STRING_BYTES_MAX} are allowed", value.len()),
    ))
}

fn plan(
    config: &ControllerConfig,
    image: &MetadataImage,
    request: &TopicConfigChanges,
) -> Result<Vec<MetadataRecord>, ApiError> {
    let topic = request.topic.as_str();
    if image.topic_id(topic).is_none() {
        return Err(ApiError::new(
            ErrorCode::UnknownTopicOrPartition,
            format!("no topic has the name '{topic}'"),
        ));
    }
    let before = image.topic_configs(topic).cloned().unwrap_or_default();
    let mut after = before.clone();
    let mut seen = BTreeSet::new();
    for (key, change) in &request.changes {
        if !seen.insert(key) {
            return Err(ApiError::new(ErrorCode::InvalidRequest, format!("config {key} is changed twice")));
        }
        match changed_value(key, change, before.get(key).map(String::as_str))? {
            Some(value) => {
                check_value_size(key, &value)?;
                after.insert(key.clone(), value)
            }
            None => after.remove(key),
        };
    }
    config
        .topic_defaults
        .validate(&after)
        .map_err(|message| ApiError::new(ErrorCode::InvalidConfig, message))?;
    let changed = seen.into_iter().filter(|&key| before.get(key) != after.get(key));
    Ok(changed.map(|key| config_record(topic, key, after.get(key))).collect())
}

/// The new value of a key, `None` for its default.
fn changed_value(
    key: &str,
    change: &ConfigChange,
    current: Option<&str>,
) -> Result<Option<String>, ApiError> {
    let (entries, append) = match change {
        ConfigChange::Set(value) => return Ok(Some(value.clone())),
        ConfigChange::Delete => return Ok(None),
        ConfigChange::Append(entries) => (entries, true),
        ConfigChange::Subtract(entries) => (entries, false),
    };
    let known = keys::topic_key(key).filter(|known| known.kind == Kind::List).ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidConfig, format!("config {key} is not a list to add to or take from"))
    })?;
    // Before the work, which grows with it.
    check_value_size(key, entries)?;
    let mut list: Vec<&str> = current.or(known.default).unwrap_or_default().split(',').collect();
    list.retain(|entry| !entry.is_empty());
    if append {
        let mut present: BTreeSet<&str> = list.iter().copied().collect();
        list.extend(entries.split(',').filter(|&entry| present.insert(entry)));
    } else {
        let removed: BTreeSet<&str> = entries.split(',').collect();
        list.retain(|entry| !removed.contains(entry));
    }
    Ok(Some(list.join(",")))
}

fn config_record(topic: &str, key: &str, value: Option<&String>) -> MetadataRecord {
    ConfigRecord {
        resource_type: CONFIG_RESOURCE_TOPIC,
        resource_name: topic.to_owned(),
        name: key.to_owned(),
        value: value.cloned(),
    }
    .into()
}
