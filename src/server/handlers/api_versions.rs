//! ApiVersions: what this broker serves.

use kafka_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use kafka_protocol::protocol::StrBytes;

use crate::metadata::features::supported_features;
use crate::server::Server;
use crate::types::ErrorCode;
use crate::wire::api;

/// From this version on a client names its software, by a pattern (`ApiVersionsRequest.isValid`).
const CLIENT_SOFTWARE_VERSION: i16 = 3;
/// Before this version a minimum of 0 cannot be said of a supported feature (KAFKA-17011).
const ZERO_MINIMUM_VERSION: i16 = 4;

impl Server {
    pub(in crate::server) fn api_versions(
        &self,
        version: i16,
        request: &ApiVersionsRequest,
    ) -> ApiVersionsResponse {
        if CLIENT_SOFTWARE_VERSION <= version
            && !(is_software_name(&request.client_software_name)
                && is_software_name(&request.client_software_version))
        {
            return invalid_request();
        }
        let image = self.shard().image();
        let supported = supported_features()
            .into_iter()
            .filter(|feature| 0 < feature.min_supported_version || ZERO_MINIMUM_VERSION <= version)
            .map(|feature| {
                SupportedFeatureKey::default()
                    .with_name(StrBytes::from_string(feature.name))
                    .with_min_version(feature.min_supported_version)
                    .with_max_version(feature.max_supported_version)
            })
            .collect();
        let finalized = image
            .features()
            .iter()
            .filter(|(_, level)| 0 < **level)
            .map(|(name, level)| {
                FinalizedFeatureKey::default()
                    .with_name(StrBytes::from_string(name.clone()))
                    .with_min_version_level(*level)
                    .with_max_version_level(*level)
            })
            .collect();
        ApiVersionsResponse::default()
            .with_api_keys(served_apis())
            .with_supported_features(supported)
            .with_finalized_features_epoch(image.end_offset().0 - 1)
            .with_finalized_features(finalized)
    }
}

/// The answer to a request whose fields are not what its version prescribes.
pub(in crate::server) fn invalid_request() -> ApiVersionsResponse {
    ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code())
}

/// The answer to a version of ApiVersions that is newer than ours: version 0, with what we do serve, so
/// that the client can ask again (KIP-511).
pub(in crate::server) fn unsupported_version() -> ApiVersionsResponse {
    let own = served_apis().into_iter().filter(|row| row.api_key == ApiKey::ApiVersions as i16).collect();
    ApiVersionsResponse::default().with_error_code(ErrorCode::UnsupportedVersion.code()).with_api_keys(own)
}

fn served_apis() -> Vec<ApiVersion> {
    api::ALL
        .iter()
        .map(|row| {
            ApiVersion::default()
                .with_api_key(row.key as i16)
                .with_min_version(row.advertised_min)
                .with_max_version(row.max)
        })
        .collect()
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.".contains(byte);
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last))
        if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && bytes.iter().all(is_inner))
}

#[cfg(test)]
mod tests {
    use super::is_software_name;

    #[test]
    fn software_names_follow_kafkas_pattern() {
        for (name, valid) in
            [("librdkafka", true), ("1.2-x", true), ("a", true), ("", false), ("-a", false), ("a_b", false)]
        {
            assert_eq!(is_software_name(name), valid, "{name}");
        }
    }
}
