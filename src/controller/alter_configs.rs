//! Changing the configuration of topics, brokers and groups (`ConfigurationControlManager`).

use std::collections::{BTreeMap, BTreeSet};

use super::events::{
    AlterConfigs, AlterConfigsResult, AlterMode, ApiError, ConfigChange, ResourceChanges, Response, Token,
};
use super::{Controller, check_operation_size};
use crate::config::{BrokerConfig, DynamicLayers, DynamicScope, Key, Kind, keys};
use crate::metadata::codec::STRING_BYTES_MAX;
use crate::metadata::records::{
    CONFIG_RESOURCE_BROKER, CONFIG_RESOURCE_GROUP, CONFIG_RESOURCE_TOPIC, ConfigRecord,
};
use crate::metadata::{ConfigResource, MetadataImage, MetadataRecord};
use crate::types::{ErrorCode, TopicName};

type Overrides = BTreeMap<String, String>;

/// `base`, what a broker was started with, under what the image holds for all brokers and for this one.
pub fn effective_broker_config(base: &BrokerConfig, image: &MetadataImage) -> BrokerConfig {
    let layer = |resource| image.configs(&resource).cloned().unwrap_or_default();
    base.with_dynamic(DynamicLayers {
        cluster: layer(ConfigResource::broker(None)),
        broker: layer(ConfigResource::broker(Some(base.node_id))),
    })
}

impl Controller {
    /// Changes the configuration of resources, each on its own.
    pub fn handle_alter_configs(&mut self, token: Token, request: &AlterConfigs) {
        let mut records = Vec::new();
        let mut results = Vec::new();
        let mut named: BTreeMap<&ConfigResource, usize> = BTreeMap::new();
        request.resources.iter().for_each(|of| *named.entry(&of.resource).or_default() += 1);
        for changes in &request.resources {
            let result = if 1 < named[&changes.resource] {
                Err(ApiError::new(ErrorCode::InvalidRequest, "Each resource must appear at most once."))
            } else {
                self.plan_changes(changes).map(|planned| records.extend(planned))
            };
            results.push(AlterConfigsResult { resource: changes.resource.clone(), result });
        }
        if let Err(error) = check_operation_size(&records) {
            records.clear();
            results.iter_mut().for_each(|result| result.result = Err(error.clone()));
        }
        if !request.validate_only {
            self.append(records);
        }
        self.reply(token, Response::AlterConfigs(results));
    }

    fn plan_changes(&self, request: &ResourceChanges) -> Result<Vec<MetadataRecord>, ApiError> {
        let resource = &request.resource;
        let key_of = key_lookup(resource.resource_type)?;
        let before = self.image.configs(resource).cloned().unwrap_or_default();
        let mut after = match request.mode {
            AlterMode::Incremental => before.clone(),
            AlterMode::Replace => Overrides::new(),
        };
        let mut seen = BTreeSet::new();
        for (name, change) in &request.changes {
            if !seen.insert(name) {
                let message = "Error due to duplicate config keys";
                return Err(ApiError::new(ErrorCode::InvalidRequest, message));
            }
            match changed_value(name, key_of(name), change, before.get(name).map(String::as_str))? {
                Some(value) => {
                    check_value_size(name, &value)?;
                    after.insert(name.clone(), value)
                }
                None => after.remove(name),
            };
        }
        self.check_resource(resource, &after)?;
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed = names.into_iter().filter(|&name| before.get(name) != after.get(name));
        Ok(changed.map(|name| config_record(resource, name, after.get(name))).collect())
    }

    /// Whether the resource is there and may have these values (`ControllerConfigurationValidator`).
    fn check_resource(&self, resource: &ConfigResource, after: &Overrides) -> Result<(), ApiError> {
        let invalid_request = |message: String| ApiError::new(ErrorCode::InvalidRequest, message);
        let invalid_config = |message: String| ApiError::new(ErrorCode::InvalidConfig, message);
        let name = resource.name.as_str();
        match resource.resource_type {
            CONFIG_RESOURCE_TOPIC => {
                if name.is_empty() {
                    return Err(invalid_request("Default topic resources are not allowed.".to_owned()));
                }
                let valid = TopicName::new(name);
                valid.map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
                self.broker.topic_defaults.validate(after).map_err(invalid_config)?;
                self.image.topic_id(name).map(drop).ok_or_else(|| {
                    let message = format!("The topic '{name}' does not exist.");
                    ApiError::new(ErrorCode::UnknownTopicOrPartition, message)
                })
            }
            CONFIG_RESOURCE_BROKER => {
                let scope = if name.is_empty() { DynamicScope::Cluster } else { DynamicScope::Broker };
                self.broker.validate_dynamic(scope, after).map_err(invalid_request)
            }
            _ => {
                if name.is_empty() {
                    return Err(invalid_request("Default group resources are not allowed.".to_owned()));
                }
                self.broker.validate_group(after).map_err(invalid_config)
            }
        }
    }
}

/// The records that set all `overrides` of a new topic.
pub(super) fn set_records(topic: &TopicName, overrides: &Overrides) -> impl Iterator<Item = MetadataRecord> {
    let resource = ConfigResource::topic(topic.as_str());
    overrides.iter().map(move |(name, value)| config_record(&resource, name, Some(value)))
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

/// The table of a kind of resource.
fn key_lookup(resource_type: i8) -> Result<fn(&str) -> Option<&'static Key>, ApiError> {
    match resource_type {
        CONFIG_RESOURCE_TOPIC => Ok(keys::topic_key),
        CONFIG_RESOURCE_BROKER => Ok(keys::dynamic_key),
        CONFIG_RESOURCE_GROUP => Ok(keys::group_key),
        other => Err(ApiError::new(ErrorCode::InvalidRequest, format!("Unknown resource type {other}"))),
    }
}

/// The new value of a key, `None` for its default.
fn changed_value(
    name: &str,
    key: Option<&Key>,
    change: &ConfigChange,
    current: Option<&str>,
) -> Result<Option<String>, ApiError> {
    let (entries, operation) = match change {
        ConfigChange::Set(value) => return Ok(Some(value.clone())),
        ConfigChange::Delete => return Ok(None),
        ConfigChange::Append(entries) => (entries, "APPEND"),
        ConfigChange::Subtract(entries) => (entries, "SUBTRACT"),
    };
    let list_key = key.filter(|key| key.kind == Kind::List).ok_or_else(|| {
        let message = format!("Can't {operation} to key {name} because its type is not LIST.");
        ApiError::new(ErrorCode::InvalidConfig, message)
    })?;
    // Before the work, which grows with it.
    check_value_size(name, entries)?;
    let mut list: Vec<&str> = current.or(list_key.default).unwrap_or_default().split(',').collect();
    list.retain(|entry| !entry.is_empty());
    if matches!(change, ConfigChange::Append(_)) {
        let mut present: BTreeSet<&str> = list.iter().copied().collect();
        list.extend(entries.split(',').filter(|&entry| present.insert(entry)));
    } else {
        let removed: BTreeSet<&str> = entries.split(',').collect();
        list.retain(|entry| !removed.contains(entry));
    }
    Ok(Some(list.join(",")))
}

fn config_record(resource: &ConfigResource, name: &str, value: Option<&String>) -> MetadataRecord {
    ConfigRecord {
        resource_type: resource.resource_type,
        resource_name: resource.name.clone(),
        name: name.to_owned(),
        value: value.cloned(),
    }
    .into()
}
