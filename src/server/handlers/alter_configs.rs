//! IncrementalAlterConfigs and AlterConfigs: what a broker checks before control decides
//! (`ConfigAdminManager`).

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as ReplaceResponse;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::describe_configs::{CONFIG_RESOURCE_BROKER_LOGGER, CONFIG_RESOURCE_CLIENT_METRICS};
use crate::controller::{AlterConfigs, AlterMode, ApiError, ConfigChange, ResourceChanges, Response};
use crate::metadata::ConfigResource;
use crate::metadata::records::{CONFIG_RESOURCE_BROKER, CONFIG_RESOURCE_GROUP, CONFIG_RESOURCE_TOPIC};
use crate::server::Server;
use crate::server::errors::control_error_code;
use crate::shard::ControlRequest;
use crate::types::ErrorCode;

/// One resource of a request, before it is checked.
struct Asked {
    resource: ConfigResource,
    mode: AlterMode,
    /// Key, operation (`AlterConfigOp.OpType`) and value.
    entries: Vec<(String, i8, Option<String>)>,
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Server {
    pub(in crate::server) async fn incremental_alter_configs(
        &self,
        request: IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let asked = request.resources.into_iter().map(|resource| Asked {
            resource: named(resource.resource_type, &resource.resource_name),
            mode: AlterMode::Incremental,
            entries: resource
                .configs
                .into_iter()
                .map(|config| (config.name.to_string(), config.config_operation, text(config.value)))
                .collect(),
        });
        let results = self.alter(asked.collect(), request.validate_only).await;
        let responses = results.into_iter().map(|(resource, result)| {
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(StrBytes::from_string(resource.name))
                .with_error_message(None);
            match result {
                Ok(()) => response,
                Err(error) => response
                    .with_error_code(error.code.code())
                    .with_error_message(Some(StrBytes::from_string(error.message))),
            }
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    }

    pub(in crate::server) async fn alter_configs(
        &self,
        request: AlterConfigsRequest,
    ) -> AlterConfigsResponse {
        let asked = request.resources.into_iter().map(|resource| Asked {
            resource: named(resource.resource_type, &resource.resource_name),
            mode: AlterMode::Replace,
            entries: resource
                .configs
                .into_iter()
                .map(|config| (config.name.to_string(), SET, text(config.value)))
                .collect(),
        });
        let results = self.alter(asked.collect(), request.validate_only).await;
        let responses = results.into_iter().map(|(resource, result)| {
            let response = ReplaceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(StrBytes::from_string(resource.name))
                .with_error_message(None);
            match result {
                Ok(()) => response,
                Err(error) => response
                    .with_error_code(error.code.code())
                    .with_error_message(Some(StrBytes::from_string(error.message))),
            }
        });
        AlterConfigsResponse::default().with_responses(responses.collect())
    }

    /// Has control decide on what is well-formed; one result per resource, in their order.
    async fn alter(
        &self,
        asked: Vec<Asked>,
        validate_only: bool,
    ) -> Vec<(ConfigResource, Result<(), ApiError>)> {
        let mut results = Vec::with_capacity(asked.len());
        let mut resources = Vec::new();
        for asked in asked {
            let resource = asked.resource.clone();
            match self.preprocess(asked) {
                Ok(changes) => {
                    resources.push(changes);
                    results.push((resource, Ok(())));
                }
                Err(error) => results.push((resource, Err(error))),
            }
        }
        if resources.is_empty() {
            return results;
        }
        let request = AlterConfigs { resources, validate_only };
        match self.shard().ask_control(ControlRequest::AlterConfigs(request)).await {
            Ok(Response::AlterConfigs(decided)) => {
                let open = results.iter_mut().filter(|(_, result)| result.is_ok());
                open.zip(decided).for_each(|((_, result), decided)| *result = decided.result);
            }
            Ok(other) => panic!("control answered a change of configuration with {other:?}"),
            Err(error) => {
                let refused = ApiError::new(control_error_code(&error), error.to_string());
                let open = results.iter_mut().filter(|(_, result)| result.is_ok());
                open.for_each(|(_, result)| *result = Err(refused.clone()));
            }
        }
        results
    }

    fn preprocess(&self, asked: Asked) -> Result<ResourceChanges, ApiError> {
        let Asked { resource, mode, entries } = asked;
        let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidRequest, message));
        let without: Vec<_> = entries
            .iter()
            .filter(|(_, operation, value)| *operation != DELETE && value.is_none())
            .map(|(name, ..)| name.as_str())
            .collect();
        if !without.is_empty() {
            return invalid(format!("Null value not supported for : {}", without.join(", ")));
        }
        match resource.resource_type {
            CONFIG_RESOURCE_TOPIC | CONFIG_RESOURCE_GROUP => {}
            CONFIG_RESOURCE_BROKER => {
                if !resource.name.is_empty() {
                    let expected = format!("expected {},", self.shard().node_id());
                    self.check_broker_name(&resource.name, &expected)?;
                }
            }
            CONFIG_RESOURCE_BROKER_LOGGER if mode == AlterMode::Incremental => {
                return invalid(
                    "Log levels of this broker change with a restart: set RUST_LOG in its environment"
                        .to_owned(),
                );
            }
            CONFIG_RESOURCE_CLIENT_METRICS => {
                return invalid("This broker does not collect metrics of clients".to_owned());
            }
            other => return invalid(format!("Unknown resource type {other}")),
        }
        let changes = entries.into_iter().map(|(name, operation, value)| {
            let value = value.unwrap_or_default();
            let change = match operation {
                SET => ConfigChange::Set(value),
                DELETE => ConfigChange::Delete,
                APPEND => ConfigChange::Append(value),
                SUBTRACT => ConfigChange::Subtract(value),
                other => {
                    let message = format!("Unknown operations type {other}");
                    return Err(ApiError::new(ErrorCode::InvalidRequest, message));
                }
            };
            Ok((name, change))
        });
        Ok(ResourceChanges { resource, mode, changes: changes.collect::<Result<_, _>>()? })
    }
}

fn named(resource_type: i8, name: &StrBytes) -> ConfigResource {
    ConfigResource { resource_type, name: name.to_string() }
}

fn text(value: Option<StrBytes>) -> Option<String> {
    value.map(|value| value.to_string())
}
