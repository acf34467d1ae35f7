//! DescribeConfigs and ListConfigResources: what is configured, and what can be.

use kafka_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use kafka_protocol::messages::list_config_resources_response::{
    ConfigResource as WireConfigResource, ListConfigResourcesResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::RequestContext;
use crate::config::{ConfigSynonym, DescribedConfig, Kind};
use crate::controller::ApiError;
use crate::metadata::ConfigResource;
use crate::metadata::records::{CONFIG_RESOURCE_BROKER, CONFIG_RESOURCE_GROUP, CONFIG_RESOURCE_TOPIC};
use crate::rt::task;
use crate::server::Server;
use crate::types::{ErrorCode, NodeId, TopicName};

/// `ConfigResource.Type.BROKER_LOGGER`: the levels of a running broker's log.
pub(super) const CONFIG_RESOURCE_BROKER_LOGGER: i8 = 8;
/// `ConfigResource.Type.CLIENT_METRICS`: what clients are asked to measure (KIP-714).
pub(super) const CONFIG_RESOURCE_CLIENT_METRICS: i8 = 16;

/// Version 0 of ListConfigResources lists these only, and says so of none.
const LISTED_BEFORE_TYPES: [i8; 1] = [CONFIG_RESOURCE_CLIENT_METRICS];
/// What later versions list.
const LISTED_TYPES: [i8; 5] = [
    CONFIG_RESOURCE_TOPIC,
    CONFIG_RESOURCE_BROKER,
    CONFIG_RESOURCE_BROKER_LOGGER,
    CONFIG_RESOURCE_CLIENT_METRICS,
    CONFIG_RESOURCE_GROUP,
];

/// Entries, configs and synonyms, that one response describes: some hundred megabytes. A request may name the
/// same resource again and again, each time for all its configs.
///
/// Differs from Kafka, which has no bound.
const ENTRIES_MAX: usize = 1 << 20;

impl Server {
    pub(in crate::server) async fn describe_configs(
        &self,
        request: &DescribeConfigsRequest,
    ) -> DescribeConfigsResponse {
        let mut results = Vec::with_capacity(request.resources.len());
        let mut entries_left = ENTRIES_MAX;
        for resource in &request.resources {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            results.push(match self.described_as_asked(resource, request, &mut entries_left) {
                Ok(configs) => result.with_configs(configs),
                Err(error) => result
                    .with_error_code(error.code.code())
                    .with_error_message(Some(StrBytes::from_string(error.message))),
            });
            task::yield_if_needed().await;
        }
        DescribeConfigsResponse::default().with_results(results)
    }

    fn described_as_asked(
        &self,
        resource: &DescribeConfigsResource,
        request: &DescribeConfigsRequest,
        entries_left: &mut usize,
    ) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
        if *entries_left == 0 {
            let message = format!("one request describes at most {ENTRIES_MAX} configs and synonyms");
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
        let configs = self.described(resource)?;
        let asked = configs.into_iter().filter(|config| is_asked_for(resource, &config.name));
        let asked: Vec<_> = asked.map(|config| on_the_wire(config, request)).collect();
        let entries: usize = asked.iter().map(|config| 1 + config.synonyms.len()).sum();
        *entries_left = entries_left.saturating_sub(entries);
        Ok(asked)
    }

    fn described(&self, resource: &DescribeConfigsResource) -> Result<Vec<DescribedConfig>, ApiError> {
        let name = resource.resource_name.as_str();
        let invalid = |message: &str| Err(ApiError::new(ErrorCode::InvalidRequest, message));
        match resource.resource_type {
            CONFIG_RESOURCE_TOPIC => self.described_topic(name),
            CONFIG_RESOURCE_BROKER if name.is_empty() => Ok(self.config().describe_cluster_default()),
            CONFIG_RESOURCE_BROKER => {
                let expected = format!("expected {} or empty string,", self.shard().node_id());
                self.check_broker_name(name, &expected).map(|()| self.config().describe_broker())
            }
            CONFIG_RESOURCE_BROKER_LOGGER => invalid("This broker has no log levels that can be described"),
            CONFIG_RESOURCE_CLIENT_METRICS => invalid("This broker does not collect metrics of clients"),
            CONFIG_RESOURCE_GROUP if name.is_empty() => invalid("Group name must not be empty"),
            CONFIG_RESOURCE_GROUP => {
                let group = ConfigResource { resource_type: CONFIG_RESOURCE_GROUP, name: name.to_owned() };
                let overrides = self.shard().image().configs(&group).cloned().unwrap_or_default();
                Ok(self.config().describe_group(&overrides))
            }
            other => invalid(&format!("Unexpected resource type {other} for resource {name}")),
        }
    }

    fn described_topic(&self, name: &str) -> Result<Vec<DescribedConfig>, ApiError> {
        TopicName::new(name)
            .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
        let image = self.shard().image();
        if image.topic_id(name).is_none() {
            let message = "This server does not host this topic-partition.";
            return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message));
        }
        let overrides = image.topic_configs(name).cloned().unwrap_or_default();
        Ok(self.config().describe_topic(&overrides))
    }

    /// Refuses the name of another broker, or of none.
    pub(super) fn check_broker_name(&self, name: &str, expected: &str) -> Result<(), ApiError> {
        let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidRequest, message));
        match name.parse().map(NodeId) {
            Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
            Ok(id) if id != self.shard().node_id() => {
                invalid(format!("Unexpected broker id, {expected} but received {name}"))
            }
            Ok(_) => Ok(()),
        }
    }

    pub(in crate::server) fn list_config_resources(
        &self,
        context: &RequestContext,
        request: &ListConfigResourcesRequest,
    ) -> ListConfigResourcesResponse {
        let listed: &[i8] = if context.api_version == 0 { &LISTED_BEFORE_TYPES } else { &LISTED_TYPES };
        if request.resource_types.iter().any(|asked| !listed.contains(asked)) {
            let code = ErrorCode::UnsupportedVersion.code();
            return ListConfigResourcesResponse::default().with_error_code(code);
        }
        let asked = if request.resource_types.is_empty() { listed } else { &request.resource_types };
        let image = self.shard().image();
        let mut resources = Vec::new();
        for &resource_type in listed.iter().filter(|listed| asked.contains(listed)) {
            let names: Vec<String> = match resource_type {
                CONFIG_RESOURCE_TOPIC => image.topics().map(|topic| topic.name().to_string()).collect(),
                CONFIG_RESOURCE_BROKER => {
                    let active = image.brokers().filter(|broker| broker.is_active());
                    active.map(|broker| broker.id.to_string()).collect()
                }
                CONFIG_RESOURCE_GROUP => {
                    image.config_names(CONFIG_RESOURCE_GROUP).map(str::to_owned).collect()
                }
                // There are none; see the refusals of DescribeConfigs.
                _ => Vec::new(),
            };
            resources.extend(names.into_iter().map(|name| {
                let name = StrBytes::from_string(name);
                let resource = WireConfigResource::default().with_resource_name(name);
                // Version 0 cannot say it.
                if context.api_version == 0 { resource } else { resource.with_resource_type(resource_type) }
            }));
        }
        ListConfigResourcesResponse::default().with_config_resources(resources)
    }
}

