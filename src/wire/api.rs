//! Which APIs are served, in which versions: one row each.

use super::messages::ApiKey;

/// What the broker says and accepts about one API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiRow {
    /// The API.
    pub key: ApiKey,
    /// The lowest version served.
    pub min: i16,
    /// The highest version served.
    pub max: i16,
    /// The lowest version that ApiVersions names. Below `min` only for Produce.
    pub advertised_min: i16,
    /// The first version with compact lengths and tagged fields (KIP-482).
    pub flexible_from: i16,
}

impl ApiRow {
    /// Whether requests of this version are answered.
    pub fn serves(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// Whether this version has compact lengths and tagged fields.
    pub fn is_flexible(&self, version: i16) -> bool {
        self.flexible_from <= version
    }

    /// The version of the request header in front of a body of `version`: 1, or 2 with tagged fields.
    pub fn request_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the response header: 0, or 1 with tagged fields. That of ApiVersions is 0 always,
    /// so that a client can read the answer before it knows what the broker speaks (KIP-511).
    pub fn response_header_version(&self, version: i16) -> i16 {
        i16::from(self.is_flexible(version) && self.key != ApiKey::ApiVersions)
    }
}

const fn row(key: ApiKey, min: i16, max: i16, flexible_from: i16) -> ApiRow {
    ApiRow { key, min, max, advertised_min: min, flexible_from }
}

/// Every API served, by key. The versions are those that Kafka 4.3 calls stable, as far as `kafka-protocol`
/// knows them: it has no ListOffsets 11 and no DescribeLogDirs 5.
pub const ALL: &[ApiRow] = &[
    // librdkafka takes a minimum above 0 for a broker that knows no compression (KAFKA-18659).
    ApiRow { advertised_min: 0, ..row(ApiKey::Produce, 3, 13, 9) },
    row(ApiKey::Fetch, 4, 18, 12),
    row(ApiKey::ListOffsets, 1, 10, 6),
    row(ApiKey::Metadata, 0, 13, 9),
    row(ApiKey::OffsetCommit, 2, 10, 8),
    row(ApiKey::OffsetFetch, 1, 10, 6),
    row(ApiKey::FindCoordinator, 0, 6, 3),
    row(ApiKey::JoinGroup, 0, 9, 6),
    row(ApiKey::Heartbeat, 0, 4, 4),
    row(ApiKey::LeaveGroup, 0, 5, 4),
    row(ApiKey::SyncGroup, 0, 5, 4),
    row(ApiKey::DescribeGroups, 0, 6, 5),
    row(ApiKey::ListGroups, 0, 5, 3),
    row(ApiKey::ApiVersions, 0, 4, 3),
    row(ApiKey::CreateTopics, 2, 7, 5),
    row(ApiKey::DeleteTopics, 1, 6, 4),
    row(ApiKey::DeleteRecords, 0, 2, 2),
    row(ApiKey::InitProducerId, 0, 5, 2),
    row(ApiKey::OffsetForLeaderEpoch, 2, 4, 4),
    row(ApiKey::DescribeConfigs, 1, 4, 4),
    row(ApiKey::AlterConfigs, 0, 2, 2),
    row(ApiKey::AlterReplicaLogDirs, 1, 2, 2),
    row(ApiKey::DescribeLogDirs, 1, 4, 2),
    row(ApiKey::CreatePartitions, 0, 3, 2),
    row(ApiKey::DeleteGroups, 0, 2, 2),
    row(ApiKey::ElectLeaders, 0, 2, 2),
    row(ApiKey::IncrementalAlterConfigs, 0, 1, 1),
    row(ApiKey::AlterPartitionReassignments, 0, 1, 0),
    row(ApiKey::ListPartitionReassignments, 0, 0, 0),
    row(ApiKey::OffsetDelete, 0, 0, 1),
    row(ApiKey::DescribeQuorum, 0, 2, 0),
    row(ApiKey::UpdateFeatures, 0, 2, 0),
    row(ApiKey::DescribeCluster, 0, 2, 0),
    row(ApiKey::DescribeProducers, 0, 0, 0),
    row(ApiKey::UnregisterBroker, 0, 0, 0),
    row(ApiKey::ConsumerGroupHeartbeat, 0, 1, 0),
    row(ApiKey::ConsumerGroupDescribe, 0, 1, 0),
    row(ApiKey::ListConfigResources, 0, 1, 0),
    row(ApiKey::DescribeTopicPartitions, 0, 0, 0),
];

/// The row of an API, or `None` when it is not served.
pub fn lookup(api_key: i16) -> Option<&'static ApiRow> {
    ALL.iter().find(|row| row.key as i16 == api_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_agree_with_the_schemas() {
        assert!(ALL.is_sorted_by_key(|row| row.key as i16));
        for row in ALL {
            let known = row.key.valid_versions();
            assert!(known.min <= row.min && row.max <= known.max, "{:?}", row.key);
            for version in row.min..=row.max {
                assert_eq!(row.request_header_version(version), row.key.request_header_version(version));
                assert_eq!(row.response_header_version(version), row.key.response_header_version(version));
            }
        }
    }

    #[test]
    fn only_produce_advertises_versions_it_refuses() {
        let below: Vec<_> =
            ALL.iter().filter(|row| row.advertised_min < row.min).map(|row| row.key).collect();
        assert_eq!(below, [ApiKey::Produce]);
        assert_eq!(lookup(0).map(|row| row.serves(2)), Some(false));
        assert!(lookup(-1).is_none() && lookup(1_000).is_none());
    }
}
