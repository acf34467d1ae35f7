//! Keys that a group can override, and the broker keys they fall back on (`GroupConfig`).

use super::keys;
use crate::config::key::Synonym;

const fn broker(broker_key: &'static str) -> Synonym {
    Synonym { broker_key, factor: 1 }
}

keys! {
    /// Silence after which a member of a consumer group is removed.
    "consumer.session.timeout.ms" => int.default("45000").at_least(1)
        .synonyms(&[broker("group.consumer.session.timeout.ms")]);

    /// How often a member of a consumer group is asked to show that it lives.
    "consumer.heartbeat.interval.ms" => int.default("5000").at_least(1)
        .synonyms(&[broker("group.consumer.heartbeat.interval.ms")]);

    /// Least time between two assignments of a consumer group.
    "consumer.assignment.interval.ms" => int.default("1000").at_least(0)
        .synonyms(&[broker("group.consumer.assignment.interval.ms")]);

    /// Silence after which a member of a share group is removed.
    "share.session.timeout.ms" => int.default("45000").at_least(1)
        .synonyms(&[broker("group.share.session.timeout.ms")]);

    /// How often a member of a share group is asked to show that it lives.
    "share.heartbeat.interval.ms" => int.default("5000").at_least(1)
        .synonyms(&[broker("group.share.heartbeat.interval.ms")]);

    /// How long a member of a share group keeps the records it acquired.
    "share.record.lock.duration.ms" => int.default("30000").at_least(1_000)
        .synonyms(&[broker("group.share.record.lock.duration.ms")]);

    /// How often a record of a share group is delivered at most.
    "share.delivery.count.limit" => int.default("5").at_least(2)
        .synonyms(&[broker("group.share.delivery.count.limit")]);

    /// Most records of one partition that members of a share group hold.
    "share.partition.max.record.locks" => int.default("2000").at_least(100)
        .synonyms(&[broker("group.share.partition.max.record.locks")]);

    /// Where a share group begins to read a partition: `earliest`, `latest` or `by_duration:` and how long
    /// ago.
    "share.auto.offset.reset" => text.default("latest").offset_reset();

    /// Whether a share group is given records of transactions that are not committed.
    "share.isolation.level" => text
        .default("read_uncommitted").one_of(&["read_committed", "read_uncommitted"]);

    /// Whether a member of a share group may prolong its hold on a record.
    "share.renew.acknowledge.enable" => boolean.default("true");

    /// Least time between two assignments of a share group.
    "share.assignment.interval.ms" => int.default("1000").at_least(0)
        .synonyms(&[broker("group.share.assignment.interval.ms")]);

    /// Silence after which a member of a streams group is removed.
    "streams.session.timeout.ms" => int.default("45000").at_least(1)
        .synonyms(&[broker("group.streams.session.timeout.ms")]);

    /// How often a member of a streams group is asked to show that it lives.
    "streams.heartbeat.interval.ms" => int.default("5000").at_least(1)
        .synonyms(&[broker("group.streams.heartbeat.interval.ms")]);

    /// Standby replicas of each task of a streams group.
    "streams.num.standby.replicas" => int.default("0").at_least(0)
        .synonyms(&[broker("group.streams.num.standby.replicas")]);

    /// How long a streams group waits for more members before its first assignment.
    "streams.initial.rebalance.delay.ms" => int.default("3000").at_least(0)
        .synonyms(&[broker("group.streams.initial.rebalance.delay.ms")]);

    /// Least time between two assignments of a streams group.
    "streams.assignment.interval.ms" => int.default("1000").at_least(0)
        .synonyms(&[broker("group.streams.assignment.interval.ms")]);
}