fn is_asked_for(resource: &DescribeConfigsResource, name: &str) -> bool {
    match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key.as_str() == name),
        Some(_) | None => true,
    }
}

fn on_the_wire(config: DescribedConfig, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms = if request.include_synonyms { config.synonyms } else { Vec::new() };
    let doc = request.include_documentation.then(|| StrBytes::from_static_str(config.doc));
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(config.name))
        .with_value(config.value.map(StrBytes::from_string))
        .with_read_only(config.is_read_only)
        .with_config_source(config.source.code())
        .with_is_sensitive(config.is_sensitive)
        .with_synonyms(synonyms.into_iter().map(synonym).collect())
        .with_config_type(config.kind.map_or(0, kind_code))
        .with_documentation(doc)
}

fn synonym(synonym: ConfigSynonym) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_string(synonym.name))
        .with_value(synonym.value.map(StrBytes::from_string))
        .with_source(synonym.source.code())
}

/// `DescribeConfigsResponse.ConfigType`; 0 is unknown.
fn kind_code(kind: Kind) -> i8 {
    match kind {
        Kind::Boolean => 1,
        Kind::Text => 2,
        Kind::Int => 3,
        Kind::Short => 4,
        Kind::Long => 5,
        Kind::Double => 6,
        Kind::List => 7,
        Kind::Class => 8,
        Kind::Password => 9,
    }
}
