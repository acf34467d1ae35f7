//! Reading and changing configuration.

use super::cluster::Cluster;
use super::connection::Connection;
use super::error::{ClientError, accepted};
use crate::wire::messages::describe_configs_request::DescribeConfigsResource;
use crate::wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use crate::wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use crate::wire::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest, StrBytes};

/// What has configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOwner {
    /// A topic, by name.
    Topic(String),
    /// A broker by its id, or what holds for all of them.
    Broker(Option<i32>),
    /// A group, by name.
    Group(String),
}

/// One key of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigValue {
    /// The key.
    pub name: String,
    /// The value; `None` is null, or secret.
    pub value: Option<String>,
    /// Kafka's number for where the value comes from.
    pub source: i8,
    /// Whether the value is a secret.
    pub is_sensitive: bool,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOperation {
    /// The key gets this value.
    Set(String),
    /// The key goes back to its default.
    Delete,
    /// The list gets these entries besides.
    Append(String),
    /// The list loses these entries.
    Subtract(String),
}

impl ConfigOwner {
    fn wire(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(id) => (4, id.map_or(String::new(), |id| id.to_string())),
            Self::Group(name) => (32, name.clone()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Topic(name) => format!("topic {name}"),
            Self::Broker(Some(id)) => format!("broker {id}"),
            Self::Broker(None) => "all brokers".to_owned(),
            Self::Group(name) => format!("group {name}"),
        }
    }

    /// A broker answers for itself; every broker answers for the rest.
    async fn connection(&self, cluster: &Cluster) -> Result<Connection, ClientError> {
        match self {
            Self::Broker(Some(id)) => {
                cluster.describe(Some(&[])).await?;
                cluster.broker(*id).await
            }
            _ => Ok(cluster.any().clone()),
        }
    }
}

/// Every key of a resource, ordered by name.
pub async fn describe_configs(
    cluster: &Cluster,
    owner: &ConfigOwner,
) -> Result<Vec<ConfigValue>, ClientError> {
    let (resource_type, name) = owner.wire();
    let resource = DescribeConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(StrBytes::from_string(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let response = owner.connection(cluster).await?.call(&request).await?;
    let mut values = Vec::new();
    for result in &response.results {
        let message = result.error_message.as_ref().map(|message| message.as_str());
        let message = message.filter(|message| !message.is_empty());
        accepted(result.error_code, message, || format!("describe the configuration of {}", owner.text()))?;
        values.extend(result.configs.iter().map(config_value));
    }
    values.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(values)
}

fn config_value(config: &DescribeConfigsResourceResult) -> ConfigValue {
    ConfigValue {
        name: config.name.to_string(),
        value: config.value.as_ref().map(ToString::to_string),
        source: config.config_source,
        is_sensitive: config.is_sensitive,
    }
}

/// Changes keys of a resource, all or none; or only asks whether they could be changed.
pub async fn alter_configs(
    cluster: &Cluster,
    owner: &ConfigOwner,
    changes: &[(String, ConfigOperation)],
    validate_only: bool,
) -> Result<(), ClientError> {
    let (resource_type, name) = owner.wire();
    let resource = AlterConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(StrBytes::from_string(name))
        .with_configs(changes.iter().map(alterable).collect());
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource])
        .with_validate_only(validate_only);
    let response = owner.connection(cluster).await?.call(&request).await?;
    for result in &response.responses {
        let message = result.error_message.as_ref().map(|message| message.as_str());
        accepted(result.error_code, message, || format!("alter the configuration of {}", owner.text()))?;
    }
    Ok(())
}

fn alterable((name, operation): &(String, ConfigOperation)) -> AlterableConfig {
    let (code, value) = match operation {
        ConfigOperation::Set(value) => (0, Some(value)),
        ConfigOperation::Delete => (1, None),
        ConfigOperation::Append(entries) => (2, Some(entries)),
        ConfigOperation::Subtract(entries) => (3, Some(entries)),
    };
    AlterableConfig::default()
        .with_name(StrBytes::from_string(name.clone()))
        .with_config_operation(code)
        .with_value(value.cloned().map(StrBytes::from_string))
}
