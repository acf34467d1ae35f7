//! Finalizing features at other levels (`FeatureControlManager`).

use super::Controller;
use super::events::{ApiError, FeatureUpdate, Response, Token, UpdateFeatures, UpgradeType};
use crate::metadata::MetadataRecord;
use crate::metadata::features::{KRAFT_VERSION, supported_features};
use crate::metadata::image::METADATA_VERSION;
use crate::metadata::records::FeatureLevelRecord;
use crate::types::ErrorCode;

impl Controller {
    /// Changes the levels of features, all or none.
    pub fn handle_update_features(&mut self, token: Token, request: &UpdateFeatures) {
        let mut records = Vec::new();
        let planned = request.updates.iter().try_for_each(|update| {
            records.extend(self.plan_update(update)?);
            Ok(())
        });
        if planned.is_ok() && !request.validate_only {
            self.append(records);
        }
        self.reply(token, Response::UpdateFeatures(planned));
    }

    /// `None` when the feature is at that level already.
    fn plan_update(&self, update: &FeatureUpdate) -> Result<Option<MetadataRecord>, ApiError> {
        let FeatureUpdate { feature, level, upgrade_type } = update;
        let invalid = |why: &str| {
            let message = format!("Invalid update version {level} for feature {feature}. {why}");
            Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message))
        };
        if *level < 0 {
            return invalid("A feature version cannot be less than 0.");
        }
        if let Err(why) = self.check_supported(feature, *level) {
            return invalid(&why);
        }
        let current = self.image.features().get(feature).copied().unwrap_or(0);
        match upgrade_type {
            UpgradeType::Unknown => {
                return invalid("The controller does not support the given upgrade type.");
            }
            UpgradeType::Upgrade if *level < current => {
                return invalid(
                    "Can't downgrade the version of this feature without setting the upgrade type to either \
                     safe or unsafe downgrade.",
                );
            }
            UpgradeType::SafeDowngrade | UpgradeType::UnsafeDowngrade if current < *level => {
                return invalid("Can't downgrade to a newer version.");
            }
            _ => {}
        }
        // Records are written in their newest versions, which an older level could not read.
        if feature == METADATA_VERSION && *level < current {
            let why = match upgrade_type {
                UpgradeType::UnsafeDowngrade => "Unsafe metadata downgrade is not supported in this version.",
                _ => {
                    "Refusing to perform the requested downgrade because it might delete metadata \
                     information."
                }
            };
            let message = format!("Unsupported metadata.version downgrade from {current} to {level}. {why}");
            return Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message));
        }
        // The level of kraft.version is no record of this kind.
        if *level == current || feature == KRAFT_VERSION {
            return Ok(None);
        }
        Ok(Some(FeatureLevelRecord { name: feature.clone(), feature_level: *level }.into()))
    }

    /// Whether this controller and every broker can work with a level.
    fn check_supported(&self, feature: &str, level: i16) -> Result<(), String> {
        let node = self.config.broker.node_id;
        let own = (format!("Local controller {node}"), supported_features());
        let brokers =
            self.image.brokers().map(|broker| (format!("Broker {}", broker.id), broker.features.clone()));
        for (who, features) in std::iter::once(own).chain(brokers) {
            let supported = features.iter().find(|of| of.name == feature);
            let (min, max) =
                supported.map_or((0, 0), |of| (of.min_supported_version, of.max_supported_version));
            if supported.is_none() && level != 0 {
                return Err(format!("{who} does not support this feature."));
            }
            if !(min..=max).contains(&level) {
                return Err(format!("{who} only supports versions {min}-{max}"));
            }
        }
        Ok(())
    }
}
