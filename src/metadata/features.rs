//! Feature levels: what a new cluster is finalized at, and what this broker can work with.
//!
//! A finalized level is a promise to clients (KIP-584): 4.x clients use transactions v2 or the new group
//! protocol as soon as they see it. So only what is served is advertised.

use crate::metadata::image::METADATA_VERSION;
use crate::metadata::records::{FeatureLevelRecord, MetadataRecord, SupportedFeature};

/// The oldest `metadata.version` that Kafka 4.x reads (3.3-IV3).
pub const METADATA_VERSION_MIN: i16 = 7;

/// The newest `metadata.version` whose records are understood (4.3-IV0).
pub const METADATA_VERSION_MAX: i16 = 30;

/// The feature of the quorum's own protocol. Its level is never a `FeatureLevelRecord` but a control
/// record of the log, and 0 (a fixed set of voters) without one.
pub const KRAFT_VERSION: &str = "kraft.version";

/// The feature that lets clients use the consumer group protocol (KIP-848).
pub const GROUP_VERSION: &str = "group.version";

/// `GroupVersion.GV_1`
pub const GROUP_VERSION_MAX: i16 = 1;

/// What this broker declares when it registers, in the order of the names. A feature that is not served
/// yet is declared at level 0 by its absence: `transaction.version`, `share.version`, `streams.version` and
/// `eligible.leader.replicas.version`.
pub fn supported_features() -> Vec<SupportedFeature> {
    let feature = |name: &str, min_supported_version, max_supported_version| SupportedFeature {
        name: name.to_owned(),
        min_supported_version,
        max_supported_version,
    };
    vec![
        feature(GROUP_VERSION, 0, GROUP_VERSION_MAX),
        feature(KRAFT_VERSION, 0, 0),
        feature(METADATA_VERSION, METADATA_VERSION_MIN, METADATA_VERSION_MAX),
    ]
}

/// The first records of a new cluster's log (`BootstrapMetadata`). They fit one batch, which is atomic by
/// itself, so that no metadata transaction is wrapped around them.
pub fn bootstrap_records() -> Vec<MetadataRecord> {
    let level =
        |name: &str, feature_level| FeatureLevelRecord { name: name.to_owned(), feature_level }.into();
    // The level of the metadata itself leads.
    vec![level(METADATA_VERSION, METADATA_VERSION_MAX), level(GROUP_VERSION, GROUP_VERSION_MAX)]
}
