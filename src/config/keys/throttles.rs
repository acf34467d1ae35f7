//! Keys that exist only as dynamic ones (`DynamicConfig.Broker`, `QuotaConfig.brokerQuotaConfigs`): the
//! tools of a reassignment set and remove them.

use super::keys;

keys! {
    /// Bytes per second that this broker's throttled replicas may send.
    "leader.replication.throttled.rate" => long.default("9223372036854775807").at_least(0).cluster_wide()
        .inert("one node replicates to nobody");

    /// Bytes per second that this broker's throttled replicas may fetch.
    "follower.replication.throttled.rate" => long.default("9223372036854775807").at_least(0).cluster_wide()
        .inert("one node replicates from nobody");

    /// Bytes per second that moves between log directories may copy.
    "replica.alter.log.dirs.io.max.bytes.per.second" => long
        .default("9223372036854775807").at_least(0).cluster_wide()
        .inert("log directories of one disk exchange partitions without copying");
}
