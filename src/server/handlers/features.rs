//! UpdateFeatures: the levels that the cluster is finalized at.

use kafka_protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use kafka_protocol::messages::update_features_response::{UpdatableFeatureResult, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;

use crate::controller::{FeatureUpdate, Response, UpdateFeatures, UpgradeType};
use crate::server::Server;
use crate::server::errors::control_error_code;
use crate::shard::ControlRequest;
use crate::types::ErrorCode;

/// Up to this version the response lists every feature; later ones say one thing of all.
const RESULTS_VERSION_MAX: i16 = 1;

impl Server {
    pub(in crate::server) async fn update_features(
        &self,
        version: i16,
        request: UpdateFeaturesRequest,
    ) -> UpdateFeaturesResponse {
        let updates = request.feature_updates.iter().map(|update| feature_update(update, version)).collect();
        // Before version 1 nobody could ask for a check only.
        let validate_only = 1 <= version && request.validate_only;
        let asked = ControlRequest::UpdateFeatures(UpdateFeatures { updates, validate_only });
        let (code, message) = match self.shard().ask_control(asked).await {
            Ok(Response::UpdateFeatures(Ok(()))) => (ErrorCode::None, None),
            Ok(Response::UpdateFeatures(Err(error))) => {
                let prefix = "The update failed for all features since the following feature had an error: ";
                (error.code, Some(format!("{prefix}{}", error.message)))
            }
            Ok(other) => panic!("control answered an update of features with {other:?}"),
            Err(error) => (control_error_code(&error), Some(error.to_string())),
        };
        let response = UpdateFeaturesResponse::default()
            .with_error_code(code.code())
            .with_error_message(message.map(StrBytes::from_string));
        if RESULTS_VERSION_MAX < version || code != ErrorCode::None {
            return response;
        }
        let done = |update: FeatureUpdateKey| {
            UpdatableFeatureResult::default().with_feature(update.feature).with_error_message(None)
        };
        response.with_results(request.feature_updates.into_iter().map(done).collect())
    }
}

fn feature_update(update: &FeatureUpdateKey, version: i16) -> FeatureUpdate {
    let upgrade_type = match (version, update.upgrade_type) {
        (0, _) if update.allow_downgrade => UpgradeType::SafeDowngrade,
        (0, _) | (_, 1) => UpgradeType::Upgrade,
        (_, 2) => UpgradeType::SafeDowngrade,
        (_, 3) => UpgradeType::UnsafeDowngrade,
        _ => UpgradeType::Unknown,
    };
    FeatureUpdate { feature: update.feature.to_string(), level: update.max_version_level, upgrade_type }
}
